//! What killed programs have left half written: copies to be pushed, and temporary files beside kept ones.

use super::cluster::Cluster;
use crate::ledger::DEFERRED;
use crate::wal::WalFile;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// After how long a copy or a temporary file is a killed program's, and how often they are looked for.
const AGE: Duration = Duration::from_hours(1);

/// When they were last looked for.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Option<Instant>);

impl Leftovers {
    /// Removes them, once an hour.
    pub(super) fn sweep(&mut self, cluster: &Cluster) {
        if self.0.is_some_and(|at| at.elapsed() < AGE) {
            return;
        }
        self.0 = Some(Instant::now());
        let folder = cluster.ledger.folder();
        remove_old(&cluster.copies(), |_| true);
        remove_old(&folder.join(DEFERRED), is_half_written);
        if let Some(overflow) = &cluster.request().watch.overflow {
            remove_old(overflow, is_half_written);
        }
    }
}

fn is_half_written(name: &str) -> bool {
    let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
    name.is_some_and(|name| name.parse::<WalFile>().is_ok())
}

/// Removes the files of a folder that nobody has touched for an hour and whose name is one of these.
fn remove_old(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let touched = entry.metadata().and_then(|file| file.modified()).ok();
        let is_old = touched.and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= AGE);
        if is_old && entry.file_name().to_str().is_some_and(&is_ours) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
