//! `make campaign`: faults that a seed has chosen, over each other, on a cluster that commits; and what must hold all the same.
//!
//! Each seed gives a set-up and a schedule (`schedule.rs`). While it runs, numbered rows are committed and every finished
//! segment is read (`workload.rs`), `status --at` is asked about moments that have passed, and the watcher is watched. Then the
//! faults stop, and it has three minutes to be well again. At the end (`checks.rs`): each segment that PostgreSQL calls
//! archived is in a repository with its own content, in the overflow folder, kept, or on record; each closed gap has its
//! proof; and what `--at` said is held against real restores (`claims.rs`).
//!
//! Words choose: `12-40` are seeds, `12 without 3,5` leaves faults out, `short 1-9` those of `make test`, `ledger` kills a
//! process that writes the ledger a thousand times (`torn_ledger.rs`), `parsers` feeds changed samples to what reads others'
//! words (`parsers.rs`), `moments 200` asks about that many moments of one history and restores each (`moments.rs`),
//! `schedule 1-20` only says what these seeds have. `CAMPAIGN_SECONDS` ends it before the next seed. A seed that fails is run
//! again with fewer faults, up to `CAMPAIGN_SHRINK` times. What `make test` runs of it is in `short.rs`.

#![expect(clippy::indexing_slicing, reason = "JSON that is not as expected is null")]
#![expect(clippy::disallowed_methods, reason = "the bans are for the programs")]

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
mod shrink;
mod torn_ledger;
mod workload;
mod world;

use run::{Outcome, run};
use schedule::{Schedule, Size};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is run where nothing else is said.
const SEEDS: &str = "1-20";

/// How many changed samples the cheapest readers get.
const EXECUTIONS: u64 = 1_000_000;

fn main() -> ExitCode {
    if torn_ledger::is_child() {
        torn_ledger::write();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words = words.join(" ");
    if let Some(count) = words.strip_prefix("parsers") {
        let executions = parsers::read_changed(count.trim().parse().unwrap_or(EXECUTIONS), 1);
        eprintln!("{executions} executions, and none has ended the program");
        return ExitCode::SUCCESS;
    }
    if let Some(count) = words.strip_prefix("moments") {
        return moments::try_all(count);
    }
    if let Some(seeds) = words.strip_prefix("schedule ") {
        let (seeds, left_out) = chosen(seeds);
        seeds.for_each(|seed| eprintln!("{}", Schedule::of(seed, Size::Whole).without(&left_out)));
        return ExitCode::SUCCESS;
    }
    match words.as_str() {
        "ledger" => torn_ledger::thousand(),
        "" => campaign(SEEDS),
        words => campaign(words),
    }
}

/// Runs the seeds that words choose.
fn campaign(words: &str) -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let short = words.strip_prefix("short ");
    let size = if short.is_some() { Size::Short } else { Size::Whole };
    let (seeds, left_out) = chosen(short.unwrap_or(words));
    let limit = variable("CAMPAIGN_SECONDS").and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let tries: usize = variable("CAMPAIGN_SHRINK").and_then(|value| value.parse().ok()).unwrap_or(6);
    let started = Instant::now();
    let mut all: Vec<Outcome> = Vec::new();
    for seed in seeds {
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            break;
        }
        let schedule = Schedule::of(seed, size).without(&left_out);
        let outcome = run(&schedule, size);
        eprintln!("{outcome}");
        if !outcome.violations.is_empty() {
            eprintln!("{schedule}{}", outcome.said);
            shrink::shrink(&schedule, size, &outcome, tries);
        }
        all.push(outcome);
    }
    eprintln!("{}", run::total(&all));
    let failed: Vec<u64> = all.iter().filter(|one| !one.violations.is_empty()).map(|one| one.seed).collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("these seeds fail: {failed:?}");
    ExitCode::FAILURE
}

/// `7`, `1-20`, `7 without 3,5`.
fn chosen(words: &str) -> (std::ops::RangeInclusive<u64>, BTreeSet<u32>) {
    let (seeds, without) = words.split_once(" without ").unwrap_or((words, ""));
    let (first, last) = seeds.split_once('-').unwrap_or((seeds, seeds));
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no seed"));
    let without = without.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    (number(first)..=number(last), without)
}
