//! Silent holes: what the repository should list and does not becomes a gap.
//!
//! With each check of the catalog the listing of this cluster's archive is walked from the newest full backup's first
//! segment to the newest that PostgreSQL counts as archived; later walks begin where the last one ended.

use super::Watcher;
use crate::classify::Class;
use crate::decide::holes::Listing;
use crate::ledger::gaps::{Cause, Loss};
use crate::pgbackrest::info::Stanza;
use crate::postgres::Primary;
use crate::wal::{SegmentName, SegmentSize, WalFile};
use std::ffi::OsStr;

impl Watcher {
    /// Walks every repository's listing. What is found missing is recorded, unless the ledger knows it already.
    pub(super) fn look_for_holes(&mut self, stanza: &Stanza, primary: &Primary) {
        let (Some(size), Some(archived)) = (primary.segment_size, archived(primary)) else { return };
        let keys: Vec<u32> = stanza.repo.iter().map(|repo| repo.key).collect();
        let mut checked = true;
        for key in keys {
            let archive = stanza.archive_id(primary.system_id, key).map(str::to_owned);
            let start = stanza.must_list_from(primary.system_id, key);
            let (Some(archive), Some(start)) = (archive, start) else { continue };
            let from = self.walked.map_or(start, |walked| walked.max(start));
            if self.told {
                return;
            }
            checked &= match self.listing(key, &archive, from, archived, size) {
                Some(listing) => self.record_missing(&listing.missing(from, archived, size), key, size),
                None => false,
            };
        }
        if checked {
            self.walked = Some(archived);
        }
    }

    fn listing(
        &mut self,
        key: u32,
        archive: &str,
        from: SegmentName,
        to: SegmentName,
        size: SegmentSize,
    ) -> Option<Listing> {
        let repo = format!("--repo={key}");
        let folder = format!("archive/{}/{archive}", self.request.common.stanza.value);
        let (first, last) = (from.to_string(), to.to_string());
        let (first, last) = (first.get(..16)?, last.get(..16)?);
        // Most walks end in the folder in which they begin.
        let text = if first == last {
            self.list(&["repo-ls", &repo, &format!("{folder}/{first}")].map(OsStr::new))
        } else {
            self.list(&["repo-ls", &repo, "--recurse", &folder].map(OsStr::new))
        };
        match text {
            Ok(text) => Some(Listing::parse(&text, size)),
            Err(why) => {
                self.warn("listing", format!("the listing of repository {key} can't be walked: {why}"));
                None
            }
        }
    }

    /// Records what is missing. False when that could not be done.
    fn record_missing(&mut self, missing: &[SegmentName], key: u32, size: SegmentSize) -> bool {
        if missing.is_empty() {
            return true;
        }
        let Some(ledger) = &self.ledger else { return false };
        // What waits in the overflow folder was acknowledged, and is not lost.
        let overflow = self.request.watch.overflow.as_deref();
        let waits = |segment: &SegmentName| overflow.is_some_and(|folder| folder.join(segment.to_string()).exists());
        let missing: Vec<SegmentName> = missing.iter().filter(|segment| !waits(segment)).copied().collect();
        let (class, cause, at) = (Class::Unknown, Cause::FoundMissing, self.now());
        let mut found = 0;
        let recorded = ledger.update(|state| {
            state.segment_size = Some(size);
            for segment in missing {
                let loss = Loss { segment, partial: false, class, cause, s3_code: None, at };
                let known = state.gaps.lost_for_good(segment, size);
                found += u64::from(!known && state.gaps.record(&loss, size));
            }
        });
        if let Err(error) = &recorded {
            tracing::error!("{}; missing segments are not recorded", crate::log::chain(error));
        } else if found > 0 {
            tracing::error!("{found} WAL segments are missing in repository {key}: a gap is recorded");
            let text = format!("{}: {found} segments are missing in repository {key}\n", jiff::Timestamp::now());
            let _ = crate::durable::write_marker(&self.request.data_directory.gap_marker(), &text);
        }
        recorded.is_ok()
    }
}

/// The newest segment that PostgreSQL counts as archived; a `.history` measures nothing.
pub(super) fn archived(primary: &Primary) -> Option<SegmentName> {
    match primary.last_archived_wal.as_deref()?.parse::<WalFile>().ok()? {
        WalFile::Segment(segment) | WalFile::Partial(segment) | WalFile::Backup(segment, _) => Some(segment),
        WalFile::History(_) => None,
    }
}
