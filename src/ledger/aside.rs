//! Ledgers that were set aside: another cluster's, or one of which nothing could be read.
//!
//! They lie beside the ledger as `ledger.aside-<seconds since 1970>-<n>`, at most [`KEPT`] of them, and one is taken back when
//! its cluster is. Of more than that the least valuable go: first those of which nothing can be read, then those that claim
//! nothing, and only then one with open gaps or deferred files; among equals the oldest.

use super::slots::Slots;
use super::state::{Identity, State};
use super::{Event, FILE_NAME, deferred};
use crate::durable;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The most that are kept.
const KEPT: usize = 3;
const PREFIX: &str = "ledger.aside-";

/// What is lost with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It holds no record.
    Nothing,
    /// Counters and closed gaps.
    Closed,
    /// Open gaps, deferred files, or what only another version can read.
    Claims,
}

/// Renames the ledger out of the way. Where it lies then.
pub(super) fn set(folder: &Path, now: i64) -> io::Result<PathBuf> {
    let of_now =
        all(folder).iter().filter_map(|path| order(path)).filter(|(at, _)| *at == now).map(|(_, number)| number).max();
    let aside = folder.join(format!("{PREFIX}{now}-{}", of_now.map_or(0, |number| number + 1)));
    fs::rename(folder.join(FILE_NAME), &aside)?;
    durable::sync_folder(folder)?;
    Ok(aside)
}

/// Gives a ledger that was set aside its name back.
pub(super) fn take_back(folder: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(aside, folder.join(FILE_NAME))?;
    durable::sync_folder(folder)
}

/// The newest one of a cluster that is known.
pub(super) fn of(folder: &Path, identity: Identity) -> Option<PathBuf> {
    identity.system_id?;
    states(folder).find(|(_, state)| state.identity == identity).map(|(path, _)| path)
}

/// The cluster to which a deferred file belongs, as far as the ledgers say.
pub(super) fn owner_of(folder: &Path, name: &str) -> Option<u64> {
    let mut owners =
        states(folder).filter(|(_, state)| state.owns(name)).filter_map(|(_, state)| state.identity.system_id);
    // One whose file made room before owns that one.
    owners.find(|owner| !deferred::is_moved(folder, name, *owner))
}

/// Those that can be read, the newest first.
pub(super) fn states(folder: &Path) -> impl Iterator<Item = (PathBuf, State)> {
    all(folder).into_iter().rev().filter_map(|path| newest(&path).ok().flatten().map(|state| (path, state)))
}

/// Removes what is too much. What that was.
pub(super) fn prune(folder: &Path) -> Vec<Event> {
    let mut all: Vec<(Worth, PathBuf)> = all(folder).into_iter().map(|path| (worth(&path), path)).collect();
    all.sort_by_key(|(worth, path)| (*worth, order(path)));
    all.truncate(all.len().saturating_sub(KEPT));
    all.into_iter().filter_map(|(_, aside)| removed(aside)).collect()
}

fn removed(aside: PathBuf) -> Option<Event> {
    let state = newest(&aside).ok().flatten().unwrap_or_default();
    fs::remove_file(&aside).ok()?;
    let deferred = state.own_deferred.map_or(0, |own| own.len()) + state.kept_files.len();
    Some(Event::Removed { aside, system_id: state.identity.system_id, open: state.gaps.open().count(), deferred })
}

fn worth(aside: &Path) -> Worth {
    let defers =
        |state: &State| !state.kept_files.is_empty() || state.own_deferred.as_ref().is_some_and(|own| !own.is_empty());
    let claims = |state: &State| state.gaps.any_open() || defers(state);
    match newest(aside) {
        Ok(None) => Worth::Nothing,
        Ok(Some(state)) if !claims(&state) => Worth::Closed,
        Ok(Some(_)) | Err(_) => Worth::Claims,
    }
}

/// The newest state; `None` where there is no record at all.
fn newest(aside: &Path) -> io::Result<Option<State>> {
    let records = Slots::open(aside, false)?.read()?.records;
    let states = records.iter().map(|record| serde_json::from_slice::<State>(&record.payload));
    let mut unknown = None;
    for state in states {
        match state {
            Ok(state) => return Ok(Some(state)),
            Err(error) => unknown = Some(error),
        }
    }
    unknown.map_or(Ok(None), |error| Err(error.into()))
}

/// All of them, the oldest first.
fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| order(path).is_some()).collect();
    found.sort_by_key(|path| order(path));
    found
}

fn order(path: &Path) -> Option<(i64, u32)> {
    let (at, number) = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split_once('-')?;
    Some((at.parse().ok()?, number.parse().ok()?))
}
