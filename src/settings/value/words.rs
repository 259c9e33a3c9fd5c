//! Values that are one of a few words.

use crate::bad_value::BadValue;
use std::str::FromStr;

/// What is measured against the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropMeasure {
    /// WAL that waits for archiving.
    Backlog,
    /// Everything in `pg_wal`.
    PgWal,
}

impl FromStr for DropMeasure {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "backlog" => Ok(Self::Backlog),
            "pg_wal" => Ok(Self::PgWal),
            _ => Err(BadValue("not backlog or pg_wal")),
        }
    }
}

/// The kind of backup that seals a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapBackup {
    /// A full one.
    Full,
    /// A differential one.
    Diff,
}

impl FromStr for GapBackup {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "full" => Ok(Self::Full),
            "diff" => Ok(Self::Diff),
            _ => Err(BadValue("not full or diff")),
        }
    }
}

/// Who takes base backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBy {
    /// The watcher.
    Watch,
    /// Somebody else: cron, a repository host, an operator.
    Others,
}

impl FromStr for TakenBy {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "watch" => Ok(Self::Watch),
            "others" => Ok(Self::Others),
            _ => Err(BadValue("not watch or others")),
        }
    }
}
