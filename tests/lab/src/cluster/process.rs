//! The server's process: starting, watching and stopping it.
//!
//! The test is the postmaster's parent, so an end is seen at once. `postmaster.pid`'s eighth line
//! tells the state (miscinit.c, `LOCK_FILE_LINE_PM_STATUS`): `starting`, `standby`, `ready`, `stopping`.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Cluster;
use crate::{Lab, wait};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_mins(2);

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for sessions to end (SIGTERM).
    Smart,
    /// Ends sessions, writes a checkpoint and archives what is ready (SIGINT).
    Fast,
    /// As in a crash (SIGQUIT).
    Immediate,
}

impl Cluster {
    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// The end of the log, when it ended instead or did not get there in 30 seconds.
    pub fn start(&self) -> Result<(), String> {
        self.start_recovery();
        if self.wait_ready(START) { Ok(()) } else { Err(self.log_tail()) }
    }

    /// Starts the server and waits for nothing.
    pub fn start_recovery(&self) {
        assert!(!self.is_running(), "the cluster {} already runs", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut postgres = self.lab.command(postgres_program("postgres"));
        postgres.arg("-D").arg(&self.pgdata);
        for setting in self.fixed_settings() {
            postgres.arg("-c").arg(setting);
        }
        let server = postgres.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        *self.server() = Some(server);
    }

    /// On the command line, because a restored cluster brings its origin's along.
    fn fixed_settings(&self) -> [String; 4] {
        [
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.socket_dir().display()),
            format!("listen_addresses={}", if self.tcp { "127.0.0.1" } else { "" }),
            "logging_collector=off".to_owned(),
        ]
    }

    /// Starts the server again after a fast stop.
    pub fn restart(&self) {
        self.stop(StopMode::Fast);
        self.start().unwrap_or_else(|log| panic!("the cluster {} does not start again:\n{log}", self.name));
    }

    /// Stops the server and tells how long that took; panics after 120 seconds.
    pub fn stop(&self, mode: StopMode) -> Duration {
        let start = Instant::now();
        self.request_stop(mode);
        let stopped = self.wait_stopped(STOP);
        assert!(stopped, "the cluster {} does not stop\n{}", self.name, self.log_tail());
        start.elapsed()
    }

    /// Asks the server to stop and waits for nothing.
    pub fn request_stop(&self, mode: StopMode) {
        let signal = match mode {
            StopMode::Smart => Signal::TERM,
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        if self.is_running() {
            self.signal(signal);
        }
    }

    /// Kills the postmaster by SIGKILL, as the kernel does when memory runs out; its children follow.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_stopped(STOP);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().expect("a running server");
        Lab::signal(pid, signal);
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        let mut server = self.server();
        let child = server.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| i32::try_from(child.id()).unwrap())
    }

    /// Whether the postmaster runs.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// How the postmaster ended, once it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.server().as_mut()?.try_wait().unwrap()
    }

    /// Waits until the server takes connections; false when it ended or the time is over.
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.wait_state(timeout, &["ready", "standby"])
    }

    /// Waits until recovery has ended and the server takes writes; false when it ended or the time is over.
    ///
    /// `postmaster.pid` says `ready` already when a recovering server begins to take read-only
    /// connections (postmaster.c, `PMSIGNAL_BEGIN_HOT_STANDBY`), so the server itself is asked.
    pub fn wait_promoted(&self, timeout: Duration) -> bool {
        let promoted = || self.try_sql("SELECT pg_is_in_recovery()").is_ok_and(|answer| answer == "f");
        wait::within(timeout, || promoted() || !self.is_running()) && self.is_running()
    }

    /// Waits until the server has ended; false when the time is over.
    pub fn wait_stopped(&self, timeout: Duration) -> bool {
        wait::within(timeout, || !self.is_running())
    }

    fn wait_state(&self, timeout: Duration, states: &[&str]) -> bool {
        let reached = || self.state().is_some_and(|state| states.contains(&state.as_str()));
        wait::within(timeout, || reached() || !self.is_running()) && self.is_running()
    }

    /// The state in `postmaster.pid`, when that file is of the running postmaster.
    fn state(&self) -> Option<String> {
        let text = fs::read_to_string(self.pgdata.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let state = lines.nth(6)?.trim().to_owned();
        (self.pid() == Some(pid)).then_some(state)
    }

    /// Ends the server whatever it does; for dropping the cluster.
    pub(super) fn end(&self) {
        self.request_stop(StopMode::Immediate);
        if !self.wait_stopped(Duration::from_secs(10)) {
            self.signal(Signal::KILL);
        }
        if let Some(mut child) = self.server().take() {
            child.wait().map(drop).unwrap_or_default();
        }
    }

    /// The archiver's process, by its title: `pg_stat_activity` shows it from 14 on only.
    pub fn archiver(&self) -> Option<i32> {
        let postmaster = self.pid()?;
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).ok()?;
        let is_archiver = |pid: &&str| {
            let title = fs::read_to_string(format!("/proc/{pid}/cmdline"));
            title.is_ok_and(|title| title.starts_with("postgres: archiver"))
        };
        children.split_whitespace().find(is_archiver)?.parse().ok()
    }

    /// Has the archiver look for work at once. From 14 on a reload does so; before, it sleeps out its minute unless a segment
    /// is completed (pgarch.c, `pgarch_MainLoop`: only SIGUSR1 sets `wakened`), so there this is that signal.
    pub fn wake_archiver(&self) {
        if self.major() < 14
            && let Some(archiver) = self.archiver()
        {
            Lab::signal(archiver, Signal::USR1);
        }
    }

    /// The major version that the data directory is of.
    fn major(&self) -> u32 {
        fs::read_to_string(self.pgdata.join("PG_VERSION")).unwrap().trim().parse().unwrap()
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of `PostgreSQL`'s programs: `LAB_POSTGRES`, or that of the newest version below `/usr/lib/postgresql`.
pub fn postgres_programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("LAB_POSTGRES") {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed").flatten();
    let newest = versions.max_by_key(|entry| version(&entry.path())).expect("PostgreSQL is not installed");
    newest.path().join("bin")
}

pub(super) fn postgres_program(name: &str) -> PathBuf {
    postgres_programs().join(name)
}

fn version(folder: &std::path::Path) -> u32 {
    folder.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

/// Runs a program to its end; panics with what it wrote when it fails.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
