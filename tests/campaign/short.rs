//! What `make test` runs of `make campaign`: one short seed with a few faults, fifty kills of a process that writes the
//! ledger, and the tests of the driver's own parts.

#![expect(clippy::indexing_slicing, reason = "JSON that is not as expected is null")]
#![expect(clippy::disallowed_methods, reason = "the bans are for the programs")]
#![expect(dead_code, reason = "the other parts are for whole seeds")]

mod checks;
mod claims;
mod clock;
mod drills;
mod faults;
mod moments;
mod nodes;
mod parsers;
mod random;
#[path = "../fuzz/src/readers/mod.rs"]
#[expect(unreachable_pub, reason = "`tests/fuzz` gives them out")]
mod readers;
mod run;
mod schedule;
mod torn_ledger;
mod workload;
mod world;

use schedule::{Schedule, Size};

#[test]
fn live_a_short_campaign_leaves_nothing_behind() {
    let outcome = run::run(&Schedule::of(5, Size::Short), Size::Short);
    eprintln!("{outcome}");
    assert!(outcome.violations.is_empty(), "{}", outcome.said);
    assert!(outcome.segments > 5 && outcome.rows > 50, "{outcome}");
}

/// It is its own child too.
#[test]
fn fifty_kills_lose_no_record_that_was_durable() {
    if torn_ledger::is_child() {
        torn_ledger::write();
    }
    let own = ["--nocapture", "--exact", "fifty_kills_lose_no_record_that_was_durable"];
    let (on_record, _) = torn_ledger::rounds(50, 1, &own);
    assert!(on_record >= 50, "{on_record}");
}

#[test]
fn changed_samples_end_no_reader() {
    assert!(parsers::read_changed(4_000, 2) > 20_000);
}
