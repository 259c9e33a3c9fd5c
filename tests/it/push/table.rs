//! Steps 1 to 3 of a push, and its exit codes: names, archiving off, the fast path (contract, sections 3 and 4).

use super::outcome::PREFIX;
use super::standin::{Case, SEGMENT};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn every_name_of_the_archiver_is_pushed() {
    for name in [
        SEGMENT,
        "0000000A00000010000000FF",
        "000000010000000000000005.partial",
        "000000010000000000000005.00000028.backup",
        "00000002.history",
    ] {
        let outcome = Case::new(name).pushes(name).status(0).stored().calls(1);
        let called =
            format!("--stanza=main --log-level-console=off --log-level-stderr=warn archive-push pg_wal/{name}\n");
        outcome.check(outcome.answer("archive-push", "calls") == called, &called);
        outcome.stderr_is("");
    }
    let absolute = Case::new("an absolute path");
    let path = absolute.data().join("pg_wal").join(SEGMENT);
    absolute.argument(path).status(0).stored().calls(1);
}

#[test]
fn every_other_name_is_refused() {
    let names: &[&[u8]] = &[
        b"pg_wal/00000001000000000000000",
        b"pg_wal/0000000100000000000000055",
        b"pg_wal/00000001000000000000000g",
        b"pg_wal/00000001000000000000000a",
        b"pg_wal/000000010000000000000005.part",
        b"pg_wal/000000010000000000000005.partial.partial",
        b"pg_wal/000000010000000000000005.28.backup",
        b"pg_wal/000000010000000000000005.backup",
        b"pg_wal/2.history",
        b"pg_wal/00000002.HISTORY",
        b"pg_wal/RECOVERYXLOG",
        b"pg_wal/000000010000000000000005 ",
        b"pg_wal/000000010000000000000005\n",
        b"pg_wal/..",
        b"/",
        b"%p",
        b"\xff\xfe",
        b"pg_wal/\xff00000010000000000000005",
        "pg_wal/00000001000000000000é".as_bytes(),
    ];
    for name in names {
        let case = Case::new(&String::from_utf8_lossy(name)).argument(OsStr::from_bytes(name));
        let outcome =
            case.status(2).calls(0).only_own_lines().lines_with("is not a WAL file name", 1).lines_with("", 1);
        outcome.check(!outcome.case.data().join(".pgbackrest_guard").exists(), "nothing made");
    }
}

#[test]
fn a_name_is_checked_before_anything_else() {
    Case::new("a wrong name with archiving off").env("WAL_ARCHIVE_BUCKET", "").argument("pg_wal/x").status(2);
}

#[test]
fn archiving_off_is_one_line_and_success() {
    let off = |name: &str| Case::new(name).backlog(600);
    let by_variable = off("an empty bucket").env("WAL_ARCHIVE_BUCKET", "");
    by_variable.status(0).calls(0).lines_with("archiving is switched off", 1).lines_with("", 1).stored();
    let by_file = off("an empty bucket in the settings").settings("wal_archive_bucket = ''\n");
    by_file.status(0).calls(0).lines_with("archiving is switched off", 1);
    let refused = off("a refused bucket").write(".pgbackrest_invalid_bucket", "uuid-shape\n");
    refused.status(0).calls(0).lines_with("archiving is switched off", 1).stderr_has("uuid-shape").lines_with("", 1);
    let odd = off("an odd reason").write(".pgbackrest_invalid_bucket", b"\xff\x1b[31m\nmore\n");
    odd.status(0).calls(0).lines_with("", 1).only_own_lines().stderr_lacks("\u{1b}");
    off("a bucket that is set").env("WAL_ARCHIVE_BUCKET", "b").status(0).calls(1).stderr_is("");
    off("the environment over the file")
        .env("WAL_ARCHIVE_BUCKET", "b")
        .settings("wal_archive_bucket = ''\n")
        .status(0)
        .calls(1);
}

/// A case in which pgBackRest's spool shows the segment as stored.
fn stored_by_the_spool(name: &str) -> Case {
    let case = Case::new(name).conf("archive-async=y").spool(&format!("{SEGMENT}.ok"), "");
    let old = SystemTime::now() - Duration::from_mins(1);
    set_time(&case.data().join(format!("pg_wal/archive_status/{SEGMENT}.ready")), old);
    case
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_the_spool_shows_as_stored_needs_no_pgbackrest() {
    stored_by_the_spool("the fast path").status(0).calls(0).stored().stderr_is("");
}

#[test]
fn the_fast_path_has_guards() {
    type Change = fn(Case) -> Case;
    let ok = |root: &Path| root.join(format!("spool/archive/main/out/{SEGMENT}.ok"));
    let guards: &[(&str, Change)] = &[
        ("async is off", |case| case.conf("archive-async=n")),
        ("async is off for push", |case| case.conf("[global:archive-push]\narchive-async=n")),
        ("async is off by the environment", |case| case.env("PGBACKREST_ARCHIVE_ASYNC", "n")),
        ("the stanza is stopped", |case| case.with(|root| drop(File::create(root.join("lock/main.stop")).unwrap()))),
        ("all is stopped", |case| case.with(|root| drop(File::create(root.join("lock/all.stop")).unwrap()))),
        ("switched off", |case| case.env("WAL_GUARD_FAST_PATH", "0")),
        ("switched off in the file", |case| case.settings("wal_guard_fast_path = false\n")),
        ("switched off by the flag", |case| case.flag("--no-fast-path")),
        ("another stanza", |case| case.flag("--stanza=other")),
        ("an .error beside it only", |case| {
            case.with(|root| fs::remove_file(root.join(format!("spool/archive/main/out/{SEGMENT}.ok"))).unwrap())
                .spool(&format!("{SEGMENT}.error"), "103\nx")
        }),
        ("a warning in it", |case| case.spool(&format!("{SEGMENT}.ok"), "0\nWAL file already exists")),
        ("no .ready", |case| {
            case.with(|root| fs::remove_file(root.join(format!("data/pg_wal/archive_status/{SEGMENT}.ready"))).unwrap())
        }),
    ];
    for (name, guard) in guards {
        guard(stored_by_the_spool(name)).status(0).calls(1).stored();
    }
    let old = stored_by_the_spool("an .ok older than its .ready");
    set_time(&ok(old.root()), SystemTime::now() - Duration::from_mins(2));
    old.status(0).calls(1).stored();
}

#[test]
fn exit_codes_stay_where_the_archiver_counts_them() {
    let table = [(1, 1), (2, 2), (25, 25), (32, 32), (62, 62), (82, 82), (104, 104), (125, 125)];
    for (code, expected) in table {
        let case = Case::new(&format!("pgBackRest exits {code}")).exits(code);
        case.status(expected).ledger("the code", |state| {
            state.push.last_failure.as_ref().and_then(|failure| failure.code) == Some(i32::from(code))
        });
    }
    for code in [126, 127, 128, 143, 254, 255] {
        Case::new(&format!("pgBackRest exits {code}")).exits(code).status(125).kept("unknown");
    }
}

#[test]
fn a_pgbackrest_that_dies_or_never_starts_is_a_failure() {
    for signal in ["KILL", "TERM", "SEGV"] {
        let case = Case::new(signal).says("WARN: so far\n").does(format!("kill -{signal} $$; sleep 60"));
        let no_code = |state: &pgbackrest_guard::ledger::state::State| {
            state.push.last_failure.as_ref().is_some_and(|failure| failure.code.is_none())
        };
        case.status(63).kept("local").ledger("no code", no_code).stderr_has("by signal");
    }
    let missing = Case::new("no such program").env("WAL_GUARD_PGBACKREST", "/nowhere/pgbackrest");
    missing.status(125).kept("unknown").only_own_lines().stderr_has("can't start /nowhere/pgbackrest");
    let folder = Case::new("a folder");
    let path = folder.root().to_owned();
    folder.env("WAL_GUARD_PGBACKREST", path).status(125).kept("unknown");
    Case::new("not on PATH").env("PATH", "/nowhere").status(125).kept("unknown").stderr_has("can't start pgbackrest");
    Case::new("no PATH at all").unset("PATH").env("WAL_GUARD_PGBACKREST", "nowhere-at-all").status(125);
    let over = Case::new("not startable, and too much waits").env("PATH", "/nowhere").backlog(500);
    over.status(0).lost("unknown", "drop-threshold");
}

#[test]
fn pgbackrests_lines_are_copied_as_they_are() {
    let text = "WARN: configuration file contains invalid option 'x'\n  indented\n";
    Case::new("on stderr").says(text).status(0).stderr_is(text).stored();
    let timed = "2026-11-22 10:58:13.119 P00   WARN: unable to open log file\n";
    Case::new("on stdout").prints(timed).status(0).stderr_is(timed).stored();
    Case::new("without a line's end").says("WARN: x").status(0).stderr_is("WARN: x\n");
    let failing = Case::new("while failing").says("ERROR: [055]: missing\n").exits(55).status(55).kept("local");
    let own = failing.stderr.strip_prefix("ERROR: [055]: missing\n").is_some_and(|own| own.starts_with(PREFIX));
    failing.check(own, "pgBackRest's line, then our own");
    Case::new("bytes that are no text").says(b"WARN: \xff\xfe\x00\n").exits(31).status(31).kept("config");
    Case::new("very much")
        .does("yes 'ERROR: [101]: x' | head -c 30000000 >&2")
        .exits(101)
        .status(101)
        .kept("unavailable");
}
