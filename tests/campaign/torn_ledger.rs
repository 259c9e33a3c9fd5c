//! A process that writes the ledger and is killed at a random microsecond, over and over in one state directory.
//!
//! The child records one loss after another and says the number of each once it is durable. After the kill everything that it
//! said must be on record, at most one more may be, the segments that are named must be those, and the next child goes on
//! from there.

use super::random::Random;
use pgbackrest_guard::ledger::gaps::{Cause, Loss};
use pgbackrest_guard::ledger::state::{Identity, Place, State};
use pgbackrest_guard::ledger::{Ledger, slots};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Names the child's state directory.
const FOLDER: &str = "CAMPAIGN_LEDGER";
/// A child lives at most so many microseconds after its first word.
const LIFE: u64 = 15_000;

fn segment(number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, SegmentSize::DEFAULT).expect("a segment")
}

/// Losses with a hole behind each hundredth, so that gaps part and join.
fn loss(number: u64) -> Loss {
    let segment = segment(number + number / 100);
    Loss { segment, partial: false, class: Class::Gone, cause: Cause::InstantDrop, s3_code: None, at: 1 }
}

pub(crate) fn open(folder: &Path) -> (Ledger, State) {
    let identity = Identity { system_id: Some(7) };
    let (ledger, state, events) = Ledger::open(folder, identity, Place::default(), 1).expect("a ledger");
    let trouble: Vec<_> =
        events.iter().map(|event| format!("{event:?}")).filter(|event| !event.starts_with("Made")).collect();
    eprintln!("{trouble:?}");
    (ledger, state)
}

/// Whether this process is a child.
pub(crate) fn is_child() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// What a child does until it is killed.
pub(crate) fn write() -> ! {
    let folder = std::env::var(FOLDER).expect("a child's folder");
    let (ledger, state) = open(Path::new(&folder));
    let mut number = state.push.dropped_count;
    loop {
        let change = |state: &mut State| {
            state.push.dropped_count += 1;
            state.gaps.record(&loss(number), SegmentSize::DEFAULT);
        };
        ledger.update(change).expect("a ledger that can be written");
        number += 1;
        let mut out = std::io::stdout().lock();
        writeln!(out, "durable {number}").and_then(|()| out.flush()).expect("the parent");
    }
}

/// Kills so many children; how many losses are on record at the end, and how often the newest write was not.
/// `arguments`: with which this program becomes a child.
pub(crate) fn rounds(count: u32, seed: u64, arguments: &[&str]) -> (u64, u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(seed);
    let (mut on_record, mut torn) = (0, 0);
    for round in 0..count {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(arguments).env(FOLDER, folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its words")).lines().map_while(Result::ok);
        let number = |line: String| line.strip_prefix("durable ").and_then(|number| number.parse::<u64>().ok());
        let first = lines.by_ref().find_map(number).expect("a first record");
        std::thread::sleep(Duration::from_micros(random.below(LIFE)));
        child.kill().expect("a child that lives");
        child.wait().expect("its end");
        let said = lines.filter_map(number).last().unwrap_or(first);
        let state = Ledger::peek(folder.path()).expect("a ledger that can be read").expect("a ledger");
        let found = state.push.dropped_count;
        assert!(found == said || found == said + 1, "round {round}: {said} were durable, {found} are on record");
        assert!(found > on_record, "round {round}: nothing is forgotten");
        let lost = |number| state.gaps.open_gap_of(loss(number).segment, false, SegmentSize::DEFAULT).is_some();
        let newer = if round + 1 == count { 0 } else { on_record };
        assert!((newer..found).all(lost) && !lost(found), "round {round}: these and no others");
        torn += u32::from(damaged_slots(folder.path()) > 0);
        on_record = found;
    }
    (on_record, torn)
}

/// Slots that a kill has left half written.
fn damaged_slots(folder: &Path) -> usize {
    assert_eq!(fs::metadata(folder.join("ledger")).expect("the ledger").len(), slots::FILE_BYTES);
    let slots = slots::Slots::open(&folder.join("ledger"), false).expect("its slots");
    usize::from(slots.read().expect("its records").is_damaged())
}

/// A thousand kills, and what they came to.
pub(crate) fn thousand() -> ExitCode {
    let (on_record, torn) = rounds(1_000, 2, &[]);
    eprintln!("1,000 kills: {on_record} losses on record, none forgotten; {torn} kills left a slot half written");
    ExitCode::SUCCESS
}
