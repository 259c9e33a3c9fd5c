//! What `restore_command` answers.
//!
//! PostgreSQL takes every code from 1 to 125 as "no such file" (xlogarchive.c, `RestoreArchivedFile`, PostgreSQL 13 to
//! 15; `shell_restore.c` from 16). In a one-shot recovery that is where the archive ends, and it promotes. pgBackRest's
//! errors are 25 to 125, so an outage would end a recovery early. Hence *absent* is said only when every repository has
//! been asked and none has the file; all else is asked again, and in the end stops the server. A standby streams on
//! meanwhile and asks again by itself, so there pgBackRest's code may pass.

use crate::data_directory::Recovery;
use crate::exit::{ArchiverCode, Exit};
use std::time::Duration;

/// The first pause between attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause before a standby's second attempt.
const QUICK_PAUSE: Duration = Duration::from_millis(200);

/// How pgBackRest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal of somebody else.
    Signaled,
    /// By us: the time limit passed.
    TimeLimit,
    /// By us: we were told to end.
    Told,
    /// It was never started.
    NotStarted,
}

/// What was found where the file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A whole file.
    Whole,
    /// A segment of another size than the cluster's, or an empty file.
    NotWhole,
    /// Nothing.
    Nothing,
}

/// What one attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The file is here, whole.
    Restored,
    /// Every repository was asked, and none has it.
    Absent,
    /// We were told to end.
    Told,
    /// Nothing is known; the exit is what a standby passes on, 2 to 125.
    Inconclusive(Exit),
}

/// Judges one attempt. `warned` is whether a repository failed while another answered (`repoN: [` in the output).
#[must_use]
pub fn outcome(ended: Ended, warned: bool, found: Found) -> Outcome {
    match (ended, found) {
        (Ended::Exited(0), Found::Whole) => Outcome::Restored,
        // What pgBackRest says when a file could not be read whole (`FileReadError`).
        (Ended::Exited(0), Found::NotWhole | Found::Nothing) => Outcome::Inconclusive(code(42)),
        (Ended::Exited(1), _) if !warned => Outcome::Absent,
        // What it says when no repository can be asked (`RepoInvalidError`).
        (Ended::Exited(1), _) => Outcome::Inconclusive(code(103)),
        (Ended::Exited(other), _) => Outcome::Inconclusive(code(other)),
        (Ended::Signaled, _) => Outcome::Inconclusive(Exit::Terminated),
        (Ended::TimeLimit, _) => Outcome::Inconclusive(Exit::TimedOut),
        (Ended::NotStarted, _) => Outcome::Inconclusive(Exit::Unknown),
        (Ended::Told, _) => Outcome::Told,
    }
}

fn code(code: i32) -> Exit {
    Exit::PgBackRest(ArchiverCode::from_child(code))
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// The program ends.
    End(Exit),
    /// Another attempt after this pause.
    RetryAfter(Duration),
}

/// Decides after attempt number `attempts` (from 1), `waited` since the first began, with `patience` for all of them.
/// `jitter`, 0 to 255, spreads the pauses of several servers.
pub fn decide(
    recovery: Recovery,
    outcome: Outcome,
    attempts: u32,
    waited: Duration,
    patience: Duration,
    jitter: u8,
) -> Decision {
    match outcome {
        Outcome::Restored => Decision::End(Exit::Success),
        Outcome::Absent => Decision::End(Exit::Failed),
        Outcome::Told => Decision::End(Exit::Shutdown),
        Outcome::Inconclusive(exit) => match recovery {
            Recovery::Standby if attempts == 1 => Decision::RetryAfter(QUICK_PAUSE),
            Recovery::Standby => Decision::End(exit),
            Recovery::OneShot if waited >= patience => Decision::End(Exit::StopRecovery),
            Recovery::OneShot => Decision::RetryAfter(pause(attempts, jitter).min(patience.saturating_sub(waited))),
        },
    }
}

/// The pause after attempt number `attempts`: 1 s, doubled each time, at most 30 s, and shortened by up to a quarter.
fn pause(attempts: u32, jitter: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    doubled.saturating_sub(doubled / 4 * u32::from(jitter) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Duration = Duration::from_mins(5);

    #[test]
    fn absent_needs_a_clean_answer_of_every_repository() {
        assert_eq!(outcome(Ended::Exited(1), false, Found::Nothing), Outcome::Absent);
        assert_eq!(outcome(Ended::Exited(1), true, Found::Nothing), Outcome::Inconclusive(code(103)));
        let others =
            [Ended::Signaled, Ended::TimeLimit, Ended::NotStarted, Ended::Told, Ended::Exited(0), Ended::Exited(103)];
        for ended in others {
            assert_ne!(outcome(ended, false, Found::Nothing), Outcome::Absent, "{ended:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_not_restored() {
        assert_eq!(outcome(Ended::Exited(0), false, Found::Whole), Outcome::Restored);
        assert_eq!(outcome(Ended::Exited(0), false, Found::NotWhole), Outcome::Inconclusive(code(42)));
        assert_eq!(outcome(Ended::Exited(103), false, Found::Whole), Outcome::Inconclusive(code(103)));
    }

    #[test]
    fn a_recovery_waits_and_then_stops_and_a_standby_passes_the_code_on() {
        let failed = outcome(Ended::Exited(103), false, Found::Nothing);
        let after =
            |recovery, attempts, waited| decide(recovery, failed, attempts, Duration::from_secs(waited), PATIENCE, 0);
        assert_eq!(after(Recovery::OneShot, 1, 0), Decision::RetryAfter(FIRST_PAUSE));
        assert_eq!(after(Recovery::OneShot, 9, 100), Decision::RetryAfter(LONGEST_PAUSE));
        assert_eq!(after(Recovery::OneShot, 9, 299), Decision::RetryAfter(Duration::from_secs(1)));
        assert_eq!(after(Recovery::OneShot, 9, 300), Decision::End(Exit::StopRecovery));
        assert_eq!(after(Recovery::Standby, 1, 0), Decision::RetryAfter(QUICK_PAUSE));
        assert_eq!(after(Recovery::Standby, 2, 0), Decision::End(code(103)));
    }

    proptest! {
        #[test]
        fn a_standby_never_sees_more_than_125_save_for_a_shutdown(exited in -300..600_i32, warned: bool, attempts in 1..9_u32) {
            for ended in [Ended::Exited(exited), Ended::Signaled, Ended::TimeLimit, Ended::NotStarted] {
                let outcome = outcome(ended, warned, Found::Nothing);
                if let Decision::End(exit) = decide(Recovery::Standby, outcome, attempts, PATIENCE, PATIENCE, 0) {
                    prop_assert!(exit.code() <= 125);
                    prop_assert!(exit.code() != 1 || outcome == Outcome::Absent);
                }
            }
        }

        #[test]
        fn a_recovery_never_sees_what_means_the_end_unless_it_is(exited in -300..600_i32, warned: bool, waited in 0..600_u64) {
            let outcome = outcome(Ended::Exited(exited), warned, Found::Nothing);
            let decision = decide(Recovery::OneShot, outcome, 3, Duration::from_secs(waited), PATIENCE, 7);
            if let Decision::End(exit) = decision {
                prop_assert!(exit == Exit::StopRecovery || (exit == Exit::Failed && exited == 1 && !warned));
            }
        }

        #[test]
        fn pauses_grow_to_thirty_seconds(attempts in 1..200_u32, jitter: u8) {
            let pause = pause(attempts, jitter);
            prop_assert!(pause >= FIRST_PAUSE * 3 / 4 && pause <= LONGEST_PAUSE);
        }
    }
}
