//! The prover: shows by the archive's own listing what is there and what is missing.
//!
//! PostgreSQL tries a failed file again, so failures alone lose nothing; but whether all of them ended well is written
//! nowhere. The listing of the archive shows it. Where it can't be shown, a backup makes the question idle.

use super::calls::MESSAGE_LENGTH;
use super::cluster::Cluster;
use super::look_up::{look_up, note_checked};
use super::seal::seal_by_catalog;
use super::stamps::Stamps;
use super::walk::{newest_archived, walk};
use crate::decide::watch::{Failures, Walk, tries_used};
use crate::epoch;
use crate::ledger::state::Place;
use crate::pgbackrest::info::{Backup, Stanza};
use crate::wal::SegmentName;

/// What is remembered of walks and proofs.
#[derive(Debug, Default)]
pub(super) struct Prover {
    /// What this watcher has walked to its end.
    walked: WalkedTo,
    /// When a listing last could not be walked, in seconds since 1970.
    pub(super) walk_failed_at: Option<i64>,
    /// When it last could not be shown that nothing is missing, in seconds since 1970.
    pub(super) unproven_at: Option<i64>,
    /// How often in a row that could not be shown.
    pub(super) unproven_count: u32,
}

/// What a look before a backup came to.
pub(super) enum LookedUp {
    /// A repository can be read.
    Readable(Stanza),
    /// None can.
    Unreadable,
    /// There is no answer.
    NoAnswer,
}

/// Up to where the last walk to the end of every listing went, and where: on another node, or in other repositories, this
/// watcher has not been.
#[derive(Debug, Default)]
struct WalkedTo {
    place: Place,
    /// The newest archived segment then; `None` before the first walk to the end.
    segment: Option<SegmentName>,
    /// Whether the last walk came to the end.
    is_whole: bool,
}

impl WalkedTo {
    fn at(&self, place: &Place) -> Option<SegmentName> {
        self.segment.filter(|_| self.place == *place)
    }

    /// Whether everything up to a segment has been walked there.
    fn holds(&self, place: &Place, newest: SegmentName) -> bool {
        self.is_whole && self.at(place) == Some(newest)
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
                self.walk_failed_at = Some(epoch::now());
                if is_unproven(cluster, stamps) {
                    self.not_proven(1);
                }
            }
        }
    }

    /// Whether more is archived than the last walk has looked for.
    pub(super) fn is_behind(&self, cluster: &Cluster) -> bool {
        newest_archived(cluster).is_some_and(|newest| !self.walked.holds(&cluster.place(), newest))
    }

    /// Has the next poll walk: what was missing has been stored since.
    pub(super) fn walk_again(&mut self) {
        self.walked.is_whole = false;
    }

    /// Walks on, as far as there is time.
    pub(super) fn walk(&mut self, cluster: &Cluster, stanza: &Stanza) -> Walk {
        let place = cluster.place();
        let before = self.walked.at(&place);
        let shown = walk(cluster, stanza, before.is_none());
        let is_whole = shown == Walk::Whole;
        let segment = if is_whole { newest_archived(cluster) } else { before };
        self.walked = WalkedTo { place, segment, is_whole };
        let failed = matches!(shown, Walk::Broken | Walk::TooLong);
        self.walk_failed_at = failed.then(epoch::now);
        shown
    }

    /// Holds the ledger against the archive: heals what is there, records what is missing, seals what a backup in the
    /// catalog began after.
    pub(super) fn hold_against_archive(&mut self, cluster: &Cluster, stanza: &Stanza, stamps: &mut Stamps) {
        let looked_up = look_up(cluster, stanza);
        let tries = tries_used(self.walk(cluster, stanza));
        if looked_up && tries.is_none() {
            note_checked(cluster);
        }
        if is_unproven(cluster, stamps) && !cluster.must_end() {
            match tries {
                None => {
                    tracing::info!(
                        "archiving had failed and has caught up: nothing is missing except what is on record"
                    );
                    self.note_proven(cluster, stamps, cluster.failures());
                }
                Some(tries) => self.not_proven(tries),
            }
        }
        self.prove_by_catalog(cluster, stanza, stamps);
        seal_by_catalog(cluster, stanza);
    }

    /// Before a backup: closes what needs none.
    pub(super) fn look_up_before_backup(&mut self, cluster: &Cluster, stamps: &mut Stamps) -> LookedUp {
        let Ok(stanza) = cluster.info() else { return LookedUp::NoAnswer };
        if !stanza.repo.is_empty() && !stanza.repo.iter().any(|repo| stanza.is_readable(repo.key)) {
            cluster.tools.log.warn("backup", "no backup is begun: no repository can be read");
            return LookedUp::Unreadable;
        }
        look_up(cluster, &stanza);
        self.prove_by_catalog(cluster, &stanza, stamps);
        seal_by_catalog(cluster, &stanza);
        LookedUp::Readable(stanza)
    }

    /// A backup that began after the last failure makes idle what was missing before it, whoever took it.
    fn prove_by_catalog(&mut self, cluster: &Cluster, stanza: &Stanza, stamps: &mut Stamps) {
        let primary = &cluster.primary;
        let Some(failed_at) = primary.last_failed_at.filter(|_| is_unproven(cluster, stamps)) else { return };
        let proves = |backup: &Backup| {
            backup.archive.start.map(SegmentName::timeline) == primary.timeline && backup.timestamp.start > failed_at
        };
        if primary.timeline.is_some() && stanza.good_backups(primary.system_id).any(proves) {
            tracing::info!("archiving had failed and has caught up, and a backup has begun since");
            self.note_proven(cluster, stamps, cluster.failures());
        }
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
        let mut walked = WalkedTo { place: here.clone(), segment, is_whole: true };
        assert_eq!((walked.at(&here), segment.is_some()), (segment, true));
        assert!(walked.holds(&here, segment.unwrap()));
        for other in [Place { control_inode: Some(2), ..here.clone() }, Place { repositories: None, ..here.clone() }] {
            assert_eq!(walked.at(&other), None, "{other:?}");
            assert!(!walked.holds(&other, segment.unwrap()), "{other:?}");
        }
        walked.is_whole = false;
        assert!(!walked.holds(&here, segment.unwrap()), "it goes on");
    }
}
