//! pgBackRest's lock files: which of its processes runs now.
//!
//! `<lock-path>/<stanza>-<kind>.lock`, from 2.53 `<stanza>-<kind>-<repository>.lock`, holds the process's pid as JSON
//! (src/common/lock.c, 2.45 to 2.59). The file outlives its process, so a pid alone proves nothing: the process must
//! still be there and be a pgBackRest.

use serde::Deserialize;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most that is read of a lock file.
const LOCK_BYTES: u64 = 4096;

#[derive(Deserialize)]
struct LockFile {
    pid: u32,
}

/// When the process that holds one of the stanza's locks of this `kind` (`archive`, `backup`) took it; `None` when
/// there is none whose command line holds `word`.
#[must_use]
pub fn held_since(lock_path: &Path, stanza: &str, kind: &str, word: &str) -> Option<SystemTime> {
    held(lock_path, stanza, kind, word).and_then(|(lock, _)| lock.metadata().and_then(|lock| lock.modified()).ok())
}

/// A running async push process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its process number.
    pub pid: u32,
    /// Its process group, which its local processes share.
    pub group: u32,
}

/// The async push process of a stanza that runs now.
#[must_use]
pub fn worker(lock_path: &Path, stanza: &str) -> Option<Worker> {
    let (_, pid) = held(lock_path, stanza, "archive", "archive-push:async")?;
    Some(Worker { pid, group: super::progress::group(pid)? })
}

/// Whether anybody holds one of the stanza's locks of this `kind`, whatever it is and whatever the file says: the kernel
/// lists who holds what (`/proc/locks`, proc(5)); pgBackRest takes its locks by flock(2).
#[must_use]
pub fn is_held(lock_path: &Path, stanza: &str, kind: &str) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inodes = files(lock_path, stanza, kind).into_iter().filter_map(|path| Some(path.metadata().ok()?.ino()));
    inodes.into_iter().any(|inode| locks.lines().any(|line| is_lock_of(line, inode)))
}

/// Whether anybody holds a lock by flock(2) on this file.
#[must_use]
pub fn is_file_held(path: &Path) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    path.metadata().is_ok_and(|file| locks.lines().any(|line| is_lock_of(line, file.ino())))
}

/// Whether a line of `/proc/locks`, such as `1: FLOCK  ADVISORY  WRITE 1234 fe:00:131073 0 EOF`, is a lock on an inode. A
/// line with `->` is of one who waits.
fn is_lock_of(line: &str, inode: u64) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let of = fields.get(5).and_then(|file| file.rsplit(':').next()).and_then(|inode| inode.parse().ok());
    fields.get(1) == Some(&"FLOCK") && of == Some(inode)
}

/// The stanza's lock files of this kind.
fn files(lock_path: &Path, stanza: &str, kind: &str) -> Vec<PathBuf> {
    let prefix = format!("{stanza}-{kind}");
    let is_lock =
        |name: &str| name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".lock")).is_some_and(is_repository);
    let entries = fs::read_dir(lock_path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_lock)).map(|entry| entry.path()).collect()
}

fn held(lock_path: &Path, stanza: &str, kind: &str, word: &str) -> Option<(PathBuf, u32)> {
    files(lock_path, stanza, kind).into_iter().find_map(|path| {
        let pid = holder(&path)?;
        runs(pid, word, stanza).then_some((path, pid))
    })
}

/// Nothing or `-<number>`: what follows the kind in a lock's name.
fn is_repository(suffix: &str) -> bool {
    suffix.is_empty() || suffix.strip_prefix('-').is_some_and(|key| key.parse::<u32>().is_ok())
}

fn holder(lock: &Path) -> Option<u32> {
    let mut bytes = Vec::new();
    File::open(lock).ok()?.take(LOCK_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    serde_json::from_str::<LockFile>(text.lines().next()?).ok().map(|lock| lock.pid)
}

/// Whether the process is a pgBackRest of the stanza with `word` among its arguments.
fn runs(pid: u32, word: &str, stanza: &str) -> bool {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
    let pid = Pid::from_u32(pid);
    let Ok(mut system) = System::new() else { return false };
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
    let is_pgbackrest = |command: &[std::ffi::OsString]| {
        command.first().is_some_and(|program| program.to_string_lossy().contains("pgbackrest"))
    };
    let of_stanza = format!("--stanza={stanza}");
    system.process(pid).is_some_and(|process| {
        let has = |wanted: &str| process.cmd().iter().any(|argument| argument == wanted);
        is_pgbackrest(process.cmd()) && has(word) && has(&of_stanza)
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for pgBackRest")]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_process_is_no_pgbackrest_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("main-backup.lock", format!("{{\"execId\":\"1-a\",\"pid\":{}}}\n", std::process::id())),
            ("main-backup-1.lock", "{\"pid\":4194303}".to_owned()),
            ("main-backup-2.lock", "nonsense".to_owned()),
            ("main-backup-x.lock", String::new()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(held_since(folder.path(), "main", "backup", "backup"), None);
        assert_eq!(held_since(&folder.path().join("nowhere"), "main", "backup", "backup"), None);
    }

    #[test]
    fn a_lock_is_held_by_whoever_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("main-archive.lock")).unwrap();
        let held = |kind| is_held(folder.path(), "main", kind);
        assert!(!held("archive"));
        fs2::FileExt::try_lock_exclusive(&lock).unwrap();
        assert!(held("archive") && !held("backup"));
        assert!(
            !is_held(folder.path(), "mai", "archive") && !is_held(&folder.path().join("nowhere"), "main", "archive")
        );
        drop(lock);
        assert!(!held("archive"));
    }

    #[test]
    fn one_who_waits_holds_no_lock() {
        assert!(is_lock_of("3: FLOCK  ADVISORY  WRITE 41 fe:00:131073 0 EOF", 131_073));
        assert!(!is_lock_of("3: FLOCK  ADVISORY  WRITE 41 fe:00:131073 0 EOF", 131));
        assert!(!is_lock_of("3: -> FLOCK  ADVISORY  WRITE 41 fe:00:131073 0 EOF", 131_073));
        assert!(!is_lock_of("3: POSIX  ADVISORY  WRITE 41 fe:00:131073 0 EOF", 131_073));
    }
}
