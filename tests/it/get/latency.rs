//! A repository that works and is slow is not taken for a silent one, and a change of the data directory not for a promotion.

use super::standin::{Done, Get, Mode};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const WHOLE: &str = "head -c 1048576 /dev/zero >\"$target\"";
/// Longer than a promotion waits, and than a repository that was silent before is given.
const SLOW_TO_BEGIN: &str = "sleep 3";
/// A download that moves for 3 s.
const MOVING: &str = "for n in 1 2 3 4 5 6; do head -c 1048576 /dev/zero >>/dev/null; sleep 0.5; done";

fn standby(name: &str, before: &str) -> Get {
    Get::new(name, Mode::Standby).does(&format!("{before}\n{WHOLE}"))
}

/// A server that runs since a minute, in this state.
fn runs(root: &Path, status: &str) {
    let pid = root.join("data/postmaster.pid");
    let text = format!("{}\n/data\n1763800000\n5432\n/tmp\n*\n 1 2\n{status}\n", std::process::id());
    fs::write(&pid, text).unwrap();
    fs::File::open(&pid).unwrap().set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
    // The kernel's clock for files: what follows is another moment.
    std::thread::sleep(Duration::from_millis(150));
}

/// As PostgreSQL renames `backup_label` and `current_logfiles.tmp`.
fn renames(root: &Path, to: &str) {
    let temporary = root.join("data/renamed");
    fs::write(&temporary, "").unwrap();
    fs::rename(temporary, root.join("data").join(to)).unwrap();
}

/// As PostgreSQL removes `promote` when it has noticed the request.
fn notices_a_request(root: &Path) {
    fs::write(root.join("data/promote"), "").unwrap();
    fs::remove_file(root.join("data/promote")).unwrap();
    std::thread::sleep(Duration::from_millis(150));
}

fn note(done: &Done) -> PathBuf {
    done.case.data().join(".pgbackrest_guard/get-silent")
}

#[test]
fn a_start_from_a_backup_is_no_promotion() {
    let case = standby("it starts", SLOW_TO_BEGIN).with(|root| {
        runs(root, "starting");
        renames(root, "backup_label.old");
    });
    let done = case.status(0).left(true).calls(1).lacks("promotion");
    done.check(!note(&done).exists(), "no note");
}

#[test]
fn a_file_that_is_renamed_is_no_promotion() {
    for before in [MOVING, SLOW_TO_BEGIN] {
        let case = standby(before, before).with(|root| {
            runs(root, "standby");
            renames(root, "current_logfiles");
        });
        let done = case.status(0).left(true).calls(1).lacks("promotion");
        done.check(!note(&done).exists(), "no note");
    }
}

#[test]
fn a_request_that_was_noticed_is_a_promotion_and_says_little_of_the_repository() {
    let case = standby("removed", SLOW_TO_BEGIN).with(|root| {
        runs(root, "standby");
        notices_a_request(root);
    });
    let done = case.status(82).left(false).calls(1).has("a promotion does not wait for it");
    done.check(done.took < Duration::from_secs(4), "soon");
    // The same promotion's next call is shorter yet.
    notices_a_request(&done.case.root());
    let next = done.case.status(82).left(false).calls(2);
    next.check(next.took < Duration::from_secs(2), "sooner");
    // Without a promotion the repository has its time.
    runs(&next.case.root(), "starting");
    next.case.status(0).left(true).calls(3);
}

#[test]
fn a_download_that_moves_is_no_silent_repository() {
    let case = standby("moving", MOVING).with(|root| {
        runs(root, "standby");
        notices_a_request(root);
    });
    let done = case.status(82).left(false).calls(1);
    done.check(!note(&done).exists(), "no note");
}

/// A standby whose repository has been silent before: 2 s without a byte end its calls.
fn silent_before(name: &str, before: &str) -> Get {
    standby(name, before).with(|root| {
        fs::create_dir(root.join("data/.pgbackrest_guard")).unwrap();
        fs::write(root.join("data/.pgbackrest_guard/get-silent"), "").unwrap();
    })
}

#[test]
fn what_is_written_counts_where_what_is_received_does_not_show() {
    // As libssh2 receives, by recv(2): nothing is read, much is written.
    let writes = "for n in 1 2 3 4; do printf '%65536s' x >>\"$root/received\"; sleep 1; done";
    silent_before("written", writes).status(0).left(true).calls(1);
}

#[test]
fn what_an_async_process_downloads_counts() {
    let spools = "for n in 1 2 3 4; do printf x >>\"$root/spool/archive/main/in/$file.pgbackrest.tmp\"; sleep 1; done";
    silent_before("async", spools).conf("archive-async=y").status(0).left(true).calls(1);
    let stands = silent_before("async, and nothing comes", "sleep 5").conf("archive-async=y");
    stands.status(82).left(false).has("heard nothing from the repository");
    // Of a spool that nobody downloads to nothing follows.
    silent_before("sync", spools).status(82).left(false).has("heard nothing from the repository");
}
