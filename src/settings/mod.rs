//! Typed settings out of flags, environment and file.
//!
//! Precedence: flag, environment, file, default. A wrong flag is a usage error and never gets here; a wrong value in
//! the environment or the file never stops a program, because one that refuses to run halts PostgreSQL: it costs one
//! warning, and the default is used. An empty variable is an unset one. Own variables never begin with `PGBACKREST_`
//! (pgBackRest takes those for its options), save the two that mean the same to both. Nothing later sees argv or the
//! environment.

mod backup;
mod client;
mod cluster;
mod declaration;
mod drill;
mod file;
mod get;
mod push;
mod recover;
mod restore;
pub mod role;
pub mod secret;
mod setup;
mod sources;
pub mod table;
mod value;
mod watch;

pub use backup::BackupIntervals;
pub use cluster::ClusterSettings;
pub use drill::DrillSettings;
pub use get::{GetFlags, GetSettings};
pub use push::{Overflow, PushFlags, PushSettings};
pub use recover::RecoverSettings;
pub use restore::RestoreSettings;
pub use secret::{Secret, SecretTrouble};
pub use setup::{ProcessOverrides, SetupSettings};
pub use sources::{Environment, Origin, Setting, Sources, Warning};
pub use value::{
    DropMeasure, GapBackup, Mebibytes, RepositoryList, RepositoryNumber, RequiredRepositories, Seconds, TakenBy,
};
pub use watch::{Connection, WatchSettings};

use crate::bad_value::BadValue;
use crate::data_directory::{DataDirectory, STATE_FOLDER};
use crate::log::{Format, Level};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What was typed for the settings that every program has.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct CommonFlags {
    pub config: Option<PathBuf>,
    pub pgdata: Option<PathBuf>,
    pub stanza: Option<String>,
    pub pgbackrest_config: Option<PathBuf>,
    pub pgbackrest: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub log_level: Option<Level>,
    pub log_format: Option<Format>,
}

/// The settings that every program has.
#[derive(Debug, Clone)]
pub struct CommonSettings {
    /// The data directory; `None` where nothing names one that has a `PG_VERSION`.
    pub pgdata: Option<Setting<PathBuf>>,
    /// pgBackRest's stanza.
    pub stanza: Setting<String>,
    /// pgBackRest's configuration file; `None`: its own search.
    pub pgbackrest_config: Option<Setting<PathBuf>>,
    /// The program, by its path or its name on `PATH`.
    pub pgbackrest: Setting<PathBuf>,
    /// Where the ledger lies; `None` without a data directory.
    pub state_dir: Option<Setting<PathBuf>>,
    /// How much is logged.
    pub log_level: Setting<Level>,
    /// Whether log lines are text or JSON.
    pub log_format: Setting<Format>,
    /// Whether `WAL_ARCHIVE_BUCKET` is set to the empty string, which switches archiving off.
    pub archiving_off: bool,
}

impl CommonSettings {
    /// Resolves them. The working directory is the data directory when nothing else names one.
    pub fn resolve(flags: CommonFlags, working_directory: Option<PathBuf>, sources: &mut Sources) -> Self {
        let pgdata = resolve_pgdata(flags.pgdata.clone(), working_directory, sources);
        Self::resolve_beside(pgdata, flags, sources)
    }

    /// Resolves them with the data directory that is named, be it empty, missing or unreadable, as it is before initdb.
    pub fn resolve_as_named(flags: CommonFlags, working_directory: Option<PathBuf>, sources: &mut Sources) -> Self {
        let named = sources.optional(&table::PGDATA, flags.pgdata.clone());
        let pgdata = named.or_else(|| {
            let here = working_directory.filter(|path| DataDirectory::is_one(path))?;
            Some(Setting::default_of(here))
        });
        Self::resolve_beside(pgdata, flags, sources)
    }

    fn resolve_beside(pgdata: Option<Setting<PathBuf>>, flags: CommonFlags, sources: &mut Sources) -> Self {
        let state_dir = sources.optional(&table::WAL_GUARD_STATE_DIR, flags.state_dir);
        let beside = pgdata.as_ref().map(|pgdata| pgdata.derived(|path| state_dir_beside(path)));
        Self {
            stanza: sources.value(&table::PGBACKREST_STANZA, flags.stanza),
            pgbackrest_config: sources.optional(&table::PGBACKREST_CONFIG, flags.pgbackrest_config),
            pgbackrest: sources.value(&table::WAL_GUARD_PGBACKREST, flags.pgbackrest),
            state_dir: state_dir.or(beside),
            log_level: sources.value(&table::WAL_GUARD_LOG, flags.log_level),
            log_format: sources.value(&table::WAL_GUARD_LOG_FORMAT, flags.log_format),
            archiving_off: sources.is_set_to_nothing(&table::WAL_ARCHIVE_BUCKET),
            pgdata,
        }
    }
}

impl CommonSettings {
    /// The same for the data directory that a file in `pg_wal` lies in, unless a flag names one.
    ///
    /// PostgreSQL starts its commands in its own data directory; `PGDATA` may be what a shell has left from another
    /// cluster, and a push to that one would acknowledge a segment that nobody stored.
    #[must_use]
    pub fn with_directory_of(mut self, wal_path: &Path, sources: &mut Sources) -> Self {
        let Some(own) = DataDirectory::of_wal_path(wal_path) else { return self };
        let named = self.pgdata.as_ref();
        let is_same = |named: &Setting<PathBuf>| named.value.canonicalize().ok() == own.canonicalize().ok();
        if named.is_some_and(|named| named.origin == Origin::Flag || is_same(named)) {
            return self;
        }
        if let Some(named) = named {
            sources.warn(format!(
                "PGDATA={} is not where the file is: {} is used instead",
                named.value.display(),
                own.display()
            ));
        }
        let beside = named.map(|named| state_dir_beside(&named.value));
        if self.state_dir.as_ref().is_none_or(|folder| Some(&folder.value) == beside.as_ref()) {
            self.state_dir = Some(Setting::default_of(state_dir_beside(&own)));
        }
        self.pgdata = Some(Setting::default_of(own));
        self
    }
}

/// Where the ledger lies unless it is set.
fn state_dir_beside(pgdata: &Path) -> PathBuf {
    pgdata.join(STATE_FOLDER)
}

/// Checks a stanza's name, which becomes part of file names.
///
/// # Errors
/// When no stanza can have that name.
pub fn check_stanza(name: &str) -> Result<(), BadValue> {
    table::PGBACKREST_STANZA.parse(&OsString::from(name)).map(drop)
}

/// Reads the sources: the environment as given, and the file that the flag, `WAL_GUARD_CONFIG` or the default names.
#[must_use]
pub fn sources(config_flag: Option<&Path>, environment: Environment) -> Sources {
    let named =
        config_flag.map(Path::to_owned).or_else(|| environment.path(table::WAL_GUARD_CONFIG.declaration.variable));
    let (table, warnings) = match &named {
        Some(path) => file::read(path, file::Missing::IsWorthAWarning),
        None => file::read(&table::WAL_GUARD_CONFIG.constant(), file::Missing::IsUsual),
    };
    Sources::new(environment, table, warnings, named)
}

fn resolve_pgdata(
    flag: Option<PathBuf>,
    working_directory: Option<PathBuf>,
    sources: &mut Sources,
) -> Option<Setting<PathBuf>> {
    let named = sources.checked(&table::PGDATA, flag, |path| {
        let is_one = DataDirectory::is_one(path);
        is_one.then_some(()).ok_or(BadValue("is not a data directory: it has no PG_VERSION"))
    });
    named.or_else(|| {
        let here = working_directory.filter(|path| DataDirectory::is_one(path))?;
        Some(Setting::default_of(here))
    })
}

#[cfg(test)]
mod tests;
