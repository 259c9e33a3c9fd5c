//! pgBackRest's spool and stop files.
//!
//! Status files of `archive-push` lie in `<spool-path>/archive/<stanza>/out`: `<name>.ok` (empty, or `0\n<warning>`),
//! `<name>.error` and `global.error` (`<code>\n<message>`), each written by rename (src/command/archive/common.c, 2.45
//! to 2.59). `<lock-path>/<stanza>.stop` and `all.stop` forbid pushing (src/common/lock.c).

use super::config::Config;
use super::locks::{self, Worker};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `spool-path` where it is not set.
pub(super) const DEFAULT_SPOOL: &str = "/var/spool/pgbackrest";
/// The most that is read of a status file: pgBackRest's messages are cut at 8 KiB.
const STATUS_BYTES: u64 = 64 * 1024;

/// Where one stanza's status, stop and lock files lie.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    out: PathBuf,
    lock_path: PathBuf,
    stanza: String,
    asynchronous: bool,
}

/// An error that pgBackRest's async process left in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpoolError {
    /// pgBackRest's error code.
    pub(super) code: i32,
    /// Its message.
    pub(super) text: String,
}

/// The error files as they were at one moment, to tell later which are new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorFiles(Vec<(PathBuf, Option<Fingerprint>)>);

/// What changes when pgBackRest writes a status file anew: it renames a new file into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    inode: u64,
    written: SystemTime,
}

impl Spool {
    /// The paths that the configuration gives for `archive-push`.
    #[must_use]
    pub(super) fn for_push(config: &Config, stanza: &str) -> Self {
        let path = |option, default: &str| PathBuf::from(config.option("archive-push", option).unwrap_or(default));
        Self {
            out: path("spool-path", DEFAULT_SPOOL).join("archive").join(stanza).join("out"),
            lock_path: config.lock_path("archive-push"),
            stanza: stanza.to_owned(),
            asynchronous: config.is_on("archive-push", "archive-async"),
        }
    }

    /// Whether the spool shows that `name` is stored: async is on, nothing is stopped, and its `.ok` is empty and no
    /// older than its `.ready` in `archive_status`.
    ///
    /// A `.ok` with text is a warning (a drop, a duplicate) that pgBackRest itself must report; an older one may come
    /// from another cluster of the same name (comment in src/command/restore/restore.c, `cmdRestore`).
    #[must_use]
    pub(super) fn has_stored(&self, name: &str, archive_status: &Path) -> bool {
        self.asynchronous && self.is_acknowledged(name, archive_status) && !self.is_stopped()
    }

    fn is_acknowledged(&self, name: &str, archive_status: &Path) -> bool {
        let Ok(ok) = fs::symlink_metadata(self.out.join(format!("{name}.ok"))) else { return false };
        let Ok(ready) = fs::symlink_metadata(archive_status.join(format!("{name}.ready"))) else { return false };
        ok.is_file() && ok.len() == 0 && ok.modified().ok() >= ready.modified().ok()
    }

    /// Whether a stop file forbids pushing. One that can't be looked for counts as there.
    pub(super) fn is_stopped(&self) -> bool {
        let exists = |name: &str| self.lock_path.join(name).try_exists().unwrap_or(true);
        exists(&format!("{}.stop", self.stanza)) || exists("all.stop")
    }

    /// The error files that concern `name`, as they are now.
    #[must_use]
    pub(super) fn error_files(&self, name: &str) -> ErrorFiles {
        let paths = [self.out.join(format!("{name}.error")), self.out.join("global.error")];
        ErrorFiles(paths.map(|path| (path.clone(), fingerprint(&path))).into())
    }

    /// An error that was written since `before`, or that the async process, if it still runs, wrote earlier.
    #[must_use]
    pub(super) fn error_since(&self, before: &ErrorFiles) -> Option<SpoolError> {
        let worker_since = self.worker_since();
        before.0.iter().find_map(|(path, old)| {
            let now = fingerprint(path)?;
            let current = Some(now) != *old || worker_since.is_some_and(|since| now.written >= since);
            if current { read_error(path) } else { None }
        })
    }

    /// When the async push process that runs now took its lock.
    fn worker_since(&self) -> Option<SystemTime> {
        locks::held_since(&self.lock_path, &self.stanza, "archive", "archive-push:async")
    }

    /// The async push process that runs, and when it took its lock; `None` too where async is off.
    pub(super) fn worker(&self) -> Option<(Worker, SystemTime)> {
        if !self.asynchronous {
            return None;
        }
        locks::worker(&self.lock_path, &self.stanza).zip(self.worker_since())
    }

    /// Whether the async process that began at `since` has taken its turn with a file: it takes one for each.
    pub(super) fn is_done_with(&self, name: &str, since: SystemTime) -> bool {
        let written = |suffix: &str| fingerprint(&self.out.join(format!("{name}{suffix}")));
        [".ok", ".error"].into_iter().filter_map(written).any(|status| status.written >= since)
    }

    /// How many files are shown as stored.
    pub(super) fn acknowledged(&self) -> usize {
        if !self.asynchronous {
            return 0;
        }
        let entries = fs::read_dir(&self.out).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".ok")).count()
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata: Metadata = fs::symlink_metadata(path).ok()?;
    Some(Fingerprint { inode: metadata.ino(), written: metadata.modified().ok()? })
}

/// The error in a status file; `None` where it holds none.
pub(super) fn read_error(path: &Path) -> Option<SpoolError> {
    let text = read_start(path)?;
    let (code, message) = text.split_once('\n')?;
    Some(SpoolError { code: code.trim().parse().ok()?, text: message.trim().to_owned() })
}

/// The beginning of a status file.
pub(super) fn read_start(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(STATUS_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for pgBackRest")]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const NAME: &str = "000000010000000000000001";

    struct Case {
        folder: TempDir,
        spool: Spool,
        status: PathBuf,
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool {
            out: folder.path().join("out"),
            lock_path: folder.path().join("lock"),
            stanza: "main".to_owned(),
            asynchronous: true,
        };
        let status = folder.path().join("archive_status");
        for path in [&spool.out, &spool.lock_path, &status] {
            fs::create_dir(path).unwrap();
        }
        fs::write(status.join(format!("{NAME}.ready")), "").unwrap();
        fs::write(spool.out.join(format!("{NAME}.ok")), "").unwrap();
        Case { folder, spool, status }
    }

    #[test]
    fn an_empty_ok_that_is_no_older_than_its_ready_means_stored() {
        let case = case();
        assert!(case.spool.has_stored(NAME, &case.status));
        assert!(!case.spool.has_stored("000000010000000000000002", &case.status));
    }

    #[test]
    fn every_guard_alone_sends_the_push_to_pgbackrest() {
        let without = |spoil: &dyn Fn(&mut Case)| {
            let mut case = case();
            spoil(&mut case);
            assert!(!case.spool.has_stored(NAME, &case.status));
        };
        without(&|case| case.spool.asynchronous = false);
        without(&|case| fs::write(case.spool.lock_path.join("main.stop"), "").unwrap());
        without(&|case| fs::write(case.spool.lock_path.join("all.stop"), "").unwrap());
        without(&|case| fs::write(case.spool.out.join(format!("{NAME}.ok")), "0\ndropped").unwrap());
        without(&|case| fs::remove_file(case.status.join(format!("{NAME}.ready"))).unwrap());
        without(&|case| {
            let ok = fs::File::open(case.spool.out.join(format!("{NAME}.ok"))).unwrap();
            ok.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        });
    }

    #[test]
    fn an_error_counts_only_when_it_is_new() {
        let case = case();
        let global = case.spool.out.join("global.error");
        fs::write(&global, "103\nold").unwrap();
        let before = case.spool.error_files(NAME);
        assert_eq!(case.spool.error_since(&before), None);
        let written = case.folder.path().join("new");
        fs::write(&written, "104\nraised\nfrom").unwrap();
        fs::rename(&written, &global).unwrap();
        let expected = SpoolError { code: 104, text: "raised\nfrom".to_owned() };
        assert_eq!(case.spool.error_since(&before), Some(expected));
    }

    #[test]
    fn a_lock_of_a_process_that_is_no_worker_proves_nothing() {
        let case = case();
        fs::write(case.spool.out.join("global.error"), "103\nold").unwrap();
        let lock = format!("{{\"execId\":\"1-a\",\"pid\":{}}}", std::process::id());
        fs::write(case.spool.lock_path.join("main-archive.lock"), lock).unwrap();
        assert_eq!(case.spool.error_since(&case.spool.error_files(NAME)), None);
    }

    #[test]
    fn a_status_file_without_a_code_is_no_error() {
        let case = case();
        let before = case.spool.error_files(NAME);
        fs::write(case.spool.out.join("global.error"), b"\xff\xfe\nx").unwrap();
        assert_eq!(case.spool.error_since(&before), None);
    }
}
