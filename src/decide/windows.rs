//! What can be restored: which stretches of the WAL follow a usable backup without a hole.
//!
//! A recovery begins at a backup's start and reads every segment from there. On its way it may change to a newer
//! timeline: from the segment in which that one begins, PostgreSQL takes the newer timeline's copy
//! (xlogrecovery.c, `XLogFileReadAnyTLI`, PostgreSQL 15). So a window is what a walk along one line of timelines reaches,
//! from the backup's stop up to the first segment that is not in the archive. A later backup inside it begins no window of
//! its own; one behind a hole does.
//!
//! By time a recovery stops before the first commit after the target, and fails where there is none
//! (`recoveryStopsBefore`). So a window reaches, as a time, up to the newest commit that is known to be in it.

use crate::wal::{SegmentName, SegmentSize};
use std::collections::BTreeMap;

/// A backup of the catalog. Times in seconds since 1970, positions in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its label, such as `20261125-101500F`.
    pub label: String,
    /// The repository that holds it.
    pub repository: u32,
    /// The first segment that it needs.
    pub start: SegmentName,
    /// The last segment that it needs to be consistent.
    pub stop: SegmentName,
    /// Where it became consistent; `None` where the catalog does not say, then at the end of `stop`.
    pub stop_lsn: Option<u64>,
    /// When it ended, in seconds since 1970, rounded down by pgBackRest.
    pub stop_at: i64,
}

/// A run of segments that are in no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
    pub timeline: u32,
    /// The first one's number.
    pub first: u64,
    /// The last one's number.
    pub last: u64,
}

/// How a timeline began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The timeline that it left.
    pub parent: u32,
    /// The position, in bytes from the start of all WAL.
    pub lsn: u64,
    /// When, at the latest; in seconds since 1970.
    pub at: Option<i64>,
}

/// A commit that was seen in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
    pub timeline: u32,
    /// Where its record begins.
    pub lsn: u64,
    /// The last whole second before it, since 1970.
    pub at: i64,
}

/// What is known of an archive in one repository: what a walk of its listing has shown.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The cluster's segment size.
    pub size: SegmentSize,
    /// The usable backups.
    pub backups: Vec<Backup>,
    /// What is lost.
    pub lost: Vec<Lost>,
    /// The oldest segment that is still there.
    pub oldest: Option<SegmentName>,
    /// By timeline: the number of the newest segment that was looked for.
    pub newest: BTreeMap<u32, u64>,
    /// By timeline: how it began, where its history is there.
    pub switches: BTreeMap<u32, Switch>,
    /// Commits that were seen.
    pub commits: Vec<Commit>,
}

/// A stretch of one timeline that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
    pub timeline: u32,
    /// The first position, in bytes from the start of all WAL.
    pub from: u64,
    /// Up to where: the first byte that is not there, or belongs to the next timeline.
    pub to: u64,
    /// From when, in seconds since 1970: the first whole second after the backup's stop; `None` where a timeline's beginning is not known.
    pub from_at: Option<i64>,
    /// Up to when; `None` where no commit of it was seen.
    pub to_at: Option<i64>,
    /// The backup from which it is restored.
    pub backup: String,
    /// The repository from which.
    pub repository: u32,
    /// Whether it goes on from a window of an older timeline.
    pub continues: bool,
}

/// One timeline on a recovery's way.
#[derive(Debug, Clone, Copy)]
struct Step {
    timeline: u32,
    /// Where the way enters it; `None` for the first.
    enters: Option<Switch>,
}

impl Archive {
    /// Every window, by timeline and position.
    #[must_use]
    pub fn windows(&self) -> Vec<Window> {
        let mut backups: Vec<&Backup> = self.backups.iter().collect();
        backups.sort_by_key(|backup| (backup.start.timeline(), self.consistent_at(backup), backup.stop_at));
        let mut windows = Vec::new();
        for backup in backups {
            for way in self.ways(backup.start.timeline().0, self.consistent_at(backup)) {
                self.walk(backup, &way).into_iter().for_each(|piece| join(&mut windows, piece));
            }
        }
        for window in &mut windows {
            self.date(window);
        }
        windows.sort_by(|a, b| (a.timeline, a.from, &a.backup).cmp(&(b.timeline, b.from, &b.backup)));
        windows
    }

    fn consistent_at(&self, backup: &Backup) -> u64 {
        backup.stop_lsn.unwrap_or_else(|| (backup.stop.number(self.size) + 1).saturating_mul(self.size.bytes()))
    }

    /// Every line of timelines that a recovery from this position of a timeline can follow.
    fn ways(&self, timeline: u32, position: u64) -> Vec<Vec<Step>> {
        let own = vec![Step { timeline, enters: None }];
        let leaves = self.switches.keys().filter_map(|leaf| self.way_to(*leaf, timeline, position));
        std::iter::once(own).chain(leaves).collect()
    }

    /// The line from `timeline` down to `leaf`, if there is one that leaves it behind the position.
    fn way_to(&self, leaf: u32, timeline: u32, position: u64) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let (mut at, mut later) = (leaf, u64::MAX);
        while at != timeline {
            // A timeline's parent is older, so this ends.
            let switch = self.switches.get(&at).filter(|switch| switch.parent < at && switch.lsn <= later)?;
            steps.push(Step { timeline: at, enters: Some(*switch) });
            (at, later) = (switch.parent, switch.lsn);
        }
        steps.push(Step { timeline, enters: None });
        steps.reverse();
        (position <= later).then_some(steps)
    }

    /// What a recovery from a backup reaches on one way, timeline by timeline.
    fn walk(&self, backup: &Backup, way: &[Step]) -> Vec<Window> {
        let start = backup.start.number(self.size);
        let end = self.first_missing_on(way, start);
        if end <= backup.stop.number(self.size) {
            return Vec::new();
        }
        let end = end.saturating_mul(self.size.bytes());
        let mut pieces = Vec::new();
        for (at, step) in way.iter().enumerate() {
            let from = step.enters.map_or_else(|| self.consistent_at(backup), |switch| switch.lsn);
            let leaves = way.get(at + 1).and_then(|next| next.enters).map_or(u64::MAX, |switch| switch.lsn);
            let to = end.min(leaves);
            if from < to || (step.enters.is_none() && from == to) {
                pieces.push(Window {
                    timeline: step.timeline,
                    from,
                    to,
                    // pgBackRest rounds the stop down: only a second later is it surely consistent.
                    from_at: step.enters.map_or(Some(backup.stop_at + 1), |switch| switch.at),
                    to_at: None,
                    backup: backup.label.clone(),
                    repository: backup.repository,
                    continues: step.enters.is_some(),
                });
            }
        }
        pieces
    }

    /// The number of the first segment that a recovery on this way does not find.
    fn first_missing_on(&self, way: &[Step], start: u64) -> u64 {
        let begins = |step: &Step| step.enters.map_or(0, |switch| switch.lsn / self.size.bytes());
        for (at, step) in way.iter().enumerate() {
            let ends = way.get(at + 1).map_or(u64::MAX, begins);
            let missing = self.first_missing(step.timeline, begins(step).max(start));
            if missing < ends {
                return missing;
            }
        }
        u64::MAX
    }

    /// The number of the first segment of a timeline that is not there, from `from` on.
    fn first_missing(&self, timeline: u32, from: u64) -> u64 {
        let expired = self.oldest.is_some_and(|oldest| {
            timeline < oldest.timeline().0 || (timeline == oldest.timeline().0 && from < oldest.number(self.size))
        });
        let Some(newest) = self.newest.get(&timeline).filter(|newest| !expired && from <= **newest) else {
            return from;
        };
        let behind = self.lost.iter().filter(|lost| lost.timeline == timeline && lost.last >= from);
        behind.map(|lost| lost.first.max(from)).min().unwrap_or(u64::MAX).min(newest.saturating_add(1))
    }

    /// Says up to when a window reaches: up to the newest commit that was seen in it, if a target can lie before that.
    fn date(&self, window: &mut Window) {
        let inside =
            |commit: &&Commit| commit.timeline == window.timeline && (window.from..window.to).contains(&commit.lsn);
        let newest = self.commits.iter().filter(inside).map(|commit| commit.at).max();
        let is_late = newest.is_some_and(|newest| window.from_at.is_some_and(|from| newest < from));
        if is_late && window.continues {
            // The history was fetched later than the timeline began.
            window.from_at = None;
        }
        window.to_at = newest.filter(|_| !is_late || window.continues);
    }
}

/// Adds a piece, unless it begins inside a window that is there: that one's backup is older and reaches as far.
fn join(windows: &mut Vec<Window>, piece: Window) {
    let holds =
        |window: &&mut Window| window.timeline == piece.timeline && (window.from..=window.to).contains(&piece.from);
    match windows.iter_mut().find(holds) {
        Some(window) => window.to = window.to.max(piece.to),
        None => windows.push(piece),
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
