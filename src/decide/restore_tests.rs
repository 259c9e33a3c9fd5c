//! Ways out of an archive with two timelines, a hole and three backups, and every refusal.

use super::*;
use crate::decide::windows::{Commit, Lost, Switch};
use crate::wal::SegmentSize;
use std::collections::BTreeMap;
use std::time::Instant;

const MIB: u64 = 1 << 20;

fn segment(timeline: u32, number: u64) -> SegmentName {
    SegmentName::from_number(crate::wal::Timeline(timeline), number, size()).unwrap()
}

fn size() -> SegmentSize {
    SegmentSize::try_from(16 * MIB).unwrap()
}

fn lsn(number: u64) -> u64 {
    number * size().bytes()
}

fn backup(label: &str, repository: u32, start: SegmentName, stop_at: i64) -> Backup {
    let stop_lsn = Some(lsn(start.number(size())) + 0x100);
    Backup { label: label.to_owned(), repository, start, stop: start, stop_lsn, stop_at }
}

fn commit(timeline: u32, number: u64, at: i64) -> Commit {
    Commit { timeline, lsn: lsn(number) + 0x1000, at }
}

/// Timeline 1 from segment 2 to 40 with segment 20 lost, timeline 2 from within segment 15 to 30. A and B lie before the hole, C
/// behind it; D is of timeline 2.
fn archive(repository: u32) -> Archive {
    Archive {
        size: size(),
        backups: vec![
            backup("A", repository, segment(1, 2), 1_000),
            backup("B", repository, segment(1, 10), 2_000),
            backup("C", repository, segment(1, 25), 4_000),
        ],
        lost: vec![Lost { timeline: 1, first: 20, last: 20 }],
        oldest: Some(segment(1, 2)),
        newest: BTreeMap::from([(1, 40)]),
        switches: BTreeMap::new(),
        commits: vec![commit(1, 19, 3_000), commit(1, 38, 5_000)],
    }
}

fn with_timeline_two(repository: u32) -> Archive {
    let mut archive = archive(repository);
    archive.newest.insert(2, 30);
    archive.switches.insert(2, Switch { parent: 1, lsn: lsn(15) + 0x500, at: None });
    archive.commits.push(commit(2, 29, 6_000));
    archive
}

fn asked(target: Target) -> Asked {
    Asked { target, set: None, repository: None }
}

fn time(seconds: i64) -> Target {
    Target::Time(seconds * 1_000_000)
}

fn way(archives: &[Archive], asked: &Asked) -> (String, u32, u32, u64) {
    let plan = plan(archives, &[], asked).unwrap_or_else(|refusal| panic!("{refusal}"));
    (plan.backup, plan.repository, plan.timeline, plan.segments)
}

#[test]
fn every_kind_of_target_has_its_backup() {
    let archives = [archive(1)];
    let named = |label: &str, segments| (label.to_owned(), 1, 1, segments);
    for (target, expected) in [
        (time(1_001), named("A", 18)),
        (time(2_000), named("A", 18)),
        (time(2_001), named("B", 10)),
        (time(3_000), named("B", 10)),
        (time(4_500), named("C", 16)),
        (Target::Lsn(Lsn(lsn(2) + 0x100)), named("A", 1)),
        (Target::Lsn(Lsn(lsn(10))), named("A", 9)),
        (Target::Lsn(Lsn(lsn(19) + 5)), named("B", 10)),
        (Target::Lsn(Lsn(lsn(30))), named("C", 6)),
        (Target::Latest, named("C", 16)),
        (Target::Immediate, named("C", 1)),
        (Target::Xid(700), named("C", 16)),
        (Target::Name("before".to_owned()), named("C", 16)),
    ] {
        assert_eq!(way(&archives, &asked(target.clone())), expected, "{target:?}");
    }
}

#[test]
fn the_timeline_is_the_one_whose_line_holds_the_moment() {
    let archives = [with_timeline_two(1)];
    let timeline = |target| way(&archives, &asked(target)).2;
    assert_eq!(timeline(time(5_500)), 2);
    assert_eq!(timeline(Target::Latest), 2);
    assert_eq!(timeline(Target::Lsn(Lsn(lsn(35)))), 1, "only timeline 1 reaches there");
    assert_eq!(timeline(Target::Lsn(Lsn(lsn(16)))), 2, "both do; the newer one counts");
    assert_eq!(way(&archives, &asked(Target::Latest)).0, "B", "the newest backup before timeline 2 begins");
}

#[test]
fn a_backup_and_a_repository_that_are_named_are_used() {
    let mut second = archive(2);
    second.newest.insert(1, 39);
    let archives = [archive(1), second];
    let of = |set: Option<&str>, repository| Asked { set: set.map(str::to_owned), repository, ..asked(Target::Latest) };
    assert_eq!(way(&archives, &of(None, None)), ("C".to_owned(), 1, 1, 16));
    assert_eq!(way(&archives, &of(None, Some(2))), ("C".to_owned(), 2, 1, 15));
    assert_eq!(way(&archives, &of(Some("A"), None)), ("A".to_owned(), 1, 1, 18));
    assert_eq!(plan(&archives, &[], &of(None, Some(3))), Err(Refusal::NoBackup));
    let unknown = plan(&archives, &[], &of(Some("X"), Some(1))).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no backup X; there are: A, B, C");
    let late = Asked { set: Some("C".to_owned()), ..asked(time(3_000)) };
    assert!(plan(&archives, &[], &late).unwrap_err().to_string().contains("older than every usable backup"));
}

#[test]
fn a_refusal_names_the_nearest_moments() {
    let archives = [archive(1)];
    let said = |target| plan(&archives, &[], &asked(target)).unwrap_err().to_string();
    assert_eq!(
        said(time(3_500)),
        "1970-01-01T00:58:20Z can't be restored: WAL of that time is missing; the nearest moment before it: \
         1970-01-01T00:50:00Z (backup A), after it: 1970-01-01T01:06:41Z (backup C)"
    );
    assert!(said(time(10)).contains("older than every usable backup; the nearest moment before it: none"));
    assert!(said(time(9_000)).contains("no commit after it is known to be archived yet"));
    assert!(said(Target::Lsn(Lsn(lsn(22)))).contains("before it: 0/13FFFFFF, after it: 0/19000100"));
    assert!(said(Target::Lsn(Lsn(5))).contains("before it: none, after it: 0/2000100"));
    assert_eq!(plan(&[], &[], &asked(Target::Latest)), Err(Refusal::NoBackup));
    for (number, why) in
        [(1, "older than every usable backup"), (22, "WAL is missing before it"), (99, "WAL ends before it")]
    {
        assert!(said(Target::Lsn(Lsn(lsn(number)))).contains(why), "{number}: {}", said(Target::Lsn(Lsn(lsn(number)))));
    }
}

#[test]
fn a_backup_without_its_wal_is_none() {
    let mut archive = archive(1);
    archive.lost.push(Lost { timeline: 1, first: 25, last: 25 });
    assert_eq!(way(&[archive.clone()], &asked(Target::Immediate)).0, "B");
    let named = Asked { set: Some("C".to_owned()), ..asked(Target::Immediate) };
    assert_eq!(plan(&[archive], &[], &named), Err(Refusal::Incomplete("C".to_owned())));
}

#[test]
fn what_may_be_there_is_tried_and_not_called_proved() {
    let mut archive = archive(1);
    archive.commits.clear();
    let stored = |number, at| Stored { repository: 1, timeline: 1, lsn: lsn(number), at };
    let stored = [stored(19, 3_010), stored(40, 5_020)];
    let at = |seconds| plan(&[archive.clone()], &stored, &asked(time(seconds)));
    let proved = |seconds| at(seconds).map(|plan| plan.proved);
    assert_eq!([1_500, 3_010, 5_020].map(proved), [Ok(false), Ok(false), Ok(false)]);
    assert!(matches!(at(3_011), Err(Refusal::Moment { why: Why::Missing, .. })));
    assert!(matches!(at(5_021), Err(Refusal::Moment { why: Why::NotArchived, .. })));
    archive.commits = vec![commit(1, 38, 5_000)];
    let plan = plan(&[archive.clone()], &stored, &asked(time(4_500))).unwrap();
    assert!(plan.proved && plan.backup == "C");
}

#[test]
fn an_end_before_a_hole_is_told() {
    let mut archive = archive(1);
    let hole = |archive: &Archive| plan(std::slice::from_ref(archive), &[], &asked(Target::Latest)).unwrap().hole;
    assert!(!hole(&archive));
    archive.backups.pop();
    assert!(hole(&archive), "nothing behind the hole can be restored");
}

/// Timeline 2 begins where the last segment of timeline 1 is missing, and nothing of timeline 1 lies behind that.
#[test]
fn a_hole_before_a_switch_is_told_too() {
    let mut archive = with_timeline_two(1);
    archive.backups.pop();
    let plan_of = |archive: &Archive, asked: &Asked| plan(std::slice::from_ref(archive), &[], asked).unwrap();
    let hole = |archive: &Archive| {
        let plan = plan_of(archive, &asked(Target::Latest));
        (plan.timeline, plan.hole)
    };
    assert_eq!(hole(&archive), (2, false));
    archive.newest.insert(1, 13);
    archive.lost = vec![Lost { timeline: 1, first: 14, last: 14 }];
    assert_eq!(hole(&archive), (1, true));
    let named = Asked { set: Some("A".to_owned()), ..asked(Target::Latest) };
    assert!(!plan_of(&archive, &named).hole, "it ends where its timeline does");
}

#[test]
fn a_large_archive_is_planned_at_once() {
    let backups = (0..100)
        .map(|n| backup(&format!("B{n:03}"), 1, segment(1, 2 + n * 10_000), 1_000 + i64::try_from(n).unwrap() * 1_000));
    let archive = Archive {
        backups: backups.collect(),
        lost: (0..99).map(|n| Lost { timeline: 1, first: 5_000 + n * 10_000, last: 5_000 + n * 10_000 }).collect(),
        newest: BTreeMap::from([(1, 1_000_000)]),
        commits: (0..500).map(|n| commit(1, 2_001 * n, 1_000 + i64::try_from(n).unwrap() * 200)).collect(),
        ..archive(1)
    };
    let began = Instant::now();
    let plan = plan(&[archive], &[], &asked(Target::Latest)).unwrap();
    assert_eq!(plan.backup, "B099");
    // 100 ms is the aim in a release build; a busy machine and a debug build are given room.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

/// R10: another timeline, a position before the target, a commit behind it.
#[test]
fn what_was_reached_is_held_against_what_was_asked_for() {
    let absent = Some(Lsn(600));
    let outcome = Outcome { timeline: 2, position: Lsn(500), last_commit: Some(5_000_000), absent };
    let wrong = |target: &Target, timeline, last| contradiction(target, timeline, Lsn(last), &outcome).is_some();
    assert!(!wrong(&time(5), 2, 0) && wrong(&time(4), 2, 0) && wrong(&time(5), 1, 0));
    assert!(!wrong(&Target::Lsn(Lsn(500)), 2, 0) && wrong(&Target::Lsn(Lsn(501)), 2, 0));
    assert!(
        !wrong(&Target::Latest, 2, 599) && wrong(&Target::Latest, 2, 600),
        "by what was asked for, not by the position"
    );
    assert!(!wrong(&Target::Immediate, 2, 9_000) && wrong(&Target::Immediate, 3, 0));
    let nothing = Outcome { last_commit: None, ..outcome.clone() };
    assert_eq!(contradiction(&time(4), 2, Lsn(0), &nothing), None, "no commit was replayed at all");
}

#[test]
fn a_replay_that_ends_before_what_was_listed_is_told_why() {
    let why = |absent: Option<u64>| short(Lsn(0x300_0000), absent.map(Lsn)).unwrap_or_default();
    assert_eq!(why(Some(0x400_0000)), "");
    assert_eq!(why(Some(0x300_0000)), "the segment at 0/3000000 was listed, but is missing from the archive");
    assert!(why(None).starts_with("a segment at or before 0/3000000 is damaged"));
}
