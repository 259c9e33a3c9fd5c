//! Made-up reports, one a situation: what every form of the report is held against.

use jiff::Timestamp;
use pgbackrest_guard::status::report::*;
use pgbackrest_guard::verdict::Verdict;

/// When the reports are made.
pub(crate) const NOW: &str = "2026-11-24T08:00:00Z";
pub(crate) const FULL: &str = "20261123-010000F";
const DIFF: &str = "20261123-010000F_20261124-010000D";
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn at(time: &str) -> Option<Timestamp> {
    time.parse().map(Some).unwrap()
}

/// A full backup and a differential one.
fn known_backups() -> Vec<BackupReport> {
    vec![
        backup(FULL, "full", "2026-11-23T01:00:00Z", "2026-11-23T01:12:00Z"),
        backup(DIFF, "diff", "2026-11-24T01:00:00Z", "2026-11-24T01:03:00Z"),
    ]
}

/// A drill that has passed.
fn drill() -> Drill {
    Drill {
        at: at("2026-11-23T03:00:00Z"),
        verdict: "passed",
        backup: Some(FULL.to_owned()),
        target: "latest".to_owned(),
        reached: Some("2026-11-23T02:59:58.25Z".to_owned()),
        seconds: 846,
        rpo_seconds: Some(2),
        passed_at: at("2026-11-23T03:00:00Z"),
        troubles: Vec::new(),
    }
}

/// A cluster of which everything is known and nothing is wrong.
pub(crate) fn well() -> Report {
    Report {
        verdict: Verdict::Ok,
        cluster: Cluster {
            pgdata: Some("/var/lib/postgresql/15/main".to_owned()),
            system_id: Some("7443210987654321098".to_owned()),
            timeline: Some(1),
            in_recovery: Some(false),
        },
        archiving: Archiving {
            enabled: Some(true),
            invalid_bucket: None,
            last_archived_wal: Some("00000001000000040000002A".to_owned()),
            last_archived_at: at("2026-11-24T07:59:12Z"),
            archived_count: Some(1_066),
            failed_count: Some(0),
            backlog_segments: Some(1),
            backlog_bytes: Some(16 * MIB),
            threshold_bytes: Some(500 * MIB),
            free_bytes: Some(81_000 * MIB),
            reserve_bytes: Some(1_024 * MIB),
        },
        push: Push {
            failed_count: Some(0),
            consecutive_failures: Some(0),
            dropped_count: Some(0),
            overflowed_count: Some(0),
            last_failure: None,
        },
        repositories: repositories(),
        gaps: Some(Vec::new()),
        catalog: Catalog { state: "present", checked_at: at("2026-11-24T07:40:00Z"), detail: None },
        backups: Backups {
            last_full_at: at("2026-11-23T01:12:00Z"),
            last_diff_at: at("2026-11-24T01:03:00Z"),
            next_due_at: at("2026-11-25T01:03:00Z"),
            running: false,
        },
        drill: Some(drill()),
        windows: Some(vec![window(1, "2026-11-23T01:12:00Z", "2026-11-24T07:58:41Z", FULL)]),
        extra: Extra {
            made_at: at(NOW),
            stanza: "main".to_owned(),
            cluster_name: "15/main".to_owned(),
            watcher_runs: Some(true),
            server_answers: Some(true),
            backups: Some(known_backups()),
            archived_after: Some(4),
            estimate: Some(Estimate {
                bytes_per_hour: 2_048 * MIB,
                seen_seconds: 3_600,
                threshold_in: Some(850),
                reserve_in: Some(140_000),
                full_in: Some(142_000),
            }),
            ..Extra::default()
        },
        ..Report::unknown()
    }
}

/// One that is well, one that can't be read, and one that nobody has asked.
fn repositories() -> Vec<RepositoryReport> {
    let well = RepositoryReport {
        key: 1,
        kind: "s3".to_owned(),
        state: "readable",
        detail: None,
        last_full_at: at("2026-11-23T01:12:00Z"),
        verified_from_lsn: Some("4/3000000".to_owned()),
        owed_segments: Some(0),
    };
    let detail = Some("code 99, other".to_owned());
    let dead = RepositoryReport { key: 2, state: "unreadable", detail, owed_segments: Some(3), ..well.clone() };
    let unknown = RepositoryReport { key: 3, state: "unchecked", ..RepositoryReport::default() };
    vec![well, dead, unknown]
}

pub(crate) fn window(timeline: u32, from: &str, to: &str, backup: &str) -> Window {
    Window {
        timeline,
        from: at(from),
        to: at(to),
        from_lsn: Some("4/3000100".to_owned()),
        to_lsn: Some("4/2B000000".to_owned()),
        backup: backup.to_owned(),
        repository: 1,
    }
}

pub(crate) fn backup(label: &str, kind: &str, started: &str, ended: &str) -> BackupReport {
    BackupReport {
        label: label.to_owned(),
        kind: kind.to_owned(),
        repository: 1,
        timeline: Some(1),
        started_at: at(started),
        ended_at: at(ended),
        stop_lsn: Some("4/3000100".to_owned()),
        unusable: None,
    }
}

pub(crate) fn gap(id: u64, opened: &str) -> GapReport {
    GapReport {
        id,
        state: "open",
        repositories: vec![1, 2],
        timeline: 1,
        first: "00000001000000040000000B".to_owned(),
        last: "00000001000000040000000F".to_owned(),
        segments: 5,
        class: "gone",
        cause: "instant-drop",
        opened_at: at(opened),
        closed_at: None,
        sealed_by: None,
        acknowledged: None,
        last_at: at(opened).map(|at| at + jiff::SignedDuration::from_mins(9)),
        s3_code: Some("NoSuchBucket".to_owned()),
        partial: false,
    }
}

pub(crate) fn healed(id: u64) -> GapReport {
    GapReport { state: "healed", closed_at: at("2026-11-23T20:00:00Z"), ..gap(id, "2026-11-23T19:00:00Z") }
}

pub(crate) fn sealed(id: u64) -> GapReport {
    GapReport {
        state: "sealed",
        closed_at: at("2026-11-23T16:20:00Z"),
        sealed_by: Some("20261123-160000F".to_owned()),
        ..gap(id, "2026-11-23T14:00:00Z")
    }
}

pub(crate) fn acknowledged(id: u64) -> GapReport {
    let word = Acknowledged { at: at("2026-11-23T21:00:00Z"), reason: "load test, nobody needs it".to_owned() };
    GapReport { acknowledged: Some(word), ..gap(id, "2026-11-23T19:00:00Z") }
}

pub(crate) fn failure(file: &str) -> Failure {
    Failure {
        at: at(NOW),
        file: file.to_owned(),
        class: "unknown",
        code: Some(1),
        s3_code: None,
        message: String::new(),
    }
}
