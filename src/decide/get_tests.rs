//! The answers of get: a table, and properties over every outcome and every asker.

use super::*;
use proptest::prelude::*;

const PATIENCE: Duration = Duration::from_mins(5);
const TIMEOUT: Duration = Duration::from_mins(2);
const STREAMING: Asker = Asker::Standby { promotion: Promotion::Unlikely, silent_before: Before::Heard };
const KEPT: Asker = Asker::NewTimeline { kept: true, silent_before: Before::Heard };
const NOT_KEPT: Asker = Asker::NewTimeline { kept: false, silent_before: Before::Heard };
const PROMOTED: Asker = Asker::Standby { promotion: Promotion::Waits, silent_before: Before::Heard };

fn askers() -> impl Strategy<Value = Asker> {
    let standby =
        (promotions(), befores()).prop_map(|(promotion, silent_before)| Asker::Standby { promotion, silent_before });
    let new_timeline =
        (any::<bool>(), befores()).prop_map(|(kept, silent_before)| Asker::NewTimeline { kept, silent_before });
    prop_oneof![standby, new_timeline, Just(Asker::Recovery), Just(Asker::Rewind)]
}

fn promotions() -> impl Strategy<Value = Promotion> {
    prop_oneof![Just(Promotion::Unlikely), Just(Promotion::Possible), Just(Promotion::Waits)]
}

fn befores() -> impl Strategy<Value = Before> {
    prop_oneof![Just(Before::Heard), Just(Before::Briefly), Just(Before::Silent), Just(Before::LongSilent)]
}

fn words() -> impl Strategy<Value = Words> {
    prop_oneof![Just(Words::Absent), Just(Words::RepositoryFailed), Just(Words::Nothing)]
}

fn endings() -> impl Strategy<Value = Ended> {
    let others = prop_oneof![Just(Ended::Signaled), Just(Ended::TimeLimit), Just(Ended::NotStarted)];
    prop_oneof![(-300..600_i32).prop_map(Ended::Exited), others]
}

#[test]
fn absent_needs_words_and_every_repository() {
    assert_eq!(outcome(Ended::Exited(1), Words::Absent, Found::Nothing), Outcome::Absent);
    assert_eq!(outcome(Ended::Exited(1), Words::RepositoryFailed, Found::Nothing), Outcome::Inconclusive(code(103)));
    assert_eq!(outcome(Ended::Exited(1), Words::Nothing, Found::Nothing), Outcome::Inconclusive(Exit::Unknown));
    let others =
        [Ended::Signaled, Ended::TimeLimit, Ended::NotStarted, Ended::Shutdown, Ended::Exited(0), Ended::Exited(103)];
    for ended in others {
        assert_ne!(outcome(ended, Words::Absent, Found::Nothing), Outcome::Absent, "{ended:?}");
    }
}

#[test]
fn a_file_that_is_not_whole_is_not_restored() {
    assert_eq!(outcome(Ended::Exited(0), Words::Nothing, Found::Whole), Outcome::Restored);
    assert_eq!(outcome(Ended::Exited(0), Words::Nothing, Found::NotWhole), Outcome::Inconclusive(code(42)));
    assert_eq!(outcome(Ended::Exited(103), Words::Nothing, Found::Whole), Outcome::Inconclusive(code(103)));
}

#[test]
fn who_waits_for_how_long() {
    let failed = outcome(Ended::Exited(103), Words::RepositoryFailed, Found::Nothing);
    let after = |asker, attempts, waited| {
        decide(asker, failed, attempts, Duration::from_secs(waited), patience(asker, PATIENCE), 0)
    };
    assert_eq!(after(Asker::Recovery, 1, 0), Decision::RetryAfter(FIRST_PAUSE));
    assert_eq!(after(Asker::Recovery, 9, 100), Decision::RetryAfter(LONGEST_PAUSE));
    assert_eq!(after(Asker::Recovery, 9, 299), Decision::RetryAfter(Duration::from_secs(1)));
    assert_eq!(after(Asker::Recovery, 9, 300), Decision::End(Exit::StopRecovery));
    assert_eq!(after(Asker::Rewind, 9, 300), Decision::End(Exit::StopRecovery));
    assert_eq!(after(STREAMING, 1, 0), Decision::RetryAfter(QUICK_PAUSE));
    assert_eq!(after(STREAMING, 1, 2), Decision::End(code(103)));
    assert_eq!(after(STREAMING, 2, 0), Decision::End(code(103)));
    assert_eq!(after(PROMOTED, 1, 0), Decision::End(code(103)));
    assert_eq!(after(KEPT, 1, 0), Decision::End(code(103)));
    assert_eq!(after(NOT_KEPT, 1, 0), Decision::RetryAfter(FIRST_PAUSE));
    assert_eq!(after(NOT_KEPT, 4, 10), Decision::End(code(103)));
}

#[test]
fn a_call_that_a_promotion_waits_for_is_short() {
    let whole = |asker| limits(asker, 1, TIMEOUT, PATIENCE).whole;
    assert_eq!(whole(PROMOTED), PROMOTION_LIMIT);
    for silent_before in [Before::Briefly, Before::Silent, Before::LongSilent] {
        let asker = Asker::Standby { promotion: Promotion::Waits, silent_before };
        assert_eq!(whole(asker), Duration::from_millis(500));
    }
    assert_eq!(whole(KEPT), PROMOTION_LIMIT);
    assert_eq!(limits(NOT_KEPT, 2, TIMEOUT, FIRST_PAUSE).whole, FIRST_PAUSE);
    assert_eq!(whole(STREAMING), TIMEOUT);
    assert_eq!(whole(Asker::Recovery), TIMEOUT);
}

#[test]
fn how_long_a_repository_may_be_silent_while_a_standby_waits() {
    let table = [
        (Promotion::Unlikely, Before::Heard, SILENCE),
        (Promotion::Unlikely, Before::Briefly, SILENCE),
        (Promotion::Unlikely, Before::Silent, SILENCE_AGAIN),
        (Promotion::Unlikely, Before::LongSilent, SILENCE_BETWEEN),
        (Promotion::Possible, Before::Heard, SILENCE_BETWEEN),
        (Promotion::Possible, Before::Briefly, SILENCE_AGAIN),
        (Promotion::Possible, Before::Silent, SILENCE_AGAIN),
        (Promotion::Possible, Before::LongSilent, SILENCE_AGAIN),
    ];
    for (promotion, silent_before, expected) in table {
        let limits = limits(Asker::Standby { promotion, silent_before }, 1, TIMEOUT, PATIENCE);
        assert_eq!((limits.whole, limits.silence), (TIMEOUT, expected), "{promotion:?} {silent_before:?}");
    }
}

proptest! {
    #[test]
    fn without_recovery_signal_nobody_is_stopped(
        asker in askers(), ended in endings(), words in words(), attempts in 1..9_u32, waited in 0..600_u64,
    ) {
        let outcome = outcome(ended, words, Found::Nothing);
        let decision = decide(asker, outcome, attempts, Duration::from_secs(waited), PATIENCE, 7);
        if let Decision::End(exit) = decision {
            let stops = matches!(asker, Asker::Recovery | Asker::Rewind);
            prop_assert!(exit.code() <= 125 || stops && exit == Exit::StopRecovery);
            prop_assert!(exit.code() != 1 || outcome == Outcome::Absent);
        }
    }

    #[test]
    fn a_recovery_never_sees_what_means_the_end_unless_it_is(ended in endings(), words in words(), waited in 0..600_u64) {
        let outcome = outcome(ended, words, Found::Nothing);
        let decision = decide(Asker::Recovery, outcome, 3, Duration::from_secs(waited), PATIENCE, 7);
        if let Decision::End(exit) = decision {
            let absent = ended == Ended::Exited(1) && words == Words::Absent;
            prop_assert!(exit == Exit::StopRecovery || (exit == Exit::Failed && absent));
        }
    }

    #[test]
    fn a_promotion_is_never_kept_waiting(attempt in 1..9_u32, silent_before in befores(), waited in 0..600_u64) {
        let asker = Asker::Standby { promotion: Promotion::Waits, silent_before };
        prop_assert!(limits(asker, attempt, TIMEOUT, PATIENCE).whole <= Duration::from_secs(2));
        let failed = outcome(Ended::TimeLimit, Words::Nothing, Found::Nothing);
        let decision = decide(asker, failed, attempt, Duration::from_secs(waited), PATIENCE, 7);
        prop_assert_eq!(decision, Decision::End(Exit::TimedOut));
    }

    #[test]
    fn pauses_grow_to_thirty_seconds(attempts in 1..200_u32, jitter: u8) {
        let pause = pause(attempts, jitter);
        prop_assert!(pause >= FIRST_PAUSE * 3 / 4 && pause <= LONGEST_PAUSE);
    }
}
