//! Ledgers that were set aside: another cluster's, or one of which nothing could be read.
//!
//! They lie beside the ledger as `ledger.aside-<seconds since 1970>-<n>`, at most [`KEPT`] of them, and one is taken back when
//! its cluster is. Deferred files stay where they are: which of them are another cluster's the new ledger remembers.

use super::slots::Slots;
use super::state::State;
use super::{DEFERRED, FILE_NAME};
use crate::durable;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most that are kept; the oldest goes.
const KEPT: usize = 3;
const PREFIX: &str = "ledger.aside-";

/// Renames the ledger out of the way. Where it lies then.
pub(super) fn set(folder: &Path, now: i64) -> io::Result<PathBuf> {
    let of_now =
        all(folder).iter().filter_map(|path| order(path)).filter(|(at, _)| *at == now).map(|(_, number)| number).max();
    let aside = folder.join(format!("{PREFIX}{now}-{}", of_now.map_or(0, |number| number + 1)));
    fs::rename(folder.join(FILE_NAME), &aside)?;
    durable::sync_folder(folder)?;
    let mut all = all(folder);
    while all.len() > KEPT {
        let _ = fs::remove_file(all.remove(0));
    }
    Ok(aside)
}

/// Gives a ledger that was set aside its name back.
pub(super) fn take_back(folder: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(aside, folder.join(FILE_NAME))?;
    durable::sync_folder(folder)
}

/// The newest one whose state is wanted.
pub(super) fn of(folder: &Path, wanted: impl Fn(&State) -> bool) -> Option<PathBuf> {
    let state = |path: &PathBuf| {
        let contents = Slots::open(path, false).ok()?.read().ok()?;
        contents.records.iter().find_map(|record| serde_json::from_slice::<State>(&record.payload).ok())
    };
    all(folder).into_iter().rev().find(|path| state(path).is_some_and(|state| wanted(&state)))
}

/// When it was set aside, in seconds since 1970.
pub(super) fn set_at(aside: &Path) -> i64 {
    order(aside).map_or(i64::MAX, |(at, _)| at)
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

/// The names of the deferred files.
pub(super) fn deferred(folder: &Path) -> BTreeSet<String> {
    deferred_since(folder, i64::MIN)
}

/// The names of those that were deferred at or after a time, in seconds since 1970.
pub(super) fn deferred_since(folder: &Path, since: i64) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join(DEFERRED)).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.metadata().is_ok_and(|file| file.mtime() >= since));
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
