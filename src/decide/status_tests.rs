//! The verdict, for every kind of facts.

use super::*;

fn well() -> Facts {
    Facts {
        data_directory: true,
        switched_off: false,
        invalid_bucket: None,
        asked_for: true,
        setup_fails: None,
        server: ServerFacts::Answers { archives: None, always: false },
        standby: false,
        ledger: read(0, 0),
        unchecked: false,
        gap_marker: false,
        backlog: Some(0),
        waiting: None,
        threshold: 500 << 20,
        free: Some(9_000 << 20),
        reserve: 1_000 << 20,
        has_full: true,
        late_by: None,
        watched: true,
        no_backup_because: None,
        by_others: None,
        drill: None,
        catalog: CatalogFacts { interval: 3600, ..CatalogFacts::default() },
        owed: (0, Vec::new()),
        without_backup: Vec::new(),
        differing: (0, None),
        behind: Vec::new(),
        beside: Beside::default(),
    }
}

/// What lies beside this server's own WAL in the archive.
fn beside() -> Beside {
    let stranger = Stranger { timeline: 2, own: 1, repositories: vec![1] };
    let oldest = "000000010000000000000001".parse().unwrap();
    Beside { stranger: Some(stranger), overdue: vec![(1, oldest), (2, oldest)] }
}

fn inconclusive(seconds: u64, interval: u64) -> CatalogFacts {
    CatalogFacts { trouble: None, inconclusive_for: Some((seconds, "no answer".to_owned())), interval }
}

/// It answers, and does not archive.
fn off() -> Facts {
    Facts { server: ServerFacts::Answers { archives: Some(false), always: false }, ..well() }
}

#[test]
fn archiving_that_is_off_or_waits_has_its_verdict() {
    let table = [
        (Facts { server: ServerFacts::Refused("x".to_owned()), ..well() }, Verdict::Warning, 1),
        (off(), Verdict::Critical, 1),
        (Facts { asked_for: false, has_full: false, ledger: LedgerFacts::Missing, ..off() }, Verdict::Warning, 1),
        (Facts { asked_for: false, standby: true, ..off() }, Verdict::Ok, 1),
        (Facts { waiting: Some((1, 4)), ..well() }, Verdict::Ok, 0),
        (Facts { waiting: Some((1, 8)), ..well() }, Verdict::Ok, 1),
        (Facts { waiting: Some((2, 120)), ..well() }, Verdict::Warning, 1),
        (Facts { waiting: Some((2, 120)), standby: true, ..well() }, Verdict::Ok, 1),
    ];
    for (facts, verdict, reasons) in table {
        let judged = judge(&facts);
        assert_eq!((judged.0, judged.1.len()), (verdict, reasons), "{facts:?}: {:?}", judged.1);
    }
}

#[test]
fn what_keeps_setup_from_its_work_stands_in_the_reason() {
    let facts = Facts { setup_fails: Some("can't read /etc/x".to_owned()), ..off() };
    assert_eq!(judge(&facts).1, ["archiving is off though it is wanted: setup fails: can't read /etc/x"]);
    let waits = Facts { waiting: Some((1, 8)), ..well() };
    assert_eq!(judge(&waits).1, ["nothing is missing (1 WAL file waits to be archived, the oldest for 8 s)"]);
}

/// No push has run here, and no backup is on record.
fn fresh() -> Facts {
    Facts { ledger: LedgerFacts::Missing, has_full: false, ..well() }
}

fn read(open_gaps: u64, consecutive_failures: u64) -> LedgerFacts {
    LedgerFacts::Read {
        open_gaps,
        acknowledged_gaps: 0,
        missing_segments: open_gaps,
        first_missing: None,
        consecutive_failures,
        last_class: None,
        out: None,
    }
}

/// Repository 2 fails, and the others take what it lacks.
fn one_is_out(consecutive_failures: u64) -> LedgerFacts {
    LedgerFacts::Read {
        open_gaps: 0,
        acknowledged_gaps: 0,
        missing_segments: 0,
        first_missing: None,
        consecutive_failures,
        last_class: None,
        out: Some((vec![2], Class::Denied)),
    }
}

fn acknowledged() -> LedgerFacts {
    LedgerFacts::Read {
        open_gaps: 0,
        acknowledged_gaps: 1,
        missing_segments: 0,
        first_missing: None,
        consecutive_failures: 0,
        last_class: None,
        out: None,
    }
}

#[test]
fn each_trouble_has_its_verdict() {
    let table = vec![
        (well(), Verdict::Ok, 0),
        (Facts { server: ServerFacts::Down, ..well() }, Verdict::Ok, 1),
        (Facts { server: ServerFacts::Silent("it hangs".to_owned()), ..well() }, Verdict::Ok, 1),
        (Facts { server: ServerFacts::Answers { archives: Some(true), always: false }, ..well() }, Verdict::Ok, 0),
        (
            Facts { server: ServerFacts::Answers { archives: Some(false), always: false }, ..well() },
            Verdict::Critical,
            1,
        ),
        (Facts { server: ServerFacts::Answers { archives: Some(true), always: true }, ..well() }, Verdict::Warning, 1),
        (Facts { has_full: false, ..well() }, Verdict::Critical, 1),
        (Facts { has_full: false, watched: false, ..well() }, Verdict::Unknown, 1),
        (Facts { by_others: Some("x".to_owned()), ..well() }, Verdict::Ok, 1),
        (Facts { drill: Some("x".to_owned()), ..well() }, Verdict::Warning, 1),
        (Facts { by_others: Some("x".to_owned()), late_by: Some(60), ..well() }, Verdict::Warning, 1),
        (Facts { standby: true, ..well() }, Verdict::Ok, 1),
        (Facts { standby: true, late_by: Some(60), ..fresh() }, Verdict::Ok, 1),
        (Facts { standby: true, ledger: read(1, 0), ..fresh() }, Verdict::Critical, 2),
        (Facts { standby: true, unchecked: true, ledger: read(1, 3), ..fresh() }, Verdict::Ok, 2),
        (Facts { unchecked: true, gap_marker: true, ..well() }, Verdict::Unknown, 1),
        (Facts { unchecked: true, ledger: read(0, 3), ..well() }, Verdict::Warning, 2),
        (Facts { unchecked: true, ledger: read(1, 0), ..well() }, Verdict::Critical, 2),
        (Facts { ledger: acknowledged(), gap_marker: true, ..well() }, Verdict::Ok, 1),
        (Facts { catalog: inconclusive(7_200, 3_600), ..well() }, Verdict::Ok, 1),
        (Facts { catalog: inconclusive(7_201, 3_600), ..well() }, Verdict::Warning, 1),
        (Facts { catalog: inconclusive(7_201, 0), ..well() }, Verdict::Ok, 1),
        (
            Facts { catalog: CatalogFacts { trouble: Some("x".to_owned()), ..CatalogFacts::default() }, ..well() },
            Verdict::Unknown,
            1,
        ),
        (Facts { switched_off: true, has_full: false, ledger: LedgerFacts::Missing, ..well() }, Verdict::Ok, 1),
        (Facts { data_directory: false, ..well() }, Verdict::Unknown, 1),
        (Facts { ledger: LedgerFacts::Missing, ..well() }, Verdict::Unknown, 1),
        (Facts { ledger: LedgerFacts::Unreadable("x".to_owned()), ..well() }, Verdict::Unknown, 1),
        (Facts { ledger: read(0, 3), ..well() }, Verdict::Warning, 1),
        (Facts { ledger: one_is_out(3), ..well() }, Verdict::Warning, 1),
        (Facts { ledger: one_is_out(0), ..well() }, Verdict::Warning, 1),
        (Facts { owed: (3, vec![2]), ..well() }, Verdict::Warning, 1),
        (Facts { without_backup: vec![2], ..well() }, Verdict::Warning, 1),
        (Facts { behind: vec![2], ..well() }, Verdict::Warning, 1),
        (Facts { beside: beside(), ..well() }, Verdict::Warning, 3),
        (Facts { beside: beside(), standby: true, ..well() }, Verdict::Ok, 1),
        (Facts { beside: beside(), switched_off: true, ..well() }, Verdict::Ok, 1),
        (Facts { backlog: Some(251 << 20), ..well() }, Verdict::Warning, 1),
        (Facts { late_by: Some(60), ..well() }, Verdict::Warning, 1),
        (Facts { ledger: read(2, 0), ..well() }, Verdict::Critical, 1),
        (Facts { ledger: read(2, 0), differing: (1, None), ..well() }, Verdict::Critical, 2),
        (Facts { gap_marker: true, ..well() }, Verdict::Critical, 1),
        (Facts { gap_marker: true, ledger: LedgerFacts::Missing, ..well() }, Verdict::Critical, 1),
        (Facts { backlog: Some(500 << 20), ..well() }, Verdict::Critical, 1),
        (Facts { free: Some(0), ..well() }, Verdict::Critical, 1),
        (Facts { has_full: false, ..well() }, Verdict::Critical, 1),
        (Facts { invalid_bucket: Some("whitespace".to_owned()), ..well() }, Verdict::Critical, 1),
    ];
    for (facts, verdict, count) in table {
        let (judged, reasons) = judge(&facts);
        assert_eq!((judged, reasons.len()), (verdict, count), "{facts:?}: {reasons:?}");
    }
}

#[test]
fn what_is_well_is_said_before_side_issues() {
    let first = |facts: Facts| judge(&facts).1.into_iter().next().unwrap_or_default();
    let down = Facts { server: ServerFacts::Down, ..well() };
    assert_eq!(first(down.clone()), "nothing is missing (PostgreSQL is not running)");
    let by_others = Facts { by_others: Some("x".to_owned()), ..well() };
    assert_eq!(first(by_others), "nothing is missing (others take the backups: x)");
    for unknown in [
        Facts { switched_off: true, ..down.clone() },
        Facts { standby: true, ..down.clone() },
        Facts { ledger: acknowledged(), ..down.clone() },
        Facts { late_by: Some(1), ..down },
    ] {
        assert!(!first(unknown.clone()).contains("nothing is missing"), "{unknown:?}");
    }
}

#[test]
fn the_worst_reason_stands_first() {
    let facts = Facts { ledger: read(1, 2), server: ServerFacts::Down, late_by: Some(1), ..well() };
    let (verdict, reasons) = judge(&facts);
    assert_eq!((verdict, reasons.len()), (Verdict::Critical, 4));
    assert!(reasons[0].contains("missing") && reasons[3].contains("not running"), "{reasons:?}");
}
