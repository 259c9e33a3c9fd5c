//! Which of pgBackRest's processes may still read a WAL file, and their end.
//!
//! Once `archive_command` has returned 0, PostgreSQL recycles the segment: it renames the file and writes other WAL into it
//! (xlog.c, `InstallXLogFileSegment`). The async process has read its list of files before (`archivePushProcessList`,
//! src/command/archive/push/push.c, 2.45 to 2.60) and goes on with it, so it would store that other WAL under the old name.
//! A process to which SIGKILL was sent reads nothing more, even where it can't end yet.

use super::client::Client;
use super::progress;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a process has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether it has ended.
const INTERVAL: Duration = Duration::from_millis(20);

impl Client {
    /// Sees to it that no pgBackRest reads the file any more: the async process is ended unless it is done with the file.
    /// False where one could not be ended.
    #[must_use]
    pub fn release(&self, path: &Path) -> bool {
        let file = fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut released = true;
        if let Some((worker, since)) = self.spool.as_ref().and_then(super::spool::Spool::worker) {
            let reads = || {
                progress::processes().into_iter().any(|pid| in_group(pid, worker.group) && has_open(pid, &name, file))
            };
            let done = self.spool.as_ref().is_some_and(|spool| spool.is_done_with(&name, since));
            if !done || reads() {
                tracing::warn!(
                    "pgBackRest's async process {} is ended: PostgreSQL may write other WAL into {name} from now on",
                    worker.pid
                );
                released &= end(&[worker.pid], worker.pid == worker.group);
            }
        }
        let mut readers = progress::processes();
        readers.retain(|pid| pushes(*pid) && has_open(*pid, &name, file));
        for pid in &readers {
            tracing::warn!("pgBackRest's process {pid} still reads {name}, and is ended");
        }
        released & end(&readers, false)
    }

    /// Ends the async process, if one runs: it pushes to every repository, dead ones too, and two processes that store the same
    /// file at once in a folder write into one temporary file. False where it could not be ended.
    #[must_use]
    pub fn end_worker(&self) -> bool {
        let Some((worker, _)) = self.spool.as_ref().and_then(super::spool::Spool::worker) else { return true };
        tracing::info!("pgBackRest's async process {} is ended: the repositories are asked one by one", worker.pid);
        end(&[worker.pid], worker.pid == worker.group)
    }

    /// Ends the pgBackRest that a killed restore has left, if one still copies: `own` is the folder that only that restore's
    /// calls have their lock in. Before 2.56 `restore` takes no lock, and the next one would copy beside it. False where it could
    /// not be ended.
    #[must_use]
    pub fn end_left_restore(&self, own: &Path) -> bool {
        end_left(&[format!("--lock-path={}", own.join("lock").display())])
    }

    /// The process group of the async process that runs, if one does.
    #[must_use]
    pub fn worker_group(&self) -> Option<u32> {
        self.spool.as_ref()?.worker().map(|(worker, _)| worker.group)
    }

    /// Whether the async process that runs has not taken its turn with a file yet.
    #[must_use]
    pub fn is_to_store(&self, name: &str) -> bool {
        let spool = self.spool.as_ref();
        spool.and_then(|spool| Some(!spool.is_done_with(name, spool.worker()?.1))).unwrap_or_default()
    }

    /// How many files the spool shows as stored.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.spool.as_ref().map_or(0, super::spool::Spool::acknowledged)
    }
}

/// Ends what an earlier run has left: the processes that have one of these arguments, which no other program has. Those of other
/// mount namespaces are left alone: the same path is another folder there. False where one could not be ended.
#[must_use]
pub fn end_left(words: &[String]) -> bool {
    let space = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let own = space("self");
    let is_left = |pid: &u32| {
        arguments(*pid).split('\0').any(|word| words.iter().any(|other| other == word))
            && space(&pid.to_string()) == own
    };
    let left: Vec<u32> = progress::processes().into_iter().filter(is_left).collect();
    for pid in &left {
        tracing::info!("process {pid} of an earlier run is still there, and is ended");
    }
    end(&left, false)
}

fn in_group(pid: u32, group: u32) -> bool {
    progress::group(pid) == Some(group)
}

/// A process's arguments, each with a NUL behind it.
fn arguments(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned()
}

/// Whether a process is a pgBackRest that pushes WAL, by its arguments.
fn pushes(pid: u32) -> bool {
    let arguments = arguments(pid);
    let mut words = arguments.split('\0');
    words.clone().any(|word| word.starts_with("archive-push")) && words.any(|word| word.ends_with("pgbackrest"))
}

/// Whether a process has the file of this name, device and inode open. Only files of that name are asked for more: what else it
/// has open may lie on a volume that does not answer.
fn has_open(pid: u32, name: &str, file: Option<(u64, u64)>) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = open.filter(|open| fs::read_link(open).is_ok_and(|to| to.file_name().is_some_and(|to| to == name)));
    let mut open = named.filter_map(|open| fs::metadata(open).ok());
    file.is_some_and(|file| open.any(|open| (open.dev(), open.ino()) == file))
}

/// SIGTERM to all, and SIGKILL after the grace. False where we may not.
pub(super) fn end(pids: &[u32], with_group: bool) -> bool {
    let send = |pid: u32, signal| {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
        if with_group { kill_process_group(process, signal) } else { kill_process(process, signal) }
    };
    for pid in pids {
        let _ = send(*pid, Signal::TERM);
    }
    let started = Instant::now();
    let there = || {
        let is_meant = |other: u32| pids.iter().any(|pid| other == *pid || with_group && in_group(other, *pid));
        progress::processes().into_iter().any(|other| is_meant(other) && runs(other))
    };
    while !pids.is_empty() && there() && started.elapsed() < GRACE {
        std::thread::sleep(INTERVAL);
    }
    pids.iter().all(|pid| matches!(send(*pid, Signal::KILL), Ok(()) | Err(rustix::io::Errno::SRCH)))
}

/// Whether a process is there and no zombie.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}
