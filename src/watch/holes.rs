//! Silent holes: what the repository should list and does not becomes a gap.
//!
//! With each check of the catalog the listing of this cluster's archive is walked from the newest full backup's first
//! segment to the newest that PostgreSQL counts as archived; later walks begin where the last one ended.

use super::Watcher;
use super::ask::{LISTING_BYTES, NoListing};
use super::lookup::log_folder;
use crate::classify::Class;
use crate::decide::holes::{Listing, archived_up_to};
use crate::ledger::gaps::{Cause, Loss};
use crate::pgbackrest::info::Stanza;
use crate::postgres::Primary;
use crate::wal::{Lsn, SegmentName, SegmentSize, WalFile, parse_history};
use std::collections::BTreeMap;
use std::ffi::OsStr;

/// What a walk has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// Every repository's listing, up to what PostgreSQL counts as archived; what is missing is on record.
    Whole,
    /// Not all of them; another time perhaps.
    Broken,
    /// A listing is too long, now and later.
    TooLong,
}

impl Watcher {
    /// Walks every repository's listing. What is found missing is recorded, unless the ledger knows it already.
    pub(super) fn look_for_holes(&mut self, stanza: &Stanza, primary: &Primary) -> Walk {
        let Some(size) = primary.segment_size else { return Walk::Broken };
        let newest = primary.last_archived_wal.as_deref().and_then(|name| name.parse().ok());
        let Some(archived) = newest.and_then(|file| archived_up_to(&file, size)) else { return Walk::Broken };
        let left = self.where_timelines_were_left(archived);
        let mut walk = Walk::Whole;
        for key in stanza.repo.iter().map(|repo| repo.key) {
            if self.told || !stanza.is_readable(key) {
                walk = Walk::Broken;
                continue;
            }
            let start = stanza.must_list_from(primary.system_id, key);
            let (Some(id), Some(start)) = (stanza.archive_id(primary.system_id, key), start) else {
                walk = Walk::Broken;
                continue;
            };
            let from = self.walked.map_or(start, |walked| walked.max(start));
            let newest = stanza.newest_segment(primary.system_id, key);
            walk = match self.listing(Archive { key, id, newest }, from, archived, size) {
                Ok(listing) if self.record_missing(&listing.missing(from, archived, &left, size), key, size) => walk,
                Ok(_) => Walk::Broken,
                Err(why) => {
                    self.warn("listing", format!("the listing of repository {key} can't be walked: {why}"));
                    if matches!(why, NoListing::TooLong) { Walk::TooLong } else { Walk::Broken }
                }
            };
        }
        if walk == Walk::Whole {
            self.walked = Some(archived);
        }
        walk
    }

    /// Where each timeline on the way to that of `archived` was left, by its history in `pg_wal`; empty on the first.
    fn where_timelines_were_left(&self, archived: SegmentName) -> BTreeMap<u32, Lsn> {
        let history = WalFile::History(archived.timeline()).to_string();
        let text = std::fs::read(self.request.data_directory.pg_wal().join(history)).unwrap_or_default();
        let left = parse_history(&String::from_utf8_lossy(&text)).into_iter();
        left.map(|(timeline, lsn)| (timeline.0, lsn)).collect()
    }

    fn listing(
        &mut self,
        archive: Archive<'_>,
        from: SegmentName,
        to: SegmentName,
        size: SegmentSize,
    ) -> Result<Listing, NoListing> {
        let repo = format!("--repo={}", archive.key);
        let folder = format!("archive/{}/{}", self.request.common.stanza.value, archive.id);
        let (first, last) = (log_folder(from), log_folder(to));
        // Most walks end in the folder in which they begin.
        let folders = if first == last {
            vec![first.clone()]
        } else {
            let names = self.list(&["repo-ls", &repo, &folder].map(OsStr::new))?;
            let names =
                names.lines().filter(|name| name.len() == first.len() && (first.as_str()..=&last).contains(name));
            names.map(str::to_owned).collect()
        };
        let mut text = String::new();
        for name in &folders {
            text.push_str(&self.list(&["repo-ls", &repo, &format!("{folder}/{name}")].map(OsStr::new))?);
            text.push('\n');
            if text.len() > LISTING_BYTES {
                return Err(NoListing::TooLong);
            }
        }
        let listing = Listing::parse(&text, size);
        match archive.newest {
            Some(newest) if folders.contains(&log_folder(newest)) && !listing.holds(newest, size) => {
                Err(NoListing::Failed(format!("it does not show {newest}, which pgbackrest info names")))
            }
            _ => Ok(listing),
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
            tracing::error!(
                "{}; missing segments are not recorded, the next check of the catalog looks again",
                crate::log::chain(error)
            );
        } else if found > 0 {
            tracing::error!("{found} WAL segments are missing in repository {key}: a gap is recorded");
            let text = format!("{}: {found} segments are missing in repository {key}\n", jiff::Timestamp::now());
            let _ = crate::durable::write_marker(&self.request.data_directory.gap_marker(), &text);
        }
        recorded.is_ok()
    }
}

/// The cluster's WAL in one repository.
#[derive(Clone, Copy)]
struct Archive<'a> {
    key: u32,
    id: &'a str,
    /// The newest segment, by `info`: a listing without it contradicts itself, and nothing is concluded from it.
    newest: Option<SegmentName>,
}
