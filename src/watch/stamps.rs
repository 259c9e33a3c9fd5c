//! The stamps of the state file, and whom they are about.
//!
//! They are read anew at each poll: two watchers may share the file, and so may the scripts that came before. A stamp that
//! can't be written counts all the same, and is written as soon as that is possible.

use super::cluster::{Cluster, NotWatched};
use crate::backup_state::{
    BackupState, LAST_DIFF_AT, LAST_FULL_AT, LAST_VERIFY_AT, PROVEN_FAILURES, STATS_RESET, SYSTEM_ID, is_past,
};
use crate::decide::watch::Failures;
use crate::epoch;
use crate::log;
use std::collections::BTreeMap;

/// What is remembered of a cluster in a repository.
const KEYS: [&str; 5] = [LAST_FULL_AT, LAST_DIFF_AT, PROVEN_FAILURES, STATS_RESET, LAST_VERIFY_AT];

/// A key and its number; `None` unsets it.
pub(super) type Stamp = (&'static str, Option<i64>);

/// The stamps, as of this poll. Times in seconds since 1970, none of them in the future.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    pub(super) last_full_at: Option<i64>,
    pub(super) last_diff_at: Option<i64>,
    pub(super) last_verify_at: Option<i64>,
    /// PostgreSQL's failures in spite of which nothing is missing.
    pub(super) proven: Failures,
    unwritten: BTreeMap<&'static str, Option<i64>>,
}

impl Stamps {
    /// Takes over what the file says. True when it was about another cluster: then nothing is remembered of anything.
    pub(super) fn read(&mut self, cluster: &Cluster) -> Result<bool, NotWatched> {
        let read = || BackupState::read(cluster.directory().path());
        let file = read().map_err(NotWatched::BackupState)?;
        let is_foreign = self.claim(cluster, &file);
        let unwritten: Vec<Stamp> = self.unwritten.iter().map(|(key, value)| (*key, *value)).collect();
        if !unwritten.is_empty() {
            self.note(cluster, &unwritten);
        }
        for key in KEYS.into_iter().filter(|key| file.is_corrupt(key)) {
            let line = format!(".pgbackrest_backup_state: {key} is not a number and counts as unset");
            cluster.tools.log.warn(key, &line);
        }
        self.take_over(&read().unwrap_or(file));
        Ok(is_foreign)
    }

    fn take_over(&mut self, file: &BackupState) {
        let now = epoch::now();
        let number = |key: &str| self.unwritten.get(key).copied().unwrap_or_else(|| file.number(key));
        let time = |key: &str| number(key).filter(|at| is_past(*at, now));
        let proven = Failures { count: number(PROVEN_FAILURES).unwrap_or(0), since: number(STATS_RESET) };
        let times = [LAST_FULL_AT, LAST_DIFF_AT, LAST_VERIFY_AT].map(time);
        ([self.last_full_at, self.last_diff_at, self.last_verify_at], self.proven) = (times, proven);
    }

    /// Makes the file this cluster's. Stamps that were made for another one count as unset: true then. What another
    /// repository or a copied data directory means for them the catalog will tell.
    fn claim(&mut self, cluster: &Cluster, file: &BackupState) -> bool {
        let Ok(system_id) = i64::try_from(cluster.primary.system_id) else { return false };
        let is_foreign = file.is_about_another(cluster.primary.system_id);
        if is_foreign {
            tracing::warn!(".pgbackrest_backup_state belongs to another cluster: its values count as unset");
            self.note(cluster, &KEYS.map(|key| (key, None)));
            self.unwritten.clear();
        }
        if is_foreign || file.number(SYSTEM_ID).is_none() {
            self.note(cluster, &[(SYSTEM_ID, Some(system_id))]);
        }
        is_foreign
    }

    /// Nothing is missing, although pushes had failed so often.
    pub(super) fn note_proven(&mut self, cluster: &Cluster, failures: Failures) {
        self.proven = failures;
        self.note(cluster, &[(PROVEN_FAILURES, Some(failures.count)), (STATS_RESET, failures.since)]);
    }

    /// Writes stamps into the file and remembers them.
    pub(super) fn note(&mut self, cluster: &Cluster, stamps: &[Stamp]) {
        let write = || {
            let file = BackupState::read(cluster.directory().path());
            file.and_then(|mut file| file.set(stamps)).map_err(|error| error.to_string())
        };
        // Under the ledger's lock: two watchers may share the file.
        match cluster.ledger.exclusively(write).unwrap_or_else(|error| Err(log::chain(&error))) {
            Ok(()) => {
                cluster.tools.log.forget("state file");
                self.unwritten.retain(|key, _| !stamps.iter().any(|(written, _)| written == key));
            }
            Err(error) => {
                self.unwritten.extend(stamps.iter().copied());
                let line = format!(".pgbackrest_backup_state can't be written: {error}; tried again at each poll");
                cluster.tools.log.warn("state file", &line);
            }
        }
        for (key, value) in stamps {
            match *key {
                LAST_FULL_AT => self.last_full_at = *value,
                LAST_DIFF_AT => self.last_diff_at = *value,
                LAST_VERIFY_AT => self.last_verify_at = *value,
                _ => {}
            }
        }
    }
}
