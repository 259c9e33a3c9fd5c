//! Which repositories lack a gap's files: each counts for itself.
//!
//! What no repository has is *lost*. What only some lack is *owed* to these, and can be paid as long as another has it. A
//! backup seals for the repository that it lies in, because a restore takes backup and WAL from one. A gap is open as long
//! as it is open in one of the repositories that are configured; one into which no backups are made needs nothing of what is
//! lost everywhere.

use super::{BackupStart, Gap, GapState, Gaps, LossesBefore};
use crate::wal::{SegmentSize, WalFile};
use std::collections::BTreeMap;

/// After so many files that were taken out of their gaps what touches is joined again.
const TIDY_AFTER: usize = 500;

/// The repositories, by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Repositories<'r> {
    /// All that are configured.
    pub configured: &'r [u32],
    /// Those into which backups are made.
    pub backed_up: &'r [u32],
}

impl Gap {
    /// Whether a repository lacks its files.
    #[must_use]
    pub fn lacks(&self, repository: u32) -> bool {
        self.repositories.as_ref().is_none_or(|lack| lack.contains(&repository))
    }

    /// Whether it is still open in a repository: that one lacks its files, and no backup there begins after it.
    #[must_use]
    pub fn is_open_in(&self, repository: u32) -> bool {
        self.state == GapState::Open && self.lacks(repository) && !self.sealed_in.contains(&repository)
    }

    /// Whether none of these repositories has its files.
    #[must_use]
    pub fn is_lost(&self, configured: &[u32]) -> bool {
        configured.iter().all(|key| self.lacks(*key))
    }

    /// Whether it is open, and everywhere: no repository has its files, nor a backup that begins after it.
    #[must_use]
    pub fn is_open_everywhere(&self, configured: &[u32]) -> bool {
        self.state == GapState::Open && configured.iter().all(|key| self.is_open_in(*key))
    }

    /// Whether it is open, and another of these repositories has its files.
    #[must_use]
    pub fn is_owed(&self, configured: &[u32]) -> bool {
        self.state == GapState::Open && !self.is_lost(configured)
    }
    /// Closes it where it is open in none of the repositories. What is lost no push brings, so a repository without backups of its
    /// own waits for nothing.
    fn settle(&mut self, repositories: Repositories<'_>, at: i64) -> bool {
        let configured = repositories.configured;
        let is_lost = self.is_lost(configured);
        let waits = |key: &u32| self.is_open_in(*key) && (!is_lost || repositories.backed_up.contains(key));
        if self.state != GapState::Open || configured.is_empty() || configured.iter().any(waits) {
            return false;
        }
        if is_lost || configured.iter().any(|key| self.sealed_in.contains(key)) {
            (self.state, self.closed_at) = (GapState::Sealed, Some(at));
        } else {
            (self.state, self.closed_at) = (GapState::Healed, Some(at));
        }
        true
    }

    /// Takes over what another one claims that becomes part of this one: the whole lacks what a part lacks.
    pub(super) fn absorb_repositories(&mut self, later: Option<Vec<u32>>, later_sealed: &[u32]) {
        self.repositories = self.repositories.take().zip(later).map(|(mut own, later)| {
            own.extend(later);
            own.sort_unstable();
            own.dedup();
            own
        });
        self.sealed_in.retain(|key| later_sealed.contains(key));
    }
}

impl Gaps {
    /// Notes which of the configured repositories lack a file: the others list it. Closed is what none lacks any more. How many
    /// files were healed by that.
    pub fn note_lacking(
        &mut self,
        lacking: &BTreeMap<WalFile, Vec<u32>>,
        repositories: Repositories<'_>,
        at: i64,
        size: SegmentSize,
    ) -> usize {
        let mut healed = 0;
        for (count, (file, lack)) in lacking.iter().enumerate() {
            let Some((segment, partial)) = file.losable() else { continue };
            let Some(gap) = self.open_gap_of(segment, partial, size) else { continue };
            let known: Vec<u32> = repositories.configured.iter().copied().filter(|key| gap.lacks(*key)).collect();
            if known == *lack {
                continue;
            }
            let Some(alone) = self.take_out_file(file, size) else { continue };
            let mut alone = Gap { repositories: Some(lack.clone()), ..alone };
            alone.sealed_in.retain(|key| lack.contains(key));
            healed += usize::from(alone.settle(repositories, at) && alone.state == GapState::Healed);
            self.gaps.push(alone);
            if (count + 1) % TIDY_AFTER == 0 {
                self.tidy(size);
            }
        }
        self.tidy(size);
        healed
    }

    /// Seals, in the repository of a backup, every open gap that ended before it began. How many that were: those that are
    /// open elsewhere are among them.
    pub fn seal_in(
        &mut self,
        repository: u32,
        repositories: Repositories<'_>,
        backup: &BackupStart,
        losses: LossesBefore<'_>,
        (at, size): (i64, SegmentSize),
    ) -> usize {
        let mut sealed = 0;
        for gap in &mut self.gaps {
            if gap.is_open_in(repository) && gap.ended_before(backup, size) && losses.hold(gap, size) {
                gap.sealed_in.push(repository);
                gap.sealed_in.sort_unstable();
                gap.sealed_by = Some(backup.label.clone());
                sealed += 1;
            }
            gap.settle(repositories, at);
        }
        self.tidy(size);
        sealed
    }
}

#[cfg(test)]
#[path = "repositories_tests.rs"]
mod tests;
