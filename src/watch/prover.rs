//! The prover: shows by the archive's own listing what is there and what is missing.
//!
//! PostgreSQL tries a failed file again, so failures alone lose nothing; but whether all of them ended well is written
//! nowhere. The listing of the archive shows it. Where it can't be shown, a backup makes the question idle.

use super::calls::MESSAGE_LENGTH;
use super::cluster::Cluster;
use super::look_up::{look_up, note_checked};
use super::seal::seal_by_catalog;
use super::stamps::Stamps;
use super::walk::walk;
use crate::decide::watch::{Failures, tries_used};
use crate::epoch;
use crate::ledger::state::Place;
use crate::pgbackrest::info::Stanza;
use crate::wal::SegmentName;

/// What is remembered of walks and proofs.
#[derive(Debug, Default)]
pub(super) struct Prover {
    /// Up to which segment every listing has been walked.
    walked: WalkedTo,
    /// When it last could not be shown that nothing is missing, in seconds since 1970.
    pub(super) unproven_at: Option<i64>,
    /// How often in a row that could not be shown.
    pub(super) unproven_count: u32,
}

/// Up to where a walk went, and where: on another node, or in other repositories, it has not been.
#[derive(Debug, Default)]
struct WalkedTo {
    place: Place,
    segment: Option<SegmentName>,
}

impl WalkedTo {
    fn at(&self, place: &Place) -> Option<SegmentName> {
        self.segment.filter(|_| self.place == *place)
    }
}

impl Prover {
    /// Shows that nothing is missing although pushes have failed.
    pub(super) fn prove(&mut self, cluster: &Cluster, stamps: &mut Stamps) {
        match cluster.info() {
            Ok(stanza) => self.hold_against_archive(cluster, &stanza, stamps),
            Err(why) => {
                let why = why.shown(MESSAGE_LENGTH);
                cluster.tools.log.warn("listing", &format!("it can't be shown that nothing is missing: {why}"));
                self.not_proven(1);
            }
        }
    }

    /// Holds the ledger against the archive: heals what is there, records what is missing, seals what a backup in the
    /// catalog began after.
    pub(super) fn hold_against_archive(&mut self, cluster: &Cluster, stanza: &Stanza, stamps: &mut Stamps) {
        let looked_up = look_up(cluster, stanza);
        let place = cluster.place();
        let mut walked = self.walked.at(&place);
        let tries = tries_used(walk(cluster, stanza, &mut walked));
        self.walked = WalkedTo { place, segment: walked };
        if looked_up && tries.is_none() {
            note_checked(cluster);
        }
        if is_unproven(cluster, stamps) && !cluster.must_end() {
            match tries {
                None => {
                    tracing::info!("archiving had failed and has caught up: nothing is missing but what is on record");
                    self.note_proven(cluster, stamps, cluster.failures());
                }
                Some(tries) => self.not_proven(tries),
            }
        }
        seal_by_catalog(cluster, stanza);
    }

    /// Before a backup is taken for a gap: closes what needs none. False when no repository can be read.
    pub(super) fn look_up_before_backup(cluster: &Cluster) -> bool {
        let Ok(stanza) = cluster.info() else { return true };
        if !stanza.repo.is_empty() && !stanza.repo.iter().any(|repo| stanza.is_readable(repo.key)) {
            cluster.tools.log.warn("backup", "no backup is begun: no repository can be read");
            return false;
        }
        look_up(cluster, &stanza);
        seal_by_catalog(cluster, &stanza);
        true
    }

    /// Nothing is missing although pushes had failed so often.
    pub(super) fn note_proven(&mut self, cluster: &Cluster, stamps: &mut Stamps, failures: Failures) {
        (self.unproven_at, self.unproven_count) = (None, 0);
        stamps.note_proven(cluster, failures);
    }

    fn not_proven(&mut self, tries: u32) {
        self.unproven_at = Some(epoch::now());
        self.unproven_count = self.unproven_count.saturating_add(tries);
    }
}

/// Whether pushes have failed since it was last shown that nothing is missing, and have succeeded since.
pub(super) fn is_unproven(cluster: &Cluster, stamps: &Stamps) -> bool {
    cluster.failures().are_newer_than(stamps.proven) && cluster.primary.caught_up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_other_repositories_begins_anew() {
        let here = Place { control_inode: Some(1), repositories: Some(Vec::new()) };
        let segment: Option<SegmentName> = "000000010000000000000007".parse().ok();
        let walked = WalkedTo { place: here.clone(), segment };
        assert_eq!((walked.at(&here), segment.is_some()), (segment, true));
        for other in [Place { control_inode: Some(2), ..here.clone() }, Place { repositories: None, ..here.clone() }] {
            assert_eq!(walked.at(&other), None, "{other:?}");
        }
    }
}
