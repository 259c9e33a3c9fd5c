//! One run of `pgbackrest archive-push`, and for what it is ended.

use super::context::Context;
use crate::decide::push::is_short_of_space;
use crate::epoch;
use crate::exit::{ArchiverCode, Exit};
use crate::log;
use crate::pgbackrest::{End, Failure, Interruption, PushMode, Pushed, Watch};
use crate::space::Volume;
use std::time::Duration;

/// How long a push may go on while the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The same once a push has held this shutdown up for as long, whether it was ended or failed by itself. PostgreSQL tries a file three times, and once the last
/// checkpoint is written three times more (pgarch.c, `pgarch_MainLoop`, 15): with ten seconds for each, a hanging
/// repository would hold the server up for 64 s, longer than `pg_ctl stop` waits.
pub(super) const SHUTDOWN_GRACE_AGAIN: Duration = Duration::from_secs(2);

/// Runs pgBackRest and copies what it prints.
///
/// # Errors
/// When pgBackRest did not store the file.
pub(super) fn run(context: &Context) -> Result<Pushed, Failure> {
    let watch = watched(context, context.request.push.timeout.value.duration());
    let spoken = context.client.push(&context.request.wal_path, PushMode::Configured, watch);
    log::copy(&spoken.printed);
    spoken.answer
}

/// A watch that ends a call when `limit` has passed since the push began, or the server needs us to stop.
pub(super) fn watched(context: &Context, limit: Duration) -> Watch<'_> {
    Watch::by(move |_| reason_to_stop(context, limit))
        .and_signals(&context.signals)
        .limited_by("WAL_PUSH_TIMEOUT_SECONDS")
}

fn reason_to_stop(context: &Context, limit: Duration) -> Option<Interruption> {
    if let Some(since) = context.request.data_directory.stopping_since() {
        // By the clock that can't be set, as far as this push goes; a change in the future says nothing.
        let waited = since.elapsed().unwrap_or(Duration::MAX).min(context.started.elapsed());
        let again = context.state.held_up_stop == epoch::seconds(since);
        if waited >= if again { SHUTDOWN_GRACE_AGAIN } else { SHUTDOWN_GRACE } {
            return Some(Interruption::Shutdown);
        }
    }
    if context.started.elapsed() >= limit {
        return Some(Interruption::TimeLimit);
    }
    let pg_wal = context.request.data_directory.pg_wal();
    let volume = Volume::of(&pg_wal);
    let reserve = context.limits(volume).reserve;
    let backlog = || context.measure(&pg_wal).ok().map(|backlog| backlog.bytes);
    let short = volume.free.is_some_and(|free| free < reserve) && is_short_of_space(backlog(), volume.free, reserve);
    short.then_some(Interruption::FreeReserve)
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
