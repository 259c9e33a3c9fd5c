//! What must hold, whatever went wrong: while it does, and once it has stopped.

use super::faults::{Emptied, Faults};
use super::nodes::is_on_the_line;
use super::schedule::{Fault, Schedule};
use super::workload::Seen;
use super::world::{BUCKET, SECRET, World, names_in};
use pgbackrest_guard::ledger::gaps::{Gap, GapState};
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard::wal::{SegmentName, SegmentSize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant, SystemTime};

/// A commit may take so long, whatever happens to the archive.
const PAUSE: Duration = Duration::from_secs(10);
/// A fast stop may take so long. What is aimed at is 9 s; a busy machine gets more, and an upload that crawls (`Trickles`), of
/// which one segment takes ten seconds.
const STOP: Duration = Duration::from_secs(20);
/// Once nothing goes wrong any more, everything is well again within this time.
pub(crate) const WELL_WITHIN: Duration = Duration::from_mins(3);
/// The watcher's memory, in KiB.
const MEMORY: u64 = 100 << 10;
/// The watcher's descriptors.
const DESCRIPTORS: usize = 100;

/// What was seen of the watcher.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Watched {
    /// The most memory, in KiB.
    pub(crate) memory: u64,
    /// The most descriptors.
    pub(crate) descriptors: usize,
}

impl Watched {
    /// Looks at the watchers now. A watcher that has ended by itself is a violation.
    pub(crate) fn look(&mut self, world: &mut World, violations: &mut BTreeSet<String>) {
        for watcher in &mut world.watchers {
            if let Ok(Some(status)) = watcher.try_wait() {
                violations.insert(format!("the watcher has ended by itself: {status}"));
            }
            let status = fs::read_to_string(format!("/proc/{}/status", watcher.id())).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
            self.memory = self.memory.max(resident.unwrap_or(0));
            let open = fs::read_dir(format!("/proc/{}/fd", watcher.id())).map_or(0, Iterator::count);
            self.descriptors = self.descriptors.max(open);
        }
        if self.memory > MEMORY || self.descriptors > DESCRIPTORS {
            violations.insert(format!("the watcher grows: {self:?}"));
        }
    }
}

/// The longest time that a commit took while the server was not stopped by our own doing.
pub(crate) fn longest_commit(seen: &Seen, faults: &Faults) -> Duration {
    let own = |from: SystemTime, to: SystemTime| faults.down.iter().any(|(since, until)| from < *until && *since < to);
    let pauses = seen.rows.iter().filter_map(|row| {
        let answered = row.answered?;
        (!own(row.begun, answered)).then(|| answered.duration_since(row.begun).unwrap_or_default())
    });
    pauses.max().unwrap_or_default()
}

/// Waits until nothing waits, no gap is open, and `status` has nothing to complain of. What is left, if the time is over.
pub(crate) fn gets_well(world: &mut World, watched: &mut Watched, violations: &mut BTreeSet<String>) -> Duration {
    let started = Instant::now();
    loop {
        let _ = world.cluster.try_sql("SELECT pg_switch_wal()");
        std::thread::sleep(Duration::from_secs(1));
        watched.look(world, violations);
        let waiting = world.cluster.ready();
        let open = world.ledger().gaps.open().count();
        let report: serde_json::Value = serde_json::from_slice(&world.status(&[]).stdout).unwrap_or_default();
        // What a drill has found broken is whole again: the next one says so.
        if open == 0 && report["drill"]["verdict"] == "failed" {
            drop(world.drill());
        }
        // The segment of a moment ago may still be on its way. Status passes over a catalog that can't be checked for a while.
        let is_checked = report["catalog"]["state"] == "present";
        if waiting.len() <= 1 && open == 0 && is_checked && report["verdict"] == "ok" {
            return started.elapsed();
        }
        if started.elapsed() > WELL_WITHIN {
            let reasons = &report["reasons"];
            violations
                .insert(format!("not well in time: {waiting:?} wait, {open} gaps are open, status says {reasons}"));
            return started.elapsed();
        }
    }
}

/// All that can be looked at when everything has come to rest.
pub(crate) fn at_the_end(world: &World, seen: &Seen, faults: &Faults, schedule: &Schedule) -> Vec<String> {
    let archive = Archive::of(world);
    let mut violations = archive.doubles();
    let before = faults.emptied.as_ref();
    violations.extend(safety(world, seen, &archive, faults, schedule.has(Fault::Expire)));
    if !schedule.has(Fault::Expire) {
        violations.extend(proofs(world, &archive, before));
    }
    violations.extend(words(world, faults));
    let longest = longest_commit(seen, faults);
    if longest > PAUSE {
        violations.push(format!("a commit took {longest:?}"));
    }
    if faults.longest_stop() > STOP {
        violations.push(format!("a fast stop took {:?}", faults.longest_stop()));
    }
    violations
}

/// What the repositories hold of segments: the checksum of each object, by name and repository.
#[derive(Default)]
pub(crate) struct Archive(BTreeMap<u8, BTreeMap<String, Vec<u32>>>);

impl Archive {
    /// Reads it past pgBackRest.
    pub(crate) fn of(world: &World) -> Self {
        let mut all = BTreeMap::new();
        for key in world.repositories() {
            let mut segments: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            for path in world.backrest.files(key).iter().filter(|path| path.starts_with("archive/main/")) {
                let Some(name) = stored_segment(path) else { continue };
                let bytes = match key {
                    1 => world.s3.object_bytes(BUCKET, &format!("repo/{path}")),
                    _ => fs::read(world.second().join(path)).unwrap_or_default(),
                };
                segments.entry(name).or_default().push(crc32fast::hash(&bytes));
            }
            all.insert(key, segments);
        }
        Self(all)
    }

    /// What another look has shown, too.
    pub(crate) fn add(&mut self, other: Self) {
        for (key, segments) in other.0 {
            let own = self.0.entry(key).or_default();
            for (name, stored) in segments {
                own.entry(name).or_default().extend(stored);
            }
        }
    }

    /// Whether a repository has a segment with its own content; where that was not seen, with any.
    fn has(&self, key: u8, name: &str, content: Option<u32>) -> bool {
        let stored = self.0.get(&key).and_then(|segments| segments.get(name));
        stored.is_some_and(|stored| content.is_none_or(|content| stored.contains(&content)))
    }

    /// Names that are stored with more than one content.
    fn doubles(&self) -> Vec<String> {
        let all =
            self.0.iter().flat_map(|(key, segments)| segments.iter().map(move |(name, stored)| (key, name, stored)));
        let doubles = all.filter(|(_, _, stored)| stored.len() > 1);
        doubles.map(|(key, name, _)| format!("stored twice: {name} in repository {key}")).collect()
    }
}

/// The segment of a path in a repository, if it is a whole one.
fn stored_segment(path: &str) -> Option<String> {
    let (name, checksum) = path.rsplit('/').next()?.split_once('-')?;
    (name.len() == 24 && checksum.len() == 40).then(|| name.to_owned())
}

/// Each segment that PostgreSQL calls archived is somewhere with its own content, or on record.
fn safety(world: &World, seen: &Seen, archive: &Archive, faults: &Faults, expires: bool) -> Vec<String> {
    let (state, waiting, before) = (world.ledger(), world.cluster.ready(), faults.emptied.as_ref());
    let nodes = &faults.nodes;
    let kept: Vec<String> = [world.state_dir().join("deferred"), world.state_dir().join("heal"), world.overflow()]
        .iter()
        .flat_map(|folder| names_in(folder))
        .collect();
    let on_record = |name: &str| gaps_of(&state, name).iter().any(|gap| gap.state != GapState::Healed);
    let mut violations = Vec::new();
    for (name, content) in seen.segments.iter().filter(|(name, _)| !waiting.contains(name)) {
        let now = world.repositories().any(|key| archive.has(key, name, *content));
        let stored = now || before.is_some_and(|before| before.archive.has(1, name, *content));
        if stored || kept.contains(name) || on_record(name) {
            continue;
        }
        // A fallen primary's ledger is gone. Nobody needs what it wrote after the standby had taken over, and the new primary
        // looks for what is missing from the oldest backup on: nobody can use what lies before every one.
        let was = nodes.ledgers.iter().any(|state| !gaps_of(state, name).is_empty()) || nodes.waiting.contains(name);
        if was && (!is_on_the_line(world, name) || expired(world, name)) {
            continue;
        }
        let other = world.repositories().any(|key| archive.has(key, name, None));
        let what = if other { "stored with other content" } else { "nowhere" };
        if !(expires && expired(world, name)) {
            violations.push(format!("acknowledged and {what}: {name}"));
        }
    }
    violations
}

/// Whether a segment is older than every backup.
fn expired(world: &World, name: &str) -> bool {
    let info = world.backrest.info().stdout;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap_or_default();
    let starts =
        info[0]["backup"].as_array().into_iter().flatten().filter_map(|backup| backup["archive"]["start"].as_str());
    starts.min().is_some_and(|oldest| name < oldest)
}

fn gaps_of<'s>(state: &'s State, name: &str) -> Vec<&'s Gap> {
    let Ok(segment) = name.parse::<SegmentName>() else { return Vec::new() };
    state.gaps.iter().filter(|gap| gap.holds(segment, false, state.segment_size())).collect()
}

/// A closed gap is closed with proof: healed, all of it is in every repository; sealed, a backup began after it.
fn proofs(world: &World, archive: &Archive, before: Option<&Emptied>) -> Vec<String> {
    let state = world.ledger();
    let size = state.segment_size();
    let mut violations = Vec::new();
    for gap in state.gaps.iter().filter(|gap| !gap.partial) {
        let names = segments(gap, size);
        match gap.state {
            GapState::Healed => {
                let had = |key, name: &str| key == 1 && before.is_some_and(|before| before.archive.has(1, name, None));
                let has = |key, name: &str| archive.has(key, name, None) || had(key, name);
                let lacks = |name: &&String| world.repositories().any(|key| !has(key, name));
                violations.extend(names.iter().filter(lacks).map(|name| format!("healed without proof: {name}")));
            }
            GapState::Sealed => {
                let label = gap.sealed_by.clone().unwrap_or_default();
                let had = before.is_some_and(|before| before.labels.contains(&label));
                if !had && !world.repositories().any(|key| world.labels(key).contains(&label)) {
                    violations.push(format!("sealed by a backup that is not there: {label:?}, gap {}", gap.id));
                }
            }
            GapState::Open => {}
        }
    }
    violations
}

fn segments(gap: &Gap, size: SegmentSize) -> Vec<String> {
    let numbers = gap.first.number(size)..=gap.last.number(size);
    let names = numbers.filter_map(|number| SegmentName::from_number(gap.first.timeline(), number, size));
    names.map(|name| name.to_string()).collect()
}

/// Pushes that a server which crashes, or is stopped at once, has ended before they could take its signal over. It sends
/// SIGQUIT to the archiver's whole group (postmaster.c, `signal_child`), and the archiver, which ignores that while it waits
/// in system(3), logs the death. A push that has begun takes the signal, and ends with a code.
fn ended_with_the_server(log: &str) -> usize {
    let ends = ["terminating any other active server processes", "received immediate shutdown request"];
    let ended = ends.iter().map(|words| log.matches(words).count()).sum();
    log.matches("archive command was terminated by signal 3:").count().min(ended)
}

/// What was said: no secret, no panic, no exit code that the archiver takes for a death.
fn words(world: &World, faults: &Faults) -> Vec<String> {
    let mut violations = Vec::new();
    let (server, watch) = (world.cluster.log(), fs::read_to_string(world.watch_log()).unwrap_or_default());
    let state = names_in(&world.state_dir());
    let state = state.iter().map(|name| fs::read(world.state_dir().join(name)).unwrap_or_default());
    let state: Vec<String> = state.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    for (where_, text) in [("the server's log", &server), ("the watcher's log", &watch), ("the state", &state.concat())]
    {
        if text.contains(SECRET) {
            violations.push(format!("the secret stands in {where_}"));
        }
        violations
            .extend(text.lines().find(|line| line.contains("panicked at")).map(|line| format!("a panic: {line}")));
    }
    let codes = server.lines().filter_map(|line| line.split("archive command failed with exit code ").nth(1));
    let codes = codes.filter_map(|code| code.trim().parse::<i32>().ok());
    violations.extend(codes.filter(|code| *code > 125).map(|code| format!("push ended with {code}")));
    let deaths = server.matches("archive command was terminated by signal").count() - ended_with_the_server(&server);
    if deaths > faults.pushes_killed {
        violations.push(format!("push died by a signal {deaths} times, and {} were killed", faults.pushes_killed));
    }
    violations
}
