//! When a push that runs is ended.
//!
//! A push that gets on is left alone, however slow and however short the disk: what it uploads is what frees it. One that
//! stands still is ended past its time limit, sooner where space is short, and much sooner where the server is stopping:
//! PostgreSQL tries a file three times, and once the last checkpoint is written three times more, with a second's pause
//! between (pgarch.c, `pgarch_MainLoop`, 15), and container engines send SIGKILL ten seconds after SIGTERM.

use crate::pgbackrest::{Class, Interruption};
use std::time::Duration;

/// One that has moved nothing for so long stands still: a store may take a moment to answer.
pub const STILL: Duration = Duration::from_secs(5);
/// How long the first push of a stop may stand still.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// The same for those after it: six tries with four pauses of a second then take 8.5 s.
const STOP_GRACE_AGAIN: Duration = Duration::from_millis(300);
/// A stop that lasts longer waits for its clients (a smart shutdown): sessions go on writing, and it counts as none.
const LONGEST_STOP: Duration = Duration::from_mins(1);

/// In seconds, how old an answer may be that decides over a file which it was not about.
pub const SHORTLY: u64 = 5;
/// In seconds, the most that a failure is remembered.
const REMEMBERED: u64 = 60;

/// How much space is left where WAL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// More than the reserve, or too little waits for giving it up to help.
    Enough,
    /// Less than the reserve.
    Short,
    /// Less than a quarter of the reserve.
    Critical,
}

/// A stop of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Since when; `None` where it began in the future, by a clock that was set since.
    pub since: Option<Duration>,
    /// Whether a push has held it up before.
    pub again: bool,
}

/// What is to be seen of a push that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// How long it has run.
    pub elapsed: Duration,
    /// For how long it has made no progress.
    pub still: Duration,
    /// How long it may take.
    pub limit: Duration,
    /// The server's stop, if it is stopping.
    pub stop: Option<Stop>,
    /// Space.
    pub space: Space,
}

/// Why it is to be ended now, if it is.
#[must_use]
pub fn reason_to_end(running: &Running) -> Option<Interruption> {
    let stands_still = running.still >= STILL.min(running.limit);
    let is_protected = !stands_still && running.space != Space::Critical;
    if running.stop.is_some_and(|stop| holds_up(stop, running.still)) {
        Some(Interruption::Shutdown)
    } else if is_protected {
        None
    } else if running.elapsed >= running.limit {
        Some(Interruption::TimeLimit)
    } else if running.space != Space::Enough && running.elapsed >= STILL {
        Some(Interruption::FreeReserve)
    } else {
        None
    }
}

/// For how many seconds a failure that took so many says what the next push would come to, where space is short: each that
/// stands still costs [`STILL`], while WAL goes on being written. What takes no time is asked again soon, and so is what would
/// be given up at once.
#[must_use]
pub fn remembered_for(took: u64, class: Class) -> u64 {
    if class == Class::Gone { SHORTLY } else { took.saturating_mul(6).clamp(SHORTLY, REMEMBERED) }
}

/// Whether the server has been stopping for so long that what waits is kept for its next start. A fast stop writes no
/// more WAL that would need the room. Sessions that a smart one waits for may, so the reserve still counts, and a long
/// stop is none.
#[must_use]
pub fn is_held_up(stopping_for: Option<Duration>) -> bool {
    stopping_for.is_some_and(|since| (STOP_GRACE..=LONGEST_STOP).contains(&since))
}

fn holds_up(stop: Stop, still: Duration) -> bool {
    let since = stop.since.unwrap_or(still);
    let grace = if stop.again { STOP_GRACE_AGAIN } else { STOP_GRACE };
    since <= LONGEST_STOP && still.min(since) >= grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn running() -> Running {
        Running { elapsed: seconds(60), still: seconds(0), limit: seconds(120), stop: None, space: Space::Enough }
    }

    #[test]
    fn one_that_gets_on_is_left_alone_until_space_is_critical() {
        for space in [Space::Enough, Space::Short] {
            assert_eq!(reason_to_end(&Running { elapsed: seconds(9_999), space, ..running() }), None);
        }
        let critical = Running { space: Space::Critical, ..running() };
        assert_eq!(reason_to_end(&critical), Some(Interruption::FreeReserve));
        assert_eq!(reason_to_end(&Running { elapsed: seconds(4), ..critical }), None);
        assert_eq!(reason_to_end(&Running { elapsed: seconds(120), ..critical }), Some(Interruption::TimeLimit));
    }

    #[test]
    fn one_that_stands_still_is_ended_when_its_time_is_up_or_space_is_short() {
        let still = Running { still: seconds(5), ..running() };
        assert_eq!(reason_to_end(&still), None);
        assert_eq!(reason_to_end(&Running { elapsed: seconds(120), ..still }), Some(Interruption::TimeLimit));
        assert_eq!(reason_to_end(&Running { space: Space::Short, ..still }), Some(Interruption::FreeReserve));
        let quick = Running { limit: seconds(1), elapsed: seconds(1), still: seconds(1), ..running() };
        assert_eq!(reason_to_end(&quick), Some(Interruption::TimeLimit));
    }

    #[test]
    fn a_stop_has_little_patience_and_a_long_one_is_none() {
        let at = |since, again, still| {
            let stop = Some(Stop { since: Some(seconds(since)), again });
            reason_to_end(&Running { stop, still: Duration::from_millis(still), ..running() })
        };
        assert_eq!(at(30, false, 2_999), None);
        assert_eq!(at(30, false, 3_000), Some(Interruption::Shutdown));
        assert_eq!(at(2, false, 30_000), None);
        assert_eq!(at(30, true, 299), None);
        assert_eq!(at(30, true, 300), Some(Interruption::Shutdown));
        assert_eq!(at(61, true, 30_000), None);
        let future = Running { stop: Some(Stop { since: None, again: false }), still: seconds(3), ..running() };
        assert_eq!(reason_to_end(&future), Some(Interruption::Shutdown));
    }

    #[test]
    fn a_stop_is_held_up_from_its_grace_on_and_a_long_one_is_none() {
        let held_up = |since: &[u64]| since.iter().map(|since| is_held_up(Some(seconds(*since)))).collect::<Vec<_>>();
        assert_eq!(held_up(&[0, 2, 3, 60, 61]), [false, false, true, true, false]);
        assert!(!is_held_up(None));
    }

    #[test]
    fn a_failure_is_remembered_by_what_it_cost() {
        let table = [(0, 5), (1, 6), (5, 30), (120, 60)];
        for (took, seconds) in table {
            assert_eq!(remembered_for(took, Class::Unavailable), seconds, "{took}");
            assert_eq!(remembered_for(took, Class::Gone), 5, "{took}");
        }
    }

    proptest! {
        #[test]
        fn no_push_that_stands_still_outlives_its_limit(elapsed in 0..1_000_u64, limit in 1..200_u64) {
            let (elapsed, limit) = (seconds(elapsed), seconds(limit));
            let seen = Running { elapsed, still: elapsed, limit, ..running() };
            prop_assert_eq!(reason_to_end(&seen).is_some(), elapsed >= limit);
        }
    }
}
