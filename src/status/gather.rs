//! The report's facts, out of files.

use super::backups::BackupState;
use super::report::{Archiving, Backups, Catalog, Cluster, Extra, GapReport, Push, Report, moment};
use crate::data_directory::DataDirectory;
use crate::decide::status::{Facts, LedgerFacts, judge};
use crate::ledger::Ledger;
use crate::ledger::state::{Identity, State};
use crate::log;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::locks;
use crate::settings::{BackupIntervals, CommonSettings, DropMeasure, Mebibytes};
use crate::space::{self, Limits, Volume};
use jiff::Timestamp;
use std::fs;

/// What a report is made of, and under which settings.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// Push's threshold, where it is set.
    pub drop_threshold: Option<Mebibytes>,
    /// Push's reserve, where it is set.
    pub free_reserve: Option<Mebibytes>,
    /// What push measures against the threshold.
    pub drop_measure: DropMeasure,
    /// How often backups are due.
    pub intervals: BackupIntervals,
    /// pgBackRest's configuration, if it can be read.
    pub config: Option<Config>,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// A late backup is overdue when a tenth of its interval has passed too.
const PATIENCE: u64 = 10;

/// Makes the report. Writes nothing and takes no lock.
#[must_use]
pub fn gather(request: &Request) -> Report {
    let directory = request.common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone()));
    let readable = directory.as_ref().filter(|directory| fs::read(directory.path().join("PG_VERSION")).is_ok());
    let ledger = readable.and(request.common.state_dir.as_ref()).map(|folder| Ledger::peek(&folder.value));
    let state = ledger.as_ref().and_then(|ledger| ledger.as_ref().ok()).and_then(Option::as_ref);
    let foreign = state.zip(readable).and_then(|(state, directory)| foreign(state, directory));
    let state = state.filter(|_| foreign.is_none());
    let backup_state = readable.map(backup_state).unwrap_or_default();
    let archiving = readable.map(|directory| archiving(request, directory, state)).unwrap_or_default();
    let backups = backup_state.backups(request.intervals, backup_runs(request), request.now);
    let facts = Facts {
        data_directory: readable.is_some(),
        switched_off: request.common.archiving_off,
        invalid_bucket: archiving.invalid_bucket.clone(),
        server_runs: readable.map(DataDirectory::server_runs),
        ledger: foreign.map_or_else(|| ledger_facts(ledger.as_ref()), LedgerFacts::Unreadable),
        gap_marker: readable.is_some_and(|directory| is_unexplained(directory, state)),
        backlog: archiving.backlog_bytes,
        threshold: archiving.threshold_bytes.unwrap_or(u64::MAX),
        free: archiving.free_bytes,
        reserve: archiving.reserve_bytes.unwrap_or(0),
        has_full: backups.last_full_at.is_some(),
        late_by: late_by(&backups, request),
    };
    let (verdict, reasons) = judge(&facts);
    Report {
        schema: 1,
        verdict,
        reasons,
        cluster: cluster(directory.as_ref()),
        archiving,
        push: state.map(Push::of).unwrap_or_default(),
        gaps: state.map(gaps),
        catalog: Catalog {
            state: "unchecked",
            checked_at: backup_state.time("last_catalog_verify_at", request.now).and_then(moment),
            detail: None,
        },
        backups,
        windows: None,
        extra: Extra { made_at: moment(request.now), ..Extra::default() },
    }
}

/// Whether the gap marker speaks of losses that the ledger does not know: it is there, and no gap was closed since.
fn is_unexplained(directory: &DataDirectory, state: Option<&State>) -> bool {
    let Ok(written) = fs::metadata(directory.gap_marker()).and_then(|marker| marker.modified()) else { return false };
    let written = Timestamp::try_from(written).map_or(i64::MAX, Timestamp::as_second);
    let closed = state.and_then(|state| state.gaps.iter().filter_map(|gap| gap.closed_at).max());
    closed.is_none_or(|closed| closed < written)
}

fn cluster(directory: Option<&DataDirectory>) -> Cluster {
    let control = directory.and_then(DataDirectory::control);
    Cluster {
        pgdata: directory.map(|directory| directory.path().to_string_lossy().into_owned()),
        system_id: control.map(|control| control.system_id.to_string()),
        timeline: control.map(|control| control.timeline),
        in_recovery: control.map(|control| control.in_recovery),
    }
}

fn archiving(request: &Request, directory: &DataDirectory, state: Option<&State>) -> Archiving {
    let pg_wal = directory.pg_wal();
    let volume = Volume::of(&pg_wal);
    let limits = Limits::new(request.drop_threshold, request.free_reserve, volume);
    let invalid_bucket = directory.invalid_bucket();
    let off = request.common.archiving_off || invalid_bucket.is_some();
    let on = state.is_some() || directory.path().join("conf.d/pgbackrest.conf").exists();
    let backlog = backlog(directory, request.drop_measure);
    let newest = directory.newest_archived();
    Archiving {
        enabled: if off { Some(false) } else { on.then_some(true) },
        invalid_bucket,
        last_archived_at: newest.as_ref().and_then(|(_, at)| Timestamp::try_from(*at).ok()).map(whole_seconds),
        last_archived_wal: newest.map(|(name, _)| name),
        archived_count: None,
        failed_count: None,
        backlog_segments: backlog.map(|(files, _)| files),
        backlog_bytes: backlog.map(|(_, bytes)| bytes),
        threshold_bytes: Some(limits.threshold),
        free_bytes: volume.free,
        reserve_bytes: Some(limits.reserve),
    }
}

/// What says that the ledger came with a copied data directory: the next push will begin another.
///
/// The repository is not compared: whoever asks may lack the environment that `archive_command` has.
fn foreign(state: &State, directory: &DataDirectory) -> Option<String> {
    let control = directory.control();
    let identity = Identity {
        system_id: control.map(|control| control.system_id),
        control_inode: control.map(|control| control.inode),
        repositories: None,
    };
    let difference = state.identity.difference(&identity)?;
    Some(format!("the ledger is not this cluster's, {difference} has changed; the next push begins a new one"))
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    moment(at.as_second()).unwrap_or(at)
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

fn gaps(state: &State) -> Vec<GapReport> {
    state.gaps.iter().map(|gap| GapReport::of(gap, state.segment_size())).collect()
}

fn ledger_facts(ledger: Option<&Result<Option<State>, crate::ledger::LedgerError>>) -> LedgerFacts {
    match ledger {
        None | Some(Ok(None)) => LedgerFacts::Missing,
        Some(Err(error)) => LedgerFacts::Unreadable(log::chain(error)),
        Some(Ok(Some(state))) => LedgerFacts::Read {
            open_gaps: state.gaps.open().count() as u64,
            missing_segments: state.gaps.open().map(|gap| gap.segments(state.segment_size())).sum(),
            first_missing: state.gaps.open().map(|gap| gap.first).min().map(|first| first.to_string()),
            consecutive_failures: state.push.consecutive_failures,
            last_class: state.push.last_failure.as_ref().map(|failure| failure.class),
        },
    }
}

fn backup_state(directory: &DataDirectory) -> BackupState {
    let text = fs::read(directory.path().join(".pgbackrest_backup_state")).unwrap_or_default();
    BackupState::parse(&String::from_utf8_lossy(&text))
}

fn backup_runs(request: &Request) -> bool {
    let stanza = &request.common.stanza.value;
    let lock_path = request.config.as_ref().map(|config| config.lock_path("backup"));
    lock_path.is_some_and(|path| locks::held_since(&path, stanza, "backup", "backup").is_some())
}

fn late_by(backups: &Backups, request: &Request) -> Option<u64> {
    let due = backups.next_due_at.filter(|_| !backups.running)?;
    let late = u64::try_from(request.now - due.as_second()).ok()?;
    let shortest = [request.intervals.full, request.intervals.diff];
    let shortest = shortest.iter().map(|interval| interval.get()).filter(|interval| *interval > 0).min()?;
    (late > shortest / PATIENCE).then_some(late)
}
