//! The ledger of a push: in the data directory by itself, anywhere else by an errand ([`super::far`]).

use super::copying;
use super::far::{self, Far};
use crate::data_directory::{DataDirectory, STATE_FOLDER};
use crate::epoch;
use crate::ledger::state::{Identity, Place, State};
use crate::ledger::{Event, Ledger, LedgerError};
use crate::settings::CommonSettings;
use std::io;
use std::path::{Path, PathBuf};

/// The ledger.
pub(super) enum Book {
    /// On the volume of the data directory: where that one is dead, PostgreSQL is.
    Here(Ledger),
    /// On any other.
    Far(Far),
}

impl Book {
    /// Opens it.
    pub(super) fn open(
        common: &CommonSettings,
        data_directory: &DataDirectory,
    ) -> Result<(Self, State, Vec<Event>), LedgerError> {
        let (folder, identity, place) = whose(common, data_directory);
        if !is_far(&folder, data_directory) {
            let (ledger, state, events) = Ledger::open(&folder, identity, place, epoch::now())?;
            return Ok((Self::Here(ledger), state, events));
        }
        let (far, state, events) = Far::open(&folder, identity, place, epoch::now())?;
        Ok((Self::Far(far), state, events))
    }

    /// As [`Ledger::update`].
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) -> Result<State, LedgerError> {
        match self {
            Self::Here(ledger) => ledger.update(change),
            Self::Far(far) => far.update(change),
        }
    }

    /// As [`Ledger::make_room`].
    pub(super) fn make_room(&self, name: &str) -> Result<State, LedgerError> {
        match self {
            Self::Here(ledger) => ledger.make_room(name),
            Self::Far(far) => far.make_room(name),
        }
    }

    /// As [`Ledger::unload`].
    pub(super) fn unload(&self, state: &State) -> Result<(State, Vec<String>), LedgerError> {
        match self {
            Self::Here(ledger) => ledger.unload(state),
            Self::Far(far) => far.unload(state),
        }
    }

    /// Copies a small file into `folder`, which lies in the state directory.
    pub(super) fn keep(&self, from: &Path, folder: &Path, name: &str) -> io::Result<()> {
        match self {
            Self::Here(_) => copying::small(from, folder, name),
            Self::Far(far) => far.keep(from, folder, name).map_err(io::Error::other),
        }
    }
}

/// Whether a folder may lie on another volume than the data directory. A path that is no text can't be told to another process.
fn is_far(folder: &Path, data_directory: &DataDirectory) -> bool {
    !folder.starts_with(data_directory.path()) && folder.to_str().is_some()
}

/// As [`Book::keep`], where there is no ledger: a file that is already there must be the same.
pub(super) fn keep_without(data_directory: &DataDirectory, from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    if is_far(folder, data_directory) {
        far::keep(from, folder, name)
    } else {
        copying::small_if_new(from, folder, name)
    }
}

/// Where the ledger lies, and of which cluster it is.
pub(super) fn whose(common: &CommonSettings, data_directory: &DataDirectory) -> (PathBuf, Identity, Place) {
    let control = data_directory.control();
    let identity = Identity { system_id: control.map(|control| control.system_id) };
    let place = Place { control_inode: control.map(|control| control.inode), repositories: None };
    let beside = data_directory.path().join(STATE_FOLDER);
    (common.state_dir.as_ref().map_or(beside, |folder| folder.value.clone()), identity, place)
}
