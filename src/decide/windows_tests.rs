//! The windows against a model that asks for each position and backup by itself whether every segment is there.

use super::*;
use crate::wal::Timeline;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Positions are tried at each quarter of a segment.
const QUARTER: u64 = 1 << 18;

fn size() -> SegmentSize {
    SegmentSize::try_from(1 << 20).unwrap()
}

fn segment(timeline: u32, number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(timeline), number, size()).unwrap()
}

/// A backup that starts and stops at these quarters of a timeline.
fn backup(timeline: u32, start: u64, stop: u64) -> Backup {
    Backup {
        label: format!("{timeline}-{start}-{stop}"),
        repository: 1,
        start: segment(timeline, start / 4),
        stop: segment(timeline, stop / 4),
        stop_lsn: Some(stop * QUARTER),
        stop_at: i64::try_from(stop).unwrap(),
    }
}

fn archive(backups: &[Backup], newest: &[(u32, u64)]) -> Archive {
    Archive {
        size: size(),
        backups: backups.to_vec(),
        lost: Vec::new(),
        oldest: None,
        newest: newest.iter().copied().collect(),
        switches: BTreeMap::new(),
        commits: Vec::new(),
    }
}

/// Timeline, beginning and end in quarters, and the backup of each window.
fn shown(archive: &Archive) -> Vec<(u32, u64, u64, String)> {
    let of = |window: Window| (window.timeline, window.from / QUARTER, window.to / QUARTER, window.backup);
    archive.windows().into_iter().map(of).collect()
}

#[test]
fn a_loss_ends_a_window_and_the_next_backup_begins_one() {
    let mut archive = archive(&[backup(1, 4, 5), backup(1, 10, 11), backup(1, 30, 31)], &[(1, 9)]);
    archive.lost = vec![Lost { timeline: 1, first: 5, last: 6 }];
    let expected = [(1, 5, 20, "1-4-5".to_owned()), (1, 31, 40, "1-30-31".to_owned())];
    assert_eq!(shown(&archive), expected);
    archive.lost.push(Lost { timeline: 1, first: 1, last: 1 });
    assert_eq!(shown(&archive), [(1, 11, 20, "1-10-11".to_owned()), (1, 31, 40, "1-30-31".to_owned())]);
    archive.oldest = Some(segment(1, 3));
    assert_eq!(shown(&archive), [(1, 31, 40, "1-30-31".to_owned())]);
    archive.newest.clear();
    assert_eq!(shown(&archive), []);
}

#[test]
fn a_switch_of_the_timeline_continues_a_window() {
    let mut archive = archive(&[backup(1, 4, 5)], &[(1, 4), (2, 9)]);
    archive.switches.insert(2, Switch { parent: 1, lsn: 22 * QUARTER, at: Some(70) });
    let whole = [(1, 5, 22, "1-4-5".to_owned()), (2, 22, 40, "1-4-5".to_owned())];
    assert_eq!(shown(&archive), whole);
    assert_eq!(archive.windows()[1].from_at, Some(70));
    // Without the new timeline's copy of the segment in which it begins, that segment is not there.
    archive.lost = vec![Lost { timeline: 2, first: 5, last: 5 }];
    assert_eq!(shown(&archive), [(1, 5, 20, "1-4-5".to_owned())]);
    archive.lost = vec![Lost { timeline: 1, first: 3, last: 3 }];
    assert_eq!(shown(&archive), [(1, 5, 12, "1-4-5".to_owned())]);
    archive.lost.clear();
    archive.switches.clear();
    assert_eq!(shown(&archive), [(1, 5, 20, "1-4-5".to_owned())], "without its history it is another line");
}

#[test]
fn a_window_reaches_up_to_the_newest_commit_that_was_seen_in_it() {
    let mut archive = archive(&[backup(1, 4, 5)], &[(1, 9)]);
    let to_at = |archive: &Archive| archive.windows()[0].to_at;
    assert_eq!(to_at(&archive), None);
    let commit = |timeline, quarter: u64, at| Commit { timeline, lsn: quarter * QUARTER, at };
    archive.commits = vec![commit(1, 8, 60), commit(1, 7, 50), commit(1, 40, 90), commit(2, 8, 95), commit(1, 4, 99)];
    assert_eq!(to_at(&archive), Some(60));
    archive.commits = vec![commit(1, 8, 4)];
    assert_eq!(to_at(&archive), None, "a commit before the backup's end allows no target in the window");
}

#[test]
fn a_history_that_was_fetched_later_dates_no_beginning() {
    let mut archive = archive(&[backup(1, 4, 5)], &[(1, 4), (2, 9)]);
    archive.switches.insert(2, Switch { parent: 1, lsn: 22 * QUARTER, at: Some(70) });
    archive.commits = vec![Commit { timeline: 2, lsn: 30 * QUARTER, at: 60 }];
    let times = |archive: &Archive| archive.windows().iter().map(|one| (one.from_at, one.to_at)).collect::<Vec<_>>();
    assert_eq!(times(&archive), [(Some(6), None), (None, Some(60))]);
    archive.commits[0].at = 80;
    assert_eq!(times(&archive), [(Some(6), None), (Some(70), Some(80))]);
}

/// A world of three timelines of some twenty segments.
fn worlds() -> impl Strategy<Value = Archive> {
    let backups = vec((1..=3_u32, 0..70_u64, 0..12_u64), 0..5);
    let lost = vec((1..=3_u32, 0..20_u64, 0..3_u64), 0..6);
    let switches = btree_map(2..=3_u32, (1..=2_u32, 0..80_u64), 0..3);
    let oldest = prop::option::of((1..=2_u32, 0..8_u64));
    (backups, lost, btree_map(1..=3_u32, 0..20_u64, 0..4), switches, oldest).prop_map(
        |(backups, lost, newest, switches, oldest)| {
            // No backup begins before its timeline does.
            let begins = |line: &u32| switches.get(line).map_or(0, |(_, at)| *at);
            let backups = backups.into_iter().filter(|(line, start, _)| *start >= begins(line));
            Archive {
                backups: backups.map(|(line, start, length)| backup(line, start, start + length)).collect(),
                lost: lost
                    .into_iter()
                    .map(|(timeline, first, more)| Lost { timeline, first, last: first + more })
                    .collect(),
                switches: switches
                    .iter()
                    .map(|(child, (parent, at))| (*child, Switch { parent: *parent, lsn: at * QUARTER, at: None }))
                    .collect(),
                newest,
                oldest: oldest.map(|(timeline, number)| segment(timeline, number)),
                ..archive(&[], &[])
            }
        },
    )
}

/// Whether a segment is in the archive.
fn is_there(world: &Archive, timeline: u32, number: u64) -> bool {
    let lost = world.lost.iter().any(|lost| lost.timeline == timeline && (lost.first..=lost.last).contains(&number));
    let kept = world.oldest.is_none_or(|oldest| segment(timeline, number) >= oldest);
    kept && !lost && world.newest.get(&timeline).is_some_and(|newest| number <= *newest)
}

/// Whether a recovery from `backup` that ends on `leaf` comes to this byte of `timeline`.
fn reaches(world: &Archive, backup: &Backup, leaf: u32, timeline: u32, byte: u64) -> bool {
    let (own, stop) = (backup.start.timeline().0, backup.stop_lsn.unwrap());
    // The newest timeline first: each with where it begins and where the next one takes over.
    let mut line = vec![(leaf, 0, u64::MAX)];
    while line.last().unwrap().0 != own {
        let newer = line.last_mut().unwrap();
        let Some(switch) = world.switches.get(&newer.0) else { return false };
        if switch.parent >= newer.0 || switch.lsn > newer.2 {
            return false;
        }
        newer.1 = switch.lsn;
        line.push((switch.parent, 0, switch.lsn));
    }
    let holds = line.iter().any(|(one, begins, ends)| *one == timeline && (*begins..*ends).contains(&byte));
    let behind_the_stop = timeline != own || byte >= stop;
    let first = backup.start.number(size());
    let last = (byte / size().bytes()).max(backup.stop.number(size()));
    let all = (first..=last).all(|number| {
        let reader = line.iter().find(|(_, begins, _)| begins / size().bytes() <= number);
        is_there(world, reader.unwrap().0, number)
    });
    holds && behind_the_stop && stop <= line.last().unwrap().2 && all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_byte_is_in_a_window_exactly_if_some_recovery_reaches_it(world in worlds()) {
        let windows = world.windows();
        let leaves = [1, 2, 3];
        for timeline in 1..=3 {
            for byte in (0..96).map(|at| at * QUARTER + 1) {
                let by = |backup: &Backup| leaves.iter().any(|leaf| reaches(&world, backup, *leaf, timeline, byte));
                let expected = world.backups.iter().any(by);
                let of = |window: &&Window| window.timeline == timeline && (window.from..window.to).contains(&byte);
                let found: Vec<&Window> = windows.iter().filter(of).collect();
                prop_assert_eq!(!found.is_empty(), expected, "timeline {} at {}: {:?}", timeline, byte / QUARTER, windows);
                prop_assert!(found.len() < 2, "windows lie apart: {:?}", windows);
                let named = found.iter().all(|window| world.backups.iter().any(|backup| backup.label == window.backup && by(backup)));
                prop_assert!(named, "the backup that is named is enough: {:?}", windows);
            }
        }
    }
}
