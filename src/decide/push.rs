//! Whether a failed push is tried again or given up.
//!
//! PostgreSQL keeps every segment until `archive_command` succeeds, and stops when the disk is full (it PANICs when it
//! can't write WAL, xlog.c). So a segment must be given up before that, and never sooner than it helps: at once when
//! the repository no longer exists, otherwise when too much waits or too little space is left. A shutdown is no reason.

use crate::ledger::gaps::Cause;
use crate::pgbackrest::Class;

/// With less than this waiting, dropping WAL would not free a disk that is short of space.
pub const LEAST_BACKLOG_FOR_RESERVE: u64 = 64 << 20;

/// What is known when pgBackRest has failed. Sizes in bytes, times in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The class of the failure.
    pub class: Class,
    /// Whether pgBackRest was ended because the server is shutting down, or we are.
    pub ended_for_shutdown: bool,
    /// The WAL that waits; `None` when it could not be measured.
    pub backlog: Option<u64>,
    /// At how much it is given up.
    pub threshold: u64,
    /// What is free on the volume of `pg_wal`; `None` when it is not known.
    pub free: Option<u64>,
    /// How much should be.
    pub reserve: u64,
    /// How old the first answer `gone` must be.
    pub instant_drop_after: u64,
    /// When that answer came, with no success since; `None` when this is the first.
    pub gone_since: Option<i64>,
    /// Now.
    pub now: i64,
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
    if facts.ended_for_shutdown {
        Decision::Retry
    } else if facts.class == Class::Gone && is_old_enough(facts) {
        Decision::GiveUp(Cause::InstantDrop)
    } else if facts.threshold == 0 || facts.backlog.is_some_and(|backlog| backlog >= facts.threshold) {
        Decision::GiveUp(Cause::DropThreshold)
    } else if is_short_of_space(facts.backlog, facts.free, facts.reserve) {
        Decision::GiveUp(Cause::FreeReserve)
    } else {
        Decision::Retry
    }
}

/// Whether so little space is left, and so much waits, that giving up helps.
#[must_use]
pub fn is_short_of_space(backlog: Option<u64>, free: Option<u64>, reserve: u64) -> bool {
    is_under_reserve(free, reserve) && backlog.is_some_and(|backlog| backlog >= LEAST_BACKLOG_FOR_RESERVE)
}

/// Whether free space is known to be under the reserve.
#[must_use]
pub fn is_under_reserve(free: Option<u64>, reserve: u64) -> bool {
    free.is_some_and(|free| free < reserve)
}

/// Whether the first answer `gone` is old enough. One from the future (the clock was set back) counts as new.
fn is_old_enough(facts: &Facts) -> bool {
    let since = facts.gone_since.unwrap_or(facts.now);
    let age = u64::try_from(facts.now - since).unwrap_or(0);
    age >= facts.instant_drop_after
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
            backlog: Some(100 * MIB),
            threshold: 500 * MIB,
            free: Some(9_000 * MIB),
            reserve: 1_024 * MIB,
            instant_drop_after: 0,
            gone_since: None,
            now: 10_000,
        }
    }

    #[test]
    fn gone_is_given_up_at_once_or_when_it_has_lasted() {
        let gone = Facts { class: Class::Gone, backlog: Some(0), ..facts() };
        assert_eq!(decide(&gone), Decision::GiveUp(Cause::InstantDrop));
        let patient = Facts { instant_drop_after: 60, ..gone };
        assert_eq!(decide(&patient), Decision::Retry);
        assert_eq!(decide(&Facts { gone_since: Some(9_941), ..patient }), Decision::Retry);
        assert_eq!(decide(&Facts { gone_since: Some(9_940), ..patient }), Decision::GiveUp(Cause::InstantDrop));
        assert_eq!(decide(&Facts { gone_since: Some(99_999), ..patient }), Decision::Retry);
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
    fn a_short_disk_counts_only_where_dropping_would_help() {
        let short = Facts { free: Some(1_023 * MIB), ..facts() };
        assert_eq!(decide(&short), Decision::GiveUp(Cause::FreeReserve));
        assert_eq!(decide(&Facts { backlog: Some(64 * MIB - 1), ..short }), Decision::Retry);
        assert_eq!(decide(&Facts { backlog: None, ..short }), Decision::Retry);
        assert_eq!(decide(&Facts { free: Some(1_024 * MIB), ..facts() }), Decision::Retry);
        assert_eq!(decide(&Facts { free: None, ..facts() }), Decision::Retry);
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
