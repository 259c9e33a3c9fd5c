//! A disk without a byte left: what is recorded then, and what is given up (contract, sections 4.7 and 6).
//!
//! The data directory lies on a small tmpfs. Mounting one needs root and `CAP_SYS_ADMIN`; without, the tests say so
//! and end.

use super::standin::{Case, SEGMENT};
use pgbackrest_guard::ledger::slots::FILE_BYTES;
use pgbackrest_guard_lab::Disk;
use std::fs;
use std::process::Command;

const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";
const MIB: u64 = 1 << 20;

/// A failing push whose data directory lies on a tmpfs of 8 MiB.
fn on_a_small_disk(name: &str) -> Option<(Case, Disk)> {
    let case = Case::new(name).says(REFUSED).exits(49);
    let data = case.data();
    let disk = Disk::mount(&data, 8)?;
    fs::create_dir_all(data.join("pg_wal/archive_status")).unwrap();
    fs::write(data.join("PG_VERSION"), "15\n").unwrap();
    // Sparse: it is as long as a segment and takes no room.
    Some((case.pushes(SEGMENT).env("WAL_DROP_THRESHOLD_MB", "2"), disk))
}

#[test]
fn a_loss_is_recorded_on_a_full_disk() {
    let Some((case, disk)) = on_a_small_disk("a ledger from before") else { return };
    let first = case.status(49).ledger("made", |state| state.push.failed_count == 1);
    let ledger = fs::metadata(disk.path().join(".pgbackrest_guard/ledger")).unwrap();
    assert_eq!(ledger.len(), FILE_BYTES);
    disk.fill();
    let lost = first.again().env("WAL_DROP_THRESHOLD_MB", "1").status(0).lost("unavailable", "drop-threshold");
    let mut again = lost.again();
    for number in 6..=20 {
        // More records than the file has slots; each is written over an older one.
        let name = format!("0000000100000000000000{number:02X}");
        again = again.argument(format!("pg_wal/{name}")).status(0).marker(true).stderr_has("recorded as lost").again();
    }
    let outcome = again.argument(format!("pg_wal/{SEGMENT}")).status(0);
    outcome.ledger("all in one gap", |state| {
        state.push.dropped_count == 16 && state.gaps.open().count() == 1 && state.push.failed_count == 18
    });
}

const HISTORY: &str = "00000002.history";
const CONTENT: &[u8] = b"1\t0/5000000\tx\n";

fn giving_up_a_history(case: Case) -> Case {
    case.pushes(HISTORY).write(&format!("pg_wal/{HISTORY}"), CONTENT).env("WAL_DROP_THRESHOLD_MB", "0")
}

#[test]
fn a_history_file_that_can_not_be_copied_is_kept_in_the_ledger() {
    let Some((case, disk)) = on_a_small_disk("a .history") else { return };
    let case = giving_up_a_history(case.status(49).again());
    disk.fill();
    let kept = case.status(0).stderr_has("is kept in the ledger").stderr_has("deferring").marker(false).deferred(&[]);
    let kept = kept.ledger("the file", |state| state.kept_files.content(HISTORY).is_some_and(|text| text == CONTENT));
    // Asked again after a kill, and again with the disk still full.
    let kept = kept.again().status(0).ledger("once", |state| state.kept_files.len() == 1);
    disk.empty();
    let outcome = kept.again().argument(format!("pg_wal/{SEGMENT}")).works().status(0).deferred(&[HISTORY]);
    let copy = fs::read(disk.path().join(".pgbackrest_guard/deferred").join(HISTORY)).unwrap();
    outcome.check(copy == CONTENT, "the same bytes");
    outcome.ledger("not any more", |state| state.kept_files.is_empty());
}

/// A state directory that can't be written to, and a file too large for the ledger.
#[test]
fn a_history_file_that_nothing_can_keep_is_refused_only_while_the_disk_is_not_short() {
    let Some((case, disk)) = on_a_small_disk("nowhere") else { return };
    let case = giving_up_a_history(case.status(49).again());
    let case = case.write(&format!("pg_wal/{HISTORY}"), vec![b'x'; 20 << 10]);
    disk.fill();
    let refused = case.status(49).stderr_has("is not dropped").marker(false).deferred(&[]);
    let outcome = refused.again().env("WAL_FREE_RESERVE_MB", "4").status(0).stderr_has("could NOT be kept");
    outcome.ledger("nothing", |state| state.kept_files.is_empty() && state.push.failed_count == 3);
}

#[test]
fn a_read_only_state_directory_holds_the_archiver_up_only_while_the_disk_is_not_short() {
    let case = giving_up_a_history(Case::new("read-only").says(REFUSED).exits(49));
    let folder = case.root().join("state");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::mount(&folder, 8) else { return };
    let made = case.env("WAL_GUARD_STATE_DIR", &folder).argument(format!("pg_wal/{SEGMENT}")).works().status(0);
    let made = made.again().says(REFUSED).exits(49).argument(format!("pg_wal/{HISTORY}"));
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(remounted.success());
    let refused = made.status(49).stderr_has("is not dropped").marker(false);
    refused.again().env("WAL_FREE_RESERVE_MB", "8796093022208").status(0).stderr_has("could NOT be kept");
}

#[test]
fn without_a_ledger_nothing_is_given_up_above_the_reserve() {
    let Some((case, disk)) = on_a_small_disk("fresh") else { return };
    disk.fill();
    let case = case.env("WAL_DROP_THRESHOLD_MB", "1");
    let kept = case.status(49).marker(false).stderr_has("nothing can be recorded").stderr_has("is not dropped");
    let ledger = disk.path().join(".pgbackrest_guard/ledger");
    kept.check(!ledger.exists() && !disk.path().join(".pgbackrest_guard/ledger.new").exists(), "no half ledger");

    let under = kept.again().env("WAL_FREE_RESERVE_MB", "4");
    let given_up = under.status(0).stderr_has(&format!("dropping {SEGMENT}")).stderr_has("could NOT be recorded");
    given_up.stderr_has("take a full backup").lines_with("could NOT be recorded", 1);
}

#[test]
fn a_disk_that_has_room_again_gets_its_ledger() {
    let Some((case, disk)) = on_a_small_disk("room again") else { return };
    disk.fill();
    let full = case.env("WAL_DROP_THRESHOLD_MB", "1").status(49);
    disk.empty();
    full.again().status(0).lost("unavailable", "drop-threshold");
}

#[test]
fn the_default_limits_follow_the_volume() {
    let Some((case, _disk)) = on_a_small_disk("small volume") else { return };
    let name = "0000000100000000000000AA";
    let case = case.unset("WAL_DROP_THRESHOLD_MB").unset("WAL_FREE_RESERVE_MB").wal(name, 62 * MIB).waiting(name);
    let kept = case.status(49).stderr_has("backlog 63 MiB, threshold 64 MiB");
    kept.again().wal(name, 63 * MIB).status(0).lost("unavailable", "drop-threshold");
}
