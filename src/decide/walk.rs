//! The walk through an archive's listing: what it must show, what it has shown, and where it goes on.
//!
//! PostgreSQL has its segments archived in order, so on a server's line of timelines every segment from the start of the
//! oldest usable backup to the newest that counts as archived must be listed; `pgbackrest info` shows only the first and the
//! last. A walk goes folder by folder (pgBackRest keeps the segments of 4 GiB of WAL in one, named by their first 16
//! digits; src/command/archive/common.c, 2.45 to 2.60), whole once and then onwards. What it leaves behind is a few bytes
//! however long the archive is: from where to where it has looked, and the runs that are missing in between. Nothing is
//! claimed of what it has not reached.

use crate::wal::{Lsn, SegmentName, SegmentSize, Timeline, WalFile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most runs that are kept apart; beyond that the two nearest become one, which claims more to be missing than is.
const MOST_RUNS: usize = 2_000;

/// Consecutive segments of one timeline, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
    pub timeline: u32,
    /// The first one's number.
    pub first: u64,
    /// The last one's number.
    pub last: u64,
}

/// Missing segments in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first segment that is missing.
    pub first: SegmentName,
    /// The last, on the same timeline.
    pub last: SegmentName,
}

impl Run {
    /// Its segments, in order.
    pub fn segments(&self, size: SegmentSize) -> impl Iterator<Item = SegmentName> + use<> {
        let timeline = self.first.timeline();
        let numbers = self.first.number(size)..=self.last.number(size);
        numbers.filter_map(move |number| SegmentName::from_number(timeline, number, size))
    }
}

/// What a walk has shown of one repository: of every segment of the line from `from` to `up_to` it is known whether it is
/// listed, and those that are not are `missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// Where it began: the start of the oldest backup that was usable then.
    pub from: SegmentName,
    /// The newest segment that was looked for; `None` while nothing was.
    pub up_to: Option<SegmentName>,
    /// What is not listed, in order.
    pub missing: Vec<Run>,
    /// Whether it was left before its end, because time was up or the process ended. The next walk goes on there, also one
    /// that would look at everything once more: on a large archive that one would never come to its end.
    #[serde(default)]
    pub unfinished: bool,
}

/// The segments that a repository must list from `from` up to `to`, timeline by timeline.
///
/// `left` says where each older timeline on the way to that of `to` was left, by its history. The last segment of a timeline
/// that was left is the next one's too, so it must be listed on that one. `None` where the history does not lead from one to
/// the other: then nothing can be said.
#[must_use]
pub fn line(from: SegmentName, to: SegmentName, left: &BTreeMap<u32, Lsn>, size: SegmentSize) -> Option<Vec<Stretch>> {
    let (start, end) = (from.timeline().0, to.timeline().0);
    let was_left_before = |lsn: &Lsn| lsn.0 / size.bytes() < from.number(size);
    if start > end || start < end && left.get(&start).is_none_or(was_left_before) {
        return None;
    }
    let mut first = from.number(size);
    let mut stretches = Vec::new();
    for (timeline, lsn) in left.range(start..end) {
        let switch = lsn.0 / size.bytes();
        if let Some(last) = switch.checked_sub(1).filter(|last| first <= *last) {
            stretches.push(Stretch { timeline: *timeline, first, last });
        }
        first = first.max(switch);
    }
    if first <= to.number(size) {
        stretches.push(Stretch { timeline: end, first, last: to.number(size) });
    }
    Some(stretches)
}

impl Stretch {
    /// The parts that lie in one folder each, with the folder's name.
    #[must_use]
    pub fn by_folder(self, size: SegmentSize) -> Vec<(String, Self)> {
        let each = (1_u64 << 32) / size.bytes();
        let mut parts = Vec::new();
        let mut first = self.first;
        while first <= self.last {
            let last = (first / each * each + each - 1).min(self.last);
            parts.push((format!("{:08X}{:08X}", self.timeline, first / each), Self { first, last, ..self }));
            first = last + 1;
        }
        parts
    }

    fn name(self, number: u64, size: SegmentSize) -> Option<SegmentName> {
        SegmentName::from_number(Timeline(self.timeline), number, size)
    }
}

impl Walked {
    /// A walk that has not begun.
    #[must_use]
    pub fn begin(from: SegmentName) -> Self {
        Self { from, up_to: None, missing: Vec::new(), unfinished: false }
    }

    /// This walk for a repository whose oldest usable backup begins at `from` now: what has expired is forgotten, and where an
    /// older one has appeared it begins anew.
    #[must_use]
    pub fn starting_at(mut self, from: SegmentName) -> Self {
        if from < self.from || self.up_to.is_some_and(|up_to| up_to < from) {
            return Self::begin(from);
        }
        self.from = from;
        self.missing.retain(|run| run.last >= from);
        if let Some(run) = self.missing.first_mut() {
            run.first = run.first.max(from);
        }
        self
    }

    /// Whether it came along a line: another one's is of no use.
    #[must_use]
    pub fn is_on(&self, line: &[Stretch], size: SegmentSize) -> bool {
        let Some(up_to) = self.up_to else { return true };
        let holds = |stretch: &Stretch| {
            stretch.timeline == up_to.timeline().0 && (stretch.first..=stretch.last).contains(&up_to.number(size))
        };
        line.iter().any(holds)
    }

    /// This walk before it came to a segment: what lies from there on is looked at once more. One that was left before its
    /// end goes on where it was left.
    #[must_use]
    pub fn again_from(mut self, segment: SegmentName, size: SegmentSize) -> Self {
        if self.unfinished {
            return self;
        }
        if segment <= self.from {
            return Self::begin(self.from);
        }
        let before = segment.number(size).checked_sub(1);
        let before = before.and_then(|number| SegmentName::from_number(segment.timeline(), number, size));
        if self.up_to.is_none_or(|up_to| up_to < segment) || before.is_none() {
            return self;
        }
        self.up_to = before;
        self.missing.retain(|run| run.first < segment);
        if let Some(run) = self.missing.last_mut() {
            run.last = run.last.min(before.unwrap_or(run.last));
        }
        self
    }

    /// What of a line is still to be looked at.
    #[must_use]
    pub fn ahead(&self, line: &[Stretch], size: SegmentSize) -> Vec<Stretch> {
        let Some(up_to) = self.up_to else { return line.to_vec() };
        let rest = |stretch: &Stretch| match stretch.timeline.cmp(&up_to.timeline().0) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => {
                let first = stretch.first.max(up_to.number(size) + 1);
                (first <= stretch.last).then_some(Stretch { first, ..*stretch })
            }
            std::cmp::Ordering::Greater => Some(*stretch),
        };
        line.iter().filter_map(rest).collect()
    }

    /// Takes up what a folder lists of a part of the line that lies right ahead: the numbers of the segments.
    pub fn take(&mut self, part: Stretch, listed: &BTreeSet<u64>, size: SegmentSize) {
        for number in part.first..=part.last {
            if let Some(segment) = part.name(number, size).filter(|_| !listed.contains(&number)) {
                self.miss(segment, size);
            }
        }
        self.up_to = part.name(part.last, size).or(self.up_to);
    }

    /// Takes up what a folder lists of runs that were missing: what is there now is no longer missing.
    pub fn find(&mut self, timeline: u32, listed: &BTreeSet<u64>, size: SegmentSize) {
        let runs = std::mem::take(&mut self.missing);
        for run in runs {
            if run.first.timeline().0 != timeline {
                self.missing.push(run);
                continue;
            }
            let part = Stretch { timeline, first: run.first.number(size), last: run.last.number(size) };
            let mut open: Option<Run> = None;
            for number in part.first..=part.last {
                let Some(segment) = part.name(number, size) else { continue };
                if listed.contains(&number) {
                    self.missing.extend(open.take());
                } else {
                    open = Some(Run { first: open.map_or(segment, |run| run.first), last: segment });
                }
            }
            self.missing.extend(open);
        }
    }

    /// Whether a segment was looked for and is not listed.
    #[must_use]
    pub fn misses(&self, segment: SegmentName) -> bool {
        self.missing.iter().any(|run| (run.first..=run.last).contains(&segment))
    }

    /// How many segments are missing.
    #[must_use]
    pub fn missing_segments(&self, size: SegmentSize) -> u64 {
        self.missing.iter().map(|run| run.last.number(size).saturating_sub(run.first.number(size)) + 1).sum()
    }

    /// Whether it has looked at everything from a backup's start on.
    #[must_use]
    pub fn covers(&self, start: SegmentName) -> bool {
        self.from <= start && self.up_to.is_some_and(|up_to| start <= up_to)
    }

    fn miss(&mut self, segment: SegmentName, size: SegmentSize) {
        let follows = |run: &&mut Run| {
            run.last.timeline() == segment.timeline() && run.last.number(size) + 1 == segment.number(size)
        };
        match self.missing.last_mut().filter(follows) {
            Some(run) => run.last = segment,
            None => self.missing.push(Run { first: segment, last: segment }),
        }
        if self.missing.len() > MOST_RUNS {
            self.join_nearest(size);
        }
    }

    fn join_nearest(&mut self, size: SegmentSize) {
        let distance = |pair: &[Run]| match pair {
            [one, other] if one.last.timeline() == other.first.timeline() => {
                Some(other.first.number(size).saturating_sub(one.last.number(size)))
            }
            _ => None,
        };
        let pairs = self.missing.windows(2).enumerate().filter_map(|(at, pair)| Some((distance(pair)?, at)));
        if let Some((_, at)) = pairs.min() {
            let later = self.missing.remove(at + 1);
            if let Some(run) = self.missing.get_mut(at) {
                run.last = later.last;
            }
        }
    }
}

/// The numbers of the segments of a timeline in a listing: lines of `repo-ls`, `<segment>-<checksum>[.compression]`. Other
/// names are passed over.
#[must_use]
pub fn listed(text: &str, timeline: u32, size: SegmentSize) -> BTreeSet<u64> {
    let number = |line: &str| match crate::wal::listed(line) {
        Some(WalFile::Segment(segment)) if segment.timeline().0 == timeline => {
            let number = segment.number(size);
            // Of another segment size the name would be another segment's number.
            (SegmentName::from_number(segment.timeline(), number, size) == Some(segment)).then_some(number)
        }
        _ => None,
    };
    text.lines().filter_map(number).collect()
}

/// What no repository has, of what each has been looked through for: that is lost. What only some lack they are owed.
#[must_use]
pub fn lost(walked: &[&Walked], size: SegmentSize) -> Vec<SegmentName> {
    // What lies before a repository's oldest backup it need not have.
    let has_not = |one: &&Walked, segment: SegmentName| segment < one.from || one.misses(segment);
    let segments = walked.iter().flat_map(|one| &one.missing).flat_map(|run| run.segments(size));
    let segments: BTreeSet<SegmentName> = segments.collect();
    segments.into_iter().filter(|segment| walked.iter().all(|one| has_not(one, *segment))).collect()
}

/// What a repository was looked through for and does not list, though another may have it; with the numbers of all that lack
/// it. What none has is not among it, but [`lost`].
#[must_use]
pub fn owed(walked: &BTreeMap<u32, Walked>, size: SegmentSize) -> BTreeMap<SegmentName, Vec<u32>> {
    let all: Vec<&Walked> = walked.values().collect();
    let lost: BTreeSet<SegmentName> = lost(&all, size).into_iter().collect();
    let mut owed: BTreeMap<SegmentName, Vec<u32>> = BTreeMap::new();
    for (key, one) in walked {
        for segment in one.missing.iter().flat_map(|run| run.segments(size)).filter(|segment| !lost.contains(segment)) {
            owed.entry(segment).or_default().push(*key);
        }
    }
    owed
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
