//! A program of a stage: started, watched by the clock and our signals, its words kept in a file of the sandbox.

use crate::signals::Signals;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether a program has ended.
const INTERVAL: Duration = Duration::from_millis(50);
/// What is kept of a program's words, from their end, in bytes.
const TAIL: u64 = 64 << 10;
/// How long a program has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(30);

/// Why a stage is not done.
pub(super) const SIGNAL: &str = "interrupted by a signal before it was done";

/// A program to run.
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Variables beside our own environment.
    pub(super) environment: Vec<(OsString, OsString)>,
}

/// How it ended.
pub(super) enum Ran {
    /// By itself, with this code.
    Ended(i32),
    /// By this signal, which was not ours.
    Killed(i32),
    /// We ended it: its time was over.
    OutOfTime,
    /// We ended it: we were told to end.
    Told,
    /// It is not there.
    NotStarted(io::Error),
}

/// Runs a program until it ends, the time is over, or we are told to end. Its words go to `log`.
pub(super) fn run(call: &Call, log: &Path, until: Option<Instant>, signals: &Signals) -> Ran {
    let mut child = match start(call, log) {
        Ok(child) => child,
        Err(error) => return Ran::NotStarted(error),
    };
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                return status.code().map_or_else(|| Ran::Killed(status.signal().unwrap_or(0)), Ran::Ended);
            }
            Err(error) => return Ran::NotStarted(error),
        }
        let late = until.is_some_and(|until| Instant::now() >= until);
        if signals.wait(if late { Duration::ZERO } else { INTERVAL }) {
            end(&mut child);
            return Ran::Told;
        }
        if late {
            end(&mut child);
            return Ran::OutOfTime;
        }
    }
}

/// Reads and writes only what nobody else wants to, and with us all that we start. Where `ionice` is missing, or the kernel's
/// scheduler knows no classes, that is left out.
pub(super) fn idle_io() {
    let own = std::process::id().to_string();
    #[expect(clippy::disallowed_methods, reason = "ionice is not pgBackRest")]
    let mut command = Command::new("ionice");
    let quiet = command.args(["-c", "3", "-p", &own]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = quiet.status();
}

/// Starts a program in a process group of its own.
pub(super) fn start(call: &Call, log: &Path) -> io::Result<Child> {
    let file = File::create(log)?;
    #[expect(clippy::disallowed_methods, reason = "PostgreSQL's programs and our own are not pgBackRest")]
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).envs(call.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0).spawn()
}

/// Ends a program and its children, and waits.
pub(super) fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let until = Instant::now() + GRACE;
    signal(Signal::TERM);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            signal(Signal::KILL);
            let _ = child.wait();
            return;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The end of what a program said.
pub(super) fn tail(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// Everything that a program said.
pub(super) fn words(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
