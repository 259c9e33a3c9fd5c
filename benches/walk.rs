//! `cargo bench --bench walk`: the watcher's walk through a listing of a million segments, beside the same listings by bare
//! `pgbackrest repo-ls`.
//!
//! A real cluster with a full backup in a folder as the repository; its WAL is then set forward by `pg_resetwal`, and the
//! million names in between are empty files under the names that pgBackRest gives. Printed are how long the walk takes, how
//! long bare `repo-ls` takes for the same folders, the watcher's own CPU time and peak memory, and how many folders the next
//! walk lists.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made must end the run")]
#![expect(clippy::disallowed_methods, reason = "a variable of its own, which is no setting")]

use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, Signal, StopMode, eventually, postgres_programs};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const BESIDE: &str = env!("CARGO_BIN_EXE_pgbackrest-guard");
/// Segments of 16 MiB in a folder of the archive.
const FOLDER: u64 = 256;
/// Whole folders between the backup and what is archived at the end: a million segments.
const FOLDERS: u64 = 3_907;
const HASH: &str = "7798b7d2af0a677f3636f4a578c6800df3ddd284";
/// The most seconds that the walk may take beyond `repo-ls`, and the most memory, in KiB.
const MOST_SECONDS: f64 = 10.0;
const MOST_KIB: u64 = 60 << 10;

fn main() {
    let lab = Lab::new();
    let builder = Cluster::builder(&lab).segment_mib(16);
    let repository = lab.folder("repo");
    let config = PgBackRest::builder(&lab).postgres(&builder).repo_posix(&repository).write();
    let cluster = builder.archive_command(&config.archive_command()).start();
    config.stanza_create();
    config.backup("full");
    cluster.wait_archived(&cluster.switch_wal(), Duration::from_secs(30));
    jump(&lab, &cluster);
    let stanza = repository.join("archive").join(config.stanza());
    let id = fs::read_dir(&stanza).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    let id = id.file_name().into_string().unwrap();
    fill(&lab, &stanza.join(&id), &config);

    let calls = lab.path().join("calls");
    let script = format!("#!/bin/sh\necho \"$*\" >>'{}'\nexec pgbackrest \"$@\"\n", calls.display());
    let wrapper = lab.copy_program(lab.write_file("counting-pgbackrest", script));
    let guard = lab.copy_program(
        std::env::var_os("PGBACKREST_GUARD_RELEASE")
            .map_or_else(|| PathBuf::from(BESIDE), |folder| PathBuf::from(folder).join("pgbackrest-guard")),
    );
    let mut command = lab.command(&guard);
    command.args(["watch", "--pgdata"]).arg(cluster.pgdata()).env("PGBACKREST_CONFIG", config.config_file());
    command.env("PGUSER", "postgres").env("WAL_GUARD_PGBACKREST", &wrapper).env("WAL_BACKUP_TAKEN_BY", "others");
    for (name, value) in [("POLL_INTERVAL", "1"), ("INITIAL_POLL", "1"), ("CATALOG_VERIFY_INTERVAL", "10")] {
        command.env(format!("WAL_BACKUP_{name}_SECONDS"), value);
    }
    let log = File::create(lab.path().join("watch.log")).unwrap();
    let started = Instant::now();
    let mut watcher = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let last = format!("/{:08X}{:08X}", 1, FOLDERS + 1);
    eventually("the last folder is listed", Duration::from_mins(15), || {
        listed(&calls).iter().any(|line| line.contains(&last))
    });
    let walk = started.elapsed().as_secs_f64();
    let (cpu, peak) = (cpu_seconds(&watcher), peak_kib(&watcher));
    let first = listed(&calls);
    cluster.wait_archived(&cluster.switch_wal(), Duration::from_secs(30));
    std::thread::sleep(Duration::from_secs(30));
    let next = listed(&calls).len() - first.len();
    end(&mut watcher);

    let bare = bare(&config, &id);
    println!("{:<52} {:>8}", "folders of 256 names listed by the walk", first.len());
    println!("{:<52} {walk:>8.1} s", "the walk");
    println!("{:<52} {bare:>8.1} s", "bare repo-ls of the same folders");
    verdict("the watcher's own CPU time", &format!("{cpu:>8.1} s"), cpu < MOST_SECONDS);
    verdict("peak memory", &format!("{peak:>8} KiB"), peak < MOST_KIB);
    verdict("folders listed in the 30 s after", &format!("{next:>8}"), next < 20);
}

fn verdict(what: &str, result: &str, well: bool) {
    println!("{what:<52} {result}{}", if well { "" } else { "   MISSED" });
}

/// Sets the cluster's WAL forward.
fn jump(lab: &Lab, cluster: &Cluster) {
    cluster.stop(StopMode::Fast);
    let to = format!("{:08X}{:08X}{:08X}", 1, FOLDERS + 1, 1);
    let done =
        lab.command(postgres_programs().join("pg_resetwal")).args(["-l", &to, "-D"]).arg(cluster.pgdata()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    cluster.start().unwrap();
    cluster.wait_archived(&cluster.switch_wal(), Duration::from_secs(30));
}

/// The names between what the backup left and what is archived now.
fn fill(lab: &Lab, archive: &Path, config: &PgBackRest) {
    let there = config.archived(1);
    for folder in 0..=FOLDERS + 1 {
        let name = format!("{:08X}{folder:08X}", 1);
        let path = archive.join(&name);
        fs::create_dir_all(&path).unwrap();
        lab.give(&path);
        for number in 0..FOLDER {
            let segment = format!("{name}{number:08X}");
            let before = segment < *there.first().unwrap();
            let behind = segment > *there.last().unwrap();
            if !before && !behind && !there.contains(&segment) {
                File::create(path.join(format!("{segment}-{HASH}.gz"))).unwrap();
            }
        }
    }
}

/// The calls of `repo-ls` so far.
fn listed(calls: &Path) -> Vec<String> {
    let text = fs::read_to_string(calls).unwrap_or_default();
    text.lines().filter(|line| line.contains("repo-ls")).map(str::to_owned).collect()
}

/// How long bare pgBackRest takes to list each folder once, in seconds.
fn bare(config: &PgBackRest, id: &str) -> f64 {
    let started = Instant::now();
    for folder in 0..=FOLDERS + 1 {
        let path = format!("archive/{}/{id}/{:08X}{folder:08X}", config.stanza(), 1);
        let output = config.command(&["--repo=1", "repo-ls", &path]).output().unwrap();
        assert!(output.status.success());
    }
    started.elapsed().as_secs_f64()
}

fn proc(child: &Child, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap()
}

/// What the process itself has used, without its children.
fn cpu_seconds(child: &Child) -> f64 {
    let stat = proc(child, "stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields.get(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_kib(child: &Child) -> u64 {
    let status = proc(child, "status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn end(child: &mut Child) {
    Lab::signal(i32::try_from(child.id()).unwrap(), Signal::TERM);
    child.wait().unwrap();
}
