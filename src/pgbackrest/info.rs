//! The answer of `pgbackrest info --output=json`, and what may be concluded from it.
//!
//! The exit code is 0 even when no repository can be reached; what counts is `repo[].status.code` (src/command/info/
//! info.c, 2.45 to 2.59): 0 ok, 1 missing stanza path, 2 no valid backups, 3 missing stanza data, 99 other, with the
//! error's text as the message. With a wrong cipher passphrase the answer may be no JSON at all, with exit 0. The
//! stanza's own status code mixes the repositories' and is not used.

use crate::wal::{Lsn, SegmentName};
use serde::Deserialize;
use std::fmt;

/// The code of a repository that has backups.
const OK: u32 = 0;
/// The code of a repository without the stanza's path.
const MISSING_STANZA_PATH: u32 = 1;
/// The code of a repository that can be read and holds no backup.
const NO_VALID_BACKUPS: u32 = 2;

/// One repository's state, as `info` reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub key: u32,
    /// The code and the words of `info` for this repository.
    pub status: Status,
}

/// A status code and its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// 0 to 6 or 99.
    pub code: u32,
    /// `ok`, or what is wrong; for 99 `[ErrorName] text`.
    #[serde(default)]
    pub message: String,
}

/// What `info` says of one stanza.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stanza {
    name: String,
    /// The repositories.
    #[serde(default)]
    pub repo: Vec<Repository>,
    /// The clusters that the stanza has held.
    #[serde(default)]
    pub db: Vec<Database>,
    /// The range of WAL for each.
    #[serde(default)]
    pub archive: Vec<Archive>,
    /// The backups of all repositories, by their end.
    #[serde(default)]
    pub backup: Vec<Backup>,
}

/// One cluster in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Database {
    /// Its number in `info`'s `db` list, which grows by one with each upgrade of the stanza.
    pub id: u32,
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub repo_key: u32,
    /// PostgreSQL's system identifier, made by initdb and the same on every standby.
    pub system_id: u64,
    /// PostgreSQL's major version, such as `15`.
    #[serde(default)]
    pub version: String,
}

/// A reference to a [`Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseKey {
    /// Its number in `info`'s `db` list, which grows by one with each upgrade of the stanza.
    pub id: u32,
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub repo_key: u32,
}

/// The WAL of one cluster in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Archive {
    /// The cluster.
    pub database: DatabaseKey,
    /// The archive's folder, as `15-1`.
    pub id: String,
    /// The oldest segment in the listing.
    #[serde(default)]
    pub min: Option<SegmentName>,
    /// The newest segment in the listing.
    pub max: Option<SegmentName>,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Backup {
    /// Its label, such as `20261125-101500F`.
    pub label: String,
    /// `full`, `diff` or `incr`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The cluster.
    pub database: DatabaseKey,
    /// Whether pages of it are damaged; `None` when it was not checked.
    pub error: Option<bool>,
    /// When it began and ended, by the clock of the machine that took it.
    pub timestamp: Times,
    /// The WAL that it needs.
    #[serde(default)]
    pub archive: WalRange,
    /// Where it begins and ends in the WAL.
    #[serde(default)]
    pub lsn: LsnRange,
    /// The backup that this one was made on top of.
    #[serde(default)]
    pub prior: Option<String>,
    /// The backups that hold files of this one.
    #[serde(default)]
    pub reference: Option<Vec<String>>,
    /// How much there is of it.
    #[serde(default)]
    pub info: Sizes,
    /// Its tablespaces; named only where this backup alone was asked for.
    #[serde(default)]
    pub tablespace: Option<Vec<Tablespace>>,
}

/// How much there is of a backup, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Sizes {
    /// The cluster's files.
    #[serde(default)]
    pub size: u64,
    /// What of the repository belongs to it.
    #[serde(default)]
    pub repository: Stored,
}

/// What a repository holds of a backup, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Stored {
    /// All of it, with what older backups hold; `None` where pgBackRest does not say (block incremental, 2.46 and newer).
    #[serde(default)]
    pub size: Option<u64>,
}

/// A tablespace in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tablespace {
    /// Its name.
    pub name: String,
    /// Where it lay.
    pub destination: String,
    /// Its number in `info`'s `db` list, which grows by one with each upgrade of the stanza.
    pub oid: u32,
}

/// Where a backup begins and ends, as positions in the WAL (`0/2000028`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LsnRange {
    /// The beginning.
    #[serde(default)]
    pub start: Option<Lsn>,
    /// The end.
    #[serde(default)]
    pub stop: Option<Lsn>,
}

/// When a backup began and ended, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Times {
    /// When it began, in seconds since 1970.
    pub start: i64,
    /// When it ended, in seconds since 1970, rounded down.
    pub stop: i64,
}

/// The first and the last segment that a backup needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct WalRange {
    /// The segment in which it began.
    pub start: Option<SegmentName>,
    /// The segment in which it ended; without it the backup can't be restored.
    pub stop: Option<SegmentName>,
}

/// What the catalog says of this cluster's full backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogAnswer {
    /// There is one, without error.
    Present(Newest),
    /// Every repository was asked, and none holds a backup.
    Absent,
    /// It can't be told.
    Inconclusive {
        /// Why, in pgBackRest's words where it has some.
        why: String,
        /// What kind of answer it was.
        doubt: Doubt,
    },
}

/// Why an answer is not conclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Repositories can be read, and none has the stanza.
    StanzaMissing,
    /// A repository can be read, and holds no full backup of this cluster without error.
    NoneGood,
    /// No repository could be read.
    Unreadable,
}

/// The newest backups of this cluster: when they ended, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The newest full one.
    pub full: i64,
    /// The newest of any kind.
    pub any: i64,
}

impl fmt::Display for CatalogAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(_) => f.write_str("present"),
            Self::Absent => f.write_str("absent"),
            Self::Inconclusive { why, .. } => write!(f, "inconclusive: {why}"),
        }
    }
}

impl Stanza {
    /// Reads the answer; `None` when it can't be read or does not speak of `stanza`.
    #[must_use]
    pub fn parse(stdout: &[u8], stanza: &str) -> Option<Self> {
        let text = String::from_utf8_lossy(stdout);
        // A warning about the environment can stand on stdout before the answer.
        let is_start = |at: &usize| text.get(at + 1..).is_some_and(|rest| rest.trim_start().starts_with('{'));
        let start = text.match_indices('[').map(|(at, _)| at).find(is_start)?;
        let json = text.get(start..)?;
        let stanzas: Vec<Self> = serde_json::from_str(json).ok()?;
        stanzas.into_iter().find(|answer| answer.name == stanza)
    }

    /// The readable backups and the archives of a cluster.
    #[must_use]
    pub fn of_cluster(&self, system_id: u64) -> (Vec<&Backup>, Vec<&Archive>) {
        let ours = |key: DatabaseKey| {
            let readable = self.repo.iter().any(|repo| repo.key == key.repo_key && repo.status.code == OK);
            let is_it = (key.id, key.repo_key, system_id);
            readable && self.db.iter().any(|db| (db.id, db.repo_key, db.system_id) == is_it)
        };
        let backups = self.backup.iter().filter(|backup| ours(backup.database)).collect();
        (backups, self.archive.iter().filter(|archive| ours(archive.database)).collect())
    }

    /// What it says of the full backups of the cluster `system_id`, given the repositories that are configured.
    #[must_use]
    pub fn catalog(&self, system_id: u64, expected: &[u32]) -> CatalogAnswer {
        let newest = |full: bool| {
            let of_kind = self.good_backups(system_id).filter(|backup| !full || backup.kind == "full");
            of_kind.map(|backup| backup.timestamp.stop).max()
        };
        if let (Some(full), Some(any)) = (newest(true), newest(false)) {
            return CatalogAnswer::Present(Newest { full, any });
        }
        let code = |key: &u32| self.repo.iter().find(|repo| repo.key == *key).map(|repo| repo.status.code);
        let all = |codes: &[u32]| expected.iter().all(|key| code(key).is_some_and(|code| codes.contains(&code)));
        let asked = !self.repo.is_empty() && !expected.is_empty();
        if asked && all(&[NO_VALID_BACKUPS]) && self.repo.iter().all(|repo| repo.status.code == NO_VALID_BACKUPS) {
            return CatalogAnswer::Absent;
        }
        let doubt = if asked && all(&[MISSING_STANZA_PATH, NO_VALID_BACKUPS]) {
            Doubt::StanzaMissing
        } else if self.repo.iter().any(|repo| self.is_readable(repo.key)) {
            Doubt::NoneGood
        } else {
            Doubt::Unreadable
        };
        CatalogAnswer::Inconclusive { why: self.why(), doubt }
    }

    /// Each repository's words.
    fn why(&self) -> String {
        if self.repo.is_empty() {
            return "info names no repository".to_owned();
        }
        let words = self.repo.iter().map(|repo| match repo.status.code {
            OK => format!("repo{}: no full backup of this cluster without error", repo.key),
            code => format!("repo{}: code {code}, {}", repo.key, repo.status.message),
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// The first segment that a repository must list: that of its newest full backup of this cluster. One that holds
    /// none has no older WAL than its oldest; `None` when it can't be read.
    #[must_use]
    pub fn must_list_from(&self, system_id: u64, repo_key: u32) -> Option<SegmentName> {
        let ours = |key: DatabaseKey| {
            let is_it = (key.id, key.repo_key, system_id);
            key.repo_key == repo_key && self.db.iter().any(|db| (db.id, db.repo_key, db.system_id) == is_it)
        };
        let code = self.repo.iter().find(|repo| repo.key == repo_key)?.status.code;
        let fulls = self.backup.iter().filter(|backup| backup.kind == "full" && ours(backup.database));
        match fulls.max_by_key(|backup| backup.timestamp.stop) {
            Some(full) if code == OK => full.archive.start,
            None if [OK, NO_VALID_BACKUPS].contains(&code) => {
                self.archive.iter().filter(|archive| ours(archive.database)).filter_map(|archive| archive.min).max()
            }
            _ => None,
        }
    }

    /// The backups of the cluster `system_id` that can be read and are without error, by their end.
    pub fn good_backups(&self, system_id: u64) -> impl Iterator<Item = &Backup> {
        self.backup.iter().filter(move |backup| self.is_good(backup, system_id))
    }

    /// The newest segment that a repository lists of the cluster's WAL.
    #[must_use]
    pub fn newest_segment(&self, system_id: u64, repo_key: u32) -> Option<SegmentName> {
        self.archive_of(system_id, repo_key)?.max
    }

    /// The oldest one.
    #[must_use]
    pub fn oldest_segment(&self, system_id: u64, repo_key: u32) -> Option<SegmentName> {
        self.archive_of(system_id, repo_key)?.min
    }

    fn archive_of(&self, system_id: u64, repo_key: u32) -> Option<&Archive> {
        let id = self.archive_id(system_id, repo_key)?;
        self.archive.iter().find(|archive| archive.id == id && archive.database.repo_key == repo_key)
    }

    /// Where a walk through a repository may begin: the first segments of its good backups of this cluster, the oldest first;
    /// in one that holds no backup, its oldest segment.
    #[must_use]
    pub fn walk_starts(&self, system_id: u64, repo_key: u32) -> Vec<SegmentName> {
        let of_repository = |backup: &&Backup| backup.database.repo_key == repo_key;
        let starts = self.good_backups(system_id).filter(of_repository).filter_map(|backup| backup.archive.start);
        let mut starts: Vec<SegmentName> = starts.collect();
        starts.sort_unstable();
        if starts.is_empty() { self.oldest_segment(system_id, repo_key).into_iter().collect() } else { starts }
    }

    /// Whether a repository can be read, and holds no good full backup of the cluster.
    #[must_use]
    pub fn lacks_a_full(&self, system_id: u64, repo_key: u32) -> bool {
        let full = |backup: &Backup| backup.database.repo_key == repo_key && backup.kind == "full";
        self.is_readable(repo_key) && !self.good_backups(system_id).any(full)
    }

    /// Whether a repository can be read.
    #[must_use]
    pub fn is_readable(&self, repo_key: u32) -> bool {
        let known = self.repo.iter().find(|repo| repo.key == repo_key);
        known.is_some_and(|repo| [OK, NO_VALID_BACKUPS].contains(&repo.status.code))
    }

    /// Whether a backup is of the cluster `system_id`, in a repository that can be read, and without error, as are those that it
    /// needs.
    fn is_good(&self, backup: &Backup, system_id: u64) -> bool {
        let key = backup.database;
        let readable = self.repo.iter().any(|repo| repo.key == key.repo_key && repo.status.code == OK);
        let is_it = |db: &Database| (db.id, db.repo_key, db.system_id) == (key.id, key.repo_key, system_id);
        let is_whole = |label: &String| {
            let needed = |other: &&Backup| other.database.repo_key == key.repo_key && other.label == *label;
            self.backup.iter().find(needed).is_some_and(|needed| needed.error != Some(true))
        };
        let mut needs = backup.reference.iter().flatten().chain(&backup.prior);
        readable && self.db.iter().any(is_it) && backup.error != Some(true) && needs.all(is_whole)
    }

    /// The folder of this cluster's WAL in a repository, as `15-1`.
    #[must_use]
    pub fn archive_id(&self, system_id: u64, repo_key: u32) -> Option<&str> {
        let db =
            self.db.iter().filter(|db| db.repo_key == repo_key && db.system_id == system_id).max_by_key(|db| db.id)?;
        let of_db = |archive: &&Archive| archive.database.id == db.id && archive.database.repo_key == repo_key;
        self.archive.iter().find(of_db).map(|archive| archive.id.as_str())
    }
}

/// The repositories of `stanza`; `None` when the answer can't be read or does not speak of that stanza.
#[must_use]
pub fn repositories(stdout: &[u8], stanza: &str) -> Option<Vec<Repository>> {
    Stanza::parse(stdout, stanza).map(|stanza| stanza.repo)
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
