//! What get says: a line at the first failure, one a minute after that, one when it works again, and the last one.

use super::attempt::{Attempt, Context};
use super::probe;
use crate::decide::get::{Asker, Outcome, Promotion};
use crate::exit::Exit;
use crate::log::{self, Fields};
use crate::pgbackrest::config::Config;
use crate::pgbackrest::{Class, Failure};
use crate::wal::WalFile;
use std::time::Duration;

/// How often a failure that lasts is reported.
const EVERY: Duration = Duration::from_mins(1);
/// Characters of pgBackRest's message in a line.
const MESSAGE_LENGTH: usize = 300;

/// The lines about one file.
pub(super) struct Report<'f> {
    file: &'f WalFile,
    reported_at: Option<Duration>,
}

impl<'f> Report<'f> {
    pub(super) fn new(file: &'f WalFile) -> Self {
        Self { file, reported_at: None }
    }

    /// An attempt failed and there will be another.
    pub(super) fn retry(
        &mut self,
        context: &Context,
        attempt: &Attempt,
        asker: Asker,
        patience: Duration,
        waited: Duration,
    ) {
        let is_due = self.reported_at.is_none_or(|at| waited >= at + EVERY);
        if matches!(asker, Asker::Standby { .. }) || !is_due {
            return;
        }
        self.reported_at = Some(waited);
        log::copy(&attempt.printed);
        let Some(mut failure) = attempt.failure.clone() else { return };
        probe::ask(context, &mut failure);
        if context.must_end(Duration::ZERO) {
            return;
        }
        let then = match asker {
            Asker::NewTimeline { .. } => "then the server goes on without it",
            _ => "then the server is stopped",
        };
        let line = format!(
            "{}: the repository could not be queried: {}; asking again for {} s more (failing for {} s), {then}{}",
            self.file,
            why(&failure),
            patience.saturating_sub(waited).as_secs(),
            waited.as_secs(),
            other_repositories(context, &failure)
        );
        self.fields(&failure, waited).warn(&line);
    }

    /// The last attempt, and with what the program ends: `exit`, unless we are told to end meanwhile.
    pub(super) fn end(&self, context: &Context, attempt: Attempt, exit: Exit, waited: Duration) -> Exit {
        let file = self.file;
        let asker = context.asker(file);
        log::copy(&attempt.printed);
        if attempt.outcome == Outcome::Absent && self.reported_at.is_some() {
            self.about(waited).info(&format!("the repository answers again after {} s", waited.as_secs()));
        }
        match (attempt.outcome, asker) {
            (Outcome::Restored, _) if self.reported_at.is_some() => {
                let line = format!("{file} is restored: the repository answers again after {} s", waited.as_secs());
                self.about(waited).info(&line);
            }
            (Outcome::Restored, _) => tracing::debug!("{file} is restored"),
            (Outcome::Absent, Asker::Standby { .. }) => tracing::debug!("{file} is in no repository"),
            (Outcome::Absent, _) if matches!(file, WalFile::Segment(_)) => {
                let line = format!("{file} is in no repository: to PostgreSQL the archive ends before it");
                self.about(waited).info(&line);
            }
            (Outcome::Absent, _) => self.about(waited).info(&format!("{file} is in no repository")),
            (Outcome::Shutdown, _) => self.shutdown(waited),
            (Outcome::Inconclusive(_), _) => {
                if let Some(failure) = attempt.failure {
                    return self.inconclusive(context, failure, asker, exit, waited);
                }
            }
        }
        exit
    }

    fn inconclusive(
        &self,
        context: &Context,
        mut failure: Failure,
        asker: Asker,
        exit: Exit,
        waited: Duration,
    ) -> Exit {
        let (file, code) = (self.file, exit.code());
        // A promotion does not wait for a better reason.
        if exit == Exit::StopRecovery {
            probe::ask(context, &mut failure);
            if context.must_end(Duration::ZERO) {
                self.shutdown(waited);
                return Exit::Shutdown;
            }
        }
        let fields = self.fields(&failure, waited);
        let why = why(&failure);
        match asker {
            Asker::Standby { promotion: Promotion::Waits, .. } => fields.warn(&format!(
                "{file}: the repository could not be queried: {why}; exit {code}, a promotion does not wait for the \
                 archive"
            )),
            Asker::Standby { .. } => fields.warn(&format!(
                "{file}: the repository could not be queried: {why}; exit {code}, the standby goes on and will ask \
                 again"
            )),
            Asker::NewTimeline { kept: true, .. } => fields.warn(&format!(
                "{file}: the repository could not be queried: {why}; exit {code}, PostgreSQL takes the copy in pg_wal"
            )),
            Asker::NewTimeline { kept: false, .. } => fields.error(&format!(
                "{file}: the repository could not be queried for {} s: {why}; exit {code}, PostgreSQL goes on without \
                 it: the new \
                 timeline's history then does not name the timelines before it",
                waited.as_secs()
            )),
            Asker::Recovery | Asker::Rewind => fields.error(&format!(
                "{file}: the repository could not be queried for {} s: {why}; exit {code} {}; to do: {}, {}{}",
                waited.as_secs(),
                stops(asker),
                failure.remedy(),
                then(asker, failure.class()),
                other_repositories(context, &failure)
            )),
        }
        exit
    }

    /// We were asked to end.
    pub(super) fn shutdown(&self, waited: Duration) {
        let line = format!("interrupted after {} s: {} is not restored", waited.as_secs(), self.file);
        self.about(waited).info(&line);
    }

    fn about(&self, waited: Duration) -> Fields {
        Fields { seconds: Some(waited.as_secs()), ..Fields::about(self.file) }
    }

    fn fields(&self, failure: &Failure, waited: Duration) -> Fields {
        Fields { seconds: Some(waited.as_secs()), ..Fields::of(failure).with_segment(self.file) }
    }
}

fn stops(asker: Asker) -> &'static str {
    match asker {
        Asker::Rewind => "stops the caller, so that nothing is built on half an archive",
        _ => "stops the server, so that it is not promoted on half an archive",
    }
}

/// What is true after exit 254, and no more than that.
fn then(asker: Asker, class: Class) -> &'static str {
    match (asker, class) {
        (Asker::Rewind, _) => {
            "then run pg_rewind again; don't start a server here without a recovery.signal or standby.signal"
        }
        (_, Class::Gone) => {
            "then start the server again: recovery.signal is still there, and it goes on; what the repository held \
             may be lost"
        }
        _ => "then start the server again: nothing is lost, recovery.signal is still there and the recovery goes on",
    }
}

/// `class denied (AccessDenied), repository 1: message`.
fn why(failure: &Failure) -> String {
    let code = failure.s3_code().map_or(String::new(), |code| format!(" ({})", code.escape_debug()));
    let keys = failure.repositories();
    let names = keys.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
    let repositories = match keys.len() {
        0 => String::new(),
        1 => format!(", repository {names}"),
        _ => format!(", repositories {names}"),
    };
    format!("class {}{code}{repositories}: {}", failure.class(), failure.text().one_line(MESSAGE_LENGTH))
}

/// That a person may say that the others are enough, where there are others.
fn other_repositories(context: &Context, failure: &Failure) -> String {
    let failed = failure.repositories();
    let configured = context.client.config().map(Config::repositories).unwrap_or_default();
    let other = configured.into_iter().find(|key| !failed.contains(key));
    match other.filter(|_| !failed.is_empty() && context.repository().is_none()) {
        Some(other) => format!(
            "; --repo {other} or PGBACKREST_REPO={other} asks repository {other} alone, and its answer is then enough"
        ),
        None => String::new(),
    }
}
