//! The settings of `pgbackrest-guard-get`.

use super::{RepositoryNumber, Seconds, Setting, Sources, table};

/// What was typed for get.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct GetFlags {
    pub retry: Option<Seconds>,
    pub timeout: Option<Seconds>,
    pub no_fast_path: bool,
    pub repository: Option<RepositoryNumber>,
}

/// What get goes by.
#[derive(Debug, Clone)]
pub struct GetSettings {
    /// How long a one-shot recovery keeps asking; 0: it asks once.
    pub retry: Setting<Seconds>,
    /// How long one attempt may take.
    pub timeout: Setting<Seconds>,
    /// Whether a segment that pgBackRest has fetched ahead is taken without pgBackRest.
    pub fast_path: Setting<bool>,
    /// The one repository that is asked, and whose word is enough; `None`: all of them.
    pub repository: Option<Setting<RepositoryNumber>>,
}

impl GetSettings {
    /// Resolves them.
    pub fn resolve(flags: GetFlags, sources: &mut Sources) -> Self {
        Self {
            retry: sources.value(&table::WAL_GET_RETRY_SECONDS, flags.retry),
            timeout: sources.value(&table::WAL_GET_TIMEOUT_SECONDS, flags.timeout),
            repository: sources.optional(&table::PGBACKREST_REPO, flags.repository),
            fast_path: sources.value(&table::WAL_GUARD_FAST_PATH, flags.no_fast_path.then_some(false)),
        }
    }
}
