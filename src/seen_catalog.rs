//! The catalog as it was last seen: what `watch` notes in the state directory, and `status` reads without the repository.
//!
//! Written by rename after each check of the catalog and each backup. It belongs to the ledger's cluster and repository,
//! and says so: a record of another one counts for nothing. An answer that is inconclusive keeps what the last good one
//! said of the backups.

use crate::decide::overdue::Leftover;
use crate::decide::walk::Walked;
use crate::durable;
use crate::ledger::state::{Identity, Place};
use crate::pgbackrest::info::{self, Stanza};
use crate::wal::{Lsn, SegmentName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "catalog";
/// Commits that are remembered.
const COMMITS_KEPT: usize = 500;

/// What a check of the catalog found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// A full backup of this cluster.
    Present,
    /// No backup, conclusively.
    Absent,
    /// It could not be told.
    Inconclusive,
}

impl Finding {
    /// Its name in JSON and text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The newest check. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What `info` said of the backups.
    #[serde(rename = "found")]
    pub finding: Finding,
    /// When, in seconds since 1970.
    pub at: i64,
    /// pgBackRest's words, redacted.
    pub detail: Option<String>,
    /// Since when no check has been conclusive.
    pub inconclusive_since: Option<i64>,
}

/// The catalog, as a conclusive answer showed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When it answered, in seconds since 1970.
    pub at: i64,
    /// This cluster's backups.
    pub backups: Vec<Entry>,
    /// This cluster's WAL in each repository: the oldest and the newest segment.
    pub archives: Vec<(Option<SegmentName>, Option<SegmentName>)>,
}

/// One repository, as the newest answer of `info` showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRepository {
    /// Its number N, as in `repoN-path`; from 1 on.
    pub key: u32,
    /// Whether it could be read.
    pub readable: bool,
    /// pgBackRest's words, redacted, where it could not be.
    pub detail: Option<String>,
    /// The oldest segment of this cluster's WAL in it.
    pub oldest: Option<SegmentName>,
    /// The newest segment that the listing had.
    pub newest: Option<SegmentName>,
}

/// One backup. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its label, such as `20261125-101500F`.
    pub label: String,
    /// `full`, `diff` or `incr`.
    pub kind: String,
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub repository: u32,
    /// The first segment that it needs.
    pub start: Option<SegmentName>,
    /// The last segment that it needs.
    pub stop: Option<SegmentName>,
    /// Where it becomes consistent.
    pub stop_lsn: Option<Lsn>,
    /// When it began, in seconds since 1970.
    pub started_at: i64,
    /// When it ended, in seconds since 1970, rounded down by pgBackRest.
    pub ended_at: i64,
    /// Whether pages of it are damaged.
    pub damaged: bool,
    /// The labels of the backups that it needs.
    pub needs: Vec<String>,
}

/// A commit that was seen in a segment while it still lay in `pg_wal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCommit {
    /// The segment that is meant, timeline and all.
    pub segment: SegmentName,
    /// Where the commit's record begins.
    pub lsn: u64,
    /// The last whole second before it, since 1970.
    pub at: i64,
}

/// The whole record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The cluster that it is about.
    pub identity: Identity,
    /// The node and the repositories that were asked.
    pub place: Option<Place>,
    /// The newest check.
    pub check: Option<Check>,
    /// What the last conclusive answer showed.
    pub known: Option<Known>,
    /// The newest segment that PostgreSQL counted as archived; its own marks go with the segments.
    pub archived: Option<SegmentName>,
    /// The newest commits of segments, oldest first.
    pub commits: Vec<SeenCommit>,
    /// Each repository, as the newest answer showed it.
    pub repositories: Vec<SeenRepository>,
    /// What a walk has shown of each repository, by its number.
    pub walked: BTreeMap<u32, Walked>,
    /// The timelines whose histories each repository listed, the newest ones, by its number.
    pub histories: BTreeMap<u32, BTreeSet<u32>>,
    /// What of each repository's WAL no backup needs, though it is there, by its number.
    pub leftovers: BTreeMap<u32, Leftover>,
    /// Why others take the backups, if they do.
    pub others: Option<String>,
    /// Why the newest try of a backup failed, if it did, redacted.
    pub backup_failed: Option<String>,
}

impl Record {
    /// Whether it tells of this cluster in these repositories, as this node has seen them.
    #[must_use]
    pub fn is_about(&self, identity: Identity, place: &Place) -> bool {
        !self.identity.is_another(identity) && self.place.as_ref().is_some_and(|seen| seen.difference(place).is_none())
    }

    /// Makes it one about this cluster in these repositories. What it says of other repositories is forgotten; where
    /// commits lie in the WAL is the cluster's own.
    #[must_use]
    pub fn about(self, identity: Identity, place: &Place) -> Self {
        let kept = if self.identity.is_another(identity) {
            Self::default()
        } else if self.is_about(identity, place) {
            self
        } else {
            let Self { archived, commits, others, backup_failed, .. } = self;
            Self { archived, commits, others, backup_failed, ..Self::default() }
        };
        Self { identity, place: Some(place.clone()), ..kept }
    }

    /// Reads the record of a state directory; `None` where there is none.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the record of a state directory.
    ///
    /// # Errors
    /// What the system says; then the old one stays.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::from)?;
        durable::copy_into(&mut bytes.as_slice(), folder, FILE_NAME)
    }

    /// Takes up an answer. `stanza` is what it was read from.
    pub fn note(&mut self, answer: &info::CatalogAnswer, stanza: Option<&Stanza>, system_id: u64, at: i64) {
        let check = Check::of(answer, at);
        if check.finding != Finding::Inconclusive {
            self.known = stanza.map(|stanza| Known::of(stanza, system_id, at));
        }
        if let Some(stanza) = stanza {
            self.repositories = stanza.repo.iter().map(|repo| SeenRepository::of(stanza, repo, system_id)).collect();
        }
        let since = self.check.as_ref().and_then(|before| before.inconclusive_since);
        let inconclusive_since = check.inconclusive_since.map(|now| since.unwrap_or(now));
        self.check = Some(Check { inconclusive_since, ..check });
    }

    /// Forgets that there was no backup: one has been made. False when nothing said so.
    pub fn forget_absence(&mut self) -> bool {
        let empty = self.known.as_ref().is_some_and(|known| known.backups.is_empty());
        let absent = self.check.as_ref().is_some_and(|check| check.finding == Finding::Absent);
        if empty {
            self.known = None;
        }
        if absent {
            self.check = None;
        }
        empty || absent
    }

    /// Remembers the newest archived segment. False when it is known already.
    pub fn note_archived(&mut self, segment: SegmentName) -> bool {
        self.archived.replace(segment) != Some(segment)
    }

    /// Remembers the newest commit of a segment. False when it is known already.
    pub fn note_commit(&mut self, commit: SeenCommit) -> bool {
        if self.knows(commit.segment) {
            return false;
        }
        self.commits.push(commit);
        let surplus = self.commits.len().saturating_sub(COMMITS_KEPT);
        self.commits.drain(..surplus);
        true
    }

    /// Whether a commit of the segment was seen.
    #[must_use]
    pub fn knows(&self, segment: SegmentName) -> bool {
        self.commits.iter().any(|seen| seen.segment == segment)
    }
}

impl SeenRepository {
    /// As an answer of `info` shows it.
    #[must_use]
    pub fn of(stanza: &Stanza, repository: &info::Repository, system_id: u64) -> Self {
        let key = repository.key;
        let readable = stanza.is_readable(key);
        let words = || format!("code {}, {}", repository.status.code, repository.status.message);
        Self {
            key,
            readable,
            detail: (!readable).then(words),
            oldest: stanza.oldest_segment(system_id, key),
            newest: stanza.newest_segment(system_id, key),
        }
    }
}

impl Check {
    /// A check by itself.
    #[must_use]
    pub fn of(answer: &info::CatalogAnswer, at: i64) -> Self {
        let (finding, detail) = match answer {
            info::CatalogAnswer::Present(_) => (Finding::Present, None),
            info::CatalogAnswer::Absent => (Finding::Absent, None),
            info::CatalogAnswer::Inconclusive { why, .. } => (Finding::Inconclusive, Some(why.clone())),
        };
        Self { finding, at, detail, inconclusive_since: (finding == Finding::Inconclusive).then_some(at) }
    }
}

impl Known {
    /// What an answer shows of a cluster.
    #[must_use]
    pub fn of(stanza: &Stanza, system_id: u64, at: i64) -> Self {
        let (backups, archives) = stanza.of_cluster(system_id);
        Self {
            at,
            backups: backups.into_iter().map(Entry::of).collect(),
            archives: archives.into_iter().map(|archive| (archive.min, archive.max)).collect(),
        }
    }

    /// The end of the newest backup without error; with `full` of the newest full one.
    #[must_use]
    pub fn newest(&self, full: bool) -> Option<i64> {
        let good = self.backups.iter().filter(|backup| !backup.damaged && (!full || backup.kind == "full"));
        good.map(|backup| backup.ended_at).max()
    }

    /// Why nothing can be restored from a backup, if so.
    #[must_use]
    pub fn unusable(&self, entry: &Entry) -> Option<&'static str> {
        let same = |label: &String| {
            self.backups.iter().find(|other| other.repository == entry.repository && other.label == *label)
        };
        let chain: Vec<Option<&Entry>> = entry.needs.iter().map(same).collect();
        if entry.damaged {
            Some("pages of it are damaged")
        } else if chain.iter().any(Option::is_none) {
            Some("a backup that it needs is missing")
        } else if chain.into_iter().flatten().any(|needed| needed.damaged) {
            Some("a backup that it needs is damaged")
        } else if entry.start.is_none() || entry.stop.is_none() {
            Some("it names no WAL")
        } else {
            None
        }
    }
}

impl Entry {
    fn of(backup: &info::Backup) -> Self {
        let mut needs: Vec<String> = backup.reference.iter().flatten().chain(&backup.prior).cloned().collect();
        needs.sort_unstable();
        needs.dedup();
        Self {
            label: backup.label.clone(),
            kind: backup.kind.clone(),
            repository: backup.database.repo_key,
            start: backup.archive.start,
            stop: backup.archive.stop,
            stop_lsn: backup.lsn.stop,
            started_at: backup.timestamp.start,
            ended_at: backup.timestamp.stop,
            damaged: backup.error == Some(true),
            needs,
        }
    }
}

#[cfg(test)]
#[path = "seen_catalog_tests.rs"]
mod tests;
