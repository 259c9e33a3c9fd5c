//! Healing: what was given up, and still exists, is pushed again.
//!
//! First the deferred `.history` and `.backup` files, then the overflow folder, then the gaps, the oldest first. A lost
//! segment often still lies in `pg_wal` until a checkpoint recycles it under another name (xlog.c,
//! `RemoveOldXlogFiles`), and PostgreSQL may do so while it is being read: so it is copied first, and the copy counts
//! only if afterwards the file still has its name and its first page still says that it is itself.

use super::Watcher;
use crate::durable;
use crate::ledger::DEFERRED;
use crate::ledger::state::State;
use crate::wal::{LongPageHeader, SegmentName, SegmentSize, WalFile};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one poll may spend on repairs.
const LIMIT: Duration = Duration::from_secs(20);

/// One file that can be pushed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    file: WalFile,
    path: PathBuf,
    /// Where it lies.
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A copy of our own, deleted once it is stored.
    Saved,
    /// `pg_wal`, in an open gap.
    PgWal,
}

impl Watcher {
    /// Everything that can be pushed again now, in the order in which it should be.
    pub(super) fn repairable(&self, state: &State) -> Vec<Candidate> {
        let state_dir = self.request.common.state_dir.as_ref().map(|folder| folder.value.join(DEFERRED));
        let mut candidates: Vec<Candidate> = saved(state_dir.as_deref());
        candidates.extend(saved(self.request.watch.overflow.as_deref()));
        let pg_wal = self.request.data_directory.pg_wal();
        for segment in self.lost_and_there(state, &pg_wal) {
            let (file, path) = (WalFile::Segment(segment), pg_wal.join(segment.to_string()));
            candidates.push(Candidate { file, path, place: Place::PgWal });
        }
        candidates.retain(|candidate| !self.unhealable.contains(&candidate.file.to_string()));
        candidates
    }

    /// Pushes as many as one poll has time for. False when one failed.
    pub(super) fn repair(&mut self, candidates: Vec<Candidate>, system_id: u64) -> bool {
        let started = Instant::now();
        let archives = match self.info() {
            Ok(stanza) => {
                let of_repo = |key: u32| Some((key, stanza.archive_id(system_id, key)?.to_owned()));
                let keys: Vec<u32> = stanza.repo.iter().map(|repo| repo.key).collect();
                keys.into_iter().filter_map(of_repo).collect::<Vec<_>>()
            }
            Err(why) => {
                tracing::warn!("nothing can be healed now: {why}");
                return false;
            }
        };
        for candidate in candidates {
            if self.told || started.elapsed() > LIMIT {
                break;
            }
            if let Err(why) = self.heal(&candidate, &archives) {
                tracing::warn!("{} could not be pushed again: {why}", candidate.file);
                let failed = self.heal_failures.entry(candidate.file.to_string()).or_insert(0);
                *failed += 1;
                if *failed >= 3 && candidate.place == Place::PgWal {
                    self.unhealable.insert(candidate.file.to_string());
                }
                return false;
            }
        }
        true
    }

    fn heal(&mut self, candidate: &Candidate, archives: &[(u32, String)]) -> Result<(), String> {
        let file = candidate.file;
        if candidate.place == Place::Saved {
            self.push_again(&file, &candidate.path, archives)?;
            fs::remove_file(&candidate.path).map_err(|error| format!("it is stored, but not removed: {error}"))?;
            tracing::info!("{file} is stored: it was kept in {}", folder(&candidate.path).display());
            return Ok(());
        }
        let copy = self.copy_of(&candidate.path, &file)?;
        let pushed = self.push_again(&file, &copy, archives);
        let _ = fs::remove_file(&copy);
        pushed?;
        let now = self.now();
        self.ledger
            .update(|state| {
                let size = state.segment_size();
                state.gaps.heal(&file, now, size);
            })
            .map_err(|error| crate::log::chain(&error))?;
        tracing::info!("{file} is healed: it was given up and still lay in pg_wal");
        Ok(())
    }

    /// A copy that PostgreSQL can't recycle, and that is known to be the file it is named after.
    fn copy_of(&self, path: &Path, file: &WalFile) -> Result<PathBuf, String> {
        let heal = self.ledger.folder().join("heal");
        let failed = |error: std::io::Error| format!("can't copy it: {error}");
        durable::create_private_folder(&heal).map_err(failed)?;
        let mut source = File::open(path).map_err(failed)?;
        let inode = source.metadata().map_err(failed)?.ino();
        durable::copy_into(&mut source, &heal, &file.to_string()).map_err(failed)?;
        let copy = heal.join(file.to_string());
        let unchanged = path.metadata().is_ok_and(|metadata| metadata.ino() == inode);
        let itself = matches!(file, WalFile::Segment(segment) if self.is_itself(*segment, &copy));
        if unchanged && itself {
            return Ok(copy);
        }
        let _ = fs::remove_file(&copy);
        Err("PostgreSQL has recycled it meanwhile".to_owned())
    }

    /// The segments of open gaps that still lie whole in `pg_wal`, oldest first.
    fn lost_and_there(&self, state: &State, pg_wal: &Path) -> Vec<SegmentName> {
        let open: Vec<_> = state.gaps.open().filter(|gap| !gap.partial).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let names = fs::read_dir(pg_wal).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().to_str()?.parse::<SegmentName>().ok());
        let is_lost = |name: &SegmentName| {
            open.iter().any(|gap| gap.first.timeline() == name.timeline() && (gap.first..=gap.last).contains(name))
        };
        let mut there: Vec<SegmentName> = names.filter(is_lost).collect();
        there.retain(|name| self.is_itself(*name, &pg_wal.join(name.to_string())));
        there.sort_unstable();
        there
    }

    /// Whether a file is, by its length and its first page, the segment of this cluster that its name says.
    fn is_itself(&self, segment: SegmentName, path: &Path) -> bool {
        let mut first = [0; LongPageHeader::BYTES];
        let Ok(mut file) = File::open(path) else { return false };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if file.read_exact(&mut first).is_err() {
            return false;
        }
        let Ok(header) = LongPageHeader::parse(&first) else { return false };
        let size: SegmentSize = header.segment_size;
        size.bytes() == length
            && Some(header.system_id) == self.system_id
            && Some(header.page_address) == segment.number(size).checked_mul(size.bytes())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
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
