//! What a restore does: from the archive's windows and a target to one backup, one timeline and one way, or to a refusal
//! that names the nearest moments.
//!
//! pgBackRest chooses a backup by itself only for a time and an LSN (src/command/restore/restore.c, 2.45 to 2.60), and for any
//! other target takes the latest, be it newer than the target: PostgreSQL then fails each start with "requested recovery stop
//! point is before consistent recovery point". So backup, repository and timeline are always chosen here.
//!
//! A window ends, as a time, at the newest commit that is known to be in it. Where none is known, the time at which its last
//! segment was stored is a bound: no commit in it is newer. A target between the two may be there; the plan says so
//! ([`Plan::proved`]), and PostgreSQL does not promote where it is not.

use super::at::{Answer, Why, answer, newest_on_way};
use super::windows::{Archive, Backup, Window};
use crate::wal::{Lsn, SegmentName};
use jiff::Timestamp;
use std::fmt;

/// Up to where a recovery goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Before the first commit after a moment, in microseconds since 1970.
    Time(i64),
    /// Up to the first record at or behind a position.
    Lsn(Lsn),
    /// Up to a transaction's commit.
    Xid(u64),
    /// Up to a restore point.
    Name(String),
    /// As far as the archive goes.
    Latest,
    /// As far as the backup needs.
    Immediate,
}

impl Target {
    /// `--type` and `--target` of `pgbackrest restore`.
    #[must_use]
    pub fn words(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Time(at) => ("time", Some(moment(*at).replace('T', " ").replace('Z', "+00"))),
            Self::Lsn(lsn) => ("lsn", Some(lsn.to_string())),
            Self::Xid(xid) => ("xid", Some(xid.to_string())),
            Self::Name(name) => ("name", Some(name.clone())),
            Self::Latest => ("default", None),
            Self::Immediate => ("immediate", None),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Up to where.
    pub target: Target,
    /// From this backup.
    pub set: Option<String>,
    /// From this repository.
    pub repository: Option<u32>,
}

/// When a segment was stored: no commit in it is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The repository.
    pub repository: u32,
    /// The segment's timeline.
    pub timeline: u32,
    /// Where the segment begins.
    pub lsn: u64,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// The way to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The backup's label.
    pub backup: String,
    /// The repository that everything comes from.
    pub repository: u32,
    /// The timeline on which the recovery ends.
    pub timeline: u32,
    /// Up to where.
    pub target: Target,
    /// The first segment that is replayed.
    pub first: SegmentName,
    /// How many segments are replayed, at most.
    pub segments: u64,
    /// Where what can be restored ends.
    pub end: u64,
    /// Whether it is known that the target is in the archive. A name and a transaction are found only by replaying.
    pub proved: bool,
    /// The WAL goes on, on this timeline or a newer one, behind a hole that cannot be crossed.
    pub hole: bool,
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No backup that anything can be restored from.
    NoBackup,
    /// The backup that was named is none of these.
    UnknownBackup(String, Vec<String>),
    /// WAL that the backup needs is missing.
    Incomplete(String),
    /// The moment lies in no window.
    Moment {
        /// The moment, in microseconds since 1970.
        at: i64,
        /// Why it can't be.
        why: Why,
        /// The nearest moments that can be, in seconds since 1970, and their backups.
        near: [Option<(i64, String)>; 2],
    },
    /// The position lies in no window.
    Position {
        /// The position.
        lsn: Lsn,
        /// The nearest ones that can be restored: the last before it, the first after it.
        near: [Option<Lsn>; 2],
    },
}

/// Finds the way.
///
/// # Errors
/// When there is none.
pub fn plan(archives: &[Archive], stored: &[Stored], asked: &Asked) -> Result<Plan, Refusal> {
    let all = archives;
    let archives = narrowed(all, asked)?;
    let proven: Vec<Window> = archives.iter().flat_map(Archive::windows).collect();
    let possible = stretched(&proven, stored);
    let backups: Vec<Backup> = archives.iter().flat_map(|archive| archive.backups.clone()).collect();
    let facts = Facts { archives: &archives, proven: &proven, possible: &possible, backups: &backups };
    if let (true, Some(set)) = (proven.is_empty(), &asked.set) {
        return Err(Refusal::Incomplete(set.clone()));
    }
    match &asked.target {
        Target::Time(at) => facts.to_time(*at),
        Target::Lsn(lsn) => facts.to_lsn(*lsn),
        // From a backup that was named only that one's own end was asked for.
        Target::Latest => facts
            .to_the_end(&asked.target)
            .map(|plan| Plan { hole: plan.hole || asked.set.is_none() && goes_on_later(all, plan.timeline), ..plan }),
        Target::Immediate => facts.to_consistency(),
        // Only the oldest backup of a line is surely from before it.
        Target::Name(_) | Target::Xid(_) => facts.by_the_oldest(&asked.target),
    }
}

/// Whether there is WAL of a newer timeline: one that no window comes to begins behind a hole, or before every backup.
fn goes_on_later(archives: &[Archive], timeline: u32) -> bool {
    archives.iter().any(|archive| archive.newest.keys().any(|other| *other > timeline))
}

/// What of the archives was asked for.
fn narrowed(archives: &[Archive], asked: &Asked) -> Result<Vec<Archive>, Refusal> {
    let of_repository = |backup: &&Backup| asked.repository.is_none_or(|key| key == backup.repository);
    let named = |backup: &&Backup| asked.set.as_ref().is_none_or(|set| *set == backup.label);
    let kept = |archive: &Archive| Archive {
        backups: archive.backups.iter().filter(of_repository).filter(named).cloned().collect(),
        ..archive.clone()
    };
    let kept: Vec<Archive> = archives.iter().map(kept).filter(|archive| !archive.backups.is_empty()).collect();
    match (&asked.set, kept.is_empty()) {
        (_, false) => Ok(kept),
        (None, true) => Err(Refusal::NoBackup),
        (Some(set), true) => {
            let all = archives.iter().flat_map(|archive| &archive.backups).filter(of_repository);
            Err(Refusal::UnknownBackup(set.clone(), all.map(|backup| backup.label.clone()).collect()))
        }
    }
}

/// The windows up to when they may reach: up to when their newest segment was stored.
fn stretched(windows: &[Window], stored: &[Stored]) -> Vec<Window> {
    let bound = |window: &Window| {
        let inside = |one: &&Stored| {
            (one.repository, one.timeline) == (window.repository, window.timeline) && one.lsn < window.to
        };
        stored.iter().filter(inside).map(|one| one.at).max().max(window.to_at)
    };
    windows.iter().map(|window| Window { to_at: bound(window), ..window.clone() }).collect()
}

struct Facts<'f> {
    archives: &'f [Archive],
    /// Windows up to the newest commit that is known to be in each.
    proven: &'f [Window],
    /// Windows up to the newest commit that can be in each.
    possible: &'f [Window],
    backups: &'f [Backup],
}

impl Facts<'_> {
    fn to_time(&self, at: i64) -> Result<Plan, Refusal> {
        let target = Target::Time(at);
        for (windows, proved) in [(self.proven, true), (self.possible, false)] {
            if let Answer::Yes { backup, repository, timeline } = answer(windows, self.backups, None, at) {
                let is_on = |window: &&Window| {
                    (window.repository, window.timeline) == (repository, timeline)
                        && window.to_at.is_some_and(|to| at <= to.saturating_mul(1_000_000))
                };
                let end = windows.iter().filter(is_on).map(|window| window.to).min();
                return self.way(&backup, repository, timeline, target, end.unwrap_or(0), proved);
            }
        }
        match answer(self.possible, self.backups, None, at) {
            Answer::No { why, before, after } => Err(Refusal::Moment { at, why, near: [before, after] }),
            Answer::Yes { .. } => Err(Refusal::NoBackup),
        }
    }

    fn to_lsn(&self, lsn: Lsn) -> Result<Plan, Refusal> {
        let holds = |window: &&Window| (window.from..window.to).contains(&lsn.0);
        if let Some(window) = newest(self.proven.iter().filter(holds)) {
            let is_before = |backup: &Backup| backup.stop_lsn.is_some_and(|stop| stop <= lsn.0);
            let backup = newest_on_way(window, self.proven, self.backups, is_before);
            return self.way(&backup, window.repository, window.timeline, Target::Lsn(lsn), lsn.0 + 1, true);
        }
        let before = self.proven.iter().map(|window| window.to.saturating_sub(1)).filter(|to| *to < lsn.0).max();
        let after = self.proven.iter().map(|window| window.from).filter(|from| *from > lsn.0).min();
        Err(Refusal::Position { lsn, near: [before.map(Lsn), after.map(Lsn)] })
    }

    fn to_the_end(&self, target: &Target) -> Result<Plan, Refusal> {
        let window = newest(self.proven.iter()).ok_or(Refusal::NoBackup)?;
        let backup = newest_on_way(window, self.proven, self.backups, |_| true);
        self.way(&backup, window.repository, window.timeline, target.clone(), window.to, true)
    }

    fn to_consistency(&self) -> Result<Plan, Refusal> {
        let whole = |backup: &&Backup| {
            let timeline = backup.start.timeline().0;
            let reached = |window: &Window| {
                (window.repository, window.timeline) == (backup.repository, timeline)
                    && backup.stop_lsn.is_none_or(|stop| (window.from..=window.to).contains(&stop))
            };
            self.proven.iter().any(reached)
        };
        let newest = self.backups.iter().filter(whole).max_by_key(|backup| backup.stop_at);
        let backup = newest.ok_or(Refusal::NoBackup)?;
        let timeline = backup.start.timeline().0;
        let end = self.end_of(backup);
        self.way(&backup.label, backup.repository, timeline, Target::Immediate, end, true)
    }

    fn by_the_oldest(&self, target: &Target) -> Result<Plan, Refusal> {
        let window = newest(self.proven.iter()).ok_or(Refusal::NoBackup)?;
        self.way(&window.backup, window.repository, window.timeline, target.clone(), window.to, false)
    }

    /// Where a backup's last segment ends.
    fn end_of(&self, backup: &Backup) -> u64 {
        let size = self.archives.iter().find(|archive| archive.backups.contains(backup)).map(|archive| archive.size);
        size.map_or(0, |size| (backup.stop.number(size) + 1).saturating_mul(size.bytes()))
    }

    fn way(
        &self,
        label: &str,
        repository: u32,
        timeline: u32,
        target: Target,
        end: u64,
        proved: bool,
    ) -> Result<Plan, Refusal> {
        let is_it = |backup: &&Backup| backup.label == label && backup.repository == repository;
        let of_archive = |archive: &Archive| Some((archive.size, archive.backups.iter().find(is_it)?.clone()));
        let found = self.archives.iter().find_map(|archive| Some((archive, of_archive(archive)?)));
        let (archive, (size, backup)) = found.ok_or(Refusal::NoBackup)?;
        let segments = end.div_ceil(size.bytes()).saturating_sub(backup.start.number(size));
        let newest = archive.newest.get(&timeline).map_or(0, |newest| newest.saturating_add(1) * size.bytes());
        let hole = target == Target::Latest && newest > end;
        let first = backup.start;
        Ok(Plan { backup: backup.label, repository, timeline, target, first, segments, end, proved, hole })
    }
}

/// The window that reaches farthest on the newest timeline; of equal ones that of the first repository.
fn newest<'w>(windows: impl Iterator<Item = &'w Window>) -> Option<&'w Window> {
    windows.max_by_key(|window| (window.timeline, window.to, std::cmp::Reverse(window.repository)))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{}", moment(*at)),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Xid(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point '{}'", name.escape_debug()),
            Self::Latest => f.write_str("the end of the archive"),
            Self::Immediate => f.write_str("the end of the backup"),
        }
    }
}

/// Where a replay has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where.
    pub position: Lsn,
    /// The newest commit that was replayed, in microseconds since 1970.
    pub last_commit: Option<i64>,
    /// Where the newest segment begins that PostgreSQL asked for and no repository had. It asks for a segment when it has
    /// replayed everything before it.
    pub absent: Option<Lsn>,
}

/// What contradicts that a replay has ended where it should: on the timeline, and at the target. `last`: where the last segment
/// begins that a replay to the end of the archive must have gone through.
#[must_use]
pub fn contradiction(target: &Target, timeline: u32, last: Lsn, outcome: &Outcome) -> Option<String> {
    if outcome.timeline != timeline {
        return Some(format!("the replay ended on timeline {}, not on {timeline}", outcome.timeline));
    }
    let position = outcome.position;
    let late = |at: &i64| outcome.last_commit.filter(|last| last > at);
    match target {
        Target::Time(at) => late(at).map(|last| format!("the replay went to {}, past {target}", moment(last))),
        Target::Lsn(lsn) if position < *lsn => Some(format!("the replay ended at {position}, before {lsn}")),
        Target::Latest => short(last, outcome.absent).map(|why| format!("the replay ended at {position}: {why}")),
        Target::Lsn(_) | Target::Xid(_) | Target::Name(_) | Target::Immediate => None,
    }
}

/// Why a replay has not gone through all WAL that was listed, up to the segment that begins at `last`; `None` where it has.
/// `absent`: the newest segment that it asked for and nobody had.
#[must_use]
pub fn short(last: Lsn, absent: Option<Lsn>) -> Option<String> {
    match absent {
        Some(absent) if absent > last => None,
        Some(absent) => Some(format!("the segment at {absent} was listed, but is missing from the archive")),
        None => Some(format!(
            "a segment at or before {last} is damaged: it is archived, but holds no valid WAL (run pgbackrest verify)"
        )),
    }
}

/// A moment in microseconds since 1970, in UTC.
#[must_use]
pub fn moment(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| "a time out of range".to_owned(), |at| at.to_string())
}

fn second(seconds: i64) -> String {
    moment(seconds.saturating_mul(1_000_000))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackup => f.write_str("there is no backup to restore from"),
            Self::UnknownBackup(set, all) if all.is_empty() => {
                write!(f, "there is no backup {set}, and no other one either")
            }
            Self::UnknownBackup(set, all) => write!(f, "there is no backup {set}; there are: {}", all.join(", ")),
            Self::Incomplete(set) => write!(f, "WAL that the backup {set} needs is missing from the archive"),
            Self::Moment { at, why, near: [before, after] } => {
                let near = |near: &Option<(i64, String)>| {
                    near.as_ref().map_or("none".to_owned(), |(at, backup)| format!("{} (backup {backup})", second(*at)))
                };
                let (before, after) = (near(before), near(after));
                write!(
                    f,
                    "{} can't be restored: {}; the nearest moment before it: {before}, after it: {after}",
                    moment(*at),
                    why.as_str()
                )
            }
            Self::Position { lsn, near: [before, after] } => {
                let near = |near: &Option<Lsn>| near.map_or("none".to_owned(), |lsn| lsn.to_string());
                let why = match (before, after) {
                    (Some(_), None) => "the archived WAL ends before it",
                    (None, Some(_)) => "it is older than every usable backup",
                    _ => "WAL is missing before it",
                };
                let (before, after) = (near(before), near(after));
                write!(f, "{lsn} can't be restored: {why}; the nearest position before it: {before}, after it: {after}")
            }
        }
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
