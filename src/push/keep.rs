//! What becomes of a file that pgBackRest did not store, and the record of it.
//!
//! A segment goes to the overflow folder if there is one with room (`overflow.rs`), else into the ledger as lost. A
//! `.history` or `.backup` file is kept (`defer.rs`).

use super::context::Context;
use super::defer::defer;
use super::fate::Fate;
use super::overflow::overflow;
use super::report;
use crate::checkpoint;
use crate::decide::push::{Facts, is_under_reserve};
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
    if failures == 0 && push.gone_from.is_none() && !holds(&context.state, file) {
        return;
    }
    let now = context.now();
    let mut healed = false;
    let change = |state: &mut State| {
        state.push.consecutive_failures = 0;
        state.push.gone_from = None;
        state.push.failing_from = None;
        let size = state.segment_size();
        healed = state.gaps.heal(file, now, size);
    };
    context.update(change);
    report::works_again(file, failures, healed);
}

fn holds(state: &State, file: &WalFile) -> bool {
    let size = state.segment_size();
    file.losable().is_some_and(|(segment, partial)| state.gaps.open_gap_of(segment, partial, size).is_some())
}

/// Notes a failure after which PostgreSQL tries again. Slowness is none, and a stop remembers that it was held up.
pub(super) fn retry(context: &mut Context, counted: LastFailure, facts: &Facts) -> Fate {
    let stop = context.request.data_directory.stopping_since().and_then(epoch::seconds);
    if !facts.slow || context.state.held_up_stop != stop {
        context.update(|state| {
            if !facts.slow {
                count(state, counted, facts);
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
    let Some((segment, partial)) = file.losable() else {
        let name = file.to_string();
        let path = context.file_path();
        let deferred = defer(context, &name, &path);
        context.update(|state| count(state, counted, facts));
        return if deferred {
            Fate::Deferred(cause)
        } else if is_under_reserve(facts.free, facts.reserve) {
            Fate::Unrecorded(cause)
        } else {
            Fate::Kept(cause)
        };
    };
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
            count(state, counted, facts);
            state.push.overflowed_count += 1;
        });
        return Fate::Overflowed(cause, folder);
    }
    let s3_code = counted.s3_code.clone();
    let loss = Loss { segment, partial, class: counted.class, cause, s3_code, at: counted.at };
    match record(context, &loss, Some((counted, facts))) {
        Some(gap) => Fate::Lost(cause, gap),
        None if is_under_reserve(facts.free, facts.reserve) => {
            // The only trace that is left.
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
    let recorded = record(context, &loss, None).is_some();
    report::skipped(&file, cause, recorded, &context.facts(class, false, false));
    recorded
}

/// Records a loss in the ledger, then leaves the marker. The gap's number; `None` on failure.
fn record(context: &mut Context, loss: &Loss, counted: Option<(LastFailure, &Facts)>) -> Option<u64> {
    let size = context.segment_size(&context.file_path());
    let recorded = context.update(|state| {
        if let Some((counted, facts)) = counted {
            count(state, counted, facts);
        }
        state.segment_size = size.or(state.segment_size);
        let size = state.segment_size();
        if state.gaps.record(loss, size) {
            state.push.dropped_count += 1;
        }
    });
    checkpoint::reached("loss-recorded");
    if !recorded {
        return None;
    }
    mark(context, loss);
    let size = context.state.segment_size();
    context.state.gaps.open_gap_of(loss.segment, loss.partial, size).map(|gap| gap.id)
}

fn mark(context: &Context, loss: &Loss) {
    let marker = context.request.data_directory.gap_marker();
    let when = jiff::Timestamp::from_second(loss.at).unwrap_or_default();
    let text = format!(
        "{when}: {} was given up ({}, {}); pgbackrest-guard status lists what is missing\n",
        loss.segment,
        loss.class,
        loss.cause.as_str()
    );
    if let Err(error) = durable::write_marker(&marker, &text) {
        tracing::error!("can't write {}: {error}; the loss is in the ledger", marker.display());
    }
    checkpoint::reached("marker-written");
}

/// Counts a failure.
fn count(state: &mut State, failure: LastFailure, facts: &Facts) {
    let push = &mut state.push;
    push.failed_count += 1;
    push.consecutive_failures += 1;
    if !facts.ended_for_shutdown {
        push.failing_from.get_or_insert_with(Moment::now);
    }
    if failure.class == Class::Gone {
        push.gone_from.get_or_insert_with(Moment::now);
    }
    push.last_failure = Some(failure);
}
