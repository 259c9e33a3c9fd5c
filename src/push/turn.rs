//! A file whose turn comes: pgBackRest's async process is at work already, and not yet at this file.
//!
//! `pgbackrest archive-push` would wait for that process too, and look every tenth of a second (src/command/archive/push/push.c,
//! `cmdArchivePush`, 2.45 to 2.60), but its start alone takes as long as the process needs for a segment of 1 MiB, on a processor
//! that the process could have had. So the spool is looked at for a moment first. Whatever it shows but a stored file is left to
//! pgBackRest, which reports an error and starts a process where there is none.

use super::context::Context;
use crate::checkpoint::patience;
use crate::wal::WalFile;
use std::time::{Duration, Instant};

/// How long: longer than most segments take, and too short to count where the process stands still.
const LONGEST: Duration = Duration::from_millis(300);
/// How often the spool is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

/// Waits for the async process, if it is at work. True once the spool shows the file as stored.
pub(super) fn stores(context: &Context, file: &WalFile) -> bool {
    if !context.request.push.fast_path.value || context.request.data_directory.stopping_since().is_some() {
        return false;
    }
    let name = file.to_string();
    let until = Instant::now() + patience(LONGEST);
    while context.client.is_to_store(&name) && Instant::now() < until && !context.signals.wait(INTERVAL) {
        if context.is_stored_by_the_spool(file) {
            return true;
        }
    }
    // It may have ended with this file.
    context.is_stored_by_the_spool(file)
}
