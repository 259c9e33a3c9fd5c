//! The laboratory proves itself: real programs, and each fault as the real pgBackRest sees it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests, in which a failure must end the test"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pgbackrest_guard_lab::{
    Cluster, Fault, FaultKind, Lab, Operation, Operations, PgBackRest, PgBackRestBuilder, Policy, S3Server, StopMode,
};

const KEY: &str = "AKIALAB";
const SOON: Duration = Duration::from_secs(20);

struct Bench {
    lab: Lab,
    s3: S3Server,
    cluster: Cluster,
    backrest: PgBackRest,
}

impl Bench {
    /// A cluster that archives by bare pgBackRest to a bucket, its stanza created.
    fn new(adjust: impl FnOnce(PgBackRestBuilder, &Lab) -> PgBackRestBuilder) -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, "secret");
        let postgres = Cluster::builder(&lab);
        let builder = PgBackRest::builder(&lab).postgres(&postgres).repo_s3(&s3, "wal", KEY, "secret", "/repo");
        let backrest = adjust(builder.option("global", "io-timeout", "1"), &lab).write();
        let cluster = postgres.archive_command(&backrest.archive_command()).start();
        backrest.stanza_create();
        Self { lab, s3, cluster, backrest }
    }

    /// With archiving held still, so that the test pushes segments itself.
    fn quiet() -> (Self, String) {
        let bench = Self::new(|builder, _| builder);
        bench.cluster.reload_with("archive_command", "false");
        let segment = bench.cluster.switch_wal();
        (bench, format!("pg_wal/{segment}"))
    }

    fn write_and_archive(&self, segments: usize) -> BTreeSet<String> {
        let names = self.cluster.write_wal(segments);
        self.cluster.wait_archived(names.last().unwrap(), SOON);
        names.into_iter().collect()
    }

    /// The exit code and stderr of pushing the segment.
    fn push(&self, segment: &str) -> (i32, String) {
        let output = self.backrest.run(&["archive-push", segment]);
        (output.code().unwrap(), output.stderr)
    }
}

#[track_caller]
fn assert_says(pushed: &(i32, String), code: i32, text: &str) {
    assert!(pushed.0 == code && pushed.1.contains(text), "wanted {code} and {text:?}, got {pushed:?}");
}

#[test]
fn archives_backs_up_and_restores() {
    let bench = Bench::new(|builder, lab| builder.repo_posix(&lab.path().join("second")));
    bench.cluster.sql("CREATE TABLE t AS SELECT 1 AS n");
    bench.backrest.backup("full");
    bench.cluster.sql("INSERT INTO t VALUES (2)");
    let names = bench.write_and_archive(3);
    assert_eq!(names.len(), 3);
    assert!(bench.backrest.archived(1).is_superset(&names), "{:?}", bench.backrest.archived(1));
    assert!(bench.backrest.archived(2).is_superset(&names), "{:?}", bench.backrest.archived(2));
    bench.backrest.check();

    let copy = Cluster::builder(&bench.lab).name("restored").no_archiving();
    let restored = bench.backrest.restore(copy, &[]);
    restored.start_recovery();
    assert!(restored.wait_promoted(SOON), "{}", restored.log());
    assert_eq!(restored.sql("SELECT sum(n) FROM t"), "3");
    assert!(restored.stop(StopMode::Fast) < SOON);

    let copy = Cluster::builder(&bench.lab).name("stopped").no_archiving();
    let fatal = bench.backrest.restore(copy, &["--recovery-option=restore_command=exit 254"]);
    fatal.start_recovery();
    assert!(fatal.wait_stopped(SOON));
    assert!(fatal.log().contains("FATAL"), "{}", fatal.log());
    assert!(fatal.start().is_err());
}

#[test]
fn archives_asynchronously_and_leaves_no_worker() {
    let bench = Bench::new(|builder, _| builder.archive_async(true));
    let names = bench.write_and_archive(5);
    assert!(bench.backrest.archived(1).is_superset(&names));
    assert!(bench.backrest.spool_path().join("archive/main/out").is_dir());
    bench.s3.inject(Fault::new(FaultKind::Hang));
    bench.cluster.switch_wal();
    let working = || bench.lab.processes().iter().any(|process| process.command.contains("archive-push:async"));
    bench.cluster.wait_until("a worker hangs", SOON, working);
    let Bench { lab, s3, cluster, backrest } = bench;
    let path = lab.path().to_owned();
    drop((cluster, backrest, lab, s3));
    assert!(!path.exists());
    let left = std::process::Command::new("pgrep").arg("-f").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn keys_policies_and_buckets() {
    let (bench, segment) = Bench::quiet();
    bench.s3.revoke_key(KEY);
    assert_says(&bench.push(&segment), 103, "<Code>InvalidAccessKeyId</Code>");
    assert!(bench.s3.requests().iter().any(|request| request.s3_code.as_deref() == Some("InvalidAccessKeyId")));
    bench.s3.restore_key(KEY);

    bench.s3.delete_bucket("wal");
    assert!(bench.backrest.info().stdout.contains("<Code>NoSuchBucket</Code>"));
    assert_eq!(bench.backrest.archived(1).len(), 0);
    bench.s3.restore_bucket("wal");

    bench.s3.set_policy(KEY, Policy::ReadOnly);
    assert_says(&bench.push(&segment), 104, "<Code>AccessDenied</Code>");
    bench.s3.set_policy(KEY, Policy::Nothing);
    assert_says(&bench.push(&segment), 103, "<Code>AccessDenied</Code>");
    bench.s3.set_policy(KEY, Policy::ReadWrite);

    bench.s3.add_key(KEY, "another secret");
    assert_says(&bench.push(&segment), 103, "<Code>SignatureDoesNotMatch</Code>");
    bench.s3.add_key(KEY, "secret");
    assert_says(&bench.push(&segment), 0, "");
}

#[test]
fn faults_as_pgbackrest_sees_them() {
    let (bench, segment) = Bench::quiet();
    let broken = |fault: Fault, code: i32, text: &str| {
        let id = bench.s3.inject(fault);
        assert_says(&bench.push(&segment), code, text);
        bench.s3.remove(id);
    };
    broken(Fault::status(503, "SlowDown"), 103, "[503] Slow Down");
    broken(Fault::new(FaultKind::Refuse), 103, "[111] Connection refused");
    broken(Fault::new(FaultKind::Hang), 103, "timeout after 1000ms waiting for read");
    broken(Fault::new(FaultKind::ResetMidBody).on(Operations::Get), 103, "[ServiceError]");
    broken(Fault::new(FaultKind::ResetMidBody).on(Operations::of(Operation::Put, "/archive/")), 104, "error");
    assert_eq!(bench.backrest.archived(1).len(), 0);
    assert_says(&bench.push(&segment), 0, "");
}

#[test]
fn a_trickle_is_slow_and_a_fault_can_be_used_up() {
    let (bench, segment) = Bench::quiet();
    let slow = Fault::new(FaultKind::Trickle { bytes_per_second: 600 }).on(Operations::key_contains("archive.info"));
    bench.s3.inject(slow.times(1));
    let start = Instant::now();
    assert_says(&bench.push(&segment), 0, "");
    assert!(start.elapsed() > Duration::from_millis(300), "took {:?}", start.elapsed());
    let start = Instant::now();
    assert_says(&bench.push(&segment), 0, "already exists");
    assert!(start.elapsed() < Duration::from_millis(300), "took {:?}", start.elapsed());
}

#[test]
fn a_standby_streams_and_is_promoted() {
    let lab = Lab::new();
    let primary = Cluster::builder(&lab).start();
    let standby = Cluster::builder(&lab).name("standby").standby_of(&primary);
    standby.start().unwrap();
    primary.sql("CREATE TABLE t AS SELECT 1 AS n");
    standby.wait_until("the table arrives", SOON, || standby.try_sql("SELECT n FROM t") == Ok("1".to_owned()));
    standby.promote();
    standby.sql("INSERT INTO t VALUES (2)");
    primary.kill();
    assert!(!primary.is_running());
    assert_eq!(primary.start(), Ok(()), "a killed server recovers");
}

#[test]
fn a_copied_program_runs_as_the_unprivileged_user() {
    let lab = Lab::new();
    let output = lab.command(lab.copy_program("/usr/bin/id")).arg("-un").output().unwrap();
    let name = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && name.trim() != "root", "{output:?}");
    assert!(lab.user().is_none_or(|user| user == name.trim()), "{output:?}");
}
