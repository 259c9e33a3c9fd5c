//! pgBackRest as the settings say that it is called.

use super::{CommonSettings, Environment};
use crate::data_directory::DataDirectory;
use crate::log;
use crate::pgbackrest::Client;
use crate::pgbackrest::call::{Caller, Verbosity};
use crate::pgbackrest::options;
use std::ffi::{OsStr, OsString};
use std::path::Path;

impl CommonSettings {
    /// The client for one cluster. `working_directory` is the data directory, where there is one.
    #[must_use]
    pub fn client(&self, environment: &Environment, working_directory: &Path) -> Client {
        Client::new(caller(self, environment, working_directory), secrets(environment))
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

/// Every value of the environment that must not be seen: pgBackRest's options, and the shared variables of `setup`.
fn secrets(environment: &Environment) -> Vec<String> {
    let is_secret = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        matches!(name, "WAL_ARCHIVE_KEY" | "WAL_ARCHIVE_SECRET" | "WAL_RECOVER_FROM_KEY" | "WAL_RECOVER_FROM_SECRET")
            || options::of_variable(name).is_some_and(|option| options::is_secret(&option))
    };
    let ours = environment.iter().filter(|(name, _)| is_secret(name));
    ours.map(|(_, value)| value.to_string_lossy().into_owned()).collect()
}
