//! What would tie a copy to its origin is taken out of it before a server is started on it.
//!
//! A backup holds the data directory as it was, the origin's ledger, stamps, marker and archive configuration among it. A copy
//! that kept them would seal gaps that are not its own, and archive into its origin's stanza, where its timelines break later
//! restores (pgBackRest #1616).

use super::{RestoreError, Work};
use crate::backup_state;
use crate::data_directory::STATE_FOLDER;
use crate::durable;
use std::fs;
use std::io;

/// Files of the guard's own in a data directory, beside the stamps and the state directory.
const OWN: [&str; 5] = [
    ".pgbackrest_gap_pending",
    ".pgbackrest_invalid_bucket",
    ".pgbackrest_repo_path",
    ".pgbackrest_restored",
    "conf.d/pgbackrest.conf",
];

/// Takes them out.
pub(super) fn arm(work: &Work<'_>) -> Result<(), RestoreError> {
    let target = work.place.target.path();
    let files = OWN.iter().copied().chain([backup_state::FILE_NAME]);
    for path in files.map(|name| target.join(name)) {
        durable::remove(&path).map_err(|error| RestoreError::file("remove", &path, error))?;
    }
    let folder = target.join(STATE_FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RestoreError::file("remove", &folder, error)),
        _ => Ok(()),
    }
}
