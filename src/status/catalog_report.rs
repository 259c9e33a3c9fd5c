//! The catalog for the report: as `watch` last noted it, or as the repository has just answered.

use super::archiving;
use super::found::{Found, Request};
use super::report::{self, BackupReport, Reach};
use super::windows::{self, Sources};
use crate::backup_state::{BackupState, LAST_VERIFY_AT};
use crate::decide::status::{Beside, CatalogFacts};
use crate::decide::strangers;
use crate::decide::windows::Archive;
use crate::epoch::moment;
use crate::ledger::state::Place;
use crate::pgbackrest::failure::brief;
use crate::seen_catalog::{Check, Entry, Finding, Known, Record};

/// What is known of the catalog.
#[derive(Debug, Default)]
pub(super) struct Seen {
    check: Option<Check>,
    /// What the last conclusive answer showed.
    pub(super) known: Option<Known>,
    /// What watch has noted of this cluster in these repositories.
    pub(super) record: Option<Record>,
    /// Why the note of it can't be read, if so.
    pub(super) trouble: Option<String>,
    /// Each backup, and why nothing can be restored with it.
    backups: Option<Vec<(Entry, Option<&'static str>)>>,
    /// What can be restored; `None` where that is unknown.
    pub(super) reach: Option<Reach>,
}

/// Looks at what is known.
pub(super) fn look(found: &Found<'_>) -> Seen {
    let Some(folder) = found.request.common.state_dir.as_ref().map(|folder| folder.value.as_path()) else {
        return Seen::default();
    };
    let (record, trouble) = match Record::read(folder) {
        Ok(record) => (record.filter(|record| is_ours(record, found)), None),
        Err(error) => (None, Some(format!("watch's copy of the catalog can't be read: {error}"))),
    };
    let mut seen = Seen { trouble, ..Seen::default() };
    (seen.check, seen.known) = newest(record.as_ref(), found);
    seen.record.clone_from(&record);
    let Some(known) = &seen.known else { return seen };
    // Without the ledger no gap is known.
    let nothing_lost = crate::ledger::state::State::default();
    let last_archived = archiving::newest_archived(found).0.filter(|_| found.in_recovery != Some(true));
    let sources = Sources {
        directory: &found.directory,
        state_dir: folder,
        state: found.state.as_ref().unwrap_or(&nothing_lost),
        known,
        record: record.as_ref(),
        last_archived: last_archived.as_deref(),
        overflow: found.request.overflow.as_deref(),
        config: found.request.config.as_ref(),
    };
    seen.backups = Some(known.backups.iter().map(|entry| (entry.clone(), sources.unusable(entry))).collect());
    // Nor is one known whose ledger came from another node, until it was held against the archive.
    seen.reach = found.state.as_ref().filter(|_| !found.is_unchecked()).map(|_| {
        let archives = sources.archives();
        Reach {
            windows: archives.walked.iter().flat_map(Archive::windows).collect(),
            backups: archives.walked.into_iter().flat_map(|archive| archive.backups).collect(),
            unverified_from: archives.unverified_from,
        }
    });
    seen
}

/// The newest check and what the last conclusive one showed.
fn newest(record: Option<&Record>, found: &Found<'_>) -> (Option<Check>, Option<Known>) {
    let noted = record.and_then(|record| record.check.clone());
    let known = record.and_then(|record| record.known.clone());
    let Some(answer) = &found.request.answer else { return (noted, known) };
    let now = found.request.now;
    let check = Check::of(&answer.catalog, now);
    if check.finding == Finding::Inconclusive {
        let since = noted.and_then(|noted| noted.inconclusive_since).or(check.inconclusive_since);
        return (Some(Check { inconclusive_since: since, ..check }), known);
    }
    let system_id = found.control.map(|control| control.system_id);
    let told = answer.stanza.as_ref().zip(system_id).map(|(stanza, system_id)| Known::of(stanza, system_id, now));
    (Some(check), told)
}

/// Whether a record is about this cluster, as this node has seen it, in the repositories that the ledger was held against:
/// whoever asks may lack the environment that names them.
fn is_ours(record: &Record, found: &Found<'_>) -> bool {
    let checked = found.state.as_ref().and_then(|state| state.checked.as_ref());
    let here = Place {
        control_inode: found.control.map(|control| control.inode),
        repositories: checked.and_then(|place| place.repositories.clone()),
    };
    record.is_about(found.identity(), &here)
}

impl Seen {
    /// When the newest full backup and the newest of any kind ended.
    pub(super) fn newest(&self) -> (Option<i64>, Option<i64>) {
        let of = |full| self.known.as_ref().and_then(|known| known.newest(full));
        (of(true), of(false))
    }

    /// What the verdict rests on.
    pub(super) fn facts(&self, request: &Request) -> CatalogFacts {
        CatalogFacts {
            trouble: self.trouble.clone(),
            inconclusive_for: self.inconclusive_for(request.now),
            interval: request.verify.get(),
        }
    }

    /// Whether a watcher has noted a check, whatever it came to.
    pub(super) fn was_checked(&self) -> bool {
        self.check.is_some()
    }

    /// Whether the catalog conclusively held no backup, after the one that ended at `last`.
    pub(super) fn is_absent_since(&self, last: Option<i64>) -> bool {
        let absent = self.check.as_ref().filter(|check| check.finding == Finding::Absent);
        absent.is_some_and(|check| last.is_none_or(|last| last <= check.at))
    }

    /// For how many seconds no check has been conclusive, and pgBackRest's words.
    pub(super) fn inconclusive_for(&self, now: i64) -> Option<(u64, String)> {
        let check = self.check.as_ref()?;
        let since = u64::try_from(now - check.inconclusive_since?).ok()?;
        Some((since, check.detail.as_deref().map(brief).unwrap_or_default()))
    }

    /// What watch has found in the archive beside the WAL of a server on this timeline.
    pub(super) fn beside(&self, timeline: Option<u32>) -> Beside {
        let Some(record) = &self.record else { return Beside::default() };
        let overdue = record.leftovers.iter().filter(|(_, leftover)| leftover.overdue);
        Beside {
            stranger: timeline.and_then(|own| strangers::followed(own, &record.histories)),
            overdue: overdue.map(|(repository, leftover)| (*repository, leftover.oldest)).collect(),
        }
    }

    /// As the report shows it. Where no check is noted, the stamp of one may be there.
    pub(super) fn shown(&self, stamps: &BackupState, now: i64) -> report::Catalog {
        match &self.check {
            Some(check) => report::Catalog {
                state: check.finding.as_str(),
                checked_at: moment(check.at),
                detail: check.detail.clone(),
            },
            None => report::Catalog {
                checked_at: stamps.time(LAST_VERIFY_AT, now).and_then(moment),
                detail: self.trouble.clone(),
                ..report::Catalog::default()
            },
        }
    }

    /// What can be restored, as the report shows it.
    pub(super) fn windows(&self) -> Option<Vec<report::Window>> {
        self.reach.as_ref().map(|reach| reach.windows.iter().map(windows::shown).collect())
    }

    /// The backups, oldest first.
    pub(super) fn backups(&self) -> Option<Vec<BackupReport>> {
        let mut backups: Vec<BackupReport> = self.backups.as_ref()?.iter().map(shown_backup).collect();
        backups.sort_by(|a, b| (a.ended_at, &a.label, a.repository).cmp(&(b.ended_at, &b.label, b.repository)));
        Some(backups)
    }
}

fn shown_backup((entry, unusable): &(Entry, Option<&'static str>)) -> BackupReport {
    BackupReport {
        label: entry.label.clone(),
        kind: entry.kind.clone(),
        repository: entry.repository,
        timeline: entry.stop.map(|segment| segment.timeline().0),
        started_at: moment(entry.started_at),
        ended_at: moment(entry.ended_at),
        stop_lsn: entry.stop_lsn.map(|lsn| lsn.to_string()),
        unusable: *unusable,
    }
}
