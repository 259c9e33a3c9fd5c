//! PostgreSQL's data directory, as far as its files tell.
//!
//! `PG_VERSION` makes a directory a data directory. `global/pg_control` (`catalog/pg_control.h`, PostgreSQL 13 to 18,
//! `PG_CONTROL_VERSION` 1300 to 1800) begins with the system identifier (8 bytes), the version (4), the catalogue
//! version (4) and the state (4); the checkpoint's timeline lies at offset 48. `postmaster.pid` (utils/pidfile.h)
//! holds the postmaster's state in its eighth line: `starting`, `stopping`, `ready` or `standby`.

mod change;

pub use change::Change;

use crate::wal::{SegmentSize, WalFile};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, Metadata};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The folder in the data directory that holds the programs' own state, unless `WAL_GUARD_STATE_DIR` names another.
pub const STATE_FOLDER: &str = ".pgbackrest_guard";
/// The line of `postmaster.pid` that holds the state, from 0 (`LOCK_FILE_LINE_PM_STATUS`).
const STATUS_LINE: usize = 7;
/// Bytes of `pg_control` that are read: up to the segment size.
const CONTROL_BYTES: usize = 232;
/// `DB_SHUTDOWNED_IN_RECOVERY` and `DB_IN_ARCHIVE_RECOVERY`.
const RECOVERY_STATES: [u32; 2] = [2, 5];

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory(PathBuf);

/// What `pg_control` says of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The system identifier, made by initdb and the same on every standby.
    pub system_id: u64,
    /// The timeline of the last checkpoint.
    pub timeline: u32,
    /// Whether the server was recovering when it last wrote the file.
    pub in_recovery: bool,
    /// The file's inode.
    pub inode: u64,
    /// The cluster's segment size; `None` where the layout is not the known one.
    pub segment_size: Option<SegmentSize>,
}

/// What a postmaster's pid file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postmaster {
    /// The postmaster's process number.
    pub pid: i32,
    /// When it was started, in seconds since 1970.
    pub started_at: i64,
    /// The folder of its socket. One that has just been started has not written it yet (`CreateDataDirLockFile`, and later
    /// `AddToDataDirLockFile`, both called by `PostmasterMain`).
    pub socket: Option<PathBuf>,
    /// Whether other machines can reach it: it listens not only on a socket, or for this machine.
    pub listens: bool,
    /// Whether it takes connections: `ready`, or `standby` where only reading ones.
    pub takes_connections: bool,
}

/// Which kind of recovery the signal files ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// `standby.signal`: it goes on for ever, and streams where the archive has nothing.
    Standby,
    /// `recovery.signal` alone: what is not there ends it, and a server that stops goes on recovering when it starts again.
    OneShot,
    /// Neither file. A server has removed them and writes its new timeline's history, or `pg_rewind -c` asks; a server
    /// that stops here starts read-write on the old timeline.
    NoSignal,
}

impl DataDirectory {
    /// Takes a path that [`DataDirectory::is_one`] has accepted.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Whether a directory holds a cluster.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        path.join("PG_VERSION").is_file()
    }

    /// The data directory that a path in its `pg_wal` lies in. It tells more than `PGDATA`, which a shell may have left
    /// from another cluster: PostgreSQL starts `archive_command` and `restore_command` in its own data directory.
    #[must_use]
    pub fn of_wal_path(path: &Path) -> Option<PathBuf> {
        let pgdata = path.parent()?.parent()?;
        Self::is_one(pgdata).then(|| pgdata.to_owned())
    }

    /// The path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The owner's number, where we are another user: what we made here would lock the server out.
    #[must_use]
    pub fn foreign_owner(&self) -> Option<u32> {
        let owner = fs::metadata(&self.0).ok()?.uid();
        (owner != rustix::process::geteuid().as_raw()).then_some(owner)
    }

    /// `pg_wal`; it may be a symbolic link.
    #[must_use]
    pub fn pg_wal(&self) -> PathBuf {
        self.0.join("pg_wal")
    }

    /// Where PostgreSQL notes which files wait for archiving.
    #[must_use]
    pub fn archive_status(&self) -> PathBuf {
        self.pg_wal().join("archive_status")
    }

    /// The signal that something was lost.
    #[must_use]
    pub fn gap_marker(&self) -> PathBuf {
        self.0.join(".pgbackrest_gap_pending")
    }

    /// The first line of one of the files that the programs share, if it is there.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<String> {
        let text = fs::read(self.0.join(name)).ok()?;
        Some(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Why the bucket was refused, if it was.
    #[must_use]
    pub fn invalid_bucket(&self) -> Option<String> {
        self.note(".pgbackrest_invalid_bucket")
    }

    /// The repository path of this cluster, if `setup` noted one.
    #[must_use]
    pub fn repository_path(&self) -> Option<String> {
        self.note(".pgbackrest_repo_path").filter(|path| path.starts_with('/'))
    }

    /// What `pg_control` says, if it can be read.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        let mut file = fs::File::open(self.0.join("global/pg_control")).ok()?;
        let inode = file.metadata().ok()?.ino();
        let mut bytes = [0; CONTROL_BYTES];
        file.read_exact(&mut bytes).ok()?;
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        Some(Control {
            system_id: u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?),
            timeline: word(48)?,
            in_recovery: RECOVERY_STATES.contains(&word(16)?),
            inode,
            segment_size: segment_size(&bytes),
        })
    }

    /// Which kind of recovery the signal files ask for (xlogrecovery.c, `readRecoverySignalFile`: standby wins).
    ///
    /// One that can't be looked for counts as `recovery.signal`: too much patience costs less than a promotion.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match (self.0.join("standby.signal").try_exists(), self.0.join("recovery.signal").try_exists()) {
            (Ok(true), _) => Recovery::Standby,
            (Ok(false), Ok(false)) => Recovery::NoSignal,
            _ => Recovery::OneShot,
        }
    }

    /// Whether somebody asks for a promotion that PostgreSQL has not noticed yet: `PROMOTE_SIGNAL_FILE`
    /// (xlogrecovery.c, `CheckPromoteSignal`; `pg_ctl promote` and `pg_promote()` make it), whatever its content or mode.
    #[must_use]
    pub fn promotion_is_asked_for(&self) -> bool {
        self.0.join("promote").symlink_metadata().is_ok()
    }

    /// Whether any file waits for archiving.
    #[must_use]
    pub fn wal_waits(&self) -> bool {
        let entries = fs::read_dir(self.archive_status()).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".ready"))
    }

    /// The newest file that PostgreSQL marked as archived (`.done`), and when; the archiver removes older marks.
    #[must_use]
    pub fn newest_archived(&self) -> Option<(String, SystemTime)> {
        let done = fs::read_dir(self.archive_status()).ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".done").filter(|name| name.parse::<WalFile>().is_ok())?.to_owned();
            Some((changed(&entry.metadata().ok()?), name))
        });
        done.max().map(|(at, name)| (name, at))
    }

    /// Whether a postmaster serves this directory: its pid file is there and the process lives.
    #[must_use]
    pub fn server_runs(&self) -> bool {
        let text = fs::read_to_string(self.0.join("postmaster.pid")).unwrap_or_default();
        text.lines().next().and_then(number_of_process).is_some_and(lives)
    }

    /// What the pid file says of the postmaster, if one lives.
    #[must_use]
    pub fn postmaster(&self) -> Option<Postmaster> {
        let text = fs::read_to_string(self.0.join("postmaster.pid")).ok()?;
        let line = |at: usize| text.lines().nth(at).map(str::trim);
        Some(Postmaster {
            pid: line(0).and_then(number_of_process).filter(|pid| lives(*pid))?.as_raw_pid(),
            started_at: line(2)?.parse().ok()?,
            socket: line(4).filter(|folder| !folder.is_empty()).map(PathBuf::from),
            listens: line(5).is_some_and(|address| !address.is_empty() && !is_this_machine(address)),
            takes_connections: line(STATUS_LINE).is_some_and(|status| ["ready", "standby"].contains(&status)),
        })
    }

    /// The folder of the server's socket and its port, from lines 4 and 5 of the pid file (`utils/pidfile.h`).
    #[must_use]
    pub fn socket(&self) -> (Option<PathBuf>, Option<u16>) {
        let text = fs::read_to_string(self.0.join("postmaster.pid")).unwrap_or_default();
        let line = |at: usize| text.lines().nth(at).map(str::trim).filter(|line| !line.is_empty());
        (line(4).map(PathBuf::from), line(3).and_then(|port| port.parse().ok()))
    }

    /// The `config_file` that the server was last started with, from `postmaster.opts`: each argument in quotes
    /// (`CreateOptsFile`, postmaster.c).
    #[must_use]
    pub fn config_file_option(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.0.join("postmaster.opts")).ok()?;
        let arguments = text.split('"');
        arguments
            .rev()
            .find_map(|argument| argument.trim_start_matches('-').strip_prefix("config_file="))
            .map(Into::into)
    }

    /// The folder of the program that the server was last started from, from `postmaster.opts` (`CreateOptsFile`).
    #[must_use]
    pub fn program_folder(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.0.join("postmaster.opts")).ok()?;
        let program = Path::new(text.split(" \"").next()?.trim());
        program.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned)
    }

    /// Since when the server has been shutting down, if it is.
    #[must_use]
    pub fn stopping_since(&self) -> Option<SystemTime> {
        let path = self.0.join("postmaster.pid");
        let text = fs::read_to_string(&path).ok()?;
        let stopping = text.lines().nth(STATUS_LINE).is_some_and(|status| status.trim() == "stopping");
        if stopping { fs::metadata(&path).and_then(|file: Metadata| file.modified()).ok() } else { None }
    }
}

/// The number in a pid file. A server without a postmaster, such as initdb's, writes its own with a minus before it
/// (miscinit.c, `CreateLockFile`); it is no postmaster.
fn number_of_process(text: &str) -> Option<Pid> {
    text.trim().parse().ok().filter(|number: &i32| *number > 0).and_then(Pid::from_raw)
}

/// Whether a process lives, also as another user (EPERM).
fn lives(pid: Pid) -> bool {
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}

/// Whether an address is of this machine alone.
#[must_use]
pub fn is_this_machine(address: &str) -> bool {
    address == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// When a file was last renamed or written: a rename keeps the time of the content (`pgarch.c` renames `.ready` to `.done`).
fn changed(file: &Metadata) -> SystemTime {
    let seconds = u64::try_from(file.ctime()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// `xlog_seg_size`, at offset 228; `floatFormat` at 208 (1234567.0) shows that the layout is the known one.
fn segment_size(bytes: &[u8; CONTROL_BYTES]) -> Option<SegmentSize> {
    let float = bytes.get(208..216)?.try_into().ok().map(f64::from_ne_bytes)?;
    let size = bytes.get(228..232)?.try_into().ok().map(u32::from_ne_bytes)?;
    if float.to_bits() == 1_234_567.0_f64.to_bits() { u64::from(size).try_into().ok() } else { None }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for PostgreSQL")]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_stopping_only_when_its_pid_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        assert!(directory.stopping_since().is_none());
        for (status, stopping) in [("ready   ", false), ("stopping", true), ("standby ", false), ("", false)] {
            let text = format!("1\n/data\n1763800000\n5432\n/tmp\nlocalhost\n 1 2\n{status}\n");
            fs::write(folder.path().join("postmaster.pid"), text).unwrap();
            assert_eq!(directory.stopping_since().is_some(), stopping, "{status}");
        }
    }

    #[test]
    fn a_postmaster_is_one_that_lives_and_says_what_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        let said = |pid: u32, address: &str, status: &str| {
            let text = format!("{pid}\n/data\n1763800000\n5432\n/tmp\n{address}\n 1 2\n{status}\n");
            fs::write(folder.path().join("postmaster.pid"), text).unwrap();
            directory.postmaster().map(|found| (found.listens, found.takes_connections))
        };
        let own = std::process::id();
        for (address, status, expected) in [
            ("*", "ready   ", (true, true)),
            ("10.0.0.1", "starting", (true, false)),
            ("localhost", "ready", (false, true)),
            ("", "standby ", (false, true)),
            ("", "stopping", (false, false)),
        ] {
            assert_eq!(said(own, address, status), Some(expected), "{address} {status}");
        }
        // A server without a postmaster: initdb's, or one in single-user mode.
        let text = format!("-{own}\n/data\n1763800000\n5432\n/tmp\n*\n 1 2\nready\n");
        fs::write(folder.path().join("postmaster.pid"), text).unwrap();
        assert_eq!((directory.postmaster(), directory.server_runs()), (None, false));
        // The largest number of a process (PID_MAX_LIMIT) is not in use.
        assert_eq!(said(4_194_304, "*", "ready"), None);
        fs::write(folder.path().join("postmaster.pid"), "").unwrap();
        assert_eq!(directory.postmaster(), None);
    }

    #[test]
    fn a_control_file_that_is_too_short_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        fs::create_dir(folder.path().join("global")).unwrap();
        fs::write(folder.path().join("global/pg_control"), [1; 20]).unwrap();
        assert_eq!(directory.control(), None);
        let mut bytes = vec![0; 8192];
        bytes[..8].copy_from_slice(&42_u64.to_ne_bytes());
        bytes[16] = 5;
        bytes[48] = 3;
        fs::write(folder.path().join("global/pg_control"), bytes).unwrap();
        let control = directory.control().unwrap();
        assert_eq!((control.system_id, control.timeline, control.in_recovery), (42, 3, true));
    }
}
