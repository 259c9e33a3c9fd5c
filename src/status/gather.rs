//! The report's facts: out of files, the server's answer, and what the catalog was last seen to hold.

use super::archiving;
use super::backups::backups;
use super::catalog_report::{self, Seen};
use super::found::{Found, Request};
use super::report::{Archiving, Backups, Cluster, Drill, Extra, GapReport, Push, Report};
use super::repositories::Repositories;
use super::server::{self};
use crate::backup_state::{BackupState, FILE_NAME as BACKUP_STATE, LAST_FULL_AT, LAST_VERIFY_AT, SYSTEM_ID};
use crate::data_directory::{Control, DataDirectory};
use crate::decide::drill::trouble;
use crate::decide::regime::Others;
use crate::decide::status::{Facts, LedgerFacts, judge};
use crate::drill_record::DrillRecord;
use crate::epoch::moment;
use crate::ledger::gaps::{Cause, Gap};
use crate::ledger::state::{Identity, State};
use crate::ledger::{Ledger, LedgerError};
use crate::log;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::failure::brief;
use crate::pgbackrest::locks;
use crate::presence;
use crate::seen_catalog::Record;
use crate::settings::TakenBy;
use crate::wal::SegmentSize;
use jiff::Timestamp;
use std::fs;

/// A late backup is overdue when a tenth of its interval has passed too.
const PATIENCE: u64 = 10;

/// Makes the report. Writes nothing and takes no lock.
#[must_use]
pub fn gather(request: &Request) -> Report {
    let directory = request.common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone()));
    match directory {
        Some(directory) if fs::read(directory.path().join("PG_VERSION")).is_ok() => of_cluster(request, directory),
        directory => of_nothing(request, directory.as_ref()),
    }
}

/// A report on a data directory that is missing or can't be read.
fn of_nothing(request: &Request, directory: Option<&DataDirectory>) -> Report {
    let mut report = Report::unknown();
    let facts = Facts { switched_off: request.common.archiving_off, ..Facts::default() };
    (report.verdict, report.reasons) = judge(&facts);
    report.cluster.pgdata = directory.map(|directory| directory.path().to_string_lossy().into_owned());
    report.extra = Extra { made_at: moment(request.now), ..named(request) };
    report
}

fn of_cluster(request: &Request, directory: DataDirectory) -> Report {
    let control = directory.control();
    let ledger = request.common.state_dir.as_ref().map(|folder| Ledger::peek(&folder.value));
    let (ledger, state) = own_ledger(ledger, control, request.config.as_ref());
    let heard = server::ask(&request.server, &directory);
    let in_recovery = heard.archiver().map(|archiver| archiver.in_recovery);
    let in_recovery = in_recovery.or(control.map(|control| control.in_recovery));
    let found = Found { request, directory, control, state, heard, in_recovery };
    report(&found, ledger)
}

fn report(found: &Found<'_>, ledger: LedgerFacts) -> Report {
    let request = found.request;
    let stamps = backup_state(found);
    let archiving = archiving::archiving(found);
    let catalog = catalog_report::look(found);
    let size = found.state.as_ref().map_or(SegmentSize::DEFAULT, State::segment_size);
    let repositories = Repositories::of(found, catalog.record.as_ref(), size);
    let running = backup_runs(request);
    let by_others = taken_by_others(request, catalog.record.as_ref());
    let stamped = if by_others.is_some() && catalog.known.is_some() { &BackupState::default() } else { &stamps };
    let backups = backups(stamped, catalog.newest(), request.intervals, running, request.now);
    let last_full = backups.last_full_at.map(Timestamp::as_second);
    let unchecked = found.is_unchecked();
    let drill = newest_drill(found);
    let facts = Facts {
        data_directory: true,
        switched_off: request.common.archiving_off,
        invalid_bucket: archiving.invalid_bucket.clone(),
        asked_for: is_asked_for(found),
        setup_fails: archiving::setup_fails(found),
        waiting: archiving::oldest_waiting(found),
        server: found.heard.facts(),
        standby: found.in_recovery == Some(true),
        ledger: if unchecked { ledger_facts_here(found).unwrap_or(ledger) } else { ledger },
        unchecked,
        gap_marker: is_unexplained(&found.directory, found.state.as_ref(), &repositories.keys()),
        backlog: archiving.backlog_bytes,
        threshold: archiving.threshold_bytes.unwrap_or(u64::MAX),
        free: archiving.free_bytes,
        reserve: archiving.reserve_bytes.unwrap_or(0),
        has_full: last_full.is_some() && !catalog.is_absent_since(last_full),
        late_by: late_by(&backups, request),
        watched: request.answer.is_some() || catalog.was_checked() || was_watched(request, &stamps),
        no_backup_because: catalog.record.as_ref().and_then(|record| record.backup_failed.as_deref().map(brief)),
        by_others,
        drill: drill.as_ref().and_then(|record| drill_trouble(record, request)),
        catalog: catalog.facts(request),
        owed: repositories.owed(),
        without_backup: repositories.without_backup(catalog.known.as_ref()),
        differing: found.state.as_ref().map(differing).unwrap_or_default(),
        behind: repositories.behind(found),
        beside: catalog.beside(found.timeline()),
    };
    let (verdict, reasons) = judge(&facts);
    Report {
        schema: 1,
        verdict,
        reasons,
        cluster: cluster(found),
        push: found.state.as_ref().map(Push::of).unwrap_or_default(),
        repositories: repositories.shown(catalog.known.as_ref()),
        gaps: found.state.as_ref().map(|state| gaps(state, &repositories)),
        catalog: catalog.shown(&stamps, request.now),
        backups,
        windows: catalog.windows(),
        drill: drill.as_ref().map(Drill::of),
        extra: extra(found, &archiving, catalog),
        archiving,
    }
}

/// What the JSON does not have.
fn extra(found: &Found<'_>, archiving: &Archiving, catalog: Seen) -> Extra {
    let request = found.request;
    Extra {
        made_at: moment(request.now),
        server_answers: Some(found.heard.answers()),
        backups: catalog.backups(),
        archived_after: archiving::waited(found),
        estimate: archiving::estimate(&found.directory, archiving, request.now),
        reach: catalog.reach,
        ..named(request)
    }
}

/// Whether the gap marker speaks of losses that the ledger does not know: it is there, and no gap was closed since, nor is
/// anything owed, or open in some repositories only.
fn is_unexplained(directory: &DataDirectory, state: Option<&State>, configured: &[u32]) -> bool {
    let mut open = state.into_iter().flat_map(|state| state.gaps.open());
    if open.any(|gap| !gap.is_open_everywhere(configured)) {
        return false;
    }
    let Ok(written) = fs::metadata(directory.gap_marker()).and_then(|marker| marker.modified()) else { return false };
    let written = Timestamp::try_from(written).map_or(i64::MAX, Timestamp::as_second);
    let closed = state.and_then(|state| state.gaps.iter().filter_map(|gap| gap.closed_at).max());
    closed.is_none_or(|closed| closed < written)
}

fn cluster(found: &Found<'_>) -> Cluster {
    Cluster {
        pgdata: Some(found.directory.path().to_string_lossy().into_owned()),
        system_id: found.control.map(|control| control.system_id.to_string()),
        timeline: found.timeline(),
        in_recovery: found.in_recovery,
    }
}

/// What the ledger says, and its state if it is this cluster's.
fn own_ledger(
    ledger: Option<Result<Option<State>, LedgerError>>,
    control: Option<Control>,
    config: Option<&Config>,
) -> (LedgerFacts, Option<State>) {
    match ledger {
        None | Some(Ok(None)) => (LedgerFacts::Missing, None),
        Some(Err(error)) => (LedgerFacts::Unreadable(log::chain(&error)), None),
        Some(Ok(Some(state))) => match foreign(&state, control) {
            Some(why) => (LedgerFacts::Unreadable(why), None),
            None => (facts_of_gaps(&state, config, |_| true), Some(state)),
        },
    }
}

/// What says that the ledger is another cluster's: the next push will begin another.
fn foreign(state: &State, control: Option<Control>) -> Option<String> {
    let here = Identity { system_id: control.map(|control| control.system_id) };
    let text = "the ledger is another cluster's (system identifier); the next push sets it aside and begins a new one";
    state.identity.is_another(here).then(|| text.to_owned())
}

/// The open gaps, the newest 1,000 closed ones: the ledger keeps no more.
fn gaps(state: &State, repositories: &Repositories<'_>) -> Vec<GapReport> {
    let shown = |gap| GapReport::of(gap, repositories.lacking(gap), state.segment_size());
    state.gaps.iter().map(shown).collect()
}

/// What of an unchecked ledger is this node's own: the losses on the timeline that it has begun. The older ones are hearsay.
fn ledger_facts_here(found: &Found<'_>) -> Option<LedgerFacts> {
    let (timeline, config) = (found.timeline()?, found.request.config.as_ref());
    found.state.as_ref().map(|state| facts_of_gaps(state, config, |gap| gap.first.timeline().0 == timeline))
}

/// What counts of the open gaps. What a configured repository has is owed to the others, and none of these; nor is a gap that
/// a backup in one of them has left behind.
fn facts_of_gaps(state: &State, config: Option<&Config>, counts: impl Fn(&Gap) -> bool) -> LedgerFacts {
    let configured = config.map(Config::repositories).unwrap_or_default();
    let open = || state.gaps.open().filter(|gap| counts(gap) && gap.is_open_everywhere(&configured));
    let unsaid = || open().filter(|gap| gap.acknowledged.is_none());
    LedgerFacts::Read {
        open_gaps: unsaid().count() as u64,
        acknowledged_gaps: open().filter(|gap| gap.acknowledged.is_some()).count() as u64,
        missing_segments: unsaid().map(|gap| gap.segments(state.segment_size())).sum(),
        first_missing: unsaid().map(|gap| gap.first).min().map(|first| first.to_string()),
        consecutive_failures: state.push.consecutive_failures,
        last_class: state.push.last_failure.as_ref().map(|failure| failure.class),
        out: state.push.out.as_ref().map(|out| (out.repositories.clone(), out.failure.class)),
    }
}

/// The open gaps whose names in a listing prove nothing, as far as other content was found under them.
fn differing(state: &State) -> (u64, Option<String>) {
    let differing = || state.gaps.open().filter(|gap| gap.cause == Cause::ContentDiffers && gap.acknowledged.is_none());
    let segments = differing().map(|gap| gap.segments(state.segment_size())).sum();
    (segments, differing().map(|gap| gap.first).min().map(|first| first.to_string()))
}

/// The stamps, unless they are about another cluster.
fn backup_state(found: &Found<'_>) -> BackupState {
    let state = BackupState::read(found.directory.path()).unwrap_or_default();
    let system_id = found.control.map(|control| control.system_id);
    if system_id.is_some_and(|system_id| state.is_about_another(system_id)) { BackupState::default() } else { state }
}

/// Why others take the backups, if they do: by the setting, or as the watcher found.
fn taken_by_others(request: &Request, record: Option<&Record>) -> Option<String> {
    let found = record.and_then(|record| record.others.clone());
    if request.taken_by == TakenBy::Others { Some(Others::Asked.to_string()) } else { found }
}

/// What a report is of.
fn named(request: &Request) -> Extra {
    Extra {
        stanza: request.common.stanza.value.clone(),
        cluster_name: request.cluster_name.clone(),
        watcher_runs: request.common.state_dir.as_ref().map(|folder| presence::is_watched(&folder.value)),
        ..Extra::default()
    }
}

/// The newest drill of this cluster.
fn newest_drill(found: &Found<'_>) -> Option<DrillRecord> {
    let folder = found.request.common.state_dir.as_ref()?;
    let own = found.control.map(|control| control.system_id);
    DrillRecord::read(&folder.value)
        .filter(|record| record.system_id.is_none() || own.is_none() || record.system_id == own)
}

fn drill_trouble(record: &DrillRecord, request: &Request) -> Option<String> {
    trouble(record.verdict, record.at, record.passed_at, request.now, request.drill_max_age.get())
}

/// Whether anything asks for archiving, or has: a bucket, pgBackRest's configuration for this stanza, what setup or push wrote.
fn is_asked_for(found: &Found<'_>) -> bool {
    let request = found.request;
    let configured = request.config.as_ref().is_some_and(|config| config.option("archive-push", "pg1-path").is_some());
    let traces = [archiving::SERVER_CONF, BACKUP_STATE].iter().any(|name| found.directory.path().join(name).exists());
    request.setup.is_some() || configured || found.state.is_some() || traces
}

/// Whether a watcher has run here, or runs.
fn was_watched(request: &Request, stamps: &BackupState) -> bool {
    let folder = request.common.state_dir.as_ref();
    folder.is_some_and(|folder| presence::was_watched(&folder.value))
        || [SYSTEM_ID, LAST_FULL_AT, LAST_VERIFY_AT].iter().any(|key| stamps.number(key).is_some())
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
