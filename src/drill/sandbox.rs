//! The sandbox: a folder beside the data directory, of one drill at a time, and the server in it.
//!
//! What a killed drill left there is cleared by the next one, whose lock shows that nobody works there. A folder that holds
//! something else is never touched.

use super::process::{self, Call, SIGNAL};
use crate::data_directory::DataDirectory;
use crate::durable;
use crate::pgbackrest::end_left;
use crate::postgres::Postgres;
use crate::restore::{self, working_folder};
use crate::settings::Connection;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// The file that shows that a folder is a drill's, and that a drill holds a lock on.
const OWNER: &str = "pgbackrest-guard-drill";
/// How long a server may take to take connections after a clean stop, or to stop.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// The folder of a drill.
pub(super) struct Sandbox {
    folder: PathBuf,
    _lock: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSandbox {
    /// It belongs to something else.
    #[error("{} is not empty and not a drill's: empty it, or set WAL_DRILL_DIR to another folder", .0.display())]
    Foreign(PathBuf),
    /// Another drill works there.
    #[error("another drill is running in {}", .0.display())]
    Busy(PathBuf),
    /// A server runs there.
    #[error(transparent)]
    Left(restore::Stays),
    /// A restore works there.
    #[error("a restore that an earlier drill left running in {} could not be ended: end it yourself", .0.display())]
    Restore(PathBuf),
    /// It can't be made.
    #[error("{} can't be created: {source}; set WAL_DRILL_DIR to another folder", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl Sandbox {
    /// Makes it, or enters and clears what an earlier drill has left.
    pub(super) fn enter(folder: &Path) -> Result<Self, NoSandbox> {
        let failed = |source| NoSandbox::Io { folder: folder.to_owned(), source };
        durable::create_private_folder(folder).map_err(failed)?;
        let owner = folder.join(OWNER);
        let is_empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !is_empty && !owner.exists() {
            return Err(NoSandbox::Foreign(folder.to_owned()));
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&owner).map_err(failed)?;
        if fs2::FileExt::try_lock_exclusive(&lock).is_err() {
            return Err(NoSandbox::Busy(folder.to_owned()));
        }
        // What works in it names it without links.
        let sandbox = Self { folder: fs::canonicalize(folder).map_err(failed)?, _lock: lock };
        sandbox.end_left()?;
        sandbox.clear().map_err(failed)?;
        durable::create_private_folder(&sandbox.server()).map_err(failed)?;
        restore::make_socket(&sandbox.server()).map_err(failed)?;
        Ok(sandbox)
    }

    /// Ends what works in it: a restore and its pgBackRest outlive a drill that is killed, and a server a restore that is.
    pub(super) fn end_left(&self) -> Result<(), NoSandbox> {
        let words = ["--target=", "--pg1-path="].map(|flag| format!("{flag}{}", self.data().display()));
        if !end_left(&words) {
            return Err(NoSandbox::Restore(self.folder.clone()));
        }
        self.end_leftover().map_err(NoSandbox::Left)
    }

    /// The data directory of the copy.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder of the server's socket, log and configuration.
    pub(super) fn server(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// Where a stage's program writes.
    pub(super) fn log(&self, stage: &str) -> PathBuf {
        self.folder.join(format!("{stage}.log"))
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Ends a server that a killed drill has left: one that listens in this folder, and no other.
    fn end_leftover(&self) -> Result<(), restore::Stays> {
        let sockets = self.servers().map(|folder| restore::socket(&folder));
        restore::end_leftover(&DataDirectory::new(self.data()), &sockets, &mut |pause| {
            std::thread::sleep(pause);
            false
        })
    }

    /// Where a server works: the drill's own, and that of its restore.
    fn servers(&self) -> [PathBuf; 2] {
        [self.server(), working_folder(&self.folder, &self.data())]
    }

    /// Removes everything but the lock.
    fn clear(&self) -> io::Result<()> {
        for folder in self.servers() {
            restore::unlink_socket(&folder)?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() == OWNER {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn remove(self) -> io::Result<()> {
        self.clear()?;
        fs::remove_file(self.folder.join(OWNER))?;
        fs::remove_dir(&self.folder)
    }
}

/// The server on the copy.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it, to itself, and waits until it takes connections.
    pub(super) fn start(
        sandbox: &Sandbox,
        programs: &Path,
        must_end: &mut dyn FnMut() -> bool,
    ) -> Result<Self, String> {
        let folder = sandbox.server();
        let settings = restore::isolation(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut arguments = vec!["-D".into(), sandbox.data().into_os_string()];
        for setting in settings {
            arguments.extend(["-c".into(), setting]);
        }
        let call = Call { program: programs.join("postgres"), arguments, environment: Vec::new() };
        let log = sandbox.log("server");
        let child = process::start(&call, &log).map_err(|error| format!("it can't be started: {error}"))?;
        let mut server = Self { child, log };
        let until = Instant::now() + PATIENCE;
        loop {
            if !matches!(server.child.try_wait(), Ok(None)) {
                return Err(format!("it ended at once: {}", last_line(&process::tail(&server.log))));
            }
            if DataDirectory::new(sandbox.data()).postmaster().is_some_and(|found| found.takes_connections) {
                return Ok(server);
            }
            if must_end() {
                return Err(SIGNAL.to_owned());
            }
            if Instant::now() >= until {
                return Err(format!("it accepts no connections after {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Stops it cleanly. Whether it did.
    pub(super) fn stop(&mut self) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let until = Instant::now() + PATIENCE;
        let _ = pid.map(|pid| kill_process(pid, Signal::INT));
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() >= until {
                let _ = pid.map(|pid| kill_process(pid, Signal::QUIT));
                let _ = self.child.wait();
                return false;
            }
            std::thread::sleep(INTERVAL);
        }
        matches!(self.child.try_wait(), Ok(Some(status)) if status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// The role to look at the copy as: a superuser of those that it has, by one of the roles that may be meant.
pub(super) fn role(sandbox: &Sandbox, roles: &[String]) -> Option<String> {
    let data = DataDirectory::new(sandbox.data());
    roles.iter().find_map(|role| {
        let host = Some(restore::socket(&sandbox.server()));
        let connection = Connection { host, port: Some(restore::PORT), user: Some(role.clone()), database: None };
        let superuser = Postgres::of(&data, &connection).superuser().ok()?;
        Some(superuser.unwrap_or_else(|| role.clone()))
    })
}

/// The last line that says something.
pub(super) fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("no output").chars().take(300).collect()
}
