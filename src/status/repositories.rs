//! Each repository for itself: whether it can be read, from where on it was walked through, and what it is owed.
//!
//! What no repository has is lost; what only some lack, those are owed: it can still be paid from the others.

use super::found::Found;
use super::report::RepositoryReport;
use crate::decide::walk::Walked;
use crate::epoch::moment;
use crate::ledger::gaps::{Gap, GapState};
use crate::pgbackrest::identity::{self, RepositoryIdentity};
use crate::seen_catalog::{Known, Record, SeenRepository};
use crate::wal::{Lsn, SegmentSize};
use std::collections::BTreeMap;

/// What is known of the repositories.
pub(super) struct Repositories<'f> {
    configured: Vec<RepositoryIdentity>,
    seen: Vec<SeenRepository>,
    walked: BTreeMap<u32, &'f Walked>,
    /// How many segments each is owed, by the ledger: what a walk has found is in there.
    owed: BTreeMap<u32, u64>,
    size: SegmentSize,
}

impl<'f> Repositories<'f> {
    /// Those that are configured, else those that watch has worked with.
    pub(super) fn of(found: &Found<'_>, record: Option<&'f Record>, size: SegmentSize) -> Self {
        let checked = found.state.as_ref().and_then(|state| state.checked.as_ref()?.repositories.clone());
        let configured = found.request.config.as_ref().map(identity::repositories).or(checked).unwrap_or_default();
        let noted = record.map(|record| record.repositories.clone()).unwrap_or_default();
        let system_id = found.control.map(|control| control.system_id);
        let answered = found.request.answer.as_ref().and_then(|answer| answer.stanza.as_ref()).zip(system_id);
        let answered = answered.map(|(stanza, system_id)| {
            stanza.repo.iter().map(|repository| SeenRepository::of(stanza, repository, system_id)).collect()
        });
        let walked = record.into_iter().flat_map(|record| &record.walked).map(|(key, walked)| (*key, walked));
        let keys: Vec<u32> = configured.iter().map(|one| one.key).collect();
        let open = || found.state.iter().flat_map(|state| state.gaps.open()).filter(|gap| gap.is_owed(&keys));
        let of = |key: u32| open().filter(|gap| gap.lacks(key)).map(|gap| gap.segments(size)).sum();
        let owed = keys.iter().map(|key| (*key, of(*key))).collect();
        Self { configured, seen: answered.unwrap_or(noted), walked: walked.collect(), owed, size }
    }

    /// As the report shows them.
    pub(super) fn shown(&self, known: Option<&Known>) -> Vec<RepositoryReport> {
        let shown = |identity: &RepositoryIdentity| {
            let seen = self.seen.iter().find(|seen| seen.key == identity.key);
            let walked = self.walked.get(&identity.key);
            let fulls = known.into_iter().flat_map(|known| &known.backups);
            let fulls =
                fulls.filter(|entry| entry.repository == identity.key && entry.kind == "full" && !entry.damaged);
            let verified = walked.filter(|walked| walked.up_to.is_some());
            let verified = verified.map(|walked| walked.from.number(self.size).saturating_mul(self.size.bytes()));
            RepositoryReport {
                key: identity.key,
                kind: identity.kind.clone(),
                state: seen.map_or("unchecked", |seen| if seen.readable { "readable" } else { "unreadable" }),
                detail: seen.and_then(|seen| seen.detail.clone()),
                last_full_at: fulls.map(|entry| entry.ended_at).max().and_then(moment),
                verified_from_lsn: verified.map(|lsn| Lsn(lsn).to_string()),
                owed_segments: walked.and_then(|_| self.owed.get(&identity.key).copied()),
            }
        };
        self.configured.iter().map(shown).collect()
    }

    /// The repositories that lack a gap's segments, by their numbers: those that were walked through and do not list its first,
    /// and those of which nobody knows better.
    pub(super) fn lacking(&self, gap: &Gap) -> Vec<u32> {
        if gap.state == GapState::Healed {
            return Vec::new();
        }
        let lacks = |key: &u32| {
            let walked = self.walked.get(key).filter(|walked| !gap.partial && walked.covers(gap.first));
            gap.lacks(*key) && walked.is_none_or(|walked| walked.misses(gap.first))
        };
        self.keys().into_iter().filter(lacks).collect()
    }

    /// The numbers of those that are configured.
    pub(super) fn keys(&self) -> Vec<u32> {
        self.configured.iter().map(|one| one.key).collect()
    }

    /// The repositories that are configured and hold no backup of this cluster, though another does.
    pub(super) fn without_backup(&self, known: Option<&Known>) -> Vec<u32> {
        let Some(known) = known.filter(|known| !known.backups.is_empty()) else { return Vec::new() };
        let holds = |key: u32| known.backups.iter().any(|entry| entry.repository == key);
        self.configured.iter().map(|one| one.key).filter(|key| !holds(*key)).collect()
    }

    /// The repositories without a backup since a gap that another one's backup has left behind.
    pub(super) fn behind(&self, found: &Found<'_>) -> Vec<u32> {
        let keys = self.keys();
        let open = || found.state.iter().flat_map(|state| state.gaps.open()).filter(|gap| gap.acknowledged.is_none());
        let elsewhere = |gap: &&Gap| gap.is_lost(&keys) && !gap.is_open_everywhere(&keys);
        let behind = |key: &u32| open().filter(elsewhere).any(|gap| gap.is_open_in(*key));
        keys.iter().copied().filter(behind).collect()
    }

    /// How many segments are owed, and to which repositories.
    pub(super) fn owed(&self) -> (u64, Vec<u32>) {
        let owed = || self.owed.iter().filter(|(_, owed)| **owed > 0);
        (owed().map(|(_, owed)| owed).sum(), owed().map(|(key, _)| *key).collect())
    }
}
