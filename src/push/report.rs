//! What push says: one line an outcome, and the failure as the ledger remembers it.

use super::context::Context;
use super::fate::Fate;
use crate::decide::push::Facts;
use crate::ledger::gaps::Cause;
use crate::ledger::state::LastFailure;
use crate::log::Fields;
use crate::pgbackrest::Failure;
use crate::sizes::shown;
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
    let gap = if healed { "; it had been dropped, and is no longer missing" } else { "" };
    Fields::about(file).info(&format!("{file} is stored: archiving works again{after}{gap}"));
}

/// pgBackRest acknowledged a file that it did not store.
pub(super) fn skipped(file: &WalFile, cause: Cause, kept: bool, facts: &Facts) {
    let (class, space) = (facts.class, space(facts));
    let fields = Fields { class: Some(class.as_str()), cause: Some(cause.as_str()), ..Fields::about(file) };
    let fields = Fields { bytes: facts.backlog, ..fields };
    let cause = cause.as_str();
    match (kept, file.losable().is_some()) {
        (true, true) => fields.error(&format!(
            "dropping {file}: pgBackRest dropped it, class {class}, cause {cause}; {space}; recorded as lost"
        )),
        (true, false) => fields.warn(&format!(
            "deferring {file}: pgBackRest dropped it, cause {cause}; a copy is kept to be pushed later"
        )),
        (false, _) => fields.error(&format!(
            "pgBackRest dropped {file}, cause {cause}, and that could not be recorded; PostgreSQL will try again"
        )),
    }
}

/// What became of a file that pgBackRest did not store, and why.
pub(super) fn outcome(file: &WalFile, failure: &Failure, fate: &Fate, facts: &Facts) {
    let fields = Fields::of(failure);
    told(file, fields, (&why(failure), &failure.remedy()), fate, facts);
}

/// The same of a file for which pgBackRest was not asked, because it has only just failed.
pub(super) fn shed(file: &WalFile, last: &LastFailure, fate: &Fate, facts: &Facts) {
    let code = last.s3_code.as_ref().map_or(String::new(), |code| format!("{}, ", code.escape_debug()));
    let end = last.code.map_or_else(|| "no exit code".to_owned(), |code| format!("pgBackRest {code}"));
    let why = format!("class {} ({code}{end}, just before; not asked again while space is short)", last.class);
    let s3_code = last.s3_code.clone();
    let fields = Fields { class: Some(last.class.as_str()), code: last.code, s3_code, ..Fields::default() };
    told(file, fields, (&why, "what the line about that push says"), fate, facts);
}

/// The same while some repositories are out: the others have the file.
pub(super) fn remembered(file: &WalFile, last: &LastFailure, fate: &Fate, facts: &Facts) {
    let code = last.s3_code.as_ref().map_or(String::new(), |code| format!("{}, ", code.escape_debug()));
    let end = last.code.map_or_else(|| "no exit code".to_owned(), |code| format!("pgBackRest {code}"));
    let why = format!("class {} ({code}{end}, a moment ago; it is asked again soon)", last.class);
    let fields = Fields {
        class: Some(last.class.as_str()),
        code: last.code,
        s3_code: last.s3_code.clone(),
        ..Fields::default()
    };
    told(file, fields, (&why, last.class.remedy()), fate, facts);
}

fn told(file: &WalFile, fields: Fields, why: (&str, &str), fate: &Fate, facts: &Facts) {
    let Some(line) = line(file, why, fate, &space(facts)) else { return };
    let (cause, gap) = (
        fate.cause().map(Cause::as_str),
        if let Fate::Lost(_, gap) | Fate::Owed(_, gap, _) = fate { Some(*gap) } else { None },
    );
    let fields = Fields { cause, gap, bytes: facts.backlog, ..fields.with_segment(file) };
    match fate {
        Fate::Retried | Fate::Slow | Fate::Partly(_) | Fate::Owed(..) | Fate::Stored | Fate::Deferred(_) => {
            fields.warn(&line);
        }
        Fate::Held(_) | Fate::Lost(..) | Fate::Overflowed(..) | Fate::Unrecorded(_) | Fate::Kept(_) => {
            fields.error(&line);
        }
    }
}

fn line(file: &WalFile, (why, remedy): (&str, &str), fate: &Fate, space: &str) -> Option<String> {
    let cause = fate.cause().map_or("", Cause::as_str);
    Some(match fate {
        Fate::Stored => return None,
        Fate::Retried => {
            format!("{file} is not stored: {why}; {space}; PostgreSQL keeps it and will try again; to do: {remedy}")
        }
        Fate::Partly(lacking) => format!(
            "{file} is not stored in {}, the others have it: {why}; {space}; PostgreSQL keeps it and will try again; \
             to do: {remedy}",
            repositories(lacking)
        ),
        Fate::Owed(_, gap, lacking) => format!(
            "owing {file} to {}, the others have it: {why}, cause {cause}; {space}; recorded as owed in gap {gap}, \
             the watcher will push it there; to do: {remedy}",
            repositories(lacking)
        ),
        Fate::Slow => format!(
            "{file} is not stored yet: pgBackRest is slow, but makes progress ({why}); {space}; PostgreSQL will ask \
             again; to do: nothing, or more archive-push processes (process-max)"
        ),
        Fate::Held(_) => format!(
            "{file} is not dropped, though it should be ({why}, cause {cause}; {space}): another process reads it and \
             can't be ended; PostgreSQL keeps it and will try again; to do: end pgBackRest's archive-push by hand"
        ),
        Fate::Lost(_, gap) => {
            format!("dropping {file}: {why}, cause {cause}; {space}; recorded as lost in gap {gap}; to do: {remedy}")
        }
        Fate::Overflowed(_, folder) => format!(
            "dropping {file} into the overflow folder {}: {why}, cause {cause}; {space}; nothing is lost; to do: \
             {remedy}",
            folder.display()
        ),
        Fate::Deferred(_) => format!(
            "deferring {file}: {why}, cause {cause}; {space}; a copy is kept to be pushed later; to do: {remedy}"
        ),
        Fate::Unrecorded(_) if file.losable().is_none() => format!(
            "deferring {file}: {why}, cause {cause}; {space}; it could NOT be kept, and space is under the reserve: \
             PostgreSQL goes on; to do: copy it from pg_wal, fix what the line above reports, and {remedy}"
        ),
        Fate::Unrecorded(_) => format!(
            "dropping {file}: {why}, cause {cause}; {space}; it could NOT be recorded, and space is under the \
             reserve: take a full backup"
        ),
        Fate::Kept(_) => format!(
            "{file} is not dropped, though it should be ({why}, cause {cause}; {space}): that could not be recorded; \
             PostgreSQL keeps it and will try again; to do: fix what the line above reports, and {remedy}"
        ),
    })
}

/// `repository 2`, or `repositories 2, 3`.
fn repositories(keys: &[u32]) -> String {
    let numbers: Vec<String> = keys.iter().map(u32::to_string).collect();
    format!("{} {}", if keys.len() == 1 { "repository" } else { "repositories" }, numbers.join(", "))
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
