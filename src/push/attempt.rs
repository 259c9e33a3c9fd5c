//! One run of `pgbackrest archive-push`, and for what it is ended.

use super::context::Context;
use super::progress::Progress;
use crate::decide::pressure::{Running, Stop, reason_to_end};
use crate::epoch;
use crate::exit::{ArchiverCode, Exit};
use crate::log;
use crate::pgbackrest::{End, Failure, Interruption, PushMode, Pushed, Watch};
use std::time::Duration;

/// pgBackRest's `ArchiveTimeoutError`: its async process was not done in time.
const NOT_DONE_IN_TIME: i32 = 82;
/// How often a push is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same while the server stops, of whose ten seconds nothing may be wasted.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// What one run of pgBackRest came to.
pub(super) struct Attempt {
    /// pgBackRest's answer.
    pub(super) answer: Result<Pushed, Failure>,
    /// Whether it gave up waiting for an async process that gets on: slow, and not failed.
    pub(super) slow: bool,
}

/// Runs pgBackRest and copies what it prints.
pub(super) fn run(context: &Context) -> Attempt {
    let progress = Progress::of(context);
    let watch = watched(context, &progress, context.first_limit());
    let spoken = context.client.push(&context.request.wal_path, PushMode::Configured, watch);
    log::copy(&spoken.printed);
    let late = spoken.answer.as_ref().is_err_and(|failure| failure.end() == End::Exited(NOT_DONE_IN_TIME));
    Attempt { slow: late && progress.is_the_worker_getting_on(), answer: spoken.answer }
}

/// A watch that ends a call when it stands still and `limit` has passed since the push began, or the server needs us to stop.
pub(super) fn watched<'c>(context: &'c Context, progress: &'c Progress<'c>, limit: Duration) -> Watch<'c> {
    let watch = Watch::by(move |group| reason_to_end(&running(context, progress.still(group), limit)))
        .and_signals(&context.signals)
        .limited_by("WAL_PUSH_TIMEOUT_SECONDS");
    let stops = context.request.data_directory.stopping_since().is_some();
    watch.every(if stops { STOP_INTERVAL } else { INTERVAL })
}

fn running(context: &Context, still: Duration, limit: Duration) -> Running {
    let stop = context
        .request
        .data_directory
        .stopping_since()
        .map(|since| Stop { since: since.elapsed().ok(), again: context.state.held_up_stop == epoch::seconds(since) });
    Running { elapsed: context.started.elapsed(), still, limit, stop, space: context.space() }
}

/// Whether it was ended for the sake of a shutdown, the server's or our own.
pub(super) fn is_for_a_shutdown(failure: &Failure) -> bool {
    matches!(failure.end(), End::Interrupted(Interruption::Shutdown | Interruption::Signal))
}

/// How the program ends when PostgreSQL is to try again.
pub(super) fn exit(failure: &Failure) -> Exit {
    match failure.end() {
        End::Exited(code) => Exit::PgBackRest(ArchiverCode::from_child(code)),
        End::Interrupted(Interruption::TimeLimit) => Exit::TimedOut,
        End::Signaled(_) | End::Interrupted(_) => Exit::Terminated,
        End::NotStarted => Exit::Unknown,
    }
}
