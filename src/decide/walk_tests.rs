//! The walk against a model that keeps every segment by itself.

use super::*;
use proptest::prelude::*;

const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn segment(timeline: u32, number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(timeline), number, SIZE).unwrap()
}

fn at(number: u64) -> Lsn {
    Lsn(number * SIZE.bytes() + 40)
}

#[test]
fn a_line_leaves_each_timeline_where_its_history_says() {
    let left = BTreeMap::from([(1, at(6)), (3, at(9))]);
    let stretch = |timeline, first, last| Stretch { timeline, first, last };
    assert_eq!(line(segment(1, 3), segment(1, 5), &BTreeMap::new(), SIZE), Some(vec![stretch(1, 3, 5)]));
    let whole = line(segment(1, 3), segment(4, 11), &left, SIZE);
    assert_eq!(whole, Some(vec![stretch(1, 3, 5), stretch(3, 6, 8), stretch(4, 9, 11)]));
    assert_eq!(line(segment(3, 7), segment(4, 11), &left, SIZE), Some(vec![stretch(3, 7, 8), stretch(4, 9, 11)]));
    assert_eq!(line(segment(2, 3), segment(4, 11), &left, SIZE), None, "2 is not on the way");
    assert_eq!(line(segment(4, 3), segment(3, 11), &left, SIZE), None);
}

#[test]
fn a_stretch_is_cut_into_folders() {
    let parts = Stretch { timeline: 1, first: 250, last: 520 }.by_folder(SIZE);
    let shown: Vec<_> = parts.iter().map(|(name, part)| (name.as_str(), part.first, part.last)).collect();
    let expected = [("0000000100000000", 250, 255), ("0000000100000001", 256, 511), ("0000000100000002", 512, 520)];
    assert_eq!(shown, expected);
}

#[test]
fn what_expired_is_forgotten_and_an_older_backup_begins_anew() {
    let mut walked = Walked::begin(segment(1, 3));
    walked.take(Stretch { timeline: 1, first: 3, last: 9 }, &BTreeSet::from([3, 6, 9]), SIZE);
    assert_eq!((walked.missing_segments(SIZE), walked.up_to), (4, Some(segment(1, 9))));
    let later = walked.clone().starting_at(segment(1, 5));
    assert_eq!((later.from, later.missing_segments(SIZE)), (segment(1, 5), 3));
    assert_eq!(walked.clone().starting_at(segment(1, 2)), Walked::begin(segment(1, 2)));
    assert_eq!(walked.clone().starting_at(segment(1, 20)), Walked::begin(segment(1, 20)));
    assert!(walked.covers(segment(1, 3)) && !walked.covers(segment(1, 2)) && !walked.covers(segment(1, 10)));
}

#[test]
fn a_walk_that_was_left_before_its_end_is_not_begun_again() {
    let mut walked = Walked::begin(segment(1, 3));
    walked.take(Stretch { timeline: 1, first: 3, last: 9 }, &BTreeSet::from([3, 6, 9]), SIZE);
    let again = walked.clone().again_from(segment(1, 5), SIZE);
    assert_eq!((again.up_to, again.missing_segments(SIZE)), (Some(segment(1, 4)), 1), "from there on, once more");
    walked.unfinished = true;
    assert_eq!(walked.clone().again_from(segment(1, 5), SIZE), walked);
    assert_eq!(walked.clone().again_from(segment(1, 3), SIZE), walked);
}

#[test]
fn what_one_repository_lacks_is_owed_and_what_none_has_is_lost() {
    let of = |listed: &[u64]| {
        let mut walked = Walked::begin(segment(1, 1));
        walked.take(Stretch { timeline: 1, first: 1, last: 6 }, &listed.iter().copied().collect(), SIZE);
        walked
    };
    let (one, two) = (of(&[1, 2, 5]), of(&[1, 3, 5, 6]));
    assert_eq!(lost(&[&one, &two], SIZE), [segment(1, 4)]);
    assert_eq!(lost(&[&one], SIZE), [segment(1, 3), segment(1, 4), segment(1, 6)]);
    assert_eq!(lost(&[], SIZE), []);
}

#[test]
fn other_names_are_passed_over() {
    let sha = "7798b7d2af0a677f3636f4a578c6800df3ddd284";
    let text = format!(
        "0000000100000000/000000010000000000000003-{sha}.zst\n000000020000000000000004-{sha}\n00000002.history\n\
         000000010000000000000003.00000028.backup\n000000010000000000000005.partial-{sha}\nx-y\n"
    );
    assert_eq!(listed(&text, 1, SIZE), BTreeSet::from([3]));
}

/// `pg_resetwal --wal-segsize` leaves names behind that no segment of the new size has; read as numbers they would be others'.
#[test]
fn a_name_that_no_segment_of_this_size_has_stands_for_no_other() {
    let sha = "7798b7d2af0a677f3636f4a578c6800df3ddd284";
    let text = format!("0000000100000000000001FF-{sha}\n0000000100000000000000FE-{sha}\n");
    let sixteen = SegmentSize::DEFAULT;
    assert_eq!(listed(&text, 1, sixteen), BTreeSet::from([0xFE]), "not 000000010000000100000000FF");
}

#[test]
fn runs_are_bounded_and_claim_more_and_never_less() {
    let mut walked = Walked::begin(segment(1, 0));
    let listed: BTreeSet<u64> = (0..20_000).step_by(2).collect();
    walked.take(Stretch { timeline: 1, first: 0, last: 19_999 }, &listed, SIZE);
    assert_eq!(walked.missing.len(), MOST_RUNS);
    assert!((0..20_000).filter(|number| number % 2 == 1).all(|number| walked.misses(segment(1, number))));
}

proptest! {
    #[test]
    fn a_walk_in_any_steps_finds_what_a_model_finds(
        listed in prop::collection::btree_set(0..600_u64, 0..500),
        later in prop::collection::btree_set(0..600_u64, 0..60),
        ends in prop::collection::vec(0..600_u64, 1..6),
        from in 0..40_u64,
    ) {
        let mut walked = Walked::begin(segment(1, from));
        let mut reached = None;
        for end in ends {
            let Some(line) = line(segment(1, from), segment(1, end), &BTreeMap::new(), SIZE) else { continue };
            for part in walked.ahead(&line, SIZE).into_iter().flat_map(|stretch| stretch.by_folder(SIZE)) {
                walked.take(part.1, &listed, SIZE);
                reached = Some(part.1.last);
            }
        }
        let now: BTreeSet<u64> = listed.union(&later).copied().collect();
        let missing = |there: &BTreeSet<u64>| -> Vec<u64> {
            reached.map_or_else(Vec::new, |reached| (from..=reached).filter(|number| !there.contains(number)).collect())
        };
        let of = |walked: &Walked| -> Vec<u64> { lost(&[walked], SIZE).iter().map(|segment| segment.number(SIZE)).collect() };
        prop_assert_eq!(of(&walked), missing(&listed));
        prop_assert_eq!(walked.missing_segments(SIZE), missing(&listed).len() as u64);
        walked.find(1, &now, SIZE);
        prop_assert_eq!(of(&walked), missing(&now));
    }
}
