//! The command line of `pgbackrest-guard run`.

use super::GUARD as PROGRAM;
use super::common::CommonArguments;
use crate::exit::Exit;
use crate::log;
use crate::settings::{self, CommonSettings, Environment, RecoverSettings, SetupSettings};
use crate::setup::{self, Mode};
use crate::supervisor::{self, Request, Signals};
use clap::Args;
use std::ffi::OsString;

/// Sets up archiving, then runs CMD with the watcher beside it
///
/// For a container's entrypoint. Forwards signals to CMD, reaps orphans, and exits as CMD does: with its exit code, or
/// 128 plus the number of the signal that ended it; 127 if there is no such program, 126 if it can't be started. If
/// setup fails, that is reported, and CMD is started without archiving. On a volume without a cluster, with
/// `WAL_RECOVER_FROM_BUCKET` and a target, a cluster is restored first; if that can't be done, CMD is not started.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// What to run, and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs it.
pub(super) fn run(arguments: RunArguments) -> Exit {
    // First of all: none that comes from now on may be lost.
    let signals = Signals::take();
    let mut command = arguments.command.into_iter();
    let request = arguments.common.into_unchecked_flags().and_then(|flags| {
        let program = command.next().filter(|program| !program.is_empty()).ok_or("CMD is empty")?;
        let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
        let common = CommonSettings::resolve_as_named(flags.clone(), std::env::current_dir().ok(), &mut sources);
        let setup = SetupSettings::resolve(&mut sources);
        let recover = RecoverSettings::resolve(&mut sources);
        log::start(PROGRAM, common.log_level.value, common.log_format.value);
        for warning in sources.warnings() {
            tracing::warn!("{}", warning.0);
        }
        let environment = sources.environment().clone();
        let setup = setup::Request { common, setup, environment, mode: Mode::APPLY };
        Ok(Request { program, arguments: command.collect(), flags, setup, recover })
    });
    match (request, signals) {
        (Ok(request), Ok(signals)) => supervisor::run(request, signals),
        (Ok(_), Err(error)) => {
            tracing::error!("can't handle signals: {error}");
            Exit::Failed
        }
        (Err(what), _) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}
