//! The settings of `pgbackrest-guard restore`.

use super::{RepositoryNumber, Sources, table};

/// What restore goes by.
#[derive(Debug, Clone)]
pub struct RestoreSettings {
    /// The one repository that is asked; `None`: all of them.
    pub repository: Option<RepositoryNumber>,
    /// `checkpoint_timeout` of the replay.
    pub checkpoint_timeout: String,
    /// `max_wal_size` of the replay.
    pub max_wal_size: String,
}

impl RestoreSettings {
    /// Resolves them.
    pub fn resolve(repository: Option<RepositoryNumber>, sources: &mut Sources) -> Self {
        Self {
            repository: sources.optional(&table::PGBACKREST_REPO, repository).map(|set| set.value),
            checkpoint_timeout: sources.value(&table::PITR_RECOVERY_CHECKPOINT_TIMEOUT, None).value,
            max_wal_size: sources.value(&table::PITR_RECOVERY_MAX_WAL_SIZE, None).value,
        }
    }
}
