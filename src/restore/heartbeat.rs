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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;
    use crate::wal::heartbeats::made::heartbeat;
    use crate::wal::made::{START, record, segment, size};
    use std::fs;

    #[test]
    fn it_is_looked_for_back_along_the_timelines_that_led_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pg_wal")).unwrap();
        let write = |name: &str, records: &[Vec<u8>]| {
            fs::write(folder.path().join("pg_wal").join(name), segment(records)).unwrap();
        };
        let data = DataDirectory::new(folder.path().to_owned());
        let found = |line: &[u32], position: u64| {
            let line: Vec<Timeline> = line.iter().copied().map(Timeline).collect();
            newest(&data, &line, size(), Lsn(position)).map(|at| at / 1_000_000)
        };
        let end = START + size().bytes();
        let [early, late, other] = [1_000_000_000, 1_100_000_000, 1_200_000_000];
        let at = |second: i64| heartbeat(&jiff::Timestamp::from_second(second).unwrap().to_string());
        // The number of START's segment is 5.
        write("000000010000000000000005", &[at(early), at(late), record(10, 0, &[], &[7; 9])]);
        assert_eq!(found(&[1], end), Some(late));
        assert_eq!(found(&[1], START + 48), Some(early), "what was replayed");
        assert_eq!(found(&[1], START), None, "a segment that is not there");
        // A timeline that began in it has its own file of it, up to there as on the old one; one of another line does not count.
        write("000000030000000000000005", &[at(other)]);
        assert_eq!(found(&[1, 2], end), Some(late));
        write("000000020000000000000005", &[at(early)]);
        assert_eq!(found(&[1, 2], end), Some(early));
    }
}
