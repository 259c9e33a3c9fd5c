//! Times as the programs keep them: whole seconds since 1970, in the clock's own word.
//!
//! The ledger, the state file, PostgreSQL's counters and pgBackRest's catalog all count so, and a time may be compared or
//! subtracted without a calendar.

use jiff::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 now, by the system's clock.
#[must_use]
pub fn now() -> i64 {
    seconds(SystemTime::now()).unwrap_or(0)
}

/// A time in seconds; `None` before 1970.
#[must_use]
pub fn seconds(at: SystemTime) -> Option<i64> {
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// Seconds since 1970 as a time with a calendar; `None` beyond the year 9999.
#[must_use]
pub fn moment(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn seconds_are_counted_from_1970_and_nothing_is_before() {
        assert_eq!(seconds(UNIX_EPOCH + Duration::from_millis(1_999)), Some(1));
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert!(now() > 1_700_000_000);
        assert_eq!(moment(0), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(moment(i64::MAX), None);
    }
}
