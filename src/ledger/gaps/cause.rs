//! Why a loss was decided upon: a word in the ledger, in logs and in JSON.

use crate::word;
use serde::{Deserialize, Deserializer, Serialize};

/// Why a loss was decided upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Cause {
    /// The bucket or the key is gone.
    InstantDrop,
    /// The backlog reached the threshold.
    DropThreshold,
    /// Free space fell under the reserve.
    FreeReserve,
    /// pgBackRest dropped it (`archive-push-queue-max`).
    ArchivePushQueueMax,
    /// Somebody told pgBackRest's spool to skip it.
    ManuallySkipped,
    /// The repositories that are required have it; others lack it.
    NotRequired,
    /// A walk through the repository's listing did not find it.
    FoundMissing,
    /// A repository holds other content under its name.
    ContentDiffers,
    /// One that a newer version has recorded, by its word.
    Newer(&'static str),
}

impl From<Cause> for &'static str {
    fn from(cause: Cause) -> Self {
        cause.as_str()
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = Self::KNOWN.into_iter().find(|cause| cause.as_str() == word);
        Ok(known.unwrap_or_else(|| Self::Newer(word::kept(&word))))
    }
}

impl Cause {
    /// Every cause of this version.
    pub const KNOWN: [Self; 8] = [
        Self::InstantDrop,
        Self::DropThreshold,
        Self::FreeReserve,
        Self::ArchivePushQueueMax,
        Self::ManuallySkipped,
        Self::NotRequired,
        Self::FoundMissing,
        Self::ContentDiffers,
    ];

    /// Whether the watcher found it in the archive, whenever that was: no push has failed for it then.
    #[must_use]
    pub fn was_found(self) -> bool {
        matches!(self, Self::FoundMissing | Self::ContentDiffers)
    }

    /// The cause's name in logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstantDrop => "instant-drop",
            Self::DropThreshold => "drop-threshold",
            Self::FreeReserve => "free-reserve",
            Self::ArchivePushQueueMax => "archive-push-queue-max",
            Self::ManuallySkipped => "manually-skipped",
            Self::NotRequired => "not-required",
            Self::FoundMissing => "found missing",
            Self::ContentDiffers => "content differs",
            Self::Newer(word) => word,
        }
    }
}
