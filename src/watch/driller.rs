//! The watcher's own drills: `pgbackrest-guard drill` as a program of its own, beside the loop, one at a time.
//!
//! None begins beside a backup, and a backup that is to begin ends one: a drill can wait, and the next one clears what this one
//! left. When the newest drill was, its record says, so that a watcher that is started anew makes none too early.

use super::cluster::Cluster;
use crate::drill_record::DrillRecord;
use crate::epoch;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a drill may take to end, once it is told to.
const GRACE: Duration = Duration::from_secs(3);
/// After a drill that left no record none is tried for so long, in seconds.
const PAUSE: i64 = 3_600;

/// The drill that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Driller {
    child: Option<Child>,
    /// When one was last begun, in seconds since 1970.
    begun_at: Option<i64>,
}

impl Driller {
    /// Takes up one that has ended, and begins the next when it is time. `may_begin`: no backup runs.
    pub(super) fn look(&mut self, cluster: &Cluster, may_begin: bool) {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) => {
                    let line = match status.code() {
                        Some(0) => "the drill has passed",
                        Some(1) => "the drill has failed: status says what",
                        _ => "the drill could not check everything: status says why",
                    };
                    tracing::info!("{line}");
                }
                Err(error) => tracing::warn!("the drill is lost: {error}"),
            }
            self.child = None;
        }
        let interval = i64::try_from(cluster.request().watch.drill_interval.get()).unwrap_or(i64::MAX);
        if !may_begin || interval == 0 || !self.is_due(cluster, interval) {
            return;
        }
        self.begun_at = Some(epoch::now());
        match start(cluster) {
            Ok(child) => {
                tracing::info!("a restore drill begins");
                self.child = Some(child);
            }
            Err(error) => tracing::warn!("a drill can't be started: {error}"),
        }
    }

    fn is_due(&self, cluster: &Cluster, interval: i64) -> bool {
        let now = epoch::now();
        let recorded = DrillRecord::read(cluster.ledger.folder()).map(|record| record.at);
        // A stamp of a clock that was ahead means nothing.
        let since = |at: Option<i64>| at.filter(|at| *at <= now).map_or(i64::MAX, |at| now - at);
        since(recorded) >= interval && since(self.begun_at) >= PAUSE.min(interval)
    }

    /// Ends the one that runs, with all that it has started.
    pub(super) fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        signal(Signal::TERM);
        let until = Instant::now() + GRACE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                signal(Signal::KILL);
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Driller {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a drill of the cluster, as the watcher was started.
fn start(cluster: &Cluster) -> std::io::Result<Child> {
    let common = &cluster.request().common;
    let mut arguments: Vec<OsString> = vec!["drill".into()];
    let mut path = |flag: &str, path: &std::path::Path| {
        let mut argument = OsString::from(flag);
        argument.push(path);
        arguments.push(argument);
    };
    path("--pgdata=", cluster.directory().path());
    path("--state-dir=", cluster.ledger.folder());
    path("--pgbackrest=", &common.pgbackrest.value);
    if let Some(config) = &common.pgbackrest_config {
        path("--pgbackrest-config=", &config.value);
    }
    arguments.push(format!("--stanza={}", common.stanza.value).into());
    #[expect(clippy::disallowed_methods, reason = "the drill is not pgBackRest")]
    let mut command = Command::new(std::env::current_exe()?);
    // A drill's own words are for a person at a terminal; what it came to stands in status.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn()
}
