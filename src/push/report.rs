//! What push says: one line an outcome, and the failure as the ledger remembers it.

use super::context::Context;
use super::fate::Fate;
use crate::decide::push::Facts;
use crate::ledger::gaps::Cause;
use crate::ledger::state::LastFailure;
use crate::pgbackrest::Failure;
use crate::space::shown;
use crate::wal::WalFile;

/// Characters of pgBackRest's message that the ledger keeps.
const MESSAGE_LENGTH: usize = 500;

/// Archiving is switched off, and the file is acknowledged without being stored.
pub(super) fn archiving_off(file: &WalFile, why: &str) {
    tracing::info!("archiving is switched off, {file} is not stored: {why}");
}

/// The failure as the ledger remembers it: redacted, on one line.
pub(super) fn last_failure(context: &Context, file: &WalFile, failure: &Failure) -> LastFailure {
    LastFailure {
        at: context.now(),
        file: file.to_string(),
        class: failure.class(),
        code: failure.code(),
        s3_code: failure.s3_code().map(str::to_owned),
        message: failure.text().one_line(MESSAGE_LENGTH),
    }
}

/// The repository takes files again.
pub(super) fn works_again(file: &WalFile, failures: u64, healed: bool) {
    let after = if failures > 0 { format!(" after {failures} failed pushes") } else { String::new() };
    let gap = if healed { "; it had been given up, and is missing no longer" } else { "" };
    tracing::info!("{file} is stored: archiving works again{after}{gap}");
}

/// pgBackRest acknowledged a file that it did not store.
pub(super) fn skipped(file: &WalFile, cause: Cause, kept: bool, facts: &Facts) {
    let (class, cause, space) = (facts.class, cause.as_str(), space(facts));
    match (kept, file.losable().is_some()) {
        (true, true) => {
            tracing::error!(
                "dropping {file}: pgBackRest gave it up, class {class}, cause {cause}; {space}; recorded as lost"
            );
        }
        (true, false) => {
            tracing::warn!("deferring {file}: pgBackRest gave it up, cause {cause}; a copy is kept to be pushed later");
        }
        (false, _) => tracing::error!(
            "pgBackRest gave {file} up, cause {cause}, and that could not be recorded; PostgreSQL will try again"
        ),
    }
}

/// What became of a file that pgBackRest did not store, and why.
pub(super) fn outcome(file: &WalFile, failure: &Failure, fate: &Fate, facts: &Facts) {
    let why = why(failure);
    let space = space(facts);
    let remedy = failure.remedy();
    match fate {
        Fate::Retried => {
            tracing::warn!(
                "{file} is not stored: {why}; {space}; PostgreSQL keeps it and will try again; to do: {remedy}"
            );
        }
        Fate::Slow => tracing::warn!(
            "{file} is not stored yet: pgBackRest is slow, but gets on ({why}); {space}; PostgreSQL will ask again; to do: nothing, or more archive-push processes (process-max)"
        ),
        Fate::Stored => {}
        Fate::Held(cause) => {
            let cause = cause.as_str();
            tracing::error!(
                "{file} is not given up, though it should be ({why}, cause {cause}; {space}): another process reads it and can't be ended; PostgreSQL keeps it and will try again; to do: end pgBackRest's archive-push by hand"
            );
        }
        Fate::Lost(cause, gap) => {
            let cause = cause.as_str();
            tracing::error!(
                "dropping {file}: {why}, cause {cause}; {space}; recorded as lost in gap {gap}; to do: {remedy}"
            );
        }
        Fate::Overflowed(cause, folder) => {
            let cause = cause.as_str();
            tracing::error!(
                "dropping {file} into the overflow folder {}: {why}, cause {cause}; {space}; nothing is lost; to do: {remedy}",
                folder.display()
            );
        }
        Fate::Deferred(cause) => {
            tracing::warn!(
                "deferring {file}: {why}, cause {}; {space}; a copy is kept to be pushed later; to do: {remedy}",
                cause.as_str()
            );
        }
        Fate::Unrecorded(cause) if file.losable().is_none() => {
            let cause = cause.as_str();
            tracing::error!(
                "deferring {file}: {why}, cause {cause}; {space}; it could NOT be kept, and space is under the reserve: PostgreSQL goes on; to do: copy it from pg_wal, mend what the line before names, and {remedy}"
            );
        }
        Fate::Unrecorded(cause) => {
            let cause = cause.as_str();
            tracing::error!(
                "dropping {file}: {why}, cause {cause}; {space}; it could NOT be recorded, and space is under the reserve: take a full backup"
            );
        }
        Fate::Kept(cause) => {
            let cause = cause.as_str();
            tracing::error!(
                "{file} is not given up, though it should be ({why}, cause {cause}; {space}): that could not be recorded; PostgreSQL keeps it and will try again; to do: mend what the line before names, and {remedy}"
            );
        }
    }
}

/// `class denied (AccessDenied, pgBackRest 103)`.
fn why(failure: &Failure) -> String {
    let code = failure.s3_code().map_or(String::new(), |code| format!("{}, ", code.escape_debug()));
    let end = match failure.code() {
        Some(code) => format!("pgBackRest {code}"),
        None => format!("no exit code, {}", failure.text()),
    };
    format!("class {} ({code}{end})", failure.class())
}

fn space(facts: &Facts) -> String {
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), shown);
    format!(
        "backlog {}, threshold {}, free {}, reserve {}",
        known(facts.backlog),
        shown(facts.threshold),
        known(facts.free),
        shown(facts.reserve)
    )
}
