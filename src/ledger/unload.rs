//! What the ledger keeps of small files is moved into the folder of deferred files as soon as one can be made there, for the
//! watcher to push.

use super::state::State;
use super::{DEFERRED, Ledger, LedgerError};
use crate::checkpoint;
use crate::durable;

impl Ledger {
    /// Moves what the ledger keeps of `state` into the folder of deferred files, and gives their names. A kill between the copy
    /// and the record leaves both.
    ///
    /// # Errors
    /// When a file can't be made, or the ledger can't be written; then it goes on keeping them.
    pub fn unload(&self, state: &State) -> Result<(State, Vec<String>), LedgerError> {
        let names = state.kept_files.names();
        let folder = self.folder.join(DEFERRED);
        let failed = self.failed("move a file out of");
        for name in names.iter().filter(|name| state.foreign_deferred.contains(*name)) {
            self.make_room(name)?;
        }
        let _lock = self.lock()?;
        durable::create_private_folder(&folder).map_err(&failed)?;
        let (now, _) = self.read_own()?;
        for name in &names {
            // Another program may have been faster.
            if let Some(content) = now.kept_files.content(name) {
                durable::copy_into(&mut content.as_slice(), &folder, name).map_err(&failed)?;
            }
        }
        checkpoint::reached("kept-files-copied");
        let state = self.written(|state| state.kept_files.forget(&names))?;
        Ok((state, names))
    }
}
