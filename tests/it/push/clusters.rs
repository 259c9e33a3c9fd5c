//! Several clusters that archive with one state directory, one after the other (contract, section 6): each finds its own
//! losses and its own deferred files again. With kills: `crash.rs`.

use super::outcome::Outcome;
use super::standin::Case;
use super::state::{becomes_cluster, ledgers_aside};
use std::fs;

const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";
const HISTORY: &str = "00000002.history";
pub(super) const NEXT: &str = "000000010000000000000006";

/// A push of cluster 101 that gives its file up.
pub(super) fn losing_first(name: &str) -> Case {
    Case::new(name).control(101).says(REFUSED).exits(49).backlog(500)
}

/// A timeline's history that names its cluster.
pub(super) fn pushes_history(case: Case, cluster: u64) -> Case {
    becomes_cluster(case.pushes(HISTORY).write(&format!("pg_wal/{HISTORY}"), cluster.to_string()), cluster)
}

/// What a deferred file says.
pub(super) fn deferred(outcome: &Outcome, name: &str) -> String {
    let folder = outcome.case.data().join(".pgbackrest_guard/deferred");
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

#[test]
fn the_first_of_four_clusters_takes_its_ledger_back() {
    let mut outcome = losing_first("four clusters").status(0);
    for cluster in 102..=104 {
        outcome = becomes_cluster(outcome.again(), cluster).status(0);
    }
    let outcome = becomes_cluster(outcome.again().pushes(NEXT).works(), 101).status(0);
    let outcome = outcome.lines_with("this cluster's own ledger is in use again", 1).stderr_lacks("removed");
    outcome.check(ledgers_aside(&outcome) == 3, "three ledgers aside");
    outcome.ledger("what was lost", |state| state.gaps.open().count() == 1);
}

#[test]
fn a_ledger_with_open_gaps_that_is_one_too_many_is_told() {
    let mut outcome = losing_first("five clusters").status(0);
    for cluster in 102..=105 {
        outcome = becomes_cluster(outcome.again(), cluster).status(0);
    }
    let outcome = outcome.lines_with("the ledger of cluster 101: at most three are kept aside; its 1 open gaps", 1);
    outcome.check(ledgers_aside(&outcome) == 3, "three ledgers aside");
}

#[test]
fn a_history_of_another_cluster_stays_another_clusters() {
    let outcome = losing_first("a, b, a, b, a").status(0);
    let outcome = pushes_history(outcome.again(), 102).status(0).deferred(&[HISTORY]);
    let mut outcome = outcome.ledger("its own", |state| state.foreign_deferred.is_empty());
    for _ in 0..2 {
        let first = becomes_cluster(outcome.again().pushes(NEXT), 101).status(0).deferred(&[HISTORY]);
        let first = first.ledger("not its own", |state| state.foreign_deferred.contains(HISTORY));
        let second = becomes_cluster(first.again(), 102).status(0).deferred(&[HISTORY]);
        outcome = second.ledger("its own", |state| state.foreign_deferred.is_empty());
    }
}

#[test]
fn without_a_ledger_no_deferred_file_is_overwritten() {
    let case = pushes_history(losing_first("a folder in its place"), 101).write(".pgbackrest_guard/ledger/x", "");
    let same = case.write(&format!(".pgbackrest_guard/deferred/{HISTORY}"), "101").status(0);
    let other = same.again().write(&format!(".pgbackrest_guard/deferred/{HISTORY}"), "102").status(49);
    let other = other.stderr_has("it holds another file of that name");
    other.check(deferred(&other, HISTORY) == "102", "the other's history");
}
