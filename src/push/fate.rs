//! What became of a file that pgBackRest did not store.

use crate::ledger::gaps::Cause;
use std::path::PathBuf;

/// What became of the file.
#[derive(Debug)]
pub(super) enum Fate {
    /// PostgreSQL keeps it and will try again.
    Retried,
    /// pgBackRest is slow, and PostgreSQL asks again.
    Slow,
    /// A process that reads it could not be ended, so PostgreSQL keeps it.
    Held(Cause),
    /// These repositories lack it, and PostgreSQL keeps it for them.
    Partly(Vec<u32>),
    /// It is recorded as owed to these repositories, in the gap of this number; the others have it.
    Owed(Cause, u64, Vec<u32>),
    /// It turned out to be stored.
    Stored,
    /// It is recorded as lost, in the gap of this number.
    Lost(Cause, u64),
    /// It lies in the overflow folder.
    Overflowed(Cause, PathBuf),
    /// A copy waits for the watcher.
    Deferred(Cause),
    /// It is lost and could not be recorded, on a disk that is about to be full.
    Unrecorded(Cause),
    /// It could not be recorded, so PostgreSQL keeps it.
    Kept(Cause),
}

impl Fate {
    /// What gave it up, or should have.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Retried | Self::Slow | Self::Partly(_) | Self::Stored => None,
            Self::Held(cause)
            | Self::Owed(cause, ..)
            | Self::Lost(cause, _)
            | Self::Overflowed(cause, _)
            | Self::Deferred(cause)
            | Self::Unrecorded(cause)
            | Self::Kept(cause) => Some(*cause),
        }
    }

    /// Whether PostgreSQL may recycle the file.
    pub(super) fn lets_postgresql_go_on(&self) -> bool {
        match self {
            Self::Stored
            | Self::Owed(..)
            | Self::Lost(..)
            | Self::Overflowed(..)
            | Self::Deferred(_)
            | Self::Unrecorded(_) => true,
            Self::Retried | Self::Slow | Self::Partly(_) | Self::Held(_) | Self::Kept(_) => false,
        }
    }
}
