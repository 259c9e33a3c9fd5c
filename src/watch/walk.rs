//! The walk through each repository's listing: what it should list and does not becomes a gap.
//!
//! [`crate::decide::walk`] says what a repository must list, from the start of its oldest usable backup on, and keeps what was
//! looked at; here it is looked at, a folder a call. What a walk has shown lies in the catalog's record: for `status`, which
//! claims nothing that no walk has reached, and for the next walk, which goes on there, after a kill too. What lies behind
//! the first segment that still waits for the archiver is not looked for. With each start of the watcher the way from the
//! newest full backup on is walked once more, because somebody may have removed what was there; a walk that was left before
//! its end is first brought to it.

use super::calls::{Archive, words};
use super::catalog_keeper::{change_record, record};
use super::cluster::Cluster;
use super::look_up::log_folder;
use crate::decide::holes::archived_up_to;
use crate::decide::walk::{Run, Stretch, Walked, line, listed, lost, owed};
use crate::decide::watch::Walk;
use crate::epoch;
use crate::ledger::gaps::{Cause, Loss};
use crate::ledger::state::State;
use crate::pgbackrest::info::Stanza;
use crate::pgbackrest::{Class, NoListing};
use crate::wal::{Lsn, SegmentName, SegmentSize, WalFile, parse_history};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

/// How long the walk of one poll may take, of all repositories together; the next one goes on.
const LIMIT: Duration = Duration::from_secs(40);
/// After so many folders what was shown is written down.
const FOLDERS_A_WRITE: usize = 100;
/// The most segments that one walk records as lost.
const MOST_LOST: usize = 100_000;

/// Walks on through every repository's listing, and records what none has. `anew`: from the newest full backup on again.
pub(super) fn walk(cluster: &Cluster, stanza: &Stanza, anew: bool) -> Walk {
    let (Some(path), Some(state)) = (Path::of(cluster), cluster.state()) else { return Walk::Broken };
    let mut before = record(cluster, &state).walked;
    let (mut shown, mut all) = (Walk::Whole, BTreeMap::new());
    for repository in stanza.repo.iter().map(|repo| repo.key) {
        let Some(mut way) = Way::of(cluster, stanza, repository, &path) else {
            shown = Walk::Broken;
            continue;
        };
        let mut walked = way.begin(
            before.remove(&repository),
            anew.then(|| stanza.must_list_from(cluster.primary.system_id, repository)).flatten(),
        );
        match way.look_again(&mut walked, &state).and_then(|()| way.go_on(&mut walked)) {
            Ok(whole) => {
                all.insert(repository, walked);
                if !whole && shown == Walk::Whole {
                    shown = Walk::Unfinished;
                }
            }
            Err(why) => {
                let text = format!("the listing of repository {repository} can't be walked: {}", words(&why));
                cluster.tools.log.warn("listing", &text);
                shown = if matches!(why, NoListing::TooLong) { Walk::TooLong } else { Walk::Broken };
            }
        }
    }
    let lost = lost(&all.values().collect::<Vec<_>>(), path.size).into_iter().map(|segment| (segment, None));
    let owed = owed(&all, path.size).into_iter().map(|(segment, lacking)| (segment, Some(lacking)));
    if record_missing(cluster, lost.chain(owed), path.size) { shown } else { Walk::Broken }
}

/// The newest segment that PostgreSQL counts as archived.
pub(super) fn newest_archived(cluster: &Cluster) -> Option<SegmentName> {
    let newest = cluster.primary.last_archived_wal.as_deref()?.parse().ok()?;
    archived_up_to(&newest, cluster.primary.segment_size?)
}

/// Up to where a walk goes.
struct Path {
    size: SegmentSize,
    /// The newest segment that PostgreSQL counts as archived.
    to: SegmentName,
    /// The first one that still waits for the archiver.
    waits: Option<SegmentName>,
    /// Where each timeline on the way was left.
    left: BTreeMap<u32, Lsn>,
}

impl Path {
    fn of(cluster: &Cluster) -> Option<Self> {
        let (size, to) = (cluster.primary.segment_size?, newest_archived(cluster)?);
        let waiting = |entry: fs::DirEntry| match entry.file_name().to_str()?.strip_suffix(".ready")?.parse() {
            Ok(WalFile::Segment(segment)) => Some(segment),
            _ => None,
        };
        let status = fs::read_dir(cluster.directory().archive_status()).ok()?;
        let waits = status.flatten().filter_map(waiting).min();
        Some(Self { size, to, waits, left: where_timelines_were_left(cluster, to) })
    }

    /// What of a part may be looked for: nothing that waits, or lies behind it.
    fn without_waiting(&self, part: Stretch) -> Option<Stretch> {
        let Some(waits) = self.waits else { return Some(part) };
        match part.timeline.cmp(&waits.timeline().0) {
            std::cmp::Ordering::Less => Some(part),
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => {
                let last = part.last.min(waits.number(self.size).checked_sub(1)?);
                (part.first <= last).then_some(Stretch { last, ..part })
            }
        }
    }
}

/// The way through one repository's listing.
struct Way<'w> {
    cluster: &'w Cluster,
    path: &'w Path,
    archive: Archive,
    /// The newest segment in it, by `info`.
    newest: Option<SegmentName>,
    from: SegmentName,
    line: Vec<Stretch>,
    started: Instant,
}

impl<'w> Way<'w> {
    /// `None` where nothing can be said of the repository.
    fn of(cluster: &'w Cluster, stanza: &Stanza, repository: u32, path: &'w Path) -> Option<Self> {
        let system_id = cluster.primary.system_id;
        let id = stanza.archive_id(system_id, repository).filter(|_| stanza.is_readable(repository))?.to_owned();
        // A backup of a timeline that this server has not come along shows nothing of its way.
        let on_line = |from: SegmentName| Some((from, line(from, path.to, &path.left, path.size)?));
        let (from, line) = stanza.walk_starts(system_id, repository).into_iter().find_map(on_line)?;
        let newest = stanza.newest_segment(system_id, repository);
        let archive = Archive { repository, id };
        Some(Self { cluster, path, archive, newest, from, line, started: Instant::now() })
    }

    /// What is known already, as far as it still holds.
    fn begin(&self, before: Option<Walked>, anew: Option<SegmentName>) -> Walked {
        let size = self.path.size;
        let walked = before.map_or_else(|| Walked::begin(self.from), |walked| walked.starting_at(self.from));
        let walked = if walked.is_on(&self.line, size) { walked } else { Walked::begin(self.from) };
        anew.map_or(walked.clone(), |from| walked.again_from(from, size))
    }

    /// Looks again for what was missing and is not known to be lost for good: it may have been pushed since.
    fn look_again(&mut self, walked: &mut Walked, state: &State) -> Result<(), NoListing> {
        let size = self.path.size;
        let may_be_there = |run: &&Run| run.segments(size).any(|segment| !state.gaps.lost_for_good(segment, size));
        let mut folders = BTreeSet::new();
        for run in walked.missing.iter().filter(may_be_there) {
            let timeline = run.first.timeline().0;
            let run = Stretch { timeline, first: run.first.number(size), last: run.last.number(size) };
            folders.extend(run.by_folder(size).into_iter().map(|(name, _)| (timeline, name)));
        }
        for (timeline, name) in folders {
            walked.find(timeline, &self.list(&name, timeline)?, size);
        }
        Ok(())
    }

    /// Goes on from where it was left, and writes down what it has shown. False when it has not reached the end.
    fn go_on(&mut self, walked: &mut Walked) -> Result<bool, NoListing> {
        let size = self.path.size;
        let parts: Vec<_> =
            walked.ahead(&self.line, size).into_iter().flat_map(|stretch| stretch.by_folder(size)).collect();
        for (count, (name, part)) in parts.into_iter().enumerate() {
            walked.unfinished = true;
            if self.cluster.must_end() || self.started.elapsed() > LIMIT {
                self.note(walked);
                return Ok(false);
            }
            let Some(rest) = self.path.without_waiting(part) else {
                walked.unfinished = false;
                self.note(walked);
                return Ok(false);
            };
            // What was shown before stays so.
            let listed = self.list(&name, part.timeline).inspect_err(|_| self.note(walked))?;
            walked.take(rest, &listed, size);
            if (count + 1) % FOLDERS_A_WRITE == 0 {
                self.note(walked);
            }
            if rest != part {
                walked.unfinished = false;
                self.note(walked);
                return Ok(false);
            }
        }
        walked.unfinished = false;
        self.note(walked);
        Ok(true)
    }

    /// The numbers of a timeline's segments that a folder lists. A listing without the newest segment by `info`
    /// contradicts itself, and nothing is concluded from it.
    fn list(&self, folder: &str, timeline: u32) -> Result<BTreeSet<u64>, NoListing> {
        let client = &self.cluster.client;
        let text = self.cluster.list(self.archive.repository, &self.archive.folder(client.stanza(), folder))?;
        let numbers = listed(&text, timeline, self.path.size);
        match self.newest.filter(|newest| log_folder(*newest) == folder) {
            Some(newest) if !numbers.contains(&newest.number(self.path.size)) => {
                let text = format!("it does not show {newest}, which pgbackrest info names");
                Err(NoListing::Failed(client.local_failure(&text, 0)))
            }
            _ => Ok(numbers),
        }
    }

    fn note(&self, walked: &Walked) {
        change_record(self.cluster, |record| {
            let changed = record.walked.get(&self.archive.repository) != Some(walked);
            if changed {
                record.walked.insert(self.archive.repository, walked.clone());
            }
            changed
        });
    }
}

/// Where each timeline on the way to that of `archived` was left, by its history in `pg_wal`; empty on the first.
fn where_timelines_were_left(cluster: &Cluster, archived: SegmentName) -> BTreeMap<u32, Lsn> {
    let history = WalFile::History(archived.timeline()).to_string();
    let text = fs::read(cluster.directory().pg_wal().join(history)).unwrap_or_default();
    let left = parse_history(&String::from_utf8_lossy(&text)).into_iter();
    left.map(|(timeline, lsn)| (timeline.0, lsn)).collect()
}

/// Records what no repository has, and what only some lack: then with the numbers of those. False when that could not be done.
fn record_missing(
    cluster: &Cluster,
    missing: impl Iterator<Item = (SegmentName, Option<Vec<u32>>)>,
    size: SegmentSize,
) -> bool {
    // What waits in the overflow folder was acknowledged, and is not lost.
    let overflow = cluster.request().watch.overflow.as_deref();
    let waits = |segment: &SegmentName| overflow.is_some_and(|folder| folder.join(segment.to_string()).exists());
    let missing: Vec<_> = missing.filter(|(segment, _)| !waits(segment)).take(MOST_LOST).collect();
    if missing.is_empty() {
        return true;
    }
    let (class, cause, at) = (Class::Unknown, Cause::FoundMissing, epoch::now());
    let (mut new, mut newly_owed) = (0_u64, 0_u64);
    let recorded = cluster.ledger.update(|state| {
        state.segment_size = Some(size);
        for (segment, lacking) in missing {
            let loss = Loss { segment, partial: false, class, cause, s3_code: None, at };
            let known = state.gaps.lost_for_good(segment, size);
            let count = if lacking.is_none() { &mut new } else { &mut newly_owed };
            *count += u64::from(!known && state.gaps.record_in(lacking, &loss, size));
        }
    });
    if let Err(error) = &recorded {
        tracing::error!("{}; missing segments are not recorded, the next walk looks again", crate::log::chain(error));
    } else if new > 0 {
        let (segments, are) = if new == 1 { ("segment", "is") } else { ("segments", "are") };
        tracing::error!("{new} WAL {segments} {are} missing in every repository that was walked: a gap is recorded");
        let text = format!("{}: {new} segments are missing in the archive\n", jiff::Timestamp::now());
        let _ = crate::durable::write_marker(&cluster.directory().gap_marker(), &text);
    }
    if recorded.is_ok() && newly_owed > 0 {
        let (segments, are) = if newly_owed == 1 { ("segment", "is") } else { ("segments", "are") };
        tracing::warn!("{newly_owed} WAL {segments} {are} in one repository and missing in another: owed to that one");
    }
    recorded.is_ok()
}
