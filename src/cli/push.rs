//! The command line of `pgbackrest-guard-push`.

#![expect(clippy::doc_markdown, reason = "doc comments are the help, where a backtick would be shown")]

use super::common::CommonArguments;
use super::described::{self, choice, described};
use crate::data_directory::DataDirectory;
use crate::errand;
use crate::exit::{self, Exit};
use crate::log;
use crate::pgbackrest::failure::codes::InstantDropCodes;
use crate::push::{Context, Request, push, serve};
use crate::settings::table::{self, Program};
use crate::settings::{self, CommonSettings, DropMeasure, Environment, Mebibytes, PushFlags, PushSettings, Seconds};
use crate::signals::Signals;
use crate::wal::{NotAWalFile, WalFile};
use clap::{Command, CommandFactory as _, Parser};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const PROGRAM: &str = "pgbackrest-guard-push";

/// Hands one WAL file to pgBackRest, and keeps PostgreSQL running when the repository fails
///
/// For postgresql.conf: archive_command = 'pgbackrest-guard-push %p'
///
/// Exits 0 when the file is in every repository, or dropped and recorded; 1 to 125 when PostgreSQL should try again.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, disable_help_subcommand = true)]
struct Arguments {
    /// The WAL file, %p
    #[arg(value_name = "WAL_PATH")]
    path: PathBuf,
    #[arg(long)]
    drop_threshold: Option<Mebibytes>,
    #[arg(long)]
    drop_after: Option<Seconds>,
    #[arg(long, value_parser = choice(&table::WAL_DROP_MEASURE))]
    drop_measure: Option<DropMeasure>,
    #[arg(long)]
    free_reserve: Option<Mebibytes>,
    #[arg(long, value_parser = Seconds::limit)]
    timeout: Option<Seconds>,
    #[arg(long)]
    instant_drop: Option<InstantDropCodes>,
    #[arg(long)]
    instant_drop_after: Option<Seconds>,
    #[arg(long)]
    no_fast_path: bool,
    #[command(flatten)]
    common: CommonArguments,
}

/// The command line, for the manual and the shells' completions.
#[must_use]
pub fn command() -> Command {
    described(Arguments::command(), Program::Push)
}

/// Runs the program: arguments, settings, push, exit code.
#[must_use]
pub fn main() -> ExitCode {
    exit::on_panic(PROGRAM, || Exit::Unknown);
    if std::env::args_os().nth(1).is_some_and(|first| first == errand::ARGUMENT) {
        let served = serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
        return if served.is_ok() { Exit::Success } else { Exit::Failed }.into();
    }
    let signals = Signals::take();
    let exit = match described::parse::<Arguments>(command()) {
        Ok(arguments) => run(arguments, signals).unwrap_or_else(|what| {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }),
        Err(error) => {
            if super::answer(PROGRAM, &error) {
                Exit::Success
            } else {
                Exit::Usage
            }
        }
    };
    exit.into()
}

/// Pushes; or says what is wrong with the arguments.
fn run(arguments: Arguments, signals: std::io::Result<Signals>) -> Result<Exit, String> {
    let file = wal_file(&arguments.path).map_err(|error| error.to_string())?;
    let flags = PushFlags {
        drop_threshold: arguments.drop_threshold,
        drop_after: arguments.drop_after,
        drop_measure: arguments.drop_measure,
        free_reserve: arguments.free_reserve,
        timeout: arguments.timeout,
        instant_drop: arguments.instant_drop,
        instant_drop_after: arguments.instant_drop_after,
        no_fast_path: arguments.no_fast_path,
    };
    let common = arguments.common.into_flags()?;
    let here = std::env::current_dir().ok();
    let path = here.as_ref().map_or_else(|| arguments.path.clone(), |here| here.join(&arguments.path));
    let mut sources = settings::sources(common.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve(common, here, &mut sources).with_directory_of(&path, &mut sources);
    let push_settings = PushSettings::resolve(flags, &mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let pgdata = common
        .pgdata
        .clone()
        .ok_or("no data directory: neither PGDATA nor the working directory holds a PG_VERSION")?;
    let data_directory = DataDirectory::new(pgdata.value);
    if let Some(why) = super::owner::refusal(&data_directory, &format!("{PROGRAM} {}", arguments.path.display())) {
        tracing::error!("{why}");
        return Ok(Exit::Unknown);
    }
    let signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(
                "can't handle signals: {error}; {file} is not stored, PostgreSQL keeps it and will try again"
            );
            return Ok(Exit::Unknown);
        }
    };
    let request = Request {
        common,
        push: push_settings,
        environment: sources.environment().clone(),
        data_directory,
        wal_path: arguments.path,
    };
    Ok(push(&mut Context::open(request, signals), &file))
}

/// The WAL file that a path names.
fn wal_file(path: &Path) -> Result<WalFile, NotAWalFile> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_str().ok_or_else(|| NotAWalFile::new(&name.to_string_lossy()))?.parse()
}
