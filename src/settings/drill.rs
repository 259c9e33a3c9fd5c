//! The settings of `pgbackrest-guard drill`.

use super::{RepositoryNumber, Sources, table};
use std::path::PathBuf;

/// What a drill goes by.
#[derive(Debug, Clone)]
pub struct DrillSettings {
    /// The one repository that is asked; `None`: all of them.
    pub repository: Option<RepositoryNumber>,
    /// The sandbox.
    pub folder: Option<PathBuf>,
}

impl DrillSettings {
    /// Resolves them.
    pub fn resolve(repository: Option<RepositoryNumber>, sources: &mut Sources) -> Self {
        Self {
            repository: sources.optional(&table::PGBACKREST_REPO, repository).map(|set| set.value),
            folder: sources.optional(&table::WAL_DRILL_DIR, None).map(|set| set.value),
        }
    }
}
