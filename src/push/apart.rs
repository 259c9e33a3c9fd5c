//! One repository is dead, and the others are not to wait for it.
//!
//! pgBackRest pushes to every repository or fails, and PostgreSQL then asks for the same file again. So where some repositories
//! fail and others don't, each side is asked for itself ([`crate::pgbackrest::Client::push_to`]): first the healthy ones, which
//! get the file, then, from time to time, the dead ones. What happens to the file is the same decision as ever; but what is
//! given up is *owed* to the dead ones instead of lost, and where PostgreSQL goes on waiting, the healthy ones get what waits
//! behind it too. While a repository is out no async process runs.

use super::attempt::{self, is_for_a_shutdown};
use super::context::Context;
use super::fate::Fate;
use super::progress::Progress;
use super::split::Split;
use super::{keep, probe, report};
use crate::decide::pressure::{SHORTLY, Space, remembered_for};
use crate::decide::push::{Answer, Decision, Facts, decide};
use crate::exit::{ArchiverCode, Exit};
use crate::ledger::gaps::Cause;
use crate::ledger::moment::Moment;
use crate::ledger::state::{Ahead, LastFailure, Out};
use crate::log;
use crate::pgbackrest::{End, Failure, Interruption};
use crate::wal::{SegmentName, SegmentSize, WalFile};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// pgBackRest's `ArchiveTimeoutError`: its async process was not done in time.
const NOT_DONE_IN_TIME: i32 = 82;
/// How long a repository that was out may stand still when it is asked again.
const PROBE: Duration = Duration::from_secs(5);
/// The most time that the healthy ones get for what waits behind a file.
const AHEAD: Duration = Duration::from_secs(30);

/// Pushes a file while some repositories are known to be out. `None` where the others fail too: then it is no matter of some.
pub(super) fn push(context: &mut Context, file: &WalFile) -> Option<Exit> {
    let out = context.state.push.out.clone()?;
    let split = Split::of(&context.repositories(), &out.repositories)?;
    if !context.client.end_worker() {
        return None;
    }
    if !is_ahead(context, file, &split.has) {
        let path = context.request.wal_path.clone();
        match call(context, &split.has, &path, context.time_limit() / 2) {
            Ok(()) if is_served(context, &split) => {}
            Ok(()) => note_ahead(context, file, &split.has),
            Err(failure) if is_for_a_shutdown(&failure) => return Some(super::failed(context, file, failure, false)),
            Err(_) => {
                context.update(|state| state.push.out = None);
                return None;
            }
        }
    }
    let pause = remembered_for(out.took, out.failure.class);
    if out.at.age(&Moment::now()) < pause || context.is_stopping() {
        return Some(remembered(context, file, &split, &out.failure));
    }
    let asked = Instant::now();
    let path = context.request.wal_path.clone();
    match call(context, &split.lacking, &path, context.started.elapsed() + PROBE) {
        Ok(()) => {
            keep::stored(context, file);
            Some(Exit::Success)
        }
        Err(failure) => Some(settle(context, file, &split, failure, asked)),
    }
}

/// Finds out who has a file after a push to all of them has failed, by having each side store it. `Err`: nobody has it, or
/// nothing is to be found out; then with what is known of the failure.
pub(super) fn split(context: &Context, failure: Failure, slow: bool) -> Result<(Split, Failure), Failure> {
    let all = context.repositories();
    let named = Split::of(&all, &failure.repositories());
    let is_open = named.is_some() || failure.repositories().is_empty() && says_nothing(&failure);
    if all.len() < 2 || slow || is_for_a_shutdown(&failure) || !is_open || !context.client.end_worker() {
        return Err(failure);
    }
    let path = context.request.wal_path.clone();
    match named {
        Some(split) => by_words(context, &all, split, failure, &path),
        None => one_by_one(context, &all, failure, &path),
    }
}

/// Whether the failure leaves it open which repository it was.
fn says_nothing(failure: &Failure) -> bool {
    let ended = [Interruption::TimeLimit, Interruption::FreeReserve].map(End::Interrupted);
    ended.contains(&failure.end()) || failure.end() == End::Exited(NOT_DONE_IN_TIME)
}

/// pgBackRest has named who failed; that the others have the file is shown by a push to them alone.
fn by_words(
    context: &Context,
    all: &[u32],
    mut split: Split,
    mut failure: Failure,
    path: &Path,
) -> Result<(Split, Failure), Failure> {
    loop {
        let Err(other) = call(context, &split.has, path, context.time_limit()) else { return Ok((split, failure)) };
        if is_for_a_shutdown(&other) {
            return Err(other);
        }
        let mut lacking = other.repositories();
        failure = failure.joined(other);
        lacking.extend(&split.lacking);
        match Split::of(all, &lacking) {
            Some(smaller) if smaller.has.len() < split.has.len() => split = smaller,
            _ => return Err(failure),
        }
    }
}

/// Nobody knows who failed: each is asked, with its share of the time that is left.
fn one_by_one(context: &Context, all: &[u32], failure: Failure, path: &Path) -> Result<(Split, Failure), Failure> {
    let mut split = Split { has: Vec::new(), lacking: Vec::new() };
    let mut failed: Option<Failure> = None;
    for (at, key) in all.iter().enumerate() {
        let elapsed = context.started.elapsed();
        let left = context.time_limit().saturating_sub(elapsed);
        let share = left / u32::try_from(all.len() - at).unwrap_or(1);
        match call(context, &[*key], path, elapsed + share) {
            Ok(()) => split.has.push(*key),
            Err(why) if is_for_a_shutdown(&why) => return Err(why),
            Err(why) => {
                split.lacking.push(*key);
                failed = Some(match failed {
                    Some(before) => before.joined(why),
                    None => why,
                });
            }
        }
    }
    match failed {
        Some(failed) if !split.has.is_empty() => Ok((split, failed)),
        Some(failed) => Err(failure.joined(failed)),
        // All have it by now, one after the other; the next push will say so.
        None => Err(failure),
    }
}

/// What becomes of a file that some repositories have, and the others refused just now.
pub(super) fn settle(
    context: &mut Context,
    file: &WalFile,
    split: &Split,
    mut failure: Failure,
    asked: Instant,
) -> Exit {
    let took = asked.elapsed().as_secs();
    let repeats = context.client.repeats(&file.to_string(), Duration::from_secs(SHORTLY));
    let mut origin = if repeats { Answer::Repeated } else { Answer::New };
    if failure.lacks_a_stanza() {
        probe::ask(context, &mut failure);
        origin = Answer::New;
    }
    let counted = report::last_failure(context, file, &failure);
    note_out(context, file, split, took, &counted);
    let facts = context.facts(failure.class(), is_for_a_shutdown(&failure), false);
    let facts = Facts { answer: origin, ..facts };
    let fate = fate(context, file, split, counted, &facts);
    report::outcome(file, &failure, &fate, &facts);
    finish(context, file, split, &fate, attempt::exit(&failure))
}

/// The same where the others were asked a moment ago, and are not asked again for this file.
fn remembered(context: &mut Context, file: &WalFile, split: &Split, last: &LastFailure) -> Exit {
    let counted = LastFailure { file: file.to_string(), at: context.now(), ..last.clone() };
    let facts = Facts { answer: Answer::Remembered, ..context.facts(last.class, false, false) };
    let fate = fate(context, file, split, counted, &facts);
    report::remembered(file, last, &fate, &facts);
    let exit = last.code.map_or(Exit::TimedOut, |code| Exit::PgBackRest(ArchiverCode::from_child(code)));
    finish(context, file, split, &fate, exit)
}

fn fate(context: &mut Context, file: &WalFile, split: &Split, counted: LastFailure, facts: &Facts) -> Fate {
    if is_served(context, split) {
        return keep::owe(context, file, counted, split, Cause::NotRequired, facts);
    }
    match decide(facts) {
        Decision::GiveUp(cause) => keep::owe(context, file, counted, split, cause, facts),
        Decision::Retry => match keep::retry(context, counted, facts) {
            Fate::Retried => Fate::Partly(split.lacking.clone()),
            other => other,
        },
    }
}

/// Whether the repositories that are required have the file.
fn is_served(context: &Context, split: &Split) -> bool {
    context.request.push.required.are_served_by(&split.has, &context.repositories())
}

fn finish(context: &mut Context, file: &WalFile, split: &Split, fate: &Fate, otherwise: Exit) -> Exit {
    if fate.lets_postgresql_go_on() {
        return Exit::Success;
    }
    run_ahead(context, file, &split.has);
    otherwise
}

/// Stores what waits behind a file in the repositories that take it.
fn run_ahead(context: &mut Context, file: &WalFile, to: &[u32]) {
    let Some(size) = context.state.segment_size.or_else(|| context.segment_size(&context.file_path())) else { return };
    let limit = context.time_limit();
    let until = Instant::now() + AHEAD.min(limit / 4);
    let mut ahead = context.state.push.ahead.clone();
    for segment in waiting_behind(context, file, size) {
        let is_there = ahead.as_ref().is_some_and(|ahead| ahead.holds(segment, to, size));
        if !is_there {
            let is_late = Instant::now() >= until || context.started.elapsed() >= limit;
            if is_late || context.is_stopping() || context.space() != Space::Enough {
                break;
            }
            let path = context.request.wal_path.with_file_name(segment.to_string());
            if call(context, to, &path, limit).is_err() {
                break;
            }
        }
        ahead = Some(Ahead::with(ahead, segment, to, size));
    }
    if ahead != context.state.push.ahead {
        context.update(|state| state.push.ahead = ahead);
    }
}

/// The segments that wait behind a file, in a row from it on.
fn waiting_behind(context: &Context, file: &WalFile, size: SegmentSize) -> Vec<SegmentName> {
    let WalFile::Segment(first) = *file else { return Vec::new() };
    let status = context.request.data_directory.archive_status();
    let waits = |segment: &SegmentName| fs::exists(status.join(format!("{segment}.ready"))).unwrap_or(false);
    let following = (first.number(size) + 1..).map_while(|at| SegmentName::from_number(first.timeline(), at, size));
    following.take_while(waits).collect()
}

fn is_ahead(context: &Context, file: &WalFile, repositories: &[u32]) -> bool {
    let WalFile::Segment(segment) = *file else { return false };
    let size = context.state.segment_size();
    context.state.push.ahead.as_ref().is_some_and(|ahead| ahead.holds(segment, repositories, size))
}

fn note_ahead(context: &mut Context, file: &WalFile, to: &[u32]) {
    let WalFile::Segment(segment) = *file else { return };
    let size = context.segment_size(&context.file_path());
    context.update(|state| {
        state.segment_size = size.or(state.segment_size);
        let ahead = Ahead::with(state.push.ahead.take(), segment, to, state.segment_size());
        state.push.ahead = Some(ahead);
    });
}

/// Remembers who is out, and that the others have the file.
fn note_out(context: &mut Context, file: &WalFile, split: &Split, took: u64, failure: &LastFailure) {
    let out = Out { repositories: split.lacking.clone(), at: Moment::now(), took, failure: failure.clone() };
    context.update(|state| state.push.out = Some(out));
    note_ahead(context, file, &split.has);
}

/// Pushes to these repositories alone; ended when it stands still and `limit` has passed since the program began.
fn call(context: &Context, repositories: &[u32], path: &Path, limit: Duration) -> Result<(), Failure> {
    let progress = Progress::of(context);
    let spoken = context.client.push_to(repositories, path, attempt::watched(context, &progress, limit));
    log::copy(&spoken.printed);
    spoken.answer.map(drop)
}
