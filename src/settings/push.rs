//! The settings of `pgbackrest-guard-push`.

use super::value::{self, BadValue, Mebibytes, Seconds};
use super::{Setting, Sources};
use crate::pgbackrest::failure::codes::InstantDropCodes;
use std::path::PathBuf;
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

/// The folder that takes segments which would otherwise be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    /// Where it is.
    pub folder: PathBuf,
    /// How much it may hold.
    pub most: Mebibytes,
}

/// What was typed for push.
#[derive(Debug, Clone, Default)]
pub struct PushFlags {
    /// `--drop-threshold`
    pub drop_threshold: Option<Mebibytes>,
    /// `--drop-after`
    pub drop_after: Option<Seconds>,
    /// `--drop-measure`
    pub drop_measure: Option<DropMeasure>,
    /// `--free-reserve`
    pub free_reserve: Option<Mebibytes>,
    /// `--timeout`
    pub timeout: Option<Seconds>,
    /// `--instant-drop`
    pub instant_drop: Option<InstantDropCodes>,
    /// `--instant-drop-after`
    pub instant_drop_after: Option<Seconds>,
    /// `--no-fast-path`
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
        let most = sources.value("WAL_OVERFLOW_MAX_MB", None, value::parsed, || Mebibytes::new(1024));
        let folder = sources.optional("WAL_OVERFLOW_DIR", None, value::absolute_path);
        Self {
            drop_threshold: sources.optional("WAL_DROP_THRESHOLD_MB", flags.drop_threshold, value::parsed),
            drop_after: sources.value("WAL_DROP_AFTER_SECONDS", flags.drop_after, value::parsed, || Seconds::new(60)),
            drop_measure: sources.value("WAL_DROP_MEASURE", flags.drop_measure, value::parsed, || DropMeasure::Backlog),
            free_reserve: sources.optional("WAL_FREE_RESERVE_MB", flags.free_reserve, value::parsed),
            timeout: sources.value("WAL_PUSH_TIMEOUT_SECONDS", flags.timeout, value::time_limit, || Seconds::new(120)),
            instant_drop: sources.value(
                "WAL_INSTANT_DROP_CODES",
                flags.instant_drop,
                value::parsed,
                InstantDropCodes::default,
            ),
            instant_drop_after: sources.value(
                "WAL_INSTANT_DROP_AFTER_SECONDS",
                flags.instant_drop_after,
                value::parsed,
                || Seconds::new(0),
            ),
            fast_path: sources
                .value("WAL_GUARD_FAST_PATH", flags.no_fast_path.then_some(false), value::switch, || true),
            overflow: folder.map(|folder| Overflow { folder: folder.value, most: most.value }),
        }
    }
}
