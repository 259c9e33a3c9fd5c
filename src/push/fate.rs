//! What became of a file that pgBackRest did not store.

use crate::ledger::gaps::Cause;
use std::path::PathBuf;

/// What became of the file.
#[derive(Debug)]
pub(super) enum Fate {
    /// PostgreSQL keeps it and will try again.
    Retried,
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
    /// Whether PostgreSQL may recycle the file.
    pub(super) fn lets_postgresql_go_on(&self) -> bool {
        match self {
            Self::Lost(..) | Self::Overflowed(..) | Self::Deferred(_) | Self::Unrecorded(_) => true,
            Self::Retried | Self::Kept(_) => false,
        }
    }
}
