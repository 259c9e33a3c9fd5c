//! Copying files out of `pg_wal`: small ones beside the ledger, segments into the overflow folder. Where the folder's volume
//! may be dead, an errand does it ([`super::far`]); what it is given stands in a [`Copy`].

use crate::decide::push::is_under_reserve;
use crate::durable;
use crate::space::Volume;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// What is synced at once: a volume that does not answer shows soon.
const PIECE: u64 = 8 << 20;

/// What is to be copied, and how much room there may be. Sizes in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) most: u64,
    pub(super) free: Option<u64>,
    pub(super) reserve: u64,
}

/// Copies a small file, unless the same is there. Another one of that name is an error.
pub(super) fn small_if_new(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let there = folder.join(name);
    if there.exists() { same_content(from, &there) } else { small(from, folder, name) }
}

/// Makes a folder where it is missing, and copies a small file into it.
pub(super) fn small(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    durable::create_private_folder(folder)?;
    durable::copy_into(&mut File::open(from)?, folder, name)
}

/// Copies a segment into the overflow folder, unless it is there.
pub(super) fn segment(copy: &Copy) -> io::Result<()> {
    if is_there(copy)? {
        return Ok(());
    }
    let mut source = File::open(&copy.path)?;
    durable::copy_in_pieces(&mut source, &copy.folder, &copy.name, PIECE)
}

/// Whether the file is there already; an error where it does not fit: under the folder's own limit, on its volume, and above
/// the reserve of `pg_wal`'s volume.
fn is_there(copy: &Copy) -> io::Result<bool> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let length = copy.path.metadata()?.len();
    if !copy.folder.exists() {
        // Not what is missing above it: that is a volume which is not mounted.
        DirBuilder::new().mode(0o700).create(&copy.folder)?;
        copy.folder.parent().map_or(Ok(()), durable::sync_folder)?;
    }
    let mut held = 0;
    for entry in fs::read_dir(&copy.folder)? {
        let entry = entry?;
        if entry.file_name() == *copy.name {
            return same_content(&copy.path, &entry.path()).map(|()| true);
        }
        let entry_name = entry.file_name();
        if entry_name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".new")).is_some() {
            // What an errand that hung has left behind.
            durable::remove(&entry.path())?;
            continue;
        }
        held += entry.metadata()?.len();
    }
    let full = |what: &str| Err(io::Error::new(io::ErrorKind::StorageFull, what));
    if held + length > copy.most {
        return full("WAL_OVERFLOW_MAX_MB is reached");
    }
    if Volume::of(&copy.folder).free.is_some_and(|free| free < length) {
        return full("its volume has no space left");
    }
    let left = copy.free.map(|free| free.saturating_sub(length));
    if is_under_reserve(left, copy.reserve) && copy.folder.metadata()?.dev() == copy.path.metadata()?.dev() {
        return full("it is on the volume that is short of space");
    }
    Ok(false)
}

/// A file of that name that is already there must be the same: PostgreSQL asked again after a kill.
fn same_content(path: &Path, there: &Path) -> io::Result<()> {
    let (mut one, mut other) = (BufReader::new(File::open(path)?), BufReader::new(File::open(there)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if left.is_empty() && right.is_empty() {
            return Ok(());
        }
        if count == 0 || left.get(..count) != right.get(..count) {
            break;
        }
        one.consume(count);
        other.consume(count);
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "it holds another file of that name"))
}
