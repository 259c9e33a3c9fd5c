//! The proof: what was reached is what was asked for.

use super::replay::Proof;
use super::{RestoreError, Work};
use crate::decide::restore::{Outcome, contradiction};

/// Compares the two, and says what a person must look at.
pub(super) fn compare(work: &Work<'_>, proof: &Proof) -> Result<(), RestoreError> {
    let (way, reached) = (&work.state.way, &work.state.reached);
    let outcome = Outcome { timeline: proof.timeline, position: proof.position, last_commit: reached.last_commit };
    // In the last segment there is at least one record.
    let least = way.end.saturating_sub(way.segment_bytes);
    if let Some(what) = contradiction(&work.state.wanted.target, way.timeline, least, &outcome) {
        return Err(RestoreError::Replay(what));
    }
    if !proof.collations.is_empty() {
        tracing::warn!(
            "this machine's libraries sort otherwise than the origin's: {}; rebuild the indexes that use these collations \
             (REINDEX), then ALTER COLLATION … REFRESH VERSION",
            proof.collations.join(", ")
        );
    }
    Ok(())
}
