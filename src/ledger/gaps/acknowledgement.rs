//! Acknowledged gaps: a person has said that one is known and will not be closed.
//!
//! The word holds for what was lost when it was given, and for nothing else: a later loss beside the gap stays apart,
//! and where gaps must be joined to bound the ledger, the word is dropped rather than spread. Either way more is claimed
//! to need a person than does, never less.

use super::{Acknowledgement, Gap, GapState, Gaps};
use crate::wal::SegmentSize;
use std::str::FromStr;

/// Acknowledgements that are kept: with the longest reasons they fit a slot beside all gaps.
pub(super) const ACKNOWLEDGED_KEPT: usize = 64;
/// The longest reason, in bytes.
pub(super) const REASON_BYTES: usize = 200;

/// Why a gap is left open: one line, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = BadReason;

    fn from_str(text: &str) -> Result<Self, BadReason> {
        let text = text.trim();
        match text {
            "" => Err(BadReason("it is empty: say why the gap will not be closed")),
            _ if text.chars().any(char::is_control) => {
                Err(BadReason("it contains a control character: write one line"))
            }
            _ if text.len() > REASON_BYTES => Err(BadReason("it is longer than 200 bytes")),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Why a text is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReason(&'static str);

/// Why a gap can't be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAcknowledged {
    /// There is no such gap.
    #[error("the ledger knows no gap {0}")]
    Unknown(u64),
    /// It needs no word any more.
    #[error("gap {0} is {state} already: it does not affect the verdict", state = .1.as_str())]
    Closed(u64, GapState),
    /// The ledger has no room for more.
    #[error("{ACKNOWLEDGED_KEPT} open gaps are acknowledged already, and the ledger has room for no more")]
    TooMany,
}

impl Gaps {
    /// Whether any gap is open that nobody has acknowledged.
    #[must_use]
    pub fn any_unacknowledged(&self) -> bool {
        self.open().any(|gap| gap.acknowledged.is_none())
    }

    /// Notes that an open gap is known and stays; a second word on it replaces the first. Returns the gap.
    ///
    /// # Errors
    /// When there is no such gap, it is closed, or there is no room.
    pub fn acknowledge(
        &mut self,
        id: u64,
        reason: &Reason,
        at: i64,
        size: SegmentSize,
    ) -> Result<Gap, NotAcknowledged> {
        let others = self.open().filter(|gap| gap.id != id && gap.acknowledged.is_some()).count();
        let gap = self.gaps.iter_mut().find(|gap| gap.id == id).ok_or(NotAcknowledged::Unknown(id))?;
        if gap.state != GapState::Open {
            return Err(NotAcknowledged::Closed(id, gap.state));
        }
        if others >= ACKNOWLEDGED_KEPT {
            return Err(NotAcknowledged::TooMany);
        }
        gap.acknowledged = Some(Acknowledgement { at, reason: reason.0.clone() });
        let acknowledged = gap.clone();
        self.tidy(size);
        Ok(acknowledged)
    }

    /// Forgets the acknowledgements that are too many: those of closed gaps first, then the oldest. Healing a gap in
    /// many places makes many of one.
    pub(super) fn bound_acknowledgements(&mut self) {
        let acknowledged = self.gaps.iter().filter_map(|gap| {
            let at = gap.acknowledged.as_ref()?.at;
            Some((gap.state == GapState::Open, at, gap.id))
        });
        let mut acknowledged: Vec<_> = acknowledged.collect();
        let Some(surplus) = acknowledged.len().checked_sub(ACKNOWLEDGED_KEPT).filter(|surplus| *surplus > 0) else {
            return;
        };
        acknowledged.sort_unstable();
        let forgotten: Vec<u64> = acknowledged.into_iter().take(surplus).map(|(_, _, id)| id).collect();
        for gap in self.gaps.iter_mut().filter(|gap| forgotten.contains(&gap.id)) {
            gap.acknowledged = None;
        }
    }
}

#[cfg(test)]
#[path = "acknowledgement_tests.rs"]
mod tests;
