//! The settings of `pgbackrest-guard-get`.

use super::value::{self, RepositoryNumber, Seconds};
use super::{Setting, Sources};

/// What was typed for get.
#[derive(Debug, Clone, Copy, Default)]
pub struct GetFlags {
    /// `--retry`
    pub retry: Option<Seconds>,
    /// `--timeout`
    pub timeout: Option<Seconds>,
    /// `--no-fast-path`
    pub no_fast_path: bool,
    /// `--repo`
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
            retry: sources.value("WAL_GET_RETRY_SECONDS", flags.retry, value::parsed, || Seconds::new(300)),
            timeout: sources.value("WAL_GET_TIMEOUT_SECONDS", flags.timeout, value::time_limit, || Seconds::new(120)),
            repository: sources.optional("PGBACKREST_REPO", flags.repository, value::parsed),
            fast_path: sources
                .value("WAL_GUARD_FAST_PATH", flags.no_fast_path.then_some(false), value::switch, || true),
        }
    }
}
