//! Archiving now, and what will happen if it stays so.

use super::found::Found;
use super::report::{Archiving, Estimate};
use crate::data_directory::DataDirectory;
use crate::epoch;
use crate::epoch::moment;
use crate::log;
use crate::settings::DropMeasure;
use crate::setup;
use crate::space::{self, Limits, Volume};
use crate::wal::SegmentName;
use jiff::Timestamp;
use std::fs;
use std::path::Path;

/// What setup writes into the data directory, so that PostgreSQL archives.
pub(super) const SERVER_CONF: &str = "conf.d/pgbackrest.conf";
/// Over how many seconds the rate of WAL is seen.
const SEEN: i64 = 3600;
/// A rate that was seen for less says nothing.
const SEEN_LEAST: i64 = 60;

/// What is archived, what waits, and the limits.
pub(super) fn archiving(found: &Found<'_>) -> Archiving {
    let (request, directory) = (found.request, &found.directory);
    let pg_wal = directory.pg_wal();
    let volume = Volume::of(&pg_wal);
    let segment = directory.control().and_then(|control| control.segment_size);
    let limits = Limits::new(request.drop_threshold, request.free_reserve, volume, segment);
    let backlog = backlog(directory, request.drop_measure);
    let archiver = found.heard.archiver();
    let (last_archived_wal, last_archived_at) = newest_archived(found);
    Archiving {
        enabled: enabled(found),
        invalid_bucket: directory.invalid_bucket(),
        last_archived_wal,
        last_archived_at,
        archived_count: archiver.map(|archiver| archiver.archived_count),
        failed_count: archiver.map(|archiver| archiver.failed_count),
        backlog_segments: backlog.map(|(files, _)| files),
        backlog_bytes: backlog.map(|(_, bytes)| bytes),
        threshold_bytes: Some(limits.threshold),
        free_bytes: volume.free,
        reserve_bytes: Some(limits.reserve),
    }
}

/// Whether archiving is switched on: by the settings, by the server, else by the traces of a push or of setup.
fn enabled(found: &Found<'_>) -> Option<bool> {
    if found.request.common.archiving_off || found.directory.invalid_bucket().is_some() {
        return Some(false);
    }
    let told = found.heard.archiver().and_then(|archiver| archiver.archives);
    told.or_else(|| {
        let on = found.state.is_some() || found.directory.path().join(SERVER_CONF).exists();
        on.then_some(true)
    })
}

/// What PostgreSQL archived last: by its own word, and by its marks, which a reset of its counters leaves. On a standby
/// a mark only says that archiving is not its duty (walreceiver.c, `XLogArchiveForceDone`).
pub(super) fn newest_archived(found: &Found<'_>) -> (Option<String>, Option<Timestamp>) {
    let told = found.heard.archiver().and_then(|archiver| {
        let at = archiver.last_archived_at.and_then(moment)?;
        Some((at, archiver.last_archived_wal.clone()?))
    });
    let marks = if found.in_recovery == Some(true) { None } else { found.directory.newest_archived() };
    let marked = marks.and_then(|(name, at)| {
        let at = Timestamp::try_from(at).ok().and_then(|at| moment(at.as_second()))?;
        Some((at, name))
    });
    // The server's word counts where both are of the same second.
    let newest = match (told, marked) {
        (Some(told), Some(marked)) if marked.0 > told.0 && marked.1 > told.1 => Some(marked),
        (told, marked) => told.or(marked),
    };
    newest.map_or((None, None), |(at, name)| (Some(name), Some(at)))
}

/// What keeps setup from its work, where a bucket is named and PostgreSQL does not archive.
pub(super) fn setup_fails(found: &Found<'_>) -> Option<String> {
    let is_off = found.heard.archiver().is_some_and(|archiver| archiver.archives == Some(false));
    let obstacle = found.request.setup.as_ref().filter(|_| is_off).and_then(setup::obstacle);
    obstacle.map(|error| log::chain(&error))
}

/// How many files wait, and for how many seconds the oldest has.
pub(super) fn oldest_waiting(found: &Found<'_>) -> Option<(u64, u64)> {
    let entries = fs::read_dir(found.directory.archive_status()).ok()?.flatten();
    let ready = entries.filter(|entry| Path::new(&entry.file_name()).extension().is_some_and(|mark| mark == "ready"));
    let marked: Vec<i64> = ready.filter_map(|entry| epoch::seconds(entry.metadata().ok()?.modified().ok()?)).collect();
    let oldest = *marked.iter().min()?;
    Some((marked.len() as u64, u64::try_from(found.request.now - oldest).unwrap_or(0)))
}

/// How many seconds the newest archived file had waited: its mark is written when it is complete, and renamed when it is
/// archived, which keeps the time of its content. A standby's marks say nothing.
pub(super) fn waited(found: &Found<'_>) -> Option<u64> {
    let (name, archived) = found.directory.newest_archived().filter(|_| found.in_recovery != Some(true))?;
    let mark = fs::metadata(found.directory.archive_status().join(format!("{name}.done"))).ok()?;
    Some(archived.duration_since(mark.modified().ok()?).unwrap_or_default().as_secs())
}

/// Files that wait, and the bytes that count. Where the folder can be read and holds no `.ready`, nothing waits.
fn backlog(directory: &DataDirectory, measure: DropMeasure) -> Option<(u64, u64)> {
    fs::read_dir(directory.archive_status()).ok()?;
    let measured = space::backlog(&directory.pg_wal()).ok()?;
    let waiting = measured.files.map_or((0, 0), |files| (files, measured.bytes));
    match measure {
        DropMeasure::Backlog => Some(waiting),
        DropMeasure::PgWal => Some((waiting.0, space::everything(&directory.pg_wal()).ok()?)),
    }
}

/// What will happen at the current rate of WAL, if nothing were archived.
///
/// The rate rests on when segments of the last hour were completed: PostgreSQL writes a segment's mark at that moment, and
/// a rename to `.done` keeps the mark's time. Time in which nothing was completed counts.
pub(super) fn estimate(directory: &DataDirectory, archiving: &Archiving, now: i64) -> Option<Estimate> {
    let size = directory.control()?.segment_size?;
    let completed: Vec<i64> = completions(directory).into_iter().filter(|at| (now - SEEN..=now).contains(at)).collect();
    let oldest = *completed.iter().min()?;
    let seen = u64::try_from(now - oldest).ok().filter(|seen| now - oldest >= SEEN_LEAST && *seen > 0)?;
    // The oldest one was written before the time that is seen.
    let bytes = (completed.len() as u64 - 1).saturating_mul(size.bytes());
    let per_hour = bytes.saturating_mul(3600) / seen;
    let seconds = |left: u64| left.saturating_mul(3600).checked_div(per_hour);
    Some(Estimate {
        bytes_per_hour: per_hour,
        seen_seconds: seen,
        threshold_in: archiving
            .threshold_bytes
            .zip(archiving.backlog_bytes)
            .and_then(|(threshold, backlog)| seconds(threshold.saturating_sub(backlog))),
        reserve_in: archiving
            .free_bytes
            .zip(archiving.reserve_bytes)
            .and_then(|(free, reserve)| seconds(free.saturating_sub(reserve))),
        full_in: archiving.free_bytes.and_then(seconds),
    })
}

/// When the segments were completed whose marks are there, in seconds since 1970.
fn completions(directory: &DataDirectory) -> Vec<i64> {
    let entries = fs::read_dir(directory.archive_status()).into_iter().flatten().flatten();
    let at = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (segment, _) = name.split_once('.').filter(|(_, mark)| matches!(*mark, "ready" | "done"))?;
        segment.parse::<SegmentName>().ok()?;
        epoch::seconds(entry.metadata().ok()?.modified().ok()?)
    };
    entries.filter_map(at).collect()
}
