//! The terminal, where stdin is one: CMD's process group is given it, as a shell does.
//!
//! CMD runs in a process group of its own. So Ctrl-C reaches CMD from the terminal and not by way of us, and a signal to
//! our group (`kill %1`, timeout(1)) reaches CMD by way of us and not twice.

use super::processes::Process;
use crate::decide::supervisor::Foreground;
use nix::sys::signal::{SigSet, Signal};
use rustix::process::Pid;
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use std::io::stdin;

/// Gives the terminal to a group, if it is ours to give.
pub(super) fn give_to(group: Pid) {
    if front() == own_group() && front().is_some() {
        let _ = tcsetpgrp(stdin(), group);
    }
}

/// Takes the terminal back from CMD, which has ended: a script that goes on after us may want to read it.
pub(super) fn take_back_from(command: Pid) {
    let own = own_group().and_then(Pid::from_raw);
    if let (Foreground::Command, Some(own)) = (foreground(command), own) {
        // Who is not in the foreground is stopped for this by SIGTTOU, unless it is blocked (tcsetpgrp(3)).
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(stdin(), own);
            let _ = blocked.thread_unblock();
        }
    }
}

/// Who has the terminal.
pub(super) fn foreground(command: Pid) -> Foreground {
    match front() {
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

fn front() -> Option<i32> {
    tcgetpgrp(stdin()).ok().map(Pid::as_raw_pid)
}

fn own_group() -> Option<i32> {
    Process::own().map(|process| process.group)
}
