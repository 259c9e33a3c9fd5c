//! Gaps: ranges of lost segments, joined as they grow.
//!
//! A gap is a run of consecutive segments of one timeline that were given up for one reason. So that 100,000 losses
//! stay a few lines, a loss next to an open gap of the same kind extends it, and two gaps that come to touch become
//! one. What closes a gap is proof alone: the repository took the segment after all (healed), or a backup began after
//! it (sealed). A proof for a segment in the middle splits the gap.

mod acknowledgement;
mod cause;
mod differs;
mod repositories;

pub use acknowledgement::{BadReason, NotAcknowledged, Reason};
pub use cause::Cause;
pub use repositories::Repositories;

use crate::pgbackrest::Class;
use crate::wal::{SegmentName, SegmentSize, Timeline, WalFile};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Closed gaps that are kept for the record; older ones are forgotten.
pub const CLOSED_KEPT: usize = 1_000;
/// Open gaps that are kept apart; beyond that the two nearest of a timeline become one, which claims more to be lost
/// than is, never less.
pub const OPEN_KEPT: usize = 600;

/// Whether a gap still needs a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapState {
    /// Lost, and neither of the below.
    Open,
    /// Pushed after all.
    Healed,
    /// A backup began after it.
    Sealed,
}

impl GapState {
    /// The state's name in JSON and text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Healed => "healed",
            Self::Sealed => "sealed",
        }
    }
}

/// One lost file, as push records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The segment that is meant, timeline and all.
    pub segment: SegmentName,
    /// Whether the lost file is the `.partial` of that segment.
    pub partial: bool,
    /// The class of the failure.
    pub class: Class,
    /// What made push give up.
    pub cause: Cause,
    /// The code in the store's answer, such as `AccessDenied`.
    pub s3_code: Option<String>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// That a person knows of a gap and that it will not be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When it was said, in seconds since 1970.
    pub at: i64,
    /// The reason that was given, as it was typed.
    pub reason: String,
}

/// A run of lost segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Unique in its ledger.
    pub id: u64,
    /// Whether it still needs a repair.
    pub state: GapState,
    /// The first lost segment.
    pub first: SegmentName,
    /// The last lost segment, on the same timeline.
    pub last: SegmentName,
    /// Whether the lost file is a `.partial`; then `first` and `last` are that segment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The class of the failure.
    pub class: Class,
    /// What made push give up.
    pub cause: Cause,
    /// The store's code at the first loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_code: Option<String>,
    /// The first loss, in seconds since 1970.
    pub opened_at: i64,
    /// The newest loss, in seconds since 1970.
    pub last_at: i64,
    /// When it was healed or sealed, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<i64>,
    /// The label of the backup that sealed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_by: Option<String>,
    /// Whether somebody said that it will stay: it is no reason for a verdict then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// The repositories that lack it, by their numbers; `None`: all of them, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<u32>>,
    /// Those of them in which a backup has begun after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_in: Vec<u32>,
}

impl Gap {
    /// How many segments it spans.
    #[must_use]
    pub fn segments(&self, size: SegmentSize) -> u64 {
        self.last.number(size).saturating_sub(self.first.number(size)) + 1
    }

    /// Whether a segment (`partial`: its `.partial` file) is one of its files. `size`: of a segment, in bytes.
    #[must_use]
    pub fn holds(&self, segment: SegmentName, partial: bool, size: SegmentSize) -> bool {
        self.is_like(segment, partial)
            && (self.first.number(size)..=self.last.number(size)).contains(&segment.number(size))
    }

    /// Whether a restore of the backup needs nothing of it. On an older timeline nothing is needed, wherever that one
    /// went: the backup's own checkpoint lies behind the switch (xlog.c, `do_pg_backup_start`).
    fn ended_before(&self, backup: &BackupStart, size: SegmentSize) -> bool {
        let end = (self.last.number(size) + 1).saturating_mul(size.bytes());
        match self.first.timeline().cmp(&backup.timeline) {
            Ordering::Less => true,
            Ordering::Equal => end <= backup.lsn,
            Ordering::Greater => false,
        }
    }

    fn is_like(&self, segment: SegmentName, partial: bool) -> bool {
        self.partial == partial && self.first.timeline() == segment.timeline()
    }

    /// Whether `later` begins right after this one and both tell the same story.
    fn joins(&self, later: &Self, size: SegmentSize) -> bool {
        self.is_like(later.first, later.partial)
            && !self.partial
            && (self.state, self.class, self.cause, &self.sealed_by, &self.acknowledged)
                == (later.state, later.class, later.cause, &later.sealed_by, &later.acknowledged)
            && (&self.repositories, &self.sealed_in) == (&later.repositories, &later.sealed_in)
            && self.last.number(size) + 1 == later.first.number(size)
    }
}

/// Where a backup begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStart {
    /// Its label, such as `20261125-101500F`.
    pub label: String,
    /// The timeline on which it was taken.
    pub timeline: Timeline,
    /// Its start, as a position in the WAL.
    pub lsn: u64,
}

/// Which losses are older than a backup. One that was recorded while it ran is not.
#[derive(Debug, Clone, Copy)]
pub enum LossesBefore<'a> {
    /// Those that were on record when it began, whatever the clock says.
    OnRecord(&'a Gaps),
    /// Those of an earlier time than when it began, in seconds since 1970; and what was found missing or wrong, whenever
    /// that was: it had been archived at its place in the WAL, and it is the place that counts.
    StartedAt(i64),
}

impl LossesBefore<'_> {
    fn hold(self, gap: &Gap, size: SegmentSize) -> bool {
        match self {
            Self::OnRecord(gaps) => gaps.open().any(|known| {
                known.holds(gap.first, gap.partial, size)
                    && known.holds(gap.last, gap.partial, size)
                    && known.last_at == gap.last_at
            }),
            Self::StartedAt(at) => gap.last_at < at || gap.cause.was_found(),
        }
    }
}

/// All gaps of one cluster, open and closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    next_id: u64,
    gaps: Vec<Gap>,
}

impl Gaps {
    /// The gaps, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter()
    }

    /// Whether any gap is open.
    #[must_use]
    pub fn any_open(&self) -> bool {
        self.open().next().is_some()
    }

    /// The open gaps.
    pub fn open(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| gap.state == GapState::Open)
    }

    /// The open gap that holds a lost file.
    #[must_use]
    pub fn open_gap_of(&self, segment: SegmentName, partial: bool, size: SegmentSize) -> Option<&Gap> {
        self.open().find(|gap| gap.holds(segment, partial, size))
    }

    /// Whether a segment is known to be lost, in an open gap or in one that a backup has sealed.
    #[must_use]
    pub fn lost_for_good(&self, segment: SegmentName, size: SegmentSize) -> bool {
        self.gaps.iter().any(|gap| gap.state != GapState::Healed && gap.holds(segment, false, size))
    }

    /// Adds a loss in every repository. False when it is already on record as open: PostgreSQL asked again after a kill.
    pub fn record(&mut self, loss: &Loss, size: SegmentSize) -> bool {
        self.record_in(None, loss, size)
    }

    /// Adds a loss in these repositories; `None`: in all of them.
    pub fn record_in(&mut self, repositories: Option<Vec<u32>>, loss: &Loss, size: SegmentSize) -> bool {
        if self.open_gap_of(loss.segment, loss.partial, size).is_some() {
            return false;
        }
        let id = self.take_id();
        self.gaps.push(Gap {
            id,
            state: GapState::Open,
            first: loss.segment,
            last: loss.segment,
            partial: loss.partial,
            class: loss.class,
            cause: loss.cause,
            s3_code: loss.s3_code.clone(),
            opened_at: loss.at,
            last_at: loss.at,
            closed_at: None,
            sealed_by: None,
            acknowledged: None,
            repositories,
            sealed_in: Vec::new(),
        });
        self.tidy(size);
        true
    }

    /// Marks one file as stored after all, in every repository. False when no open gap holds it.
    pub fn heal(&mut self, file: &WalFile, at: i64, size: SegmentSize) -> bool {
        let Some(one) = self.take_out_file(file, size) else { return false };
        self.gaps.push(Gap { state: GapState::Healed, closed_at: Some(at), ..one });
        self.tidy(size);
        true
    }

    /// Takes one segment out of a gap. What is left of the gap on either side stays, the earlier part under its id.
    fn take_out(&mut self, index: usize, segment: SegmentName, size: SegmentSize) -> Gap {
        let whole = self.gaps.remove(index);
        let (before, after) = around(&whole, segment, size);
        let alone = before.is_none() && after.is_none();
        let id = if alone { whole.id } else { self.take_id() };
        let one = Gap { id, first: segment, last: segment, ..whole.clone() };
        // The part that keeps the gap's id is the one before, else the one after.
        let after_id = if before.is_some() && after.is_some() { self.take_id() } else { whole.id };
        self.gaps.extend(before.map(|last| Gap { last, ..whole.clone() }));
        self.gaps.extend(after.map(|first| Gap { id: after_id, first, ..whole }));
        one
    }

    /// Takes one file out of the open gap that holds it, as a gap of its own.
    fn take_out_file(&mut self, file: &WalFile, size: SegmentSize) -> Option<Gap> {
        let (segment, partial) = file.losable()?;
        let held = |gap: &Gap| gap.state == GapState::Open && gap.holds(segment, partial, size);
        let index = self.gaps.iter().position(held)?;
        Some(self.take_out(index, segment, size))
    }

    /// Seals every open gap that ended before a backup began, where there is one repository. How many that were.
    #[cfg(test)]
    pub(crate) fn seal(&mut self, backup: &BackupStart, losses: LossesBefore<'_>, at: i64, size: SegmentSize) -> usize {
        let only = Repositories { configured: &[1], backed_up: &[1] };
        self.seal_in(1, only, backup, losses, (at, size))
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Joins what touches, forgets the oldest closed gaps, and bounds the open ones.
    fn tidy(&mut self, size: SegmentSize) {
        self.bound_acknowledgements();
        self.gaps.sort_by_key(|gap| (gap.partial, gap.first, gap.id));
        let mut joined: Vec<Gap> = Vec::with_capacity(self.gaps.len());
        // By their last segment, so that not each is held against each.
        let mut ends: BTreeMap<(Timeline, u64), Vec<usize>> = BTreeMap::new();
        for gap in self.gaps.drain(..) {
            let end = (gap.last.timeline(), gap.last.number(size));
            let before = gap.first.number(size).checked_sub(1).and_then(|number| ends.get(&(end.0, number)));
            let touches = |at: &&usize| joined.get(**at).is_some_and(|earlier| earlier.joins(&gap, size));
            let place = before.and_then(|places| places.iter().rev().find(touches)).copied();
            match place.and_then(|at| joined.get_mut(at)) {
                Some(earlier) => absorb(earlier, gap),
                None => joined.push(gap),
            }
            ends.entry(end).or_default().push(place.unwrap_or(joined.len() - 1));
        }
        self.gaps = joined;
        while self.open().count() > OPEN_KEPT && self.merge_nearest(size) {}
        self.gaps.sort_by_key(|gap| gap.id);
        self.forget_old();
    }

    fn forget_old(&mut self) {
        let closed = self.gaps.iter().filter(|gap| gap.state != GapState::Open);
        let mut times: Vec<_> = closed.map(|gap| (gap.closed_at, gap.id)).collect();
        if let Some(surplus) = times.len().checked_sub(CLOSED_KEPT).filter(|surplus| *surplus > 0) {
            times.sort_unstable();
            let forgotten: Vec<u64> = times.into_iter().take(surplus).map(|(_, id)| id).collect();
            self.gaps.retain(|gap| !forgotten.contains(&gap.id));
        }
    }

    /// Makes one of the two open gaps of a timeline that lie nearest to each other; of acknowledged ones only where there
    /// are no others, and then nothing is said of the whole. False when no two can be.
    fn merge_nearest(&mut self, size: SegmentSize) -> bool {
        let mut open: Vec<usize> = (0..self.gaps.len()).filter(|at| self.is_open_range(*at)).collect();
        open.sort_by_key(|at| self.gaps.get(*at).map(|gap| gap.first));
        let pairs = open.iter().zip(open.iter().skip(1)).filter_map(|(left, right)| {
            let (earlier, later) = (self.gaps.get(*left)?, self.gaps.get(*right)?);
            let same = earlier.is_like(later.first, later.partial);
            let known = earlier.acknowledged.is_some() || later.acknowledged.is_some();
            same.then(|| (known, later.first.number(size).saturating_sub(earlier.last.number(size)), *left, *right))
        });
        let Some((_, _, left, right)) = pairs.min() else { return false };
        let later = self.gaps.get(right).cloned();
        if let (Some(later), Some(earlier)) = (later, self.gaps.get_mut(left)) {
            absorb(earlier, later);
            earlier.acknowledged = None;
        }
        self.gaps.remove(right);
        true
    }

    fn is_open_range(&self, at: usize) -> bool {
        self.gaps.get(at).is_some_and(|gap| gap.state == GapState::Open && !gap.partial)
    }
}

/// What is left of `whole` on either side of `segment`: the last segment before it, the first after it.
fn around(whole: &Gap, segment: SegmentName, size: SegmentSize) -> (Option<SegmentName>, Option<SegmentName>) {
    let number = segment.number(size);
    let named =
        |number: Option<u64>| number.and_then(|number| SegmentName::from_number(segment.timeline(), number, size));
    let before = (whole.first != segment).then(|| named(number.checked_sub(1))).flatten();
    let after = (whole.last != segment).then(|| named(number.checked_add(1))).flatten();
    (before, after)
}

/// Extends `earlier` by `later`, which does not begin before it.
fn absorb(earlier: &mut Gap, later: Gap) {
    earlier.id = earlier.id.min(later.id);
    earlier.last = earlier.last.max(later.last);
    earlier.opened_at = earlier.opened_at.min(later.opened_at);
    earlier.last_at = earlier.last_at.max(later.last_at);
    earlier.closed_at = earlier.closed_at.max(later.closed_at);
    earlier.s3_code = earlier.s3_code.take().or(later.s3_code);
    earlier.absorb_repositories(later.repositories, &later.sealed_in);
}

#[cfg(test)]
#[path = "gaps_tests.rs"]
mod tests;
