//! The report as text and JSON in every situation, kept in `snapshots/` as the other forms are; text in every width.

use super::reports::{at, well};
use super::situations::situations;
use super::snapshots::is_as_kept;
use pgbackrest_guard::decide::windows::{Backup, Window};
use pgbackrest_guard::status::report::{Reach, Report};
use pgbackrest_guard::status::{Style, look_at, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

#[test]
fn text_is_as_kept() {
    let (mut plain, mut drawn) = (String::new(), String::new());
    for (name, report) in situations() {
        let _ = write!(plain, "-- {name}\n{}\n", text(&report, &Style::new(80, true, false)));
        let _ = write!(drawn, "-- {name}\n{}\n", text(&report, &Style::new(132, false, true)));
    }
    is_as_kept("text.txt", &plain);
    is_as_kept("text-drawn.txt", &drawn);
}

#[test]
fn text_fits_every_width_and_its_colours_take_no_room() {
    for (name, report) in situations() {
        let plain = text(&report, &Style::new(300, false, false));
        assert!(!plain.contains('\u{1b}'), "{name}: no colour that nobody wants");
        for width in (40..=100).chain((101..=300).step_by(7)) {
            let shown = text(&report, &Style::new(width, true, false));
            assert!(shown.is_ascii() || !plain.is_ascii() && names_more_than_ascii(&report), "{name}: {shown}");
            for line in shown.lines() {
                let longest_word = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
                let room = width.max(longest_word + 18);
                assert!(line.chars().count() <= room, "{name} in {width}: {line}");
                assert_eq!(line.trim_end(), line, "{name} in {width}");
            }
            let painted = text(&report, &Style::new(width, true, true));
            assert_eq!(without_colours(&painted), shown, "{name} in {width}");
        }
    }
}

/// Whether the report itself holds other characters.
fn names_more_than_ascii(report: &Report) -> bool {
    !format!("{report:?}").is_ascii() || format!("{report:?}").contains("\\u{")
}

/// The text without the sequences of ECMA-48 that change colours.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}

#[test]
fn json_is_as_kept_and_every_field_can_be_unknown() {
    let mut all = String::new();
    let (mut unknown, mut known) = (BTreeSet::new(), BTreeSet::new());
    for (name, report) in situations() {
        let json = serde_json::to_value(&report).unwrap();
        collect("", &json, &mut unknown, &mut known);
        let _ = writeln!(all, "-- {name}\n{}", serde_json::to_string_pretty(&report).unwrap());
    }
    is_as_kept("json.txt", &all);
    // What the contract allows to be unknown is, somewhere, and is known somewhere else.
    for path in NULLABLE {
        assert!(unknown.contains(path), "{path} is null nowhere");
        assert!(known.contains(path), "{path} is null everywhere");
    }
    for path in unknown {
        assert!(NULLABLE.contains(&path.as_str()), "{path} is null, and nobody was told that it may be");
    }
}

/// The fields that may be `null`.
const NULLABLE: [&str; 38] = [
    "/cluster/pgdata",
    "/cluster/system_id",
    "/cluster/timeline",
    "/cluster/in_recovery",
    "/archiving/enabled",
    "/archiving/invalid_bucket",
    "/archiving/last_archived_wal",
    "/archiving/last_archived_at",
    "/archiving/archived_count",
    "/archiving/failed_count",
    "/archiving/backlog_segments",
    "/archiving/backlog_bytes",
    "/archiving/threshold_bytes",
    "/archiving/free_bytes",
    "/archiving/reserve_bytes",
    "/push/failed_count",
    "/push/consecutive_failures",
    "/push/dropped_count",
    "/push/overflowed_count",
    "/push/last_failure",
    "/push/last_failure/at",
    "/push/last_failure/code",
    "/push/last_failure/s3_code",
    "/gaps",
    "/gaps/opened_at",
    "/gaps/closed_at",
    "/gaps/sealed_by",
    "/gaps/acknowledged/at",
    "/catalog/checked_at",
    "/catalog/detail",
    "/backups/last_full_at",
    "/backups/last_diff_at",
    "/backups/next_due_at",
    "/windows",
    "/windows/from",
    "/windows/to",
    "/windows/from_lsn",
    "/windows/to_lsn",
];

/// Every field's path, without the places in lists.
fn collect(path: &str, value: &Value, unknown: &mut BTreeSet<String>, known: &mut BTreeSet<String>) {
    match value {
        Value::Null => drop(unknown.insert(path.to_owned())),
        Value::Object(fields) => {
            known.insert(path.to_owned());
            fields.iter().for_each(|(name, value)| collect(&format!("{path}/{name}"), value, unknown, known));
        }
        Value::Array(items) => {
            known.insert(path.to_owned());
            for item in items {
                collect(path, item, unknown, known);
            }
        }
        _ => drop(known.insert(path.to_owned())),
    }
}

/// `well` with what its window rests on.
fn with_reach() -> Report {
    let mut report = well();
    let seconds = |time: &str| at(time).unwrap().as_second();
    let window = Window {
        timeline: 1,
        from: 0x4_0300_0100,
        to: 0x4_2B00_0000,
        from_at: Some(seconds("2026-11-23T01:12:00Z")),
        to_at: Some(seconds("2026-11-24T07:58:41Z")),
        backup: "20261123-010000F".to_owned(),
        continues: false,
    };
    let segment = "000000010000000400000003".parse().unwrap();
    let backup = Backup {
        label: window.backup.clone(),
        start: segment,
        stop: segment,
        stop_lsn: Some(window.from),
        stop_at: seconds("2026-11-23T01:12:00Z"),
    };
    report.extra.reach = Some(Reach { windows: vec![window], backups: vec![backup] });
    report
}

#[test]
fn a_moment_is_answered_in_words() {
    let report = with_reach();
    let say = |report: &Report, time: &str| look_at(report, time.parse().unwrap()).text("main", report);
    assert_eq!(
        say(&report, "2026-11-23 12:00:00.5+02"),
        "2026-11-23T10:00:00.5Z can be restored from 20261123-010000F on timeline 1\n  pgbackrest --stanza=main \
         --set=20261123-010000F --type=time --target='2026-11-23 10:00:00.5+00' restore\n"
    );
    assert_eq!(
        say(&report, "2026-11-24 09:00:00Z"),
        "2026-11-24T09:00:00Z can't be restored: no commit after it is known to be archived yet\n  nearest before  \
         2026-11-24T07:58:41Z  20261123-010000F\n  nearest after   none\n"
    );
    assert!(
        say(&well(), "2026-11-24 09:00:00Z").starts_with("whether 2026-11-24T09:00:00Z can be restored is unknown")
    );
}
