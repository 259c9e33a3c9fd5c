//! WAL that no backup in a repository needs, and that expiry has left there although it should have gone.
//!
//! `expire` removes what is older than the start of the oldest backup for which WAL is kept, once there are as many backups as
//! `repoN-retention-archive` asks for; where that is not set, it is `repoN-retention-full`, if fulls are kept by count
//! (`removeExpiredArchive`, src/command/expire/expire.c, and `cfgLoadUpdateOption`, src/config/load.c, 2.45 to 2.60).
//! Until then older WAL stays rightly. It runs after each backup: what has outlived two of them it does not see, and the
//! storage is paid for without an end.

use crate::wal::SegmentName;
use serde::{Deserialize, Serialize};

/// How many backups WAL may outlive that should have expired.
const BACKUPS: usize = 2;

/// WAL in a repository that is older than its oldest backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The oldest segment.
    pub oldest: SegmentName,
    /// The end of the newest backup when it was first seen, in seconds since 1970.
    pub seen_after: i64,
    /// Whether it has outlived so many backups that expiry does not do its work.
    pub overdue: bool,
}

/// One repository, as `info` shows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'s> {
    /// The oldest segment in it.
    pub oldest: Option<SegmentName>,
    /// Where the oldest backup in it begins, damaged or not.
    pub start: Option<SegmentName>,
    /// When each backup ended, in seconds since 1970.
    pub ends: &'s [i64],
    /// Whether there are as many backups as WAL is kept for.
    pub retention_is_met: bool,
}

/// What of a repository's WAL is left over. `before`: what was at the last look.
#[must_use]
pub fn leftover(before: Option<Leftover>, shown: &Shown<'_>) -> Option<Leftover> {
    let newest = shown.ends.iter().copied().max()?;
    let oldest = shown.oldest.zip(shown.start).filter(|(oldest, start)| oldest < start)?.0;
    if !shown.retention_is_met {
        return None;
    }
    let seen_after = before.filter(|before| before.oldest == oldest).map_or(newest, |before| before.seen_after);
    let since = shown.ends.iter().filter(|end| **end > seen_after).count();
    Some(Leftover { oldest, seen_after, overdue: since >= BACKUPS })
}

/// What `status` says of it.
#[must_use]
pub fn reason(repository: u32, oldest: SegmentName) -> String {
    format!(
        "repository {repository} holds WAL from {oldest} on, older than its oldest backup, and two later backups have \
         not removed it: run pgbackrest expire --repo={repository} and read what it says; if a timeline has been \
         abandoned for good, remove its folders by hand"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32) -> Option<SegmentName> {
        format!("0000000100000000{number:08X}").parse().ok()
    }

    fn shown(oldest: u32, start: u32, ends: &[i64]) -> Shown<'_> {
        Shown { oldest: segment(oldest), start: segment(start), ends, retention_is_met: true }
    }

    #[test]
    fn what_outlives_two_backups_is_overdue() {
        let first = leftover(None, &shown(2, 5, &[10, 20])).unwrap();
        assert_eq!((first.seen_after, first.overdue), (20, false));
        let second = leftover(Some(first), &shown(2, 5, &[10, 20, 30])).unwrap();
        assert_eq!((second.seen_after, second.overdue), (20, false), "one backup");
        let third = leftover(Some(second), &shown(2, 9, &[20, 30, 40])).unwrap();
        assert!(third.overdue, "two, though the first of the backups has expired meanwhile");
        assert_eq!(leftover(Some(third), &shown(9, 9, &[20, 30, 40])), None, "gone");
        let other = leftover(Some(third), &shown(4, 9, &[20, 30, 40])).unwrap();
        assert_eq!((other.seen_after, other.overdue), (40, false), "something was removed: it is given time again");
    }

    #[test]
    fn what_is_kept_rightly_is_none() {
        let too_few = Shown { retention_is_met: false, ..shown(2, 5, &[10]) };
        assert_eq!(leftover(None, &too_few), None);
        assert_eq!(leftover(None, &shown(5, 5, &[10])), None);
        assert_eq!(leftover(None, &shown(6, 5, &[10])), None);
        assert_eq!(leftover(None, &shown(2, 5, &[])), None, "without a backup nothing expires");
        assert_eq!(leftover(None, &Shown { start: None, ..shown(2, 5, &[10]) }), None);
        assert_eq!(leftover(None, &Shown { oldest: None, ..shown(2, 5, &[10]) }), None);
    }

    #[test]
    fn the_reason_names_the_repository_and_the_command() {
        let said = reason(2, segment(7).unwrap());
        assert!(said.starts_with("repository 2 holds WAL from 000000010000000000000007 on"), "{said}");
        assert!(said.contains("pgbackrest expire --repo=2"), "{said}");
    }
}
