//! Several clusters with one state directory: whose ledger is kept, and whose the deferred files are.

use super::gaps::{Cause, Loss};
use super::*;
use crate::pgbackrest::Class;
use crate::wal::{SegmentName, SegmentSize, Timeline};
use std::io::Write as _;
use tempfile::TempDir;

const HISTORY: &str = "00000002.history";
const OTHER: &str = "00000003.history";

/// Opens the ledger for a cluster; always in the same second.
fn open(folder: &TempDir, system_id: u64) -> (Ledger, State, Vec<Event>) {
    let identity = Identity { system_id: Some(system_id) };
    Ledger::open(&folder.path().join("state"), identity, Place::default(), 1_000).unwrap()
}

/// Opens it and loses a segment.
fn lose(folder: &TempDir, system_id: u64) -> Vec<Event> {
    let (ledger, _, events) = open(folder, system_id);
    let size = SegmentSize::DEFAULT;
    let segment = SegmentName::from_number(Timeline(1), system_id, size).unwrap();
    let (class, cause) = (Class::Gone, Cause::InstantDrop);
    let loss = Loss { segment, partial: false, class, cause, s3_code: None, at: 1_000 };
    ledger.update(|state| assert!(state.gaps.record(&loss, size))).unwrap();
    events
}

fn write(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Opens it and defers a file, as push does.
fn defer(folder: &TempDir, system_id: u64, name: &str) {
    let (ledger, state, _) = open(folder, system_id);
    durable::create_private_folder(&ledger.folder().join(DEFERRED)).unwrap();
    if state.foreign_deferred.contains(name) {
        ledger.make_room(name).unwrap();
    }
    write(&ledger.folder().join(DEFERRED).join(name), &system_id.to_string());
}

fn open_gaps(folder: &TempDir, system_id: u64) -> usize {
    open(folder, system_id).1.gaps.open().count()
}

/// What a cluster's watcher would push, with whose each file is.
fn pushed(folder: &TempDir, system_id: u64) -> Vec<(String, String)> {
    let (ledger, state, _) = open(folder, system_id);
    let names = deferred::names(ledger.folder()).unwrap();
    let own = names.difference(&state.foreign_deferred);
    own.map(|name| (name.clone(), fs::read_to_string(ledger.folder().join(DEFERRED).join(name)).unwrap())).collect()
}

fn file(name: &str, system_id: u64) -> (String, String) {
    (name.to_owned(), system_id.to_string())
}

fn aside(folder: &TempDir) -> usize {
    aside::states(&folder.path().join("state")).count()
}

#[test]
fn a_ledger_is_taken_back_before_one_too_many_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    for system_id in 101..=104 {
        lose(&folder, system_id);
    }
    assert_eq!(aside(&folder), 3);
    let (_, state, events) = open(&folder, 101);
    assert_eq!(state.gaps.open().count(), 1);
    assert!(matches!(events.as_slice(), [Event::Foreign { .. }, Event::TakenBack { .. }]), "{events:?}");
    for system_id in (101..=104).rev() {
        assert_eq!((open_gaps(&folder, system_id), aside(&folder)), (1, 3), "{system_id}");
    }
}

#[test]
fn open_gaps_and_deferred_files_outlive_ledgers_that_claim_nothing() {
    let folder = tempfile::tempdir().unwrap();
    lose(&folder, 1);
    defer(&folder, 2, HISTORY);
    for system_id in 3..=9 {
        open(&folder, system_id);
    }
    assert_eq!((aside(&folder), open_gaps(&folder, 1)), (3, 1));
    assert_eq!(pushed(&folder, 2), [file(HISTORY, 2)]);
}

#[test]
fn a_removed_ledger_with_open_gaps_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for system_id in 1..=4 {
        let events = lose(&folder, system_id);
        assert!(!events.iter().any(|event| matches!(event, Event::Removed { .. })), "{events:?}");
    }
    let events = lose(&folder, 5);
    let told = [Event::Removed {
        aside: folder.path().join("state/ledger.aside-1000-0"),
        system_id: Some(1),
        open: 1,
        deferred: 0,
    }];
    assert_eq!(events.get(1..), Some(told.as_slice()));
}

#[test]
fn each_cluster_pushes_what_it_has_deferred_itself() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder, 1);
    defer(&folder, 2, HISTORY);
    defer(&folder, 1, OTHER);
    open(&folder, 3);
    for _ in 0..2 {
        assert_eq!(pushed(&folder, 2), [file(HISTORY, 2)]);
        assert_eq!(pushed(&folder, 1), [file(OTHER, 1)]);
        assert_eq!(pushed(&folder, 3), []);
    }
}

#[test]
fn files_of_one_name_make_room_for_each_other_and_get_it_back() {
    let folder = tempfile::tempdir().unwrap();
    for system_id in 1..=3 {
        defer(&folder, system_id, HISTORY);
    }
    for system_id in [1, 3, 2, 3, 1, 2] {
        assert_eq!(pushed(&folder, system_id), [file(HISTORY, system_id)]);
    }
    assert_eq!(fs::read_dir(folder.path().join("state").join(DEFERRED)).unwrap().count(), 3);
}

#[test]
fn a_file_whose_cluster_nobody_knows_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, 1);
    for number in 0..2 {
        defer(&folder, 1, HISTORY);
        ledger.update(|state| state.foreign_deferred = BTreeSet::from([HISTORY.to_owned()])).unwrap();
        assert_eq!(pushed(&folder, 1), [], "{number}");
    }
    defer(&folder, 1, HISTORY);
    let kept = ["00000002.history.of-another-cluster", "00000002.history.of-another-cluster-2"];
    for name in kept {
        assert!(ledger.folder().join(DEFERRED).join(name).exists(), "{name}");
    }
}

#[test]
fn an_unreadable_ledger_has_nobody_adopt_another_clusters_files() {
    let folder = tempfile::tempdir().unwrap();
    defer(&folder, 1, HISTORY);
    let ruin = || write(&folder.path().join("state").join(FILE_NAME), "nonsense");
    ruin();
    assert_eq!(pushed(&folder, 1), [file(HISTORY, 1)], "nobody else was here");
    open(&folder, 2);
    ruin();
    assert_eq!(pushed(&folder, 2), []);
    assert_eq!(pushed(&folder, 1), [file(HISTORY, 1)]);
    ruin();
    let (_, _, events) = open(&folder, 2);
    assert!(matches!(events.first(), Some(Event::Unreadable { .. })), "{events:?}");
    assert!(matches!(events.get(1), Some(Event::TakenBack { .. })), "{events:?}");
}

#[test]
fn where_the_ledger_is_missing_the_one_that_lies_aside_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    lose(&folder, 1);
    defer(&folder, 1, HISTORY);
    open(&folder, 2);
    // As a kill leaves it between the two renames.
    fs::remove_file(folder.path().join("state").join(FILE_NAME)).unwrap();
    assert_eq!(pushed(&folder, 3), []);
    fs::remove_file(folder.path().join("state").join(FILE_NAME)).unwrap();
    assert_eq!((open_gaps(&folder, 1), pushed(&folder, 1)), (1, vec![file(HISTORY, 1)]));
}
