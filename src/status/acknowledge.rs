//! `status --acknowledge`: the one thing that status writes, on a person's word.
//!
//! It goes into the ledger, durably and under its lock, beside the gap it is about. Only a ledger that is there and
//! belongs to this cluster is written; its files stay the server's user's, also when root says the word.

use crate::data_directory::{DataDirectory, STATE_FOLDER};
use crate::ledger::gaps::{Gap, NotAcknowledged, Reason};
use crate::ledger::state::Identity;
use crate::ledger::{Ledger, LedgerError};
use crate::settings::CommonSettings;
use std::path::PathBuf;

/// Why a gap could not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// There is no data directory.
    #[error("no data directory: name one with PGDATA or --pgdata")]
    NoDataDirectory,
    /// There is no ledger.
    #[error("there is no ledger in {0}: no loss is recorded here")]
    NoLedger(PathBuf),
    /// The ledger is another cluster's.
    #[error(
        "the ledger in {0} is another cluster's (system identifier): the next push sets it aside and begins a new one"
    )]
    Foreign(PathBuf),
    /// The ledger can't be read or written.
    #[error("nothing is acknowledged: {}", crate::log::chain(.0))]
    Ledger(LedgerError),
    /// The gap is none that can be.
    #[error("{0}; pgbackrest-guard status --gaps lists them")]
    Gap(NotAcknowledged),
}

/// Notes in the ledger that an open gap is known and will not be closed. Returns the gap as it is now, and its size in
/// segments: it may have grown since somebody looked.
///
/// # Errors
/// When there is no such gap, or the ledger can't be written; then nothing has changed.
pub fn acknowledge(
    common: &CommonSettings,
    id: u64,
    reason: &Reason,
    now: i64,
) -> Result<(Gap, u64), AcknowledgeError> {
    let directory = common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone()));
    let directory = directory.ok_or(AcknowledgeError::NoDataDirectory)?;
    let beside = directory.path().join(STATE_FOLDER);
    let folder = common.state_dir.as_ref().map_or(beside, |folder| folder.value.clone());
    let state = Ledger::peek(&folder).map_err(AcknowledgeError::Ledger)?;
    let mut state = state.ok_or_else(|| AcknowledgeError::NoLedger(folder.clone()))?;
    let control = directory.control();
    let identity = Identity { system_id: control.map(|control| control.system_id) };
    if state.identity.is_another(identity) {
        return Err(AcknowledgeError::Foreign(folder));
    }
    // Tried on a copy first: what is refused shall not be written.
    let size = state.segment_size();
    state.gaps.acknowledge(id, reason, now, size).map_err(AcknowledgeError::Gap)?;
    let ledger = Ledger::existing(&folder).map_err(AcknowledgeError::Ledger)?;
    let mut acknowledged = Err(NotAcknowledged::Unknown(id));
    let change = |state: &mut crate::ledger::state::State| {
        acknowledged = state.gaps.acknowledge(id, reason, now, state.segment_size());
    };
    let state = ledger.update(change).map_err(AcknowledgeError::Ledger)?;
    let gap = acknowledged.map_err(AcknowledgeError::Gap)?;
    let segments = gap.segments(state.segment_size());
    Ok((gap, segments))
}
