//! Segments that pgBackRest has fetched ahead.
//!
//! With `archive-async=y` archive-get's async process downloads into `<spool-path>/archive/<stanza>/in`, as
//! `<segment>.pgbackrest.tmp` renamed when complete; the foreground renames a segment from there to its target and starts
//! the next prefetch when less than half of `archive-get-queue-max` is left (src/command/archive/get/get.c, 2.45 to
//! 2.59). It serves what lies there unchecked; here the first page must say that it is that segment of that cluster.

use super::config::Config;
use super::locks;
use crate::wal::{PageTimeline, SegmentName, SegmentSize, whole_segment};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `archive-get-queue-max` where it is not set: 128 MiB.
const DEFAULT_QUEUE: u64 = 128 << 20;

/// The folder of one stanza's prefetched segments.
#[derive(Debug, Clone)]
pub struct Prefetch {
    folder: PathBuf,
    lock_path: PathBuf,
    stanza: String,
    queue: u64,
}

impl Prefetch {
    /// The folder, where prefetching is on.
    #[must_use]
    pub fn of(config: &Config, stanza: &str) -> Option<Self> {
        let option = |name| config.option("archive-get", name);
        let spool = option("spool-path").unwrap_or(super::spool::DEFAULT_SPOOL);
        config.is_on("archive-get", "archive-async").then(|| Self {
            folder: Path::new(spool).join("archive").join(stanza).join("in"),
            lock_path: config.lock_path("archive-get"),
            stanza: stanza.to_owned(),
            queue: option("archive-get-queue-max").map_or(Some(DEFAULT_QUEUE), size).unwrap_or(u64::MAX),
        })
    }

    /// Moves a segment to `target`, if it is there, whole, the cluster's own, and pgBackRest would have nothing else to
    /// do: more than half of the queue is left, or its async process is fetching now. False when it has.
    #[must_use]
    pub fn take(&self, segment: SegmentName, system_id: u64, size: SegmentSize, target: &Path) -> bool {
        let name = segment.to_string();
        let path = self.folder.join(&name);
        // An `.ok` beside a segment holds a warning that pgBackRest must report.
        let plain = !self.folder.join(format!("{name}.ok")).exists() && !self.is_stopped();
        plain
            && is_whole(&path, segment, system_id, size)
            && (self.is_half_full(size) || self.is_fetching())
            && fs::rename(&path, target).is_ok()
    }

    /// How much lies in the folder, and since when. It changes while an async process downloads into it: that one is in a
    /// session of its own, and the foreground, which waits for it, moves nothing.
    #[must_use]
    pub fn footprint(&self) -> (u64, Option<SystemTime>) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok());
        files.fold((0, None), |(bytes, newest), file| (bytes + file.len(), newest.max(file.modified().ok())))
    }

    fn is_stopped(&self) -> bool {
        ["all", &self.stanza].iter().any(|name| self.lock_path.join(format!("{name}.stop")).exists())
    }

    /// Whether an async process holds the lock, so that no other could be started.
    fn is_fetching(&self) -> bool {
        locks::held_since(&self.lock_path, &self.stanza, "archive", "archive-get:async").is_some()
    }

    fn is_half_full(&self, size: SegmentSize) -> bool {
        let Ok(entries) = fs::read_dir(&self.folder) else { return false };
        let is_segment = |name: &str| name.parse::<SegmentName>().is_ok();
        let segments = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_segment)).count();
        // One of them is about to be taken.
        (segments as u64).saturating_sub(1).saturating_mul(size.bytes()) > self.queue / 2
    }
}

/// Whether a file is the segment that its name says. What pgBackRest hands out itself may begin on an older timeline.
fn is_whole(path: &Path, segment: SegmentName, system_id: u64, size: SegmentSize) -> bool {
    let found = File::open(path).ok().and_then(|file| whole_segment(&file, segment, system_id, PageTimeline::Named));
    found == Some(size)
}

/// A size as pgBackRest writes it: a number, alone or with B, KB, MB, GB, TB, PB (or KiB …), in steps of 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let power = match text.strip_prefix(digits)?.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << power)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for pgBackRest")]
mod tests {
    use super::*;
    use crate::wal::Timeline;
    use tempfile::TempDir;

    const SYSTEM: u64 = 7;

    fn mebibyte() -> SegmentSize {
        SegmentSize::try_from(1 << 20).unwrap()
    }

    fn segment(number: u64) -> SegmentName {
        SegmentName::from_number(Timeline(1), number, mebibyte()).unwrap()
    }

    fn write(folder: &Path, number: u64, says: u64) {
        let mut page = vec![0; 1 << 20];
        page[2] = 2;
        page[4] = 1;
        page[8..16].copy_from_slice(&(says << 20).to_ne_bytes());
        page[24..32].copy_from_slice(&SYSTEM.to_ne_bytes());
        page[32..36].copy_from_slice(&(1_u32 << 20).to_ne_bytes());
        fs::write(folder.join(segment(number).to_string()), page).unwrap();
    }

    fn prefetched(count: u64) -> (TempDir, Prefetch, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        (1..=count).for_each(|number| write(folder.path(), number, number));
        let prefetch = Prefetch {
            folder: folder.path().to_owned(),
            lock_path: folder.path().join("lock"),
            stanza: "main".to_owned(),
            queue: 8 << 20,
        };
        let target = folder.path().join("RECOVERYXLOG");
        (folder, prefetch, target)
    }

    #[test]
    fn a_segment_is_taken_while_more_than_half_of_the_queue_is_left() {
        let (_folder, prefetch, target) = prefetched(6);
        assert!(prefetch.take(segment(1), SYSTEM, mebibyte(), &target));
        assert_eq!(target.metadata().unwrap().len(), 1 << 20);
        assert!(!prefetch.take(segment(2), SYSTEM, mebibyte(), &target));
        assert!(!prefetch.take(segment(9), SYSTEM, mebibyte(), &target));
    }

    #[test]
    fn what_is_not_surely_that_segment_is_left_to_pgbackrest() {
        let left = |spoil: &dyn Fn(&Path)| {
            let (folder, prefetch, target) = prefetched(6);
            spoil(folder.path());
            assert!(!prefetch.take(segment(1), SYSTEM, mebibyte(), &target));
        };
        left(&|folder| write(folder, 1, 2));
        left(&|folder| fs::write(folder.join(segment(1).to_string()), "junk").unwrap());
        left(&|folder| fs::write(folder.join(format!("{}.ok", segment(1))), "0\nrepo1: [x] y").unwrap());
        left(&|folder| {
            fs::create_dir(folder.join("lock")).unwrap();
            fs::write(folder.join("lock/all.stop"), "").unwrap();
        });
        let (_folder, prefetch, target) = prefetched(6);
        assert!(!prefetch.take(segment(1), SYSTEM + 1, mebibyte(), &target));
        assert!(!prefetch.take(segment(1), SYSTEM, SegmentSize::DEFAULT, &target));
    }

    #[test]
    fn sizes_are_read_as_pgbackrest_writes_them() {
        let table = [
            ("128MiB", Some(128 << 20)),
            ("1GB", Some(1 << 30)),
            ("4096", Some(4096)),
            ("8KB", Some(8192)),
            ("x", None),
            ("5q", None),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
