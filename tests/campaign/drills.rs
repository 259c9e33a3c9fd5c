//! Drills beside the faults: none may fail where nothing was lost, and none may pass where something was.
//!
//! A drill that has failed is excused where a gap was open or came meanwhile, there was no backup, or something was taken out
//! of a repository. The copy of one that has passed is kept, and started once more in the end: the rows that it holds are held against the commits.

use super::claims;
use super::workload::Seen;
use super::world::World;
use jiff::Timestamp;
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::Cluster;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

/// How long a drill may take once the faults are over.
const DRILL: Duration = Duration::from_mins(4);
/// For so long `status` may not have heard yet that something is no longer in a repository.
const HEARSAY: Duration = Duration::from_secs(8);

/// Those of a campaign.
#[derive(Debug, Default)]
pub(crate) struct Drills {
    running: Option<Running>,
    passed: Vec<Passed>,
    /// How many came to which verdict.
    pub(crate) verdicts: BTreeMap<String, usize>,
    /// What is wrong with them.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    number: u32,
    began: SystemTime,
    /// The newest segment in each repository.
    archived: BTreeMap<u64, String>,
    /// The gaps on record.
    gaps: BTreeSet<u64>,
    /// Whether one of them was open, or there was no backup at all.
    in_debt: bool,
}

impl Running {
    /// Whether something was lost while it ran.
    fn is_excused(&self, world: &World, taken_out: &[SystemTime]) -> bool {
        let since = self.began - HEARSAY;
        let state = world.ledger();
        let new = state.gaps.iter().any(|gap| gap.state == GapState::Open || !self.gaps.contains(&gap.id));
        self.in_debt || new || taken_out.iter().any(|at| *at > since)
    }
}

/// What a drill has proved.
#[derive(Debug)]
struct Passed {
    number: u32,
    /// The moment, in milliseconds since 1970; `None`: the newest.
    at: Option<i64>,
    /// What the archive had when it began.
    archived: Option<String>,
    record: Value,
}

impl Drills {
    /// Starts one, unless one is under way.
    pub(crate) fn start(&mut self, number: u32, world: &World) -> bool {
        if self.running.is_some() {
            return false;
        }
        let file = |what: &str| File::create(path(world, number, what)).expect("a drill's file");
        let archived = world.repositories().map(|key| (u64::from(key), world.backrest.archived(key)));
        let newest = archived.filter_map(|(key, names)| Some((key, names.into_iter().rfind(|name| name.len() == 24)?)));
        let (archived, began) = (newest.collect(), SystemTime::now());
        let state = world.ledger();
        let in_debt =
            state.gaps.open().next().is_some() || world.repositories().all(|key| world.labels(key).is_empty());
        let gaps = state.gaps.iter().map(|gap| gap.id).collect();
        let mut drill = world.guard();
        drill.args(["drill", "--json", "--keep", "--pgdata"]).arg(world.cluster.pgdata());
        drill.env("WAL_DRILL_DIR", path(world, number, "")).env("WAL_GET_RETRY_SECONDS", "3");
        let child = drill.stdout(file(".json")).stderr(file(".log")).spawn().expect("a drill");
        self.running = Some(Running { child, number, began, archived, gaps, in_debt });
        true
    }

    /// Whether the one under way has ended, and what it came to.
    pub(crate) fn look(&mut self, world: &World, taken_out: &[SystemTime]) {
        let Some(running) = &mut self.running else { return };
        let Ok(Some(status)) = running.child.try_wait() else { return };
        if let Some(running) = self.running.take() {
            self.judge(&running, status, world, taken_out);
        }
    }

    /// Waits for the one under way.
    pub(crate) fn finish(&mut self, world: &World, taken_out: &[SystemTime]) {
        let until = Instant::now() + DRILL;
        while self.running.is_some() {
            self.look(world, taken_out);
            if Instant::now() > until
                && let Some(mut running) = self.running.take()
            {
                let _ = running.child.kill();
                let _ = running.child.wait();
                self.violations.push(format!("a drill does not end: {}", running.number));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn judge(&mut self, running: &Running, status: ExitStatus, world: &World, taken_out: &[SystemTime]) {
        let text = |what: &str| fs::read_to_string(path(world, running.number, what)).unwrap_or_default();
        let record: Value = serde_json::from_str(&text(".json")).unwrap_or_default();
        let verdict = record["verdict"].as_str().unwrap_or("none made").to_owned();
        let expected = match verdict.as_str() {
            "passed" => 0,
            "failed" => 1,
            _ => 3,
        };
        if status.code() != Some(expected) {
            let said = text(".log");
            self.violations.push(format!("a drill ends with {status} and {verdict}: {said}"));
        }
        if verdict == "failed" && !running.is_excused(world, taken_out) {
            self.violations.push(format!("a drill failed and nothing was lost: {record}"));
        }
        if verdict == "passed" {
            let at = record["target"].as_str().and_then(|at| at.parse().ok()).map(Timestamp::as_millisecond);
            let archived = record["repository"].as_u64().and_then(|key| running.archived.get(&key)).cloned();
            self.passed.push(Passed { number: running.number, at, archived, record });
        } else {
            let _ = fs::remove_dir_all(path(world, running.number, ""));
        }
        *self.verdicts.entry(verdict).or_default() += 1;
    }

    /// Once everything is well a drill passes.
    pub(crate) fn in_calm(&mut self, world: &World) {
        let before = self.verdicts.get("passed").copied();
        self.start(u32::MAX, world);
        self.finish(world, &[]);
        if self.verdicts.get("passed").copied() <= before {
            let record = fs::read_to_string(path(world, u32::MAX, ".json")).unwrap_or_default();
            self.violations.push(format!("a drill does not pass though everything is well: {record}"));
        }
    }

    /// Starts the copies of those that have passed.
    pub(crate) fn hold(&mut self, world: &World, seen: &Seen) {
        for passed in std::mem::take(&mut self.passed) {
            if let Some(why) = shown(&passed, world, seen) {
                let record = &passed.record;
                self.violations.push(format!("a drill passed and should not have: {why}: {record}"));
            }
        }
    }
}

/// What is wrong with the copy of a drill that has passed.
fn shown(passed: &Passed, world: &World, seen: &Seen) -> Option<String> {
    let copy = format!("proved-{}", passed.number);
    if let Err(error) = fs::rename(path(world, passed.number, "").join("data"), world.lab.path().join(&copy)) {
        return Some(format!("there is no copy: {error}"));
    }
    let cluster = Cluster::builder(&world.lab).name(&copy).no_archiving().adopt();
    let restored = cluster.start().and_then(|()| claims::rows_of(&cluster));
    drop(cluster);
    let _ = fs::remove_dir_all(world.lab.path().join(&copy));
    match restored {
        Err(why) => Some(why),
        Ok(restored) if passed.at.is_some() => claims::contradiction(&restored, &seen.rows, passed.at),
        Ok(restored) => {
            // What was answered before the newest segment was finished is in that one or before it.
            let finished = passed.archived.as_ref().and_then(|name| seen.finished.get(name));
            finished.and_then(|finished| claims::lacks(&restored, &seen.rows, *finished))
        }
    }
}

fn path(world: &World, number: u32, what: &str) -> PathBuf {
    world.lab.path().join(format!("drill-{number}{what}"))
}
