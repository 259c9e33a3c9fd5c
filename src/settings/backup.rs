//! The settings of base backups: how often one is due.

use super::declaration::Declared;
use super::{Seconds, Sources, table};

/// How often base backups are due, in seconds; 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupIntervals {
    /// Seconds between periodic full backups; 0 means none is taken.
    pub full: Seconds,
    /// Seconds between periodic differential backups; 0 means none is taken.
    pub diff: Seconds,
}

impl BackupIntervals {
    /// Resolves them: the value in seconds wins over the one in hours.
    pub fn resolve(sources: &mut Sources) -> Self {
        let full = (&table::WAL_BACKUP_FULL_INTERVAL_SECONDS, &table::WAL_BACKUP_FULL_INTERVAL_HOURS);
        let diff = (&table::WAL_BACKUP_DIFF_INTERVAL_SECONDS, &table::WAL_BACKUP_DIFF_INTERVAL_HOURS);
        Self { full: interval(sources, full), diff: interval(sources, diff) }
    }
}

fn interval(sources: &mut Sources, (seconds, hours): (&Declared<Seconds>, &Declared<Seconds>)) -> Seconds {
    let by_hours = sources.value(hours, None).value;
    sources.optional(seconds, None).map_or(by_hours, |setting| setting.value)
}
