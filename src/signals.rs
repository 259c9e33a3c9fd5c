//! The signals of a program that waits for pgBackRest.
//!
//! SIGTERM, SIGINT, SIGHUP and SIGQUIT are written to a pipe, so that one `poll` waits for them and for a child. The supervisor
//! of `run` hands its signals on instead, and has its own ([`crate::supervisor::Signals`]).

use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Our own signals: SIGTERM, SIGINT, SIGHUP and SIGQUIT are written to a pipe instead of ending the program.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
    quit: Arc<AtomicBool>,
    told: AtomicBool,
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
        Ok(Self { pipe: reader, quit, told: AtomicBool::new(false) })
    }

    /// Waits for a signal, at most `longest`. True when one came, now or at any time before: who was told to end stays told.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.arrived() || self.told.load(Ordering::Relaxed) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let _ = poll(&mut fds, left.try_into().ok().as_ref());
        }
    }

    /// Whether one came that was not looked at before.
    #[must_use]
    pub fn arrived(&self) -> bool {
        let came = matches!((&self.pipe).read(&mut [0]), Ok(1..));
        if came {
            self.told.store(true, Ordering::Relaxed);
        }
        came
    }

    /// Whether it was SIGQUIT: PostgreSQL's immediate shutdown, with no time for a clean end.
    #[must_use]
    pub fn quit(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
