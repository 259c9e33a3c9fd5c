//! The command line of `pgbackrest-guard status`.

use super::common::CommonArguments;
use super::forms::{self, FormArguments, Task};
use super::guard::PROGRAM;
use crate::exit::Exit;
use crate::log;
use crate::session::Session;
use crate::settings::{self, BackupIntervals, CommonSettings, Environment, PushFlags, PushSettings};
use crate::status::{Request, gather, text};
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
    #[command(flatten)]
    common: CommonArguments,
}

/// Makes the report and shows it.
pub(super) fn run(arguments: StatusArguments) -> Exit {
    let common = arguments.common;
    match arguments.form.into_task().and_then(|task| Ok((task, request(common)?))) {
        Ok((task, request)) => act(request, task),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn request(common: CommonArguments) -> Result<Request, String> {
    let flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
    let push = PushSettings::resolve(PushFlags::default(), &mut sources);
    let intervals = BackupIntervals::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    Ok(Request {
        config: Session::open(&common, sources.environment(), Path::new("/")).config,
        drop_threshold: push.drop_threshold.map(|setting| setting.value),
        drop_measure: push.drop_measure.value,
        free_reserve: push.free_reserve.map(|setting| setting.value),
        intervals,
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
