//! Another cluster's ledger gives way to ours.
//!
//! Each step leaves what the next one needs, so that a kill between two of them loses neither a ledger nor the knowledge whose
//! a deferred file is: the old ledger notes its own files before it is set aside; where no ledger is found afterwards, ours is
//! looked for among those aside; it is complete before it has its name back; and only what is too many then is removed.

use super::slots::Slots;
use super::state::State;
use super::{Event, Ledger, LedgerError, aside, deferred, payload};
use crate::checkpoint;
use std::collections::BTreeSet;
use std::path::Path;

impl Ledger {
    /// Sets another cluster's ledger aside and goes on with ours.
    pub(super) fn exchange(&self, now: i64, events: &mut Vec<Event>) -> Result<State, LedgerError> {
        let here = deferred::names(&self.folder).map_err(self.failed("set aside"))?;
        self.change(&self.path(), |state| state.own_deferred = Some(&here - &state.foreign_deferred))?;
        checkpoint::reached("own-files-noted");
        let aside = aside::set(&self.folder, now).map_err(self.failed("set aside"))?;
        checkpoint::reached("ledger-set-aside");
        events.push(Event::Foreign { aside });
        self.resume(events)
    }

    /// Goes on where there is no ledger: with ours that lies aside, else with a new one.
    pub(super) fn resume(&self, events: &mut Vec<Event>) -> Result<State, LedgerError> {
        if let Some(ours) = aside::of(&self.folder, self.identity) {
            let state = self.take_back(&ours)?;
            events.push(Event::TakenBack { aside: ours });
            events.extend(aside::prune(&self.folder));
            return Ok(state);
        }
        // Where another cluster has been here and no ledger says which files are ours, none is: a wrong history in an
        // archive is worse than one that has to be pushed from pg_wal.
        let foreign = if aside::states(&self.folder).next().is_some() {
            deferred::names(&self.folder).map_err(self.failed("make"))?
        } else {
            BTreeSet::new()
        };
        // First, so that there is room for the new one.
        events.extend(aside::prune(&self.folder));
        self.begin(foreign)
    }

    /// Has a file of another cluster make room for one of ours that is to be deferred under the same name.
    ///
    /// # Errors
    /// When it can't be renamed, or that can't be made durable.
    pub fn make_room(&self, name: &str) -> Result<State, LedgerError> {
        let _lock = self.lock()?;
        let (state, _) = self.read_own()?;
        if state.foreign_deferred.contains(name) {
            let owner = aside::owner_of(&self.folder, name);
            deferred::move_away(&self.folder, name, owner).map_err(self.failed("make room beside"))?;
            checkpoint::reached("foreign-file-moved");
        }
        // Only now: a file that is there and not another cluster's is ours.
        self.written(|state| {
            state.foreign_deferred.remove(name);
        })
    }

    fn take_back(&self, ours: &Path) -> Result<State, LedgerError> {
        let failed = self.failed("take back");
        if let Some(system_id) = self.identity.system_id {
            let owner = |name: &str| aside::owner_of(&self.folder, name);
            deferred::give_back(&self.folder, system_id, owner).map_err(&failed)?;
        }
        checkpoint::reached("deferred-given-back");
        let here = deferred::names(&self.folder).map_err(&failed)?;
        let state = self.change(ours, |state| {
            let own = state.own_deferred.clone().unwrap_or_default();
            state.foreign_deferred = &here - &own;
        })?;
        checkpoint::reached("ledger-prepared");
        aside::take_back(&self.folder, ours).map_err(&failed)?;
        Ok(state)
    }

    /// Changes the newest state that can be read of a ledger, whosesoever it is.
    fn change(&self, path: &Path, change: impl FnOnce(&mut State)) -> Result<State, LedgerError> {
        let failed = |doing| move |source| LedgerError::File { doing, path: path.to_owned(), source };
        let slots = Slots::open(path, true).map_err(failed("open"))?;
        let records = slots.read().map_err(failed("read"))?.records;
        let newest = records.iter().find_map(|record| self.state(record).ok());
        let (mut state, last) = newest.zip(records.first()).ok_or_else(|| self.unreadable())?;
        change(&mut state);
        slots.append(last.sequence, &payload(&state)).and_then(|()| slots.sync()).map_err(failed("write"))?;
        Ok(state)
    }
}
