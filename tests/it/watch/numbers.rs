//! What the watcher costs: idle, on a large gap, on a long listing. Each test prints its figures and holds a wide bound.

use super::scene::scene;
use pgbackrest_guard::decide::holes::Listing;
use pgbackrest_guard::decide::watch::{Memory, Observation, Schedule, decide};
use pgbackrest_guard::ledger::gaps::{Cause, Gaps, Loss};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn segment(number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, SIZE).unwrap()
}

/// The most memory that a process has held, in KiB.
fn peak(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Clock ticks (1/100 s) that a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_gap_of_ten_thousand_segments_is_decided_upon_quickly() {
    let mut gaps = Gaps::default();
    for number in 0..10_000 {
        let (class, cause) = (Class::Gone, Cause::InstantDrop);
        gaps.record(&Loss { segment: segment(number), partial: false, class, cause, s3_code: None, at: 1 }, SIZE);
    }
    let schedule = Schedule { full: 1, diff: 1, verify: 1, grace: 1, backoff: None, gap_diff: false, heartbeat: true };
    let started = Instant::now();
    let text = serde_json::to_vec(&gaps).unwrap();
    let gaps: Gaps = serde_json::from_slice(&text).unwrap();
    let lost = (0..10_000).filter(|number| gaps.open_gap_of(segment(*number), false, SIZE).is_some()).count();
    let seen = Observation { now: 1_000, gap: gaps.any_open(), healable: lost == 0, ..Observation::default() };
    let actions = decide(&seen, &Memory { last_full_at: Some(1), ..Memory::default() }, &schedule);
    let took = started.elapsed();
    eprintln!("a gap of 10,000 segments: {took:?}, {actions:?}");
    assert!(lost == 10_000 && took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_listing_of_a_hundred_thousand_names_is_walked_quickly() {
    let before = peak("self");
    let mut text = String::new();
    for number in 0..99_999 {
        let name = segment(number).to_string();
        let _ = writeln!(text, "{}/{name}-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst", name.get(..16).unwrap());
    }
    let started = Instant::now();
    let listing = Listing::parse(&text, SIZE);
    let missing = listing.missing(segment(0), segment(99_999), &BTreeMap::new(), SIZE);
    let (took, grown) = (started.elapsed(), peak("self") - before);
    eprintln!(
        "a listing of 99,999 names, {} bytes: {took:?}, {grown} KiB more than before, the text among it",
        text.len()
    );
    assert!(missing == [segment(99_999)] && took < Duration::from_secs(2) && grown < 60 << 10, "{took:?} {grown}");
}

#[test]
fn live_an_idle_watcher_costs_little() {
    let scene = scene();
    let watcher = scene.all_is_well().start(&[]);
    watcher.wait_for("watching a primary");
    std::thread::sleep(Duration::from_secs(2));
    let (from, started) = (ticks(watcher.pid()), Instant::now());
    std::thread::sleep(Duration::from_secs(20));
    let used = ticks(watcher.pid()) - from;
    let polls = started.elapsed().as_secs();
    let kib = peak(&watcher.pid().to_string());
    // A tick is 10 ms; at the default interval a poll is made once a minute.
    eprintln!(
        "idle: at most {kib} KiB; {used} ticks for {polls} polls: {} per mille of a core",
        used * 10 / polls / 60
    );
    eprintln!("idle: {} us of CPU a poll", used * 10_000 / polls);
    assert!(kib < 40 << 10 && used * 10 / polls < 120, "{kib} KiB, {used} ticks");
}
