//! The runner of backups: one at a time, beside the loop, and what each one proves.
//!
//! A backup is a proof only of what was so when it was begun: that is remembered with it, and held against what is so when
//! it has ended.

use super::backup_thread::{BackupThread, Completed};
use super::calls::MESSAGE_LENGTH;
use super::catalog_keeper::change_record;
use super::cluster::Cluster;
use super::marker;
use super::prover::Prover;
use super::seal::{seal, with_starts};
use super::stamps::Stamps;
use crate::backup_state::{LAST_DIFF_AT, LAST_FULL_AT};
use crate::checkpoint;
use crate::decide::watch::{Failures, Kind, Reason, was_in_vain};
use crate::epoch;
use crate::ledger::gaps::{Gaps, LossesBefore};
use crate::log::Fields;
use crate::pgbackrest::Failure;
use crate::pgbackrest::info::Stanza;
use crate::wal::{Lsn, Timeline};
use std::time::SystemTime;

/// The backup that runs, and how the last ones ended. Times in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct BackupRunner {
    running: Option<(BackupThread, Begun)>,
    /// When one last failed.
    pub(super) failed_at: Option<i64>,
    /// When one for a gap last ended without sealing any.
    pub(super) unsealed_at: Option<i64>,
    /// The repositories that could be read when that was last asked before a backup.
    readable: Option<Vec<u32>>,
}

/// What a backup was begun for, and what was so then.
#[derive(Debug)]
pub(super) struct Begun {
    kind: Kind,
    reason: Reason,
    /// Whether other repositories get none: that it fails keeps nothing from them.
    partial: bool,
    /// In seconds since 1970.
    started_at: i64,
    gaps: Gaps,
    marked_at: Option<SystemTime>,
    failures: Failures,
    /// Up to where WAL had been written: the backup begins there or later.
    position: Option<(Timeline, Lsn)>,
}

impl BackupRunner {
    /// Whether one runs.
    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Notes which repositories can be read.
    pub(super) fn note_readable(&mut self, stanza: &Stanza) {
        let keys = stanza.repo.iter().map(|repo| repo.key);
        self.readable = Some(keys.filter(|key| stanza.is_readable(*key)).collect());
    }

    /// Those of these repositories in which a gap waits for a backup. None where they can't be read: a backup that would fail
    /// keeps those that are due from the others.
    pub(super) fn for_a_gap(&mut self, cluster: &Cluster, all: Vec<u32>) -> Vec<u32> {
        let (state, configured) = (cluster.state().unwrap_or_default(), cluster.repositories());
        let wanting = || state.gaps.open().filter(|gap| gap.acknowledged.is_none() && gap.is_lost(&configured));
        let waits = |key: &u32| wanting().any(|gap| gap.is_open_in(*key));
        let mut into: Vec<u32> = all.iter().copied().filter(waits).collect();
        // A marker alone is nobody's.
        if into.is_empty() {
            return all;
        }
        into.retain(|key| self.readable.as_ref().is_none_or(|readable| readable.contains(key)));
        if into.is_empty() {
            self.unsealed_at = Some(epoch::now());
            let line = "a gap stays open in a repository that can't be read: it needs a backup of its own there";
            cluster.tools.log.warn("gap backup", line);
        }
        into
    }

    /// Begins one, into each of these repositories.
    pub(super) fn begin(&mut self, cluster: &Cluster, kind: Kind, reason: Reason, repositories: Vec<u32>) {
        cluster.tools.log.forget("backup");
        let line = format!("running pgbackrest backup --type={} ({})", kind.as_str(), words(reason));
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&line)]);
        tracing::info!("{line}");
        let begun = Begun {
            kind,
            reason,
            partial: reason == Reason::Gap && repositories.len() < cluster.backup_repositories().len(),
            started_at: epoch::now(),
            gaps: cluster.state().map(|state| state.gaps).unwrap_or_default(),
            marked_at: marker::written_at(cluster),
            failures: cluster.failures(),
            position: cluster.primary.timeline.zip(cluster.primary.position),
        };
        let stall = cluster.request().watch.stall.duration();
        let into = (repositories, cluster.repositories().len() <= 1);
        let thread = BackupThread::start(&cluster.client, kind, into, cluster.local_server(), stall);
        self.running = Some((thread, begun));
        checkpoint::reached("backup-begun");
    }

    /// The one that has ended, once, and how.
    pub(super) fn take_ended(&mut self) -> Option<(Begun, Result<Completed, Failure>)> {
        let result = self.running.as_ref().and_then(|(thread, _)| thread.result())?;
        self.running.take().map(|(_, begun)| (begun, result))
    }

    /// Ends the one that runs, with its workers.
    pub(super) fn end(&mut self) {
        self.running = None;
    }

    /// Forgets how the last ones ended.
    pub(super) fn forget(&mut self) {
        (self.failed_at, self.unsealed_at) = (None, None);
    }

    /// None is begun for a while: one has failed, or would.
    pub(super) fn back_off(&mut self) {
        self.failed_at = Some(epoch::now());
    }

    /// Says why one failed; the next one waits for so many seconds.
    pub(super) fn note_failed(&mut self, cluster: &Cluster, begun: &Begun, why: &Failure, wait: u64) {
        if begun.partial {
            self.unsealed_at = Some(epoch::now());
        } else {
            self.back_off();
        }
        note_trouble(cluster, Some(why.shown(MESSAGE_LENGTH)));
        let (kind, remedy) = (begun.kind.as_str(), why.remedy());
        let fields = Fields { seconds: Some(wait), ..Fields::of(why) };
        let why = why.shown(MESSAGE_LENGTH);
        fields.error(&format!("backup --type={kind} failed: {why}; tried again in {wait} s; to do: {remedy}"));
    }

    /// Takes up one that has succeeded: stamps, proof, sealed gaps, the marker.
    pub(super) fn note_completed(
        &mut self,
        cluster: &Cluster,
        begun: &Begun,
        completed: Completed,
        prover: &mut Prover,
        stamps: &mut Stamps,
    ) {
        checkpoint::reached("backup-made");
        let completed = with_starts(cluster, completed, begun.kind, begun.started_at, begun.position);
        self.failed_at = None;
        note_trouble(cluster, None);
        let (kind, now) = (completed.kind(begun.kind), Some(epoch::now()));
        let full = (kind == "full").then_some((LAST_FULL_AT, now));
        stamps.note(cluster, &[(LAST_DIFF_AT, now)].into_iter().chain(full).collect::<Vec<_>>());
        prover.note_proven(cluster, stamps, begun.failures);
        checkpoint::reached("backup-noted");
        let seconds = u64::try_from(epoch::now() - begun.started_at).ok();
        let line = format!("backup --type={kind} completed: {}", completed.label());
        Fields { seconds, ..Fields::default() }.info(&line);
        for (repository, why) in &completed.failed {
            let (why, remedy) = (why.shown(MESSAGE_LENGTH), why.remedy());
            tracing::error!("no backup in repository {repository}: {why}; the others have one; to do: {remedy}");
        }
        if let Some(why) = &completed.expire_failed {
            let shown = why.shown(MESSAGE_LENGTH);
            Fields::of(why).warn(&format!(
                "expire failed, the backup is good: {shown}; what should have expired stays until the next backup"
            ));
        }
        let losses = LossesBefore::OnRecord(&begun.gaps);
        let starts = completed.made.iter().filter_map(|(key, start)| Some((*key, start.as_ref()?)));
        let usable = starts.filter(|(_, start)| kind == "full" || is_usable(cluster, &start.label));
        let sealed = usable.map(|(key, start)| seal(cluster, key, start, losses)).sum();
        marker::clear_if_unchanged(cluster, begun.marked_at);
        let marker_left = begun.marked_at.is_some() && marker::written_at(cluster).is_some();
        self.unsealed_at = now.filter(|_| was_in_vain(begun.reason, begun.gaps.any_open(), sealed, marker_left));
    }
}

/// Whether nothing that a backup needs is damaged or gone, as far as the catalog can say.
fn is_usable(cluster: &Cluster, label: &str) -> bool {
    let Ok(stanza) = cluster.info() else { return true };
    let usable = stanza.good_backups(cluster.primary.system_id).any(|backup| backup.label == label);
    if !usable {
        tracing::error!(
            "{label} seals no gap: a backup that it needs is damaged or missing; to do: run pgbackrest --type=full \
             backup"
        );
    }
    usable
}

/// Notes for `status` why there is no newer backup.
fn note_trouble(cluster: &Cluster, trouble: Option<String>) {
    change_record(cluster, |record| {
        let changes = record.backup_failed != trouble;
        record.backup_failed = trouble;
        changes
    });
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFull => "there is no full backup",
        Reason::Gap => "a gap can't be healed",
        Reason::Unproven => "pushes have failed, and it can't be shown that nothing is missing",
        Reason::Due => "it is due",
    }
}
