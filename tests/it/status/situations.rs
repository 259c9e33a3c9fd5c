//! The table of situations: a report for each.

use super::reports::{FULL, MIB, NOW, acknowledged, at, backup, failure, gap, healed, sealed, well, window};
use pgbackrest_guard::status::report::*;
use pgbackrest_guard::verdict::Verdict;

/// `well`, changed, with a verdict and its reasons.
fn but(verdict: Verdict, reasons: &[&str], change: impl FnOnce(&mut Report)) -> Report {
    let mut report = well();
    report.verdict = verdict;
    report.reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    change(&mut report);
    report
}

/// Every situation by its name.
pub(crate) fn situations() -> Vec<(&'static str, Report)> {
    let mut all = vec![("well", well())];
    all.extend(unknowns());
    all.extend(losses());
    all.extend(closed_and_known());
    all.extend(troubles());
    all.extend(about_backups());
    all.extend(switched());
    all.extend(odd_ones());
    all
}

fn unknowns() -> Vec<(&'static str, Report)> {
    let unknown = |reason: &str| Report { reasons: vec![reason.to_owned()], ..Report::unknown() };
    vec![
        ("no data directory", unknown("the data directory is missing or can't be read")),
        (
            "no ledger yet",
            but(Verdict::Unknown, &["there is no ledger: no push has run here yet"], |report| {
                report.gaps = None;
                report.push = Push::default();
                report.archiving.enabled = None;
                report.extra.estimate = None;
            }),
        ),
        (
            "ledger unreadable",
            but(Verdict::Unknown, &["losses are unknown: the ledger is damaged"], |report| {
                report.gaps = None;
                report.push = Push::default();
            }),
        ),
        (
            "repository not asked",
            but(Verdict::Ok, &[], |report| {
                report.windows = None;
                report.extra.backups = None;
                report.catalog = Catalog::default();
            }),
        ),
        (
            "server down",
            but(Verdict::Ok, &["nothing is missing (PostgreSQL is not running)"], |report| {
                report.extra.server_answers = Some(false);
                (report.archiving.archived_count, report.archiving.failed_count) = (None, None);
            }),
        ),
        (
            "nothing measured",
            but(Verdict::Warning, &["the backlog can't be measured"], |report| {
                report.archiving = Archiving::default();
                report.backups = Backups::default();
                report.cluster = Cluster::default();
                report.extra.made_at = None;
                report.extra.server_answers = None;
            }),
        ),
    ]
}

fn losses() -> Vec<(&'static str, Report)> {
    let missing = "5 WAL segments are missing in 1 open gap, the first is 00000001000000040000000B";
    vec![
        (
            "open gap",
            but(Verdict::Critical, &[missing], |report| {
                report.gaps = Some(vec![gap(1, "2026-11-24T05:00:00Z")]);
                report.windows = Some(vec![window(1, "2026-11-23T01:12:00Z", "2026-11-24T05:00:00Z", FULL)]);
            }),
        ),
        (
            "great gap, failing",
            but(
                Verdict::Critical,
                &["101526 WAL segments are missing in 1 open gap", "archiving is failing: 3 failed pushes"],
                |report| {
                    let last = "0000000100000190000000A0".to_owned();
                    report.gaps = Some(vec![GapReport { last, segments: 101_526, ..gap(7, "2026-11-24T02:00:00Z") }]);
                    report.windows = Some(vec![window(1, "2026-11-23T01:12:00Z", "2026-11-24T02:00:00Z", FULL)]);
                    report.push = Push {
                        failed_count: Some(101_530),
                        consecutive_failures: Some(3),
                        dropped_count: Some(101_526),
                        overflowed_count: Some(12),
                        last_failure: Some(Failure {
                            at: at("2026-11-24T07:59:58Z"),
                            file: "0000000100000190000000A1".to_owned(),
                            class: "denied",
                            code: Some(103),
                            s3_code: Some("AccessDenied".to_owned()),
                            message: "unable to find a valid repository: repo1: [ProtocolError] HTTP request failed \
                                      with 403 (Forbidden): PUT /wal/a <?xml version=\"1.0\"?> <Error><Code>AccessDenied\
                                      </Code><Message>Access Denied.</Message><RequestId>44</RequestId></Error>"
                                .to_owned(),
                        }),
                    };
                },
            ),
        ),
    ]
}

fn closed_and_known() -> Vec<(&'static str, Report)> {
    let missing = "5 WAL segments are missing in 1 open gap, the first is 00000001000000040000000B";
    vec![
        (
            "acknowledged gap",
            but(Verdict::Ok, &["1 open gap is acknowledged"], |report| {
                report.gaps = Some(vec![acknowledged(3)]);
            }),
        ),
        (
            "hole between windows",
            but(Verdict::Ok, &[], |report| {
                report.gaps = Some(vec![sealed(1), healed(2)]);
                report.windows = Some(vec![
                    window(1, "2026-11-23T01:12:00Z", "2026-11-23T14:00:00Z", FULL),
                    window(1, "2026-11-23T16:20:00Z", "2026-11-24T07:58:41Z", "20261123-160000F"),
                ]);
            }),
        ),
        (
            "every kind of gap",
            but(Verdict::Critical, &[missing], |report| {
                let word = Acknowledged { at: None, reason: "known".to_owned() };
                let known = GapReport { acknowledged: Some(word), ..sealed(4) };
                let bare = GapReport { opened_at: None, last_at: None, s3_code: None, ..gap(5, NOW) };
                report.gaps = Some(vec![healed(1), sealed(2), acknowledged(3), known, bare]);
            }),
        ),
        (
            "partial lost on the old timeline",
            but(Verdict::Critical, &[missing], |report| {
                let lost = gap(1, "2026-11-24T03:00:00Z");
                report.gaps = Some(vec![GapReport { partial: true, segments: 1, last: lost.first.clone(), ..lost }]);
                report.cluster.timeline = Some(2);
                let (old, new) = ("2026-11-24T03:00:00Z", "2026-11-24T07:58:41Z");
                report.windows = Some(vec![window(1, "2026-11-23T01:12:00Z", old, FULL), window(2, old, new, FULL)]);
            }),
        ),
    ]
}

fn troubles() -> Vec<(&'static str, Report)> {
    vec![
        (
            "failing now",
            but(Verdict::Warning, &["archiving is failing: 4 failed pushes"], |report| {
                report.push.failed_count = Some(19);
                report.push.consecutive_failures = Some(4);
                report.push.last_failure = Some(Failure {
                    at: None,
                    file: "00000001000000040000002B".to_owned(),
                    class: "unavailable",
                    code: None,
                    s3_code: None,
                    message: String::new(),
                });
            }),
        ),
        (
            "backlog over half",
            but(Verdict::Warning, &["the backlog is over half of the threshold"], |report| {
                report.archiving.backlog_bytes = Some(320 * MIB);
                report.archiving.backlog_segments = Some(20);
            }),
        ),
        (
            "backlog at the threshold",
            but(Verdict::Critical, &["the backlog has reached the threshold"], |report| {
                report.archiving.backlog_bytes = Some(640 * MIB);
                report.archiving.backlog_segments = Some(40);
            }),
        ),
        (
            "disk short",
            but(Verdict::Critical, &["300 MiB are free, less than the reserve"], |report| {
                report.archiving.free_bytes = Some(300 * MIB);
            }),
        ),
    ]
}

fn about_backups() -> Vec<(&'static str, Report)> {
    vec![
        (
            "no full backup",
            but(Verdict::Critical, &["no full backup is on record"], |report| {
                report.backups = Backups::default();
                report.windows = Some(Vec::new());
                report.extra.backups = Some(Vec::new());
                report.catalog.state = "absent";
            }),
        ),
        (
            "backup overdue",
            but(Verdict::Warning, &["a backup is overdue by 190 minutes"], |report| {
                report.backups.next_due_at = at("2026-11-24T04:50:00Z");
            }),
        ),
        ("backup runs", but(Verdict::Ok, &[], |report| report.backups.running = true)),
        (
            "catalog inconclusive",
            but(Verdict::Warning, &["the catalog is inconclusive for 3 hours"], |report| {
                let detail = Some("repo1: [FileOpenError] 403".to_owned());
                report.catalog = Catalog { state: "inconclusive", checked_at: None, detail };
                report.windows = None;
                report.extra.backups = None;
            }),
        ),
    ]
}

fn switched() -> Vec<(&'static str, Report)> {
    vec![
        (
            "archiving off",
            but(Verdict::Ok, &["archiving is switched off"], |report| {
                report.archiving.enabled = Some(false);
            }),
        ),
        (
            "bucket refused",
            but(Verdict::Critical, &["archiving is off though it is wanted"], |report| {
                report.archiving.enabled = Some(false);
                report.archiving.invalid_bucket = Some("whitespace".to_owned());
            }),
        ),
        (
            "standby",
            but(Verdict::Ok, &["this server is a standby"], |report| {
                report.cluster.in_recovery = Some(true);
                report.backups = Backups::default();
                report.archiving.last_archived_wal = None;
                report.archiving.last_archived_at = None;
            }),
        ),
    ]
}

fn odd_ones() -> Vec<(&'static str, Report)> {
    let hostile = "a | free=0B;;;\n\"<script>alert('x')</script>\" & \u{1b}[31mred\u{0} \u{2028} {label=\"x\"} é 漢";
    vec![
        (
            "end not known",
            but(Verdict::Ok, &[], |report| {
                report.gaps = Some(vec![sealed(1)]);
                let first = Window { to: None, ..window(1, "2026-11-23T01:12:00Z", NOW, FULL) };
                let second = window(1, "2026-11-23T16:20:00Z", "2026-11-24T07:58:41Z", "20261123-160000F");
                report.windows = Some(vec![first, second]);
            }),
        ),
        ("threshold of nothing", but(Verdict::Ok, &[], |report| report.archiving.threshold_bytes = Some(0))),
        (
            "positions without times",
            but(Verdict::Ok, &[], |report| {
                let bare = Window { from: None, to: None, ..window(1, NOW, NOW, FULL) };
                report.windows = Some(vec![Window { from_lsn: None, to_lsn: None, ..bare }]);
                report.extra.backups = None;
            }),
        ),
        (
            "backups of no use",
            but(Verdict::Ok, &[], |report| {
                let mut broken = backup("20261122-010000F", "full", NOW, NOW);
                broken.unusable = Some("pages are damaged");
                let bare = BackupReport { timeline: None, started_at: None, ended_at: None, ..broken.clone() };
                report.extra.backups = Some(vec![broken, bare]);
            }),
        ),
        (
            "hostile texts",
            but(Verdict::Critical, &[hostile, hostile], |report| {
                report.cluster.pgdata = Some(hostile.to_owned());
                report.archiving.invalid_bucket = Some(hostile.to_owned());
                report.catalog.detail = Some(hostile.to_owned());
                report.extra.backups = None;
                let word = Acknowledged { at: at(NOW), reason: hostile.to_owned() };
                report.gaps = Some(vec![GapReport { acknowledged: Some(word), ..gap(1, NOW) }]);
                let failure =
                    Failure { message: hostile.to_owned(), s3_code: Some(hostile.to_owned()), ..failure(hostile) };
                report.push.last_failure = Some(failure);
            }),
        ),
    ]
}
