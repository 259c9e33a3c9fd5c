//! A whole recovery by guard-get against one by bare pgBackRest, and one call that is served from the spool.
//!
//! `cargo bench --bench recovery [-- SEGMENTS]`: 300 archived segments of 16 MiB unless told otherwise, three rounds of
//! each way in turns, so that a machine that slows down slows all of them. Each recovery gets a restored cluster and an
//! empty spool of its own; restoring is not timed. Needs about 7 GiB below `/tmp` for a while.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and one that can't go on shall panic"
)]

use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, StopMode, within};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SEGMENTS: usize = 300;
const ROUNDS: usize = 3;
/// Calls of each kind that are served from the spool.
const CALLS: usize = 25;
/// No recovery takes longer.
const LONG: Duration = Duration::from_mins(10);

/// Who fetches the WAL.
#[derive(Clone, Copy)]
enum Way {
    Bare,
    Guard,
    GuardWithoutFastPath,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Bare, "bare pgBackRest"),
    (Way::Guard, "guard-get"),
    (Way::GuardWithoutFastPath, "guard-get --no-fast-path"),
];

struct Archive {
    lab: Lab,
    repository: PathBuf,
    guard: PathBuf,
    segments: Vec<String>,
}

fn main() {
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(SEGMENTS);
    let archive = Archive::new(count);
    println!("{count} segments of 16 MiB in the archive");
    recoveries(&archive);
    calls(&archive);
}

fn recoveries(archive: &Archive) {
    let mut took = [const { Vec::new() }; WAYS.len()];
    for round in 0..ROUNDS {
        for (times, (way, name)) in took.iter_mut().zip(WAYS) {
            let time = archive.recover(way, round);
            println!("round {}: {name}: {:.2} s", round + 1, time.as_secs_f64());
            times.push(time);
        }
    }
    let medians = took.map(median);
    for ((_, name), time) in WAYS.iter().zip(medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("recovery, median: {name}: {:.2} s, {ratio:.3} of bare", time.as_secs_f64());
    }
}

/// Segments that lie in the spool already, taken in turns, while more than half of the queue is there.
fn calls(archive: &Archive) {
    let (store, copy) = archive.restore("calls", Way::Bare, "1280MiB");
    let spool = store.spool_path().join("archive/main/in");
    let target = copy.pg_wal().join("RECOVERYXLOG");
    let first = archive.segments.first().unwrap();
    run(store.command(&["archive-get", first, target.to_str().unwrap()]).current_dir(copy.pgdata()));
    let last = spool.join(&archive.segments[2 * CALLS + 2]);
    assert!(within(LONG, || last.exists()), "nothing is fetched ahead");
    let (mut bare, mut guard) = (Vec::new(), Vec::new());
    for pair in archive.segments[1..].chunks(2).take(CALLS / 2) {
        let mut command = store.command(&["archive-get", &pair[0], "pg_wal/RECOVERYXLOG"]);
        // PostgreSQL removes it too, before it asks.
        fs::remove_file(&target).unwrap();
        bare.push(timed(command.current_dir(copy.pgdata())));
        let mut command = archive.lab.command(&archive.guard);
        command.arg("--pgbackrest-config").arg(store.config_file()).args([&pair[1], "pg_wal/RECOVERYXLOG"]);
        // A program that is not there: what is served from the spool starts none.
        command.args(["--pgbackrest", "/nowhere", "--retry", "0"]);
        fs::remove_file(&target).unwrap();
        guard.push(timed(command.current_dir(copy.pgdata())));
    }
    let (bare, guard) = (median(bare), median(guard));
    let ratio = guard.as_secs_f64() / bare.as_secs_f64();
    println!("a call served from the spool, median: bare {bare:.2?}, guard-get {guard:.2?}, {ratio:.3} of bare");
}

impl Archive {
    fn new(count: usize) -> Self {
        let lab = Lab::new();
        let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        let repository = lab.path().join("repository");
        let postgres = Cluster::builder(&lab).segment_mib(16);
        let store = PgBackRest::builder(&lab).postgres(&postgres).repo_posix(&repository);
        let store = store.option("global", "compress-type", "lz4").archive_async(true);
        let store = store.option("global", "repo1-bundle", "y").write();
        let cluster = postgres.archive_command(&store.archive_command()).start();
        store.stanza_create();
        store.backup("full");
        let segments = cluster.write_wal(count);
        cluster.wait_archived(segments.last().unwrap(), LONG);
        cluster.stop(StopMode::Fast);
        fs::remove_dir_all(cluster.pgdata()).unwrap();
        Self { lab, repository, guard, segments }
    }

    fn restore(&self, name: &str, way: Way, queue: &str) -> (PgBackRest, Cluster) {
        let copy = Cluster::builder(&self.lab).name(name);
        let store = PgBackRest::builder(&self.lab).name(&format!("store-{name}")).postgres(&copy);
        let store = store.repo_posix(&self.repository).archive_async(true);
        let store = store.option("global", "archive-get-queue-max", queue).write();
        let guard = |flags: &str| {
            format!("{} --pgbackrest-config {}{flags} %f \"%p\"", self.guard.display(), store.config_file().display())
        };
        let command = match way {
            Way::Bare => store.restore_command(),
            Way::Guard => guard(""),
            Way::GuardWithoutFastPath => guard(" --no-fast-path"),
        };
        let copy = store.restore(copy.no_archiving(), &[&format!("--recovery-option=restore_command={command}")]);
        (store, copy)
    }

    /// One recovery to the end of the archive, from the server's start to its promotion.
    fn recover(&self, way: Way, round: usize) -> Duration {
        let name = format!("copy-{}-{round}", way as u8);
        let (store, copy) = self.restore(&name, way, "128MiB");
        let started = Instant::now();
        copy.start_recovery();
        let complete = || copy.log().contains("archive recovery complete");
        assert!(within(LONG, || complete() || !copy.is_running()) && complete(), "{}", copy.log());
        let took = started.elapsed();
        let restored = copy.log().matches("restored log file").count();
        assert!(restored >= self.segments.len(), "only {restored} segments were restored");
        copy.stop(StopMode::Immediate);
        remove(copy.pgdata());
        remove(&store.spool_path());
        took
    }
}

fn remove(folder: &Path) {
    // The last prefetch may still be writing.
    assert!(within(LONG, || fs::remove_dir_all(folder).is_ok()), "cannot remove {}", folder.display());
}

fn timed(command: &mut Command) -> Duration {
    let started = Instant::now();
    run(command);
    started.elapsed()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
