//! The command line of `pgbackrest-guard-get`.

#![expect(clippy::doc_markdown, reason = "doc comments are the help, where a backtick would be shown")]

use super::common::CommonArguments;
use super::described::{self, described};
use crate::data_directory::{DataDirectory, Recovery};
use crate::exit::{self, Exit};
use crate::get::{Context, Request, get};
use crate::log;
use crate::settings::table::Program;
use crate::settings::{self, CommonSettings, Environment, GetFlags, GetSettings, RepositoryNumber, Seconds};
use crate::signals::Signals;
use crate::wal::WalFile;
use clap::{Command, CommandFactory as _, Parser};
use std::path::PathBuf;
use std::process::ExitCode;

const PROGRAM: &str = "pgbackrest-guard-get";

/// Fetches one WAL file from pgBackRest; an outage never looks like the end of the archive
///
/// For postgresql.conf: restore_command = 'pgbackrest-guard-get %f "%p"'
///
/// Exits 0 when the file is restored, 1 when pgBackRest says that no repository has it. If a repository can't be
/// reached: in a one-shot recovery, 254 after the retries, which stops the server (start it again to continue); on a
/// standby and during a promotion, soon, pgBackRest's code, which lets the server carry on.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, disable_help_subcommand = true)]
struct Arguments {
    /// The WAL file's name, %f
    #[arg(value_name = "WAL_FILE")]
    file: PathBuf,
    /// Where to put it, %p
    #[arg(value_name = "PATH")]
    target: PathBuf,
    #[arg(long)]
    retry: Option<Seconds>,
    #[arg(long, value_parser = Seconds::limit)]
    timeout: Option<Seconds>,
    #[arg(long)]
    repo: Option<RepositoryNumber>,
    #[arg(long)]
    no_fast_path: bool,
    #[command(flatten)]
    common: CommonArguments,
}

/// The command line, for the manual and the shells' completions.
#[must_use]
pub fn command() -> Command {
    described(Arguments::command(), Program::Get)
}

/// Runs the program: arguments, settings, get, exit code.
#[must_use]
pub fn main() -> ExitCode {
    exit::on_panic(PROGRAM, wrong);
    let signals = Signals::take();
    let exit = match described::parse::<Arguments>(command()) {
        Ok(arguments) => run(arguments, signals).unwrap_or_else(|what| {
            super::wrong(PROGRAM, &what);
            wrong()
        }),
        Err(error) => {
            if super::answer(PROGRAM, &error) {
                Exit::Success
            } else {
                wrong()
            }
        }
    };
    exit.into()
}

/// How a get ends that could not even ask: never as if the file were missing, and never so that a standby stops.
///
/// The arguments may be unreadable. PostgreSQL's startup process runs in its data directory; `PGDATA` may be another's.
fn wrong() -> Exit {
    let typed = std::env::args_os().collect::<Vec<_>>();
    let beside = typed.iter().zip(typed.iter().skip(1)).find(|(flag, _)| *flag == "--pgdata").map(|(_, path)| path);
    let joined = typed.iter().find_map(|word| word.to_str()?.strip_prefix("--pgdata="));
    let flag = beside.map(PathBuf::from).or_else(|| joined.map(PathBuf::from));
    let here = std::env::current_dir().ok();
    let target = typed.last().zip(here.as_ref()).and_then(|(last, here)| DataDirectory::of_wal_path(&here.join(last)));
    let places = [flag, target, here, Environment::of_process().path("PGDATA")];
    let pgdata = places.into_iter().flatten().find(|path| DataDirectory::is_one(path));
    match pgdata.map(|path| DataDirectory::new(path).recovery()) {
        // Without a signal file a server that stops here would start read-write on its old timeline.
        Some(Recovery::Standby | Recovery::NoSignal) | None => Exit::Usage,
        Some(Recovery::OneShot) => Exit::StopRecovery,
    }
}

/// Gets; or says what is wrong with the arguments.
fn run(arguments: Arguments, signals: std::io::Result<Signals>) -> Result<Exit, String> {
    let file: WalFile = arguments.file.to_string_lossy().parse().map_err(|error| format!("{error}"))?;
    let flags = GetFlags {
        retry: arguments.retry,
        timeout: arguments.timeout,
        no_fast_path: arguments.no_fast_path,
        repository: arguments.repo,
    };
    let common = arguments.common.into_flags()?;
    let working_directory = std::env::current_dir().map_err(|error| format!("no working directory: {error}"))?;
    let target = working_directory.join(&arguments.target);
    let mut sources = settings::sources(common.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve(common, Some(working_directory.clone()), &mut sources)
        .with_directory_of(&target, &mut sources);
    let get_settings = GetSettings::resolve(flags, &mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let signals = signals.map_err(|error| format!("can't handle signals: {error}"))?;
    let request = Request {
        data_directory: common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone())),
        common,
        get: get_settings,
        environment: sources.environment().clone(),
        working_directory,
        target,
    };
    Ok(get(&Context::open(request, signals), &file))
}
