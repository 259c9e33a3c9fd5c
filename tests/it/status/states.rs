//! `status` where something is damaged, locked, somebody else's or not there; and what it makes of `watch`'s notes.

use crate::push::outcome::Outcome;
use crate::push::standin::{Case, MIB, SEGMENT};
use pgbackrest_guard::decide::walk::{Run, Walked};
use pgbackrest_guard::ledger::state::{Identity, Place};
use pgbackrest_guard::ledger::{FILE_NAME, Ledger};
use pgbackrest_guard::pgbackrest::identity::RepositoryIdentity;
use pgbackrest_guard::seen_catalog::{Check, Entry, Finding, Known, Record, SeenCommit};
use pgbackrest_guard::wal::Lsn;
use pgbackrest_guard_lab::Lab;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

/// The backup of the notes is old: with these it is not overdue.
const NEVER_DUE: [(&str, &str); 2] =
    [("WAL_BACKUP_FULL_INTERVAL_SECONDS", "0"), ("WAL_BACKUP_DIFF_INTERVAL_SECONDS", "0")];

/// A cluster whose pushes work, with a ledger.
fn stored(name: &str) -> Outcome {
    Case::new(name).control(42).status(0).stored()
}

/// The same with what `watch` notes of a catalog: one full backup in segment 3, and a commit in segment 6.
fn noted(name: &str, change: impl FnOnce(&mut Record)) -> Outcome {
    let outcome = stored(name);
    write_record(&outcome, change);
    outcome
}

fn write_record(outcome: &Outcome, change: impl FnOnce(&mut Record)) {
    let folder = outcome.case.data().join(".pgbackrest_guard");
    let repository = RepositoryIdentity {
        key: 1,
        kind: "s3".to_owned(),
        endpoint: "e".to_owned(),
        bucket: "b".to_owned(),
        path: "/r".to_owned(),
    };
    // As the watcher leaves it that has looked through the archive.
    let identity = Ledger::peek(&folder).unwrap().unwrap().identity;
    let (ledger, ..) = Ledger::open(&folder, identity, Place::default(), 0).unwrap();
    let state = ledger.update(|state| {
        let made_at = state.checked.take().unwrap_or_default();
        state.checked = Some(Place { repositories: Some(vec![repository]), ..made_at });
    });
    let place = state.unwrap().checked;
    let full = Entry {
        label: "20261122-100000F".to_owned(),
        kind: "full".to_owned(),
        repository: 1,
        start: Some(segment(3)),
        stop: Some(segment(3)),
        stop_lsn: Some(Lsn(0x300_0100)),
        started_at: 1_000,
        ended_at: 1_100,
        damaged: false,
        needs: Vec::new(),
    };
    let mut record = Record {
        identity,
        place,
        check: Some(Check { finding: Finding::Present, at: 1_200, detail: None, inconclusive_since: None }),
        known: Some(Known { at: 1_200, backups: vec![full], archives: vec![(Some(segment(3)), Some(segment(4)))] }),
        archived: Some(segment(8)),
        commits: vec![SeenCommit { segment: segment(6), lsn: 0x600_0028, at: 1_500 }],
        walked: BTreeMap::from([(1, walked(3, 8))]),
        ..Record::default()
    };
    change(&mut record);
    record.write(&folder).unwrap();
}

/// A walk that has found everything from one segment to another.
fn walked(from: u32, up_to: u32) -> Walked {
    Walked { from: segment(from), up_to: Some(segment(up_to)), missing: Vec::new(), unfinished: false }
}

fn segment(number: u32) -> pgbackrest_guard::wal::SegmentName {
    format!("0000000100000000{number:08X}").parse().unwrap()
}

fn run(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.args(["status", "--config=/dev/null"]).args(arguments).env_clear().env("PGDATA", data);
    command.envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn report_on(data: &Path, environment: &[(&str, &str)]) -> Value {
    let output = run(data, &["--output=json"], environment);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn report(outcome: &Outcome) -> Value {
    report_on(&outcome.case.data(), &[])
}

/// Every file of a folder, with what a write would change.
fn listing(folder: &Path) -> BTreeMap<String, (u64, i64, i64, u64)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let file = entry.metadata().unwrap();
        files.insert(entry.path().display().to_string(), (file.len(), file.mtime(), file.mtime_nsec(), file.ino()));
        if file.is_dir() {
            files.extend(listing(&entry.path()));
        }
    }
    files
}

/// The `from_lsn` and `to_lsn` of each window.
fn windows(report: &Value) -> Vec<(String, String)> {
    let text = |window: &Value, field: &str| window[field].as_str().unwrap_or("null").to_owned();
    let windows = report["windows"].as_array().unwrap_or_else(|| panic!("{report}"));
    windows.iter().map(|window| (text(window, "from_lsn"), text(window, "to_lsn"))).collect()
}

fn pair(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[test]
fn every_form_writes_nothing_and_waits_for_no_lock() {
    let outcome = noted("locked", |_| {});
    let lock = File::create(outcome.case.data().join(".pgbackrest_guard/ledger.lock")).unwrap();
    lock.lock().unwrap();
    let before = listing(outcome.case.root());
    for arguments in [vec![], vec!["--output=json"], vec!["--repo"], vec!["--at", "1970-01-01 00:20:00+00"]] {
        let output = run(&outcome.case.data(), &arguments, &[("PATH", "/nowhere")]);
        assert!(output.status.code() == Some(0), "{arguments:?}: {output:?}");
    }
    assert_eq!(listing(outcome.case.root()), before);
}

#[test]
fn a_damaged_ledger_is_unknown_and_not_healthy() {
    let outcome = noted("damaged", |_| {});
    let path = outcome.case.data().join(".pgbackrest_guard").join(FILE_NAME);
    fs::write(&path, vec![0x55; usize::try_from(2 * MIB).unwrap()]).unwrap();
    let report = report_on(&outcome.case.data(), &NEVER_DUE);
    let fields = ["verdict", "gaps", "windows"].map(|field| report[field].clone());
    assert_eq!(fields, ["unknown".into(), Value::Null, Value::Null], "{report}");
    assert!(report["reasons"].to_string().contains("no record that can be read"), "{report}");
}

#[test]
fn a_data_directory_that_is_missing_or_can_not_be_read_is_unknown() {
    let lab = Lab::new();
    let data = lab.folder("data");
    lab.write_file("data/PG_VERSION", "15\n");
    let closed = fs::Permissions::from_mode(0o000);
    // Root reads everything: the lab's user runs it, on what belongs to root.
    let mut command = lab.command(lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard")));
    fs::set_permissions(&data, closed).unwrap();
    let output = command.args(["status", "--output=json", "--pgdata"]).arg(&data).output().unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let unreadable: Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing = report_on(Path::new("/nowhere/at/all"), &[]);
    for report in [unreadable, missing] {
        assert_eq!((&report["verdict"], &report["windows"]), (&"unknown".into(), &Value::Null), "{report}");
    }
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn windows_come_from_watchs_notes_without_server_and_repository() {
    let outcome = noted("windows", |_| {});
    let said = report(&outcome);
    assert_eq!(windows(&said), [pair("0/3000100", "0/9000000")]);
    let window = &said["windows"][0];
    assert_eq!((&window["from"], &window["to"]), (&"1970-01-01T00:18:21Z".into(), &"1970-01-01T00:25:00Z".into()));
    let full = "1970-01-01T00:18:20Z".into();
    assert_eq!((&said["catalog"]["state"], &said["backups"]["last_full_at"]), (&"present".into(), &full));
    assert_eq!(window["repository"], 1);
    // What waits in the overflow folder is not in the archive.
    let overflow = outcome.case.root().join("overflow");
    fs::create_dir(&overflow).unwrap();
    fs::write(overflow.join(segment(7).to_string()), "").unwrap();
    let folder = overflow.to_str().unwrap();
    let said = report_on(&outcome.case.data(), &[("WAL_OVERFLOW_DIR", folder)]);
    assert_eq!(windows(&said), [pair("0/3000100", "0/7000000")]);
}

#[test]
fn an_open_gap_ends_a_window() {
    let outcome = Case::new("gap").control(42).wal(SEGMENT, 16 * MIB).exits(49).backlog(500).status(0);
    write_record(&outcome, |_| {});
    let said = report(&outcome);
    assert_eq!((windows(&said), &said["gaps"][0]["first"]), (vec![pair("0/3000100", "0/5000000")], &SEGMENT.into()));
    assert_eq!(said["windows"][0]["to"], Value::Null, "no commit before the gap is known");
    let output = run(&outcome.case.data(), &["--at", "1970-01-01 00:20:00+00"], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("no commit after it is known"), "{text}");
}

#[test]
fn nothing_is_claimed_of_what_no_walk_has_looked_at() {
    type Change = fn(&mut Record);
    let at = |record: Change, seconds: &str| {
        let outcome = noted("a walk", record);
        let time = format!("1970-01-01 {seconds}+00");
        let output = run(&outcome.case.data(), &["--at", &time], &[]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let never: Change = |record| record.walked.clear();
    let half: Change = |record| drop(record.walked.insert(1, walked(3, 6)));
    let from_later: Change = |record| drop(record.walked.insert(1, walked(4, 8)));
    let with_hole: Change = |record| {
        let missing = vec![Run { first: segment(5), last: segment(5) }];
        record.walked.insert(1, Walked { missing, ..walked(3, 8) });
    };
    for (record, time, code, words) in [
        (never, "00:20:00", 2, "not verified"),
        (never, "00:18:20", 1, "older than every usable backup"),
        (half, "00:20:00", 0, "can be restored from 20261122-100000F in repository 1"),
        (half, "00:25:01", 2, "not verified"),
        (from_later, "00:20:00", 2, "not verified"),
        (with_hole, "00:20:00", 2, "no commit after it is known"),
        (|_| {}, "00:25:01", 1, "no commit after it is known to be archived yet"),
        (|_| {}, "00:18:20", 1, "older than every usable backup"),
        (|_| {}, "00:18:21", 0, "--repo=1 --set=20261122-100000F --type=time --target='1970-01-01 00:18:21+00'"),
        (|_| {}, "00:18:21", 0, "restore_command='pgbackrest-guard-get --stanza=main --repo=1 %f \"%p\"'"),
    ] {
        let (found, text) = at(record, time);
        assert!(found == Some(code) && text.contains(words), "{time}: {found:?} and not {code}: {text}");
    }
}

#[test]
fn notes_that_are_damaged_or_of_another_cluster_or_repository_count_for_nothing() {
    let foreign = [
        (Identity { system_id: Some(43) }, Place::default()),
        (Identity::default(), Place { control_inode: Some(1), repositories: None }),
        (Identity::default(), Place { control_inode: None, repositories: Some(Vec::new()) }),
    ];
    for (identity, place) in foreign {
        let said = report(&noted("foreign", |record| {
            (record.identity, record.place) = (identity, Some(place.clone()));
        }));
        let found = (&said["windows"], &said["catalog"]["state"]);
        assert_eq!(found, (&Value::Null, &"unchecked".into()), "{identity:?} {place:?}");
        assert!(said["backups"]["last_full_at"].is_null(), "{said}");
    }
    let outcome = noted("damaged notes", |_| {});
    fs::write(outcome.case.data().join(".pgbackrest_guard/catalog"), "{\"check\"").unwrap();
    let said = report(&outcome);
    assert!(said["windows"].is_null() && said["reasons"].to_string().contains("copy of the catalog"), "{said}");
}

#[test]
fn a_catalog_that_is_inconclusive_for_two_intervals_is_a_warning() {
    let now = jiff::Timestamp::now().as_second();
    let inconclusive = |seconds: i64| {
        let detail = Some("repo1: code 99".to_owned());
        let since = Some(now - seconds);
        noted("inconclusive", |record| {
            record.check = Some(Check { finding: Finding::Inconclusive, at: now, detail, inconclusive_since: since });
        })
    };
    for (seconds, verdict) in [(7_000, "ok"), (7_300, "warning")] {
        let said = report_on(&inconclusive(seconds).case.data(), &NEVER_DUE);
        assert_eq!((&said["verdict"], &said["catalog"]["state"]), (&verdict.into(), &"inconclusive".into()), "{said}");
        assert_eq!(windows(&said).len(), 1, "what was known stays known");
    }
}

#[test]
fn a_conclusive_absence_is_critical_and_leaves_nothing_to_restore() {
    let said = report(&noted("absent", |record| {
        record.check = Some(Check { finding: Finding::Absent, at: 1_200, detail: None, inconclusive_since: None });
        record.known = Some(Known { at: 1_200, ..Known::default() });
    }));
    assert_eq!((&said["verdict"], &said["windows"]), (&"critical".into(), &Value::Array(Vec::new())), "{said}");
    assert!(said["reasons"].to_string().contains("no full backup"), "{said}");
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let outcome = stored("usage");
    for time in ["", "now", "2026-11-22", "2026-11-22 10:00:00", "2026-13-22 10:00:00+00", "10:00+00"] {
        let output = run(&outcome.case.data(), &["--at", time], &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{time}");
    }
    let output = run(&outcome.case.data(), &["--at", "2026-11-22T10:00:00.5-07:30"], &[]);
    assert_eq!(output.status.code(), Some(2), "not known: {output:?}");
}
