//! Healing: what was given up, and still exists, is pushed again.
//!
//! First the deferred `.history` and `.backup` files, then the overflow folder, then the gaps, the oldest first. A lost
//! segment often still lies in `pg_wal` until a checkpoint recycles it under another name (xlog.c,
//! `RemoveOldXlogFiles`), and PostgreSQL may do so while it is being read: so it is copied first, and the copy counts
//! only if afterwards the file still has its name and its first page still says that it is itself.

use super::Watcher;
use super::ask::{MESSAGE_LENGTH, NotStored};
use crate::checkpoint;
use crate::durable;
use crate::ledger::DEFERRED;
use crate::ledger::state::State;
use crate::postgres::Primary;
use crate::wal::{PageTimeline, SegmentName, WalFile, whole_segment};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one poll may spend on repairs.
const LIMIT: Duration = Duration::from_secs(20);
/// After so many failures a file waits until the others had their turn.
const OFTEN: u32 = 3;
/// After so many a lost segment is left to a backup. During an outage nothing is tried, and nothing counted.
const TOO_OFTEN: u32 = 10;
/// pgBackRest's codes that are about the file and not about the repository: another cluster's segment (44), and one
/// that the repository holds with other content (45).
const ABOUT_THE_FILE: [i32; 2] = [44, 45];
/// The folder of copies that are being pushed, in the state directory.
const COPIES: &str = "heal";
/// After how long a copy or a temporary file is a killed program's.
const LEFTOVER_AGE: Duration = Duration::from_hours(1);

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
    /// Whether pgBackRest will never take this very file.
    fn is_about_the_file(&self) -> bool {
        let code = if let Self::NotStored(NotStored::Failed(failure)) = self { failure.code() } else { None };
        code.is_some_and(|code| ABOUT_THE_FILE.contains(&code))
    }
}

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

impl Candidate {
    /// Whether it is lost, as far as the ledger goes.
    pub(super) fn is_in_a_gap(&self) -> bool {
        self.place == Place::PgWal
    }
}

impl Watcher {
    /// Everything that can be pushed again now, in the order in which it should be.
    pub(super) fn repairable(&self, state: &State) -> Vec<Candidate> {
        let state_dir = self.request.common.state_dir.as_ref().map(|folder| folder.value.join(DEFERRED));
        let mut candidates: Vec<Candidate> = saved(state_dir.as_deref());
        candidates.retain(|candidate| !state.foreign_deferred.contains(&candidate.file.to_string()));
        candidates.extend(saved(self.request.watch.overflow.as_deref()));
        let pg_wal = self.request.data_directory.pg_wal();
        for file in self.lost_and_there(state, &pg_wal) {
            candidates.push(Candidate { file, path: pg_wal.join(file.to_string()), place: Place::PgWal });
        }
        candidates.retain(|candidate| !self.unhealable.contains(&candidate.file.to_string()));
        // What has often failed waits until the others had their turn.
        let failed = |candidate: &Candidate| self.heal_failures.get(&candidate.file.to_string()).copied();
        candidates.sort_by_key(|candidate| failed(candidate).unwrap_or(0) / OFTEN);
        candidates
    }

    /// Pushes as many as one poll has time for. False when one failed.
    pub(super) fn repair(&mut self, candidates: Vec<Candidate>, primary: &Primary) -> bool {
        let started = Instant::now();
        let Some(archives) = self.look_before_repair(primary) else { return false };
        let (mut well, mut healed) = (true, Vec::new());
        for candidate in candidates {
            if self.is_told() || started.elapsed() > LIMIT {
                break;
            }
            if !self.is_still_wanted(&candidate) {
                continue;
            }
            match self.heal(&candidate, &archives) {
                Ok(()) if candidate.is_in_a_gap() => healed.push(candidate.file),
                Ok(()) => {}
                Err(_) if self.told => break,
                Err(why) => {
                    well = false;
                    if !self.goes_on_after(&candidate, &why) {
                        break;
                    }
                }
            }
        }
        say_healed(&healed);
        well
    }

    /// What the archive has already needs no push. Where this cluster's WAL lies in each repository; `None` where one can't
    /// say.
    fn look_before_repair(&mut self, primary: &Primary) -> Option<Vec<(u32, String)>> {
        let stanza = match self.info() {
            Ok(stanza) => stanza,
            Err(why) => {
                self.warn("repair", format!("nothing can be healed now: {}", why.shown(MESSAGE_LENGTH)));
                return None;
            }
        };
        let archives = self.archives(&stanza, primary.system_id);
        if archives.is_none() {
            let why = "not every repository can be asked for this cluster's archive";
            self.warn("repair", format!("nothing can be healed now: {why}"));
        } else {
            self.look_up(&stanza, primary);
        }
        archives
    }

    /// Whether a file is still kept or lost after the archive was looked through.
    fn is_still_wanted(&self, candidate: &Candidate) -> bool {
        let lost = |state: State| {
            let place = candidate.file.losable();
            place.is_some_and(|(segment, partial)| {
                state.gaps.open_gap_of(segment, partial, state.segment_size()).is_some()
            })
        };
        candidate.place == Place::Saved || self.ledger_state().is_some_and(lost)
    }

    /// Says why a file could not be pushed again. Whether it makes sense to go on with the others now.
    fn goes_on_after(&mut self, candidate: &Candidate, why: &NotHealed) -> bool {
        let name = candidate.file.to_string();
        if matches!(why, NotHealed::Recycled) {
            return true;
        }
        if why.is_about_the_file() {
            tracing::error!("{} can't be pushed again and is left where it is: {why}", candidate.path.display());
            self.unhealable.insert(name);
            return true;
        }
        self.warn("repair", format!("{name} could not be pushed again: {why}"));
        let failed = self.heal_failures.entry(name.clone()).or_insert(0);
        *failed += 1;
        if *failed >= TOO_OFTEN && candidate.is_in_a_gap() {
            self.unhealable.insert(name);
        }
        false
    }

    fn heal(&mut self, candidate: &Candidate, archives: &[(u32, String)]) -> Result<(), NotHealed> {
        let file = candidate.file;
        if candidate.place == Place::Saved {
            self.push_again(&file, &candidate.path, archives)?;
            checkpoint::reached("repair-pushed");
            self.healed(&file)?;
            checkpoint::reached("repair-healed");
            let failed = |error| NotHealed::Local(format!("it is stored, but not removed: {error}"));
            fs::remove_file(&candidate.path).map_err(failed)?;
            tracing::info!("{file} is stored: it was kept in {}", folder(&candidate.path).display());
            return Ok(());
        }
        let copy = self.copy_of(&candidate.path, &file)?;
        checkpoint::reached("repair-copied");
        let pushed = self.push_again(&file, &copy, archives);
        let _ = fs::remove_file(&copy);
        pushed?;
        checkpoint::reached("repair-pushed");
        self.healed(&file)?;
        checkpoint::reached("repair-healed");
        tracing::debug!("{file} is healed");
        Ok(())
    }

    /// Closes what a proven push heals, if it is in a gap.
    fn healed(&mut self, file: &WalFile) -> Result<(), NotHealed> {
        self.heal_failures.remove(&file.to_string());
        let Some((segment, partial)) = file.losable() else { return Ok(()) };
        let lost = |state: &State| state.gaps.open_gap_of(segment, partial, state.segment_size()).is_some();
        if !self.ledger_state().is_some_and(|state| lost(&state)) {
            return Ok(());
        }
        let (ledger, now) = (self.ledger.as_ref().ok_or_else(no_ledger)?, self.now());
        let change = |state: &mut State| {
            let size = state.segment_size();
            state.gaps.heal(file, now, size);
        };
        ledger.update(change).map(drop).map_err(|error| NotHealed::Local(crate::log::chain(&error)))
    }

    /// Removes what killed programs have left half written: copies to be pushed, and temporary files beside kept ones.
    pub(super) fn sweep(&mut self) {
        if self.swept.is_some_and(|at| at.elapsed() < LEFTOVER_AGE) {
            return;
        }
        self.swept = Some(Instant::now());
        let Some(folder) = self.ledger.as_ref().map(|ledger| ledger.folder().to_owned()) else { return };
        remove_old(&folder.join(COPIES), |_| true);
        let is_half = |name: &str| {
            let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
            name.is_some_and(|name| name.parse::<WalFile>().is_ok())
        };
        remove_old(&folder.join(DEFERRED), is_half);
        if let Some(overflow) = &self.request.watch.overflow {
            remove_old(overflow, is_half);
        }
    }

    /// A copy that PostgreSQL can't recycle, and that is known to be the file it is named after.
    fn copy_of(&self, path: &Path, file: &WalFile) -> Result<PathBuf, NotHealed> {
        let heal = self.ledger.as_ref().ok_or_else(no_ledger)?.folder().join(COPIES);
        let failed = |error: std::io::Error| NotHealed::Local(format!("can't copy it: {error}"));
        durable::create_private_folder(&heal).map_err(failed)?;
        let gone = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => NotHealed::Recycled,
            _ => failed(error),
        };
        let mut source = File::open(path).map_err(gone)?;
        let inode = source.metadata().map_err(failed)?.ino();
        durable::copy_into(&mut source, &heal, &file.to_string()).map_err(failed)?;
        let copy = heal.join(file.to_string());
        let unchanged = path.metadata().is_ok_and(|metadata| metadata.ino() == inode);
        let itself = file.losable().is_some_and(|(segment, _)| self.is_itself(segment, &copy));
        if unchanged && itself {
            return Ok(copy);
        }
        let _ = fs::remove_file(&copy);
        Err(NotHealed::Recycled)
    }

    /// The files of open gaps that still lie whole in `pg_wal`, oldest first.
    fn lost_and_there(&self, state: &State, pg_wal: &Path) -> Vec<WalFile> {
        if !state.gaps.any_open() {
            return Vec::new();
        }
        let size = state.segment_size();
        let is_lost = |file: &WalFile| {
            let lost = file.losable();
            lost.is_some_and(|(segment, partial)| state.gaps.open_gap_of(segment, partial, size).is_some())
        };
        let is_whole = |file: &WalFile| {
            let path = pg_wal.join(file.to_string());
            file.losable().is_some_and(|(segment, _)| self.is_itself(segment, &path))
        };
        let names = fs::read_dir(pg_wal).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().to_str()?.parse::<WalFile>().ok());
        let mut there: Vec<WalFile> = names.filter(|file| is_lost(file) && is_whole(file)).collect();
        there.sort_by_key(WalFile::to_string);
        there
    }

    /// Whether a file is, by its length and its first page, the segment of this cluster that its name says.
    fn is_itself(&self, segment: SegmentName, path: &Path) -> bool {
        let (Ok(file), Some(system_id)) = (File::open(path), self.system_id) else { return false };
        whole_segment(&file, segment, system_id, PageTimeline::UpToNamed).is_some()
    }
}

fn no_ledger() -> NotHealed {
    NotHealed::Local("there is no ledger".to_owned())
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

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Removes the files of a folder that nobody has touched for an hour and whose name is one of these.
fn remove_old(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let touched = entry.metadata().and_then(|file| file.modified()).ok();
        let is_old = touched.and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= LEFTOVER_AGE);
        if is_old && entry.file_name().to_str().is_some_and(&is_ours) {
            let _ = fs::remove_file(entry.path());
        }
    }
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
