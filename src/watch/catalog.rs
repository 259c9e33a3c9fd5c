//! What the watcher notes of the catalog for `status`: each answer, and the newest commit of each archived segment.

use super::Watcher;
use crate::decide::holes::archived_up_to;
use crate::ledger::gaps::Gap;
use crate::ledger::state::State;
use crate::pgbackrest::info::{Catalog, Stanza};
use crate::postgres::Primary;
use crate::seen_catalog::{Record, SeenCommit};
use crate::status;
use crate::wal::SegmentName;
use std::path::PathBuf;

/// Segments before a gap whose commits are noted: in the last one there may be none.
const LOOKED_BACK: u64 = 2;
/// Segments that are remembered as looked at.
const NOTED: usize = 10_000;

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

    /// Asks the catalog after a backup, so that `status` knows of it at once; where it is never to be asked, what it was
    /// seen not to hold is forgotten.
    pub(super) fn note_new_backup(&mut self) {
        self.change_record(Record::forget_absence);
        let Some(system_id) = self.system_id.filter(|_| self.request.watch.verify.get() > 0) else { return };
        let (answer, stanza) = self.catalog(system_id);
        self.note_catalog(&answer, stanza.as_ref());
    }

    /// Notes the newest commits up to which something can be restored, while their segments still lie in `pg_wal`: that
    /// of the newest archived one, and those right before the open gaps.
    pub(super) fn note_commits(&mut self, primary: &Primary, state: &State) {
        let Some(size) = primary.segment_size else { return };
        let before = |gap: &Gap| {
            let numbers = (1..=LOOKED_BACK).filter_map(|back| gap.first.number(size).checked_sub(back));
            numbers
                .filter_map(|number| SegmentName::from_number(gap.first.timeline(), number, size))
                .collect::<Vec<_>>()
        };
        let newest = primary.last_archived_wal.as_deref().and_then(|name| name.parse().ok());
        let archived = newest.and_then(|file| archived_up_to(&file, size));
        let ends = state.gaps.open().flat_map(before).chain(archived);
        let new: Vec<SegmentName> = ends.filter(|segment| !self.noted.contains(segment)).collect();
        if new.is_empty() {
            return;
        }
        if self.noted.len() > NOTED {
            self.noted.clear();
        }
        self.noted.extend(new.iter().copied());
        let pg_wal = self.request.data_directory.pg_wal();
        let seen = new.into_iter().filter_map(|segment| {
            let end = status::newest_commit(&pg_wal, segment, size, primary.system_id)?;
            Some(SeenCommit { segment, lsn: end.lsn, at: end.before })
        });
        let seen: Vec<SeenCommit> = seen.collect();
        self.change_record(|record| {
            let newer = archived.is_some_and(|segment| record.note_archived(segment));
            seen.into_iter().filter(|commit| record.note_commit(*commit)).count() > 0 || newer
        });
    }

    /// Changes the record, if `change` says that it did.
    fn change_record(&mut self, change: impl FnOnce(&mut Record) -> bool) {
        let Some((folder, state)) = self.record_of() else { return };
        let known = Record::read(&folder).ok().flatten().unwrap_or_default();
        let mut record = known.about(state.identity, &self.place());
        if !change(&mut record) {
            return;
        }
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
