//! What can be pushed again: deferred `.history` and `.backup` files, the overflow folder, lost segments that still lie whole in
//! `pg_wal`, and what one repository has and others are owed.

use super::cluster::{Cluster, is_lost};
use crate::ledger::DEFERRED;
use crate::ledger::state::State;
use crate::wal::{PageTimeline, SegmentName, WalFile, whole_segment};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The most files that are fetched for others in one poll.
const MOST_OWED: usize = 1_000;

/// One file that can be pushed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) file: WalFile,
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

/// Where a candidate lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A copy of our own, deleted once it is stored.
    Saved,
    /// `pg_wal`, in an open gap.
    PgWal,
    /// The repository of this number: others are owed it.
    Repository(u32),
}

impl Candidate {
    /// Whether it is lost, as far as the ledger goes.
    pub(super) fn is_in_a_gap(&self) -> bool {
        self.place != Place::Saved
    }
}

/// Everything that can be pushed again now: what is saved, histories first, then what is lost, oldest first.
pub(super) fn candidates(cluster: &Cluster, state: &State) -> Vec<Candidate> {
    let request = cluster.request();
    let state_dir = request.common.state_dir.as_ref().map(|folder| folder.value.join(DEFERRED));
    let mut candidates: Vec<Candidate> = saved(state_dir.as_deref());
    candidates.retain(|candidate| !state.foreign_deferred.contains(&candidate.file.to_string()));
    candidates.extend(saved(request.watch.overflow.as_deref()));
    let pg_wal = cluster.directory().pg_wal();
    let lost = lost_and_there(cluster, state, &pg_wal).into_iter();
    candidates.extend(lost.map(|file| {
        let path = pg_wal.join(file.to_string());
        Candidate { file, path, place: Place::PgWal }
    }));
    let there: BTreeSet<WalFile> = candidates.iter().map(|candidate| candidate.file).collect();
    candidates.extend(owed(cluster, state).into_iter().filter(|candidate| !there.contains(&candidate.file)));
    candidates
}

/// What a repository has and others are owed, oldest first.
fn owed(cluster: &Cluster, state: &State) -> Vec<Candidate> {
    let (configured, size) = (cluster.repositories(), state.segment_size());
    let mut candidates = Vec::new();
    for gap in state.gaps.open().filter(|gap| gap.is_owed(&configured) && !gap.name_proves_nothing()) {
        let Some(holder) = configured.iter().find(|key| !gap.lacks(**key)).copied() else { continue };
        let room = MOST_OWED.saturating_sub(candidates.len());
        let numbers = gap.first.number(size)..=gap.last.number(size);
        let names = numbers.filter_map(|number| SegmentName::from_number(gap.first.timeline(), number, size));
        let file = |segment| if gap.partial { WalFile::Partial(segment) } else { WalFile::Segment(segment) };
        candidates.extend(names.take(room).map(file).map(|file| {
            let path = PathBuf::from(format!("repository {holder}"));
            Candidate { file, path, place: Place::Repository(holder) }
        }));
    }
    candidates.sort_by_key(|candidate| candidate.file.to_string());
    candidates
}

/// Whether a file is the segment of this cluster that its name says, whole.
pub(super) fn is_itself(cluster: &Cluster, segment: SegmentName, path: &Path) -> bool {
    let system_id = cluster.primary.system_id;
    File::open(path).is_ok_and(|file| whole_segment(&file, segment, system_id, PageTimeline::UpToNamed).is_some())
}

/// The files of open gaps that still lie whole in `pg_wal`, oldest first.
fn lost_and_there(cluster: &Cluster, state: &State, pg_wal: &Path) -> Vec<WalFile> {
    if !state.gaps.any_open() {
        return Vec::new();
    }
    let is_whole = |file: &WalFile| {
        let path = pg_wal.join(file.to_string());
        file.losable().is_some_and(|(segment, _)| is_itself(cluster, segment, &path))
    };
    let names = fs::read_dir(pg_wal).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str()?.parse::<WalFile>().ok());
    let mut there: Vec<WalFile> = names.filter(|file| is_lost(state, file) && is_whole(file)).collect();
    there.sort_by_key(WalFile::to_string);
    there
}

/// The WAL files in a folder of ours: histories first, then in the archiver's order.
fn saved(folder: Option<&Path>) -> Vec<Candidate> {
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut candidates: Vec<Candidate> = entries
        .filter_map(|entry| {
            let file = entry.file_name().to_str()?.parse().ok()?;
            Some(Candidate { file, path: entry.path(), place: Place::Saved })
        })
        .collect();
    candidates.sort_by_key(|candidate| (!matches!(candidate.file, WalFile::History(_)), candidate.file.to_string()));
    candidates
}
