//! The keeper of the catalog: asks it, remembers how that went, and notes for `status` what it saw.
//!
//! Beside each answer the newest commits are noted up to which something can be restored, while their segments still lie
//! in `pg_wal`.

use super::calls::MESSAGE_LENGTH;
use super::cluster::Cluster;
use super::stamps::Stamps;
use crate::backup_state::LAST_VERIFY_AT;
use crate::decide::holes::archived_up_to;
use crate::decide::overdue::{Leftover, Shown, leftover};
use crate::epoch;
use crate::ledger::gaps::Gap;
use crate::ledger::state::State;
use crate::log::Fields;
use crate::pgbackrest::info::{CatalogAnswer, Doubt, Stanza};
use crate::seen_catalog::{Record, SeenCommit};
use crate::status;
use crate::wal::SegmentName;
use std::collections::{BTreeMap, BTreeSet};

/// Segments before a gap whose commits are noted: in the last one there may be none.
const LOOKED_BACK: u64 = 2;
/// Segments that are remembered as looked at.
const NOTED: usize = 10_000;

/// What is remembered of the catalog. Times in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct CatalogKeeper {
    /// When it was last asked, whatever it answered.
    pub(super) tried_at: Option<i64>,
    /// When it last gave no conclusive answer, or a stanza could not be created.
    pub(super) inconclusive_at: Option<i64>,
    /// Whether its last answer came from no repository that can be read.
    pub(super) unreadable: bool,
    /// The segments in which the newest commit was looked for.
    noted: BTreeSet<SegmentName>,
}

/// An answer of the catalog.
pub(super) struct Answer {
    pub(super) catalog: CatalogAnswer,
    /// What it was read from.
    pub(super) stanza: Option<Stanza>,
    /// When it was given, in seconds since 1970.
    pub(super) at: i64,
}

impl CatalogKeeper {
    /// Asks. `None` when the watcher is to end meanwhile.
    pub(super) fn ask(&mut self, cluster: &Cluster, stamps: &mut Stamps) -> Option<Answer> {
        self.tried_at = Some(epoch::now());
        let answer = ask(cluster)?;
        note(cluster, &answer);
        let doubt = match &answer.catalog {
            CatalogAnswer::Inconclusive { doubt, .. } => Some(*doubt),
            CatalogAnswer::Present(_) | CatalogAnswer::Absent => None,
        };
        if doubt.is_none() {
            stamps.note(cluster, &[(LAST_VERIFY_AT, Some(answer.at))]);
        }
        self.inconclusive_at = None;
        self.unreadable = matches!(doubt, Some(Doubt::Unreadable | Doubt::StanzaMissing));
        Some(answer)
    }

    /// Waits before it asks again.
    pub(super) fn back_off(&mut self, cluster: &Cluster, answer: &Answer, seconds: u64) {
        self.inconclusive_at = Some(answer.at);
        let line = format!("catalog check {}; asked again in {seconds} s", answer.catalog);
        cluster.tools.log.warn("catalog", &line);
    }

    /// Creates the stanza. Whether that worked.
    pub(super) fn create_stanza(&mut self, cluster: &Cluster, at: i64) -> bool {
        match cluster.create_stanza() {
            Ok(()) => {
                tracing::info!("stanza-create completed");
                self.unreadable = false;
                true
            }
            Err(why) => {
                self.inconclusive_at = Some(at);
                let (shown, remedy) = (why.shown(MESSAGE_LENGTH), why.remedy());
                let line = format!("the stanza can't be created: {shown}; to do: {remedy}");
                cluster.tools.log.warn_of("catalog", &Fields::of(&why), &line);
                false
            }
        }
    }

    /// Asks after a backup, so that `status` knows of it at once: also where the catalog is not to be checked from time to
    /// time, since what it was seen not to hold would stay.
    pub(super) fn note_new_backup(cluster: &Cluster) {
        change_record(cluster, Record::forget_absence);
        if let Some(answer) = ask(cluster) {
            note(cluster, &answer);
        }
    }

    /// Notes the newest commits of the newest archived segment, and of those right before the open gaps.
    pub(super) fn note_commits(&mut self, cluster: &Cluster, state: &State) {
        let primary = &cluster.primary;
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
        let pg_wal = cluster.directory().pg_wal();
        let seen = new.into_iter().filter_map(|segment| {
            let end = status::newest_commit(&pg_wal, segment, size, primary.system_id)?;
            Some(SeenCommit { segment, lsn: end.lsn, at: end.before })
        });
        let seen: Vec<SeenCommit> = seen.collect();
        change_record(cluster, |record| {
            let newer = archived.is_some_and(|segment| record.note_archived(segment));
            seen.into_iter().filter(|commit| record.note_commit(*commit)).count() > 0 || newer
        });
    }
}

fn ask(cluster: &Cluster) -> Option<Answer> {
    let (catalog, stanza) = cluster.catalog();
    (!cluster.must_end()).then(|| Answer { catalog, stanza, at: epoch::now() })
}

fn note(cluster: &Cluster, answer: &Answer) {
    change_record(cluster, |record| {
        record.note(&answer.catalog, answer.stanza.as_ref(), cluster.primary.system_id, answer.at);
        if let Some(stanza) = &answer.stanza {
            note_leftovers(cluster, stanza, &mut record.leftovers);
        }
        true
    });
}

/// Notes what expiry has left in each repository that can be read.
fn note_leftovers(cluster: &Cluster, stanza: &Stanza, leftovers: &mut BTreeMap<u32, Leftover>) {
    let system_id = cluster.primary.system_id;
    let (backups, _) = stanza.of_cluster(system_id);
    for key in stanza.repo.iter().map(|repo| repo.key).filter(|key| stanza.is_readable(*key)) {
        let backups = || backups.iter().filter(|backup| backup.database.repo_key == key);
        let ends: Vec<i64> = backups().map(|backup| backup.timestamp.stop).collect();
        let retention = cluster.client.config().and_then(|config| config.retention_of_wal(key));
        let shown = Shown {
            oldest: stanza.oldest_segment(system_id, key),
            start: backups().filter_map(|backup| backup.archive.start).min(),
            ends: &ends,
            retention_is_met: retention.is_some_and(|(kinds, count)| {
                backups().filter(|backup| kinds.contains(&backup.kind.as_str())).count() >= count
            }),
        };
        match leftover(leftovers.remove(&key), &shown) {
            Some(left) => leftovers.insert(key, left),
            None => None,
        };
    }
}

/// The record for `status`, as far as it is about this cluster, this node and these repositories.
pub(super) fn record(cluster: &Cluster, state: &State) -> Record {
    let known = Record::read(cluster.ledger.folder()).ok().flatten().unwrap_or_default();
    known.about(state.identity, &cluster.place())
}

/// Changes the record for `status`, if `change` says that it did.
pub(super) fn change_record(cluster: &Cluster, change: impl FnOnce(&mut Record) -> bool) {
    let Some(state) = cluster.state() else { return };
    let (folder, log) = (cluster.ledger.folder(), &cluster.tools.log);
    let mut record = record(cluster, &state);
    if !change(&mut record) {
        return;
    }
    match record.write(folder) {
        Ok(()) => log.forget("record"),
        Err(error) => log.warn("record", &format!("the catalog's record for status can't be written: {error}")),
    }
}
