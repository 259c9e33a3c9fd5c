//! One run of `pgbackrest archive-push`, watched.

use super::context::{Context, seconds};
use crate::classify::{self, Class, Failure};
use crate::decide::push::is_short_of_space;
use crate::exit::{ArchiverCode, Exit};
use crate::log;
use crate::pgbackrest::output;
use crate::pgbackrest::run::{self, Ended, Ending, Watch};
use crate::pgbackrest::spool::{ErrorFiles, SpoolError};
use crate::space::Volume;
use std::ffi::OsStr;
use std::time::Duration;

/// How often the clock, the free space and the server's state are looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a push may go on while the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The same once a push has held this shutdown up for as long, whether it was ended or failed by itself. PostgreSQL tries a file three times, and once the last
/// checkpoint is written three times more (pgarch.c, `pgarch_MainLoop`, 15): with ten seconds for each, a hanging
/// repository would hold the server up for 64 s, longer than `pg_ctl stop` waits.
pub(super) const SHUTDOWN_GRACE_AGAIN: Duration = Duration::from_secs(2);

/// Why pgBackRest was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The time limit passed.
    TimeLimit,
    /// Free space fell under the reserve while much WAL waits.
    FreeReserve,
    /// The server has been shutting down for too long.
    Shutdown,
    /// We were told to end.
    Signal,
}

/// A pgBackRest that has ended, and what it left to read.
pub(super) struct Attempt {
    /// How it ended.
    pub(super) ended: Ended<Stop>,
    /// What it printed on either stream; not redacted.
    pub(super) printed: String,
    /// An error in the spool that belongs to this push.
    spool_error: Option<SpoolError>,
}

/// Runs pgBackRest and copies what it prints.
pub(super) fn run(context: &Context) -> Attempt {
    let name = context.request.wal_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let before: Option<ErrorFiles> = context.spool.as_ref().map(|spool| spool.error_files(&name));
    let arguments = [OsStr::new("archive-push"), context.request.wal_path.as_os_str()];
    let ended = watched(context, context.caller.command(arguments), context.request.push.timeout.value.duration());
    let printed = output::joined(&ended.stderr, &ended.stdout);
    log::copy(&context.redactor.redact(printed.as_bytes()));
    let failed = !matches!(ended.ending, Ending::Exited(0));
    let spool_error = context.spool.as_ref().zip(before).filter(|_| failed);
    let spool_error = spool_error.and_then(|(spool, before)| spool.error_since(&before));
    Attempt { ended, printed, spool_error }
}

/// Runs a command until it ends, `limit` has passed since the push began, or the server needs us to stop.
pub(super) fn watched(context: &Context, command: std::process::Command, limit: Duration) -> Ended<Stop> {
    let mut check = |_| reason_to_stop(context, limit);
    let watch = Watch {
        check: &mut check,
        interval: INTERVAL,
        on_signal: Stop::Signal,
        keep: run::KEPT_BYTES,
        grace: run::GRACE,
    };
    run::run(command, Some(&context.signals), watch)
}

fn reason_to_stop(context: &Context, limit: Duration) -> Option<Stop> {
    if let Some(since) = context.request.data_directory.stopping_since() {
        // By the clock that can't be set, as far as this push goes; a change in the future says nothing.
        let waited = since.elapsed().unwrap_or(Duration::MAX).min(context.started.elapsed());
        let again = context.state.held_up_stop == Some(seconds(since));
        if waited >= if again { SHUTDOWN_GRACE_AGAIN } else { SHUTDOWN_GRACE } {
            return Some(Stop::Shutdown);
        }
    }
    if context.started.elapsed() >= limit {
        return Some(Stop::TimeLimit);
    }
    let pg_wal = context.request.data_directory.pg_wal();
    let volume = Volume::of(&pg_wal);
    let reserve = context.limits(volume).reserve;
    let backlog = || context.measure(&pg_wal).ok().map(|backlog| backlog.bytes);
    let short = volume.free.is_some_and(|free| free < reserve) && is_short_of_space(backlog(), volume.free, reserve);
    short.then_some(Stop::FreeReserve)
}

impl Attempt {
    /// Why it failed.
    pub(super) fn failure(&self, context: &Context) -> Failure {
        let instant = &context.request.push.instant_drop.value;
        match &self.ended.ending {
            Ending::Exited(code) => {
                let printed = classify::of_output(*code, &self.printed, instant);
                match &self.spool_error {
                    // 82 says no more than that the async process was not done; the spool says why.
                    Some(error) if *code == 82 || printed.class() == Class::Unknown => {
                        classify::of_spool(error.code, &error.text, instant)
                    }
                    _ => printed,
                }
            }
            Ending::Signaled(signal) => {
                Failure::of_class(Class::Local, &format!("pgBackRest was ended by signal {signal}"))
            }
            Ending::Stopped(stop) => Failure::of_class(Class::Unavailable, stop.words()),
            Ending::NotStarted(error) => {
                let program = context.caller.program().display();
                Failure::of_class(Class::Unknown, &format!("can't start {program}: {error}"))
            }
        }
    }

    /// Whether it was ended for the sake of a shutdown, the server's or our own.
    pub(super) fn ended_for_shutdown(&self) -> bool {
        matches!(self.ended.ending, Ending::Stopped(Stop::Shutdown | Stop::Signal))
    }

    /// pgBackRest's own code, where it has one.
    pub(super) fn code(&self) -> Option<i32> {
        if let Ending::Exited(code) = self.ended.ending { Some(code) } else { None }
    }

    /// pgBackRest's code for a line of the log.
    pub(super) fn code_shown(&self) -> String {
        self.code().map_or_else(|| "no exit code".to_owned(), |code| format!("pgBackRest {code}"))
    }

    /// How the program ends when PostgreSQL shall try again.
    pub(super) fn exit(&self) -> Exit {
        match &self.ended.ending {
            Ending::Exited(code) => Exit::PgBackRest(ArchiverCode::from_child(*code)),
            Ending::Stopped(Stop::TimeLimit) => Exit::TimedOut,
            Ending::Signaled(_) | Ending::Stopped(Stop::FreeReserve | Stop::Shutdown | Stop::Signal) => {
                Exit::Terminated
            }
            Ending::NotStarted(_) => Exit::Unknown,
        }
    }
}

impl Stop {
    fn words(self) -> &'static str {
        match self {
            Self::TimeLimit => "pgBackRest was ended: it took longer than WAL_PUSH_TIMEOUT_SECONDS allows",
            Self::FreeReserve => "pgBackRest was ended: free space fell under WAL_FREE_RESERVE_MB",
            Self::Shutdown => "pgBackRest was ended: the server is shutting down",
            Self::Signal => "pgBackRest was ended: pgbackrest-guard-push was told to end",
        }
    }
}
