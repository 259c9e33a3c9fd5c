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
/// marker that only acknowledged gaps explain.
#[must_use]
pub fn wants_a_backup(gaps: &Gaps, marked_at: Option<i64>) -> bool {
    let acknowledged = |at| gaps.any_open() && is_explained(gaps, at);
    gaps.any_unacknowledged() || marked_at.is_some_and(|at| !acknowledged(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::gaps::{Cause, Loss};
    use crate::pgbackrest::Class;
    use crate::wal::{SegmentName, SegmentSize, Timeline};

    #[test]
    fn a_marker_that_no_loss_explains_is_a_gap() {
        let mut gaps = Gaps::default();
        assert!(!wants_a_backup(&gaps, None) && wants_a_backup(&gaps, Some(500)));
        let segment = SegmentName::from_number(Timeline(1), 7, SegmentSize::DEFAULT).unwrap();
        let (class, cause) = (Class::Gone, Cause::InstantDrop);
        gaps.record(&Loss { segment, partial: false, class, cause, s3_code: None, at: 1_000 }, SegmentSize::DEFAULT);
        assert!(is_explained(&gaps, 1_060) && is_explained(&gaps, 940) && !is_explained(&gaps, 1_061));
        assert!(wants_a_backup(&gaps, None), "nobody has acknowledged it");
    }
}
