//! What push does while the disk fills: how long the threshold waits, and what is slow and not failed (contract, sections 2
//! and 4).

use super::classes::{command_error, http};
use super::standin::{Case, MIB, SEGMENT};
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::state::{Place, State};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

const UNAVAILABLE: &str = "ERROR: [101]: [503] Slow Down\n";

/// A push that fails once more, with more than the threshold waiting, under the default of `WAL_DROP_AFTER_SECONDS`.
fn failing(name: &str) -> Case {
    Case::new(name).unset("WAL_DROP_AFTER_SECONDS").says(UNAVAILABLE).exits(101).backlog(600)
}

/// Changes what the ledger of a case says.
fn remember(case: &Case, change: impl FnOnce(&mut State)) {
    let folder = case.data().join(".pgbackrest_guard");
    let state = Ledger::peek(&folder).unwrap().unwrap();
    Ledger::open(&folder, state.identity, Place::default(), 0).unwrap().0.update(change).unwrap();
}

fn make_failing_older(case: &Case, seconds: i64) {
    remember(case, |state| {
        let from = state.push.failing_from.as_mut().unwrap();
        (from.at, from.boot) = (from.at - seconds, None);
    });
}

#[test]
fn one_failure_gives_nothing_up_for_the_threshold() {
    let first = failing("the first").status(101).kept("unavailable").again();
    make_failing_older(&first, 50);
    let second = first.status(101).kept("unavailable").again();
    make_failing_older(&second, 10);
    let third = second.status(0).lost("unavailable", "drop-threshold").again();
    let stored = third.pushes("000000010000000000000006").works().status(0).again();
    let text = UNAVAILABLE;
    stored.pushes("000000010000000000000007").says(text).exits(101).status(101).stderr_lacks("dropping");
}

#[test]
fn the_wait_is_a_setting() {
    failing("0 waits for nothing").env("WAL_DROP_AFTER_SECONDS", "0").status(0).lost("unavailable", "drop-threshold");
    failing("0 by flag").flag("--drop-after=0").status(0).lost("unavailable", "drop-threshold");
    failing("longer").flag("--drop-after=3600").status(101).kept("unavailable");
    failing("a bad value").env("WAL_DROP_AFTER_SECONDS", "1m").status(101).lines_with("WAL_DROP_AFTER_SECONDS", 1);
    failing("a threshold of 0").env("WAL_DROP_THRESHOLD_MB", "0").status(0).lost("unavailable", "drop-threshold");
    failing("the reserve").env("WAL_FREE_RESERVE_MB", "8796093022208").status(0).lost("unavailable", "free-reserve");
    let gone = command_error(&[(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))]);
    let gone = Case::new("gone").unset("WAL_DROP_AFTER_SECONDS").says(gone).exits(104);
    gone.status(0).lost("gone", "instant-drop");
}

/// The wall clock was ten days back when the first answer came, and is right again.
#[test]
fn a_clock_that_was_set_makes_no_answer_old() {
    let gone = command_error(&[(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))]);
    let case = Case::new("ten days").says(gone).exits(104).env("WAL_INSTANT_DROP_AFTER_SECONDS", "3600");
    let first = case.status(104).kept("gone").again();
    remember(&first, |state| state.push.gone_from.as_mut().unwrap().at -= 864_000);
    first.status(104).kept("gone");
}

#[test]
fn a_stop_is_no_failure_that_lasts() {
    let stopped = failing("stopping").postmaster("stopping").does("kill -TERM $PPID; sleep 30").status(63);
    stopped.ledger("not failing", |state| state.push.failing_from.is_none());
}

#[test]
fn at_least_four_segments_may_wait() {
    let page = |size: u32| {
        let mut page = vec![0_u8; 40];
        page[..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
        page[2..4].copy_from_slice(&2_u16.to_ne_bytes());
        page[32..36].copy_from_slice(&size.to_ne_bytes());
        page[36..40].copy_from_slice(&8192_u32.to_ne_bytes());
        page
    };
    let big = |name: &str, more: u64| {
        let case = Case::new(name).says(UNAVAILABLE).exits(101).unset("WAL_DROP_THRESHOLD_MB");
        let case = case.write(&format!("pg_wal/{SEGMENT}"), page(1 << 30));
        let case = case.wal("0000000100000000000000AA", more * MIB).waiting("0000000100000000000000AA");
        case.env("WAL_FREE_RESERVE_MB", "0")
    };
    big("three of 1 GiB", 3072).status(101).stderr_has("threshold 4096 MiB");
    big("four of 1 GiB", 4096).status(0).stderr_has("dropping");
}

/// Reads the segment, 128 KiB a time, for so many seconds.
fn reads(seconds: u32) -> String {
    let rounds = seconds * 4;
    format!(
        "at=0; while [ $at -lt {rounds} ]; do dd if=pg_wal/{SEGMENT} bs=131072 count=1 2>/dev/null >\"$root/sent\"; \
         at=$((at + 1)); sleep 0.25; done"
    )
}

#[test]
fn a_push_that_gets_on_is_not_ended() {
    let slow = |name: &str| Case::new(name).does(reads(7)).env("WAL_PUSH_TIMEOUT_SECONDS", "2").backlog(600);
    slow("past its time limit").status(0).stored();
    let free = fs2::available_space(std::env::temp_dir()).unwrap() >> 20;
    slow("under the reserve").env("WAL_FREE_RESERVE_MB", (free * 2).to_string()).status(0).stored();
    let critical = slow("under a quarter of the reserve").env("WAL_FREE_RESERVE_MB", (free * 5).to_string());
    critical
        .env("WAL_DROP_THRESHOLD_MB", "601")
        .env("WAL_PUSH_TIMEOUT_SECONDS", "60")
        .status(0)
        .lost("unavailable", "free-reserve");
    let stops = slow("then stands still").does("sleep 300; :").status(0).lost("unavailable", "drop-threshold");
    stops.check((8..16).contains(&stops.took.as_secs()), "ended once it stands still");
}

const LATE: &str = "ERROR: [082]: unable to push WAL file to the archive asynchronously after 60 second(s)\n";

/// A process that passes for pgBackRest's async one, in a session of its own. It reads `file`, and does `what`.
fn worker(case: &Case, what: &str) -> Child {
    let mut command = Command::new("setsid");
    let script = format!("exec 3<pg_wal/{SEGMENT}; echo $$ >\"{}/worker\"; {what}", case.root().display());
    // The shell's own name is not asked for, but its arguments are.
    let bash = format!("exec -a pgbackrest bash -c '{script}' --stanza=main archive-push:async");
    command.args(["bash", "-c", &bash]).current_dir(case.data()).stdin(Stdio::null());
    let child = command.spawn().unwrap();
    let noted = case.root().join("worker");
    while fs::read_to_string(&noted).unwrap_or_default().trim().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = fs::read_to_string(&noted).unwrap();
    let lock = format!("{{\"execId\":\"1-a\",\"pid\":{}}}\n", pid.trim());
    fs::write(case.root().join("lock/main-archive.lock"), lock).unwrap();
    child
}

/// Whether it ends, on a busy machine too: the half minute is for one that nobody ends.
fn ended(mut child: Child) -> bool {
    for _ in 0..3_000 {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[test]
fn a_worker_that_gets_on_makes_82_slow_and_not_failed() {
    let case = Case::new("gets on").conf("archive-async=y").does("sleep 2").says(LATE).exits(82).backlog(600);
    let child = worker(&case, "while :; do head -c 131072 /dev/zero >/dev/null; sleep 0.2; done");
    let slow = case.status(82).stderr_has("is slow").ledger("no failure", |state| {
        state.push.failed_count == 0 && state.push.failing_from.is_none() && state.push.dropped_count == 0
    });
    let critical = slow.again().env("WAL_FREE_RESERVE_MB", "8796093022208").env("WAL_DROP_THRESHOLD_MB", "601");
    critical.status(0).stderr_has("free-reserve");
    assert!(ended(child), "what is given up is read by nobody");
    let case = Case::new("stands still").conf("archive-async=y").does("sleep 6").says(LATE).exits(82).backlog(600);
    let child = worker(&case, "sleep 300; :");
    case.status(0).lost("unavailable", "drop-threshold").stderr_has("is ended");
    assert!(ended(child), "what is given up is read by nobody");
}

#[test]
fn a_worker_at_work_is_waited_for_before_another_pgbackrest_is_started() {
    let waiting = |name: &str| {
        let case = Case::new(name).conf("archive-async=y").unset("WAL_GUARD_FAST_PATH");
        case.env("WAL_GUARD_TEST_PATIENCE_SECONDS", "60").says(UNAVAILABLE).exits(101)
    };
    let out = |case: &Case| case.root().join("spool/archive/main/out");
    let stores = waiting("its turn comes");
    let ok = out(&stores).join(format!("{SEGMENT}.ok"));
    let child = worker(&stores, &format!("sleep 1; touch {}; sleep 1", ok.display()));
    stores.status(0).stored().called("archive-push", 0);
    assert!(ended(child));
    let fails = waiting("it fails");
    let error = out(&fails).join(format!("{SEGMENT}.error"));
    let mut child = worker(&fails, &format!("sleep 1; echo 101 >{}; exec sleep 300", error.display()));
    fails.status(101).kept("unavailable").called("archive-push", 1);
    child.kill().unwrap();
    drop(child.wait());
    let ends = waiting("it ends without this file").works();
    let child = worker(&ends, "sleep 1");
    ends.status(0).stored().called("archive-push", 1);
    assert!(ended(child));
}

#[test]
fn nothing_is_given_up_while_the_worker_may_read_it() {
    let failing = |name: &str| Case::new(name).conf("archive-async=y").says(UNAVAILABLE).exits(101).backlog(600);
    let stubborn = failing("ignores TERM");
    let child = worker(&stubborn, "trap \"\" TERM; while :; do sleep 1; done");
    stubborn.status(0).lost("unavailable", "drop-threshold").stderr_has("is ended");
    assert!(ended(child));
    let stopped = failing("stopped by SIGSTOP");
    let child = worker(&stopped, "kill -STOP $$");
    stopped.status(0).lost("unavailable", "drop-threshold");
    assert!(ended(child));
    let done = failing("done with it");
    let mut child = worker(&done, "exec 3<&-; while :; do sleep 0.1; done");
    let done = done.spool(&format!("{SEGMENT}.error"), "101\n[503] Slow Down");
    done.status(0).lost("unavailable", "drop-threshold").stderr_lacks("is ended");
    assert!(child.try_wait().unwrap().is_none(), "it goes on with the others");
    child.kill().unwrap();
    drop(child.wait());
    let stores = failing("stores it after all").unset("WAL_GUARD_FAST_PATH");
    let ok = stores.root().join(format!("spool/archive/main/out/{SEGMENT}.ok"));
    let child = worker(&stores, &format!("trap \"touch {}; exit 0\" TERM; while :; do sleep 0.1; done", ok.display()));
    stores.status(0).stored();
    assert!(ended(child));
}

#[test]
fn what_is_freed_at_the_next_checkpoint_is_not_given_up_for_again() {
    let free = fs2::available_space(std::env::temp_dir()).unwrap() >> 20;
    let case = |name: &str, done: u64| {
        let done_name = "000000010000000000000004";
        let case = Case::new(name).says(UNAVAILABLE).exits(101).backlog(100).wal(done_name, done * MIB);
        let case = case.write(&format!("pg_wal/archive_status/{done_name}.done"), "");
        case.env("WAL_FREE_RESERVE_MB", (free + 2_000).to_string())
    };
    case("too little", 100).status(0).lost("unavailable", "free-reserve");
    case("enough", 4_000).status(101).kept("unavailable");
}

#[test]
fn a_stanza_may_hold_a_space() {
    let outcome = Case::new("a space").env("PGBACKREST_STANZA", "my db").status(0).stderr_is("");
    let calls = outcome.answer("archive-push", "calls");
    outcome.check(calls.starts_with("--stanza=my db "), &calls);
}

/// Only root can be another user here.
#[test]
fn another_user_than_the_owner_is_refused_and_touches_nothing() {
    let case = Case::new("another user");
    if std::os::unix::fs::chown(case.data(), Some(65_534), None).is_err() {
        return;
    }
    let outcome =
        case.status(125).calls(0).lines_with("", 1).stderr_has("sudo -u nobody pgbackrest-guard-push pg_wal/");
    outcome.check(!outcome.case.data().join(".pgbackrest_guard").exists(), "nothing made");
}

/// Each that hangs would cost 5 s, in which WAL goes on being written.
#[test]
fn under_the_reserve_pgbackrest_is_not_asked_for_each_segment() {
    let short = ("WAL_FREE_RESERVE_MB", "8796093022208");
    let case = Case::new("remembered").says(UNAVAILABLE).exits(101).backlog(100).env(short.0, short.1);
    let first = case.status(0).lost("unavailable", "free-reserve").calls(1);
    let next = first.again().pushes("000000010000000000000006").status(0).calls(1).stderr_has("not asked again");
    let next = next.ledger("one failure, two losses", |state| {
        state.push.failed_count == 1 && state.push.dropped_count == 2 && state.push.consecutive_failures == 1
    });
    let room = next.again().pushes("000000010000000000000007").env(short.0, "0").status(101).calls(2);
    let old = room.again().env(short.0, short.1);
    remember(&old, |state| {
        let (at, _) = state.push.failed_at.as_mut().unwrap();
        (at.at, at.boot) = (at.at - 61, None);
    });
    let old = old.status(0).calls(3);
    let works = old.again().pushes("000000010000000000000008");
    remember(&works, |state| state.push.consecutive_failures = 0);
    works.works().status(0).calls(4);
}

/// While an async process runs, pgBackRest repeats what that one found earlier: the bucket may have been made again since.
#[test]
fn an_answer_that_is_only_repeated_gives_nothing_up() {
    let gone = command_error(&[(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))]);
    let case = |name: &str| Case::new(name).conf("archive-async=y").says(&gone).exits(104);
    let file = format!("{SEGMENT}.error");
    let aged = |name: &str, seconds: u64| {
        case(name).spool(&file, "104\nsomething").with(|root| {
            let error = fs::File::open(root.join("spool/archive/main/out").join(&file)).unwrap();
            error.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        })
    };
    aged("old", 60).status(104).kept("gone");
    aged("new", 0).status(0).lost("gone", "instant-drop");
    case("its own answer").status(0).lost("gone", "instant-drop");
}
