//! The command line of `pgbackrest-guard status`.

use super::common::CommonArguments;
use super::guard::PROGRAM;
use crate::exit::Exit;
use crate::log;
use crate::session::Session;
use crate::settings::{self, CommonSettings, Environment, WatchSettings};
use crate::status::{self, Asking, Request, gather, text};
use clap::{Args, ValueEnum};
use std::io::Write as _;
use std::path::Path;

/// What is archived, what is lost, and what can be restored
///
/// Reads files only: works with the server down and without the repository, and writes nothing. Exits 0 whenever a
/// report could be made; what can't be known is unknown (null in JSON).
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
    /// Ask the repository for its backups now, for at most a minute
    #[arg(long)]
    repo: bool,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One object, for programs
    Json,
}

/// Makes the report and prints it.
pub(super) fn run(arguments: StatusArguments) -> Exit {
    let output = arguments.output;
    match request(arguments.common, arguments.repo) {
        Ok(request) => print(&request, output),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn request(common: CommonArguments, repository: bool) -> Result<Request, String> {
    let flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
    let watch = WatchSettings::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let session = Session::open(&common, sources.environment(), Path::new("/"));
    let answer = repository.then(|| status::ask(&session, &common));
    Ok(Request {
        config: session.config,
        drop_threshold: watch.drop_threshold,
        drop_measure: watch.drop_measure,
        free_reserve: watch.free_reserve,
        overflow: watch.overflow,
        intervals: watch.intervals,
        verify: watch.verify,
        server: Asking::Yes(watch.connection),
        answer,
        common,
        now: jiff::Timestamp::now().as_second(),
    })
}

fn print(request: &Request, output: Output) -> Exit {
    let report = gather(request);
    let shown = match output {
        Output::Text => text(&report),
        Output::Json => match serde_json::to_string_pretty(&report) {
            Ok(json) => json + "\n",
            Err(error) => {
                tracing::error!("can't write the report: {error}");
                return Exit::Failed;
            }
        },
    };
    // A reader that has gone away has read enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Exit::Success
}
