//! What is printed in every situation, kept in `snapshots/`. With `UPDATE_SNAPSHOTS=1` the files are written anew, to be
//! looked at with `git diff`.

use super::exposition::{Families, parse};
use super::reports::well;
use super::situations::situations;
use pgbackrest_guard::exit::Exit;
use pgbackrest_guard::status::{gaps_text, html, nagios, prometheus};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

#[track_caller]
pub(crate) fn is_as_kept(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/status/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
    assert!(kept == text, "{name} is not as kept: first {differs:?}; whole:\n{text}");
}

#[test]
fn nagios_lines_are_as_kept_and_break_nowhere() {
    let mut all = String::new();
    for (name, report) in situations() {
        let line = nagios(&report);
        let code = Exit::Nagios(report.verdict).code();
        check_nagios(name, &line);
        let _ = writeln!(all, "-- {name}: exit {code}\n{}", line.trim_end());
    }
    is_as_kept("nagios.txt", &all);
}

/// One line, one bar, and behind it nothing but `label=value[unit];[warn];[crit];min`.
fn check_nagios(name: &str, line: &str) {
    assert!(line.ends_with('\n') && !line.trim_end().contains(char::is_control), "{name}: {line:?}");
    let (text, data) = line.trim_end().split_once(" | ").unwrap_or((line.trim_end(), ""));
    assert!(text.starts_with("PGBACKREST_GUARD ") && !text.contains('|') && !data.contains('|'), "{name}: {line}");
    for datum in data.split(' ').filter(|datum| !datum.is_empty()) {
        let (label, values) = datum.split_once('=').unwrap();
        assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}: {datum}");
        let values: Vec<&str> = values.split(';').collect();
        let digits = values[0].trim_end_matches(['B', 's', 'c']);
        assert!(digits.parse::<u64>().is_ok() && values.len() == 4, "{name}: {datum}");
        for range in &values[1..] {
            assert!(range.is_empty() || range.trim_end_matches(':').parse::<u64>().is_ok(), "{name}: {datum}");
        }
    }
}

#[test]
fn metrics_are_as_kept_and_stand_before_a_strict_reader() {
    let mut all = String::new();
    let mut names = BTreeSet::new();
    for (name, report) in situations() {
        let text = prometheus(&report);
        let families = parse(&text).unwrap_or_else(|why| panic!("{name}: {why}\n{text}"));
        check_metrics(name, &families);
        names.extend(families.into_keys());
        let _ = writeln!(all, "-- {name}");
        let shown = text.lines().filter(|line| name == "well" || !line.starts_with('#'));
        shown.for_each(|line| all.extend([line, "\n"]));
    }
    is_as_kept("prometheus.txt", &all);
    let contract =
        ["backlog_bytes", "threshold_bytes", "reserve_bytes", "free_bytes", "push_failed_total", "dropped_total"];
    for name in contract.iter().chain(&["open_gaps", "last_full_timestamp_seconds", "up", "verdict"]) {
        assert!(names.contains(&format!("pgbackrest_guard_{name}")), "{name}");
    }
}

/// Names, units and labels as Prometheus' own guide wants them.
fn check_metrics(situation: &str, families: &Families) {
    for (name, family) in families {
        assert!(name.starts_with("pgbackrest_guard_"), "{situation}: {name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{situation}: {name}");
        assert!(!name.contains("_ms") && !name.contains("megabytes"), "{situation}: {name} is in no base unit");
        for sample in &family.samples {
            let fixed = ["present", "absent", "inconclusive", "unchecked", "healed", "sealed"];
            let of_a_fixed_set =
                |(label, value): (&String, &String)| label == "state" && fixed.contains(&value.as_str());
            let [stanza, cluster] = ["stanza", "cluster"].map(|label| sample.labels.contains_key(label));
            assert!(stanza && cluster, "{situation}: {name} {:?}", sample.labels);
            let mut others = sample.labels.iter().filter(|(label, _)| !["stanza", "cluster"].contains(&label.as_str()));
            assert!(others.all(of_a_fixed_set), "{situation}: {name} {:?}", sample.labels);
        }
    }
}

#[test]
fn what_is_unknown_has_no_series() {
    let report = pgbackrest_guard::status::Report::unknown();
    let families = parse(&prometheus(&report)).unwrap();
    let names: Vec<_> = families.keys().map(|name| name.trim_start_matches("pgbackrest_guard_")).collect();
    assert_eq!(names, ["catalog_state", "verdict"]);
}

#[test]
fn lists_of_gaps_are_as_kept() {
    let mut all = String::new();
    for (name, report) in situations() {
        let list = gaps_text(&report);
        assert!(!list.chars().any(|c| c.is_control() && c != '\n'), "{name}: {list:?}");
        let _ = write!(all, "-- {name}\n{list}");
    }
    is_as_kept("gaps.txt", &all);
}

#[test]
fn pages_are_as_kept() {
    for (name, report) in situations() {
        let page = html(&report);
        let body = page.split_once("<body>\n").unwrap().1;
        is_as_kept(&format!("html/{}.html", name.replace([' ', ','], "-")), body);
    }
}

/// The fields of the JSON that may be unknown, `gaps[]` and the like standing for any element.
const NULLABLE: [&str; 50] = [
    "cluster.pgdata",
    "cluster.system_id",
    "cluster.timeline",
    "drill",
    "cluster.in_recovery",
    "archiving.enabled",
    "archiving.invalid_bucket",
    "archiving.last_archived_wal",
    "archiving.last_archived_at",
    "archiving.archived_count",
    "archiving.failed_count",
    "archiving.backlog_segments",
    "archiving.backlog_bytes",
    "archiving.threshold_bytes",
    "archiving.free_bytes",
    "archiving.reserve_bytes",
    "push.failed_count",
    "push.consecutive_failures",
    "push.dropped_count",
    "push.overflowed_count",
    "repositories[].detail",
    "repositories[].last_full_at",
    "repositories[].owed_segments",
    "repositories[].verified_from_lsn",
    "push.last_failure",
    "push.last_failure.at",
    "push.last_failure.code",
    "push.last_failure.s3_code",
    "gaps",
    "gaps[].opened_at",
    "gaps[].closed_at",
    "gaps[].sealed_by",
    "gaps[].acknowledged.at",
    "catalog.checked_at",
    "catalog.detail",
    "backups.last_full_at",
    "backups.last_diff_at",
    "backups.next_due_at",
    "windows",
    "windows[].from",
    "windows[].to",
    "windows[].from_lsn",
    "windows[].to_lsn",
    // What the JSON does not have.
    "extra.made_at",
    "extra.server_answers",
    "extra.backups",
    "extra.estimate",
    "extra.backups[].timeline",
    "extra.backups[].started_at",
    "extra.backups[].ended_at",
];

fn nulls(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Null => drop(found.insert(path.to_owned())),
        Value::Array(items) => items.iter().for_each(|item| nulls(item, &format!("{path}[]"), found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                nulls(field, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_that_can_be_unknown_is_so_in_some_situation() {
    let mut found = BTreeSet::new();
    for (_, report) in situations() {
        nulls(&serde_json::to_value(&report).unwrap(), "", &mut found);
        let extra = &report.extra;
        let backups = extra.backups.as_ref().map(|backups| {
            let backup = |backup: &pgbackrest_guard::status::report::BackupReport| {
                serde_json::json!({"timeline": backup.timeline, "started_at": backup.started_at, "ended_at": backup.ended_at})
            };
            backups.iter().map(backup).collect::<Vec<_>>()
        });
        let estimate = extra.estimate.map(|estimate| estimate.bytes_per_hour);
        let skipped = serde_json::json!({"extra": {"made_at": extra.made_at, "server_answers": extra.server_answers,
            "backups": backups, "estimate": estimate}});
        nulls(&skipped, "", &mut found);
    }
    let nullable: BTreeSet<String> = NULLABLE.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, nullable);
    assert!(situations().len() >= 20 && well().reasons.is_empty());
}
