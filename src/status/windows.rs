//! The restorable windows, out of the catalog as it is known, the ledger's gaps, and the files in `pg_wal`.
//!
//! What is archived on a timeline reaches as far as the catalog's newest segment and what PostgreSQL counts as archived;
//! on one that was left, up to where it was left: PostgreSQL archives in order, and what was lost on the way is a gap.
//! What waits in the overflow folder is not in the archive yet.

use super::commits::newest_commit;
use super::history;
use super::report;
use crate::data_directory::DataDirectory;
use crate::decide::holes::archived_up_to;
use crate::decide::windows::{Archive, Backup, Commit, Lost, Switch, Window};
use crate::ledger::gaps::{CLOSED_KEPT, GapState};
use crate::ledger::state::State;
use crate::pgbackrest::config::Config;
use crate::seen_catalog::{Entry, Known, Record};
use crate::wal::{Lsn, SegmentName, SegmentSize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Segments before the end of a window in which a commit is looked for.
const LOOKED_BACK: u64 = 2;
/// Windows whose end is looked at, the newest ones.
const LOOKED_AT: usize = 4;

/// Where everything comes from.
pub(super) struct Sources<'s> {
    pub(super) directory: &'s DataDirectory,
    pub(super) state_dir: &'s Path,
    pub(super) state: &'s State,
    pub(super) known: &'s Known,
    pub(super) record: Option<&'s Record>,
    /// The newest file that PostgreSQL counts as archived; `None` on a standby, which archives nothing.
    pub(super) last_archived: Option<&'s str>,
    pub(super) overflow: Option<&'s Path>,
    pub(super) config: Option<&'s Config>,
}

impl Sources<'_> {
    /// What is known of the archive.
    pub(super) fn archive(&self) -> Archive {
        let size = self.size();
        let switches = history::switches(self.directory, self.state_dir);
        let mut archive = Archive {
            size,
            backups: self.backups(),
            lost: self.lost(size),
            oldest: self.known.archives.iter().filter_map(|(oldest, _)| *oldest).min(),
            newest: self.newest(&switches, size),
            switches,
            commits: self.noted_commits(),
        };
        let seen = self.seen_commits(&archive);
        archive.commits.extend(seen);
        archive
    }

    fn size(&self) -> SegmentSize {
        let of_control = || self.directory.control().and_then(|control| control.segment_size);
        self.state.segment_size.or_else(of_control).unwrap_or(SegmentSize::DEFAULT)
    }

    fn backups(&self) -> Vec<Backup> {
        let kept = |entry: &&Entry| self.unusable(entry).is_none();
        let usable = self.known.backups.iter().filter(kept);
        let backup = |entry: &Entry| {
            Some(Backup {
                label: entry.label.clone(),
                start: entry.start?,
                stop: entry.stop?,
                stop_lsn: entry.stop_lsn.map(|lsn| lsn.0),
                stop_at: entry.ended_at,
            })
        };
        usable.filter_map(backup).collect()
    }

    /// Why nothing behind a backup can be restored, if so.
    pub(super) fn unusable(&self, entry: &Entry) -> Option<&'static str> {
        let expired = self.wal_kept_from(entry.repository).is_some_and(|from| entry.ended_at < from);
        self.known.unusable(entry).or_else(|| expired.then_some("the WAL behind it has expired")).or_else(|| {
            let forgotten = forgotten_until(self.state).is_some_and(|until| entry.ended_at < until);
            forgotten.then_some("the ledger has forgotten the gaps of its time")
        })
    }

    /// With `retention-archive` pgBackRest keeps the WAL behind the newest backups only (expire.c, `removeExpiredArchive`).
    fn wal_kept_from(&self, repository: u32) -> Option<i64> {
        let option = |name: &str| self.config?.option("expire", &format!("repo{repository}-{name}"));
        let count: usize = option("retention-archive")?.parse().ok()?;
        let kind = option("retention-archive-type").unwrap_or("full");
        let counts = |entry: &&Entry| {
            entry.repository == repository
                && (entry.kind == "full" || kind == "incr" || (kind == "diff" && entry.kind == "diff"))
        };
        let mut ends: Vec<i64> = self.known.backups.iter().filter(counts).map(|entry| entry.ended_at).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(count.checked_sub(1)?).copied()
    }

    fn lost(&self, size: SegmentSize) -> Vec<Lost> {
        let gaps = self.state.gaps.iter().filter(|gap| gap.state != GapState::Healed && !gap.partial);
        let gaps = gaps.map(|gap| Lost {
            timeline: gap.first.timeline().0,
            first: gap.first.number(size),
            last: gap.last.number(size),
        });
        let waiting = self.overflow.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let waiting = waiting.filter_map(|entry| entry.file_name().to_str()?.parse::<SegmentName>().ok());
        let waiting = waiting.map(|segment| {
            let number = segment.number(size);
            Lost { timeline: segment.timeline().0, first: number, last: number }
        });
        gaps.chain(waiting).collect()
    }

    fn newest(&self, switches: &BTreeMap<u32, Switch>, size: SegmentSize) -> BTreeMap<u32, u64> {
        let mut newest: BTreeMap<u32, u64> = BTreeMap::new();
        let mut raise = |timeline: u32, number: u64| {
            let known = newest.entry(timeline).or_insert(number);
            *known = number.max(*known);
        };
        let listed = self.known.archives.iter().filter_map(|(_, newest)| *newest);
        let last = self.last_archived.and_then(|name| archived_up_to(&name.parse().ok()?, size));
        for segment in listed.chain(self.record.and_then(|record| record.archived)).chain(last) {
            raise(segment.timeline().0, segment.number(size));
        }
        for (child, switch) in switches.iter().rev() {
            if newest.contains_key(child)
                && let Some(last) = (switch.lsn / size.bytes()).checked_sub(1)
            {
                let known = newest.entry(switch.parent).or_insert(last);
                *known = last.max(*known);
            }
        }
        newest
    }

    fn noted_commits(&self) -> Vec<Commit> {
        let noted = self.record.map(|record| record.commits.as_slice()).unwrap_or_default();
        let commit = |seen: &crate::seen_catalog::SeenCommit| Commit {
            timeline: seen.segment.timeline().0,
            lsn: seen.lsn,
            at: seen.at,
        };
        noted.iter().map(commit).collect()
    }

    /// The newest commits before the ends of the windows, where their segments still lie in `pg_wal`.
    fn seen_commits(&self, archive: &Archive) -> Vec<Commit> {
        let Some(system_id) = self.directory.control().map(|control| control.system_id) else { return Vec::new() };
        let pg_wal = self.directory.pg_wal();
        let mut windows = archive.windows();
        windows.sort_by_key(|window| std::cmp::Reverse((window.timeline, window.from)));
        let ends = windows.iter().take(LOOKED_AT);
        let seen = ends.filter_map(|window| {
            let after = window.to.div_ceil(archive.size.bytes());
            let mut numbers = (after.saturating_sub(LOOKED_BACK)..after).rev();
            numbers.find_map(|number| self.commit_in(&pg_wal, archive, window, number, system_id))
        });
        seen.collect()
    }

    fn commit_in(
        &self,
        pg_wal: &Path,
        archive: &Archive,
        window: &Window,
        number: u64,
        system_id: u64,
    ) -> Option<Commit> {
        let timeline = crate::wal::Timeline(window.timeline);
        let segment = SegmentName::from_number(timeline, number, archive.size)?;
        let known = self.record.and_then(|record| record.commits.iter().find(|seen| seen.segment == segment));
        let (lsn, at) = match known {
            Some(seen) => (seen.lsn, seen.at),
            None => newest_commit(pg_wal, segment, archive.size, system_id).map(|end| (end.lsn, end.before))?,
        };
        Some(Commit { timeline: window.timeline, lsn, at })
    }
}

/// The oldest time of which the ledger still knows every gap, if it may have forgotten some.
fn forgotten_until(state: &State) -> Option<i64> {
    let closed: Vec<i64> = state.gaps.iter().filter_map(|gap| gap.closed_at).collect();
    if closed.len() >= CLOSED_KEPT { closed.into_iter().min() } else { None }
}

/// A window as the report shows it.
pub(super) fn shown(window: &Window) -> report::Window {
    report::Window {
        timeline: window.timeline,
        from: window.from_at.and_then(report::moment),
        to: window.to_at.and_then(report::moment),
        from_lsn: Some(Lsn(window.from).to_string()),
        to_lsn: Some(Lsn(window.to).to_string()),
        backup: window.backup.clone(),
    }
}
