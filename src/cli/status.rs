//! The command line of `pgbackrest-guard status`.

#![expect(clippy::doc_markdown, reason = "doc comments are the help, where a backtick would be shown")]

use super::common::CommonArguments;
use super::guard::PROGRAM;
use crate::exit::Exit;
use crate::log;
use crate::session::Session;
use crate::settings::{self, CommonSettings, Environment, Sources, WatchSettings};
use crate::status::{self, Asking, Report, Request, Style, gather, text};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

/// Columns where there is no terminal that says its own.
const USUAL_COLUMNS: usize = 80;

/// What is archived, what is lost, and what can be restored
///
/// Reads files and asks the server, if it runs, for at most 2 s; works without either the server or the repository, and
/// writes nothing. Exits 0 whenever a report could be made; what can't be known is unknown (null in JSON).
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
    #[command(flatten)]
    look: LookArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// What is looked at, and how it looks.
#[derive(Debug, Args)]
pub(super) struct LookArguments {
    /// Ask the repository for its backups now, for at most a minute
    #[arg(long)]
    repo: bool,
    /// Say whether this moment can be restored (2026-11-22 10:00:00+00), exit 0 if so, 1 if not
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One object, for programs
    Json,
}

/// What `status` goes by.
struct Looking {
    request: Request,
    style: Style,
    at: Option<Timestamp>,
}

/// Makes the report and prints it.
pub(super) fn run(arguments: StatusArguments) -> Exit {
    let output = arguments.output;
    match looking(arguments.common, &arguments.look) {
        Ok(looking) => show(&looking, output),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

/// A moment with its offset from UTC: without one it would be another moment for each reader.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.trim().parse().map_err(|_| "no time with an offset, such as '2026-11-22 10:00:00+00'".to_owned())
}

fn looking(common: CommonArguments, look: &LookArguments) -> Result<Looking, String> {
    let flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
    let watch = WatchSettings::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let style = style(look.ascii, &sources);
    let session = Session::open(&common, sources.environment(), Path::new("/"));
    let answer = look.repo.then(|| status::ask(&session, &common));
    let request = Request {
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
        now: Timestamp::now().as_second(),
    };
    Ok(Looking { request, style, at: look.at })
}

/// The terminal's width, and colours where there is one and nobody refuses them (no-color.org).
fn style(ascii: bool, sources: &Sources) -> Style {
    let stdout = std::io::stdout();
    let environment = sources.environment();
    let size = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    let told = environment.get("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
    let columns = told.or(Some(size)).filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS);
    let colour = stdout.is_terminal() && environment.get("NO_COLOR").is_none();
    let plain = environment.get("TERM").is_some_and(|term| term == "dumb");
    Style::new(columns, ascii, colour && !plain)
}

fn show(looking: &Looking, output: Output) -> Exit {
    let report = gather(&looking.request);
    if let Some(at) = looking.at {
        return show_moment(looking, &report, at, output);
    }
    match output {
        Output::Text => print(Ok(text(&report, &looking.style))),
        Output::Json => print(serde_json::to_string_pretty(&report)),
    }
}

fn show_moment(looking: &Looking, report: &Report, at: Timestamp, output: Output) -> Exit {
    let moment = status::look_at(report, at);
    let shown = match output {
        Output::Text => print(Ok(moment.text(&looking.request.common.stanza.value, report))),
        Output::Json => print(serde_json::to_string_pretty(&moment)),
    };
    if shown == Exit::Success && moment.restorable != Some(true) { Exit::Failed } else { shown }
}

fn print(shown: Result<String, serde_json::Error>) -> Exit {
    match shown {
        Ok(mut text) => {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            // A reader that has gone away has read enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Exit::Success
        }
        Err(error) => {
            tracing::error!("can't write the report: {error}");
            Exit::Failed
        }
    }
}
