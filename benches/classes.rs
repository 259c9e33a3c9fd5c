//! `make bench`: how long `pgbackrest-guard-push` takes from pgBackRest's end to its own, for every failure that a real
//! pgBackRest has printed.
//!
//! pgBackRest is played by a shell script that prints a sample of `tests/lab/samples` and notes the time as its last act; so
//! what is measured is reading, classifying, recording and ending, and the script's own end. Segments are a live cluster's,
//! each is pushed once for each sample.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made must end the run")]
#![expect(clippy::disallowed_methods, reason = "a variable of its own, which is no setting")]

use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

const BESIDE: &str = env!("CARGO_BIN_EXE_pgbackrest-guard-push");
const ROUNDS: usize = 20;
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/samples");
/// Milliseconds.
const AIM: f64 = 3.0;

fn main() {
    let lab = Lab::new();
    let builder = Cluster::builder(&lab).archive_command("");
    let repository = lab.path().join("repository");
    let config = PgBackRest::builder(&lab).postgres(&builder).repo_posix(&repository).archive_async(false).write();
    let cluster = builder.start();
    let folder = std::env::var_os("PGBACKREST_GUARD_RELEASE")
        .map_or_else(|| Path::new(BESIDE).parent().unwrap().to_owned(), PathBuf::from);
    let guard = lab.copy_program(folder.join("pgbackrest-guard-push"));
    cluster.write_wal(ROUNDS);
    let segments: Vec<String> = cluster.ready().into_iter().take(ROUNDS).collect();
    let stand_in = lab.path().join("bin/pgbackrest-that-fails");
    let ended = lab.path().join("ended");
    println!("{:<52} {:>9} {:>9}", "from pgBackRest's end to push's, ms", "median", "exit");
    let mut slowest = 0.0_f64;
    for sample in samples() {
        lab.write_file(&stand_in, script(&sample, &ended));
        fs::set_permissions(&stand_in, PermissionsExt::from_mode(0o755)).unwrap();
        let mut times = Vec::new();
        let mut exit = None;
        for segment in &segments {
            let mut push = lab.command(&guard);
            push.arg(format!("--pgbackrest-config={}", config.config_file().display()));
            push.arg(format!("--pgbackrest={}", stand_in.display())).arg(format!("pg_wal/{segment}"));
            push.current_dir(cluster.pgdata()).stdout(Stdio::null()).stderr(Stdio::null());
            exit = push.status().unwrap().code();
            times.push(since(&ended));
        }
        let middle = median(times);
        slowest = slowest.max(middle);
        println!("{:<52} {middle:>9.2} {:>9}", sample.name, exit.unwrap_or(-1));
    }
    let mark = if slowest <= AIM { "" } else { "  MISSED" };
    println!("{:<52} {slowest:>9.2}   the slowest (at most {AIM}){mark}", "every failure is decided");
}

/// What a pgBackRest printed, and how it ended.
struct Sample {
    name: String,
    exit: String,
    printed: PathBuf,
}

/// Every failed `archive-push`.
fn samples() -> Vec<Sample> {
    let mut names: Vec<String> =
        fs::read_dir(SAMPLES).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let failures = names.iter().filter_map(|file| {
        let name = file.strip_prefix("archive-push.")?.strip_suffix(".txt")?;
        let printed = Path::new(SAMPLES).join(file);
        let text = fs::read_to_string(&printed).unwrap();
        let exit = text.lines().next()?.strip_prefix("exit: ")?.to_owned();
        (exit != "0").then(|| Sample { name: name.to_owned(), exit, printed })
    });
    failures.collect()
}

/// It fails as the sample says whatever is asked, and says last when it did.
fn script(sample: &Sample, ended: &Path) -> String {
    format!(
        "#!/bin/bash\ntail -n +2 {} >&2\nprintf %s \"$EPOCHREALTIME\" >{}\nexit {}\n",
        sample.printed.display(),
        ended.display(),
        sample.exit
    )
}

/// Milliseconds since the time, in seconds since 1970, that stands in a file.
fn since(file: &Path) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seconds: f64 = fs::read_to_string(file).unwrap().parse().unwrap();
    (now.saturating_sub(Duration::from_secs_f64(seconds))).as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap()
}
