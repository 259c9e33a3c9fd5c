//! Keeping a `.history` or `.backup` file that no repository took.
//!
//! It is never lost: without a timeline's history no restore can follow it. It is a few hundred bytes, so a copy is laid beside
//! the ledger, for the watcher to push, and where no file can be made, into the ledger itself.

use super::context::Context;
use super::overflow::same_content;
use crate::checkpoint;
use crate::durable;
use crate::ledger::DEFERRED;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Keeps the file at `path`, `name`, in one of the two places. False when neither takes it.
pub(super) fn defer(context: &mut Context, name: &str, path: &Path) -> bool {
    let Some(state_dir) = &context.request.common.state_dir else { return false };
    let folder = state_dir.value.join(DEFERRED);
    let copied = durable::create_private_folder(&folder)
        .and_then(|()| make_room(context, &folder, path, name))
        .and_then(|()| File::open(path))
        .and_then(|mut file| durable::copy_into(&mut file, &folder, name));
    checkpoint::reached("deferred-copied");
    match copied {
        Ok(()) => true,
        Err(error) if keep_in_ledger(context, name, path) => {
            tracing::warn!("no file can be made in {}: {error}; {name} is kept in the ledger", folder.display());
            true
        }
        Err(error) => {
            tracing::error!("can't keep a copy of {} in {}: {error}", path.display(), folder.display());
            false
        }
    }
}

fn keep_in_ledger(context: &mut Context, name: &str, path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else { return false };
    let mut kept = false;
    context.update(|state| kept = state.kept_files.insert(name, &bytes)) && kept
}

/// What lies there under that name must not be another cluster's. Without a ledger nobody knows: then it must be the same.
fn make_room(context: &mut Context, folder: &Path, path: &Path, name: &str) -> io::Result<()> {
    let there = folder.join(name);
    if !context.has_ledger() && there.exists() {
        return same_content(path, &there);
    }
    context.make_room(name)
}
