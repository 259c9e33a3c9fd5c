//! `make bench`: `pgbackrest-guard status` with a thousand gap ranges, and beside `pgbackrest info` on a bucket.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made must end the run")]
#![expect(clippy::disallowed_methods, reason = "a variable of its own, which is no setting")]

use pgbackrest_guard::data_directory::DataDirectory;
use pgbackrest_guard::decide::walk::Walked;
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::gaps::{Cause, Loss};
use pgbackrest_guard::ledger::state::{Identity, Place};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::pgbackrest::info::Stanza;
use pgbackrest_guard::seen_catalog::Record;
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline, WalFile};
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server, StopMode};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const BESIDE: &str = env!("CARGO_BIN_EXE_pgbackrest-guard");
const ROUNDS: usize = 200;
const REPOSITORY_ROUNDS: usize = 60;
/// Ranges of lost segments: the most open ones that the ledger keeps apart, and closed ones.
const OPEN: u64 = 400;
const CLOSED: u64 = 600;

fn main() {
    let lab = Lab::new();
    let builder = Cluster::builder(&lab);
    let s3 = S3Server::start(&lab);
    s3.create_bucket("wal");
    s3.add_key("AKIALAB", "secret");
    let config = PgBackRest::builder(&lab).postgres(&builder).repo_s3(&s3, "wal", "AKIALAB", "secret", "/repo").write();
    let cluster = builder.archive_command(&config.archive_command()).start();
    config.stanza_create();
    config.backup("full");
    fill(&cluster, &config);
    let guard = lab.copy_program(
        std::env::var_os("PGBACKREST_GUARD_RELEASE")
            .map_or_else(|| PathBuf::from(BESIDE), |folder| PathBuf::from(folder).join("pgbackrest-guard")),
    );
    let status = |more: &str| {
        let mut command = lab.command(&guard);
        command.args(["status", more, "--pgdata"]).arg(cluster.pgdata()).stdout(Stdio::null());
        command.env("PGBACKREST_CONFIG", config.config_file()).env("PGUSER", "postgres");
        command
    };
    println!("{OPEN} open gaps, {CLOSED} closed ones");
    let up = median(ROUNDS, || status("--output=json"));
    println!("{:<52} {:>7.1} ms", "the server asked too", up * 1e3);
    let info = || {
        let mut command = config.command(&["info", "--output=json"]);
        command.stdout(Stdio::null());
        command
    };
    let (bare, asked) = in_turn(info, || status("--repo"));
    let ratio = asked / bare;
    println!("{:<52} {:>7.1} ms, bare info {:.1} ms", "--repo", asked * 1e3, bare * 1e3);
    verdict("--repo beside pgbackrest info", &format!("{ratio:.2} times as long"), ratio <= 1.2);
    cluster.stop(StopMode::Fast);
    let text = fs::read_to_string(config.config_file()).unwrap();
    let more = "[global]\nrepo2-path=/second\nrepo3-path=/third\n";
    fs::write(config.config_file(), format!("{text}\n{more}")).unwrap();
    for form in ["--output=json", "--output=text"] {
        let time = median(ROUNDS, || status(form));
        verdict(&format!("files only, three repositories, {form}"), &format!("{:.1} ms", time * 1e3), time < 0.020);
    }
    let peak = peak_kib(&mut status("--output=json"));
    verdict("peak memory", &format!("{peak} KiB"), peak < 10 * 1024);
}

fn verdict(what: &str, result: &str, well: bool) {
    println!("{what:<52} {result}{}", if well { "" } else { "   MISSED" });
}

/// A ledger full of gaps, and what `watch` notes of the catalog.
fn fill(cluster: &Cluster, config: &PgBackRest) {
    let control = DataDirectory::new(cluster.pgdata().to_owned()).control().unwrap();
    let identity = Identity { system_id: Some(control.system_id) };
    let place = Place { control_inode: Some(control.inode), repositories: None };
    let folder = cluster.pgdata().join(".pgbackrest_guard");
    let (ledger, _, _) = Ledger::open(&folder, identity, place.clone(), 1).unwrap();
    let size = control.segment_size.unwrap();
    let state = ledger.update(|state| {
        state.segment_size = Some(size);
        for at in 0..OPEN + CLOSED {
            let segment = segment(1_000 + at * 2, size);
            let (class, cause, s3_code) = (Class::Gone, Cause::InstantDrop, Some("NoSuchBucket".to_owned()));
            // Lost in all, or owed to one or two of three.
            let lacking = match at % 4 {
                0 => None,
                1 => Some(vec![2]),
                2 => Some(vec![3]),
                _ => Some(vec![2, 3]),
            };
            let loss = Loss { segment, partial: false, class, cause, s3_code, at: 1 };
            state.gaps.record_in(lacking, &loss, size);
            if at >= OPEN {
                state.gaps.heal(&WalFile::Segment(segment), 2, size);
            }
        }
    });
    let state = state.unwrap();
    assert_eq!(state.gaps.iter().count() as u64, OPEN + CLOSED);
    let stanza = Stanza::parse(config.info().stdout.as_bytes(), config.stanza()).unwrap();
    let mut record = Record { identity: state.identity, place: Some(place), ..Record::default() };
    let (first, last) = (segment(0, size), segment(1_000 + 2 * (OPEN + CLOSED), size));
    for repository in 1..=3 {
        record
            .walked
            .insert(repository, Walked { from: first, up_to: Some(last), missing: Vec::new(), unfinished: false });
    }
    record.note(&stanza.catalog(control.system_id, &[1]), Some(&stanza), control.system_id, 1);
    record.write(&folder).unwrap();
}

fn segment(number: u64, size: SegmentSize) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, size).unwrap()
}

fn seconds(mut command: Command) -> f64 {
    let started = Instant::now();
    assert!(command.status().unwrap().success(), "{command:?}");
    started.elapsed().as_secs_f64()
}

fn median(rounds: usize, command: impl Fn() -> Command) -> f64 {
    middle((0..rounds).map(|_| seconds(command())).collect())
}

/// The medians of two commands that take turns.
fn in_turn(one: impl Fn() -> Command, other: impl Fn() -> Command) -> (f64, f64) {
    let pairs = (0..REPOSITORY_ROUNDS).map(|_| (seconds(one()), seconds(other())));
    let (ones, others): (Vec<f64>, Vec<f64>) = pairs.unzip();
    (middle(ones), middle(others))
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap()
}

/// `VmHWM` of a process, in KiB, read without a pause until it has ended; the most of many runs.
fn peak_kib(command: &mut Command) -> u64 {
    let own = PathBuf::from(command.get_program());
    let mut peak = 0;
    for _ in 0..50 {
        let mut child = command.spawn().unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        while child.try_wait().unwrap().is_none() {
            // Between fork and exec the child is still a copy of this program.
            if fs::read_link(process.join("exe")).is_ok_and(|image| image == Path::new(&own)) {
                let text = fs::read_to_string(process.join("status")).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let number: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
                peak = peak.max(number.unwrap_or(0));
            }
        }
    }
    assert!(peak > 0, "{command:?} was too quick to be measured");
    peak
}
