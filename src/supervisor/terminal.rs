//! The terminal that controls us, if there is one: CMD's process group is given it, as a shell does.
//!
//! CMD runs in a process group of its own. So Ctrl-C reaches CMD from the terminal and not by way of us, and a signal to
//! our group (`kill %1`, timeout(1)) reaches CMD by way of us and not twice. In a pipe others have a right to the terminal:
//! there CMD is given it when it asks for it, and is stopped for that.

use super::processes::Process;
use crate::decide::supervisor::Foreground;
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::Pid;
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::io::{stdin, stdout};
use std::os::fd::OwnedFd;

/// Gives CMD the terminal from the start, unless we are a part of a pipe.
pub(super) fn begin_with(command: Pid) {
    if isatty(stdin()) && isatty(stdout()) {
        give_to(command);
    }
}

/// Gives the terminal to CMD, if it is ours to give.
pub(super) fn give_to(command: Pid) {
    if let (Foreground::Supervisor, Some(terminal)) = (foreground(command), terminal()) {
        let _ = tcsetpgrp(terminal, command);
    }
}

/// Takes the terminal back from CMD, which has ended: a script that goes on after us may want to read it.
pub(super) fn take_back_from(command: Pid) {
    let own = own_group().and_then(Pid::from_raw);
    if let (Foreground::Command, Some(terminal), Some(own)) = (foreground(command), terminal(), own) {
        // Who is not in the foreground is stopped for this by SIGTTOU, unless it is blocked (tcsetpgrp(3)).
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(terminal, own);
            let _ = blocked.thread_unblock();
        }
    }
}

/// Who has the terminal.
pub(super) fn foreground(command: Pid) -> Foreground {
    match terminal().and_then(|terminal| tcgetpgrp(terminal).ok()).map(Pid::as_raw_pid) {
        Some(front) if front == command.as_raw_pid() => Foreground::Command,
        Some(front) if Some(front) == own_group() => Foreground::Supervisor,
        _ => Foreground::Other,
    }
}

/// Whether a shell may be waiting for the terminal: not above the first process of a session, nor above PID 1.
pub(super) fn has_shell() -> bool {
    let own = std::process::id();
    own != 1 && Process::own().is_some_and(|process| u32::try_from(process.session) != Ok(own))
}

fn terminal() -> Option<OwnedFd> {
    open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn own_group() -> Option<i32> {
    Process::own().map(|process| process.group)
}
