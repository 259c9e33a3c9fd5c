//! Whether a failed push is tried again or given up.
//!
//! PostgreSQL keeps every segment until `archive_command` succeeds, and stops when the disk is full (it PANICs when it
//! can't write WAL, xlog.c). So a segment must be given up before that, and never sooner than it helps: at once when
//! the repository no longer exists, otherwise when too much waits or too little space is left. A shutdown is no reason.

use super::pressure::Space;
use crate::ledger::gaps::Cause;
use crate::pgbackrest::Class;

/// With less than this waiting, dropping WAL would not free a disk that is short of space.
pub const LEAST_BACKLOG_FOR_RESERVE: u64 = 64 << 20;

/// Where the answer is from that a push has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// pgBackRest's own, of now.
    New,
    /// An old one, which pgBackRest repeats: that nothing exists any more must be seen now.
    Repeated,
    /// That of a push before: pgBackRest was not asked again.
    Remembered,
}

/// What is known when pgBackRest has failed. Sizes in bytes, times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The class of the failure.
    pub class: Class,
    /// Whether pgBackRest was ended because the server is shutting down, or we are.
    pub ended_for_shutdown: bool,
    /// Whether pushes hold up the server's stop by now: one that gives up a whole backlog, file by file, would never end.
    pub holds_up_a_stop: bool,
    /// Whether pgBackRest's async process gets on, and only was not done in time.
    pub slow: bool,
    /// Where the answer is from.
    pub answer: Answer,
    /// The WAL that waits; `None` when it could not be measured.
    pub backlog: Option<u64>,
    /// At how much it is given up; 0: whatever waits, at the first failure.
    pub threshold: u64,
    /// For how many seconds the failures must have lasted before the threshold gives anything up.
    pub drop_after: u64,
    /// For how long pgBackRest has failed, without a success.
    pub failing_for: u64,
    /// What is free on the volume of `pg_wal`; `None` when it is not known.
    pub free: Option<u64>,
    /// The bytes that PostgreSQL frees at its next checkpoint, because they are archived or given up already.
    pub recyclable: u64,
    /// How much should be.
    pub reserve: u64,
    /// For how many seconds the answer `gone` must have lasted.
    pub instant_drop_after: u64,
    /// For how long it has, without a success.
    pub gone_for: u64,
}

/// What to do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// PostgreSQL shall try again.
    Retry,
    /// Give it up, for this reason.
    GiveUp(Cause),
}

/// Decides what happens to a file that pgBackRest did not store.
pub fn decide(facts: &Facts) -> Decision {
    let space = space_left(facts.backlog, facts.free, facts.recyclable, facts.reserve);
    // A store that is gone answers at once: dropping what it refuses takes no time of the stop.
    let would_hold_up = facts.holds_up_a_stop && facts.class != Class::Gone && space == Space::Enough;
    let waits_for_a_start = facts.ended_for_shutdown || would_hold_up;
    if waits_for_a_start || facts.slow && space != Space::Critical {
        Decision::Retry
    } else if facts.class == Class::Gone
        && facts.answer != Answer::Repeated
        && facts.gone_for >= facts.instant_drop_after
    {
        Decision::GiveUp(Cause::InstantDrop)
    } else if reaches_the_threshold(facts) {
        Decision::GiveUp(Cause::DropThreshold)
    } else if space != Space::Enough {
        Decision::GiveUp(Cause::FreeReserve)
    } else {
        Decision::Retry
    }
}

/// Whether so little space is left, and so much waits, that giving up helps. What was given up before frees the disk only
/// at the next checkpoint, and counts as free: otherwise all that waits would be given up until then.
#[must_use]
pub fn space_left(backlog: Option<u64>, free: Option<u64>, recyclable: u64, reserve: u64) -> Space {
    let helps = backlog.is_some_and(|backlog| backlog >= LEAST_BACKLOG_FOR_RESERVE);
    match free.map(|free| free.saturating_add(recyclable)) {
        Some(free) if helps && free < reserve / 4 => Space::Critical,
        Some(free) if helps && free < reserve => Space::Short,
        _ => Space::Enough,
    }
}

/// Whether free space is known to be under the reserve.
#[must_use]
pub fn is_under_reserve(free: Option<u64>, reserve: u64) -> bool {
    free.is_some_and(|free| free < reserve)
}

/// Whether too much waits, and has failed for long enough. A threshold of 0 waits for nothing: that is what it says.
fn reaches_the_threshold(facts: &Facts) -> bool {
    let has_lasted = facts.failing_for >= facts.drop_after;
    facts.threshold == 0 || has_lasted && facts.backlog.is_some_and(|backlog| backlog >= facts.threshold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn facts() -> Facts {
        Facts {
            class: Class::Unavailable,
            ended_for_shutdown: false,
            holds_up_a_stop: false,
            slow: false,
            answer: Answer::New,
            backlog: Some(100 * MIB),
            threshold: 500 * MIB,
            drop_after: 60,
            failing_for: 60,
            free: Some(9_000 * MIB),
            recyclable: 0,
            reserve: 1_024 * MIB,
            instant_drop_after: 0,
            gone_for: 0,
        }
    }

    #[test]
    fn gone_is_given_up_at_once_or_when_it_has_lasted() {
        let gone = Facts { class: Class::Gone, backlog: Some(0), ..facts() };
        assert_eq!(decide(&gone), Decision::GiveUp(Cause::InstantDrop));
        let patient = Facts { instant_drop_after: 60, ..gone };
        assert_eq!(decide(&patient), Decision::Retry);
        assert_eq!(decide(&Facts { answer: Answer::Repeated, ..gone }), Decision::Retry);
        assert_eq!(decide(&Facts { gone_for: 59, ..patient }), Decision::Retry);
        assert_eq!(decide(&Facts { gone_for: 60, ..patient }), Decision::GiveUp(Cause::InstantDrop));
    }

    #[test]
    fn the_threshold_is_reached_when_it_is_met() {
        let at = |backlog| decide(&Facts { backlog, ..facts() });
        assert_eq!(at(Some(500 * MIB - 1)), Decision::Retry);
        assert_eq!(at(Some(500 * MIB)), Decision::GiveUp(Cause::DropThreshold));
        assert_eq!(at(None), Decision::Retry);
        assert_eq!(decide(&Facts { threshold: 0, backlog: None, ..facts() }), Decision::GiveUp(Cause::DropThreshold));
    }

    #[test]
    fn the_threshold_waits_and_nothing_else_does() {
        let first = Facts { failing_for: 59, backlog: Some(900 * MIB), ..facts() };
        assert_eq!(decide(&first), Decision::Retry);
        assert_eq!(decide(&Facts { drop_after: 0, failing_for: 0, ..first }), Decision::GiveUp(Cause::DropThreshold));
        assert_eq!(decide(&Facts { threshold: 0, failing_for: 0, ..first }), Decision::GiveUp(Cause::DropThreshold));
        assert_eq!(decide(&Facts { free: Some(0), failing_for: 0, ..first }), Decision::GiveUp(Cause::FreeReserve));
        let gone = Facts { class: Class::Gone, failing_for: 0, ..first };
        assert_eq!(decide(&gone), Decision::GiveUp(Cause::InstantDrop));
    }

    #[test]
    fn a_short_disk_counts_only_where_dropping_would_help() {
        let short = Facts { free: Some(1_023 * MIB), ..facts() };
        assert_eq!(decide(&short), Decision::GiveUp(Cause::FreeReserve));
        assert_eq!(decide(&Facts { backlog: Some(64 * MIB - 1), ..short }), Decision::Retry);
        assert_eq!(decide(&Facts { backlog: None, ..short }), Decision::Retry);
        assert_eq!(decide(&Facts { free: Some(1_024 * MIB), ..facts() }), Decision::Retry);
        assert_eq!(decide(&Facts { free: None, ..facts() }), Decision::Retry);
    }

    #[test]
    fn what_is_freed_already_counts_and_no_more_is_given_up() {
        let short = Facts { free: Some(300 * MIB), ..facts() };
        assert_eq!(decide(&Facts { recyclable: 723 * MIB, ..short }), Decision::GiveUp(Cause::FreeReserve));
        assert_eq!(decide(&Facts { recyclable: 724 * MIB, ..short }), Decision::Retry);
    }

    #[test]
    fn slow_is_not_failed_until_space_is_critical() {
        let slow = Facts { slow: true, backlog: Some(900 * MIB), ..facts() };
        assert_eq!(decide(&slow), Decision::Retry);
        assert_eq!(decide(&Facts { free: Some(256 * MIB), ..slow }), Decision::Retry);
        let critical = Facts { free: Some(255 * MIB), ..slow };
        assert_ne!(decide(&critical), Decision::Retry);
    }

    #[test]
    fn a_backlog_does_not_hold_up_a_stop() {
        let stop = Facts { holds_up_a_stop: true, backlog: Some(900 * MIB), ..facts() };
        assert_ne!(decide(&Facts { holds_up_a_stop: false, ..stop }), Decision::Retry);
        assert_eq!(decide(&stop), Decision::Retry);
        assert_ne!(decide(&Facts { class: Class::Gone, ..stop }), Decision::Retry);
        // Sessions of a smart stop may go on writing.
        assert_ne!(decide(&Facts { free: Some(1_023 * MIB), ..stop }), Decision::Retry);
    }

    proptest! {
        #[test]
        fn nothing_is_given_up_because_of_a_shutdown(backlog in any::<Option<u64>>(), free in any::<Option<u64>>()) {
            let facts = Facts { ended_for_shutdown: true, class: Class::Gone, backlog, free, ..facts() };
            prop_assert_eq!(decide(&facts), Decision::Retry);
        }

        #[test]
        fn more_backlog_never_turns_a_give_up_into_a_retry(backlog in 0..900 * MIB, more in 0..900 * MIB, free in 0..3_000 * MIB) {
            let before = decide(&Facts { backlog: Some(backlog), free: Some(free), ..facts() });
            let after = decide(&Facts { backlog: Some(backlog + more), free: Some(free), ..facts() });
            prop_assert!(before == Decision::Retry || after != Decision::Retry);
        }

        #[test]
        fn what_is_retried_left_the_limits_untouched(backlog in 0..900 * MIB, free in 0..3_000 * MIB) {
            let facts = Facts { backlog: Some(backlog), free: Some(free), ..facts() };
            if decide(&facts) == Decision::Retry {
                prop_assert!(backlog < facts.threshold);
                prop_assert!(free >= facts.reserve || backlog < LEAST_BACKLOG_FOR_RESERVE);
            }
        }
    }
}
