//! The newest heartbeat of the watcher that was replayed: whatever was committed before it has come back.
//!
//! It is read out of the copy's own `pg_wal`, where PostgreSQL keeps the segments that it has fetched (xlogarchive.c,
//! `KeepFileRestoredFromArchive`), up to the position at which the replay has ended. The checkpoint of a promotion removes
//! what lies before it; `wal_keep_size` holds back as much as is looked through here.

use crate::data_directory::DataDirectory;
use crate::wal::commits::PAGE;
use crate::wal::heartbeats::{self, Stretch};
use crate::wal::{Lsn, SegmentName, SegmentSize, Timeline};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// How much WAL is looked through, in MiB: a cluster that fills it between two heartbeats commits often enough.
pub(super) const KEPT_MIB: u64 = 64;

/// When it was written, in microseconds since 1970. `line`: the timelines that led to where the replay ended, oldest first.
pub(super) fn newest(data: &DataDirectory, line: &[Timeline], size: SegmentSize, position: Lsn) -> Option<i64> {
    let last = position.0.checked_sub(1)? / size.bytes();
    let count = (KEPT_MIB << 20).div_ceil(size.bytes()) + 1;
    for number in (0..=last).rev().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        // The segment in which a timeline begins holds what came before it too.
        let names = line.iter().rev().filter_map(|timeline| SegmentName::from_number(*timeline, number, size));
        let file = names.into_iter().find_map(|name| File::open(data.pg_wal().join(name.to_string())).ok())?;
        let stretch = Stretch { start: number * size.bytes(), size, before: position.0, most: usize::MAX };
        let mut page = |number: u64| {
            let mut page = Box::new([0; PAGE]);
            file.read_exact_at(page.as_mut_slice(), number * PAGE as u64).ok()?;
            Some(page)
        };
        if let Some(at) = heartbeats::newest(stretch, &mut page) {
            return Some(at);
        }
    }
    None
}
