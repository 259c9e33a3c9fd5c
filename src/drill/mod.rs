//! `pgbackrest-guard drill`: a restore in a sandbox, looked through, and what it proved.
//!
//! It goes for the newest moment, the oldest that `status` claims, and any that it claims, in turn. `pgbackrest-guard restore`
//! restores it, as a program of its own whose events are read: a server to itself, with a spool and locks beside the copy, so
//! the origin notices nothing. Then the copy is stopped and started, its checksums, indexes and rows are looked through, and
//! the sandbox is removed. A verdict is *passed*, *failed*, or *unverified*, where something could not be looked at.

mod process;
mod restored;
mod sandbox;
mod stages;

use crate::checkpoint;
use crate::decide::drill::{Claimed, choose, outside, verdict};
use crate::drill_record::{Aim, DrillRecord, StageRecord, Verdict};
use crate::exit::Exit;
use crate::settings::{CommonSettings, Environment};
use crate::signals::Signals;
use crate::{epoch, log};
use process::{Call, Ran, SIGNAL};
use restored::{Restored, events, unclear};
use sandbox::{Sandbox, Server};
use stages::{Bench, Found};
use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How gently: the lowest priority.
const NICE: i32 = 19;

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program; the data directory is that of the origin.
    pub common: CommonSettings,
    /// The environment.
    pub environment: Environment,
    /// The moment, in seconds since 1970, if one is named.
    pub at: Option<i64>,
    /// What `status` claims.
    pub claimed: Vec<Claimed>,
    /// The start of the oldest backup, in seconds since 1970.
    pub oldest_backup: Option<i64>,
    /// The sandbox.
    pub folder: PathBuf,
    /// How long the checks behind the restore may take.
    pub budget: Option<Duration>,
    /// Statements that must return true.
    pub sql: Option<PathBuf>,
    /// Whether the sandbox stays.
    pub keep: bool,
    /// The one repository.
    pub repository: Option<u32>,
    /// The folder of PostgreSQL's programs.
    pub programs: Option<PathBuf>,
    /// Whether programs read what is said.
    pub json: bool,
    /// The roles that the copy may know.
    pub roles: Vec<String>,
}

/// Drills, records what it came to, and says it.
#[must_use]
pub fn drill(request: &Request, signals: &Signals) -> Exit {
    let _ = rustix::process::nice(NICE);
    process::idle_io();
    let sandbox = match Sandbox::enter(&request.folder) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            tracing::error!("the drill did not run: {error}");
            return Exit::Refused;
        }
    };
    checkpoint::reached("drill-entered");
    let folder = request.common.state_dir.as_ref().map(|folder| folder.value.clone());
    let before = folder.as_deref().and_then(DrillRecord::read);
    let drill =
        Drill { request, signals, sandbox: &sandbox, stages: Vec::new(), restored: Restored::default(), until: None };
    let record = drill.run(before);
    if let Some(folder) = folder
        && let Err(error) = record.write(&folder)
    {
        tracing::error!("the drill's result can't be recorded in {}: {error}", folder.display());
    }
    checkpoint::reached("drill-recorded");
    if let Err(error) = sandbox.end_left() {
        tracing::warn!("the drill left something running: {error}");
    }
    if request.keep {
        tracing::info!("the sandbox is kept: {}; the next drill removes it", sandbox.path().display());
    } else if let Err(error) = sandbox.remove() {
        tracing::warn!("the sandbox can't be removed: {error}; the next drill tries again");
    }
    say(request, &record);
    match record.verdict {
        Verdict::Passed => Exit::Success,
        Verdict::Failed => Exit::Failed,
        Verdict::Unverified => Exit::Refused,
    }
}

/// A drill under way.
struct Drill<'d> {
    request: &'d Request,
    signals: &'d Signals,
    sandbox: &'d Sandbox,
    stages: Vec<StageRecord>,
    restored: Restored,
    /// When the checks must be done.
    until: Option<Instant>,
}

impl Drill<'_> {
    fn run(mut self, before: Option<DrillRecord>) -> DrillRecord {
        let (began, at) = (Instant::now(), epoch::now());
        let request = self.request;
        let random = RandomState::new().build_hasher().finish();
        let (aim, moment) = match request.at {
            Some(at) => (Aim::Named, Some(at)),
            None => choose(before.as_ref().map(|before| before.aim), &request.claimed, random),
        };
        let target = moment.map_or_else(|| "latest".to_owned(), shown);
        if self.select() && self.restore(at, moment, &target) {
            checkpoint::reached("drill-restored");
            self.until = request.budget.map(|budget| Instant::now() + budget);
            self.checksums();
            self.look_through();
        }
        let all = verdict(self.stages.iter().map(|stage| stage.verdict));
        let passed_at = if all == Verdict::Passed { Some(at) } else { before.and_then(|before| before.passed_at) };
        let control = request
            .common
            .pgdata
            .as_ref()
            .and_then(|pgdata| crate::data_directory::DataDirectory::new(pgdata.value.clone()).control());
        DrillRecord {
            at,
            rpo_seconds: moment.is_none().then(|| self.restored.rpo(at)).flatten(),
            verdict: all,
            aim,
            target,
            backup: self.restored.backup,
            repository: self.restored.repository,
            reached: self.restored.reached,
            heartbeat: self.restored.heartbeat,
            bytes: self.restored.bytes,
            seconds: began.elapsed().as_secs_f64(),
            stages: self.stages,
            versions: versions(request, self.restored.postgresql),
            passed_at,
            system_id: control.map(|control| control.system_id),
        }
    }

    /// Notes a stage; whether the next one makes sense.
    fn note(&mut self, name: &str, began: Instant, (verdict, detail): Found) -> bool {
        let stage = StageRecord { name: name.to_owned(), verdict, seconds: began.elapsed().as_secs_f64(), detail };
        if !self.request.json {
            let line =
                format!("{:<10} {:<10} {:>7.1} s  {}", stage.verdict.as_str(), stage.name, stage.seconds, stage.detail);
            print(&line);
        }
        let goes_on = verdict == Verdict::Passed;
        self.stages.push(stage);
        goes_on
    }

    /// A moment that nobody claims must be refused, before anything is copied.
    fn select(&mut self) -> bool {
        let began = Instant::now();
        let Some(outside) = outside(&self.request.claimed, self.request.oldest_backup) else { return true };
        let (ran, log) = self.call_restore("select", &[format!("--to={}", shown(outside)), "--dry-run".to_owned()]);
        let events = events(&log);
        let refused = events.iter().any(|event| event["event"] == "refused" && event["kind"] == "target");
        let found = match ran {
            Ran::Ended(3) if refused => (Verdict::Passed, format!("{} is refused, as it must be", shown(outside))),
            Ran::Ended(0) => {
                (Verdict::Failed, format!("{} is before every backup, but is not refused", shown(outside)))
            }
            ran => unclear(&ran, &events),
        };
        let goes_on = self.note("select", began, found);
        checkpoint::reached("drill-selected");
        goes_on
    }

    fn call_restore(&self, stage: &str, target: &[String]) -> (Ran, PathBuf) {
        let request = self.request;
        let path = |flag: &str, path: &Path| {
            let mut argument = OsString::from(flag);
            argument.push(path);
            argument
        };
        let common = &request.common;
        let mut arguments: Vec<OsString> = vec!["restore".into(), "--output=json".into()];
        arguments.extend(target.iter().map(OsString::from));
        arguments.push(path("--target=", &self.sandbox.data()));
        arguments.push(path("--pgbackrest=", &common.pgbackrest.value));
        arguments.push(format!("--stanza={}", common.stanza.value).into());
        arguments.extend(common.pgdata.iter().map(|pgdata| path("--pgdata=", &pgdata.value)));
        arguments.extend(common.state_dir.iter().map(|folder| path("--state-dir=", &folder.value)));
        arguments.extend(common.pgbackrest_config.iter().map(|config| path("--pgbackrest-config=", &config.value)));
        arguments.extend(request.programs.iter().map(|programs| path("--postgres-bin=", programs)));
        arguments.extend(request.repository.map(|key| OsString::from(format!("--repo={key}"))));
        let program = std::env::current_exe().unwrap_or_else(|_| "pgbackrest-guard".into());
        let log = self.sandbox.log(stage);
        let call = Call { program, arguments, environment: Vec::new() };
        (process::run(&call, &log, None, self.signals), log)
    }

    /// Space, copy, replay, and whether the target was reached: a restore, with its own proof.
    fn restore(&mut self, at: i64, moment: Option<i64>, target: &str) -> bool {
        let began = Instant::now();
        let argument = moment.map_or_else(|| "latest".to_owned(), |_| format!("--to={target}"));
        let (ran, log) = self.call_restore("restore", &[argument]);
        let events = events(&log);
        self.restored = Restored::of(&events);
        let found = match ran {
            Ran::Ended(0) => {
                let words =
                    self.restored.words.clone().unwrap_or_else(|| "replayed to the end of the archive".to_owned());
                let reached = self.restored.reached.clone().unwrap_or_else(|| "none".to_owned());
                (Verdict::Passed, format!("target {target}, last commit {reached}: {words}"))
            }
            ran => unclear(&ran, &events),
        };
        if !self.note("restore", began, found) {
            return false;
        }
        if moment.is_none() {
            self.note("end", Instant::now(), self.restored.end());
            if let Some(found) = self.restored.loss(at) {
                self.note("loss", Instant::now(), found);
            }
        }
        let found = self.restored.collations();
        self.note("collations", Instant::now(), found);
        true
    }

    fn bench(&self) -> Bench<'_> {
        let programs = self.restored.programs.clone().unwrap_or_default();
        Bench { sandbox: self.sandbox, programs, signals: self.signals, until: self.until }
    }

    /// The copy was stopped by the restore: its pages can be looked at.
    fn checksums(&mut self) {
        let began = Instant::now();
        let found = self.bench().checksums();
        self.note("checksums", began, found);
    }

    /// With a server that runs: indexes, rows, statements.
    fn look_through(&mut self) {
        let began = Instant::now();
        let signals = self.signals;
        if signals.arrived() {
            self.note("start", began, (Verdict::Unverified, SIGNAL.to_owned()));
            return;
        }
        let started = Server::start(self.sandbox, &self.bench().programs, &mut || signals.arrived());
        let mut server = match started {
            Ok(server) => server,
            Err(why) => {
                let verdict = if signals.arrived() { Verdict::Unverified } else { Verdict::Failed };
                self.note("start", began, (verdict, why));
                return;
            }
        };
        let Some(role) = sandbox::role(self.sandbox, &self.request.roles) else {
            let roles = self.request.roles.join(", ");
            self.note("start", began, (Verdict::Unverified, format!("it has none of the roles {roles}: set PGUSER")));
            return;
        };
        self.note("start", began, (Verdict::Passed, "it accepts connections".to_owned()));
        checkpoint::reached("drill-started");
        let bench = self.bench();
        let mut found = Vec::new();
        let mut timed = |name: &'static str, stage: &dyn Fn() -> Found| {
            let began = Instant::now();
            found.push((name, began, stage()));
        };
        if bench.has_amcheck(self.restored.postgresql.as_deref()) {
            timed("amcheck", &|| bench.amcheck(&role));
        }
        timed("read", &|| bench.read(&role));
        if let Some(file) = &self.request.sql {
            timed("sql", &|| bench.sql(&role, file));
        }
        for (name, began, what) in found {
            self.note(name, began, what);
        }
        checkpoint::reached("drill-looked-through");
        let began = Instant::now();
        let stopped = server.stop();
        checkpoint::reached("drill-stopped");
        let found = if stopped {
            (Verdict::Passed, "it stopped cleanly")
        } else {
            (Verdict::Failed, "it did not stop cleanly")
        };
        self.note("stop", began, (found.0, found.1.to_owned()));
    }
}

fn versions(request: &Request, postgresql: Option<String>) -> Vec<String> {
    let client = request.common.client(&request.environment, Path::new("/"));
    let pgbackrest = client.version(crate::pgbackrest::Watch::within(Duration::from_secs(10)));
    let mut versions = vec![format!("pgbackrest-guard {}", env!("CARGO_PKG_VERSION"))];
    versions.extend(pgbackrest.ok().map(|version| format!("pgBackRest {version}")));
    versions.extend(postgresql.map(|version| format!("PostgreSQL {version}")));
    versions
}

/// A moment in words.
fn shown(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// Says what it came to.
fn say(request: &Request, record: &DrillRecord) {
    if request.json {
        match serde_json::to_string(record) {
            Ok(text) => print(&text),
            Err(error) => tracing::error!("{}", log::chain(&error)),
        }
        return;
    }
    let what = match record.verdict {
        Verdict::Passed => "proved restorable",
        Verdict::Failed => "NOT restorable",
        Verdict::Unverified => "not verified",
    };
    let backup = record.backup.as_deref().unwrap_or("no backup");
    print(&format!("{what}: {} from {backup}, in {:.0} s", record.target, record.seconds));
}

/// One line on stdout. A reader that has gone away has read enough.
fn print(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
