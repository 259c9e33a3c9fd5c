//! Gap arithmetic: examples, and a property test against a model that keeps every segment by itself.

use super::*;
use crate::wal::Timeline;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn segment(timeline: u32, number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(timeline), number, SIZE).unwrap()
}

fn loss(timeline: u32, number: u64) -> Loss {
    Loss {
        segment: segment(timeline, number),
        partial: false,
        class: Class::Gone,
        cause: Cause::InstantDrop,
        s3_code: Some("NoSuchBucket".to_owned()),
        at: 1_000 + i64::try_from(number).unwrap(),
    }
}

fn ranges(gaps: &Gaps, state: GapState) -> Vec<(u64, u64)> {
    let of_state = gaps.iter().filter(|gap| gap.state == state);
    let mut ranges: Vec<_> = of_state.map(|gap| (gap.first.number(SIZE), gap.last.number(SIZE))).collect();
    ranges.sort_unstable();
    ranges
}

fn lost(numbers: impl IntoIterator<Item = u64>) -> Gaps {
    let mut gaps = Gaps::default();
    for number in numbers {
        gaps.record(&loss(1, number), SIZE);
    }
    gaps
}

#[test]
fn consecutive_losses_are_one_gap_across_the_end_of_a_log() {
    assert_eq!(ranges(&lost(250..270), GapState::Open), [(250, 269)]);
}

#[test]
fn a_loss_between_two_gaps_joins_them() {
    assert_eq!(ranges(&lost([1, 2, 4, 5]), GapState::Open), [(1, 2), (4, 5)]);
    assert_eq!(ranges(&lost([1, 2, 4, 5, 3]), GapState::Open), [(1, 5)]);
}

#[test]
fn a_loss_that_is_on_record_changes_nothing() {
    let mut gaps = lost(1..4);
    let before = gaps.clone();
    assert!(!gaps.record(&loss(1, 2), SIZE));
    assert_eq!(gaps, before);
}

#[test]
fn timelines_causes_and_partials_stay_apart() {
    let mut gaps = lost([1]);
    gaps.record(&loss(2, 2), SIZE);
    gaps.record(&Loss { cause: Cause::DropThreshold, ..loss(1, 2) }, SIZE);
    gaps.record(&Loss { partial: true, ..loss(1, 3) }, SIZE);
    gaps.record(&Loss { partial: true, ..loss(1, 1) }, SIZE);
    assert_eq!(gaps.iter().count(), 5);
}

#[test]
fn healing_in_the_middle_splits_a_gap_and_healing_all_of_it_keeps_its_id() {
    let mut gaps = lost(10..15);
    assert!(gaps.heal(&WalFile::Segment(segment(1, 12)), 5, SIZE));
    assert_eq!(ranges(&gaps, GapState::Open), [(10, 11), (13, 14)]);
    assert_eq!(ranges(&gaps, GapState::Healed), [(12, 12)]);
    assert!(!gaps.heal(&WalFile::Segment(segment(1, 12)), 5, SIZE));
    for number in [10, 11, 13, 14] {
        assert!(gaps.heal(&WalFile::Segment(segment(1, number)), 6, SIZE));
    }
    assert_eq!(ranges(&gaps, GapState::Healed), [(10, 14)]);
    assert!(!gaps.any_open());
    assert_eq!(gaps.iter().next().map(|gap| (gap.id, gap.closed_at)), Some((1, Some(6))));
}

fn backup(timeline: u32, lsn: u64) -> BackupStart {
    BackupStart { label: "20261122-100000F".to_owned(), timeline: Timeline(timeline), lsn }
}

#[test]
fn a_backup_seals_what_ended_before_it_and_nothing_else() {
    let mut gaps = lost([1, 2, 5, 6, 7, 9]);
    gaps.record(&Loss { at: 5_000, ..loss(1, 3) }, SIZE);
    // It begins inside segment 7, long after the first losses, but before the newest.
    let seal = |gaps: &mut Gaps, lsn, at| gaps.seal(&backup(1, lsn), LossesBefore::StartedAt(at), 6_000, SIZE);
    assert_eq!(seal(&mut gaps, 7 * SIZE.bytes() + 40, 4_000), 0);
    assert_eq!(seal(&mut gaps, 8 * SIZE.bytes() + 40, 4_000), 1);
    assert_eq!(ranges(&gaps, GapState::Open), [(1, 3), (9, 9)]);
    assert_eq!(ranges(&gaps, GapState::Sealed), [(5, 7)]);
    assert_eq!(seal(&mut gaps, u64::MAX, 5_001), 2);
    assert!(!gaps.any_open());
}

#[test]
fn what_was_on_record_when_a_backup_began_is_older_than_it_whatever_the_clock_says() {
    let mut gaps = lost([1, 2]);
    gaps.record(&Loss { at: i64::MAX, ..loss(1, 5) }, SIZE);
    let known = gaps.clone();
    gaps.record(&Loss { at: 0, ..loss(1, 6) }, SIZE);
    gaps.record(&Loss { at: 0, ..loss(1, 9) }, SIZE);
    // The gap that grew meanwhile stays, like the new one: which part is newer is not told.
    assert_eq!(gaps.seal(&backup(1, u64::MAX), LossesBefore::OnRecord(&known), 6_000, SIZE), 1);
    assert_eq!(ranges(&gaps, GapState::Open), [(5, 6), (9, 9)]);
    let known = gaps.clone();
    assert_eq!(gaps.seal(&backup(1, u64::MAX), LossesBefore::OnRecord(&known), 6_000, SIZE), 2);
}

#[test]
fn a_timeline_that_was_left_is_needed_by_no_backup_on_a_later_one() {
    let mut gaps = lost([1, 2]);
    gaps.record(&loss(2, 3), SIZE);
    gaps.record(&loss(3, 1), SIZE);
    let known = gaps.clone();
    assert_eq!(gaps.seal(&backup(2, SIZE.bytes()), LossesBefore::OnRecord(&known), 6_000, SIZE), 1);
    assert_eq!(ranges(&gaps, GapState::Open), [(1, 1), (3, 3)]);
}

#[test]
fn what_was_found_missing_counts_by_its_place() {
    let mut gaps = Gaps::default();
    gaps.record(&Loss { cause: Cause::FoundMissing, at: 9_000, ..loss(1, 4) }, SIZE);
    assert_eq!(gaps.seal(&backup(1, 4 * SIZE.bytes()), LossesBefore::StartedAt(10), 6_000, SIZE), 0);
    assert_eq!(gaps.seal(&backup(1, 5 * SIZE.bytes()), LossesBefore::StartedAt(10), 6_000, SIZE), 1);
}

#[test]
fn a_hundred_thousand_losses_are_one_line() {
    let gaps = lost(0..100_000);
    assert_eq!(ranges(&gaps, GapState::Open), [(0, 99_999)]);
}

#[test]
fn too_many_open_gaps_are_merged_and_none_is_forgotten() {
    let numbers: Vec<u64> = (0..2_000).map(|at| at * 3).collect();
    let gaps = lost(numbers.iter().copied());
    let kept = ranges(&gaps, GapState::Open);
    assert!(kept.len() <= OPEN_KEPT);
    for number in numbers {
        assert!(kept.iter().any(|(first, last)| (*first..=*last).contains(&number)), "{number}");
    }
}

#[test]
fn only_the_newest_closed_gaps_are_kept() {
    let mut gaps = Gaps::default();
    for at in 0..1_200_u64 {
        gaps.record(&loss(1, at * 2), SIZE);
        gaps.heal(&WalFile::Segment(segment(1, at * 2)), i64::try_from(at).unwrap(), SIZE);
    }
    let healed = ranges(&gaps, GapState::Healed);
    assert_eq!(healed.len(), CLOSED_KEPT);
    assert_eq!(healed.first(), Some(&(400, 400)));
}

#[derive(Debug, Clone)]
enum Step {
    Lose(u64),
    Heal(u64),
}

proptest! {
    #[test]
    fn ranges_say_the_same_as_a_set_of_segments(
        steps in prop::collection::vec(
            prop_oneof![3 => (240_u64..300).prop_map(Step::Lose), 1 => (240_u64..300).prop_map(Step::Heal)],
            0..120,
        )
    ) {
        let mut gaps = Gaps::default();
        let mut open = BTreeSet::new();
        for step in steps {
            match step {
                Step::Lose(number) => prop_assert_eq!(gaps.record(&loss(1, number), SIZE), open.insert(number)),
                Step::Heal(number) => {
                    let file = WalFile::Segment(segment(1, number));
                    prop_assert_eq!(gaps.heal(&file, 9, SIZE), open.remove(&number));
                }
            }
        }
        let ranges = ranges(&gaps, GapState::Open);
        let spelt: BTreeSet<u64> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
        prop_assert_eq!(spelt, open);
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].1 + 1 < pair[1].0, "{:?} should be one", pair);
        }
        let mut ids: Vec<u64> = gaps.iter().map(|gap| gap.id).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), gaps.iter().count());
    }
}
