//! Throw-away `PostgreSQL` clusters of the newest version installed.

mod archiving;
mod builder;
mod process;
mod sql;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, thread};

pub use builder::ClusterBuilder;
pub use process::{StopMode, postgres_programs};

use crate::{Lab, wait};

/// A cluster of `PostgreSQL`, running or not; it is stopped when this is dropped.
pub struct Cluster {
    lab: Lab,
    name: String,
    pgdata: PathBuf,
    port: u16,
    tcp: bool,
    segment_bytes: u64,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// Describes a new cluster; nothing exists before [`ClusterBuilder::start`] or `create`.
    pub fn builder(lab: &Lab) -> ClusterBuilder {
        ClusterBuilder::new(lab)
    }

    /// The data directory.
    pub fn pgdata(&self) -> &Path {
        &self.pgdata
    }

    /// The folder of the WAL.
    pub fn pg_wal(&self) -> PathBuf {
        self.pgdata.join("pg_wal")
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.lab.path()
    }

    /// The port: part of the socket's name, and the TCP port when the cluster listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The size of a WAL segment in bytes.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// A connection string of libpq for this cluster, as for `primary_conninfo`.
    pub fn conninfo(&self) -> String {
        format!("host={} port={} user=postgres dbname=postgres", self.socket_dir().display(), self.port)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The server's log file.
    pub fn log_file(&self) -> PathBuf {
        self.lab.path().join(format!("{}.log", self.name))
    }

    /// Polls until `condition` holds; panics with the server's log when it does not within `timeout`.
    #[track_caller]
    pub fn wait_until(&self, what: &str, timeout: Duration, condition: impl FnMut() -> bool) {
        let held = wait::within(timeout, condition);
        assert!(held, "not within {timeout:?}: {what}\n{}", self.log_tail());
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        format!("--- the end of {}\n{}", self.log_file().display(), tail.join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        self.end();
    }
}
