//! A moment by two clocks: the one that people read, and one that nobody can set.
//!
//! How long failures have lasted decides over WAL, and the wall clock is set, forwards and back: a code that came once
//! would look ten days old. `CLOCK_BOOTTIME` (see `clock_gettime(2)`) only runs on, suspended or not, and begins anew with each
//! boot, which `/proc/sys/kernel/random/boot_id` names (random(4)).

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// By the wall clock, in seconds since 1970.
    pub at: i64,
    /// The boot whose clock `up` is of; `None` where the kernel does not say.
    pub boot: Option<String>,
    /// Seconds since that boot.
    pub up: u64,
}

impl Moment {
    /// Seconds since 1970 now, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            at: since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0),
            boot: boot.map(|boot| boot.trim().to_owned()).filter(|boot| !boot.is_empty()),
            up: u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0),
        }
    }

    /// How many seconds it lies before `now`, at least: since the boot where it lies before that, and by the wall clock only
    /// where no boot is known.
    #[must_use]
    pub fn age(&self, now: &Self) -> u64 {
        match (&self.boot, &now.boot) {
            (Some(then), Some(boot)) if then == boot => now.up.saturating_sub(self.up),
            (Some(_), Some(_)) => now.up,
            _ => u64::try_from(now.at.saturating_sub(self.at)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: i64, boot: Option<&str>, up: u64) -> Moment {
        Moment { at, boot: boot.map(str::to_owned), up }
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_old() {
        let now = moment(1_000_000, Some("a"), 500);
        for (then, age) in [
            (moment(999_990, Some("a"), 490), 10),
            (moment(136_000, Some("a"), 490), 10),
            (moment(2_000_000, Some("a"), 490), 10),
            (moment(999_000, Some("b"), 900_000), 500),
            (moment(999_990, None, 0), 10),
            (moment(1_000_001, None, 0), 0),
        ] {
            assert_eq!(then.age(&now), age, "{then:?}");
        }
    }

    #[test]
    fn now_is_not_old() {
        let now = Moment::now();
        assert!(now.age(&Moment::now()) < 60 && now.at > 1_700_000_000, "{now:?}");
    }
}
