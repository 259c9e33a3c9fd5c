//! Observing: what the decision of a poll needs, as plain values, and where each of them comes from.

use super::candidates::Candidate;
use super::cluster::Cluster;
use super::prover::is_unproven;
use super::{Watcher, look_up, marker};
use crate::decide::marker::wants_a_backup;
use crate::decide::watch::{Memory, Observation, Schedule, backoff};
use crate::epoch;
use crate::ledger::gaps::Cause;
use crate::ledger::state::State;
use crate::settings::{GapBackup, Seconds};

impl Watcher {
    /// What is to be seen now. `candidates`: what can be pushed again.
    pub(super) fn observe(&self, cluster: &Cluster, state: &State, candidates: &[Candidate]) -> Observation {
        let (now, primary) = (epoch::now(), &cluster.primary);
        let ours = state.push.last_failure.as_ref().map(|failure| failure.at);
        // What pgBackRest drops by itself is counted by nobody else.
        let dropped = state.gaps.open().filter(|gap| !gap.cause.was_found()).map(|gap| gap.last_at);
        let failures = primary.last_failed_at.into_iter().chain(ours).chain(dropped);
        Observation {
            now,
            gap: wants_a_backup(&state.gaps, marker::seconds(cluster), &cluster.repositories()),
            unchecked: look_up::is_unchecked(cluster, state),
            pushable: !candidates.is_empty(),
            healable: candidates.iter().any(|candidate| is_healable(cluster, state, candidate)),
            last_failure_at: failures.filter(|at| *at <= now).max(),
            backup_runs: self.backup.runs(),
            backup_locked: cluster.backup_is_locked(),
            others: self.regime.others.is_some(),
            unproven: is_unproven(cluster, &self.stamps),
            unwalked: self.prover.is_behind(cluster),
        }
    }

    /// What the parts remember, for the decision.
    pub(super) fn memory(&self) -> Memory {
        Memory {
            last_full_at: self.stamps.last_full_at,
            last_diff_at: self.stamps.last_diff_at,
            last_verify_at: self.stamps.last_verify_at,
            backup_failed_at: self.backup.failed_at,
            unsealed_at: self.backup.unsealed_at,
            check_tried_at: self.catalog.tried_at,
            waited_at: self.regime.waited_at,
            inconclusive_at: self.catalog.inconclusive_at,
            unreadable: self.catalog.unreadable,
            heal_failed_at: self.healer.failed_at,
            walk_failed_at: self.prover.walk_failed_at,
            unproven_at: self.prover.unproven_at,
            unproven_count: self.prover.unproven_count,
        }
    }

    /// The settings, as the decision takes them.
    pub(super) fn schedule(&self) -> Schedule {
        let watch = &self.tools.request.watch;
        Schedule {
            full: watch.intervals.full.get(),
            diff: watch.intervals.diff.get(),
            verify: watch.verify.get(),
            grace: watch.grace.get(),
            backoff: watch.backoff.map(Seconds::get),
            gap_diff: watch.gap_backup == GapBackup::Diff,
            heartbeat: watch.heartbeat,
        }
    }

    /// How long a failure is waited out now, in seconds.
    pub(super) fn backoff(&self) -> u64 {
        backoff(&self.memory(), &self.schedule())
    }
}

/// Whether a candidate is lost, and no backup is to be taken before it was pushed: what is only owed has no part in that, and
/// where a repository holds other content under its name only somebody's hands can make room for it.
fn is_healable(cluster: &Cluster, state: &State, candidate: &Candidate) -> bool {
    let Some((segment, partial)) = candidate.file.losable() else { return false };
    let gap = state.gaps.open_gap_of(segment, partial, state.segment_size()).filter(|_| candidate.is_in_a_gap());
    gap.is_some_and(|gap| gap.cause != Cause::ContentDiffers && gap.is_lost(&cluster.repositories()))
}
