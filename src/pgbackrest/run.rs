//! Runs a pgBackRest and watches it: its output, its end, the clock, and our own signals.
//!
//! One thread, one `poll`: the two pipes, the child's pidfd (Linux 5.3; where a seccomp profile forbids it, the child is asked
//! for again and again), and a pipe that our signal handlers write to. The end is what the pidfd says, not the end of the pipes: pgBackRest's async process closes its descriptors
//! (`forkDetach`, src/common/fork.c), but nothing else promises to. A child is ended by SIGTERM to its process group
//! and SIGKILL after two seconds, because before 2.58 SIGTERM could deadlock (#2710); its async process, in a session
//! of its own, lives on. One in uninterruptible sleep (a dead NFS or FUSE mount) does not end by SIGKILL either, and is left
//! behind: it runs no instruction of its own any more.

use super::watch::{Interruption, Watch};
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What is kept of stderr: pgBackRest's messages are 8 KiB at most each, and reading them takes their size several times.
const KEPT_BYTES_OF_STDERR: usize = 256 << 10;
/// The most that a pipe holds (`fs.pipe-max-size`).
const LARGEST_PIPE: usize = 1 << 20;

/// How long a child is waited for after SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// SIGTERM's grace while the server stops.
const GRACE_IN_A_STOP: Duration = Duration::from_millis(200);
/// How often a child is asked for that has no pidfd.
const WITHOUT_PIDFD: Duration = Duration::from_millis(10);

/// How a child ended, or why there is none.
#[derive(Debug)]
pub(super) enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, sent by somebody else.
    Signaled(i32),
    /// We ended it.
    Interrupted(Interruption),
    /// It was never started.
    NotStarted(io::Error),
}

/// A child that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended.
    pub(super) ending: Ending,
    /// What it wrote to stdout, at most 1 MiB.
    pub(super) stdout: Vec<u8>,
    /// Whether it wrote more than was kept: then nothing follows from what is not there.
    pub(super) cut: bool,
    /// What it wrote to stderr, at most 256 KiB.
    pub(super) stderr: Vec<u8>,
}

/// Runs `command` to its end, or ends it when `watch` says so.
pub(super) fn run(mut command: Command, keep: usize, watch: &mut Watch<'_>) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn().and_then(|child| Running::new(child, keep)) {
        Ok(mut running) => running.watch_to_the_end(watch),
        Err(error) => Ended { ending: Ending::NotStarted(error), cut: false, stdout: Vec::new(), stderr: Vec::new() },
    }
}

struct Running {
    child: Child,
    group: Pid,
    exited: Option<OwnedFd>,
    status: Option<ExitStatus>,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Takes a child over; one that can't be watched is ended again.
    fn new(mut child: Child, keep: usize) -> io::Result<Self> {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        match Self::parts(&mut child, group, keep) {
            Ok((exited, stdout, stderr)) => Ok(Self { child, group, exited, status: None, stdout, stderr }),
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                Err(error)
            }
        }
    }

    fn parts(child: &mut Child, group: Pid, keep: usize) -> io::Result<(Option<OwnedFd>, Stream, Stream)> {
        let exited = pidfd_open(group, PidfdFlags::empty()).ok();
        let stdout = Stream::new(child.stdout.take().map(OwnedFd::from), keep)?;
        let stderr = Stream::new(child.stderr.take().map(OwnedFd::from), KEPT_BYTES_OF_STDERR)?;
        Ok((exited, stdout, stderr))
    }

    fn watch_to_the_end(&mut self, watch: &mut Watch<'_>) -> Ended {
        let mut due = Instant::now() + watch.interval;
        let mut reason = None;
        while !self.wait(due, watch.signals) {
            let asked = watch.signals.is_some_and(Signals::arrived);
            reason = if asked { Some(Interruption::Signal) } else { (watch.check)(self.child.id()) };
            if reason.is_some() {
                let in_a_stop = reason == Some(Interruption::Shutdown);
                self.end(watch.signals, if in_a_stop { watch.grace.min(GRACE_IN_A_STOP) } else { watch.grace });
                break;
            }
            if Instant::now() >= due {
                due = Instant::now() + watch.interval;
            }
        }
        let status = self.last_status();
        self.stdout.drain();
        self.stderr.drain();
        let ending = reason.map_or_else(|| by_itself(status), Ending::Interrupted);
        let cut = self.stdout.cut || self.stderr.cut;
        Ended {
            ending,
            cut,
            stdout: std::mem::take(&mut self.stdout.kept),
            stderr: std::mem::take(&mut self.stderr.kept),
        }
    }

    /// How the child ended. One that has been killed and is still there is not waited for any longer.
    fn last_status(&mut self) -> io::Result<ExitStatus> {
        let until = Instant::now() + LAST_WAIT;
        loop {
            if self.has_ended()? {
                return self.status.ok_or_else(|| io::ErrorKind::TimedOut.into());
            }
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.wait(Instant::now() + WITHOUT_PIDFD, None);
        }
    }

    fn has_ended(&mut self) -> io::Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_some())
    }

    /// Reads output until the child has ended (true), a signal came, or `until` is reached.
    fn wait(&mut self, until: Instant, signals: Option<&Signals>) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ready = self.poll(left, signals);
            let exited = ready.exited || self.exited.is_none() && self.has_ended().unwrap_or(true);
            self.stdout.drain();
            self.stderr.drain();
            if exited {
                return true;
            }
            if ready.signalled || left.is_zero() {
                return false;
            }
        }
    }

    fn poll(&self, left: Duration, signals: Option<&Signals>) -> Ready {
        let streams = [&self.stdout, &self.stderr];
        let watched = self.exited.iter().chain(streams.iter().filter_map(|stream| stream.fd.as_ref()));
        let mut fds: Vec<PollFd<'_>> = watched.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let at = fds.len();
        fds.extend(signals.map(|signals| PollFd::new(signals, PollFlags::IN)));
        let left = if self.exited.is_some() { left } else { left.min(WITHOUT_PIDFD) };
        let timeout = left.try_into().ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Ready { exited: false, signalled: false };
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ready { exited: self.exited.is_some() && is_ready(0), signalled: is_ready(at) }
    }

    /// SIGTERM to the whole group, SIGKILL when the child is still there after the grace, or has left others behind.
    fn end(&mut self, signals: Option<&Signals>, grace: Duration) {
        if !signals.is_some_and(Signals::quit) {
            let _ = kill_process_group(self.group, Signal::TERM);
            // A signal of ours that comes now ends the grace, and is left for the caller to see.
            self.wait(Instant::now() + grace, signals);
        }
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

struct Ready {
    exited: bool,
    signalled: bool,
}

fn by_itself(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, signal) => Ending::Signaled(signal.unwrap_or_default()),
        },
        Err(error) => Ending::NotStarted(error),
    }
}

/// One pipe from the child and what has been read of it.
struct Stream {
    fd: Option<OwnedFd>,
    kept: Vec<u8>,
    most: usize,
    cut: bool,
}

impl Stream {
    fn new(fd: Option<OwnedFd>, most: usize) -> io::Result<Self> {
        if let Some(fd) = &fd {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(Self { fd, kept: Vec::new(), most, cut: false })
    }

    /// Reads what is there, at most a full pipe, so that a child that never stops writing holds nothing up. Forgets
    /// the pipe at its end.
    fn drain(&mut self) {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..LARGEST_PIPE / buffer.len() {
            let Some(fd) = &self.fd else { return };
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => self.fd = None,
                Ok(count) => {
                    let room = self.most.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
                    self.cut |= room < count;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.fd = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;

    /// What is kept of stdout here.
    const KEPT: usize = 1 << 20;
    const LONG: Duration = Duration::from_secs(2);

    fn sh(script: &str, interval: Duration, why: Option<Interruption>) -> Ended {
        #[expect(clippy::disallowed_methods, reason = "a shell stands in for pgBackRest")]
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).process_group(0);
        let signals = Signals::take().unwrap();
        run(command, KEPT, &mut Watch::by(|_| why).every(interval).and_signals(&signals))
    }

    #[test]
    fn a_code_and_a_signal_are_kept_apart() {
        let ended = sh("echo out; echo err >&2; exit 103", LONG, None);
        assert!(matches!(ended.ending, Ending::Exited(103)));
        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(matches!(sh("kill -9 $$", LONG, None).ending, Ending::Signaled(9)));
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipes_open_is_not_waited_for() {
        let ended = sh("sleep 30 & echo done", LONG, None);
        assert!(matches!(ended.ending, Ending::Exited(0)));
        assert_eq!(ended.stdout, b"done\n");
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let ended =
            sh("trap '' TERM; while :; do sleep 0.1; done", Duration::from_millis(50), Some(Interruption::Stall));
        assert!(matches!(ended.ending, Ending::Interrupted(Interruption::Stall)));
    }

    #[test]
    fn a_child_that_never_stops_writing_is_ended() {
        let ended = sh("cat /dev/zero /dev/zero >&2", Duration::from_millis(50), Some(Interruption::Stall));
        assert!(matches!(ended.ending, Ending::Interrupted(Interruption::Stall)));
    }

    #[test]
    fn more_output_than_is_kept_does_not_block_the_child() {
        let ended = sh("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 7", LONG, None);
        assert!(matches!(ended.ending, Ending::Exited(7)));
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (KEPT, KEPT_BYTES_OF_STDERR));
    }
}
