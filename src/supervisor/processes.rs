//! Who started whom, as `/proc/PID/stat` tells (`proc_pid_stat(5)`).
//!
//! Read as text, because in a PID namespace a session or group that lies outside it has the number 0, which is no number
//! of a process.

use rustix::process::Pid;
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
}
