//! The restorable windows of each repository: what a walk of its listing has shown, from the usable backups on.
//!
//! A window is claimed only where the walk has been; it ends there, or at the first segment that is not listed. The ledger
//! says why something is missing, not what is there. What waits in the overflow folder is not in the archive yet.

use super::commits::newest_commit;
use super::history;
use super::report;
use crate::data_directory::DataDirectory;
use crate::decide::holes::archived_up_to;
use crate::decide::walk::Walked;
use crate::decide::windows::{Archive, Backup, Commit, Lost, Switch, Window};
use crate::epoch::moment;
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

/// What is known of every repository's archive.
pub(super) struct Archives {
    /// One for each repository that was walked through.
    pub(super) walked: Vec<Archive>,
    /// The time from which on an archive holds what no walk has looked at, in seconds since 1970; `None`: there is nothing
    /// of that kind.
    pub(super) unverified_from: Option<i64>,
}

impl Sources<'_> {
    /// What is known of the archives.
    pub(super) fn archives(&self) -> Archives {
        let mut keys: Vec<u32> = self.known.backups.iter().map(|entry| entry.repository).collect();
        keys.sort_unstable();
        keys.dedup();
        let size = self.size();
        let switches = history::switches(self.directory, self.state_dir, self.state);
        let mut archives = Archives { walked: Vec::new(), unverified_from: None };
        for key in keys {
            let walked = self.record.and_then(|record| record.walked.get(&key));
            let unwalked = self
                .backups(key)
                .into_iter()
                .filter(|backup| !walked.is_some_and(|walked| walked.covers(backup.start)));
            let mut from = unwalked.map(|backup| backup.stop_at + 1).min();
            if let Some(walked) = walked {
                let archive = self.archive(key, walked, &switches, size);
                from = from.into_iter().chain(self.tail_of(&archive, walked)).min();
                archives.walked.push(archive);
            }
            archives.unverified_from = archives.unverified_from.into_iter().chain(from).min();
        }
        archives
    }

    /// The time from which on a walk has not looked, where the archive goes on behind it.
    fn tail_of(&self, archive: &Archive, walked: &Walked) -> Option<i64> {
        let listed = self.record.into_iter().flat_map(|record| &record.repositories);
        let listed = listed.filter_map(|repository| repository.newest).max();
        let last = self.last_archived.and_then(|name| archived_up_to(&name.parse().ok()?, archive.size));
        let newest = listed.into_iter().chain(last).chain(self.record.and_then(|record| record.archived)).max()?;
        if walked.up_to.is_some_and(|up_to| newest <= up_to) {
            return None;
        }
        let ends = archive.windows().into_iter().filter_map(|window| window.to_at.or(window.from_at)).max();
        Some(ends.map_or(0, |end| end + 1))
    }

    fn archive(&self, key: u32, walked: &Walked, switches: &BTreeMap<u32, Switch>, size: SegmentSize) -> Archive {
        let backups = self.backups(key).into_iter().filter(|backup| walked.covers(backup.start)).collect();
        let mut archive = Archive {
            size,
            backups,
            lost: self.missing(key, walked, size),
            oldest: Some(walked.from),
            newest: newest(walked, switches, size),
            switches: switches.clone(),
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

    /// The usable backups of a repository.
    fn backups(&self, key: u32) -> Vec<Backup> {
        let kept = |entry: &&Entry| entry.repository == key && self.unusable(entry).is_none();
        let usable = self.known.backups.iter().filter(kept);
        let backup = |entry: &Entry| {
            Some(Backup {
                label: entry.label.clone(),
                repository: key,
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
        self.known.unusable(entry).or_else(|| expired.then_some("the WAL after it has expired"))
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

    /// What the walk has not found, and what it has but the ledger calls lost: somebody may have listed it since.
    fn missing(&self, key: u32, walked: &Walked, size: SegmentSize) -> Vec<Lost> {
        let run = |first: SegmentName, last: SegmentName| Lost {
            timeline: first.timeline().0,
            first: first.number(size),
            last: last.number(size),
        };
        let missing = walked.missing.iter().map(|missing| run(missing.first, missing.last));
        let open = self.state.gaps.open().filter(|gap| !gap.partial && gap.lacks(key));
        let open = open.map(|gap| run(gap.first, gap.last));
        let waiting = self.overflow.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let waiting = waiting.filter_map(|entry| entry.file_name().to_str()?.parse::<SegmentName>().ok());
        missing.chain(open).chain(waiting.map(|segment| run(segment, segment))).collect()
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

/// By timeline: the number of the newest segment that was looked for. A timeline that was left was walked up to where it was
/// left.
fn newest(walked: &Walked, switches: &BTreeMap<u32, Switch>, size: SegmentSize) -> BTreeMap<u32, u64> {
    let mut newest = BTreeMap::new();
    let Some(up_to) = walked.up_to else { return newest };
    let (mut timeline, mut number) = (up_to.timeline().0, up_to.number(size));
    loop {
        newest.insert(timeline, number);
        let older = switches.get(&timeline).filter(|switch| switch.parent < timeline);
        let Some((switch, last)) = older.and_then(|switch| Some((switch, (switch.lsn / size.bytes()).checked_sub(1)?)))
        else {
            return newest;
        };
        (timeline, number) = (switch.parent, last);
        if timeline < walked.from.timeline().0 {
            return newest;
        }
    }
}

/// A window as the report shows it.
pub(super) fn shown(window: &Window) -> report::Window {
    report::Window {
        timeline: window.timeline,
        from: window.from_at.and_then(moment),
        to: window.to_at.and_then(moment),
        from_lsn: Some(Lsn(window.from).to_string()),
        to_lsn: Some(Lsn(window.to).to_string()),
        backup: window.backup.clone(),
        repository: window.repository,
    }
}
