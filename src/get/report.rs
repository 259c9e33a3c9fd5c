//! What get says: a line at the first failure, one a minute after that, one when it works again, and the last one.

use super::attempt::{Attempt, Context};
use crate::classify::Failure;
use crate::data_directory::Recovery;
use crate::decide::get::Outcome;
use crate::exit::Exit;
use crate::log;
use crate::wal::WalFile;
use std::time::Duration;

/// How often a failure that lasts is told.
const EVERY: Duration = Duration::from_mins(1);
/// Characters of pgBackRest's message in a line.
const MESSAGE_LENGTH: usize = 300;

/// The lines about one file.
pub(super) struct Report<'f> {
    file: &'f WalFile,
    patience: Duration,
    told_at: Option<Duration>,
}

impl<'f> Report<'f> {
    pub(super) fn new(file: &'f WalFile, patience: Duration) -> Self {
        Self { file, patience, told_at: None }
    }

    /// An attempt failed and there will be another.
    pub(super) fn retry(&mut self, context: &Context, attempt: &Attempt, recovery: Recovery, waited: Duration) {
        if recovery == Recovery::Standby || self.told_at.is_some_and(|told| waited < told + EVERY) {
            return;
        }
        self.told_at = Some(waited);
        log::copy(&attempt.printed);
        tracing::warn!(
            "{} could not be asked for: {}; asking again for {} s more (failing for {} s), then the server is stopped",
            self.file,
            why(context, &attempt.failure),
            self.patience.saturating_sub(waited).as_secs(),
            waited.as_secs()
        );
    }

    /// The last attempt, and with what the program ends.
    pub(super) fn end(&self, context: &Context, attempt: &Attempt, recovery: Recovery, exit: Exit, waited: Duration) {
        let file = self.file;
        log::copy(&attempt.printed);
        if attempt.outcome == Outcome::Absent && self.told_at.is_some() {
            tracing::info!("the repository answers again after {} s", waited.as_secs());
        }
        match (attempt.outcome, recovery) {
            (Outcome::Restored, _) if self.told_at.is_some() => {
                tracing::info!("{file} is restored: the repository answers again after {} s", waited.as_secs());
            }
            (Outcome::Restored, _) => tracing::debug!("{file} is restored"),
            (Outcome::Absent, Recovery::Standby) => tracing::debug!("{file} is in no repository"),
            (Outcome::Absent, Recovery::OneShot) if matches!(file, WalFile::Segment(_)) => {
                tracing::info!("{file} is in no repository: to PostgreSQL the archive ends before it");
            }
            (Outcome::Absent, Recovery::OneShot) => tracing::info!("{file} is in no repository"),
            (Outcome::Told, _) => self.told(waited),
            (Outcome::Inconclusive(_), Recovery::Standby) => tracing::warn!(
                "{file} could not be asked for: {}; exit {}, the standby goes on and will ask again",
                why(context, &attempt.failure),
                exit.code()
            ),
            (Outcome::Inconclusive(_), Recovery::OneShot) => tracing::error!(
                "{file} could not be asked for in {} s: {}; exit {} stops the server, so that it is not promoted on half \
                 an archive; to do: {}, then start the server again: nothing is lost",
                waited.as_secs(),
                why(context, &attempt.failure),
                exit.code(),
                attempt.failure.class().remedy()
            ),
        }
    }

    /// We were told to end.
    pub(super) fn told(&self, waited: Duration) {
        tracing::info!("told to end after {} s: {} is not restored", waited.as_secs(), self.file);
    }
}

/// `class denied (AccessDenied): message`.
fn why(context: &Context, failure: &Failure) -> String {
    let code = failure.s3_code().map_or(String::new(), |code| format!(" ({})", code.escape_debug()));
    let message = context.session.redactor.redact(failure.text.as_bytes()).one_line(MESSAGE_LENGTH);
    format!("class {}{code}: {message}", failure.class())
}
