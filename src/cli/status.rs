//! The command line of `pgbackrest-guard status`.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::common::CommonArguments;
use super::forms::{self, Form, FormArguments, Output, Task};
use crate::clusters;
use crate::data_directory::DataDirectory;
use crate::decide::drill::Claimed;
use crate::exit::Exit;
use crate::log;
use crate::moment::parse_moment;
use crate::problem_report;
use crate::settings::{self, CommonSettings, Connection, Environment, SetupSettings, Sources, WatchSettings};
use crate::setup::{self, Mode};
use crate::status::{self, Asking, Report, Request, Style, gather, text};
use clap::Args;
use jiff::Timestamp;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

/// Columns where there is no terminal that says its own.
const USUAL_COLUMNS: usize = 80;

/// Shows what is archived, what is lost, and what can be restored
///
/// Reads files, and asks a running server for at most 2 s. Works without the server and without the repository. Writes
/// nothing, except for --to and --acknowledge. Exits 0 whenever a report could be made; what can't be known is unknown
/// (null in JSON).
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    form: FormArguments,
    #[command(flatten)]
    look: LookArguments,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// What is looked at, and how it looks.
#[derive(Debug, Args)]
pub(super) struct LookArguments {
    /// Ask the repository for its backups now, for at most a minute
    #[arg(long, conflicts_with_all = ["watch", "acknowledge"])]
    repo: bool,
    /// Say whether this moment can be restored (2026-11-22 10:00:00+00); exit 0 for yes, 1 for no, 2 for unknown
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with_all = ["gaps", "watch", "to", "acknowledge", "report"])]
    at: Option<Timestamp>,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
}

/// What `status` goes by.
struct Looking {
    request: Request,
    sources: Sources,
    connection: Connection,
    ascii: bool,
    at: Option<Timestamp>,
}

/// Makes the report and shows it.
pub(super) fn run(arguments: StatusArguments) -> Exit {
    let StatusArguments { form, look, cluster, common } = arguments;
    match task(form, &look).and_then(|task| Ok((task, looking(common, cluster, &look)?))) {
        Ok((task, looking)) => act(looking, task),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn task(form: FormArguments, look: &LookArguments) -> Result<Task, String> {
    let task = form.into_task()?;
    let has_form = matches!(task, Task::Show(Form::Whole(Output::Text | Output::Json), _));
    if look.at.is_some() && !has_form { Err("--at goes with --output=text or json".to_owned()) } else { Ok(task) }
}

/// A moment with its offset from UTC: without one it would be another moment for each reader.
fn looking(common: CommonArguments, cluster: ClusterArguments, look: &LookArguments) -> Result<Looking, String> {
    let mut flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    cluster.find(&mut flags, &mut sources)?;
    // A directory that is named and can't be read is reported on, and no other in its place.
    let common = CommonSettings::resolve_as_named(flags, std::env::current_dir().ok(), &mut sources);
    let watch = WatchSettings::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let connection = watch.connection.clone();
    let request = status_request(common, watch, &sources, look.repo);
    Ok(Looking { request, sources, connection, ascii: look.ascii, at: look.at })
}

/// What a report is made of. `repo`: whether the repository is asked.
pub(super) fn status_request(common: CommonSettings, watch: WatchSettings, sources: &Sources, repo: bool) -> Request {
    let client = common.client(sources.environment(), Path::new("/"));
    let (answer, server) = if repo {
        let (answer, server) = status::ask(&client, &common, &watch.connection);
        (Some(answer), server)
    } else {
        (None, Asking::Yes(watch.connection))
    };
    let pgdata = common.pgdata.as_ref();
    let cluster_name = pgdata.map(|pgdata| clusters::name_of(sources.environment(), &pgdata.value));
    Request {
        cluster_name: cluster_name.unwrap_or_default(),
        config: client.config().cloned(),
        drop_threshold: watch.drop_threshold,
        drop_measure: watch.drop_measure,
        free_reserve: watch.free_reserve,
        overflow: watch.overflow,
        taken_by: watch.taken_by,
        drill_max_age: watch.drill_max_age,
        intervals: watch.intervals,
        verify: watch.verify,
        setup: setup_request(&common, sources),
        server,
        answer,
        common,
        now: Timestamp::now().as_second(),
    }
}

/// What setup would be asked for, where a bucket is named.
fn setup_request(common: &CommonSettings, sources: &Sources) -> Option<setup::Request> {
    let mode = Mode { disable: false, dry_run: true };
    let environment = sources.environment().clone();
    // What it thinks of its own settings is for setup to say.
    let setup = SetupSettings::resolve(&mut sources.clone());
    setup.bucket.is_some().then(|| setup::Request { common: common.clone(), setup, environment, mode })
}

/// The moments that `status` claims, and the start of the oldest backup: by the watcher's notes, else by asking the repository.
pub(super) fn claims(common: &CommonSettings, sources: &mut Sources) -> (Vec<Claimed>, Option<i64>) {
    let watch = WatchSettings::resolve(sources);
    let report = |repo| gather(&status_request(common.clone(), watch.clone(), sources, repo));
    let noted = report(false);
    let is_noted = noted.windows.as_ref().is_some_and(|windows| !windows.is_empty());
    let report = if is_noted { noted } else { report(true) };
    let second = |at: Option<Timestamp>| at.map(Timestamp::as_second);
    let windows = report.windows.iter().flatten();
    let claimed = windows.filter_map(|window| Some(Claimed { from: second(window.from)?, to: second(window.to)? }));
    let backups = report.extra.backups.iter().flatten();
    (claimed.collect(), backups.filter_map(|backup| second(backup.started_at)).min())
}

/// The terminal's width, and colours where there is one and nobody refuses them (no-color.org).
fn style(ascii: bool, environment: &Environment) -> Style {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    let told = environment.get("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
    let columns = told.or(Some(size)).filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS);
    let colour = stdout.is_terminal() && environment.get("NO_COLOR").is_none();
    let plain = environment.get("TERM").is_some_and(|term| term == "dumb");
    Style::new(columns, ascii, colour && !plain)
}

fn act(mut looking: Looking, task: Task) -> Exit {
    let ascii = looking.ascii;
    match (task, looking.at) {
        (Task::Show(Form::Whole(output), _), Some(at)) => show_moment(&looking, &gather(&looking.request), at, output),
        (Task::Show(form, to), _) => {
            let style = match to {
                None => style(ascii, looking.sources.environment()),
                Some(_) => Style::new(USUAL_COLUMNS, ascii, false),
            };
            forms::show(&gather(&looking.request), form, to, |report| text(report, &style))
        }
        (Task::Watch(form), _) => {
            let next = || {
                looking.request.now = Timestamp::now().as_second();
                gather(&looking.request)
            };
            // Anew each time: the terminal may have another size.
            forms::watch(next, form, |report| text(report, &style(ascii, looking.sources.environment())))
        }
        (Task::Collect, _) => collect(&looking),
        (Task::Acknowledge(id, reason), _) => {
            forms::acknowledge(&looking.request.common, id, &reason, looking.request.now)
        }
    }
}

/// Shows what a problem report needs.
fn collect(looking: &Looking) -> Exit {
    let Looking { request, sources, connection, .. } = looking;
    let directory = request.common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone()));
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let client = request.common.client(sources.environment(), Path::new("/"));
    let text = problem_report::problem_report(&problem_report::Request {
        sources,
        client: &client,
        directory: directory.as_ref(),
        connection,
        cluster: &request.cluster_name,
        report: &gather(request),
        beside,
    });
    // A reader that has gone away has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

fn show_moment(looking: &Looking, report: &Report, at: Timestamp, output: Output) -> Exit {
    let moment = status::look_at(report, at);
    let shown = match output {
        Output::Json => print(serde_json::to_string_pretty(&moment)),
        _ => print(Ok(moment.text(&looking.request.common.stanza.value, report))),
    };
    match moment.restorable {
        _ if shown != Exit::Success => shown,
        Some(true) => Exit::Success,
        Some(false) => Exit::Failed,
        None => Exit::NotKnown,
    }
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
