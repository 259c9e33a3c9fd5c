//! The settings of `pgbackrest-guard-push`.

use super::{DropMeasure, Mebibytes, RequiredRepositories, Seconds, Setting, Sources, table};
use crate::pgbackrest::failure::codes::InstantDropCodes;
use std::path::PathBuf;

/// The folder that takes segments which would otherwise be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    /// The folder, an absolute path.
    pub folder: PathBuf,
    /// How much it may hold.
    pub most: Mebibytes,
}

/// What was typed for push.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct PushFlags {
    pub drop_threshold: Option<Mebibytes>,
    pub drop_after: Option<Seconds>,
    pub drop_measure: Option<DropMeasure>,
    pub free_reserve: Option<Mebibytes>,
    pub timeout: Option<Seconds>,
    pub instant_drop: Option<InstantDropCodes>,
    pub instant_drop_after: Option<Seconds>,
    pub no_fast_path: bool,
}

/// What push goes by.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// How much WAL may wait; `None`: by the volume's size.
    pub drop_threshold: Option<Setting<Mebibytes>>,
    /// For how long the failures must have lasted before the threshold gives anything up.
    pub drop_after: Setting<Seconds>,
    /// What is measured against it.
    pub drop_measure: Setting<DropMeasure>,
    /// How much space must stay free; `None`: by the volume's size.
    pub free_reserve: Option<Setting<Mebibytes>>,
    /// How long pgBackRest may take.
    pub timeout: Setting<Seconds>,
    /// The repositories that must have a file before it is acknowledged.
    pub required: RequiredRepositories,
    /// For which codes WAL is given up at once.
    pub instant_drop: Setting<InstantDropCodes>,
    /// How old the first such answer must be.
    pub instant_drop_after: Setting<Seconds>,
    /// Whether a segment that the spool shows as stored is acknowledged without pgBackRest.
    pub fast_path: Setting<bool>,
    /// Where segments go instead of being lost.
    pub overflow: Option<Overflow>,
}

impl PushSettings {
    /// Resolves them.
    pub fn resolve(flags: PushFlags, sources: &mut Sources) -> Self {
        let most = sources.value(&table::WAL_OVERFLOW_MAX_MB, None);
        let folder = sources.optional(&table::WAL_OVERFLOW_DIR, None);
        Self {
            drop_threshold: sources.optional(&table::WAL_DROP_THRESHOLD_MB, flags.drop_threshold),
            drop_after: sources.value(&table::WAL_DROP_AFTER_SECONDS, flags.drop_after),
            drop_measure: sources.value(&table::WAL_DROP_MEASURE, flags.drop_measure),
            free_reserve: sources.optional(&table::WAL_FREE_RESERVE_MB, flags.free_reserve),
            timeout: sources.value(&table::WAL_PUSH_TIMEOUT_SECONDS, flags.timeout),
            required: sources.value(&table::WAL_REQUIRED_REPOS, None).value,
            instant_drop: sources.value(&table::WAL_INSTANT_DROP_CODES, flags.instant_drop),
            instant_drop_after: sources.value(&table::WAL_INSTANT_DROP_AFTER_SECONDS, flags.instant_drop_after),
            fast_path: sources.value(&table::WAL_GUARD_FAST_PATH, flags.no_fast_path.then_some(false)),
            overflow: folder.map(|folder| Overflow { folder: folder.value, most: most.value }),
        }
    }
}
