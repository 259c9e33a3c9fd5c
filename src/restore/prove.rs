//! The proof: what was reached is what was asked for.

use super::cut_off;
use super::replay::Proof;
use super::{RestoreError, Work};
use crate::decide::restore::{Outcome, contradiction};

/// Compares the two, and says what a person must look at.
pub(super) fn compare(work: &Work<'_>, proof: &Proof) -> Result<(), RestoreError> {
    let (way, reached) = (&work.state.way, &work.state.reached);
    let (timeline, position, last_commit) = (proof.timeline, proof.position, reached.last_commit);
    let outcome = Outcome { timeline, position, last_commit, absent: cut_off::absent(work) };
    if let Some(what) = contradiction(&work.state.wanted.target, way.timeline, way.last(), &outcome) {
        return Err(RestoreError::Replay(what));
    }
    if let Some(indexes) = proof.to_rebuild.as_ref().filter(|indexes| !indexes.is_empty()) {
        tracing::warn!(
            "this machine's libraries may sort differently from the origin's, so these indexes may be wrong: {}; \
             rebuild them (REINDEX INDEX), then ALTER COLLATION or ALTER DATABASE … REFRESH COLLATION VERSION",
            indexes.join(", ")
        );
    }
    Ok(())
}
