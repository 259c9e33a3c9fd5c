//! The ledger as a whole: identity, damage, locking.

use super::*;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

fn identity(system_id: u64) -> Identity {
    Identity { system_id: Some(system_id) }
}

fn open(folder: &TempDir, identity: Identity) -> (Ledger, State, Vec<Event>) {
    Ledger::open(&folder.path().join("state"), identity, Place { control_inode: Some(9), repositories: None }, 1_000)
        .unwrap()
}

fn count(ledger: &Ledger) -> u64 {
    ledger.update(|state| state.push.failed_count += 1).unwrap().push.failed_count
}

#[test]
fn it_is_made_once_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _, events) = open(&folder, identity(7));
    assert_eq!((events, count(&ledger), count(&ledger)), (Vec::new(), 1, 2));
    let (_, state, events) = open(&folder, identity(7));
    assert_eq!((events, state.push.failed_count), (Vec::new(), 2));
}

#[test]
fn another_cluster_begins_afresh_and_the_first_finds_its_ledger_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    count(&ledger);
    let deferred = ledger.folder().join(DEFERRED);
    durable::create_private_folder(&deferred).unwrap();
    File::create(deferred.join("00000002.history")).unwrap();
    let (other, state, events) = open(&folder, identity(8));
    assert_eq!((state.push.failed_count, state.foreign_deferred.len()), (0, 1));
    assert!(matches!(events.as_slice(), [Event::Foreign { .. }]), "{events:?}");
    assert!(deferred.join("00000002.history").exists(), "deferred files stay where they are");
    count(&other);
    count(&other);
    let (_, state, events) = open(&folder, identity(7));
    assert_eq!((state.push.failed_count, state.foreign_deferred.len()), (1, 0), "its own ledger and its own file");
    assert!(matches!(events.as_slice(), [Event::Foreign { .. }, Event::TakenBack { .. }]), "{events:?}");
    assert_eq!(open(&folder, identity(8)).1.push.failed_count, 2);
}

#[test]
fn a_ledger_that_became_another_clusters_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    count(&ledger);
    let (other, ..) = open(&folder, identity(8));
    assert!(matches!(ledger.update(|state| state.push.failed_count = 9), Err(LedgerError::Foreign { .. })));
    assert!(matches!(ledger.unless_open(|| ()), Err(LedgerError::Foreign { .. })));
    assert!(matches!(ledger.make_room("00000002.history"), Err(LedgerError::Foreign { .. })));
    assert_eq!(count(&other), 1);
    assert_eq!(open(&folder, identity(7)).1.push.failed_count, 1);
}

/// A file that the ledger keeps makes it worth keeping, and goes out of it when it can.
#[test]
fn what_a_ledger_keeps_is_moved_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    let state = ledger.update(|state| assert!(state.kept_files.insert("00000002.history", b"7"))).unwrap();
    let deferred = ledger.folder().join(DEFERRED);
    // A folder can't be made where a file is.
    File::create(&deferred).unwrap();
    assert!(ledger.unload(&state).is_err());
    fs::remove_file(&deferred).unwrap();
    for system_id in 8..=12 {
        open(&folder, identity(system_id));
    }
    let (ledger, state, _) = open(&folder, identity(7));
    assert_eq!(state.kept_files.len(), 1);
    let (state, names) = ledger.unload(&state).unwrap();
    assert_eq!((state.kept_files.len(), names.as_slice()), (0, &["00000002.history".to_owned()][..]));
    assert_eq!(fs::read(deferred.join("00000002.history")).unwrap(), b"7");
}

#[test]
fn at_most_three_ledgers_are_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    for system_id in 1..=9 {
        count(&open(&folder, identity(system_id)).0);
    }
    let entries = fs::read_dir(folder.path().join("state")).unwrap().flatten();
    let aside = entries.filter(|entry| entry.file_name().to_string_lossy().contains("aside")).count();
    assert_eq!(aside, 3);
    assert_eq!(open(&folder, identity(8)).1.push.failed_count, 1);
    assert_eq!(open(&folder, identity(1)).1.push.failed_count, 0, "the oldest went");
}

#[test]
fn what_was_unknown_is_learnt_without_a_new_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, Identity::default());
    count(&ledger);
    let (_, state, events) = open(&folder, identity(7));
    assert_eq!((events, state.push.failed_count, state.identity), (Vec::new(), 1, identity(7)));
    let (_, _, events) = open(&folder, identity(8));
    assert_eq!(events.len(), 1);
}

/// Changes a byte in the slot of a record.
fn damage(ledger: &Ledger, sequence: u64) {
    let file = OpenOptions::new().write(true).open(ledger.path()).unwrap();
    file.write_all_at(b"X", (sequence - 1) % 4 * (slots::FILE_BYTES / 4) + 40).unwrap();
}

#[test]
fn damage_in_one_place_costs_nothing_and_is_told_once() {
    for behind in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, ..) = open(&folder, identity(7));
        for _ in 0..6 {
            count(&ledger);
        }
        let newest = Slots::open(&ledger.path(), false).unwrap().read().unwrap().records[0].sequence;
        damage(&ledger, newest - behind);
        let seen = Ledger::peek(ledger.folder()).unwrap().map(|state| state.push.failed_count);
        assert_eq!(seen, Some(6), "{behind}");
        let (ledger, state, events) = open(&folder, identity(7));
        assert_eq!((state.push.failed_count, events), (6, vec![Event::Repaired { path: ledger.path() }]), "{behind}");
        let (_, state, events) = open(&folder, identity(7));
        assert_eq!((state.push.failed_count, events), (6, Vec::new()), "{behind}");
    }
}

#[test]
fn damage_in_both_copies_costs_the_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    for _ in 0..6 {
        count(&ledger);
    }
    let newest = Slots::open(&ledger.path(), false).unwrap().read().unwrap().records[0].sequence;
    damage(&ledger, newest);
    damage(&ledger, newest - 1);
    let (ledger, state, events) = open(&folder, identity(7));
    assert_eq!((state.push.failed_count, events), (5, vec![Event::Repaired { path: ledger.path() }]));
    assert_eq!(count(&ledger), 6);
}

/// As a kill between the two writes leaves it.
#[test]
fn a_change_without_its_copy_counts_and_the_next_one_has_two() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    count(&ledger);
    let slots = Slots::open(&ledger.path(), true).unwrap();
    let newest = slots.read().unwrap().records[0].sequence;
    let mut state = Ledger::peek(ledger.folder()).unwrap().unwrap();
    state.push.failed_count = 2;
    slots.write(newest + 1, &payload(&state)).unwrap();
    let seen = || Ledger::peek(ledger.folder()).unwrap().map(|state| state.push.failed_count);
    assert_eq!(seen(), Some(2));
    assert_eq!(count(&ledger), 3);
    damage(&ledger, slots.read().unwrap().records[0].sequence);
    assert_eq!(seen(), Some(3));
}

#[test]
fn a_file_without_any_record_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    File::create(ledger.path()).unwrap().write_all_at(b"nonsense", 0).unwrap();
    let (ledger, _, events) = open(&folder, identity(7));
    assert!(matches!(events.as_slice(), [Event::Unreadable { .. }]), "{events:?}");
    assert_eq!(count(&ledger), 1);
}

#[test]
fn a_reader_neither_waits_for_a_writer_nor_changes_anything() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Ledger::peek(folder.path()).unwrap(), None);
    let (ledger, ..) = open(&folder, identity(7));
    count(&ledger);
    let _lock = ledger.lock().unwrap();
    let seen = Ledger::peek(ledger.folder()).unwrap().map(|state| state.push.failed_count);
    assert_eq!(seen, Some(1));
}

#[test]
fn two_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, ..) = open(&folder, identity(7));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| assert!(count(&ledger) > 0)));
        }
    });
    assert_eq!(count(&ledger), 101);
}
