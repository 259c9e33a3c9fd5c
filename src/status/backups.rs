//! When the last backups ended, and when the next one is due.

use super::report::Backups;
use crate::backup_state::{BackupState, LAST_DIFF_AT, LAST_FULL_AT};
use crate::epoch::moment;
use crate::settings::BackupIntervals;

/// What the state file says of backups, or what the catalog was seen to hold where that is newer: the ends of the newest
/// full backup and of the newest of any kind.
pub(super) fn backups(
    stamps: &BackupState,
    (full, any): (Option<i64>, Option<i64>),
    intervals: BackupIntervals,
    running: bool,
    now: i64,
) -> Backups {
    let full = stamps.time(LAST_FULL_AT, now).max(full);
    let diff = stamps.time(LAST_DIFF_AT, now).max(any);
    Backups {
        last_full_at: full.and_then(moment),
        last_diff_at: diff.and_then(moment),
        next_due_at: next_due(full, diff, intervals).and_then(moment),
        running,
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
    fn the_earlier_of_both_kinds_is_due_next() {
        assert_eq!(next_due(Some(10), Some(950), INTERVALS), Some(1_010));
        assert_eq!(next_due(Some(10), None, INTERVALS), Some(110));
        assert_eq!(next_due(None, Some(10), INTERVALS), None);
        let never = BackupIntervals { full: Seconds::new(0), diff: Seconds::new(0) };
        assert_eq!(next_due(Some(10), Some(10), never), None);
    }
}
