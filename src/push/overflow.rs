//! The overflow folder: where a segment goes that would be lost otherwise.

use super::context::Context;
use crate::checkpoint;
use crate::decide::push::{Facts, is_under_reserve};
use crate::durable;
use crate::settings::Overflow;
use crate::space::Volume;
use crate::wal::WalFile;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Copies a segment into the overflow folder, if there is one and it has room. Where it lies then.
pub(super) fn overflow(context: &Context, file: &WalFile, facts: &Facts) -> Option<PathBuf> {
    let overflow = context.request.push.overflow.as_ref()?;
    let (name, path) = (file.to_string(), context.file_path());
    let copied = has_room(overflow, &name, &path, facts).and_then(|()| {
        let mut source = File::open(&path)?;
        durable::copy_into(&mut source, &overflow.folder, &name)
    });
    match copied {
        Ok(()) => {
            checkpoint::reached("overflow-copied");
            Some(overflow.folder.clone())
        }
        Err(error) => {
            tracing::warn!("the overflow folder {} does not take {name}: {error}", overflow.folder.display());
            None
        }
    }
}

/// Whether the file fits: under the folder's own limit, on its volume, and above the reserve of `pg_wal`'s volume.
fn has_room(overflow: &Overflow, name: &str, path: &Path, facts: &Facts) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let length = path.metadata()?.len();
    if !overflow.folder.exists() {
        // Not what is missing above it: that is a volume which is not mounted.
        DirBuilder::new().mode(0o700).create(&overflow.folder)?;
    }
    let mut held = 0;
    for entry in fs::read_dir(&overflow.folder)? {
        let entry = entry?;
        if entry.file_name() == name {
            return same_content(path, &entry.path());
        }
        held += entry.metadata()?.len();
    }
    let full = |what: &str| Err(io::Error::new(io::ErrorKind::StorageFull, what));
    if held + length > overflow.most.bytes() {
        return full("WAL_OVERFLOW_MAX_MB is reached");
    }
    if Volume::of(&overflow.folder).free.is_some_and(|free| free < length) {
        return full("its volume has no space left");
    }
    let left = facts.free.map(|free| free.saturating_sub(length));
    if is_under_reserve(left, facts.reserve) && overflow.folder.metadata()?.dev() == path.metadata()?.dev() {
        return full("it lies on the volume whose space is short");
    }
    Ok(())
}

/// A file of that name that is already there must be the same: PostgreSQL asked again after a kill.
pub(super) fn same_content(path: &Path, there: &Path) -> io::Result<()> {
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
