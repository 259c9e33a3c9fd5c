//! What the gap marker, `.pgbackrest_gap_pending`, means beside the ledger.
//!
//! Push records a loss in the ledger and then writes the marker; so a marker of about the same time is that loss's, and
//! another one is somebody else's sign of a loss that no ledger knows.

use crate::ledger::gaps::Gaps;

/// How long push may take from the record of a loss to the marker, in seconds.
const MARKING: i64 = 60;

/// Whether the losses on record explain a marker that was written at `marked_at`, in seconds since 1970.
#[must_use]
pub fn is_explained(gaps: &Gaps, marked_at: i64) -> bool {
    let around = |at: i64| at.saturating_sub(MARKING)..=at.saturating_add(MARKING);
    gaps.iter().any(|gap| around(gap.last_at).contains(&marked_at))
}

/// Whether a gap wants a backup of its own. An acknowledged one waits for the next that is taken anyway, and so does a
/// marker that only acknowledged gaps explain. What another of the configured repositories has is a debt, and can be paid
/// without a backup; and where one of them has a backup since, the others get theirs with the next look at the catalog.
#[must_use]
pub fn wants_a_backup(gaps: &Gaps, marked_at: Option<i64>, configured: &[u32]) -> bool {
    let explained = |at| gaps.any_open() && is_explained(gaps, at);
    let wants = gaps.open().any(|gap| gap.acknowledged.is_none() && gap.is_open_everywhere(configured));
    wants || marked_at.is_some_and(|at| !explained(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::gaps::{BackupStart, Cause, Loss, LossesBefore};
    use crate::pgbackrest::Class;
    use crate::wal::{SegmentName, SegmentSize, Timeline};

    #[test]
    fn a_marker_that_no_loss_explains_is_a_gap() {
        let mut gaps = Gaps::default();
        assert!(!wants_a_backup(&gaps, None, &[1]) && wants_a_backup(&gaps, Some(500), &[1]));
        let segment = SegmentName::from_number(Timeline(1), 7, SegmentSize::DEFAULT).unwrap();
        let (class, cause) = (Class::Gone, Cause::InstantDrop);
        gaps.record(&Loss { segment, partial: false, class, cause, s3_code: None, at: 1_000 }, SegmentSize::DEFAULT);
        assert!(is_explained(&gaps, 1_060) && is_explained(&gaps, 940) && !is_explained(&gaps, 1_061));
        assert!(wants_a_backup(&gaps, None, &[1]), "nobody has acknowledged it");
    }

    #[test]
    fn what_another_repository_has_wants_no_backup() {
        let mut gaps = Gaps::default();
        let segment = SegmentName::from_number(Timeline(1), 7, SegmentSize::DEFAULT).unwrap();
        let (class, cause) = (Class::Gone, Cause::InstantDrop);
        let loss = Loss { segment, partial: false, class, cause, s3_code: None, at: 1_000 };
        gaps.record_in(Some(vec![2]), &loss, SegmentSize::DEFAULT);
        assert!(!wants_a_backup(&gaps, Some(1_010), &[1, 2]));
        assert!(wants_a_backup(&gaps, None, &[2]), "the one that had it is configured no longer");
    }

    #[test]
    fn what_a_backup_in_one_repository_has_left_behind_is_waited_for_in_the_other() {
        let mut gaps = Gaps::default();
        let segment = SegmentName::from_number(Timeline(1), 7, SegmentSize::DEFAULT).unwrap();
        let (class, cause) = (Class::Gone, Cause::InstantDrop);
        let loss = Loss { segment, partial: false, class, cause, s3_code: None, at: 1_000 };
        gaps.record(&loss, SegmentSize::DEFAULT);
        let lsn = 100 * SegmentSize::DEFAULT.bytes();
        let backup = BackupStart { label: "F".to_owned(), timeline: Timeline(1), lsn };
        let losses = LossesBefore::StartedAt(i64::MAX);
        assert_eq!(gaps.seal_in(1, &[1, 2], &backup, losses, (9, SegmentSize::DEFAULT)), 1);
        assert!(gaps.any_open() && !wants_a_backup(&gaps, Some(1_010), &[1, 2]));
        assert!(wants_a_backup(&gaps, None, &[2]), "the other one alone");
    }
}
