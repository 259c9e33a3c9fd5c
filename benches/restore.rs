//! A restore by `pgbackrest-guard restore` against one by hand with bare pgBackRest, a plan out of a long archive, and what a
//! drill costs its origin.
//!
//! `cargo bench --bench restore [-- MIB SEGMENTS]`: a cluster of 2048 MiB and 300 segments of 16 MiB in an S3 server on this
//! machine unless said otherwise, each way in turns. By hand means: `pgbackrest restore`, the server's start, its own
//! asynchronous `archive-get` until recovery is complete, a clean stop; the guard's figure has all its looks and proofs in it.
//! Both have the same configuration, with `process-max=4`. Needs about 15 GiB below `/tmp` for a while.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints its figures, and one that can't go on shall panic"
)]

use pgbackrest_guard::decide::restore::{Asked, Target, plan};
use pgbackrest_guard::decide::windows::{Archive, Backup, Commit, Lost};
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline};
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server, StopMode, postgres_programs, within};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const MIB: u64 = 2048;
const SEGMENTS: usize = 300;
/// As many as are noted at most (`src/seen_catalog.rs`).
const COMMITS: u64 = 500;
const ROUNDS: usize = 2;
/// Nothing takes longer.
const LONG: Duration = Duration::from_mins(15);
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

struct Origin {
    lab: Lab,
    s3: S3Server,
    cluster: Cluster,
    store: PgBackRest,
    guard: PathBuf,
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let mebibytes = numbers.next().unwrap_or(MIB);
    let segments = numbers.next().and_then(|number| number.try_into().ok()).unwrap_or(SEGMENTS);
    plans();
    let origin = Origin::new(mebibytes, segments);
    println!("{mebibytes} MiB and {segments} segments of 16 MiB");
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let by_hand = origin.by_hand(round);
        let by_guard = origin.by_guard(round);
        println!("round {}: by hand {by_hand:.2?}, guard {by_guard:.2?}", round + 1);
        for (times, time) in took.iter_mut().zip([by_hand, by_guard]) {
            times.push(time.as_secs_f64());
        }
    }
    let [by_hand, by_guard] = took.map(|times| times.into_iter().fold(f64::INFINITY, f64::min));
    println!("restore, the best: by hand {by_hand:.2} s, guard {by_guard:.2} s, {:.3} of by hand", by_guard / by_hand);
    origin.drill();
}

/// A hundred backups, a million segments, and a hole in each thousand of them.
fn plans() {
    let size = SegmentSize::try_from(16 << 20).unwrap();
    let segment = |number: u64| SegmentName::from_number(Timeline(1), number, size).unwrap();
    let at = |number: u64| i64::try_from(number * 10).unwrap();
    let backup = |count: u64| {
        let number = 1 + count * 10_000;
        let stop_lsn = Some(number * size.bytes() + 0x100);
        let (start, stop_at) = (segment(number), at(number) + 5);
        Backup { label: format!("B{count:03}"), repository: 1, start, stop: start, stop_lsn, stop_at }
    };
    let lost = (0..1000).map(|hole| Lost { timeline: 1, first: hole * 1000 + 500, last: hole * 1000 + 500 });
    let commit = |number: u64| Commit { timeline: 1, lsn: number * size.bytes() + 0x1000, at: at(number) };
    let archive = Archive {
        size,
        backups: (0..100).map(backup).collect(),
        lost: lost.collect(),
        oldest: Some(segment(1)),
        newest: BTreeMap::from([(1, 1_000_000)]),
        switches: BTreeMap::new(),
        commits: (0..COMMITS).map(|count| commit(500_401 + count * 1000)).collect(),
    };
    let mut longest = Duration::ZERO;
    for target in [Target::Latest, Target::Time(at(900_100) * 1_000_000), Target::Immediate] {
        let asked = Asked { target, set: None, repository: None };
        let began = Instant::now();
        let planned = plan(std::slice::from_ref(&archive), &[], &asked).unwrap();
        longest = longest.max(began.elapsed());
        assert_eq!(planned.timeline, 1);
    }
    println!(
        "a plan out of 100 backups, 1,000,000 segments, {COMMITS} known commits and 1,000 holes: {longest:.2?} at most"
    );
}

impl Origin {
    fn new(mebibytes: u64, segments: usize) -> Self {
        let lab = Lab::new();
        let programs = std::env::var_os("PGBACKREST_GUARD_RELEASE").map(PathBuf::from);
        let program =
            |name: &str, built: &str| programs.as_ref().map_or_else(|| built.into(), |folder| folder.join(name));
        lab.copy_program(program("pgbackrest-guard-get", env!("CARGO_BIN_EXE_pgbackrest-guard-get")));
        let guard = lab.copy_program(program("pgbackrest-guard", env!("CARGO_BIN_EXE_pgbackrest-guard")));
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, SECRET);
        let builder = Cluster::builder(&lab).segment_mib(16).archive_command("true").setting("max_wal_size", "4GB");
        let store = PgBackRest::builder(&lab).postgres(&builder).repo_s3(&s3, "wal", KEY, SECRET, "/repo");
        let store = store.option("global", "process-max", "4").option("global", "compress-type", "lz4");
        let store = store.archive_async(true).option("global", "archive-get-queue-max", "128MiB").write();
        let cluster = builder.start();
        // Rows that do not compress to nothing; their WAL is archived nowhere.
        let rows = mebibytes << 10;
        cluster.sql(&format!(
            "CREATE TABLE big AS SELECT n, md5(n::text) || repeat(md5((n + 1)::text), 28) AS s FROM generate_series(1, {rows}) n; \
             CREATE INDEX ON big (n); CREATE TABLE t (n bigserial PRIMARY KEY, s text); CHECKPOINT"
        ));
        store.stanza_create();
        cluster.reload_with("archive_command", &store.archive_command());
        store.backup("full");
        let written = cluster.write_wal(segments);
        cluster.wait_archived(written.last().unwrap(), LONG);
        Self { lab, s3, cluster, store, guard }
    }

    /// By hand, with a configuration of its own, so that the origin's spool is left alone.
    fn by_hand(&self, round: usize) -> Duration {
        let name = format!("hand-{round}");
        let copy = Cluster::builder(&self.lab).name(&name);
        let store = PgBackRest::builder(&self.lab).name(&format!("store-{round}")).postgres(&copy);
        let store = store.repo_s3(&self.s3, "wal", KEY, SECRET, "/repo").option("global", "process-max", "4");
        let store = store.archive_async(true).option("global", "archive-get-queue-max", "128MiB").write();
        let began = Instant::now();
        let command = format!("--recovery-option=restore_command={}", store.restore_command());
        // The laboratory's clusters run without fsync and with little memory; what is compared is what a person would run.
        let copy = copy.no_archiving().setting("fsync", "on").setting("shared_buffers", "128MB");
        let copy = store.restore(copy, &[&command]);
        let copied = began.elapsed();
        copy.start_recovery();
        let complete = || copy.log().contains("archive recovery complete");
        assert!(within(LONG, || complete() || !copy.is_running()) && complete(), "{}", copy.log());
        copy.stop(StopMode::Fast);
        let took = began.elapsed();
        println!("  by hand: copied after {copied:.2?}");
        remove(copy.pgdata());
        took
    }

    fn by_guard(&self, round: usize) -> Duration {
        let target = self.lab.path().join(format!("guard-{round}"));
        let began = Instant::now();
        let mut command = self.command("restore");
        let output = command.arg("latest").arg("--output=json").arg("--target").arg(&target).output().unwrap();
        let took = began.elapsed();
        assert!(output.status.success(), "{}", text(&output));
        remove(&target);
        took
    }

    fn command(&self, task: &str) -> Command {
        let mut command = self.lab.command(&self.guard);
        command.arg(task).arg("--pgdata").arg(self.cluster.pgdata());
        command.env("PGBACKREST_CONFIG", self.store.config_file());
        command.env("PGUSER", self.cluster.sql("select current_user").trim());
        command
    }

    /// Commits of one client, before and during a drill.
    fn drill(&self) {
        let before = self.commits(Duration::from_secs(30));
        let mut drill = self.command("drill").arg("--json").stdout(std::process::Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let during = self.commits(Duration::from_mins(1));
        let goes_on = drill.try_wait().unwrap().is_none();
        assert!(drill.wait().unwrap().success());
        println!(
            "p99 of a commit: {before:.2} ms before, {during:.2} ms in a drill of {:.0?}{}, {:.2} of before",
            began.elapsed(),
            if goes_on { "" } else { " (shorter than what was measured)" },
            during / before
        );
    }

    /// The 99th percentile of commits' latency, in ms, by pgbench's log.
    fn commits(&self, lasts: Duration) -> f64 {
        let script = self.lab.write_file("commit.sql", "INSERT INTO t (s) VALUES (repeat('x', 100));\n");
        let folder = self.lab.folder("pgbench");
        let mut command = self.lab.command(postgres_programs().join("pgbench"));
        command.args(["-n", "-c", "1", "-l", "-T", &lasts.as_secs().to_string(), "-h"]).arg(self.cluster.socket_dir());
        command.args(["-p", &self.cluster.port().to_string(), "-f"]).arg(script).arg("postgres").current_dir(&folder);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let mut micros = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            micros.extend(text.lines().map(|line| line.split(' ').nth(2).unwrap().parse::<f64>().unwrap()));
            fs::remove_file(path).unwrap();
        }
        micros.sort_by(f64::total_cmp);
        micros.get(micros.len() * 99 / 100).unwrap() / 1000.0
    }
}

fn remove(folder: &Path) {
    // The last prefetch may still be writing.
    assert!(within(LONG, || fs::remove_dir_all(folder).is_ok()), "cannot remove {}", folder.display());
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
