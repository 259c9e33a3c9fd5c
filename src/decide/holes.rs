//! Holes in an archive: segments that should be in a repository's listing and are not.
//!
//! PostgreSQL has its segments archived in order, so on a timeline every segment from a backup's first to the newest that
//! it counts as archived must be listed. `pgbackrest info` shows only the first and the last.

use crate::wal::{Lsn, SegmentName, SegmentSize, Timeline, WalFile, listed};
use std::collections::{BTreeMap, BTreeSet};

/// The most names that one walk takes in.
pub const MOST_NAMES: usize = 100_000;

/// The segments of a listing, by timeline and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<u32, BTreeSet<u64>>);

impl Listing {
    /// Reads the lines of `repo-ls`: `[folder/]<segment>-<checksum>[.compression]`. Other names are passed over.
    #[must_use]
    pub fn parse(text: &str, size: SegmentSize) -> Self {
        let mut listing: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for line in text.lines().take(MOST_NAMES) {
            if let Some(WalFile::Segment(segment)) = listed(line) {
                listing.entry(segment.timeline().0).or_default().insert(segment.number(size));
            }
        }
        Self(listing)
    }

    /// Whether it shows a segment.
    #[must_use]
    pub fn holds(&self, segment: SegmentName, size: SegmentSize) -> bool {
        self.0.get(&segment.timeline().0).is_some_and(|numbers| numbers.contains(&segment.number(size)))
    }

    /// The segments that are missing from `from` on, up to `archived`, the newest that PostgreSQL counts as archived.
    ///
    /// On an older timeline they must reach up to where it was left, and on the next one begin there: `left` has them by
    /// timeline, and one that it does not have was not on the way. Where it is empty, nothing is known of that, and what
    /// is listed of each timeline shows where it begins and ends.
    #[must_use]
    pub fn missing(
        &self,
        from: SegmentName,
        archived: SegmentName,
        left: &BTreeMap<u32, Lsn>,
        size: SegmentSize,
    ) -> Vec<SegmentName> {
        let mut missing = Vec::new();
        let none = BTreeSet::new();
        for timeline in from.timeline().0..=archived.timeline().0 {
            let listed = self.0.get(&timeline).unwrap_or(&none);
            let before = left.range(..timeline).next_back().map(|(_, lsn)| lsn.0 / size.bytes());
            let first = if timeline == from.timeline().0 {
                Some(from.number(size))
            } else {
                before.or_else(|| listed.first().copied())
            };
            let last = match left.get(&timeline) {
                _ if timeline == archived.timeline().0 => Some(archived.number(size)),
                Some(lsn) => (lsn.0 / size.bytes()).checked_sub(1),
                None if left.is_empty() => listed.last().copied(),
                None => None,
            };
            let (Some(first), Some(last)) = (first, last) else { continue };
            let room = MOST_NAMES - missing.len().min(MOST_NAMES);
            let absent = (first..=last).filter(|number| !listed.contains(number)).take(room);
            missing.extend(absent.filter_map(|number| SegmentName::from_number(Timeline(timeline), number, size)));
        }
        missing
    }
}

/// The newest segment that must be in the archive when PostgreSQL counts `file` as its newest archived one; `None` when that
/// tells nothing. The archiver goes in the order of the names, histories first (pgarch.c, `ready_file_comparator`), so before
/// a `.partial` comes the segment before it: the whole one never was.
#[must_use]
pub fn archived_up_to(file: &WalFile, size: SegmentSize) -> Option<SegmentName> {
    match *file {
        WalFile::Segment(segment) | WalFile::Backup(segment, _) => Some(segment),
        WalFile::Partial(segment) => {
            SegmentName::from_number(segment.timeline(), segment.number(size).checked_sub(1)?, size)
        }
        WalFile::History(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: SegmentSize = SegmentSize::DEFAULT;
    const UNKNOWN: BTreeMap<u32, Lsn> = BTreeMap::new();

    fn segment(timeline: u32, number: u64) -> SegmentName {
        SegmentName::from_number(Timeline(timeline), number, SIZE).unwrap()
    }

    fn listing(segments: &[(u32, u64)]) -> Listing {
        let line = |(timeline, number): &(u32, u64)| {
            let name = segment(*timeline, *number).to_string();
            format!("{}/{name}-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst\n", name.get(..16).unwrap_or_default())
        };
        Listing::parse(&segments.iter().map(line).collect::<String>(), SIZE)
    }

    fn numbers(missing: &[SegmentName]) -> Vec<(u32, u64)> {
        missing.iter().map(|name| (name.timeline().0, name.number(SIZE))).collect()
    }

    #[test]
    fn a_hole_and_a_missing_end_are_found() {
        let listed = listing(&[(1, 3), (1, 4), (1, 6)]);
        assert_eq!(numbers(&listed.missing(segment(1, 3), segment(1, 8), &UNKNOWN, SIZE)), [(1, 5), (1, 7), (1, 8)]);
        assert_eq!(listed.missing(segment(1, 3), segment(1, 4), &UNKNOWN, SIZE), []);
        assert_eq!(numbers(&listed.missing(segment(1, 2), segment(1, 3), &UNKNOWN, SIZE)), [(1, 2)]);
    }

    #[test]
    fn a_partial_segment_says_that_the_one_before_it_is_archived() {
        let up_to = |name: &str| archived_up_to(&name.parse().unwrap(), SIZE).map(|segment| segment.to_string());
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(up_to("000000010000000000000004"), named("000000010000000000000004"));
        assert_eq!(up_to("000000010000000100000000.partial"), named("0000000100000000000000FF"));
        assert_eq!(up_to("000000010000000000000004.00000028.backup"), named("000000010000000000000004"));
        assert_eq!(up_to("00000002.history"), None);
    }

    #[test]
    fn a_timeline_switch_is_no_hole() {
        let listed = listing(&[(1, 3), (1, 4), (2, 4), (2, 6)]);
        assert_eq!(numbers(&listed.missing(segment(1, 3), segment(2, 6), &UNKNOWN, SIZE)), [(2, 5)]);
    }

    #[test]
    fn a_timeline_must_reach_up_to_where_it_was_left_and_the_next_begin_there() {
        let left = BTreeMap::from([(1, Lsn(6 * SIZE.bytes() + 40))]);
        let missing =
            |listed: &[(u32, u64)]| numbers(&listing(listed).missing(segment(1, 3), segment(2, 8), &left, SIZE));
        assert_eq!(missing(&[(1, 3), (1, 4), (1, 5), (2, 6), (2, 7), (2, 8)]), []);
        assert_eq!(missing(&[(1, 3), (2, 7), (2, 8)]), [(1, 4), (1, 5), (2, 6)]);
        // An abandoned timeline in between is on nobody's way.
        let left = BTreeMap::from([(1, Lsn(5 * SIZE.bytes()))]);
        let listed = listing(&[(1, 3), (1, 4), (1, 7), (2, 5), (2, 7), (3, 5), (3, 6)]);
        assert_eq!(listed.missing(segment(1, 3), segment(3, 6), &left, SIZE), []);
    }

    #[test]
    fn other_names_are_passed_over() {
        let text =
            "0000000100000000\n00000002.history\n0000000100000000/000000010000000000000003.00000028.backup\nx-y\n";
        assert_eq!(Listing::parse(text, SIZE), Listing::default());
    }

    proptest! {
        #[test]
        fn what_is_neither_listed_nor_outside_is_missing(listed in prop::collection::btree_set(0..60_u64, 0..40), from in 0..60_u64, to in 0..60_u64) {
            let lines: Vec<(u32, u64)> = listed.iter().map(|number| (1, *number)).collect();
            let missing = listing(&lines).missing(segment(1, from), segment(1, to), &UNKNOWN, SIZE);
            let expected: Vec<(u32, u64)> = (from..=to).filter(|number| !listed.contains(number)).map(|number| (1, number)).collect();
            prop_assert_eq!(numbers(&missing), expected);
        }
    }
}
