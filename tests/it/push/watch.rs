//! A pgBackRest that takes too long, a server that shuts down, our own signals (contract, section 4, step 4), and
//! what the spool and `info` tell of the cause (section 5).

use super::classes::sample;
use super::standin::{Case, SEGMENT};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// The pids that a stand-in noted must be gone.
fn is_gone(root: &std::path::Path, note: &str) -> bool {
    let pid = std::fs::read_to_string(root.join(note)).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    !pid.trim().is_empty() && (status.is_empty() || status.contains("State:\tZ"))
}

#[test]
fn the_time_limit_ends_pgbackrest_and_its_children() {
    let slow = |name: &str| Case::new(name).env("WAL_PUSH_TIMEOUT_SECONDS", "1");
    let outcome =
        slow("a child of its own").does("sleep 300 & echo $! >\"$root/child\"; wait").status(82).kept("unavailable");
    outcome.check(is_gone(outcome.case.root(), "child"), "the child to be ended too");
    let stubborn = slow("ignores TERM").does("trap '' TERM; echo $$ >\"$root/self\"; while :; do sleep 1; done");
    let outcome = stubborn.status(82).kept("unavailable");
    outcome.check(is_gone(outcome.case.root(), "self"), "the stand-in to be killed");
    let code = slow("what it says on TERM does not count").does("trap 'exit 63' TERM; sleep 300 & wait");
    code.status(82).kept("unavailable").stderr_has("WAL_PUSH_TIMEOUT_SECONDS");
    let over = slow("too much waits").does("sleep 300").backlog(500);
    over.status(0).lost("unavailable", "drop-threshold");
    Case::new("by flag").flag("--timeout=1").does("sleep 300").status(82).kept("unavailable");
}

#[test]
fn a_push_that_is_only_slow_is_not_given_up() {
    let slow = Case::new("slow").does("sleep 2").backlog(5000).status(0).stored();
    slow.stderr_is("");
    let child = Case::new("a background process keeps the pipes").does("sleep 30 &");
    let outcome = child.status(0).stored();
    outcome.check(outcome.took < Duration::from_secs(20), "not to wait for it");
}

#[test]
fn short_space_ends_a_pgbackrest_that_stands_still() {
    let short = |name: &str| Case::new(name).does("sleep 300").env("WAL_FREE_RESERVE_MB", "8796093022208");
    let hangs = short("64 MiB wait").backlog(64).status(0).lost("unavailable", "free-reserve");
    hangs.check((5..9).contains(&hangs.took.as_secs()), "after 5 s");
    hangs.stderr_has("WAL_FREE_RESERVE_MB");
    let little = short("63 MiB wait").backlog(63).env("WAL_PUSH_TIMEOUT_SECONDS", "6");
    little.status(82).kept("unavailable");
    let everything = short("all of pg_wal, where that is the measure").wal("000000010000000000000004", 64 << 20);
    everything.env("WAL_DROP_MEASURE", "pg_wal").status(0).lost("unavailable", "free-reserve");
    let brief = Case::new("a push of 2 s").does("sleep 2").env("WAL_FREE_RESERVE_MB", "8796093022208");
    brief.backlog(64).status(0).stored();
}

/// A push that hangs while the server has been stopping for so many seconds.
fn stopping(name: &str, seconds: i64) -> Case {
    let case = Case::new(name).postmaster("stopping").does("sleep 300").backlog(900);
    since(case, seconds)
}

/// Sets since when the server stops.
fn since(case: Case, seconds: i64) -> Case {
    let age = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 { SystemTime::now() + age } else { SystemTime::now() - age };
    File::open(case.data().join("postmaster.pid")).unwrap().set_modified(at).unwrap();
    case
}

#[test]
fn a_stop_ends_a_push_that_stands_still_and_gives_nothing_up() {
    let first = stopping("the first", 20).status(63).kept("unavailable").stderr_has("shutting down");
    let took = first.took;
    first.check((2_900..5_500).contains(&took.as_millis()), "3 s after the push's start");
    let second = first.again().status(63).kept("unavailable");
    second.check(second.took < Duration::from_millis(1_500), "0.3 s for the next of the same stop");
    let other = since(second.again(), 10).status(63).kept("unavailable");
    other.check(other.took >= Duration::from_millis(2_900), "3 s for the first of another");
    let stubborn = Case::new("ignores TERM").does("trap '' TERM; while :; do sleep 1; done").postmaster("stopping");
    let stubborn = since(stubborn, 20).status(63).kept("unavailable");
    stubborn.check(stubborn.took < Duration::from_millis(5_500), "no long grace in a stop");
}

#[test]
fn a_clock_that_was_set_back_does_not_hold_a_stop_up() {
    let outcome = stopping("in the future", -3600).status(63).kept("unavailable").stderr_has("shutting down");
    outcome.check((2..8).contains(&outcome.took.as_secs()), "3 s after the push's start");
}

/// A smart shutdown waits for its sessions, which go on writing.
#[test]
fn a_stop_that_lasts_is_none() {
    let smart = stopping("smart", 61).env("WAL_PUSH_TIMEOUT_SECONDS", "4").status(0);
    smart.lost("unavailable", "drop-threshold");
    let working = since(Case::new("working").postmaster("stopping").does("sleep 4"), 61);
    working.status(0).stored();
}

#[test]
fn no_shutdown_no_hurry() {
    for state in ["ready   ", "standby ", "starting", ""] {
        Case::new(state).postmaster(state).does("sleep 1").status(0).stored();
    }
    Case::new("stopping, but quick").postmaster("stopping").does("sleep 1").status(0).stored();
    let failing = Case::new("stopping, and failing").postmaster("stopping").exits(49).backlog(100);
    failing.status(49).kept("unavailable");
}

#[test]
fn our_own_signals_end_pgbackrest_and_give_nothing_up() {
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let line = format!("echo $$ >\"$root/self\"; kill -{signal} $PPID; sleep 300");
        let outcome = Case::new(signal).does(line).backlog(900).status(63).kept("unavailable");
        outcome.check(is_gone(outcome.case.root(), "self"), "pgBackRest to be ended");
    }
}

const LATE: &str = "ERROR: [082]: unable to push WAL file to the archive asynchronously after 60 second(s)\n";

/// An async push that gave up waiting.
fn late(name: &str) -> Case {
    Case::new(name).conf("archive-async=y").says(LATE).exits(82)
}

#[test]
fn the_spool_tells_the_cause_of_82() {
    let denied = "104\nrepo1: [ProtocolError] HTTP request failed with 403 (Forbidden):\n*** Response Content ***:\n<Error><Code>AccessDenied</Code></Error>";
    let write =
        |name: &str, text: &str| format!("cat >\"$out/.x\" <<'END'\n{text}\nEND\nmv \"$out/.x\" \"$out/{name}\"");
    let own = format!("{SEGMENT}.error");
    late("nothing in the spool").status(82).kept("unavailable");
    late("its own").does(write(&own, denied)).status(82).kept("denied").stderr_has("AccessDenied");
    late("global").does(write("global.error", denied)).status(82).kept("denied");
    late("an old one").spool("global.error", denied).spool(&own, denied).status(82).kept("unavailable");
    let tells_nothing = Case::new("103 without a cause").says("ERROR: [103]: unable to find a valid repository\n");
    tells_nothing.does(write("global.error", denied)).exits(103).status(103).kept("denied");
    let anew = late("an old one, written anew").spool("global.error", "31\nx").does(write("global.error", denied));
    anew.status(82).kept("denied");
    let first = late("its own comes first").does(write("global.error", "31\nx")).does(write(&own, denied));
    first.status(82).kept("denied");
    late("nonsense").does(write(&own, "nonsense")).status(82).kept("unavailable");
    late("no number").does(write(&own, "x\ny")).status(82).kept("unavailable");
    let other = Case::new("not for another code").conf("archive-async=y").exits(50).says("ERROR: [050]: locked\n");
    other.does(write(&own, denied)).status(50).kept("local");
    let key = denied.replace("AccessDenied", "InvalidAccessKeyId");
    late("gone").does(write("global.error", &key)).status(0).lost("gone", "instant-drop");
    let (_, revoked) = spooled("revoked-key");
    late("revoked-key").does(write("global.error", &revoked)).status(0).lost("gone", "instant-drop");
    for (name, class) in
        [("deleted-bucket", "unavailable"), ("mismatched-cluster", "mismatch"), ("hang", "unavailable")]
    {
        late(name).does(write("global.error", &spooled(name).1)).status(82).kept(class);
    }
}

#[test]
fn an_older_error_counts_while_its_worker_runs() {
    let with_lock = |name: &str, lock: &str, pid: u32| {
        let case = late(name).with(|root| {
            std::fs::write(root.join("lock").join(lock), format!("{{\"execId\":\"1-a\",\"pid\":{pid}}}\n")).unwrap();
        });
        case.spool("global.error", "31\noption")
    };
    // What is looked for is a pgBackRest that pushes asynchronously for this stanza, by its command line.
    let sleeper = |word: &str| {
        let mut command = Command::new("/bin/sh");
        command.arg0("pgbackrest").args(["-c", "read end", "--stanza=main", word]);
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    let (mut worker, mut other) = (sleeper("archive-push:async"), sleeper("archive-get:async"));
    let (pid, stranger) = (worker.id(), other.id());
    with_lock("a worker", "main-archive.lock", pid).status(82).kept("config");
    with_lock("a worker of 2.53", "main-archive-1.lock", pid).status(82).kept("config");
    with_lock("another stanza's", "other-archive.lock", pid).status(82).kept("unavailable");
    with_lock("another program's", "main-archive.lock", stranger).status(82).kept("unavailable");
    with_lock("nobody's", "main-archive.lock", u32::MAX - 1).status(82).kept("unavailable");
    for child in [&mut worker, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The first file that a sample of the spool holds, and its text.
fn spooled(name: &str) -> (String, String) {
    let path = format!("{}/tests/lab/samples/archive-push.{name}.async.spool.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (file, rest) = text.strip_prefix("== ").unwrap().split_once('\n').unwrap();
    (file.to_owned(), rest.split("\n== ").next().unwrap().to_owned())
}

/// What `info` says of a repository that can be read and holds no stanza.
fn missing_stanza() -> String {
    "[{\"backup\":[],\"name\":\"main\",\"repo\":[{\"cipher\":\"none\",\"key\":1,\"status\":{\"code\":1,\"message\":\"missing stanza path\"}}]}]".to_owned()
}

/// A push that found no `archive.info`.
fn missing(name: &str) -> Case {
    let (code, text) = sample("archive-push.missing-stanza.sync");
    Case::new(name).says(text).exits(code)
}

#[test]
fn a_missing_archive_info_is_looked_into() {
    let bucket = sample("info.deleted-bucket").1;
    missing("no bucket").info(&bucket).status(0).lost("gone", "instant-drop").called("info", 1);
    for name in ["revoked-key", "deleted-bucket"] {
        missing(name).info(sample(&format!("info.{name}")).1).status(0).lost("gone", "instant-drop");
    }
    let other = [
        ("hang", "unavailable"),
        ("nothing-policy", "denied"),
        ("read-only-policy", "stanza-missing"),
        ("refused", "unavailable"),
        ("status-503-slow-down", "unavailable"),
        ("wrong-secret", "denied"),
    ];
    for (name, class) in other {
        missing(name).info(sample(&format!("info.{name}")).1).status(103).kept(class).called("info", 1);
    }
    missing("another stanza's answer").info(bucket.replace("\"main\"", "\"x\"")).status(103).kept("unavailable");
    missing("broken").info("[{\"name\":\"main\",\"repo\":[{").status(103).kept("unavailable");
    missing("nothing").info("").status(103).kept("unavailable");
    missing("no text").info(b"[{\"name\":\"main\", \xff\x00").status(103).kept("unavailable");
    missing("exit 99").status(103).kept("unavailable").called("info", 1);
    missing("the code is none").info(&bucket).env("WAL_INSTANT_DROP_CODES", "none").status(103).kept("unknown");
    missing("patience").info(&bucket).env("WAL_INSTANT_DROP_AFTER_SECONDS", "60").status(103).kept("gone");
    missing("a stanza that is missing").info(missing_stanza()).status(103).kept("stanza-missing");
    missing("at the threshold").info(missing_stanza()).backlog(500).status(0).lost("stanza-missing", "drop-threshold");
    let warned = format!("WARN: environment contains invalid option 'x'\n{bucket}");
    missing("a warning before it").info(warned).status(0).lost("gone", "instant-drop");
}

#[test]
fn info_has_a_time_limit_too() {
    let hanging = missing("info hangs").info_does("sleep 300").env("WAL_PUSH_TIMEOUT_SECONDS", "1");
    let outcome = hanging.status(103).kept("unavailable").called("info", 1);
    outcome.check(outcome.took >= Duration::from_secs(4), "at least 5 s for info");
}

/// A bucket that was deleted and made anew: an answer that is remembered would give up what the new one takes.
#[test]
fn what_a_listing_said_before_decides_nothing() {
    let gone = missing("the bucket is gone").info(sample("info.deleted-bucket").1).status(0).called("info", 1);
    let made = gone.again().pushes("000000010000000000000006").info(missing_stanza());
    let made = made.status(103).called("info", 2).stderr_has("stanza-missing");
    made.ledger("one loss", |state| state.push.dropped_count == 1);
}
