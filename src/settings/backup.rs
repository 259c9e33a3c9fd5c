//! The settings of base backups: how often one is due.

use super::Sources;
use super::value::{self, Seconds};
use std::ffi::OsString;

/// How often base backups are due, in seconds; 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupIntervals {
    /// Between full backups.
    pub full: Seconds,
    /// Between differential backups.
    pub diff: Seconds,
}

impl BackupIntervals {
    /// Resolves them: the value in seconds wins over the one in hours.
    pub fn resolve(sources: &mut Sources) -> Self {
        let full = ("WAL_BACKUP_FULL_INTERVAL_SECONDS", "WAL_BACKUP_FULL_INTERVAL_HOURS", 168);
        let diff = ("WAL_BACKUP_DIFF_INTERVAL_SECONDS", "WAL_BACKUP_DIFF_INTERVAL_HOURS", 24);
        Self { full: interval(sources, full), diff: interval(sources, diff) }
    }
}

fn interval(sources: &mut Sources, (seconds, hours, default): (&'static str, &'static str, u64)) -> Seconds {
    let in_hours = |text: &OsString| value::parsed::<Seconds>(text).map(|hours| hours.times(3600));
    let by_hours = sources.value(hours, None, in_hours, || Seconds::new(default * 3600)).value;
    sources.value(seconds, None, value::parsed, || by_hours).value
}
