//! What the newest drill has shown: a small file in the state directory, written by `drill` and read by `status` and `watch`.

use crate::durable;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// The file's name in the state directory.
const FILE_NAME: &str = "drill.json";

/// What a drill, or one of its stages, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It could not be looked at.
    Unverified,
    /// It does not hold.
    Failed,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        }
    }
}

/// Which moment a drill goes for. In turn, where nobody names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aim {
    /// The end of the archive.
    Newest,
    /// The oldest moment that `status` claims.
    Oldest,
    /// Any moment that it claims.
    Random,
    /// The one that was named.
    Named,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its name.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was seen, on one line.
    pub detail: String,
}

/// A drill. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// When it began.
    pub at: i64,
    /// What it came to.
    pub verdict: Verdict,
    /// Which moment it went for.
    pub aim: Aim,
    /// That moment, in words: an RFC 3339 time, or `latest`.
    pub target: String,
    /// The backup that it restored.
    pub backup: Option<String>,
    /// The repository that that came from.
    pub repository: Option<u32>,
    /// The newest commit that was replayed, as an RFC 3339 time.
    pub reached: Option<String>,
    /// The newest heartbeat of the watcher that was replayed, as an RFC 3339 time.
    #[serde(default)]
    pub heartbeat: Option<String>,
    /// Where it went for the newest moment: how long before it the newest commit or heartbeat was that came back, in seconds.
    #[serde(default)]
    pub rpo_seconds: Option<u64>,
    /// Bytes that the backup has, unpacked.
    pub bytes: Option<u64>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Its stages, in their order.
    pub stages: Vec<StageRecord>,
    /// The programs' versions: this one, pgBackRest, PostgreSQL.
    pub versions: Vec<String>,
    /// When the newest drill that passed began; this one, if it has.
    pub passed_at: Option<i64>,
    /// The system identifier of the cluster.
    pub system_id: Option<u64>,
}

impl DrillRecord {
    /// The newest one in a state directory; `None` where there is none that can be read.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE_NAME)).ok()?).ok()
    }

    /// Writes it, durably, in the place of the one before.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        durable::create_private_folder(folder)?;
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        durable::replace(&folder.join(FILE_NAME), &bytes, 0o600, None)
    }
}
