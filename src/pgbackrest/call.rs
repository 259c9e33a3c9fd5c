//! The one way to call pgBackRest.
//!
//! pgBackRest (2.45 to 2.59) takes every `PGBACKREST_*` variable for an option, and its libpq takes every `PG*`
//! variable for the customer's connection; a stray `PGHOST` has sent it to another server. So it is given neither:
//! only those `PGBACKREST_*` that are options. The log flags are always given, because their defaults differ between
//! versions (2.53 moved warnings from stderr to stdout). The working directory is the data directory: `archive-push`
//! compares it with `pg1-path` and exits 32 where they differ (src/command/archive/common.c, `walPath`).

use super::options;
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How much pgBackRest writes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors and warnings: the least with which a dropped WAL file can be seen.
    Warn,
    /// Also what was done.
    Info,
    /// Also how each step went.
    Detail,
}

impl Verbosity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Detail => "detail",
        }
    }
}

/// Calls pgBackRest for one stanza of one cluster.
#[derive(Debug, Clone)]
pub struct Caller {
    program: PathBuf,
    stanza: String,
    data_directory: PathBuf,
    verbosity: Verbosity,
    environment: Vec<(OsString, OsString)>,
}

impl Caller {
    /// A caller of `program` in the environment that `environment` leaves after cleaning.
    ///
    /// `overrides` are options of pgBackRest by their variable (`PGBACKREST_CONFIG`); they win over the environment.
    #[must_use]
    pub fn new(
        program: PathBuf,
        stanza: String,
        data_directory: &Path,
        verbosity: Verbosity,
        environment: impl Iterator<Item = (OsString, OsString)>,
        overrides: Vec<(OsString, OsString)>,
    ) -> Self {
        let overridden = |name: &OsStr| overrides.iter().any(|(other, _)| other == name);
        let mut kept: Vec<_> = environment.filter(|(name, _)| is_for_pgbackrest(name) && !overridden(name)).collect();
        kept.extend(overrides);
        Self { program, stanza, data_directory: data_directory.to_owned(), verbosity, environment: kept }
    }

    /// The same with these options of pgBackRest alone, by their variables.
    pub(super) fn with_options(&self, options: Vec<(OsString, OsString)>) -> Self {
        let others = self.environment.iter().filter(|(name, _)| !name.to_string_lossy().starts_with("PGBACKREST_"));
        Self { environment: others.cloned().chain(options).collect(), ..self.clone() }
    }

    /// The environment that pgBackRest is given.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The program's path or name, for messages.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The stanza.
    pub(super) fn stanza(&self) -> &str {
        &self.stanza
    }

    /// How much pgBackRest says unless a call wants more.
    pub(super) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// `pgbackrest --stanza=… <arguments> --log-level-…`, without standard input, in a process group of its own.
    pub(super) fn command<'a>(&self, verbosity: Verbosity, arguments: impl IntoIterator<Item = &'a OsStr>) -> Command {
        let mut command = self.bare();
        command
            .arg(format!("--stanza={}", self.stanza))
            .arg("--log-level-console=off")
            .arg(format!("--log-level-stderr={}", verbosity.as_str()))
            .args(arguments);
        command
    }

    /// The same without any option: `version` takes none from 2.60 on (31), where 2.45 took all.
    pub(super) fn bare(&self) -> Command {
        use std::os::unix::process::CommandExt as _;
        #[expect(clippy::disallowed_methods, reason = "this is the one way")]
        let mut command = Command::new(self.located());
        command.env_clear().envs(self.environment()).stdin(Stdio::null()).process_group(0);
        // Usually it is the working directory already; a change of it keeps from posix_spawn(3) too.
        if std::env::current_dir().ok().as_deref() != Some(self.data_directory.as_path()) {
            command.current_dir(&self.data_directory);
        }
        command
    }

    /// The program's path, if `PATH` has it: std forks where a program without one is to be found by an environment that was
    /// given, instead of using the cheaper `posix_spawn(3)` (`library/std/src/sys/process/unix/unix.rs`, `posix_spawn`).
    fn located(&self) -> PathBuf {
        if self.program.components().count() != 1 {
            return self.program.clone();
        }
        let path = self.environment().find(|(name, _)| *name == "PATH").map(|(_, path)| path).unwrap_or_default();
        let mut found = std::env::split_paths(path).map(|folder| folder.join(&self.program));
        let fits = |path: &PathBuf| path.is_absolute() && path.is_file() && access(path, Access::EXEC_OK).is_ok();
        found.find(fits).unwrap_or_else(|| self.program.clone())
    }
}

/// Whether a variable may reach pgBackRest: its own options, and what is neither PostgreSQL's nor a secret of ours.
fn is_for_pgbackrest(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return true };
    if name.starts_with("PGBACKREST_") {
        // The stanza is always given as an argument, and every call means every repository: `archive-get` with one of
        // them would say "not found" of what another has.
        return !matches!(name, "PGBACKREST_STANZA" | "PGBACKREST_REPO") && options::of_variable(name).is_some();
    }
    !name.starts_with("PG") && !name.starts_with("WAL_ARCHIVE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_that_it_is_given() {
        let located = |program: &str, path: &str| {
            let environment = [(OsString::from("PATH"), OsString::from(path))].into_iter();
            let folder = Path::new("/");
            Caller::new(program.into(), "main".into(), folder, Verbosity::Warn, environment, Vec::new()).located()
        };
        assert_eq!(located("sh", "/nowhere:/etc:/bin"), Path::new("/bin/sh"));
        // What can't be found, or not be executed, is left to the one who starts it.
        for (program, path) in [("sh", ""), ("sh", "bin"), ("passwd", "/etc"), ("./sh", "/bin"), ("/bin/none", "/bin")]
        {
            assert_eq!(located(program, path), Path::new(program));
        }
    }

    #[test]
    fn neither_postgresqls_variables_nor_strangers_reach_pgbackrest() {
        let given = ["PGHOST", "PGDATA", "PGBACKREST_FOO", "PGBACKREST_REPO1_PATH", "WAL_ARCHIVE_SECRET", "PATH", "TZ"];
        let environment = given.iter().map(|name| (OsString::from(name), OsString::from("v")));
        let overrides = vec![("PGBACKREST_REPO1_PATH".into(), "/marker".into())];
        let caller =
            Caller::new("pgbackrest".into(), "main".into(), Path::new("/"), Verbosity::Warn, environment, overrides);
        let kept: Vec<_> = caller.environment().map(|(name, value)| (name.to_str(), value.to_str())).collect();
        let expected = [("PATH", "v"), ("TZ", "v"), ("PGBACKREST_REPO1_PATH", "/marker")];
        assert_eq!(kept, expected.map(|(name, value)| (Some(name), Some(value))));
    }
}
