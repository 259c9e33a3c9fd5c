//! Deferred files of several clusters in one folder.
//!
//! They stay where they are when the ledgers are exchanged: whose a file is, the ledgers say by its name. Only where a second
//! cluster defers a file of the same name is the first one's renamed to `<name>.of-<system identifier>`, which is no WAL
//! file's name, so that nobody pushes it. It gets its name back when its cluster takes its ledger back.

use super::DEFERRED;
use crate::durable;
use crate::wal::WalFile;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The names of the deferred files that can be pushed, whosesoever they are.
pub(super) fn names(state_dir: &Path) -> io::Result<BTreeSet<String>> {
    let names = all(state_dir)?;
    Ok(names.into_iter().filter(|name| name.parse::<WalFile>().is_ok()).collect())
}

/// Whether a cluster's file of that name had to make room.
pub(super) fn is_moved(state_dir: &Path, name: &str, system_id: u64) -> bool {
    state_dir.join(DEFERRED).join(moved(name, system_id)).exists()
}

/// Has a file make room for another one of the same name. Nothing is overwritten.
pub(super) fn move_away(state_dir: &Path, name: &str, owner: Option<u64>) -> io::Result<()> {
    let folder = state_dir.join(DEFERRED);
    if !folder.join(name).exists() {
        return Ok(());
    }
    let wanted = owner.map_or_else(|| format!("{name}.of-another-cluster"), |owner| moved(name, owner));
    fs::rename(folder.join(name), free(&folder, &wanted))?;
    durable::sync_folder(&folder)
}

/// Gives a cluster's files the names back that they had to give up. What lies there under such a name makes room in turn.
pub(super) fn give_back(state_dir: &Path, system_id: u64, owner: impl Fn(&str) -> Option<u64>) -> io::Result<()> {
    let folder = state_dir.join(DEFERRED);
    let suffix = moved("", system_id);
    for moved in all(state_dir)? {
        let Some(name) = moved.strip_suffix(&suffix).filter(|name| name.parse::<WalFile>().is_ok()) else { continue };
        move_away(state_dir, name, owner(name))?;
        fs::rename(folder.join(&moved), folder.join(name))?;
        durable::sync_folder(&folder)?;
    }
    Ok(())
}

fn moved(name: &str, system_id: u64) -> String {
    format!("{name}.of-{system_id}")
}

/// The path of that name, with a number where it is taken.
fn free(folder: &Path, name: &str) -> PathBuf {
    let mut path = folder.join(name);
    let mut number = 1_u32;
    while path.exists() {
        number += 1;
        path = folder.join(format!("{name}-{number}"));
    }
    path
}

fn all(state_dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(state_dir.join(DEFERRED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
