//! Work that may never come back, done by a process of its own that can be left behind.
//!
//! A call into a dead volume (NFS, FUSE, a failing disk) can't be ended: the process sleeps uninterruptibly, and a process of
//! several threads is not gone before its last one is. The archiver waits for us, so whatever lies outside the data directory
//! is touched by a second process, the program itself called with `--errand FOLDER PID`, over two pipes, a line each way.
//! When it does not answer it is sent SIGKILL and not waited for. As long as it is there, no other is sent to the same folder.

use crate::pgbackrest::progress;
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The argument that makes the program an errand.
pub const ARGUMENT: &str = "--errand";
/// The program itself, also where its file was replaced meanwhile (proc(5)).
const PROGRAM: &str = "/proc/self/exe";
/// How long an errand whose program was killed may take to see that.
const ORPHANED: Duration = Duration::from_millis(500);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// An errand under way.
#[derive(Debug)]
pub struct Errand {
    child: Child,
    heard: Vec<u8>,
}

/// For how long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At the longest until then.
    pub until: Instant,
    /// And only as long as it moves bytes; `None` where it moves none before it answers.
    pub still: Option<Duration>,
}

impl Errand {
    /// Sends a process to work in `folder`.
    ///
    /// # Errors
    /// `TimedOut` where an earlier one still hangs there; else what the system says.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let started = Instant::now();
        while hangs_in(folder) {
            if started.elapsed() > ORPHANED {
                return Err(no_answer());
            }
            std::thread::sleep(INTERVAL);
        }
        #[expect(clippy::disallowed_methods, reason = "the program itself, not pgBackRest")]
        let mut command = Command::new(PROGRAM);
        command.arg(ARGUMENT).arg(folder).arg(std::process::id().to_string()).env_clear().process_group(0);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, heard: Vec::new() })
    }

    /// Asks on one line.
    ///
    /// # Errors
    /// What the system says.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        rustix::io::ioctl_fionbio(&*pipe, true)?;
        let mut rest: &[u8] = &[line.as_bytes(), b"\n"].concat();
        let until = Instant::now() + Duration::from_secs(1);
        while !rest.is_empty() {
            match pipe.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    let mut fds = [PollFd::new(&*pipe, PollFlags::OUT)];
                    let _ = poll(&mut fds, INTERVAL.try_into().ok().as_ref());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next line that it answers.
    ///
    /// # Errors
    /// `TimedOut` when it is not patient enough; it is then killed. `UnexpectedEof` when it has ended without a line.
    pub fn hear(&mut self, patience: Patience) -> io::Result<String> {
        let mut progress = (progress::moved(self.child.id()), Instant::now());
        loop {
            if let Some(at) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(at + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                return Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
            let pipe = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            let mut fds = [PollFd::new(&*pipe, PollFlags::IN)];
            let left = patience.until.saturating_duration_since(Instant::now()).min(INTERVAL);
            if poll(&mut fds, left.try_into().ok().as_ref()).is_ok_and(|ready| ready > 0) {
                let mut buffer = vec![0; 64 << 10];
                match pipe.read(&mut buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                }
                continue;
            }
            let moved = progress::moved(self.child.id());
            if moved != progress.0 {
                progress = (moved, Instant::now());
            }
            let is_still = patience.still.is_some_and(|still| progress.1.elapsed() >= still);
            if is_still || Instant::now() >= patience.until {
                let _ = self.child.kill();
                return Err(no_answer());
            }
        }
    }
}

impl Drop for Errand {
    /// The end of its input ends it; one that hangs is left behind.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.try_wait();
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its volume does not answer")
}

/// Whether an errand of a program that has gone is still in the folder.
fn hangs_in(folder: &Path) -> bool {
    let is_one = |pid: u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0).skip(1).map(OsStr::from_bytes);
        let is_errand = arguments.next() == Some(OsStr::new(ARGUMENT)) && arguments.next() == Some(folder.as_os_str());
        let sender = arguments.next().map(OsString::from);
        is_errand && sender.is_some_and(|sender| parent(pid).is_some_and(|now| *now != *sender))
    };
    progress::processes().into_iter().any(is_one)
}

/// The parent's number in /proc/<pid>/stat.
fn parent(pid: u32) -> Option<OsString> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1).map(OsString::from)
}
