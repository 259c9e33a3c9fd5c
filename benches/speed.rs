//! `make bench`: pgbackrest-guard-push beside bare pgBackRest, a plain shell wrapper, and `/bin/true`, which does nothing.
//!
//! The four take turns within one run, so that a noisy machine is noisy for all; what counts is medians and ratios.
//! Everything runs as in service: real clusters of 1 MiB segments, the real pgBackRest, a posix repository.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made must end the run")]
#![expect(clippy::disallowed_methods, reason = "a variable of its own, which is no setting")]

use launcher::Launcher;
use pgbackrest_guard::space;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, within};
use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What cargo built beside this one is measured, unless `PGBACKREST_GUARD_RELEASE` names another folder.
const BESIDE: &str = env!("CARGO_BIN_EXE_pgbackrest-guard-push");
const FAST_ROUNDS: usize = 200;
const SYNC_ROUNDS: usize = 120;
const DRAINS: usize = 3;
const DRAINED: usize = 300;

mod launcher;

fn main() {
    if launcher::served() {
        return;
    }
    let bench = Bench::new();
    println!("{}\n", versions(&bench.lab));
    println!("{:<52} {:>9} {:>9} {:>9} {:>9}   result", "median", "true", "bare", "sh", "guard");
    bench.fast_path();
    bench.sync_push(false);
    bench.sync_push(true);
    bench.drain();
    bench.memory();
    backlog(&bench.lab);
    sizes();
}

/// Who pushes, in the order of the columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pusher {
    /// `/bin/true`: what the start of a process takes, and the archiver itself.
    Nothing,
    Bare,
    Shell,
    Guard,
}

const ALL: [Pusher; 4] = [Pusher::Nothing, Pusher::Bare, Pusher::Shell, Pusher::Guard];

/// All four with their times, each first in one round of four, since what comes later may find more to do.
fn in_turn(round: usize, times: &mut [Vec<f64>; 4]) -> Vec<(Pusher, &mut Vec<f64>)> {
    let mut turns: Vec<_> = ALL.into_iter().zip(times).collect();
    turns.rotate_left(round % 4);
    turns
}

struct Bench {
    lab: Lab,
    cluster: Cluster,
    asynchronous: PgBackRest,
    synchronous: PgBackRest,
    repository: PathBuf,
    guard: PathBuf,
    launcher: RefCell<Launcher>,
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::new();
        let repository = lab.path().join("repository");
        let guard = lab.copy_program(program("pgbackrest-guard-push"));
        let postgres = Cluster::builder(&lab).archive_command("");
        let builder = |name: &str| PgBackRest::builder(&lab).name(name).postgres(&postgres).repo_posix(&repository);
        let asynchronous = builder("asynchronous").archive_async(true).write();
        let synchronous = builder("synchronous").archive_async(false).write();
        let cluster = postgres.start();
        synchronous.stanza_create();
        let launcher = RefCell::new(Launcher::new(&lab, cluster.pgdata()));
        Self { lab, cluster, asynchronous, synchronous, repository, guard, launcher }
    }

    /// The command that pushes `%p`, by one of the four.
    fn archive_command(&self, pusher: Pusher, backrest: &PgBackRest) -> String {
        let bare = backrest.archive_command();
        match pusher {
            Pusher::Nothing => "/bin/true %p".to_owned(),
            Pusher::Bare => bare,
            Pusher::Shell => {
                let script = format!("#!/bin/sh\n{}\nexit $?\n", bare.replace("%p", "\"$1\""));
                let path = self.lab.write_file("bin/pgbackrest-wrapper", script);
                let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                fs::set_permissions(&path, executable).unwrap();
                format!("{} %p", path.display())
            }
            Pusher::Guard => {
                format!("{} --pgbackrest-config={} %p", self.guard.display(), backrest.config_file().display())
            }
        }
    }

    /// The same of one file.
    fn words(&self, pusher: Pusher, backrest: &PgBackRest, file: &str) -> String {
        self.archive_command(pusher, backrest).replace("%p", file)
    }

    /// The same, ready to be started without a shell in between.
    fn command(&self, pusher: Pusher, backrest: &PgBackRest, file: &str) -> Command {
        let words = self.words(pusher, backrest, file);
        let mut words = words.split(' ');
        let mut command = self.lab.command(words.next().unwrap());
        command.args(words).current_dir(self.cluster.pgdata()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Milliseconds of each pusher in each round; `prepare` comes before each push.
    fn rounds(&self, rounds: usize, backrest: &PgBackRest, file: &str, prepare: impl Fn()) -> [Vec<f64>; 4] {
        let mut times = [const { Vec::new() }; 4];
        for round in 0..rounds + 5 {
            for (pusher, times) in in_turn(round, &mut times) {
                prepare();
                let took = self.launcher.borrow_mut().time(&self.words(pusher, backrest, file));
                // The first rounds fill caches and make the ledger.
                if round >= 5 {
                    times.push(took.as_secs_f64() * 1000.0);
                }
            }
        }
        times
    }

    /// What an async push mostly is: its segment is already done.
    fn fast_path(&self) {
        let segment = self.cluster.switch_wal();
        let out = self.lab.folder("asynchronous/spool/archive/main/out");
        self.lab.write_file(out.join(format!("{segment}.ok")), "");
        let times = self.rounds(FAST_ROUNDS, &self.asynchronous, &format!("pg_wal/{segment}"), || {});
        let medians @ [nothing, bare, _, guard] = times.map(median);
        let (of_bare, of_nothing) = (guard / bare, guard / nothing);
        let result = format!("{of_bare:.3} of bare (at most 0.15), or {of_nothing:.2} of true (at most 1.1)");
        row("the spool holds the segment's .ok, ms", medians, &result, of_bare <= 0.15 || of_nothing <= 1.1);
        fs::remove_file(out.join(format!("{segment}.ok"))).unwrap();
    }

    /// A push that pgBackRest must do; of a segment that the repository has or has not yet.
    fn sync_push(&self, fresh: bool) {
        let segment = self.cluster.switch_wal();
        let prepare = || {
            if fresh {
                remove_archived(&self.repository, &segment);
            }
        };
        let times = self.rounds(SYNC_ROUNDS, &self.synchronous, &format!("pg_wal/{segment}"), prepare);
        let [_, bare, shell, guard] = &times;
        let added = |by: &[f64], to: &[f64]| median(by.iter().zip(to).map(|(by, to)| by - to).collect());
        let (to_shell, to_bare) = (added(guard, shell), added(guard, bare));
        let what = if fresh { "sync push of 1 MiB, new, ms" } else { "sync push of 1 MiB, already archived, ms" };
        let result = format!("guard adds {to_shell:.2} ms to sh (at most 1.0), {to_bare:.2} ms to bare");
        row(what, times.map(median), &result, to_shell <= 1.0);
    }

    /// Segments that wait, through the live archiver, to the last one's `.done`.
    fn drain(&self) {
        let mut times = [const { Vec::new() }; 4];
        for round in 0..DRAINS {
            for (pusher, times) in in_turn(round, &mut times) {
                self.cluster.reload_with("archive_command", "");
                // pgBackRest lists the repository's folder for each segment: all begin with an empty one.
                remove_archived(&self.repository, "");
                self.cluster.write_wal(DRAINED);
                let command = self.archive_command(pusher, &self.asynchronous);
                let start = Instant::now();
                self.cluster.reload_with("archive_command", &command);
                let drained = within(Duration::from_mins(2), || self.cluster.ready().is_empty());
                times.push(start.elapsed().as_secs_f64());
                assert!(drained, "{} files still wait", self.cluster.ready().len());
            }
        }
        let medians @ [nothing, bare, _, guard] = times.map(median);
        let (of_bare, of_nothing) = (guard / bare, guard / nothing);
        let result = format!("{of_bare:.2} of bare (at most 0.5), {of_nothing:.2} of true (at most 1.4)");
        row("300 ready segments of 1 MiB drained, async, s", medians, &result, of_bare <= 0.5 && of_nothing <= 1.4);
    }

    /// The most memory of a push that works, and of one that fails with much to read.
    fn memory(&self) {
        let segment = self.cluster.switch_wal();
        let file = format!("pg_wal/{segment}");
        let works = peak_kib(&mut self.command(Pusher::Guard, &self.synchronous, &file));
        let noise = "#!/bin/sh\nsleep 0.2; yes 'WARN: repo1: [ProtocolError] <Error><Code>AccessDenied</Code></Error>' \
                     | head -c 1000000 >&2; echo 'ERROR: [104]: archive-push command encountered error(s)' >&2; exit 104\n";
        let stand_in = self.lab.write_file("bin/pgbackrest-that-talks", noise);
        fs::set_permissions(&stand_in, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut failing = self.command(Pusher::Guard, &self.synchronous, &file);
        failing.arg(format!("--pgbackrest={}", stand_in.display()));
        let fails = peak_kib(&mut failing);
        let mib = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
        let result = format!("a push that works {}, one that fails with 1 MB of text {}", mib(works), mib(fails));
        verdict("peak memory", &result, works < 10 * 1024 && fails < 10 * 1024);
    }
}

/// Takes the segments whose names begin like this out of a posix repository.
fn remove_archived(repository: &Path, beginning: &str) {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for database in inside(&repository.join("archive/main")).filter(|path| path.is_dir()) {
        for file in inside(&database).flat_map(|folder| inside(&folder)) {
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning)) {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

/// `VmHWM` of a process, in KiB, read without a pause until it has ended.
fn peak_kib(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let own = command.get_program().to_string_lossy().into_owned();
    let image = PathBuf::from(format!("/proc/{}/exe", child.id()));
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // Between fork and exec the child is still a copy of this program.
        if fs::read_link(&image).is_ok_and(|image| image == Path::new(&own)) {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(number.unwrap_or(0));
        }
    }
    assert!(peak > 0, "{command:?} was too quick to be measured");
    peak
}

/// Measuring what waits, when it is a hundred thousand files.
fn backlog(lab: &Lab) {
    let pg_wal = lab.folder("many");
    let status = lab.folder("many/archive_status");
    for number in 0..100_000 {
        let name = format!("{number:024X}");
        File::create(pg_wal.join(&name)).and_then(|file| file.set_len(16 << 20)).unwrap();
        File::create(status.join(format!("{name}.ready"))).unwrap();
    }
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        let backlog = space::backlog(&pg_wal).unwrap();
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(backlog.files, Some(100_000));
    }
    let median = median(times);
    verdict("backlog of 100,000 .ready files", &format!("{median:.0} ms (at most 100)"), median <= 100.0);
}

/// A release program.
fn program(name: &str) -> PathBuf {
    let beside = Path::new(BESIDE).parent().unwrap();
    std::env::var_os("PGBACKREST_GUARD_RELEASE").map_or(beside.to_owned(), PathBuf::from).join(name)
}

fn sizes() {
    let size = |path: &Path| fs::metadata(path).map(|file| file.len() / 1024);
    let programs = ["pgbackrest-guard-push", "pgbackrest-guard"];
    let sizes = programs.iter().filter_map(|name| Some(format!("{name} {} KiB", size(&program(name)).ok()?)));
    println!("{:<52} {}", "release binaries", sizes.collect::<Vec<_>>().join(", "));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}

fn row(what: &str, [nothing, bare, shell, guard]: [f64; 4], result: &str, met: bool) {
    let mark = if met { "" } else { "  MISSED" };
    println!("{what:<52} {nothing:>9.2} {bare:>9.2} {shell:>9.2} {guard:>9.2}   {result}{mark}");
}

fn verdict(what: &str, result: &str, met: bool) {
    println!("{what:<52} {result}{}", if met { "" } else { "  MISSED" });
}

/// What was measured, on what.
fn versions(lab: &Lab) -> String {
    let first_line = |name: &str, argument: &str| {
        let output = lab.command(name).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("not found").to_owned()
    };
    let guard = first_line(lab.copy_program(program("pgbackrest-guard-push")).to_str().unwrap(), "--version");
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let postgres = first_line("postgres", "--version");
    let (kernel, backrest) = (first_line("uname", "-sr"), first_line("pgbackrest", "version"));
    format!("{guard}; {backrest}; {postgres}; {kernel}; {cpus} CPUs")
}
