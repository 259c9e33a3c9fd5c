//! The setting that names a cluster as Debian does.

use super::{Sources, table};

/// What names the data directory, beside flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `WAL_GUARD_CLUSTER`.
    pub cluster: Option<String>,
    /// Whether `PGDATA` is set.
    pub pgdata_is_set: bool,
}

impl ClusterSettings {
    /// Resolves it.
    pub fn resolve(sources: &mut Sources) -> Self {
        Self {
            cluster: sources.optional(&table::WAL_GUARD_CLUSTER, None).map(|set| set.value),
            pgdata_is_set: sources.optional(&table::PGDATA, None).is_some(),
        }
    }
}
