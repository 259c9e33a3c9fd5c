//! What the watcher notes of the catalog for `status`: each answer, and the newest commit of each archived segment.

use super::Watcher;
use crate::catalog::{Record, SeenCommit};
use crate::ledger::state::State;
use crate::pgbackrest::info::{Catalog, Stanza};
use crate::postgres::Primary;
use crate::status;
use std::path::PathBuf;

impl Watcher {
    /// Notes an answer of the catalog.
    pub(super) fn note_catalog(&mut self, answer: &Catalog, stanza: Option<&Stanza>) {
        let (Some(system_id), now) = (self.system_id, self.now()) else { return };
        if !self.told {
            self.change_record(|record| {
                record.note(answer, stanza, system_id, now);
                true
            });
        }
    }

    /// Asks the catalog after a backup, so that `status` knows of it at once.
    pub(super) fn note_new_backup(&mut self) {
        let Some(system_id) = self.system_id else { return };
        let (answer, stanza) = self.catalog(system_id);
        self.note_catalog(&answer, stanza.as_ref());
    }

    /// Notes the newest commit of the newest archived segment, while it still lies in `pg_wal`.
    pub(super) fn note_commit(&mut self, primary: &Primary) {
        let (Some(size), Some(segment)) = (primary.segment_size, super::holes::archived(primary)) else { return };
        if self.noted == Some(segment) {
            return;
        }
        self.noted = Some(segment);
        let pg_wal = self.request.data_directory.pg_wal();
        let Some(end) = status::newest_commit(&pg_wal, segment, size, primary.system_id) else { return };
        self.change_record(|record| record.note_commit(SeenCommit { segment, lsn: end.lsn, at: end.before }));
    }

    /// Changes the record, if `change` says that it did.
    fn change_record(&mut self, change: impl FnOnce(&mut Record) -> bool) {
        let Some((folder, state)) = self.record_of() else { return };
        let known = Record::read(&folder).ok().flatten();
        let ours = known.filter(|record| record.identity.difference(&state.identity).is_none());
        let mut record = ours.unwrap_or_default();
        if !change(&mut record) {
            return;
        }
        record.identity = state.identity;
        match record.write(&folder) {
            Ok(()) => drop(self.said.remove("record")),
            Err(error) => {
                self.warn("record", format!("the catalog's record for status can't be written: {error}"));
            }
        }
    }

    /// Where the record lies, and the ledger's state, whose cluster it is about.
    fn record_of(&self) -> Option<(PathBuf, State)> {
        let folder = self.ledger.as_ref()?.folder().to_owned();
        Some((folder, self.ledger_state()?))
    }
}
