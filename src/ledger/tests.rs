//! The ledger as a whole: identity, damage, locking.

use super::*;
use state::RepositoryIdentity;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

fn identity(bucket: &str) -> Identity {
    let repository = RepositoryIdentity {
        key: 1,
        kind: "s3".to_owned(),
        endpoint: "e".to_owned(),
        bucket: bucket.to_owned(),
        path: "/r".to_owned(),
    };
    Identity { system_id: Some(7), control_inode: Some(9), repositories: Some(vec![repository]) }
}

fn open(folder: &TempDir, identity: Identity) -> (Ledger, State, Vec<Event>) {
    Ledger::open(&folder.path().join("state"), identity, 1_000).unwrap()
}

fn count(ledger: &Ledger) -> u64 {
    ledger.update(|state| state.push.failed_count += 1).unwrap().push.failed_count
}

#[test]
fn it_is_made_once_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _, events) = open(&folder, identity("a"));
    assert_eq!((events, count(&ledger), count(&ledger)), (Vec::new(), 1, 2));
    let (_, state, events) = open(&folder, identity("a"));
    assert_eq!((events, state.push.failed_count), (Vec::new(), 2));
}

#[test]
fn another_repository_begins_afresh_and_the_old_ledger_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity("a"));
    count(&ledger);
    let (_, state, events) = open(&folder, identity("b"));
    assert_eq!(state.push.failed_count, 0);
    let Some(Event::Foreign { aside, .. }) = events.first() else { panic!("{events:?}") };
    let kept = Slots::open(aside, false).unwrap().read().unwrap();
    assert_eq!(kept.records.len(), 2);
}

#[test]
fn what_was_unknown_is_learnt_without_a_new_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, Identity { repositories: None, ..identity("a") });
    count(&ledger);
    let (_, state, events) = open(&folder, identity("a"));
    assert_eq!((events, state.push.failed_count), (Vec::new(), 1));
    let (_, _, events) = open(&folder, identity("b"));
    assert_eq!(events.len(), 1);
}

#[test]
fn damage_costs_the_newest_record_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity("a"));
    for _ in 0..6 {
        count(&ledger);
    }
    let newest = Slots::open(&ledger.path(), false).unwrap().read().unwrap().records[0].sequence;
    let file = OpenOptions::new().write(true).open(ledger.path()).unwrap();
    file.write_all_at(b"X", (newest - 1) % 4 * (slots::FILE_BYTES / 4) + 40).unwrap();
    let (ledger, state, events) = open(&folder, identity("a"));
    assert_eq!(state.push.failed_count, 5);
    assert_eq!(events, [Event::Repaired { path: ledger.path() }]);
    let (_, state, events) = open(&folder, identity("a"));
    assert_eq!((state.push.failed_count, events), (5, Vec::new()));
}

#[test]
fn a_file_without_any_record_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity("a"));
    File::create(ledger.path()).unwrap().write_all_at(b"nonsense", 0).unwrap();
    let (ledger, _, events) = open(&folder, identity("a"));
    assert!(matches!(events.as_slice(), [Event::Unreadable { .. }]), "{events:?}");
    assert_eq!(count(&ledger), 1);
}

#[test]
fn a_reader_neither_waits_for_a_writer_nor_changes_anything() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Ledger::peek(folder.path()).unwrap(), None);
    let (ledger, ..) = open(&folder, identity("a"));
    count(&ledger);
    let _lock = ledger.lock().unwrap();
    let seen = Ledger::peek(ledger.folder()).unwrap().map(|state| state.push.failed_count);
    assert_eq!(seen, Some(1));
}

#[test]
fn two_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity("a"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| assert!(count(&ledger) > 0)));
        }
    });
    assert_eq!(count(&ledger), 101);
}
