//! Acknowledgements: examples, bounds, and a property test against a model that keeps a word for every segment.

use super::super::{BackupStart, CLOSED_KEPT, Cause, Loss, LossesBefore, OPEN_KEPT};
use super::*;
use crate::pgbackrest::Class;
use crate::wal::{SegmentName, Timeline, WalFile};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn segment(number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, SIZE).unwrap()
}

fn lose(gaps: &mut Gaps, number: u64) -> bool {
    let loss = Loss {
        segment: segment(number),
        partial: false,
        class: Class::StanzaMissing,
        cause: Cause::ArchivePushQueueMax,
        s3_code: Some("InvalidAccessKeyId".to_owned()),
        at: 1_763_800_000,
    };
    gaps.record(&loss, SIZE)
}

fn heal(gaps: &mut Gaps, number: u64) -> bool {
    gaps.heal(&WalFile::Segment(segment(number)), 1_763_800_009, SIZE)
}

fn seal(gaps: &mut Gaps, lsn: u64) -> usize {
    let backup = BackupStart { label: "20261122-100000F".to_owned(), timeline: Timeline(1), lsn };
    gaps.seal(&backup, LossesBefore::StartedAt(i64::MAX), 10, SIZE)
}

fn reason(text: &str) -> Reason {
    text.parse().unwrap()
}

/// What is said of every open segment.
fn said(gaps: &Gaps) -> BTreeMap<u64, Option<String>> {
    let of = |gap: &Gap| {
        let word = gap.acknowledged.as_ref().map(|known| known.reason.clone());
        (gap.first.number(SIZE)..=gap.last.number(SIZE)).map(move |number| (number, word.clone()))
    };
    gaps.open().flat_map(of).collect()
}

#[test]
fn a_later_loss_beside_an_acknowledged_gap_is_a_gap_of_its_own() {
    let mut gaps = Gaps::default();
    lose(&mut gaps, 5);
    gaps.acknowledge(1, &reason("known"), 9, SIZE).unwrap();
    assert!(!gaps.any_unacknowledged());
    lose(&mut gaps, 6);
    lose(&mut gaps, 4);
    assert!(gaps.any_unacknowledged());
    let words: Vec<_> = said(&gaps).into_values().collect();
    assert_eq!(words, [None, Some("known".to_owned()), None]);
    assert!(!lose(&mut gaps, 5), "the same loss once more is no new one");
}

#[test]
fn what_can_not_be_acknowledged_is_refused_and_changes_nothing() {
    let mut gaps = Gaps::default();
    lose(&mut gaps, 5);
    lose(&mut gaps, 9);
    heal(&mut gaps, 9);
    let before = gaps.clone();
    let refused = |gaps: &mut Gaps, id| gaps.acknowledge(id, &reason("x"), 9, SIZE).unwrap_err().to_string();
    assert_eq!(refused(&mut gaps, 7), "the ledger knows no gap 7");
    assert_eq!(refused(&mut gaps, 2), "gap 2 is healed already: it does not affect the verdict");
    assert_eq!(gaps, before);
}

#[test]
fn a_reason_is_one_short_line() {
    assert_eq!(reason("  the disk was replaced \n"), Reason("the disk was replaced".to_owned()));
    for bad in ["", " \n", "a\nb", "a\u{1b}[31m", &"x".repeat(REASON_BYTES + 1)] {
        assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
    }
}

#[test]
fn an_acknowledged_gap_is_sealed_like_any_other_and_keeps_its_word() {
    let mut gaps = Gaps::default();
    lose(&mut gaps, 5);
    gaps.acknowledge(1, &reason("known"), 9, SIZE).unwrap();
    assert_eq!(seal(&mut gaps, u64::MAX), 1);
    let gap = gaps.iter().next().unwrap();
    assert_eq!((gap.state, gap.acknowledged.as_ref().map(|known| known.at)), (GapState::Sealed, Some(9)));
}

#[test]
fn an_older_ledger_is_read_and_an_older_program_reads_ours() {
    let mut gaps = Gaps::default();
    lose(&mut gaps, 5);
    let older = serde_json::to_string(&gaps).unwrap();
    assert!(!older.contains("acknowledged"), "no field where there is no word: {older}");
    gaps.acknowledge(1, &reason("known"), 9, SIZE).unwrap();
    let mut ours: serde_json::Value = serde_json::from_str(&serde_json::to_string(&gaps).unwrap()).unwrap();
    // An older program knows no such field, ignores it, and writes without it.
    let word = ours["gaps"][0].as_object_mut().unwrap().remove("acknowledged").unwrap();
    assert_eq!(word, serde_json::json!({"at": 9, "reason": "known"}));
    assert_eq!(serde_json::to_string(&ours).unwrap().len(), older.len());
    assert!(serde_json::from_value::<Gaps>(ours).unwrap().any_unacknowledged());
}

#[test]
fn healing_in_many_places_keeps_the_bound_and_forgets_words_rather_than_losses() {
    let mut gaps = Gaps::default();
    (0..400).for_each(|number| {
        lose(&mut gaps, number);
    });
    gaps.acknowledge(1, &reason("known"), 9, SIZE).unwrap();
    (0..200).for_each(|number| {
        heal(&mut gaps, number * 2);
    });
    let words = gaps.iter().filter(|gap| gap.acknowledged.is_some()).count();
    assert_eq!((said(&gaps).len(), words), (200, ACKNOWLEDGED_KEPT));
}

/// Gaps of one segment each, every second one; recording them one by one would take long.
fn scattered(open: u64, sealed: u64) -> Gaps {
    let mut one = Gaps::default();
    lose(&mut one, 0);
    let one = one.gaps.remove(0);
    let at = |id: u64, number: u64| Gap { id, first: segment(number), last: segment(number), ..one.clone() };
    let sealed = (1..=sealed).map(|id| Gap {
        state: GapState::Sealed,
        closed_at: Some(1_763_800_009),
        sealed_by: Some("20261122-100000F_20261122-110000D".to_owned()),
        ..at(id, 1_000_000_000_000 + id * 2)
    });
    let mut gaps = Gaps { next_id: 1_000_000, gaps: sealed.collect() };
    gaps.gaps.extend((0..open).map(|number| at(900_000 + number, number * 2)));
    gaps
}

#[test]
fn where_gaps_must_be_joined_the_acknowledged_ones_are_left_alone() {
    let most = OPEN_KEPT as u64;
    let mut gaps = scattered(most, 0);
    gaps.acknowledge(900_000, &reason("known"), 9, SIZE).unwrap();
    (most..most + 3).for_each(|number| {
        lose(&mut gaps, number * 2);
    });
    assert_eq!(gaps.open().count(), OPEN_KEPT);
    let said = said(&gaps);
    assert_eq!(said.values().flatten().count(), 1, "one segment, and only that one");
    assert_eq!(said.get(&0), Some(&Some("known".to_owned())));
}

#[test]
fn the_fullest_ledger_fits_a_slot() {
    let mut gaps = scattered(OPEN_KEPT as u64, CLOSED_KEPT as u64);
    let id = |at: usize| 900_000 + at as u64;
    for at in 0..ACKNOWLEDGED_KEPT {
        gaps.acknowledge(id(at), &reason(&"\"".repeat(REASON_BYTES)), 1_763_800_009, SIZE).unwrap();
    }
    let refused = gaps.acknowledge(id(ACKNOWLEDGED_KEPT), &reason("x"), 9, SIZE);
    assert_eq!(refused, Err(NotAcknowledged::TooMany));
    assert_eq!(gaps.iter().count(), CLOSED_KEPT + OPEN_KEPT);
    let length = serde_json::to_string(&gaps).unwrap().len();
    assert!(length < 500 * 1024, "{length} bytes");
}

#[derive(Debug, Clone)]
enum Step {
    Lose(u64),
    Heal(u64),
    Acknowledge(usize),
    Seal(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 240_u64..280;
    prop_oneof![
        6 => number().prop_map(Step::Lose),
        2 => number().prop_map(Step::Heal),
        3 => (0_usize..8).prop_map(Step::Acknowledge),
        1 => number().prop_map(Step::Seal),
    ]
}

proptest! {
    #[test]
    fn a_word_holds_for_the_segments_it_was_given_for_and_for_no_other(steps in prop::collection::vec(step(), 0..120)) {
        let mut gaps = Gaps::default();
        let mut model: BTreeMap<u64, Option<String>> = BTreeMap::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Lose(number) => {
                    lose(&mut gaps, number);
                    model.entry(number).or_insert(None);
                }
                Step::Heal(number) => {
                    heal(&mut gaps, number);
                    model.remove(&number);
                }
                Step::Acknowledge(nth) => {
                    let Some(gap) = gaps.open().nth(nth).cloned() else { continue };
                    let word = format!("word {at}");
                    gaps.acknowledge(gap.id, &reason(&word), 9, SIZE).unwrap();
                    for number in gap.first.number(SIZE)..=gap.last.number(SIZE) {
                        model.insert(number, Some(word.clone()));
                    }
                }
                Step::Seal(number) => {
                    seal(&mut gaps, number * SIZE.bytes());
                    let open = said(&gaps);
                    let sealed: Vec<u64> = model.keys().copied().filter(|held| !open.contains_key(held)).collect();
                    prop_assert!(sealed.iter().all(|held| *held < number), "{sealed:?} by {number}");
                    model.retain(|held, _| !sealed.contains(held));
                }
            }
            prop_assert_eq!(said(&gaps), model.clone());
        }
    }
}
