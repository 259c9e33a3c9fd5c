//! Whether CMD's server takes connections, as its pid file tells.
//!
//! What lay there when we started is left over from a server that died; its pid may well be another process's by now, CMD's
//! own among them: in a container the same programs get the same numbers at each boot.

use super::processes;
use crate::data_directory::DataDirectory;
use crate::decide::supervisor::Server;
use rustix::process::Pid;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

/// Looks for the server of a data directory.
#[derive(Debug)]
pub(super) struct Lookout {
    directory: DataDirectory,
    left_over: Option<Stamp>,
}

/// What differs between two files, and between two states of one.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, Option<SystemTime>);

impl Lookout {
    /// Before CMD is started: what lies there now is no sign of a server.
    pub(super) fn new(directory: DataDirectory) -> Self {
        let left_over = stamp(&directory);
        Self { directory, left_over }
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    /// The server, once it takes connections.
    pub(super) fn server(&self, command: Pid) -> Option<Server> {
        let postmaster = self.directory.postmaster().filter(|postmaster| postmaster.takes_connections)?;
        if stamp(&self.directory) == self.left_over || !DataDirectory::is_one(self.directory.path()) {
            return None;
        }
        Some(Server {
            is_commands: processes::belongs_to(postmaster.pid, command),
            listens: postmaster.listens,
            knows_configuration: self.configured_at().is_some_and(|at| postmaster.started_at > at),
        })
    }

    /// When archiving was configured, in seconds since 1970.
    fn configured_at(&self) -> Option<i64> {
        let file = fs::metadata(self.directory.path().join("conf.d/pgbackrest.conf")).ok()?;
        Some(file.mtime())
    }
}

fn stamp(directory: &DataDirectory) -> Option<Stamp> {
    let path: PathBuf = directory.path().join("postmaster.pid");
    fs::metadata(path).ok().map(|file: Metadata| Stamp(file.ino(), file.modified().ok()))
}
