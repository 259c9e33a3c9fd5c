//! What becomes of a file that pgBackRest did not store, and the record of it.
//!
//! A segment goes to the overflow folder if there is one with room (`overflow.rs`), else into the ledger as lost. A
//! `.history` or `.backup` file is kept (`defer.rs`).

use super::context::Context;
use super::defer::defer;
use super::fate::Fate;
use super::overflow::overflow;
use super::report;
use super::split::Split;
use crate::checkpoint;
use crate::decide::push::{Answer, Facts, is_under_reserve};
use crate::durable;
use crate::epoch;
use crate::ledger::gaps::{Cause, Loss};
use crate::ledger::moment::Moment;
use crate::ledger::state::{LastFailure, State};
use crate::pgbackrest::Class;
use crate::pgbackrest::{SkipReason, Skipped};
use crate::wal::WalFile;

/// Notes that a file is in every repository: it ends a run of failures, and heals a gap that holds it.
pub(super) fn stored(context: &mut Context, file: &WalFile) {
    let push = &context.state.push;
    let failures = push.consecutive_failures;
    if failures == 0 && push.gone_from.is_none() && push.out.is_none() && !holds(&context.state, file) {
        return;
    }
    let now = context.now();
    let mut healed = false;
    let change = |state: &mut State| {
        state.push.works_again();
        let size = state.segment_size();
        healed = state.gaps.heal(file, now, size);
    };
    context.update(change);
    report::works_again(file, failures, healed);
}

/// The same of a file that was stored before, by pgBackRest's async process: whether a repository that was out since is back it
/// does not tell.
pub(super) fn stored_before(context: &mut Context, file: &WalFile) {
    if context.state.push.out.is_none() || holds(&context.state, file) {
        stored(context, file);
    }
}

fn holds(state: &State, file: &WalFile) -> bool {
    let size = state.segment_size();
    file.losable().is_some_and(|(segment, partial)| state.gaps.open_gap_of(segment, partial, size).is_some())
}

/// Notes a failure after which PostgreSQL tries again. Slowness is none, and a stop remembers that it was held up.
pub(super) fn retry(context: &mut Context, counted: LastFailure, facts: &Facts) -> Fate {
    let stop = context.request.data_directory.stopping_since().and_then(epoch::seconds);
    let took = context.started.elapsed().as_secs();
    if !facts.slow || context.state.held_up_stop != stop {
        context.update(|state| {
            if !facts.slow {
                count(state, counted, facts, took);
            }
            state.held_up_stop = stop;
        });
    }
    if facts.slow { Fate::Slow } else { Fate::Retried }
}

/// Gives a file up without losing it where that is possible, and never without a record.
pub(super) fn give_up(
    context: &mut Context,
    file: &WalFile,
    counted: LastFailure,
    cause: Cause,
    facts: &Facts,
) -> Fate {
    let took = context.started.elapsed().as_secs();
    let Some((segment, partial)) = file.losable() else { return give_up_small(context, file, counted, cause, facts) };
    if !context.client.release(&context.file_path()) {
        return Fate::Held(cause);
    }
    // The process that was ended may have stored it.
    if context.is_stored_by_the_spool(file) {
        stored(context, file);
        return Fate::Stored;
    }
    if let Some(folder) = overflow(context, file, facts) {
        context.update(|state| {
            count(state, counted, facts, took);
            state.push.overflowed_count += 1;
        });
        return Fate::Overflowed(cause, folder);
    }
    let s3_code = counted.s3_code.clone();
    let loss = Loss { segment, partial, class: counted.class, cause, s3_code, at: counted.at };
    match record(context, &loss, None, Some((counted, facts))) {
        Some(gap) => Fate::Lost(cause, gap),
        None if is_under_reserve(facts.free, facts.reserve) => {
            // The only trace that is left.
            mark(context, &loss);
            Fate::Unrecorded(cause)
        }
        None => Fate::Kept(cause),
    }
}

/// Gives a `.history` or `.backup` file up, which is kept for the watcher.
fn give_up_small(context: &mut Context, file: &WalFile, counted: LastFailure, cause: Cause, facts: &Facts) -> Fate {
    let took = context.started.elapsed().as_secs();
    let path = context.file_path();
    let deferred = defer(context, &file.to_string(), &path);
    if cause != Cause::NotRequired {
        context.update(|state| count(state, counted, facts, took));
    }
    if deferred {
        Fate::Deferred(cause)
    } else if is_under_reserve(facts.free, facts.reserve) {
        Fate::Unrecorded(cause)
    } else {
        Fate::Kept(cause)
    }
}

/// Records a file as owed to the repositories that lack it. That is no failure where no more than those that have it are
/// required.
pub(super) fn owe(
    context: &mut Context,
    file: &WalFile,
    counted: LastFailure,
    split: &Split,
    cause: Cause,
    facts: &Facts,
) -> Fate {
    let Some((segment, partial)) = file.losable() else { return give_up_small(context, file, counted, cause, facts) };
    if !context.client.release(&context.file_path()) {
        return Fate::Held(cause);
    }
    let s3_code = counted.s3_code.clone();
    let loss = Loss { segment, partial, class: counted.class, cause, s3_code, at: counted.at };
    let counted = (cause != Cause::NotRequired).then_some((counted, facts));
    match record(context, &loss, Some(&split.lacking), counted) {
        Some(gap) => Fate::Owed(cause, gap, split.lacking.clone()),
        None if is_under_reserve(facts.free, facts.reserve) => {
            mark(context, &loss);
            Fate::Unrecorded(cause)
        }
        None => Fate::Kept(cause),
    }
}

/// Keeps account of a file that pgBackRest acknowledged without storing it. False when that could not be done.
pub(super) fn skipped(context: &mut Context, pushed: &WalFile, skipped: &Skipped) -> bool {
    let file: WalFile = skipped.name.parse().unwrap_or(*pushed);
    let path = context.file_path().with_file_name(file.to_string());
    let (class, cause) = match skipped.why {
        SkipReason::QueueMax => (Class::Unavailable, Cause::ArchivePushQueueMax),
        SkipReason::Manually => (Class::Unknown, Cause::ManuallySkipped),
    };
    let Some((segment, partial)) = file.losable() else {
        let deferred = defer(context, &file.to_string(), &path);
        report::skipped(&file, cause, deferred, &context.facts(class, false, false));
        return deferred;
    };
    let loss = Loss { segment, partial, class, cause, s3_code: None, at: context.now() };
    let recorded = record(context, &loss, None, None).is_some();
    report::skipped(&file, cause, recorded, &context.facts(class, false, false));
    recorded
}

/// Records in the ledger what these repositories lack, `None`: all; a loss in all leaves the marker too. The gap's number;
/// `None` on failure.
fn record(
    context: &mut Context,
    loss: &Loss,
    lacking: Option<&[u32]>,
    counted: Option<(LastFailure, &Facts)>,
) -> Option<u64> {
    let size = context.segment_size(&context.file_path());
    let took = context.started.elapsed().as_secs();
    let recorded = context.update(|state| {
        if let Some((counted, facts)) = counted {
            count(state, counted, facts, took);
        }
        state.segment_size = size.or(state.segment_size);
        if loss.cause == Cause::NotRequired {
            state.push.serves_again();
        }
        let size = state.segment_size();
        if state.gaps.record_in(lacking.map(<[u32]>::to_vec), loss, size) && lacking.is_none() {
            state.push.dropped_count += 1;
        }
    });
    checkpoint::reached("loss-recorded");
    if !recorded {
        return None;
    }
    if lacking.is_none() {
        mark(context, loss);
    }
    let size = context.state.segment_size();
    context.state.gaps.open_gap_of(loss.segment, loss.partial, size).map(|gap| gap.id)
}

fn mark(context: &Context, loss: &Loss) {
    let marker = context.request.data_directory.gap_marker();
    let when = jiff::Timestamp::from_second(loss.at).unwrap_or_default();
    let text = format!(
        "{when}: {} was dropped ({}, {}); pgbackrest-guard status lists what is missing\n",
        loss.segment,
        loss.class,
        loss.cause.as_str()
    );
    if let Err(error) = durable::write_marker(&marker, &text) {
        tracing::error!("can't write {}: {error}; the loss is in the ledger", marker.display());
    }
    checkpoint::reached("marker-written");
}

/// Counts a failure that took so many seconds. One that is only remembered was counted before.
fn count(state: &mut State, failure: LastFailure, facts: &Facts, took: u64) {
    if facts.answer == Answer::Remembered {
        return;
    }
    let push = &mut state.push;
    push.failed_count += 1;
    push.consecutive_failures += 1;
    if !facts.ended_for_shutdown {
        push.failing_from.get_or_insert_with(Moment::now);
        push.failed_at = Some((Moment::now(), took));
    }
    if failure.class == Class::Gone {
        push.gone_from.get_or_insert_with(Moment::now);
    }
    push.last_failure = Some(failure);
}
