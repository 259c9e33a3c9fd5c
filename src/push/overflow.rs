//! The overflow folder: where a segment goes that would be lost otherwise. An errand copies it ([`super::far`]): the folder's
//! volume may be dead.

use super::context::Context;
use super::copying::Copy;
use super::far;
use crate::checkpoint;
use crate::decide::push::Facts;
use crate::settings::Overflow;
use crate::wal::WalFile;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long after its time limit a push may still copy.
const AFTERWARDS: Duration = Duration::from_secs(8);

/// Copies a segment into the overflow folder, if there is one and it has room. Where it lies then.
pub(super) fn overflow(context: &Context, file: &WalFile, facts: &Facts) -> Option<PathBuf> {
    let Overflow { folder, most } = context.request.push.overflow.as_ref()?;
    let name = file.to_string();
    let copy = Copy {
        folder: folder.clone(),
        name: name.clone(),
        path: context.file_path(),
        most: most.bytes(),
        free: facts.free,
        reserve: facts.reserve,
    };
    let until = context.started + context.request.push.timeout.value.duration() + AFTERWARDS;
    match far::copy(copy, until.max(Instant::now() + Duration::from_secs(1))) {
        Ok(()) => {
            checkpoint::reached("overflow-copied");
            Some(folder.clone())
        }
        Err(error) => {
            tracing::warn!("the overflow folder {} can't take {name}: {error}", folder.display());
            None
        }
    }
}
