//! The healer: what was given up, and still exists, is pushed again.
//!
//! First the deferred `.history` and `.backup` files, then the overflow folder, then the gaps, the oldest first. A lost
//! segment often still lies in `pg_wal` until a checkpoint recycles it under another name (xlog.c,
//! `RemoveOldXlogFiles`), and PostgreSQL may do so while it is being read: so it is copied first, and the copy counts
//! only if afterwards the file still has its name and its first page still says that it is itself.

use super::calls::{Archive, MESSAGE_LENGTH, NotStored};
use super::candidates::{Candidate, Place, candidates, is_itself};
use super::cluster::Cluster;
use super::look_up::look_up;
use crate::checkpoint;
use crate::decide::heal::{AfterTrouble, Trouble, after_trouble, round};
use crate::durable;
use crate::epoch;
use crate::ledger::state::State;
use crate::wal::WalFile;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one poll may spend on it.
const LIMIT: Duration = Duration::from_secs(20);
/// The folder of copies that are being pushed, in the state directory.
pub(super) const COPIES: &str = "heal";

/// What is remembered of files that could not be pushed again.
#[derive(Debug, Default)]
pub(super) struct Healer {
    /// When one last could not be, in seconds since 1970.
    pub(super) failed_at: Option<i64>,
    /// How often each one, by its name.
    failures: BTreeMap<String, u32>,
    /// The names of those that are left where they are.
    left: BTreeSet<String>,
}

/// Why a file could not be healed.
#[derive(Debug, thiserror::Error)]
enum NotHealed {
    /// PostgreSQL has recycled it meanwhile: nobody's failure.
    #[error("PostgreSQL has recycled it meanwhile")]
    Recycled,
    /// It is not stored.
    #[error(transparent)]
    NotStored(#[from] NotStored),
    /// A file of our own.
    #[error("{0}")]
    Local(String),
}

impl NotHealed {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Recycled => Trouble::Recycled,
            Self::NotStored(NotStored::Failed(failure)) => failure.code().map_or(Trouble::Other, Trouble::Code),
            Self::NotStored(_) | Self::Local(_) => Trouble::Other,
        }
    }
}

impl Healer {
    /// Everything that can be pushed again now, in the order in which it should be: what has often failed waits until the
    /// others had their turn.
    pub(super) fn candidates(&self, cluster: &Cluster, state: &State) -> Vec<Candidate> {
        let mut candidates = candidates(cluster, state);
        candidates.retain(|candidate| !self.left.contains(&candidate.file.to_string()));
        let failures = |candidate: &Candidate| self.failures.get(&candidate.file.to_string()).copied();
        candidates.sort_by_key(|candidate| round(failures(candidate).unwrap_or(0)));
        candidates
    }

    /// Pushes as many as one poll has time for.
    pub(super) fn heal(&mut self, cluster: &Cluster, candidates: Vec<Candidate>) {
        let all_well = self.heal_each(cluster, candidates);
        self.failed_at = if all_well { None } else { Some(epoch::now()) };
    }

    /// False when one could not be pushed.
    fn heal_each(&mut self, cluster: &Cluster, candidates: Vec<Candidate>) -> bool {
        let started = Instant::now();
        let Some(archives) = look_before(cluster) else { return false };
        let (mut all_well, mut healed) = (true, Vec::new());
        for candidate in candidates {
            if cluster.must_end() || started.elapsed() > LIMIT {
                break;
            }
            // The look through the archive may have healed it.
            if candidate.is_in_a_gap() && !cluster.is_lost(&candidate.file) {
                continue;
            }
            match self.push_again(cluster, &candidate, &archives) {
                Ok(()) if candidate.is_in_a_gap() => healed.push(candidate.file),
                Ok(()) => {}
                Err(_) if cluster.must_end() => break,
                Err(why) => {
                    all_well = false;
                    if !self.goes_on_after(cluster, &candidate, &why) {
                        break;
                    }
                }
            }
        }
        say_healed(&healed);
        all_well
    }

    /// Says why a file could not be pushed again. Whether the next one has its turn now.
    fn goes_on_after(&mut self, cluster: &Cluster, candidate: &Candidate, why: &NotHealed) -> bool {
        let name = candidate.file.to_string();
        let failures = self.failures.get(&name).copied().unwrap_or(0) + 1;
        match after_trouble(why.trouble(), failures, candidate.is_in_a_gap()) {
            AfterTrouble::GoOn => true,
            AfterTrouble::LeaveFile => {
                tracing::error!("{} can't be pushed again and is left where it is: {why}", candidate.path.display());
                self.left.insert(name);
                true
            }
            AfterTrouble::Stop { leave_file } => {
                cluster.tools.log.warn("repair", &format!("{name} could not be pushed again: {why}"));
                self.failures.insert(name.clone(), failures);
                if leave_file {
                    self.left.insert(name);
                }
                false
            }
        }
    }

    fn push_again(&mut self, cluster: &Cluster, candidate: &Candidate, archives: &[Archive]) -> Result<(), NotHealed> {
        let file = candidate.file;
        match candidate.place {
            Place::Saved => {
                cluster.push_again(&file, &candidate.path, archives)?;
                self.note_healed(cluster, &file)?;
                let failed = |error| NotHealed::Local(format!("it is stored, but not removed: {error}"));
                fs::remove_file(&candidate.path).map_err(failed)?;
                let folder = candidate.path.parent().unwrap_or(&candidate.path);
                tracing::info!("{file} is stored: it was kept in {}", folder.display());
            }
            Place::PgWal => {
                let copy = copy_of(cluster, &candidate.path, &file)?;
                checkpoint::reached("repair-copied");
                let pushed = cluster.push_again(&file, &copy, archives);
                let _ = fs::remove_file(&copy);
                pushed?;
                self.note_healed(cluster, &file)?;
                tracing::debug!("{file} is healed");
            }
        }
        Ok(())
    }

    /// Closes what a proven push heals, if it is in a gap.
    fn note_healed(&mut self, cluster: &Cluster, file: &WalFile) -> Result<(), NotHealed> {
        checkpoint::reached("repair-pushed");
        self.failures.remove(&file.to_string());
        if cluster.is_lost(file) {
            let now = epoch::now();
            let change = |state: &mut State| {
                let size = state.segment_size();
                state.gaps.heal(file, now, size);
            };
            let updated = cluster.ledger.update(change);
            updated.map_err(|error| NotHealed::Local(crate::log::chain(&error)))?;
        }
        checkpoint::reached("repair-healed");
        Ok(())
    }
}

/// What the archive has already needs no push. Where this cluster's WAL lies in each repository; `None` where one can't say.
fn look_before(cluster: &Cluster) -> Option<Vec<Archive>> {
    let not_now = |why: &str| cluster.tools.log.warn("repair", &format!("nothing can be healed now: {why}"));
    let stanza = match cluster.info() {
        Ok(stanza) => stanza,
        Err(why) => {
            not_now(&why.shown(MESSAGE_LENGTH));
            return None;
        }
    };
    let archives = cluster.archives(&stanza);
    match &archives {
        Some(_) => drop(look_up(cluster, &stanza)),
        None => not_now("not every repository can be asked for this cluster's archive"),
    }
    archives
}

/// A copy that PostgreSQL can't recycle, and that is known to be the file it is named after.
fn copy_of(cluster: &Cluster, path: &Path, file: &WalFile) -> Result<PathBuf, NotHealed> {
    let folder = cluster.ledger.folder().join(COPIES);
    let failed = |error: std::io::Error| NotHealed::Local(format!("can't copy it: {error}"));
    durable::create_private_folder(&folder).map_err(failed)?;
    let gone = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => NotHealed::Recycled,
        _ => failed(error),
    };
    let mut source = File::open(path).map_err(gone)?;
    let inode = source.metadata().map_err(failed)?.ino();
    durable::copy_into(&mut source, &folder, &file.to_string()).map_err(failed)?;
    let copy = folder.join(file.to_string());
    let unchanged = path.metadata().is_ok_and(|metadata| metadata.ino() == inode);
    if unchanged && file.losable().is_some_and(|(segment, _)| is_itself(cluster, segment, &copy)) {
        return Ok(copy);
    }
    let _ = fs::remove_file(&copy);
    Err(NotHealed::Recycled)
}

/// One line, however many they are.
fn say_healed(files: &[WalFile]) {
    match files {
        [] => {}
        [one] => tracing::info!("{one} is healed: it was given up and still lay in pg_wal"),
        [first, .., last] => tracing::info!(
            "{} files are healed, {first} to {last}: they were given up and still lay in pg_wal",
            files.len()
        ),
    }
}
