//! The ledger held against the archive: what a repository lists is not lost, whoever wrote down that it was.
//!
//! A ledger can be wrong about the archive in one direction only. A push that was killed after the upload, a ledger that came
//! from another node with a copied data directory, a repository that was named wrongly for a while: each leaves a loss on
//! record of a segment that is there. So open gaps are looked up before anything is pushed again or a backup is taken, and
//! what *every* repository lists is closed as healed. The histories of this server's line are looked up too: one that was
//! deferred on a node that has been rewound is still in `pg_wal` here, and no restore can follow the timeline without it.

use super::Watcher;
use super::ask::words;
use crate::ledger::gaps::Gap;
use crate::ledger::state::State;
use crate::log;
use crate::pgbackrest::NoListing;
use crate::pgbackrest::info::Stanza;
use crate::postgres::Primary;
use crate::wal::{self, SegmentName, SegmentSize, Timeline, WalFile, parse_history};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// How long one look may take; the next one goes on with what is still open.
const LIMIT: Duration = Duration::from_secs(20);

/// This cluster's archive in each repository: its number and the folder, as `15-1`.
type Archives = Vec<(u32, String)>;

impl Watcher {
    /// Closes what every repository lists, and pushes histories that they lack. False when not all could be looked up.
    pub(super) fn look_up(&mut self, stanza: &Stanza, primary: &Primary) -> bool {
        let Some(archives) = self.archives(stanza, primary.system_id) else { return false };
        let looked = self.look_up_gaps(&archives).and_then(|whole| {
            self.look_up_histories(&archives, primary)?;
            Ok(whole)
        });
        match looked {
            Ok(whole) => whole,
            Err(why) => {
                self.warn("look-up", format!("open gaps can't be looked up: {}", words(&why)));
                false
            }
        }
    }

    /// Where each configured repository keeps this cluster's WAL; `None` where one can't say.
    pub(super) fn archives(&self, stanza: &Stanza, system_id: u64) -> Option<Archives> {
        let keys = self.client.config()?.repositories();
        let of_repository = |key: &u32| {
            let readable = stanza.is_readable(*key);
            Some((*key, stanza.archive_id(system_id, *key).filter(|_| readable)?.to_owned()))
        };
        keys.iter().map(of_repository).collect()
    }

    /// Heals the lost files that every repository lists. False when the time was over before the last folder.
    fn look_up_gaps(&mut self, archives: &Archives) -> Result<bool, NoListing> {
        let Some(state) = self.ledger_state() else { return Ok(false) };
        let (size, started) = (state.segment_size(), Instant::now());
        let mut listed = BTreeSet::new();
        let mut whole = true;
        for folder in folders(state.gaps.open(), size) {
            if self.is_told() || started.elapsed() > LIMIT {
                whole = false;
                break;
            }
            let names = self.listed_by_all(archives, Some(&folder))?;
            listed.extend(names.into_iter().filter(|file| is_lost(&state, file, size)));
        }
        self.close(&listed);
        Ok(whole)
    }

    /// The WAL files that every repository lists in a folder of this cluster's archive.
    fn listed_by_all(&mut self, archives: &Archives, folder: Option<&str>) -> Result<BTreeSet<WalFile>, NoListing> {
        let mut all: Option<BTreeSet<WalFile>> = None;
        for (key, id) in archives {
            let below = folder.map_or(String::new(), |folder| format!("/{folder}"));
            let path = format!("archive/{}/{id}{below}", self.client.stanza());
            let text = self.list(*key, &path)?;
            let names: BTreeSet<WalFile> = text.lines().filter_map(wal::listed).collect();
            all = Some(all.map_or_else(|| names.clone(), |all| all.intersection(&names).copied().collect()));
        }
        Ok(all.unwrap_or_default())
    }

    fn close(&mut self, listed: &BTreeSet<WalFile>) {
        let (Some(ledger), now) = (&self.ledger, self.now()) else { return };
        if listed.is_empty() {
            return;
        }
        let mut closed = 0;
        let change = |state: &mut State| {
            let size = state.segment_size();
            closed = listed.iter().filter(|file| state.gaps.heal(file, now, size)).count();
        };
        match ledger.update(change) {
            Ok(_) if closed > 0 => {
                let (files, are) = if closed == 1 { ("WAL file", "is") } else { ("WAL files", "are") };
                tracing::info!("{closed} {files} on record as lost {are} in the archive: healed without a push");
            }
            Ok(_) => {}
            Err(error) => tracing::error!("{}; what the archive has stays on record as lost", log::chain(&error)),
        }
    }

    /// Pushes the histories of this server's line that are in `pg_wal`, not waiting for the archiver, and not in the archive.
    fn look_up_histories(&mut self, archives: &Archives, primary: &Primary) -> Result<(), NoListing> {
        let Some(timeline) = primary.timeline.filter(|timeline| timeline.0 > 1) else { return Ok(()) };
        let directory = &self.request.data_directory;
        let (pg_wal, status) = (directory.pg_wal(), directory.archive_status());
        let text = fs::read_to_string(pg_wal.join(WalFile::History(timeline).to_string())).unwrap_or_default();
        let line = parse_history(&text).into_iter().map(|(parent, _)| parent).chain([timeline]);
        let line: BTreeSet<Timeline> = line.filter(|timeline| timeline.0 > 1).collect();
        let listed = self.listed_by_all(archives, None)?;
        let is_owed = |timeline: &Timeline| {
            let file = WalFile::History(*timeline);
            let waits = status.join(format!("{file}.ready")).exists();
            !listed.contains(&file) && !waits && pg_wal.join(file.to_string()).is_file()
        };
        let owed: Vec<Timeline> = line.into_iter().filter(is_owed).collect();
        for timeline in owed {
            let file = WalFile::History(timeline);
            match self.push_again(&file, &pg_wal.join(file.to_string()), archives) {
                Ok(()) => tracing::info!("{file} is stored: no repository had it, and it lay in pg_wal"),
                Err(why) => self.warn("look-up", format!("no repository has {file}, and it can't be pushed: {why}")),
            }
        }
        Ok(())
    }

    /// The ledger holds for this node and these repositories.
    pub(super) fn note_checked(&mut self) {
        let place = self.place();
        let Some(ledger) = &self.ledger else { return };
        if self.ledger_state().is_some_and(|state| state.checked.as_ref() == Some(&place)) {
            return;
        }
        let came = self.ledger_state().and_then(|state| state.checked?.difference(&place));
        match ledger.update(|state| state.checked = Some(place)) {
            Ok(_) => {
                if let Some(difference) = came {
                    tracing::info!(
                        "the ledger holds here too: {difference} has changed, and the archive was looked through"
                    );
                }
            }
            Err(error) => tracing::error!("{}; the archive is looked through again", log::chain(&error)),
        }
    }

    /// A backup was made in these repositories: a ledger that was made on this node knows them from now on.
    pub(super) fn note_repositories(&mut self) {
        let place = self.place();
        let is_known = |state: State| {
            state.checked.is_none_or(|checked| checked.repositories.is_some() || checked.is_another_node(&place))
        };
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !self.ledger_state().is_none_or(is_known)) {
            let noted = ledger.update(|state| state.checked = Some(place));
            if let Err(error) = noted {
                tracing::error!("{}; the archive is looked through once more", log::chain(&error));
            }
        }
    }

    /// Whether the ledger has not been held against the archive from this node, in these repositories. One that was made
    /// here claims nothing, unless the cluster has a past on another timeline.
    pub(super) fn is_unchecked(&self, state: &State, primary: &Primary) -> bool {
        let has_past = primary.timeline.is_some_and(|timeline| timeline.0 > 1);
        state.checked.as_ref().is_none_or(|checked| {
            checked.difference(&self.place()).is_some() || checked.repositories.is_none() && has_past
        })
    }
}

/// The folders of the archive in which the gaps' files would lie.
fn folders<'g>(gaps: impl Iterator<Item = &'g Gap>, size: SegmentSize) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for gap in gaps {
        let mut number = gap.first.number(size);
        while number <= gap.last.number(size) {
            let Some(segment) = SegmentName::from_number(gap.first.timeline(), number, size) else { break };
            folders.insert(log_folder(segment));
            // On to the next log file of 4 GiB.
            let each = (1_u64 << 32) / size.bytes();
            number = (number / each + 1) * each;
        }
    }
    folders
}

/// The folder of a segment in the archive: its name's first 16 digits.
pub(super) fn log_folder(segment: SegmentName) -> String {
    segment.to_string().chars().take(16).collect()
}

fn is_lost(state: &State, file: &WalFile, size: SegmentSize) -> bool {
    file.losable().is_some_and(|(segment, partial)| state.gaps.open_gap_of(segment, partial, size).is_some())
}
