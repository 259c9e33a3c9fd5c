//! What the repositories hold, looked at now: a restore rests on nobody's notes.
//!
//! `info` names the backups, a listing the segments, the histories where timelines part. When a segment was stored bounds the
//! commits in it. What `watch` has noted of commits, where its note is there, tells more of where a window ends.

use super::{MESSAGE_LENGTH, RestoreError};
use crate::decide::restore::Stored;
use crate::decide::windows::{Archive, Backup, Commit, Lost, Switch, Window};
use crate::pgbackrest::info::{self, Stanza};
use crate::pgbackrest::{Client, NoListing, Watch};
use crate::seen_catalog::Record;
use crate::signals::Signals;
use crate::wal::{SegmentName, SegmentSize, Timeline, WalFile, listed, parents};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// How long one question may take; a long listing takes a while.
const LIMIT: Duration = Duration::from_mins(10);
/// Windows for whose ends it is looked up when their last segment was stored, the newest ones.
const LOOKED_AT: usize = 16;

/// What the repositories hold of a cluster.
pub(super) struct Seen {
    /// Each repository that could be read.
    pub(super) archives: Vec<Archive>,
    /// When the last segments of windows were stored.
    pub(super) stored: Vec<Stored>,
    /// What `info` has answered.
    pub(super) stanza: Stanza,
    /// The cluster.
    pub(super) system_id: u64,
}

/// Looks at every repository, or at the one that was asked for. One that can't be read is said, and done without.
pub(super) fn look(
    client: &Client,
    only: Option<u32>,
    notes: Option<&Path>,
    signals: &Signals,
) -> Result<Seen, RestoreError> {
    let stanza = client.info(only, watch(signals)).map_err(RestoreError::PgBackRest)?;
    for repo in stanza.repo.iter().filter(|repo| !stanza.is_readable(repo.key)) {
        tracing::warn!("repository {} can't be read and is left out: {}", repo.key, repo.status.message);
    }
    let Some(system_id) = cluster(&stanza) else {
        let words: Vec<String> =
            stanza.repo.iter().map(|repo| format!("repository {}: {}", repo.key, repo.status.message)).collect();
        return Err(RestoreError::Unreadable(words.join("; ")));
    };
    let commits = notes.map(|folder| noted_commits(folder, system_id)).unwrap_or_default();
    let size = segment_size(&stanza, system_id);
    let mut seen = Seen { archives: Vec::new(), stored: Vec::new(), stanza, system_id };
    let keys: Vec<u32> = seen.stanza.repo.iter().map(|repo| repo.key).collect();
    for key in keys {
        if let Some((archive, stored)) = repository(client, &seen, key, size, &commits, signals)? {
            seen.archives.push(archive);
            seen.stored.extend(stored);
        }
    }
    Ok(seen)
}

impl Seen {
    /// A backup as `info` names it.
    pub(super) fn backup(&self, label: &str, repository: u32) -> Option<&info::Backup> {
        self.stanza.backup.iter().find(|one| one.label == label && one.database.repo_key == repository)
    }

    /// The cluster's major version of PostgreSQL.
    pub(super) fn version(&self) -> Option<&str> {
        let newest = self.stanza.db.iter().filter(|db| db.system_id == self.system_id).max_by_key(|db| db.id)?;
        Some(newest.version.as_str()).filter(|version| !version.is_empty())
    }

    /// What must be as it was for a failure to happen again.
    pub(super) fn fingerprint(&self) -> String {
        let labels = self.stanza.backup.iter().map(|backup| format!("{}/{}", backup.database.repo_key, backup.label));
        let ends = self.archives.iter().flat_map(|archive| &archive.newest);
        let ends = ends.map(|(timeline, newest)| format!("{timeline}:{newest}"));
        let parts: Vec<String> = labels.chain(ends).collect();
        format!("{:08x} {} {}", crc32fast::hash(parts.join(" ").as_bytes()), self.system_id, env!("CARGO_PKG_VERSION"))
    }
}

fn watch(signals: &Signals) -> Watch<'_> {
    Watch::within(LIMIT).and_signals(signals)
}

/// The cluster that the stanza holds now; an upgrade leaves older ones in it.
fn cluster(stanza: &Stanza) -> Option<u64> {
    let readable = stanza.db.iter().filter(|db| stanza.is_readable(db.repo_key));
    readable.max_by_key(|db| (db.id, std::cmp::Reverse(db.repo_key))).map(|db| db.system_id)
}

/// The segment size with which the backups' positions and the names of their segments agree.
fn segment_size(stanza: &Stanza, system_id: u64) -> SegmentSize {
    let known: Vec<(u64, SegmentName)> = stanza
        .good_backups(system_id)
        .filter_map(|backup| Some((backup.lsn.start?.0, backup.archive.start?)))
        .collect();
    let sizes = (20..=30).filter_map(|power| SegmentSize::try_from(1_u64 << power).ok());
    let agrees = |size: &SegmentSize| known.iter().all(|(lsn, name)| lsn / size.bytes() == name.number(*size));
    sizes.into_iter().find(agrees).filter(|_| !known.is_empty()).unwrap_or(SegmentSize::DEFAULT)
}

/// One repository; `None` where it holds nothing of the cluster.
fn repository(
    client: &Client,
    seen: &Seen,
    key: u32,
    size: SegmentSize,
    commits: &[(u32, u64, i64)],
    signals: &Signals,
) -> Result<Option<(Archive, Vec<Stored>)>, RestoreError> {
    let stanza = &seen.stanza;
    let Some(id) = stanza.archive_id(seen.system_id, key).filter(|_| stanza.is_readable(key)) else { return Ok(None) };
    let folder = format!("archive/{}/{id}", client.stanza());
    let text = client.list_below(key, &folder, watch(signals)).map_err(|why| match why {
        NoListing::Failed(failure) => RestoreError::PgBackRest(failure),
        NoListing::TooLong => RestoreError::TooLong(key),
    })?;
    let files: Vec<WalFile> = text.lines().filter_map(listed).collect();
    let mut segments: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for file in &files {
        if let WalFile::Segment(name) = file {
            segments.entry(name.timeline().0).or_default().insert(name.number(size));
        }
    }
    let mut switches = BTreeMap::new();
    for timeline in files.iter().filter_map(|file| if let WalFile::History(of) = file { Some(*of) } else { None }) {
        let name = format!("{folder}/{}", WalFile::History(timeline));
        let text = client.read(key, &name, watch(signals)).map_err(RestoreError::PgBackRest)?;
        let line = parents(&String::from_utf8_lossy(&text), timeline.0).into_iter();
        switches.extend(line.map(|(child, (parent, lsn))| (child, Switch { parent, lsn, at: None })));
    }
    let archive = Archive {
        size,
        backups: backups(stanza, seen.system_id, key),
        lost: segments.iter().flat_map(|(timeline, numbers)| holes(*timeline, numbers)).collect(),
        oldest: None,
        newest: segments.iter().filter_map(|(timeline, numbers)| Some((*timeline, *numbers.last()?))).collect(),
        switches,
        commits: commits.iter().map(|(timeline, lsn, at)| Commit { timeline: *timeline, lsn: *lsn, at: *at }).collect(),
    };
    let stored = stored(client, key, &folder, &archive, &segments, signals);
    Ok(Some((archive, stored)))
}

/// The usable backups of a repository.
fn backups(stanza: &Stanza, system_id: u64, key: u32) -> Vec<Backup> {
    let backup = |backup: &info::Backup| {
        Some(Backup {
            label: backup.label.clone(),
            repository: key,
            start: backup.archive.start?,
            stop: backup.archive.stop?,
            stop_lsn: backup.lsn.stop.map(|lsn| lsn.0),
            stop_at: backup.timestamp.stop,
        })
    };
    stanza.good_backups(system_id).filter(|one| one.database.repo_key == key).filter_map(backup).collect()
}

/// What lies between and before the segments that are there.
fn holes(timeline: u32, numbers: &BTreeSet<u64>) -> Vec<Lost> {
    let mut lost = Vec::new();
    let mut next = 0;
    for number in numbers {
        if *number > next {
            lost.push(Lost { timeline, first: next, last: number - 1 });
        }
        next = number + 1;
    }
    lost
}

/// When the last segments of the newest windows were stored. Where a store can't say, nothing is known.
fn stored(
    client: &Client,
    key: u32,
    folder: &str,
    archive: &Archive,
    segments: &BTreeMap<u32, BTreeSet<u64>>,
    signals: &Signals,
) -> Vec<Stored> {
    let mut windows = archive.windows();
    windows.sort_by_key(|window| std::cmp::Reverse((window.timeline, window.to)));
    let last = |window: &Window| {
        let before = window.to.div_ceil(archive.size.bytes());
        let number = *segments.get(&window.timeline)?.range(..before).next_back()?;
        Some((number, SegmentName::from_number(Timeline(window.timeline), number, archive.size)?))
    };
    let mut stored = Vec::new();
    let mut folders: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for window in windows.iter().take(LOOKED_AT) {
        let Some((number, name)) = last(window) else { continue };
        let (name, lsn) = (name.to_string(), number.saturating_mul(archive.size.bytes()));
        let part = name.get(..16).unwrap_or_default().to_owned();
        let files = folders.entry(part).or_insert_with_key(|part| {
            client.stored_at(key, &format!("{folder}/{part}"), watch(signals)).unwrap_or_else(|failure| {
                tracing::debug!("when segments were stored is unknown: {}", failure.shown(MESSAGE_LENGTH));
                BTreeMap::new()
            })
        });
        let found = files.iter().find(|(file, _)| file.starts_with(&name) && listed(file).is_some());
        stored.extend(found.map(|(_, at)| Stored { repository: key, timeline: window.timeline, lsn, at: *at }));
    }
    stored
}

/// The commits that `watch` has noted of the cluster: timeline, position and second.
fn noted_commits(folder: &Path, system_id: u64) -> Vec<(u32, u64, i64)> {
    let record = Record::read(folder).ok().flatten();
    let ours = record.filter(|record| record.identity.system_id == Some(system_id));
    let commits = ours.map(|record| record.commits).unwrap_or_default();
    commits.iter().map(|commit| (commit.segment.timeline().0, commit.lsn, commit.at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_a_hole() {
        let lost = |first, last| Lost { timeline: 3, first, last };
        let numbers = BTreeSet::from([4, 5, 9, 10, 12]);
        assert_eq!(holes(3, &numbers), [lost(0, 3), lost(6, 8), lost(11, 11)]);
        assert_eq!(holes(3, &BTreeSet::from([0, 1])), []);
    }

    #[test]
    fn the_segment_size_is_what_positions_and_names_agree_on() {
        let size = |lsn: &str, name: &str| {
            let json = format!(
                r#"[{{"name":"main","repo":[{{"key":1,"status":{{"code":0}}}}],"db":[{{"id":1,"repo-key":1,"system-id":7}}],
                "backup":[{{"label":"F","type":"full","database":{{"id":1,"repo-key":1}},"timestamp":{{"start":1,"stop":2}},
                "lsn":{{"start":"{lsn}"}},"archive":{{"start":"{name}"}}}}]}}]"#
            );
            segment_size(&Stanza::parse(json.as_bytes(), "main").unwrap(), 7).bytes() >> 20
        };
        assert_eq!(size("0/2000028", "000000010000000000000002"), 16);
        assert_eq!(size("0/2000028", "000000010000000000000020"), 1);
        assert_eq!(size("1/80000028", "000000010000000100000002"), 1024);
        assert_eq!(size("2/2000028", "000000010000000200000002"), 16);
    }
}
