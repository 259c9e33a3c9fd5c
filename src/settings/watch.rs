//! The settings of `pgbackrest-guard watch`, and of the connection to the server.

use super::{
    BackupIntervals, DropMeasure, GapBackup, Mebibytes, RepositoryList, Seconds, Sources, TakenBy, role, table,
};
use std::net::SocketAddr;
use std::path::PathBuf;

/// How to reach the server; what is `None` is found out.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// The socket's folder, or a host.
    pub host: Option<PathBuf>,
    /// `PGPORT`; `None` where it is not set.
    pub port: Option<u16>,
    /// `PGUSER`, else the superuser of the official image; `None` where neither is named.
    pub user: Option<String>,
    /// `PGDATABASE`; `None` where it is not set.
    pub database: Option<String>,
}

impl Connection {
    /// Resolves it out of libpq's variables.
    pub fn resolve(sources: &mut Sources) -> Self {
        Self {
            host: sources.optional(&table::PGHOST, None).map(|setting| setting.value),
            port: sources.optional(&table::PGPORT, None).map(|setting| setting.value),
            user: role::own(sources),
            database: sources.optional(&table::PGDATABASE, None).map(|setting| setting.value),
        }
    }
}

/// What watch goes by.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// The pause between two polls.
    pub poll: Seconds,
    /// Between two polls while no full backup is on record.
    pub initial_poll: Seconds,
    /// How long failures must have been quiet before a gap is repaired.
    pub grace: Seconds,
    /// What seals a gap.
    pub gap_backup: GapBackup,
    /// Who takes base backups.
    pub taken_by: TakenBy,
    /// Into which repositories; `None`: all that are configured.
    pub backup_repositories: Option<RepositoryList>,
    /// How often backups are due.
    pub intervals: BackupIntervals,
    /// Between two checks of the catalog; 0: never.
    pub verify: Seconds,
    /// After a failure; `None`: 600 s, or 30 s while there is no full at all.
    pub backoff: Option<Seconds>,
    /// After how long without progress a backup is ended; 0: never.
    pub stall: Seconds,
    /// Whether heartbeats are written.
    pub heartbeat: bool,
    /// Where metrics are written.
    pub metrics: Option<PathBuf>,
    /// Between two drills that the watcher makes; 0: none.
    pub drill_interval: Seconds,
    /// How old the last drill that passed may be; 0: however old.
    pub drill_max_age: Seconds,
    /// Where metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Push's threshold, for the metrics.
    pub drop_threshold: Option<Mebibytes>,
    /// What push measures against it, for the metrics.
    pub drop_measure: DropMeasure,
    /// Push's reserve, for the metrics.
    pub free_reserve: Option<Mebibytes>,
    /// How to reach the server.
    pub connection: Connection,
    /// Where segments lie that were saved instead of lost.
    pub overflow: Option<PathBuf>,
}

impl WatchSettings {
    /// Resolves them.
    pub fn resolve(sources: &mut Sources) -> Self {
        Self {
            poll: sources.value(&table::WAL_BACKUP_POLL_INTERVAL_SECONDS, None).value,
            initial_poll: sources.value(&table::WAL_BACKUP_INITIAL_POLL_SECONDS, None).value,
            grace: sources.value(&table::WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS, None).value,
            verify: sources.value(&table::WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS, None).value,
            stall: sources.value(&table::WAL_BACKUP_STALL_SECONDS, None).value,
            gap_backup: sources.value(&table::WAL_BACKUP_GAP_TYPE, None).value,
            taken_by: sources.value(&table::WAL_BACKUP_TAKEN_BY, None).value,
            backup_repositories: sources.optional(&table::WAL_BACKUP_REPOS, None).map(|set| set.value),
            intervals: BackupIntervals::resolve(sources),
            backoff: sources.optional(&table::WAL_BACKUP_RETRY_BACKOFF_SECONDS, None).map(|set| set.value),
            heartbeat: !sources.value(&table::WAL_HEARTBEAT_DISABLED, None).value,
            metrics: sources.optional(&table::WAL_GUARD_METRICS_FILE, None).map(|set| set.value),
            drill_interval: sources.value(&table::WAL_DRILL_INTERVAL_HOURS, None).value,
            drill_max_age: sources.value(&table::WAL_DRILL_MAX_AGE_DAYS, None).value,
            metrics_listen: sources.optional(&table::WAL_GUARD_METRICS_LISTEN, None).map(|set| set.value),
            overflow: sources.optional(&table::WAL_OVERFLOW_DIR, None).map(|set| set.value),
            drop_threshold: sources.optional(&table::WAL_DROP_THRESHOLD_MB, None).map(|set| set.value),
            drop_measure: sources.value(&table::WAL_DROP_MEASURE, None).value,
            free_reserve: sources.optional(&table::WAL_FREE_RESERVE_MB, None).map(|set| set.value),
            connection: Connection::resolve(sources),
        }
    }
}
