//! How long a promotion takes by guard-get and by bare pgBackRest, whatever the repository does.
//!
//! `cargo bench --bench handover`: seconds from the request until a write succeeds, on a standby that streams, with
//! pgBackRest's usual time limits (`io-timeout` 60 s), three rounds of each in turns; and how long a fast stop takes while the
//! standby waits in a call to a repository that hangs. Where bare pgBackRest does not get there, it is given up after
//! [`PATIENCE`]. It fails when the guard takes longer than it may.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and one that can't go on shall panic"
)]

use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, Lab, PgBackRest, S3Server, StopMode, within};
use std::fmt::{Display, Formatter};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
/// How long a promotion is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const KEY: &str = "AKIAHANDOVER";

/// What the repository does when the promotion is asked for, and what the guard may take then.
const STATES: [(&str, Allowed); 4] = [
    ("well", Allowed::MoreThanBare(1)),
    ("revoked", Allowed::MoreThanBare(1)),
    ("refused", Allowed::InAll(5)),
    ("hanging", Allowed::InAll(15)),
];
/// What a fast stop may take.
const STOP: Duration = Duration::from_secs(2);

/// Seconds that a promotion may take.
#[derive(Clone, Copy)]
enum Allowed {
    MoreThanBare(u64),
    InAll(u64),
}

impl Allowed {
    /// Whether a promotion was so quick; one that did not end was not. Where bare pgBackRest does not end, what is allowed
    /// more than it is allowed in all.
    fn holds(self, guard: Option<Duration>, bare: Option<Duration>) -> bool {
        let most = match self {
            Self::MoreThanBare(seconds) => bare.unwrap_or_default() + Duration::from_secs(seconds),
            Self::InAll(seconds) => Duration::from_secs(seconds),
        };
        guard.is_some_and(|took| took <= most)
    }
}

impl Display for Allowed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MoreThanBare(seconds) => write!(formatter, "bare + {seconds}"),
            Self::InAll(seconds) => write!(formatter, "{seconds}"),
        }
    }
}

/// A primary, its standby, and the repository that both use.
struct Pair {
    standby: Cluster,
    primary: Cluster,
    s3: S3Server,
    lab: Lab,
}

impl Pair {
    /// The standby fetches by guard-get, or by bare pgBackRest, and follows.
    fn new(guard: bool) -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, "secret");
        let primary = Cluster::builder(&lab);
        let store = PgBackRest::builder(&lab).postgres(&primary).repo_s3(&s3, "wal", KEY, "secret", "/repo").write();
        let primary = primary.archive_command(&store.archive_command()).start();
        store.stanza_create();
        let last = primary.write_wal(2).pop().unwrap();
        primary.wait_archived(&last, PATIENCE);
        let standby = Cluster::builder(&lab).name("standby");
        let backrest = PgBackRest::builder(&lab).name("store-standby").postgres(&standby);
        let backrest = backrest.repo_s3(&s3, "wal", KEY, "secret", "/repo").option("global", "io-timeout", "60");
        let backrest = backrest.option("global", "archive-timeout", "60").write();
        let get = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        let by_guard = format!("{} --pgbackrest-config={} %f \"%p\"", get.display(), backrest.config_file().display());
        let command = if guard { by_guard } else { backrest.restore_command() };
        let standby = standby.setting("restore_command", &command).no_archiving().standby_of(&primary);
        standby.start().unwrap();
        primary.sql("CREATE TABLE t (n int)");
        standby.wait_until("it follows", PATIENCE, || standby.try_sql("SELECT count(*) FROM t").is_ok());
        Self { standby, primary, s3, lab }
    }

    fn fails(&self, state: &str) {
        match state {
            "revoked" => self.s3.revoke_key(KEY),
            "refused" => drop(self.s3.inject(Fault::new(FaultKind::Refuse))),
            "hanging" => drop(self.s3.inject(Fault::new(FaultKind::Hang))),
            _ => {}
        }
    }

    /// Seconds until a write succeeds; `None` when it does not in time.
    fn promoted(&self) -> Option<Duration> {
        let started = Instant::now();
        self.standby.sql("SELECT pg_promote(wait => false)");
        let writes = || self.standby.try_sql("INSERT INTO t VALUES (1)").is_ok();
        within(PATIENCE, writes).then(|| started.elapsed())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.s3.clear_faults();
        self.primary.stop(StopMode::Immediate);
    }
}

fn main() -> ExitCode {
    let mut holds = true;
    println!("seconds from the request for a promotion until a write succeeds, medians of {ROUNDS}");
    println!("{:<10}{:>12}{:>12}   allowed", "repository", "bare", "guard-get");
    for (state, allowed) in STATES {
        let (mut bare, mut guard) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // Once is enough of what does not end.
            if !bare.contains(&None) {
                bare.push(measured(false, state));
            }
            guard.push(measured(true, state));
        }
        let (bare, guard) = (median(bare), median(guard));
        let kept = allowed.holds(guard, bare);
        holds &= kept;
        let verdict = if kept { "" } else { ", EXCEEDED" };
        println!("{state:<10}{:>12}{:>12}   {allowed}{verdict}", shown(bare), shown(guard));
    }
    let stopped = stop();
    holds &= stopped <= STOP;
    println!(
        "a fast stop while guard-get waits for a repository that hangs: {:.2} s (at most {})",
        stopped.as_secs_f64(),
        STOP.as_secs()
    );
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measured(guard: bool, state: &str) -> Option<Duration> {
    let pair = Pair::new(guard);
    pair.fails(state);
    pair.promoted()
}

fn median(mut times: Vec<Option<Duration>>) -> Option<Duration> {
    times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
    times.get(times.len() / 2).copied().flatten()
}

fn shown(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:.2}", time.as_secs_f64()),
        None => format!("over {}", PATIENCE.as_secs()),
    }
}

/// A standby that begins in an outage waits in its first call.
fn stop() -> Duration {
    let pair = Pair::new(true);
    pair.standby.stop(StopMode::Fast);
    pair.primary.stop(StopMode::Fast);
    pair.fails("hanging");
    pair.standby.start_recovery();
    let waits = || is_waiting(&pair.lab, pair.standby.pgdata());
    assert!(within(PATIENCE, waits), "{}", pair.standby.log());
    pair.standby.stop(StopMode::Fast)
}

fn is_waiting(lab: &Lab, pgdata: &Path) -> bool {
    let pgdata = pgdata.to_string_lossy().into_owned();
    lab.processes().iter().any(|process| process.command.contains("archive-get") && process.command.contains(&pgdata))
}
