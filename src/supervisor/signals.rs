//! The supervisor's signals, each as often as it came and from the first moment on.
//!
//! A handler writes a byte to a pipe of the signal's own. What comes before CMD is started waits there. A program that is
//! executed does not inherit handlers (execve(2)), so that CMD begins with the defaults.

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What is handed on to CMD, and what says that a child has ended.
const TAKEN: [Signal; 7] =
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::CHILD];

/// The signals of this process.
#[derive(Debug)]
pub struct Signals(Vec<(Signal, UnixStream)>);

impl Signals {
    /// Takes them over, for the rest of the process's life.
    ///
    /// # Errors
    /// When a pipe or a handler can't be had.
    pub fn take() -> io::Result<Self> {
        // Who started us may have blocked some.
        SigSet::all().thread_unblock()?;
        TAKEN.into_iter().map(|signal| Ok((signal, pipe_of(signal)?))).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for signals, at most `longest`; without one for as long as it takes.
    #[must_use]
    pub(super) fn wait(&self, longest: Option<Duration>) -> Vec<Signal> {
        let mut fds: Vec<_> = self.0.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
        let timeout = longest.and_then(|longest| longest.try_into().ok());
        // EINTR: the signal stands in its pipe.
        let _ = poll(&mut fds, timeout.as_ref());
        self.0.iter().flat_map(|(signal, pipe)| vec![*signal; arrived(pipe)]).collect()
    }
}

fn pipe_of(signal: Signal) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal.as_raw(), writer)?;
    Ok(reader)
}

/// How many bytes have come.
fn arrived(mut pipe: &UnixStream) -> usize {
    let mut buffer = [0; 64];
    let mut count = 0;
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        count += read;
    }
    count
}
