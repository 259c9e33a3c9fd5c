//! Who started whom, as `/proc/PID/stat` tells (`proc_pid_stat(5)`).
//!
//! Read as text, because in a PID namespace a session or group that lies outside it has the number 0, which is no number
//! of a process.

use rustix::process::{Pid, Signal};
use std::fs;

/// The program that puts a server into the background.
const PG_CTL: &str = "pg_ctl";
/// No process is further from CMD than this.
const LONGEST_LINE: usize = 64;

/// A process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// The program's name, 15 bytes of it.
    pub(super) name: String,
    /// Its parent's process number; 1 for an orphan.
    pub(super) parent: i32,
    /// The number of its process group.
    pub(super) group: i32,
    /// The number of its session.
    pub(super) session: i32,
}

impl Process {
    /// The process of this number, if there is one.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// This process.
    pub(super) fn own() -> Option<Self> {
        Self::read(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// `1 (name) S parent group session …`; a name may hold spaces and parentheses.
    fn read(text: &str) -> Option<Self> {
        let (front, rest) = text.rsplit_once(')')?;
        let name = front.split_once('(')?.1.to_owned();
        let mut numbers = rest.split_whitespace().skip(1).map(|field| field.parse().ok());
        Some(Self { name, parent: numbers.next()??, group: numbers.next()??, session: numbers.next()?? })
    }
}

/// Whether a process is `ancestor`, or was started by it or its children, and not by way of `pg_ctl`.
pub(super) fn belongs_to(pid: i32, ancestor: Pid) -> bool {
    let mut pid = pid;
    for _ in 0..LONGEST_LINE {
        if pid == ancestor.as_raw_pid() {
            return true;
        }
        match Process::of(pid) {
            Some(process) if process.name != PG_CTL => pid = process.parent,
            _ => return false,
        }
    }
    false
}

/// Whether Ctrl-Z (SIGTSTP) waits for a process. One that is stopped already does not take it, and SIGCONT discards it
/// (`prepare_signal` in Linux's kernel/signal.c).
pub(super) fn stop_is_pending(pid: Pid) -> bool {
    is_pending(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), Signal::TSTP)
}

/// Whether a signal waits for a thread or its process: in `SigPnd` or `ShdPnd`, where the first has the lowest bit
/// (`proc_pid_status(5)`).
fn is_pending(status: &str, signal: Signal) -> bool {
    let sets = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")));
    let mut numbers = sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok());
    numbers.any(|set| set >> (signal.as_raw() - 1) & 1 == 1)
}

/// Every process of a session, also of one whose leader has ended. None where `/proc` is another namespace's, with other
/// numbers in it.
pub(super) fn in_session(session: Pid) -> Vec<Pid> {
    if fs::read_link("/proc/self").ok() != Some(std::process::id().to_string().into()) {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let session = session.as_raw_pid();
    pids.filter(|pid| Process::of(*pid).is_some_and(|process| process.session == session))
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read() {
        let read = Process::read("7 (a) b (c) S 3 5 6 0 -1 4194560 1 2");
        assert_eq!(read, Some(Process { name: "a) b (c".to_owned(), parent: 3, group: 5, session: 6 }));
        assert_eq!(Process::read("7 (a) S 3"), None);
        assert_eq!(Process::read(""), None);
    }

    #[test]
    fn this_process_belongs_to_its_parent() {
        let own = Process::own().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(belongs_to(pid, Pid::from_raw(own.parent).unwrap()));
        assert!(!belongs_to(own.parent, Pid::from_raw(pid).unwrap()));
    }

    #[test]
    fn a_signal_waits_where_its_bit_is_set() {
        let status =
            |own: &str, all: &str| format!("Name:\tsh\nSigQ:\t0/95\nSigPnd:\t{own}\nShdPnd:\t{all}\nSigBlk:\tfff\n");
        let none = "0000000000000000";
        for (text, expected) in [
            (status(none, none), false),
            (status(none, "0000000000080000"), true),
            (status("0000000000080000", none), true),
            (status(none, "0000000000040000"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_pending(&text, Signal::TSTP), expected, "{text}");
        }
    }

    /// A stopped child with Ctrl-Z waiting, as the kernel shows it.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own process")]
    fn a_stopped_process_shows_what_waits_for_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let send = |signal| rustix::process::kill_process(pid, signal).unwrap();
        send(Signal::STOP);
        assert!(!stop_is_pending(pid));
        send(Signal::TSTP);
        assert!(stop_is_pending(pid));
        send(Signal::CONT);
        assert!(!stop_is_pending(pid), "it is discarded");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
