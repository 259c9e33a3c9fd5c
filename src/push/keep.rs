//! What becomes of a file that pgBackRest did not store, and the record of it.
//!
//! A segment goes to the overflow folder if there is one with room, else into the ledger as lost. A `.history` or
//! `.backup` file is never lost: without a timeline's history no restore can follow it. It is a few hundred bytes, so
//! it is copied beside the ledger, for the watcher to push.

use super::context::Context;
use super::fate::Fate;
use super::report;
use crate::checkpoint;
use crate::decide::push::{Facts, is_under_reserve};
use crate::durable;
use crate::epoch;
use crate::ledger::DEFERRED;
use crate::ledger::gaps::{Cause, Loss};
use crate::ledger::moment::Moment;
use crate::ledger::state::{LastFailure, State};
use crate::pgbackrest::Class;
use crate::pgbackrest::{SkipReason, Skipped};
use crate::settings::Overflow;
use crate::space::Volume;
use crate::wal::WalFile;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

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
        return if deferred { Fate::Deferred(cause) } else { Fate::Kept(cause) };
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

/// Copies a small file beside the ledger. False when that could not be done.
fn defer(context: &mut Context, name: &str, path: &Path) -> bool {
    let Some(state_dir) = &context.request.common.state_dir else { return false };
    let folder = state_dir.value.join(DEFERRED);
    let copied = durable::create_private_folder(&folder)
        .and_then(|()| make_room(context, &folder, path, name))
        .and_then(|()| File::open(path))
        .and_then(|mut file| durable::copy_into(&mut file, &folder, name));
    checkpoint::reached("deferred-copied");
    if let Err(error) = &copied {
        tracing::error!("can't keep a copy of {} in {}: {error}", path.display(), folder.display());
    }
    copied.is_ok()
}

/// What lies there under that name must not be another cluster's. Without a ledger nobody knows: then it must be the same.
fn make_room(context: &mut Context, folder: &Path, path: &Path, name: &str) -> io::Result<()> {
    let there = folder.join(name);
    if !context.has_ledger() && there.exists() {
        return same_content(path, &there);
    }
    context.make_room(name)
}

/// Copies a segment into the overflow folder, if there is one and it has room. Where it lies then.
fn overflow(context: &Context, file: &WalFile, facts: &Facts) -> Option<PathBuf> {
    let overflow = context.request.push.overflow.as_ref()?;
    let (name, path) = (file.to_string(), context.file_path());
    let copied = has_room(overflow, &name, &path, facts).and_then(|()| {
        let mut source = File::open(&path)?;
        durable::copy_into(&mut source, &overflow.folder, &name)
    });
    match copied {
        Ok(()) => {
            checkpoint::reached("overflow-copied");
            Some(overflow.folder.clone())
        }
        Err(error) => {
            tracing::warn!("the overflow folder {} does not take {name}: {error}", overflow.folder.display());
            None
        }
    }
}

/// Whether the file fits: under the folder's own limit, on its volume, and above the reserve of `pg_wal`'s volume.
fn has_room(overflow: &Overflow, name: &str, path: &Path, facts: &Facts) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let length = path.metadata()?.len();
    if !overflow.folder.exists() {
        // Not what is missing above it: that is a volume which is not mounted.
        DirBuilder::new().mode(0o700).create(&overflow.folder)?;
    }
    let mut held = 0;
    for entry in fs::read_dir(&overflow.folder)? {
        let entry = entry?;
        if entry.file_name() == name {
            return same_content(path, &entry.path());
        }
        held += entry.metadata()?.len();
    }
    let full = |what: &str| Err(io::Error::new(io::ErrorKind::StorageFull, what));
    if held + length > overflow.most.bytes() {
        return full("WAL_OVERFLOW_MAX_MB is reached");
    }
    if Volume::of(&overflow.folder).free.is_some_and(|free| free < length) {
        return full("its volume has no space left");
    }
    let left = facts.free.map(|free| free.saturating_sub(length));
    if is_under_reserve(left, facts.reserve) && overflow.folder.metadata()?.dev() == path.metadata()?.dev() {
        return full("it lies on the volume whose space is short");
    }
    Ok(())
}

/// A file of that name that is already there must be the same: PostgreSQL asked again after a kill.
fn same_content(path: &Path, there: &Path) -> io::Result<()> {
    let (mut one, mut other) = (BufReader::new(File::open(path)?), BufReader::new(File::open(there)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if left.is_empty() && right.is_empty() {
            return Ok(());
        }
        if count == 0 || left.get(..count) != right.get(..count) {
            break;
        }
        one.consume(count);
        other.consume(count);
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "it holds another file of that name"))
}
