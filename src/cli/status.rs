//! The command line of `pgbackrest-guard status`.

use super::common::CommonArguments;
use super::forms::{self, FormArguments, Task};
use super::guard::PROGRAM;
use crate::exit::Exit;
use crate::log;
use crate::session::Session;
use crate::settings::{self, CommonSettings, Environment, WatchSettings};
use crate::status::{self, Asking, Request, gather, text};
use clap::Args;
use std::path::Path;

/// What is archived, what is lost, and what can be restored
///
/// Reads files only: works with the server down and without the repository, and writes nothing. Exits 0 whenever a
/// report could be made; what can't be known is unknown (null in JSON).
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    form: FormArguments,
    /// Ask the repository for its backups now, for at most a minute
    #[arg(long, conflicts_with_all = ["watch", "acknowledge"])]
    repo: bool,
    #[command(flatten)]
    common: CommonArguments,
}

/// Makes the report and shows it.
pub(super) fn run(arguments: StatusArguments) -> Exit {
    let (common, repo) = (arguments.common, arguments.repo);
    match arguments.form.into_task().and_then(|task| Ok((task, request(common, repo)?))) {
        Ok((task, request)) => act(request, task),
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

fn act(mut request: Request, task: Task) -> Exit {
    match task {
        Task::Show(form, to) => forms::show(&gather(&request), form, to, text),
        Task::Watch(form) => {
            let next = || {
                request.now = jiff::Timestamp::now().as_second();
                gather(&request)
            };
            forms::watch(next, form, text)
        }
        Task::Acknowledge(id, reason) => forms::acknowledge(&request.common, id, &reason, request.now),
    }
}
