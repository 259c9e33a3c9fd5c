//! What a restore is to reach, as people type it.

use jiff::Timestamp;
use pgbackrest_guard::decide::restore::{Asked, Target, plan};
use pgbackrest_guard::decide::windows::{Archive, Backup, Commit, Lost, Switch};
use pgbackrest_guard::moment::parse_moment;
use pgbackrest_guard::wal::{Lsn, SegmentName, SegmentSize, Timeline, WalFile};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Timeline 1 from segment 2 to 40 without 20, timeline 2 from within 15 to 30; three backups, commits in 2026.
static ARCHIVE: LazyLock<[Archive; 1]> = LazyLock::new(|| {
    const BEGIN: i64 = 1_795_341_600;
    let size = SegmentSize::DEFAULT;
    let lsn = |number: u64| number * size.bytes();
    let backup = |(label, number, after): (&str, u64, i64)| {
        let start = SegmentName::from_number(Timeline(1), number, size).expect("a segment");
        let stop_lsn = Some(lsn(number) + 0x100);
        Backup { label: label.to_owned(), repository: 1, start, stop: start, stop_lsn, stop_at: BEGIN + after }
    };
    let commit = |(timeline, number, after)| Commit { timeline, lsn: lsn(number) + 0x1000, at: BEGIN + after };
    [Archive {
        size,
        backups: [("A", 2, 0), ("B", 10, 1_000), ("C", 25, 4_000)].map(backup).into(),
        lost: vec![Lost { timeline: 1, first: 20, last: 20 }],
        oldest: SegmentName::from_number(Timeline(1), 2, size),
        newest: BTreeMap::from([(1, 40), (2, 30)]),
        switches: BTreeMap::from([(2, Switch { parent: 1, lsn: lsn(15) + 0x500, at: None })]),
        commits: [(1, 19, 3_000), (1, 38, 5_000), (2, 29, 6_000)].map(commit).into(),
    }]
});

pub(super) fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(at) = parse_moment(&text) {
        let micros = at.as_microsecond();
        let (_, words) = Target::Time(micros).words();
        let again = words.as_deref().map(|words| parse_moment(words).map(Timestamp::as_microsecond));
        assert_eq!(again, Some(Ok(micros)), "{words:?}");
        reach(&Target::Time(micros));
    }
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse::<Lsn>().ok(), Some(lsn));
        reach(&Target::Lsn(lsn));
    }
    if let Ok(file) = text.parse::<WalFile>() {
        assert_eq!(file.to_string(), text, "a name is what it says");
    }
    if let Ok(xid) = text.parse::<u32>() {
        reach(&Target::Xid(u64::from(xid)));
    }
    reach(&Target::Name(text.into_owned()));
}

/// A target is planned for as it was asked, and noted as it is.
fn reach(target: &Target) {
    let noted = serde_json::to_vec(target).ok().and_then(|noted| serde_json::from_slice::<Target>(&noted).ok());
    assert_eq!(noted.as_ref(), Some(target));
    match plan(&*ARCHIVE, &[], &Asked { target: target.clone(), set: None, repository: None }) {
        Ok(plan) => {
            assert_eq!(plan.target, *target);
            assert!(plan.segments > 0 && ["A", "B", "C"].contains(&plan.backup.as_str()), "{plan:?}");
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}
