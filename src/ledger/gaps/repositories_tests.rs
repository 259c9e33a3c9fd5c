//! Gaps by repository: examples, and a property test against a model that keeps every segment and repository by itself.

use super::*;
use crate::ledger::gaps::{Cause, Loss};
use crate::pgbackrest::Class;
use crate::wal::{SegmentName, Timeline};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SIZE: SegmentSize = SegmentSize::DEFAULT;
const BOTH: [u32; 2] = [1, 2];
const ALL: [u32; 3] = [1, 2, 3];

fn segment(number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, SIZE).unwrap()
}

fn loss(number: u64) -> Loss {
    Loss {
        segment: segment(number),
        partial: false,
        class: Class::Gone,
        cause: Cause::InstantDrop,
        s3_code: None,
        at: 1_000,
    }
}

fn lacking(number: u64, repositories: &[u32]) -> BTreeMap<WalFile, Vec<u32>> {
    BTreeMap::from([(WalFile::Segment(segment(number)), repositories.to_vec())])
}

fn backup(number: u64) -> BackupStart {
    BackupStart { label: format!("before {number}"), timeline: Timeline(1), lsn: number * SIZE.bytes() }
}

fn seal(gaps: &mut Gaps, repository: u32, configured: &[u32], number: u64) -> usize {
    seal_of(gaps, repository, all(configured), number)
}

fn seal_of(gaps: &mut Gaps, repository: u32, repositories: Repositories<'_>, number: u64) -> usize {
    gaps.seal_in(repository, repositories, &backup(number), LossesBefore::StartedAt(i64::MAX), (9, SIZE))
}

/// Repositories into all of which backups are made.
fn all(configured: &[u32]) -> Repositories<'_> {
    Repositories { configured, backed_up: configured }
}

/// The first and the last number, the state, who lacks it, and where it is sealed.
type Seen = (u64, u64, GapState, Option<Vec<u32>>, Vec<u32>);

fn states(gaps: &Gaps) -> Vec<Seen> {
    let of = |gap: &Gap| {
        let (first, last) = (gap.first.number(SIZE), gap.last.number(SIZE));
        (first, last, gap.state, gap.repositories.clone(), gap.sealed_in.clone())
    };
    let mut states: Vec<_> = gaps.iter().map(of).collect();
    states.sort_by_key(|state| state.0);
    states
}

#[test]
fn what_one_repository_has_is_owed_to_the_other_and_healed_when_it_has_it_too() {
    let mut gaps = Gaps::default();
    (4..=6).for_each(|number| assert!(gaps.record(&loss(number), SIZE)));
    assert!(gaps.iter().all(|gap| gap.is_lost(&BOTH) && gap.is_open_everywhere(&BOTH)));
    assert_eq!(gaps.note_lacking(&lacking(5, &[2]), all(&BOTH), 9, SIZE), 0);
    let open = GapState::Open;
    assert_eq!(
        states(&gaps),
        [(4, 4, open, None, vec![]), (5, 5, open, Some(vec![2]), vec![]), (6, 6, open, None, vec![])]
    );
    let owed: Vec<u64> = gaps.iter().filter(|gap| gap.is_owed(&BOTH)).map(|gap| gap.first.number(SIZE)).collect();
    assert_eq!(owed, [5]);
    assert_eq!(gaps.note_lacking(&lacking(5, &[]), all(&BOTH), 9, SIZE), 1);
    assert_eq!(gaps.iter().filter(|gap| gap.state == GapState::Healed).count(), 1);
}

#[test]
fn what_changes_nothing_splits_nothing() {
    let mut gaps = Gaps::default();
    (4..=6).for_each(|number| assert!(gaps.record(&loss(number), SIZE)));
    let before = gaps.clone();
    assert_eq!(gaps.note_lacking(&lacking(5, &BOTH), all(&BOTH), 9, SIZE), 0);
    assert_eq!(gaps, before);
}

#[test]
fn a_backup_seals_for_its_own_repository() {
    let mut gaps = Gaps::default();
    gaps.record(&loss(4), SIZE);
    assert_eq!(seal(&mut gaps, 1, &BOTH, 7), 1);
    assert_eq!(states(&gaps), [(4, 4, GapState::Open, None, vec![1])]);
    let gap = gaps.open().next().unwrap();
    assert!(gap.is_lost(&BOTH) && !gap.is_owed(&BOTH) && !gap.is_open_everywhere(&BOTH) && gap.is_open_in(2));
    assert_eq!(seal(&mut gaps, 1, &BOTH, 8), 0, "once is enough");
    assert_eq!(seal(&mut gaps, 2, &BOTH, 8), 1);
    assert_eq!(states(&gaps), [(4, 4, GapState::Sealed, None, vec![1, 2])]);
    assert_eq!(gaps.iter().next().and_then(|gap| gap.sealed_by.as_deref()), Some("before 8"));
}

#[test]
fn a_repository_that_is_no_longer_configured_keeps_nothing_open() {
    let mut gaps = Gaps::default();
    gaps.record_in(Some(vec![2]), &loss(4), SIZE);
    gaps.record(&loss(6), SIZE);
    assert_eq!(seal(&mut gaps, 1, &BOTH, 9), 1, "4 is in the first one");
    assert_eq!(seal(&mut gaps, 1, &[1], 9), 0);
    let closed: Vec<_> = states(&gaps).into_iter().map(|state| (state.0, state.2)).collect();
    assert_eq!(closed, [(4, GapState::Healed), (6, GapState::Sealed)]);
}

#[test]
fn a_repository_without_backups_waits_for_debts_alone() {
    let mut gaps = Gaps::default();
    gaps.record(&loss(4), SIZE);
    gaps.record_in(Some(vec![2]), &loss(6), SIZE);
    let repositories = Repositories { configured: &BOTH, backed_up: &[1] };
    assert_eq!(seal_of(&mut gaps, 1, repositories, 9), 1);
    let (sealed, open) = (GapState::Sealed, GapState::Open);
    assert_eq!(states(&gaps), [(4, 4, sealed, None, vec![1]), (6, 6, open, Some(vec![2]), vec![])]);
    gaps.note_lacking(&lacking(6, &BOTH), repositories, 9, SIZE);
    assert_eq!(states(&gaps)[1], (6, 6, open, Some(vec![1, 2]), vec![]), "lost since, and 1 has no backup after it");
    assert_eq!(seal_of(&mut gaps, 1, repositories, 9), 1);
    assert!(!gaps.any_open());
}

#[test]
fn an_older_ledger_claims_that_every_repository_lacks_it() {
    let mut gaps = Gaps::default();
    gaps.record(&loss(4), SIZE);
    let text = serde_json::to_string(&gaps).unwrap();
    assert!(!text.contains("repositories") && !text.contains("sealed_in"), "{text}");
    assert!(serde_json::from_str::<Gaps>(&text).unwrap().open().all(|gap| gap.is_lost(&ALL)));
}

#[derive(Debug, Clone)]
enum Step {
    Lose { number: u64, repositories: Option<BTreeSet<u32>> },
    Note { number: u64, lacking: BTreeSet<u32> },
    Seal { repository: u32, number: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 250_u64..268;
    let some = || prop::collection::btree_set(1..=3_u32, 1..3);
    let step = prop_oneof![
        6 => (number(), prop::option::of(some())).prop_map(|(number, repositories)| Step::Lose { number, repositories }),
        4 => (number(), prop::collection::btree_set(1..=3_u32, 0..4)).prop_map(|(number, lacking)| Step::Note { number, lacking }),
        2 => (1..=3_u32, number()).prop_map(|(repository, number)| Step::Seal { repository, number }),
    ];
    prop::collection::vec(step, 0..100)
}

/// Of each open segment: the repositories that lack it, and those of them that a backup has sealed.
type Model = BTreeMap<u64, (BTreeSet<u32>, BTreeSet<u32>)>;

fn opened(gaps: &Gaps) -> Model {
    let of = |gap: &Gap| {
        let lack: BTreeSet<u32> = ALL.into_iter().filter(|key| gap.lacks(*key)).collect();
        let sealed: BTreeSet<u32> = gap.sealed_in.iter().copied().collect();
        (gap.first.number(SIZE)..=gap.last.number(SIZE)).map(move |number| (number, (lack.clone(), sealed.clone())))
    };
    gaps.open().flat_map(of).collect()
}

proptest! {
    #[test]
    fn each_segment_is_open_where_it_is_neither_stored_nor_sealed(
        steps in steps(),
        backed_up in prop::collection::btree_set(1..=3_u32, 1..=3),
    ) {
        let backups: Vec<u32> = backed_up.iter().copied().collect();
        let repositories = Repositories { configured: &ALL, backed_up: &backups };
        let mut gaps = Gaps::default();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Lose { number, repositories } => {
                    let lack = repositories.clone().unwrap_or_else(|| ALL.into());
                    gaps.record_in(repositories.map(|some| some.into_iter().collect()), &loss(number), SIZE);
                    model.entry(number).or_insert((lack, BTreeSet::new()));
                }
                Step::Note { number, lacking: lack } => {
                    let list: Vec<u32> = lack.iter().copied().collect();
                    gaps.note_lacking(&lacking(number, &list), repositories, 9, SIZE);
                    if let Some((known, sealed)) = model.get_mut(&number) {
                        sealed.retain(|key| lack.contains(key));
                        *known = lack;
                    }
                }
                Step::Seal { repository, number } => {
                    // Only a gap that ended before the backup began is sealed, and then the whole of it.
                    let ranges: Vec<_> = gaps.open().map(|gap| gap.first.number(SIZE)..=gap.last.number(SIZE)).collect();
                    seal_of(&mut gaps, repository, repositories, number);
                    for segment in ranges.into_iter().filter(|range| *range.end() < number).flatten() {
                        let (lack, sealed) = model.get_mut(&segment).expect("it is open");
                        if lack.contains(&repository) {
                            sealed.insert(repository);
                        }
                    }
                }
            }
            model.retain(|_, (lack, sealed)| {
                let is_lost = lack.len() == ALL.len();
                lack.difference(sealed).any(|key| backed_up.contains(key) || !is_lost)
            });
            prop_assert_eq!(opened(&gaps), model.clone());
        }
    }
}
