//! Silent holes: what the repository should list and does not becomes a gap.
//!
//! With each check of the catalog the listing of this cluster's archive is walked from the newest full backup's first
//! segment to the newest that PostgreSQL counts as archived; later walks begin where the last one ended.

use super::calls::{Archive, words};
use super::cluster::Cluster;
use super::look_up::log_folder;
use crate::decide::holes::{Listing, archived_up_to};
use crate::decide::watch::Walk;
use crate::epoch;
use crate::ledger::gaps::{Cause, Loss};
use crate::pgbackrest::Class;
use crate::pgbackrest::NoListing;
use crate::pgbackrest::info::Stanza;
use crate::wal::{Lsn, SegmentName, SegmentSize, WalFile, parse_history};
use std::collections::BTreeMap;

/// The longest listing that is taken in, of all folders together.
const MOST_BYTES: usize = 16 << 20;

/// Walks every repository's listing. What is found missing is recorded, unless the ledger knows it already.
///
/// `walked`: up to where the last whole walk went. It is moved on by this one, if that is whole.
pub(super) fn walk(cluster: &Cluster, stanza: &Stanza, walked: &mut Option<SegmentName>) -> Walk {
    let primary = &cluster.primary;
    let Some(size) = primary.segment_size else { return Walk::Broken };
    let newest = primary.last_archived_wal.as_deref().and_then(|name| name.parse().ok());
    let Some(archived) = newest.and_then(|file| archived_up_to(&file, size)) else { return Walk::Broken };
    let path = Path { size, to: archived, left: where_timelines_were_left(cluster, archived) };
    let mut shown = Walk::Whole;
    for repository in stanza.repo.iter().map(|repo| repo.key) {
        match walk_one(cluster, stanza, repository, *walked, &path) {
            Walk::Whole => {}
            other => shown = other,
        }
    }
    if shown == Walk::Whole {
        *walked = Some(archived);
    }
    shown
}

/// Up to where a walk goes.
struct Path {
    size: SegmentSize,
    /// The newest segment that PostgreSQL counts as archived.
    to: SegmentName,
    /// Where each timeline on the way was left.
    left: BTreeMap<u32, Lsn>,
}

fn walk_one(cluster: &Cluster, stanza: &Stanza, repository: u32, walked: Option<SegmentName>, path: &Path) -> Walk {
    let system_id = cluster.primary.system_id;
    if cluster.must_end() || !stanza.is_readable(repository) {
        return Walk::Broken;
    }
    let start = stanza.must_list_from(system_id, repository);
    let (Some(id), Some(start)) = (stanza.archive_id(system_id, repository), start) else { return Walk::Broken };
    let archive = Archive { repository, id: id.to_owned() };
    let from = walked.map_or(start, |walked| walked.max(start));
    let newest = stanza.newest_segment(system_id, repository);
    match listing(cluster, &archive, newest, from, path) {
        Ok(listing) => {
            let missing = listing.missing(from, path.to, &path.left, path.size);
            if record_missing(cluster, &missing, repository, path.size) { Walk::Whole } else { Walk::Broken }
        }
        Err(why) => {
            let line = format!("the listing of repository {repository} can't be walked: {}", words(&why));
            cluster.tools.log.warn("listing", &line);
            if matches!(why, NoListing::TooLong) { Walk::TooLong } else { Walk::Broken }
        }
    }
}

/// Where each timeline on the way to that of `archived` was left, by its history in `pg_wal`; empty on the first.
fn where_timelines_were_left(cluster: &Cluster, archived: SegmentName) -> BTreeMap<u32, Lsn> {
    let history = WalFile::History(archived.timeline()).to_string();
    let text = std::fs::read(cluster.directory().pg_wal().join(history)).unwrap_or_default();
    let left = parse_history(&String::from_utf8_lossy(&text)).into_iter();
    left.map(|(timeline, lsn)| (timeline.0, lsn)).collect()
}

/// What a repository lists between two segments. A listing without `newest`, the newest segment by `info`, contradicts
/// itself, and nothing is concluded from it.
fn listing(
    cluster: &Cluster,
    archive: &Archive,
    newest: Option<SegmentName>,
    from: SegmentName,
    path: &Path,
) -> Result<Listing, NoListing> {
    let stanza = cluster.client.stanza();
    let (first, last) = (log_folder(from), log_folder(path.to));
    // Most walks end in the folder in which they begin.
    let folders = if first == last {
        vec![first]
    } else {
        let names = cluster.list(archive.repository, &archive.path(stanza))?;
        let is_between = |name: &&str| name.len() == first.len() && (first.as_str()..=&last).contains(name);
        names.lines().filter(is_between).map(str::to_owned).collect()
    };
    let mut text = String::new();
    for name in &folders {
        text.push_str(&cluster.list(archive.repository, &archive.folder(stanza, name))?);
        text.push('\n');
        if text.len() > MOST_BYTES {
            return Err(NoListing::TooLong);
        }
    }
    let listing = Listing::parse(&text, path.size);
    match newest {
        Some(newest) if folders.contains(&log_folder(newest)) && !listing.holds(newest, path.size) => {
            let text = format!("it does not show {newest}, which pgbackrest info names");
            Err(NoListing::Failed(cluster.client.local_failure(&text, 0)))
        }
        _ => Ok(listing),
    }
}

/// Records what is missing. False when that could not be done.
fn record_missing(cluster: &Cluster, missing: &[SegmentName], repository: u32, size: SegmentSize) -> bool {
    if missing.is_empty() {
        return true;
    }
    // What waits in the overflow folder was acknowledged, and is not lost.
    let overflow = cluster.request().watch.overflow.as_deref();
    let waits = |segment: &SegmentName| overflow.is_some_and(|folder| folder.join(segment.to_string()).exists());
    let missing: Vec<SegmentName> = missing.iter().filter(|segment| !waits(segment)).copied().collect();
    let (class, cause, at) = (Class::Unknown, Cause::FoundMissing, epoch::now());
    let mut new = 0;
    let recorded = cluster.ledger.update(|state| {
        state.segment_size = Some(size);
        for segment in missing {
            let loss = Loss { segment, partial: false, class, cause, s3_code: None, at };
            let known = state.gaps.lost_for_good(segment, size);
            new += u64::from(!known && state.gaps.record(&loss, size));
        }
    });
    if let Err(error) = &recorded {
        tracing::error!(
            "{}; missing segments are not recorded, the next check of the catalog looks again",
            crate::log::chain(error)
        );
    } else if new > 0 {
        tracing::error!("{new} WAL segments are missing in repository {repository}: a gap is recorded");
        let text = format!("{}: {new} segments are missing in repository {repository}\n", jiff::Timestamp::now());
        let _ = crate::durable::write_marker(&cluster.directory().gap_marker(), &text);
    }
    recorded.is_ok()
}
