//! Whether a running pgBackRest gets on.
//!
//! From 2.48 `info` reports a backup's size so far, but 2.45 does not, and asking it may hang on the very repository that
//! the backup hangs on. The kernel knows for every version: the bytes that the processes of its group have written, sockets
//! and pipes included (`wchar` of /proc/<pid>/io, proc(5)). What they have read says nothing: starting a program reads its
//! libraries, and a parent is charged for the children that it has waited for. pgBackRest's worker processes stay in the
//! group of the process that starts them.

use std::collections::BTreeMap;
use std::fs;

/// The bytes that the processes of a group have written so far; `None` when there is none that can be looked at.
#[must_use]
pub fn bytes_moved(group: u32) -> Option<u64> {
    bytes_moved_by_each(group).map(|moved| moved.into_values().sum())
}

/// The same by process.
#[must_use]
pub fn bytes_moved_by_each(group: u32) -> Option<BTreeMap<u32, u64>> {
    counted_by_each(group, &["wchar: "])
}

/// The bytes that the processes of a group have read and written so far; `None` when there is none that can be looked at.
/// Most downloads show at once in what is read, sockets included. What comes by recv(2), as libssh2's does for SFTP, is
/// not counted there and shows in what is written of it, in pieces of `buffer-size`. Name resolution and TLS handshakes
/// move a few KiB, so less than [`NOISE`] says nothing.
#[must_use]
pub fn bytes_of_both_ways(group: u32) -> Option<u64> {
    counted_by_each(group, &["rchar: ", "wchar: "]).map(|counted| counted.into_values().sum())
}

/// What a process may move without getting anything of a file: /etc/hosts, /etc/resolv.conf, a certificate chain.
pub const NOISE: u64 = 16 << 10;

/// Bytes that processes have moved, sockets and pipes included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes read since it began.
    pub read: u64,
    /// Bytes written since it began.
    pub written: u64,
}

/// What the processes of a group have moved so far.
#[must_use]
pub fn moved(of: u32) -> Moved {
    let mut sum = Moved::default();
    for pid in processes().into_iter().filter(|pid| group(*pid) == Some(of)) {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        sum.read += counted(&io, &["rchar: "]).unwrap_or(0);
        sum.written += counted(&io, &["wchar: "]).unwrap_or(0);
    }
    sum
}

/// Every process that is to be seen.
#[must_use]
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn counted_by_each(group: u32, fields: &[&str]) -> Option<BTreeMap<u32, u64>> {
    let mut moved = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let path = entry.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if group_of(&fs::read_to_string(path.join("stat")).unwrap_or_default()) == Some(group) {
            let io = fs::read_to_string(path.join("io")).unwrap_or_default();
            if let Some(counted) = counted(&io, fields) {
                moved.insert(pid, counted);
            }
        }
    }
    (!moved.is_empty()).then_some(moved)
}

/// The process group of a process.
#[must_use]
pub fn group(pid: u32) -> Option<u32> {
    group_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The process group in a line of /proc/<pid>/stat; the command's name, in parentheses, may hold anything.
fn group_of(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(2)?.parse().ok()
}

/// Another user's process can't be looked at: that is not the same as one that stands still.
fn counted(io: &str, names: &[&str]) -> Option<u64> {
    if io.is_empty() {
        return None;
    }
    let fields = io.lines().filter_map(|line| names.iter().find_map(|name| line.strip_prefix(name)));
    Some(fields.filter_map(|count| count.trim().parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_moves_bytes() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get().cast_unsigned();
        assert!(bytes_moved(group).is_some_and(|bytes| bytes > 0));
        assert!(bytes_of_both_ways(group).is_some_and(|bytes| bytes > 0));
        assert_eq!(bytes_moved(u32::MAX), None);
    }

    #[test]
    fn a_command_may_have_any_name() {
        assert_eq!(group_of("12 (a) b) 3) S 1 12 12 0"), Some(12));
        assert_eq!(group_of("nonsense"), None);
    }
}
