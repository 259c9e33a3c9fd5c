//! `pgbackrest-guard-push`: one WAL file to pgBackRest, and what becomes of it when pgBackRest fails.
//!
//! PostgreSQL's archiver calls it for one file at a time and waits (pgarch.c, `pgarch_ArchiverCopyLoop`): 0 lets it
//! recycle the file, 1 to 125 makes it try again. So 0 is only returned when the file is in every repository, in the
//! overflow folder, deferred, or in the ledger as lost.

mod apart;
mod attempt;
mod book;
mod context;
mod copying;
mod defer;
mod far;
mod fate;
mod keep;
mod overflow;
mod probe;
mod progress;
mod report;
mod split;
mod turn;

pub use context::{Context, Request, open_ledger};
pub use far::serve;

use crate::checkpoint;
use crate::decide::pressure::SHORTLY;
use crate::decide::push::{Answer, Decision, Facts, decide};
use crate::exit::Exit;
use crate::pgbackrest::{Failure, Pushed};
use crate::wal::WalFile;
use attempt::Attempt;
use std::time::Duration;

/// Pushes one file: the story from top to bottom.
#[must_use]
pub fn push(context: &mut Context, file: &WalFile) -> Exit {
    if let Some(why) = context.archiving_off() {
        report::archiving_off(file, &why);
        return Exit::Success;
    }
    if context.is_stored_by_the_spool(file) {
        keep::stored_before(context, file);
        return Exit::Success;
    }
    if let Some(exit) = apart::push(context, file) {
        return exit;
    }
    if let Some(exit) = shed(context, file) {
        return exit;
    }
    if turn::stores(context, file) {
        keep::stored_before(context, file);
        return Exit::Success;
    }
    let Attempt { answer, slow } = attempt::run(context);
    checkpoint::reached("pgbackrest-ended");
    match answer {
        Ok(pushed) => succeeded(context, file, &pushed),
        Err(failure) => failed(context, file, failure, slow),
    }
}

/// pgBackRest says that it is done; it says so too of what it dropped.
fn succeeded(context: &mut Context, file: &WalFile, pushed: &Pushed) -> Exit {
    if pushed.dropped.is_empty() {
        keep::stored(context, file);
        return Exit::Success;
    }
    let kept = pushed.dropped.iter().filter(|dropped| !keep::skipped(context, file, dropped)).count() == 0;
    if kept { Exit::Success } else { Exit::Unknown }
}

/// Gives a file up without asking pgBackRest, which has only just failed, where space is short: each that stands still would cost
/// seconds in which WAL is written. `None` where it is to be asked.
fn shed(context: &mut Context, file: &WalFile) -> Option<Exit> {
    let last = context.remembered(file)?;
    let facts = Facts { answer: Answer::Remembered, ..context.facts(last.class, false, false) };
    let Decision::GiveUp(cause) = decide(&facts) else { return None };
    let fate = keep::give_up(context, file, last.clone(), cause, &facts);
    report::shed(file, &last, &fate, &facts);
    Some(if fate.lets_postgresql_go_on() { Exit::Success } else { Exit::Unknown })
}

/// pgBackRest did not store the file: again later, or give it up.
fn failed(context: &mut Context, file: &WalFile, failure: Failure, slow: bool) -> Exit {
    let mut failure = match apart::split(context, failure, slow) {
        Ok((split, failure)) => return apart::settle(context, file, &split, failure, context.started),
        Err(failure) => failure,
    };
    let repeats = context.client.repeats(&file.to_string(), Duration::from_secs(SHORTLY));
    let mut origin = if repeats { Answer::Repeated } else { Answer::New };
    if failure.lacks_a_stanza() {
        probe::ask(context, &mut failure);
        origin = Answer::New;
    }
    let facts = context.facts(failure.class(), attempt::is_for_a_shutdown(&failure), slow);
    let facts = Facts { answer: origin, ..facts };
    let counted = report::last_failure(context, file, &failure);
    let fate = match decide(&facts) {
        Decision::Retry => keep::retry(context, counted, &facts),
        Decision::GiveUp(cause) => keep::give_up(context, file, counted, cause, &facts),
    };
    report::outcome(file, &failure, &fate, &facts);
    if fate.lets_postgresql_go_on() { Exit::Success } else { attempt::exit(&failure) }
}
