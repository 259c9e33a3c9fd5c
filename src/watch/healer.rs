//! The healer: what was given up, and still exists, is pushed again.
//!
//! First the deferred `.history` and `.backup` files, then the overflow folder, then the gaps, the oldest first. It is quick
//! about it, because the next checkpoint recycles what lies in `pg_wal`: batches of files go out together, and where one poll
//! has not come to the end the next one begins at once.

use super::calls::{Archive, MESSAGE_LENGTH};
use super::candidates::{Candidate, candidates};
use super::cluster::{Cluster, is_lost};
use super::compare::{note_differs, note_in_ledger};
use super::drain::{FEW, Outcome, push_batch};
use super::look_up::look_up;
use super::not_healed::NotHealed;
use crate::checkpoint;
use crate::decide::heal::{AfterTrouble, after_trouble, round};
use crate::epoch;
use crate::ledger::LedgerError;
use crate::ledger::state::State;
use crate::log::Fields;
use crate::pgbackrest::info::Stanza;
use crate::space::Volume;
use crate::wal::{SegmentSize, WalFile};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one poll may spend on it.
const LIMIT: Duration = Duration::from_secs(45);
/// The most files of a batch, and the most bytes of their copies.
const MOST_FILES: usize = 100;
const MOST_BYTES: u64 = 1 << 30;
/// Where a repository holds other content under a file's name, the file has its turn again after so long.
const DIFFERS_WAIT: Duration = Duration::from_mins(10);

/// What is remembered of files that could not be pushed again.
#[derive(Debug, Default)]
pub(super) struct Healer {
    /// When one last could not be, in seconds since 1970.
    pub(super) failed_at: Option<i64>,
    /// How often each one, by its name.
    failures: BTreeMap<String, u32>,
    /// The names of those that are left where they are.
    left: BTreeSet<String>,
    /// By the names of files, where a repository holds other content under them, and when that was last looked at.
    differing: BTreeMap<String, (String, Instant)>,
    /// Whether the last poll has healed something: what a walk had missed is there now.
    pub(super) healed: bool,
    /// Whether the time of the last poll was over before all had their turn.
    pub(super) goes_on: bool,
}

impl Healer {
    /// Everything that can be pushed again now, in the order in which it should be: what has often failed waits until the
    /// others had their turn.
    pub(super) fn candidates(&self, cluster: &Cluster, state: &State) -> Vec<Candidate> {
        let mut candidates = candidates(cluster, state);
        let waits = |name: &String| self.differing.get(name).is_some_and(|(_, at)| at.elapsed() < DIFFERS_WAIT);
        let is_left = |name: &String| self.left.contains(name) || waits(name);
        candidates.retain(|candidate| !is_left(&candidate.file.to_string()));
        let failures = |candidate: &Candidate| self.failures.get(&candidate.file.to_string()).copied();
        candidates.sort_by_key(|candidate| round(failures(candidate).unwrap_or(0)));
        candidates
    }

    /// Pushes as many as one poll has time for.
    pub(super) fn heal(&mut self, cluster: &Cluster, candidates: Vec<Candidate>) {
        let all_well = self.heal_all(cluster, candidates);
        self.failed_at = if all_well { None } else { Some(epoch::now()) };
        self.goes_on &= all_well;
    }

    /// False when one could not be pushed.
    fn heal_all(&mut self, cluster: &Cluster, mut candidates: Vec<Candidate>) -> bool {
        let started = Instant::now();
        (self.goes_on, self.healed) = (false, false);
        let Some((stanza, archives)) = look_before(cluster) else { return false };
        // The look through the archive may have healed some.
        let state = cluster.state().unwrap_or_default();
        candidates.retain(|candidate| !candidate.is_in_a_gap() || is_lacking(&state, &candidate.file, &archives));
        let (mut all_well, mut healed) = (true, Vec::new());
        for batch in batches(cluster, candidates) {
            self.goes_on = cluster.must_end() || started.elapsed() > LIMIT;
            if self.goes_on {
                break;
            }
            let outcomes = match push_batch(cluster, batch, &archives) {
                Ok(outcomes) => outcomes,
                Err(_) if cluster.must_end() => break,
                Err(why) => {
                    cluster.tools.log.warn("repair", &format!("nothing can be healed now: {why}"));
                    all_well = false;
                    break;
                }
            };
            let (stored, failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, result)| result.is_ok());
            let nothing = stored.is_empty() && failed.is_empty();
            let goes_on = self.settle(cluster, stored.into_iter().map(|(candidate, _)| candidate), &mut healed);
            if nothing || cluster.must_end() {
                break;
            }
            if !goes_on || !self.goes_on_after_all(cluster, failed, &mut all_well) {
                all_well = false;
                break;
            }
        }
        if !all_well && archives.len() < cluster.repositories().len() {
            // What failed for one repository the others may have now.
            look_up(cluster, &stanza);
        }
        self.healed = !healed.is_empty();
        say_healed(&healed);
        all_well
    }

    /// Closes what is stored, then deletes our copies of it. False where that could not be done.
    fn settle(
        &mut self,
        cluster: &Cluster,
        stored: impl Iterator<Item = Candidate>,
        healed: &mut Vec<WalFile>,
    ) -> bool {
        let stored: Vec<Candidate> = stored.collect();
        checkpoint::reached("repair-pushed");
        for candidate in &stored {
            let name = candidate.file.to_string();
            self.failures.remove(&name);
            self.differing.remove(&name);
        }
        if let Err(error) = note_healed(cluster, &stored) {
            tracing::error!("{}; what was stored just now stays on record as lost", crate::log::chain(&error));
            return false;
        }
        checkpoint::reached("repair-healed");
        let (lost, kept): (Vec<_>, Vec<_>) = stored.into_iter().partition(Candidate::is_in_a_gap);
        healed.extend(lost.into_iter().map(|candidate| candidate.file));
        remove_kept(&kept)
    }

    /// Whether the next batch has its turn after what could not be pushed in this one.
    fn goes_on_after_all(&mut self, cluster: &Cluster, failed: Vec<Outcome>, all_well: &mut bool) -> bool {
        for (candidate, result) in failed {
            let Err(why) = result else { continue };
            if let NotHealed::Differs { repository, there } = &why {
                self.note_differs(cluster, &candidate, *repository, there);
                continue;
            }
            *all_well &= matches!(why, NotHealed::Recycled);
            if !self.goes_on_after(cluster, &candidate, &why) {
                return false;
            }
        }
        true
    }

    /// Says why a file could not be pushed again. Whether the next one has its turn now.
    fn goes_on_after(&mut self, cluster: &Cluster, candidate: &Candidate, why: &NotHealed) -> bool {
        let name = candidate.file.to_string();
        let failures = self.failures.get(&name).copied().unwrap_or(0) + 1;
        match after_trouble(why.trouble(), failures, candidate.is_in_a_gap()) {
            AfterTrouble::GoOn => true,
            AfterTrouble::LeaveFile => {
                let is_new = if why.trouble().is_of_the_name() {
                    note_in_ledger(cluster, &candidate.file);
                    self.differing.insert(name, (String::new(), Instant::now())).is_none()
                } else {
                    self.left.insert(name)
                };
                if is_new {
                    let path = candidate.path.display();
                    let line = format!("{path} can't be pushed again and is left where it is: {why}");
                    Fields::about(&candidate.file).error(&line);
                }
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

    fn note_differs(&mut self, cluster: &Cluster, candidate: &Candidate, repository: u32, there: &str) {
        let before = self.differing.insert(candidate.file.to_string(), (there.to_owned(), Instant::now()));
        if before.is_none_or(|(known, _)| known != there) {
            note_differs(cluster, &candidate.file, (repository, there), &candidate.path);
        }
    }
}

/// The batches in which they are pushed: first, one by one, what can't be lost; then the rest, many at a time, as far as their
/// copies take an eighth of the free space at most.
fn batches(cluster: &Cluster, candidates: Vec<Candidate>) -> Vec<Vec<Candidate>> {
    let size = cluster.primary.segment_size.unwrap_or(SegmentSize::DEFAULT).bytes();
    let room = Volume::of(cluster.ledger.folder()).free.unwrap_or(MOST_BYTES) / 8;
    let most = usize::try_from(room.min(MOST_BYTES) / size).unwrap_or(1).clamp(1, MOST_FILES);
    let (losable, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.file.losable().is_some());
    let in_turn = |mut files: Vec<Candidate>, most: usize| {
        let mut batches = Vec::new();
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(most));
            batches.push(std::mem::replace(&mut files, rest));
        }
        batches
    };
    let mut batches = in_turn(others, FEW);
    batches.extend(in_turn(losable, most));
    batches
}

/// Closes what proven pushes heal, as far as it is in gaps.
fn note_healed(cluster: &Cluster, stored: &[Candidate]) -> Result<(), LedgerError> {
    let state = cluster.state().unwrap_or_default();
    // A repository that takes files fails no longer, whether or not the archiver has anything for it.
    let fails = !stored.is_empty() && state.push.consecutive_failures > 0;
    let lost: Vec<WalFile> =
        stored.iter().map(|candidate| candidate.file).filter(|file| is_lost(&state, file)).collect();
    if lost.is_empty() && !fails {
        return Ok(());
    }
    let now = epoch::now();
    let change = |state: &mut State| {
        state.push.works_again();
        let size = state.segment_size();
        for file in &lost {
            state.gaps.heal(file, now, size);
        }
    };
    cluster.ledger.update(change).map(drop)
}

/// Deletes our copies of what is stored. False where one could not be.
fn remove_kept(kept: &[Candidate]) -> bool {
    let mut removed = Vec::new();
    for candidate in kept {
        match fs::remove_file(&candidate.path) {
            Ok(()) => removed.push(candidate),
            Err(error) => {
                let path = candidate.path.display();
                tracing::error!("{path} is stored, but could not be removed: {error}; it is pushed again");
            }
        }
    }
    let folder = |candidate: &Candidate| candidate.path.parent().map(Path::to_owned).unwrap_or_default();
    match removed.as_slice() {
        [first, .., last] if removed.len() > FEW => tracing::info!(
            "{} files are stored, {} to {}: they were kept in {}",
            removed.len(),
            first.file,
            last.file,
            folder(first).display()
        ),
        _ => {
            for candidate in &removed {
                let line = format!("{} is stored: it was kept in {}", candidate.file, folder(candidate).display());
                Fields::about(&candidate.file).info(&line);
            }
        }
    }
    removed.len() == kept.len()
}

/// Whether one of these repositories lacks a lost file: what only others are owed can't be paid while they can't be asked.
fn is_lacking(state: &State, file: &WalFile, archives: &[Archive]) -> bool {
    let gap = |(segment, partial)| state.gaps.open_gap_of(segment, partial, state.segment_size());
    let gap = file.losable().and_then(gap);
    gap.is_some_and(|gap| archives.iter().any(|archive| gap.lacks(archive.repository)))
}

/// What the archive has already needs no push. Where this cluster's WAL lies in each repository that can be read; `None` where
/// none can.
fn look_before(cluster: &Cluster) -> Option<(Stanza, Vec<Archive>)> {
    let not_now = |why: &str| cluster.tools.log.warn("repair", &format!("nothing can be healed now: {why}"));
    let stanza = match cluster.info() {
        Ok(stanza) => stanza,
        Err(why) => {
            not_now(&why.shown(MESSAGE_LENGTH));
            return None;
        }
    };
    let archives = cluster.readable_archives(&stanza);
    if archives.is_empty() {
        not_now("no repository can be queried for this cluster's archive");
        return None;
    }
    look_up(cluster, &stanza);
    Some((stanza, archives))
}

/// One line, however many they are.
fn say_healed(files: &[WalFile]) {
    match files {
        [] => {}
        [one] => Fields::about(one).info(&format!("{one} is healed: every repository has it now")),
        [first, .., last] => {
            tracing::info!("{} files are healed, {first} to {last}: every repository has them now", files.len());
        }
    }
}
