//! What the watcher remembers: the stamps of the state file, and whom they are about.
//!
//! They are read anew at each poll: two watchers may share the file, and so may the scripts that came before.

use super::Watcher;
use crate::backup_state::BackupState;
use crate::decide::watch::{Failures, Memory};
use crate::ledger::Ledger;
use crate::ledger::state::State;
use crate::postgres::Primary;

/// The key of the cluster that the stamps are about: PostgreSQL's system identifier.
const SYSTEM_ID: &str = "guard_system_id";
/// The key of when `last_full_failed_count` began to be counted.
const STATS_RESET: &str = "guard_stats_reset";
/// What is remembered of a cluster in a repository.
const KEYS: [&str; 5] =
    ["last_full_at", "last_diff_at", "last_full_failed_count", STATS_RESET, "last_catalog_verify_at"];

impl Watcher {
    /// The ledger's newest state.
    pub(super) fn ledger_state(&self) -> Option<State> {
        self.ledger.as_ref().and_then(|ledger| Ledger::peek(ledger.folder()).ok().flatten())
    }

    /// Takes over what the state file says. False when it can't be read.
    pub(super) fn remember(&mut self, primary: &Primary) -> bool {
        self.system_id = Some(primary.system_id);
        self.failures =
            Failures { count: i64::try_from(primary.failed_count).unwrap_or(i64::MAX), since: primary.stats_reset };
        match self.state_file() {
            Ok(file) => {
                self.forget_what_is_foreign(&file);
                self.write_what_is_unwritten();
                for key in KEYS {
                    if file.is_corrupt(key) {
                        self.warn(key, format!(".pgbackrest_backup_state: {key} is no number and counts as unset"));
                    }
                }
                let now = self.now();
                let file = self.state_file().unwrap_or(file);
                let number = |key: &str| self.unwritten.get(key).copied().unwrap_or_else(|| file.number(key));
                let past = |key: &str| number(key).filter(|at| *at <= now);
                self.memory.last_full_at = past("last_full_at");
                self.memory.last_diff_at = past("last_diff_at");
                self.memory.last_verify_at = past("last_catalog_verify_at");
                let count = number("last_full_failed_count").unwrap_or(0);
                self.proven = Failures { count, since: number(STATS_RESET) };
                true
            }
            Err(error) => {
                self.warn("iteration", format!("iteration skipped: .pgbackrest_backup_state can't be read: {error}"));
                false
            }
        }
    }

    /// Stamps that were made for another cluster count as unset. What another repository or a copied data directory means
    /// for them the catalog will tell.
    fn forget_what_is_foreign(&mut self, file: &BackupState) {
        let Some(system_id) = self.system_id.and_then(|system_id| i64::try_from(system_id).ok()) else { return };
        match file.number(SYSTEM_ID) {
            Some(known) if known == system_id => {}
            Some(_) => {
                tracing::warn!(".pgbackrest_backup_state is about another cluster: its stamps count as unset");
                self.note(&KEYS.map(|key| (key, None)));
                (self.walked, self.memory) = (None, Memory::default());
                self.unwritten.clear();
                self.note(&[(SYSTEM_ID, Some(system_id))]);
            }
            None => self.note(&[(SYSTEM_ID, Some(system_id))]),
        }
    }

    /// It is shown that nothing is missing although pushes had failed so often.
    pub(super) fn note_proven(&mut self, failures: Failures) {
        (self.memory.unproven_at, self.memory.unproven_count) = (None, 0);
        self.proven = failures;
        self.note(&[("last_full_failed_count", Some(failures.count)), (STATS_RESET, failures.since)]);
    }

    fn write_what_is_unwritten(&mut self) {
        let stamps: Vec<_> = self.unwritten.iter().map(|(key, value)| (*key, *value)).collect();
        if !stamps.is_empty() {
            self.note(&stamps);
        }
    }

    /// Writes stamps into the state file and remembers them.
    pub(super) fn note(&mut self, stamps: &[(&'static str, Option<i64>)]) {
        let write = || self.state_file().and_then(|mut file| file.set(stamps)).map_err(|error| error.to_string());
        // Under the ledger's lock: two watchers may share the file.
        let written = match &self.ledger {
            Some(ledger) => ledger.exclusively(write).unwrap_or_else(|error| Err(crate::log::chain(&error))),
            None => write(),
        };
        match written {
            Ok(()) => {
                self.said.remove("state file");
                self.unwritten.retain(|key, _| !stamps.iter().any(|(written, _)| written == key));
            }
            Err(error) => {
                self.unwritten.extend(stamps.iter().copied());
                self.warn(
                    "state file",
                    format!(".pgbackrest_backup_state can't be written: {error}; tried again at each poll"),
                );
            }
        }
        for (key, value) in stamps {
            match *key {
                "last_full_at" => self.memory.last_full_at = *value,
                "last_diff_at" => self.memory.last_diff_at = *value,
                "last_catalog_verify_at" => self.memory.last_verify_at = *value,
                _ => {}
            }
        }
    }
}
