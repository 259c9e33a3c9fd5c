//! The command line of `pgbackrest-guard setup`.

#![expect(clippy::doc_markdown, reason = "doc comments are the help, where a backtick would be shown")]

use super::GUARD as PROGRAM;
use super::common::CommonArguments;
use crate::exit::Exit;
use crate::log;
use crate::settings::{self, CommonSettings, Environment, SetupSettings};
use crate::setup::{self, Archiving, Mode, Prepared, Request, SetupError};
use clap::Args;
use std::io::Write as _;

/// Checks the WAL_ARCHIVE_* settings, and writes or removes pgBackRest's and PostgreSQL's configuration
///
/// Run it before every start of the server; if nothing needs to change, it changes nothing. A junk value switches
/// archiving off and is reported and recorded, but is not a failure: the server can start.
#[derive(Debug, Args)]
pub(super) struct SetupArguments {
    /// Show what would change, as a unified diff without secrets, and change nothing
    #[arg(long, conflicts_with = "print_env")]
    dry_run: bool,
    /// Switch archiving off, whatever the settings say
    #[arg(long)]
    disable: bool,
    /// Print unset and export lines for the shell that starts the server: eval "$(pgbackrest-guard setup --print-env)"
    #[arg(long)]
    print_env: bool,
    #[command(flatten)]
    common: CommonArguments,
}

/// Sets up.
pub(super) fn run(arguments: SetupArguments) -> Exit {
    let mode = Mode { disable: arguments.disable, dry_run: arguments.dry_run };
    match request(arguments.common, mode) {
        Ok(request) => set_up(&request, arguments.print_env),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn request(common: CommonArguments, mode: Mode) -> Result<Request, String> {
    let flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve_as_named(flags, std::env::current_dir().ok(), &mut sources);
    let setup = SetupSettings::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let request = Request { common, setup, environment: sources.environment().clone(), mode };
    // Junk must not reach the server, whatever else is wrong.
    let is_junk = || matches!(setup::judge(&request).archiving, Archiving::Invalid { .. });
    if request.common.pgdata.is_none() && !is_junk() {
        return Err(SetupError::NoDataDirectory.to_string());
    }
    Ok(request)
}

fn set_up(request: &Request, print_env: bool) -> Exit {
    let (prepared, exit) = match setup::prepare(request) {
        Ok(prepared) => (prepared, Exit::Success),
        Err(error) => {
            let what = log::chain(&error);
            // What is junk must not reach the server whatever could be written, and its boot goes on.
            let judged = setup::judge(request);
            let exit = if matches!(judged.archiving, Archiving::Invalid { .. }) { Exit::Success } else { Exit::Failed };
            tracing::error!("setup failed: {what}. Nothing more was changed; fix that, then run setup again");
            (judged, exit)
        }
    };
    if request.mode.dry_run && prepared.preview.is_empty() && exit == Exit::Success {
        tracing::info!("nothing would change");
    }
    print(&prepared, print_env);
    exit
}

/// On stdout: the lines for the shell, or the preview.
fn print(prepared: &Prepared, print_env: bool) {
    let text = if print_env { prepared.environment.shell_lines() } else { prepared.preview.clone() };
    // A reader that has gone away has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
