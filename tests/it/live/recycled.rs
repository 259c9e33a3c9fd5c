//! Live: PostgreSQL recycles what was given up while pgBackRest's async process still uploads it.
//!
//! An upload in parts reads the file as it goes, from a descriptor that it keeps. Once push has returned 0, PostgreSQL renames
//! the file at its next checkpoint and writes other WAL into it; the process would store that under the old name, with the
//! checksum that it took before.

use super::scene::{BUCKET, Live, Mode, Setup};
use pgbackrest_guard_lab::{Fault, FaultKind, Lab, Operations, Signal};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

const WORKER: &str = "archive-push:";

/// A segment that was given up, and what its content was.
struct GivenUp {
    live: Live,
    name: String,
    checksum: String,
}

/// The first part of an upload hangs, and the file is given up meanwhile.
fn given_up_in_mid_upload(setup: Setup, then: fn(&[i32])) -> GivenUp {
    // Uncompressed: three parts of 5 MiB and a rest, sent one behind the other.
    let live = setup.segment_mib(16).option("compress-type", "none").option("io-timeout", "60");
    let live = live.setting("min_wal_size", "160MB").setting("max_wal_size", "320MB").start();
    live.write_acknowledged(1);
    let parts = Operations::Matching(Arc::new(|request| request.query.contains("partNumber=1")));
    live.s3.inject(Fault::new(FaultKind::Hang).on(parts).times(1));
    live.s3.forget_requests();
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", "0"), ("WAL_PUSH_TIMEOUT_SECONDS", "8")]);
    let name = live.write(1).remove(0);
    let path = live.postgres.pg_wal().join(&name);
    let (checksum, inode) = (sha1(&fs::read(&path).unwrap()), path.metadata().unwrap().ino());
    live.wait("a part hangs", || live.s3.requests().iter().any(|request| request.query.contains("partNumber")));
    let workers = live.pids(WORKER);
    assert!(!workers.is_empty(), "no async process\n{}", live.postgres.log());
    then(&workers);
    live.wait("the segment is given up", || !live.postgres.ready().contains(&name));
    recycle(&live, inode);
    live.s3.clear_faults();
    for pid in &workers {
        Lab::signal(*pid, Signal::CONT);
    }
    live.wait("the processes that uploaded it have ended", || {
        let running: BTreeSet<i32> = live.pids(WORKER).into_iter().collect();
        workers.iter().all(|pid| !running.contains(pid))
    });
    live.reconfigure(&[]);
    live.write_acknowledged(1);
    GivenUp { live, name, checksum }
}

/// Has PostgreSQL recycle the file, and write other WAL into it to its end.
fn recycle(live: &Live, inode: u64) {
    live.postgres.sql("CHECKPOINT");
    let now =
        fs::read_dir(live.postgres.pg_wal()).unwrap().flatten().find(|entry| entry.metadata().unwrap().ino() == inode);
    let now = now.expect("the checkpoint recycles the file").file_name().into_string().unwrap();
    while live.postgres.current_segment() <= now {
        live.write(1);
    }
}

/// That every segment in the repository is what its name says: pgBackRest puts the checksum of the content behind it.
#[track_caller]
fn assert_whole(live: &Live) {
    let is_segment =
        |key: &String| key.starts_with("repo/archive/main/") && key.rsplit('-').next().unwrap().len() == 40;
    let segments: Vec<String> = live.s3.objects(BUCKET).into_iter().filter(is_segment).collect();
    assert!(!segments.is_empty());
    for key in segments {
        let content = sha1(&live.s3.object_bytes(BUCKET, &key));
        assert!(key.ends_with(&content), "{key} holds {content}\n{}", live.postgres.log());
    }
}

fn sha1(content: &[u8]) -> String {
    let mut sum = Command::new("sha1sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(content).unwrap();
    let output = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    output.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn what_is_given_up_in_mid_upload_is_not_stored_as_something_else() {
    let GivenUp { live, name, .. } = given_up_in_mid_upload(Live::of(Mode::Async), |_| {});
    assert_whole(&live);
    assert!(!live.archived().contains(&name));
    assert_eq!(live.gaps().first().map(|gap| gap.first.to_string()), Some(name));
    live.every_acknowledged_segment_is_accounted_for();
}

/// SIGTERM does not end a process that is stopped.
#[test]
fn a_process_that_is_stopped_in_mid_upload_stores_nothing_else_either() {
    let stop = |workers: &[i32]| workers.iter().for_each(|pid| Lab::signal(*pid, Signal::STOP));
    let GivenUp { live, name, .. } = given_up_in_mid_upload(Live::of(Mode::Async), stop);
    assert_whole(&live);
    assert!(!live.archived().contains(&name));
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn what_is_given_up_in_mid_upload_lies_whole_in_the_overflow_folder() {
    let setup = Live::of(Mode::Async);
    let overflow = setup.lab_path().join("overflow");
    let setup = setup.env("WAL_OVERFLOW_DIR", overflow.to_str().unwrap());
    let GivenUp { live, name, checksum } = given_up_in_mid_upload(setup, |_| {});
    assert_whole(&live);
    assert!(!live.archived().contains(&name));
    assert_eq!(sha1(&fs::read(overflow.join(&name)).unwrap()), checksum);
    live.every_acknowledged_segment_is_accounted_for();
}
