//! The ledger held against the archive: what a repository lists is not lost, whoever wrote down that it was.
//!
//! A ledger can be wrong about the archive in one direction only. A push that was killed after the upload, a ledger that came
//! from another node with a copied data directory, a repository that was named wrongly for a while: each leaves a loss on
//! record of a segment that is there. So open gaps are looked up before anything is pushed again or a backup is taken: what
//! *every* repository lists is closed as healed, and what only some list is owed to the others. One that can't be asked keeps
//! nobody from looking into the rest. The histories of this server's line are looked up too: one that was
//! deferred on a node that has been rewound is still in `pg_wal` here, and no restore can follow the timeline without it.

use super::calls::{Archive, words};
use super::catalog_keeper::change_record;
use super::cluster::{Cluster, is_lost};
use crate::epoch;
use crate::ledger::gaps::{Gap, Repositories};
use crate::ledger::state::State;
use crate::log::{self, Fields};
use crate::pgbackrest::info::Stanza;
use crate::wal::{self, SegmentName, SegmentSize, Timeline, WalFile, parse_history};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

/// How long one look may take; the next one goes on with what is still open.
const LIMIT: Duration = Duration::from_secs(20);
/// The most histories of a repository that are remembered.
const HISTORIES: usize = 1_000;

/// Closes what every repository lists, notes who lacks the rest, and pushes histories that they lack. False when not all could
/// be looked up.
pub(super) fn look_up(cluster: &Cluster, stanza: &Stanza) -> bool {
    let archives = cluster.readable_archives(stanza);
    let all = archives.len() == cluster.repositories().len();
    let looked = look_up_gaps(cluster, &archives);
    let tops = tops(cluster, &archives);
    note_histories(cluster, &tops);
    let listed = tops.len() == archives.len();
    if all && listed {
        look_up_histories(cluster, &archives, &tops);
    }
    looked && all && listed
}

/// The WAL files that lie right in each archive, by the repository's number. What can't be listed is left out, with a line.
fn tops(cluster: &Cluster, archives: &[Archive]) -> BTreeMap<u32, BTreeSet<WalFile>> {
    let mut tops = BTreeMap::new();
    for archive in archives {
        match cluster.list(archive.repository, &archive.path(cluster.client.stanza())) {
            Ok(text) => {
                tops.insert(archive.repository, text.lines().filter_map(wal::listed).collect());
            }
            Err(why) => {
                let line =
                    format!("histories can't be looked up in repository {}: {}", archive.repository, words(&why));
                cluster.tools.log.warn("look-up", &line);
            }
        }
    }
    tops
}

/// Notes for `status` which timelines the archives know, the newest ones.
fn note_histories(cluster: &Cluster, tops: &BTreeMap<u32, BTreeSet<WalFile>>) {
    let timeline = |file: &WalFile| if let WalFile::History(timeline) = file { Some(timeline.0) } else { None };
    change_record(cluster, |record| {
        let before = record.histories.clone();
        for (key, files) in tops {
            let newest: BTreeSet<u32> = files.iter().rev().filter_map(timeline).take(HISTORIES).collect();
            record.histories.insert(*key, newest);
        }
        record.histories != before
    });
}

/// Looks up who lacks the files of open gaps. False when not all could be looked up.
fn look_up_gaps(cluster: &Cluster, archives: &[Archive]) -> bool {
    let Some(state) = cluster.state() else { return false };
    let started = Instant::now();
    let (mut lacking, mut whole) = (BTreeMap::new(), true);
    for folder in folders(state.gaps.open(), state.segment_size()) {
        if cluster.must_end() || started.elapsed() > LIMIT {
            whole = false;
            break;
        }
        whole &= look_into(cluster, archives, &state, &folder, &mut lacking);
    }
    note_lacking(cluster, &lacking);
    whole
}

/// Looks into one folder of each archive. Of a repository that can't be listed what is on record stays. False then.
fn look_into(
    cluster: &Cluster,
    archives: &[Archive],
    state: &State,
    folder: &str,
    lacking: &mut BTreeMap<WalFile, Vec<u32>>,
) -> bool {
    let mut listings: BTreeMap<u32, BTreeSet<WalFile>> = BTreeMap::new();
    for archive in archives {
        let path = archive.folder(cluster.client.stanza(), folder);
        match cluster.list(archive.repository, &path) {
            Ok(text) => {
                listings.insert(archive.repository, text.lines().filter_map(wal::listed).collect());
            }
            Err(why) => {
                let line =
                    format!("open gaps can't be looked up in repository {}: {}", archive.repository, words(&why));
                cluster.tools.log.warn("look-up", &line);
            }
        }
    }
    let listed = listings.values().flatten().filter(|file| is_lost(state, file) && name_proves(state, file));
    let files: BTreeSet<WalFile> = listed.copied().chain(owed_in(state, folder)).collect();
    for file in files {
        let Some(gap) = gap_of(state, &file) else { continue };
        let lacks = |key: &u32| listings.get(key).map_or_else(|| gap.lacks(*key), |listing| !listing.contains(&file));
        lacking.insert(file, cluster.repositories().into_iter().filter(lacks).collect());
    }
    listings.len() == archives.len()
}

/// The files of a folder that are on record as owed: a repository that has had one may have lost it since.
fn owed_in(state: &State, folder: &str) -> Vec<WalFile> {
    let size = state.segment_size();
    let owed = state.gaps.open().filter(|gap| gap.repositories.is_some() && !gap.partial && !gap.name_proves_nothing());
    let segments = owed.flat_map(|gap| {
        let numbers = gap.first.number(size)..=gap.last.number(size);
        numbers.filter_map(|number| SegmentName::from_number(gap.first.timeline(), number, size))
    });
    segments.filter(|segment| log_folder(*segment) == folder).map(WalFile::Segment).collect()
}

/// The open gap that holds a file.
fn gap_of<'s>(state: &'s State, file: &WalFile) -> Option<&'s Gap> {
    let (segment, partial) = file.losable()?;
    state.gaps.open_gap_of(segment, partial, state.segment_size())
}

/// Whether the name of a lost file in a listing shows that it is stored.
fn name_proves(state: &State, file: &WalFile) -> bool {
    gap_of(state, file).is_none_or(|gap| !gap.name_proves_nothing())
}

/// Notes who lacks what, and closes what nobody lacks.
fn note_lacking(cluster: &Cluster, lacking: &BTreeMap<WalFile, Vec<u32>>) {
    let (configured, backed_up, now) = (cluster.repositories(), cluster.backup_repositories(), epoch::now());
    let repositories = Repositories { configured: &configured, backed_up: &backed_up };
    let note = |state: &mut State| {
        let size = state.segment_size();
        state.gaps.note_lacking(lacking, repositories, now, size)
    };
    // Nothing is written where nothing would change.
    let Some(mut copy) = cluster.state() else { return };
    let before = copy.gaps.clone();
    note(&mut copy);
    if copy.gaps == before {
        return;
    }
    let mut closed = 0;
    match cluster.ledger.update(|state| closed = note(state)) {
        Ok(_) if closed > 0 => {
            let (files, are) = if closed == 1 { ("WAL file", "is") } else { ("WAL files", "are") };
            tracing::info!("{closed} {files} on record as lost {are} in the archive: healed without a push");
        }
        Ok(_) => {}
        Err(error) => tracing::error!("{}; what the archive has stays on record as lost", log::chain(&error)),
    }
}

/// Pushes the histories of this server's line that are in `pg_wal`, not waiting for the archiver, and not in every archive.
fn look_up_histories(cluster: &Cluster, archives: &[Archive], tops: &BTreeMap<u32, BTreeSet<WalFile>>) {
    let Some(timeline) = cluster.primary.timeline.filter(|timeline| timeline.0 > 1) else { return };
    let directory = cluster.directory();
    let (pg_wal, status) = (directory.pg_wal(), directory.archive_status());
    let text = fs::read_to_string(pg_wal.join(WalFile::History(timeline).to_string())).unwrap_or_default();
    let line = parse_history(&text).into_iter().map(|(parent, _)| parent).chain([timeline]);
    let line: BTreeSet<Timeline> = line.filter(|timeline| timeline.0 > 1).collect();
    let is_owed = |file: &WalFile| {
        let waits = status.join(format!("{file}.ready")).exists();
        let is_listed = !tops.is_empty() && tops.values().all(|top| top.contains(file));
        !is_listed && !waits && pg_wal.join(file.to_string()).is_file()
    };
    for file in line.into_iter().map(WalFile::History).filter(is_owed) {
        match cluster.push_again(&file, &pg_wal.join(file.to_string()), archives) {
            Ok(()) => {
                Fields::about(&file).info(&format!("{file} is stored: no repository had it, and it was in pg_wal"));
            }
            Err(why) => {
                let line = format!("no repository has {file}, and it can't be pushed: {why}");
                cluster.tools.log.warn("look-up", &line);
            }
        }
    }
}

/// Notes that the ledger holds for this node and these repositories.
pub(super) fn note_checked(cluster: &Cluster) {
    let (state, place) = (cluster.state(), cluster.place());
    let checked = state.and_then(|state| state.checked);
    if checked.as_ref() == Some(&place) {
        return;
    }
    let changed = checked.and_then(|checked| checked.difference(&place));
    match cluster.ledger.update(|state| state.checked = Some(place)) {
        Ok(_) => {
            if let Some(what) = changed {
                tracing::info!(
                    "the ledger is valid here too: {what} has changed, and it was compared with the \
                                archive"
                );
            }
        }
        Err(error) => tracing::error!("{}; the archive is searched again", log::chain(&error)),
    }
}

/// Notes that a backup was made in these repositories: a ledger that was made on this node knows them from now on.
pub(super) fn note_repositories(cluster: &Cluster) {
    let place = cluster.place();
    let is_known = |state: State| {
        state.checked.is_none_or(|checked| checked.repositories.is_some() || checked.is_another_node(&place))
    };
    if cluster.state().is_none_or(is_known) {
        return;
    }
    if let Err(error) = cluster.ledger.update(|state| state.checked = Some(place)) {
        tracing::error!("{}; the archive is searched once more", log::chain(&error));
    }
}

/// Whether the ledger has not been held against the archive from this node, in these repositories. One that was made
/// here claims nothing, unless the cluster has a past on another timeline.
pub(super) fn is_unchecked(cluster: &Cluster, state: &State) -> bool {
    let has_past = cluster.primary.timeline.is_some_and(|timeline| timeline.0 > 1);
    state.checked.as_ref().is_none_or(|checked| {
        checked.difference(&cluster.place()).is_some() || checked.repositories.is_none() && has_past
    })
}

/// The folders of the archive in which the gaps' files would lie.
fn folders<'g>(gaps: impl Iterator<Item = &'g Gap>, size: SegmentSize) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for gap in gaps {
        let mut number = gap.first.number(size);
        while number <= gap.last.number(size) {
            let Some(segment) = SegmentName::from_number(gap.first.timeline(), number, size) else { break };
            folders.insert(log_folder(segment));
            // On to the next log file of 4 GiB.
            let each = (1_u64 << 32) / size.bytes();
            number = (number / each + 1) * each;
        }
    }
    folders
}

/// The folder of a segment in the archive: its name's first 16 digits.
pub(super) fn log_folder(segment: SegmentName) -> String {
    segment.to_string().chars().take(16).collect()
}
