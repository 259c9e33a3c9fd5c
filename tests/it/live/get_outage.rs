//! The reproduction: the repository is lost in the middle of a one-shot recovery.
//!
//! With bare pgBackRest (2.45) PostgreSQL (15.18) takes the error for the end of the archive and promotes without the
//! later commits. That is the control: where it does not, the tests beside it prove nothing.

use super::get::{Origin, Outage, ROWS, Wanted, assert_complete, assert_stopped, rows, wait_log};
use pgbackrest_guard_lab::Cluster;

/// Begins an outage at a segment and starts the copy into it.
type Begin = fn(&Origin, &str, &Cluster) -> Outage;

fn lose_the_repository_in_mid_recovery(asynchronous: bool, begin: Begin) {
    let origin = Origin::new();
    let at = &origin.segments[5];
    let wanted = |name, guard| Wanted { asynchronous, guard, ..Wanted::new(name) };

    let bare = origin.restore(wanted("bare", None));
    let outage = begin(&origin, at, &bare);
    assert!(bare.wait_promoted(super::get::LONG), "the control does not promote early:\n{}", bare.log());
    let left = rows(&bare);
    assert!((1..ROWS).contains(&left), "the control has {left} rows:\n{}", bare.log());
    outage.end(&origin);
    drop(bare);

    let patient = origin.restore(wanted("patient", Some("--retry 120")));
    let outage = begin(&origin, at, &patient);
    wait_log(&patient, "pgbackrest-guard-get: ");
    wait_log(&patient, &format!("{at}: the repository could not be queried: class "));
    assert!(!patient.log().contains("selected new timeline ID"), "{}", patient.log());
    outage.end(&origin);
    assert_complete(&patient);
    assert!(patient.log().contains(&format!("{at} is restored: the repository answers again")), "{}", patient.log());
    drop(patient);

    let impatient = origin.restore(wanted("impatient", Some("--retry 1")));
    let outage = begin(&origin, at, &impatient);
    assert_stopped(&impatient);
    impatient.start_recovery();
    assert!(impatient.wait_stopped(super::get::LONG), "it goes on without the repository");
    outage.end(&origin);
    impatient.start_recovery();
    assert_complete(&impatient);
}

#[test]
fn a_server_that_refuses_connections_ends_no_recovery() {
    lose_the_repository_in_mid_recovery(false, Origin::refused_at);
}

#[test]
fn long_a_server_that_refuses_connections_ends_no_prefetching_recovery() {
    lose_the_repository_in_mid_recovery(true, Origin::refused_at);
}

#[test]
fn a_key_without_rights_ends_no_recovery() {
    lose_the_repository_in_mid_recovery(false, Origin::denied_at);
}

#[test]
fn long_a_key_without_rights_ends_no_prefetching_recovery() {
    lose_the_repository_in_mid_recovery(true, Origin::denied_at);
}
