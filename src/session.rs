//! What every program sets up before it calls pgBackRest: the caller, the configuration in force, the redactor.

use crate::classify::redact::Redactor;
use crate::data_directory::DataDirectory;
use crate::log;
use crate::pgbackrest::call::{Caller, Verbosity};
use crate::pgbackrest::config::Config;
use crate::pgbackrest::options;
use crate::settings::{CommonSettings, Environment};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// pgBackRest, as one program may call it for one cluster.
#[derive(Debug)]
pub struct Session {
    /// Calls it.
    pub caller: Caller,
    /// Its configuration; `None` when it can't be read, which pgBackRest itself will report.
    pub config: Option<Config>,
    /// Cuts secrets out of what it prints.
    pub redactor: Redactor,
}

impl Session {
    /// Sets everything up. `working_directory` is the data directory, where there is one.
    #[must_use]
    pub fn open(common: &CommonSettings, environment: &Environment, working_directory: &Path) -> Self {
        let caller = caller(common, environment, working_directory);
        let config = Config::load(&common.stanza.value, caller.environment());
        if let Err(error) = &config {
            tracing::debug!("{}; pgBackRest will say what is wrong", log::chain(error));
        }
        let config = config.ok();
        let redactor = Redactor::new(secrets(config.as_ref(), environment));
        Self { caller, config, redactor }
    }
}

/// How pgBackRest is called; the repository path that `setup` noted wins over the environment.
fn caller(common: &CommonSettings, environment: &Environment, working_directory: &Path) -> Caller {
    let mut overrides: Vec<(OsString, OsString)> = Vec::new();
    if let Some(config) = &common.pgbackrest_config {
        overrides.push(("PGBACKREST_CONFIG".into(), config.value.clone().into()));
    }
    let noted = common.pgdata.as_ref().and_then(|pgdata| DataDirectory::new(pgdata.value.clone()).repository_path());
    if let Some(path) = noted {
        overrides.push(("PGBACKREST_REPO1_PATH".into(), path.into()));
    }
    let verbosity = match common.log_level.value {
        log::Level::Debug => Verbosity::Detail,
        log::Level::Error | log::Level::Warn | log::Level::Info => Verbosity::Warn,
    };
    // pgBackRest refuses an option that is set to nothing (cfgParse, 2.45 to 2.59); to us it is unset.
    let environment = environment.iter().filter(|(name, value)| *name != "PGBACKREST_CONFIG" || !value.is_empty());
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Caller::new(
        common.pgbackrest.value.clone(),
        common.stanza.value.clone(),
        working_directory,
        verbosity,
        environment,
        overrides,
    )
}

/// Every value that must not be seen: pgBackRest's options, and the shared variables of `setup`.
fn secrets(config: Option<&Config>, environment: &Environment) -> Vec<String> {
    let is_secret = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        matches!(name, "WAL_ARCHIVE_KEY" | "WAL_ARCHIVE_SECRET" | "WAL_RECOVER_FROM_KEY" | "WAL_RECOVER_FROM_SECRET")
            || options::of_variable(name).is_some_and(|option| options::is_secret(&option))
    };
    let ours = environment.iter().filter(|(name, _)| is_secret(name));
    let ours = ours.map(|(_, value)| value.to_string_lossy().into_owned());
    ours.chain(config.into_iter().flat_map(Config::secrets).map(str::to_owned)).collect()
}
