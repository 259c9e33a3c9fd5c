//! `.pgbackrest_backup_state`: when the last backups ended, shared with the shell scripts that came before.
//!
//! `key=value` lines, integers, the last line of a key wins. A value that is no number, and a time in the future, count
//! as unset.

use super::report::{Backups, moment};
use crate::settings::BackupIntervals;
use std::collections::BTreeMap;

/// The state's numbers.
#[derive(Debug, Default)]
pub(super) struct BackupState(BTreeMap<String, i64>);

impl BackupState {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let numbers = pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().parse::<i64>().ok()));
        let mut state = BTreeMap::new();
        for (key, value) in numbers {
            match value {
                Some(number) => state.insert(key, number),
                None => state.remove(&key),
            };
        }
        Self(state)
    }

    /// A time in the past, in seconds since 1970.
    pub(super) fn time(&self, key: &str, now: i64) -> Option<i64> {
        self.0.get(key).copied().filter(|at| (1..=now).contains(at))
    }

    /// Whether it names another cluster than the one of this system identifier.
    pub(super) fn is_about_another(&self, system_id: u64) -> bool {
        self.0.get("guard_system_id").is_some_and(|known| u64::try_from(*known) != Ok(system_id))
    }

    /// What it says of backups, or what the catalog was seen to hold where that is newer: the ends of the newest full
    /// backup and of the newest of any kind.
    pub(super) fn backups(
        &self,
        (full, any): (Option<i64>, Option<i64>),
        intervals: BackupIntervals,
        running: bool,
        now: i64,
    ) -> Backups {
        let full = self.time("last_full_at", now).max(full);
        let diff = self.time("last_diff_at", now).max(any);
        Backups {
            last_full_at: full.and_then(moment),
            last_diff_at: diff.and_then(moment),
            next_due_at: next_due(full, diff, intervals).and_then(moment),
            running,
        }
    }
}

/// When the next backup of either kind is due, in seconds since 1970. A differential one needs a full one.
fn next_due(full: Option<i64>, diff: Option<i64>, intervals: BackupIntervals) -> Option<i64> {
    let after = |at: i64, interval: u64| {
        i64::try_from(interval).ok().filter(|interval| *interval > 0).and_then(|interval| at.checked_add(interval))
    };
    let next_full = after(full?, intervals.full.get());
    let next_diff = after(diff.max(full)?, intervals.diff.get());
    [next_full, next_diff].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Seconds;

    const INTERVALS: BackupIntervals = BackupIntervals { full: Seconds::new(1_000), diff: Seconds::new(100) };

    #[test]
    fn what_is_no_past_time_is_unset() {
        let state = BackupState::parse("last_full_at=17O0\nlast_diff_at=99\nother=1\nlast_diff_at=\nx\n");
        assert_eq!((state.time("last_full_at", 500), state.time("last_diff_at", 500)), (None, None));
        let state = BackupState::parse("last_full_at=100\nlast_full_at=200\nlast_diff_at=501\n");
        assert_eq!((state.time("last_full_at", 500), state.time("last_diff_at", 500)), (Some(200), None));
    }

    #[test]
    fn the_earlier_of_both_kinds_is_due_next() {
        assert_eq!(next_due(Some(10), Some(950), INTERVALS), Some(1_010));
        assert_eq!(next_due(Some(10), None, INTERVALS), Some(110));
        assert_eq!(next_due(None, Some(10), INTERVALS), None);
        let never = BackupIntervals { full: Seconds::new(0), diff: Seconds::new(0) };
        assert_eq!(next_due(Some(10), Some(10), never), None);
    }
}
