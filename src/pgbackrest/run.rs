//! Runs a pgBackRest and watches it: its output, its end, the clock, and our own signals.
//!
//! One thread, one `poll`: the two pipes, the child's pidfd (Linux 5.3), and a pipe that our signal handlers write
//! to. The end is what the pidfd says, not the end of the pipes: pgBackRest's async process closes its descriptors
//! (`forkDetach`, src/common/fork.c), but nothing else promises to. A child is ended by SIGTERM to its process group
//! and SIGKILL after two seconds, because before 2.58 SIGTERM could deadlock (#2710); its async process, in a session
//! of its own, lives on.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is usually kept of stdout, where `info` writes its JSON; the rest is read and thrown away.
pub const KEPT_BYTES: usize = 1 << 20;
/// What is kept of stderr: pgBackRest's messages are 8 KiB at most each, and reading them takes their size several times.
const KEPT_BYTES_OF_STDERR: usize = 256 << 10;
/// The most that a pipe holds (`fs.pipe-max-size`).
const LARGEST_PIPE: usize = 1 << 20;
/// How long a child has between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// How a child ended, or why there is none.
#[derive(Debug)]
pub enum Ending<R> {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, sent by somebody else.
    Signaled(i32),
    /// We ended it, for this reason.
    Stopped(R),
    /// It was never started.
    NotStarted(io::Error),
}

/// A child that has ended.
#[derive(Debug)]
pub struct Ended<R> {
    /// How.
    pub ending: Ending<R>,
    /// What it wrote to stdout, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// Whether it wrote more than was kept: then nothing follows from what is not there.
    pub cut: bool,
    /// What it wrote to stderr, at most 256 KiB.
    pub stderr: Vec<u8>,
}

/// Our own signals: SIGTERM, SIGINT, SIGHUP and SIGQUIT are written to a pipe instead of ending the program.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
    quit: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the four signals over, for the rest of the process's life.
    ///
    /// # Errors
    /// When the pipe or a handler can't be had.
    pub fn take() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        let quit = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGQUIT, Arc::clone(&quit))?;
        Ok(Self { pipe: reader, quit })
    }

    /// Waits for a signal, at most `longest`. True when one came.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.arrived() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let _ = poll(&mut fds, left.try_into().ok().as_ref());
        }
    }

    fn arrived(&self) -> bool {
        matches!((&self.pipe).read(&mut [0]), Ok(1..))
    }

    /// Whether it was SIGQUIT: PostgreSQL's immediate shutdown, with no time for a clean end.
    fn quit(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }
}

/// What a child is watched for.
pub struct Watch<'w, R> {
    /// Asked every `interval`, with the number of the child's process group: a reason to end the child.
    pub check: &'w mut dyn FnMut(u32) -> Option<R>,
    /// How often.
    pub interval: Duration,
    /// The reason when one of our own signals arrives.
    pub on_signal: R,
    /// How many bytes of stdout are kept.
    pub keep: usize,
    /// How long the child has between SIGTERM and SIGKILL, [`GRACE`] unless somebody waits.
    pub grace: Duration,
}

/// Runs `command` to its end, or ends it when `watch` says so, or one of `signals` arrives.
pub fn run<R: Copy>(mut command: Command, signals: Option<&Signals>, mut watch: Watch<'_, R>) -> Ended<R> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn().and_then(|child| Running::new(child, watch.keep)) {
        Ok(mut running) => running.watch_to_the_end(signals, &mut watch),
        Err(error) => Ended { ending: Ending::NotStarted(error), cut: false, stdout: Vec::new(), stderr: Vec::new() },
    }
}

struct Running {
    child: Child,
    group: Pid,
    exited: OwnedFd,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Takes a child over; one that can't be watched is ended again.
    fn new(mut child: Child, keep: usize) -> io::Result<Self> {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        match Self::parts(&mut child, group, keep) {
            Ok((exited, stdout, stderr)) => Ok(Self { child, group, exited, stdout, stderr }),
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn parts(child: &mut Child, group: Pid, keep: usize) -> io::Result<(OwnedFd, Stream, Stream)> {
        let exited = pidfd_open(group, PidfdFlags::empty())?;
        let stdout = Stream::new(child.stdout.take().map(OwnedFd::from), keep)?;
        let stderr = Stream::new(child.stderr.take().map(OwnedFd::from), KEPT_BYTES_OF_STDERR)?;
        Ok((exited, stdout, stderr))
    }

    fn watch_to_the_end<R: Copy>(&mut self, signals: Option<&Signals>, watch: &mut Watch<'_, R>) -> Ended<R> {
        let mut due = Instant::now() + watch.interval;
        let mut reason = None;
        while !self.wait(due, signals) {
            let told = signals.is_some_and(Signals::arrived);
            reason = if told { Some(watch.on_signal) } else { (watch.check)(self.child.id()) };
            if reason.is_some() {
                self.end(signals, watch.grace);
                break;
            }
            if Instant::now() >= due {
                due = Instant::now() + watch.interval;
            }
        }
        let status = self.child.wait();
        self.stdout.drain();
        self.stderr.drain();
        let ending = reason.map_or_else(|| by_itself(status), Ending::Stopped);
        let cut = self.stdout.cut || self.stderr.cut;
        Ended {
            ending,
            cut,
            stdout: std::mem::take(&mut self.stdout.kept),
            stderr: std::mem::take(&mut self.stderr.kept),
        }
    }

    /// Reads output until the child has ended (true), a signal came, or `until` is reached.
    fn wait(&mut self, until: Instant, signals: Option<&Signals>) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ready = self.poll(left, signals);
            self.stdout.drain();
            self.stderr.drain();
            if ready.exited {
                return true;
            }
            if ready.signalled || left.is_zero() {
                return false;
            }
        }
    }

    fn poll(&self, left: Duration, signals: Option<&Signals>) -> Ready {
        let exited = PollFd::new(&self.exited, PollFlags::IN);
        let mut fds = vec![exited];
        let streams = [&self.stdout, &self.stderr];
        fds.extend(streams.iter().filter_map(|stream| stream.fd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)));
        let at = fds.len();
        fds.extend(signals.map(|signals| PollFd::from_borrowed_fd(signals.pipe.as_fd(), PollFlags::IN)));
        let timeout = left.try_into().ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Ready { exited: false, signalled: false };
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ready { exited: is_ready(0), signalled: is_ready(at) }
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

fn by_itself<R>(status: io::Result<ExitStatus>) -> Ending<R> {
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

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Reason;

    fn sh(script: &str, interval: Duration, check: &mut dyn FnMut(u32) -> Option<Reason>) -> Ended<Reason> {
        #[expect(clippy::disallowed_methods, reason = "a shell stands in for pgBackRest")]
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).process_group(0);
        run(
            command,
            Some(&Signals::take().unwrap()),
            Watch { check, interval, on_signal: Reason, keep: KEPT_BYTES, grace: GRACE },
        )
    }

    #[test]
    fn a_code_and_a_signal_are_kept_apart() {
        let ended = sh("echo out; echo err >&2; exit 103", GRACE, &mut |_| None);
        assert!(matches!(ended.ending, Ending::Exited(103)));
        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(matches!(sh("kill -9 $$", GRACE, &mut |_| None).ending, Ending::Signaled(9)));
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipes_open_is_not_waited_for() {
        let ended = sh("sleep 30 & echo done", GRACE, &mut |_| None);
        assert!(matches!(ended.ending, Ending::Exited(0)));
        assert_eq!(ended.stdout, b"done\n");
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let ended = sh("trap '' TERM; while :; do sleep 0.1; done", Duration::from_millis(50), &mut |_| Some(Reason));
        assert!(matches!(ended.ending, Ending::Stopped(Reason)));
    }

    #[test]
    fn a_child_that_never_stops_writing_is_ended() {
        let ended = sh("cat /dev/zero /dev/zero >&2", Duration::from_millis(50), &mut |_| Some(Reason));
        assert!(matches!(ended.ending, Ending::Stopped(Reason)));
    }

    #[test]
    fn more_output_than_is_kept_does_not_block_the_child() {
        let ended = sh("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 7", GRACE, &mut |_| None);
        assert!(matches!(ended.ending, Ending::Exited(7)));
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (KEPT_BYTES, KEPT_BYTES_OF_STDERR));
    }
}
