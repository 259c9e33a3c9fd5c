//! Push is killed at every named checkpoint and run again: nothing may be lost without a record, nothing counted
//! twice, nothing left lying about.

use super::clusters::{NEXT, deferred, losing_first, pushes_history};
use super::outcome::Outcome;
use super::standin::{Case, SEGMENT};
use super::state::{becomes_cluster, ledgers_aside};
use pgbackrest_guard::checkpoint::{NAMES, OF_EXCHANGE};
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::state::State;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

/// The variable by which a debug build is killed.
const KILL_AT: &str = "WAL_GUARD_TEST_KILL_AT";
const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";
const HISTORY: &str = "00000002.history";

/// A push that gives its file up.
fn giving_up(name: &str) -> Case {
    Case::new(name).says(REFUSED).exits(49).backlog(500)
}

fn with_overflow(name: &str) -> Case {
    let case = giving_up(name);
    let folder = case.root().join("overflow");
    case.env("WAL_OVERFLOW_DIR", folder)
}

/// Runs the case to `checkpoint`, where it is killed, or to its end where it does not come there. Whether it did.
fn killed(case: Case, checkpoint: &str) -> (bool, Case) {
    let outcome = case.env(KILL_AT, checkpoint).run();
    let reached = outcome.status.signal() == Some(9);
    outcome.check(reached || outcome.status.code() == Some(0), "an end by SIGKILL or a success");
    // What is there can be read at any instant; before the first ledger there is none.
    let folder = outcome.case.data().join(".pgbackrest_guard");
    outcome.check(Ledger::peek(&folder).is_ok(), "a ledger that can be read");
    (reached, outcome.again().unset(KILL_AT))
}

/// Every file of the case that the program may have written, by its path.
fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path().to_string_lossy().into_owned());
        }
    }
}

fn litter(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["data", "overflow"] {
        files(&outcome.case.root().join(folder), &mut found);
    }
    found.retain(|path| path.contains(".new"));
    found
}

/// Kills the case at every checkpoint, then lets it run, and hands the end to `verify`. Which ones were reached.
fn at_every_checkpoint(case: fn(&str) -> Case, verify: fn(Outcome) -> Outcome) -> Vec<&'static str> {
    let mut reached = Vec::new();
    for name in NAMES {
        // Once on a new cluster, once where there is a ledger already.
        let fresh = case(&format!("{name}, fresh"));
        let seasoned = case(&format!("{name}, seasoned")).env("WAL_ARCHIVE_BUCKET", "").status(0).again();
        for case in [fresh, seasoned.unset("WAL_ARCHIVE_BUCKET")] {
            let (was_reached, case) = killed(case, name);
            if !was_reached {
                continue;
            }
            reached.push(*name);
            // A second kill at the same place must be no worse than one.
            let (_, case) = killed(case, name);
            let outcome = verify(case.status(0));
            outcome.check(litter(&outcome).is_empty(), &format!("no litter, not {:?}", litter(&outcome)));
            verify(outcome.again().status(0));
        }
    }
    reached.dedup();
    reached
}

#[test]
fn a_loss_is_recorded_once_wherever_push_is_killed() {
    let reached = at_every_checkpoint(giving_up, |outcome| outcome.lost("unavailable", "drop-threshold").deferred(&[]));
    let elsewhere = ["kept-files-copied", "copy-written", "overflow-copied", "deferred-copied"];
    let expected: Vec<_> = NAMES.iter().copied().filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(reached, expected, "the checkpoints of a loss");
}

#[test]
fn a_segment_overflows_once_wherever_push_is_killed() {
    let reached = at_every_checkpoint(with_overflow, |outcome| {
        let folder = outcome.case.root().join("overflow");
        let no_loss = |state: &State| state.push.dropped_count == 0;
        outcome.holds(&folder, &[SEGMENT]).ledger("no loss", no_loss).marker(false)
    });
    assert!(reached.contains(&"copy-written") && reached.contains(&"overflow-copied"), "{reached:?}");
}

#[test]
fn a_history_file_is_deferred_wherever_push_is_killed() {
    let reached = at_every_checkpoint(
        |name| giving_up(name).pushes(HISTORY),
        |outcome| outcome.deferred(&[HISTORY]).ledger("no loss", |state| state.push.dropped_count == 0).marker(false),
    );
    assert!(reached.contains(&"copy-written") && reached.contains(&"deferred-copied"), "{reached:?}");
}

#[test]
fn what_pgbackrest_dropped_is_recorded_wherever_push_is_killed() {
    let dropped = |name: &str| {
        Case::new(name).says(format!("WARN: dropped WAL file '{SEGMENT}' because archive queue exceeded 1MB\n"))
    };
    let reached = at_every_checkpoint(dropped, |outcome| outcome.lost("unavailable", "archive-push-queue-max"));
    assert!(reached.contains(&"marker-written"), "{reached:?}");
}

#[test]
fn a_repository_that_works_again_stores_what_a_killed_push_left() {
    for name in NAMES {
        let (_, case) = killed(giving_up(name), name);
        let outcome = case.works().status(0);
        // Killed before the record: stored. After it: recorded, then healed by being stored.
        outcome.ledger("nothing open", |state| state.gaps.open().count() == 0 && state.push.consecutive_failures == 0);
    }
}

/// What the ledger keeps for want of room is moved out of it by the next push, wherever that is killed.
#[test]
fn a_file_in_the_ledger_is_deferred_wherever_push_is_killed() {
    for checkpoint in ["copy-written", "kept-files-copied", "ledger-slot-written", "ledger-slot-synced"] {
        let outcome = Case::new(checkpoint).status(0);
        let ledger = Ledger::existing(&outcome.case.data().join(".pgbackrest_guard")).unwrap();
        let kept = ledger.update(|state| assert!(state.kept_files.insert(HISTORY, b"7")));
        assert_eq!(kept.unwrap().kept_files.len(), 1);
        let (reached, case) = killed(outcome.again(), checkpoint);
        assert!(reached, "{checkpoint}");
        let outcome = case.status(0).deferred(&[HISTORY]).ledger("no longer", |state| state.kept_files.is_empty());
        outcome.check(deferred(&outcome, HISTORY) == "7" && litter(&outcome).is_empty(), "the file and no litter");
    }
}

/// Runs a push, after one that is killed at `checkpoint`. Whether it came there.
fn killed_then_well(case: Case, checkpoint: &str) -> (bool, Outcome) {
    let (reached, case) = killed(case, checkpoint);
    (reached, case.status(0))
}

#[test]
fn each_cluster_finds_its_own_again_wherever_a_push_is_killed() {
    let mut reached = Vec::new();
    for name in OF_EXCHANGE {
        let first = pushes_history(losing_first(name).status(0).again(), 101).status(0);
        let (exchanged, outcome) = killed_then_well(pushes_history(first.again(), 102), name);
        let moved = format!("{HISTORY}.of-101");
        outcome.check(deferred(&outcome, HISTORY) == "102", "the second's history");
        outcome.check(deferred(&outcome, &moved) == "101", "the first's history");
        let outcome = outcome.deferred(&[HISTORY, &moved]);
        let (back, outcome) = killed_then_well(becomes_cluster(outcome.again().pushes(NEXT).works(), 101), name);
        let moved = format!("{HISTORY}.of-102");
        outcome.check(deferred(&outcome, HISTORY) == "101", "the first's history again");
        outcome.check(deferred(&outcome, &moved) == "102", "the second's history still");
        let outcome = outcome
            .deferred(&[HISTORY, &moved])
            .ledger("the first's", |state| state.gaps.open().count() == 1 && state.foreign_deferred.is_empty());
        outcome.check(ledgers_aside(&outcome) == 1, "the second's ledger aside");
        if exchanged || back {
            reached.push(*name);
        }
    }
    assert_eq!(reached, OF_EXCHANGE);
}
