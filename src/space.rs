//! Space: the WAL that waits, the volume it lies on, and the limits that follow from both.
//!
//! Backlog is the bytes of WAL whose `archive_status/<name>.ready` exists (xlogarchive.c, PostgreSQL 15). The size of
//! `pg_wal` is not: it holds recycled segments and those kept by a slot or `wal_keep_size`, and dropping frees none of
//! them. `pg_wal` may be a symbolic link; what it points to is measured.

use crate::settings::Mebibytes;
use crate::wal::{SegmentName, SegmentSize};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat};
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// So many segments may wait at least: with segments of 1 GiB the first failure would be one too many.
const LEAST_SEGMENTS: u64 = 4;

/// So many files are measured each; of more segments only which are there.
const MEASURED_EACH: u64 = 256;

/// The WAL that waits for archiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Files that wait; `None` where no `.ready` file exists at all, and everything in `pg_wal` was measured.
    pub files: Option<u64>,
    /// What they hold, in bytes.
    pub bytes: u64,
}

/// Measures the WAL that waits in `pg_wal`.
///
/// # Errors
/// When a folder can't be read.
pub fn backlog(pg_wal: &Path) -> io::Result<Backlog> {
    let wal = open_folder(pg_wal)?;
    let (mut files, mut bytes) = (0, 0);
    // Segments that wait and have not been measured.
    let mut many = HashSet::new();
    // Relative to open folders: with 100,000 names the path look-ups would cost more than all the rest.
    let status = openat(&wal, "archive_status", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    if let Ok(status) = status {
        for entry in Dir::new(status)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_bytes().strip_suffix(b".ready") else { continue };
            files += 1;
            match segment(name).filter(|_| files > MEASURED_EACH) {
                Some(segment) => _ = many.insert(segment),
                None => bytes += size(&wal, name),
            }
        }
    }
    if files == 0 {
        return Ok(Backlog { files: None, bytes: everything(pg_wal)? });
    }
    Ok(Backlog { files: Some(files), bytes: bytes + of_one_size(&wal, &many)? })
}

/// The bytes of those of these segments that are there, by one look at the folder and at one of them: a segment has its
/// whole size before it gets its name, and all of a cluster have the same (xlog.c, `XLogFileInitInternal`, PostgreSQL 15).
fn of_one_size(wal: &OwnedFd, segments: &HashSet<SegmentName>) -> io::Result<u64> {
    if segments.is_empty() {
        return Ok(0);
    }
    let (mut count, mut each) = (0, None);
    for entry in Dir::read_from(wal)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if segment(name).is_some_and(|segment| segments.contains(&segment)) {
            count += 1;
            // One may be gone meanwhile, and has no size then.
            each = each.or_else(|| measured(wal, name));
        }
    }
    Ok(each.unwrap_or(0).saturating_mul(count))
}

fn segment(name: &[u8]) -> Option<SegmentName> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// The bytes of all files in `pg_wal` and its folders.
///
/// # Errors
/// When a folder can't be read.
pub fn everything(pg_wal: &Path) -> io::Result<u64> {
    let folder = open_folder(pg_wal)?;
    let mut bytes = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        if is_folder && !matches!(name.to_bytes(), b"." | b"..") {
            use std::os::unix::ffi::OsStrExt as _;
            bytes += everything(&pg_wal.join(std::ffi::OsStr::from_bytes(name.to_bytes())))?;
        } else if !is_folder {
            bytes += u64::try_from(stat.st_size).unwrap_or_default();
        }
    }
    Ok(bytes)
}

/// The bytes of what is archived or given up, and goes at the next checkpoint (`.done`; xlog.c, `RemoveOldXlogFiles`).
/// What can't be measured is none.
#[must_use]
pub fn recyclable(pg_wal: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(wal) = open_folder(pg_wal) else { return 0 };
    let Ok(status) = openat(&wal, "archive_status", flags, Mode::empty()) else { return 0 };
    let entries = Dir::new(status).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(size(&wal, entry.file_name().to_bytes().strip_suffix(b".done")?))).sum()
}

/// The size of one file; an orphan `.ready` has none.
fn size(folder: &OwnedFd, name: &[u8]) -> u64 {
    measured(folder, name).unwrap_or(0)
}

fn measured(folder: &OwnedFd, name: &[u8]) -> Option<u64> {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok().and_then(|stat| u64::try_from(stat.st_size).ok())
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// A volume's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// All bytes; `None` where the file system does not say.
    pub total: Option<u64>,
    /// Bytes that the server can still use; `None` where the file system does not say.
    pub free: Option<u64>,
}

impl Volume {
    /// The volume on which `path` lies.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let total = fs2::total_space(path).ok().filter(|total| *total > 0);
        Self { total, free: total.and_then(|_| fs2::available_space(path).ok()) }
    }
}

/// The limits in force, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Backlog at which WAL is given up.
    pub threshold: u64,
    /// Free space under which WAL is given up.
    pub reserve: u64,
}

impl Limits {
    /// What was set, else by the volume's size: min(500 MiB, 10 %) but at least 64 MiB and four segments, and
    /// min(1024 MiB, 5 %).
    #[must_use]
    pub fn new(
        threshold: Option<Mebibytes>,
        reserve: Option<Mebibytes>,
        volume: Volume,
        segment: Option<SegmentSize>,
    ) -> Self {
        let by_volume = |most: u64, part: u64| volume.total.map_or(most * MIB, |total| (total / part).min(most * MIB));
        let segment = segment.unwrap_or(SegmentSize::DEFAULT).bytes();
        let least = segment.saturating_mul(LEAST_SEGMENTS).max(64 * MIB);
        Self {
            threshold: threshold.map_or_else(|| by_volume(500, 10).max(least), Mebibytes::bytes),
            reserve: reserve.map_or_else(|| by_volume(1024, 20), Mebibytes::bytes),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for PostgreSQL")]
mod tests {
    use super::*;
    use std::fs;

    fn pg_wal(files: &[(&str, u64)], ready: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("archive_status")).unwrap();
        for (name, length) in files {
            fs::File::create(folder.path().join(name)).unwrap().set_len(*length).unwrap();
        }
        for name in ready {
            fs::write(folder.path().join("archive_status").join(format!("{name}.ready")), "").unwrap();
        }
        folder
    }

    #[test]
    fn only_what_waits_is_backlog() {
        let folder = pg_wal(&[("a", 16 * MIB), ("b", 16 * MIB), ("c", 700 * MIB)], &["a", "b", "orphan"]);
        fs::write(folder.path().join("archive_status/c.done"), "").unwrap();
        assert_eq!(backlog(folder.path()).unwrap(), Backlog { files: Some(3), bytes: 32 * MIB });
        assert_eq!(everything(folder.path()).unwrap(), 732 * MIB);
        assert_eq!(recyclable(folder.path()), 700 * MIB);
    }

    #[test]
    fn where_it_can_not_be_told_everything_counts() {
        let folder = pg_wal(&[("a", MIB), ("b", MIB)], &[]);
        assert_eq!(backlog(folder.path()).unwrap(), Backlog { files: None, bytes: 2 * MIB });
        fs::remove_dir(folder.path().join("archive_status")).unwrap();
        assert_eq!(backlog(folder.path()).unwrap(), Backlog { files: None, bytes: 2 * MIB });
        assert!(backlog(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn of_very_many_segments_those_that_are_there_count() {
        let name = |number: u64| format!("{number:024X}");
        let names: Vec<String> = (1..=600).map(name).collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), MIB)).collect();
        let orphans: Vec<String> = (5001..=5100).map(name).collect();
        let others = ["00000002.history", "000000010000000000000001.00000028.backup"];
        let ready = names[..500].iter().chain(&orphans).map(String::as_str).chain(others);
        let folder = pg_wal(&files, &ready.collect::<Vec<_>>());
        for other in others {
            fs::write(folder.path().join(other), "1234567890").unwrap();
        }
        let waiting = Backlog { files: Some(602), bytes: 500 * MIB + 20 };
        assert_eq!(backlog(folder.path()).unwrap(), waiting);
    }

    #[test]
    fn a_link_is_followed() {
        let folder = pg_wal(&[("a", MIB)], &["a"]);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert_eq!(backlog(&link).unwrap().bytes, MIB);
    }

    #[test]
    fn limits_follow_the_volume_unless_they_are_set() {
        let of_segments = |total: Option<u64>, segment: Option<u64>| {
            let segment = segment.map(|bytes| SegmentSize::try_from(bytes).unwrap());
            let limits = Limits::new(None, None, Volume { total, free: total }, segment);
            (limits.threshold / MIB, limits.reserve / MIB)
        };
        let limits = |total| of_segments(total, None);
        assert_eq!(limits(None), (500, 1024));
        assert_eq!(limits(Some(100 << 30)), (500, 1024));
        assert_eq!(limits(Some(1 << 30)), (102, 51));
        assert_eq!(limits(Some(100 << 20)), (64, 5));
        assert_eq!(of_segments(Some(100 << 30), Some(1 << 30)).0, 4096);
        assert_eq!(of_segments(Some(1 << 30), Some(64 << 20)).0, 256);
        assert_eq!(of_segments(Some(100 << 20), Some(1 << 20)).0, 64);
        let nothing = Volume { total: None, free: None };
        let set = Limits::new(Some(Mebibytes::new(0)), Some(Mebibytes::new(3)), nothing, None);
        assert_eq!((set.threshold, set.reserve), (0, 3 * MIB));
    }
}
