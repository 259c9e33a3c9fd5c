//! How each fault begins and ends in the laboratory.

use super::checks::Archive;
use super::clock;
use super::drills::Drills;
use super::nodes::Nodes;
use super::schedule::{Fault, Planned, Schedule, Small};
use super::workload::Workload;
use super::world::{BUCKET, KEY, World};
use pgbackrest_guard_lab::{Fault as Store, FaultId, FaultKind, Lab, Operations, Policy, Signal, StopMode};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

/// How long a process to be killed is waited for.
const PREY: Duration = Duration::from_millis(400);

/// What has begun and not ended.
#[derive(Default)]
pub(crate) struct Faults {
    injected: BTreeMap<u32, FaultId>,
    second_watchers: BTreeMap<u32, Child>,
    /// While the server stood still by our own doing.
    pub(crate) down: Vec<(SystemTime, SystemTime)>,
    down_since: BTreeMap<u32, SystemTime>,
    /// The faults that stop the server and have begun.
    stopped: BTreeSet<u32>,
    /// How many pushes were killed.
    pub(crate) pushes_killed: usize,
    /// How many faults have met what they are for.
    pub(crate) met: usize,
    longest_stop: Duration,
    /// The drills beside the faults.
    pub(crate) drills: Drills,
    /// When something was taken out of a repository.
    pub(crate) taken_out: Vec<SystemTime>,
    /// What the first repository held when its bucket was emptied.
    pub(crate) emptied: Option<Emptied>,
    /// The other node.
    pub(crate) nodes: Nodes,
    fills: BTreeSet<u32>,
    steps: Vec<u32>,
    watch_is_down: bool,
}

/// A bucket that was emptied.
#[derive(Default)]
pub(crate) struct Emptied {
    /// The segments that had been in it.
    pub(crate) archive: Archive,
    /// The backups that had been in it.
    pub(crate) labels: Vec<String>,
    /// Whether somebody has created its stanza since.
    has_stanza: bool,
}

/// How long a request that is under way may take to its end.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// How long somebody tries to create a stanza.
const STANZA: Duration = Duration::from_mins(1);

/// A fault's beginning or end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Begin(Planned),
    End(Planned),
}

/// The beginnings and ends of a schedule, by their moments.
pub(crate) fn events(schedule: &Schedule) -> Vec<(Duration, Event)> {
    let both =
        |planned: &Planned| [(planned.at, Event::Begin(*planned)), (planned.at + planned.lasts, Event::End(*planned))];
    let mut events: Vec<_> = schedule.faults.iter().flat_map(both).collect();
    events.sort_by_key(|(at, _)| *at);
    events
}

impl Faults {
    /// Takes up an event.
    pub(crate) fn take(&mut self, event: Event, world: &mut World, workload: &Workload) {
        match event {
            Event::Begin(planned) => self.begin(planned, world, workload),
            Event::End(planned) => self.end(planned, world),
        }
    }

    fn begin(&mut self, planned: Planned, world: &mut World, workload: &Workload) {
        let s3 = &world.s3;
        self.met += 1;
        match planned.fault {
            Fault::KeyRevoked => s3.revoke_key(KEY),
            Fault::ReadOnly => s3.set_policy(KEY, Policy::ReadOnly),
            Fault::Denied => s3.set_policy(KEY, Policy::Nothing),
            Fault::BucketGone => s3.delete_bucket(BUCKET),
            Fault::Refused => self.inject(planned, world, Store::new(FaultKind::Refuse)),
            Fault::Hangs => self.inject(planned, world, Store::new(FaultKind::Hang)),
            Fault::Busy => self.inject(planned, world, Store::status(503, "SlowDown")),
            Fault::Trickles => {
                let crawl = FaultKind::Trickle { bytes_per_second: 100_000 };
                self.inject(planned, world, Store::new(crawl).on(Operations::Put));
            }
            Fault::Resets => self.inject(planned, world, Store::new(FaultKind::ResetMidBody).on(Operations::Put)),
            Fault::SecondAway => {
                let _ = fs::rename(world.second(), world.second().with_extension("away"));
            }
            Fault::KillPush => {
                let killed = kill_one(world, "pgbackrest-guard-push");
                self.pushes_killed += usize::from(killed);
                self.met -= usize::from(!killed);
            }
            Fault::KillWorker => self.met -= usize::from(!kill_one(world, "archive-push:async")),
            Fault::KillBackrest => self.met -= usize::from(!kill_one(world, "--stanza=main")),
            Fault::KillWatch => self.kill_watch(world),
            Fault::KillServer | Fault::Restart | Fault::Crash | Fault::NewTimeline => self.stop_server(planned, world),
            Fault::LedgerByte => flip_a_byte(world, planned),
            Fault::SecondWatcher => {
                world.start_watcher();
                self.second_watchers.extend(world.watchers.pop().map(|watcher| (planned.number, watcher)));
            }
            Fault::Checkpoint => drop(world.cluster.try_sql("CHECKPOINT")),
            Fault::Expire => {
                drop(world.backrest.run(&["--repo1-retention-full=1", "--repo=1", "expire"]));
                self.taken_out.push(SystemTime::now());
            }
            Fault::OthersFull => drop(world.backrest.run(&["--type=full", "--repo=1", "--no-expire-auto", "backup"])),
            Fault::Burst => drop(world.cluster.try_sql(
                "SELECT pg_logical_emit_message(false, 'burst', repeat('x', 1000000)) FROM generate_series(1, 12)",
            )),
            Fault::DiskFull => self.fill(planned, world),
            Fault::Drill => self.met -= usize::from(!self.drills.start(planned.number, world)),
            Fault::BucketEmptied => self.empty_bucket(world),
            Fault::NewPrimary => self.fail_over(planned.number, world, workload),
            Fault::ClockStep => self.met -= usize::from(!self.set_clock(planned.number, world)),
        }
    }

    /// What goes on between beginnings and ends.
    pub(crate) fn look(&mut self, world: &World) {
        if !self.fills.is_empty()
            && let Some(disk) = &world.disk
        {
            // What others have removed meanwhile is taken up too.
            disk.try_fill();
        }
        self.drills.look(world, &self.taken_out);
    }

    fn end(&mut self, planned: Planned, world: &mut World) {
        match planned.fault {
            Fault::KeyRevoked => world.s3.restore_key(KEY),
            Fault::ReadOnly | Fault::Denied => world.s3.set_policy(KEY, Policy::ReadWrite),
            Fault::BucketGone => world.s3.restore_bucket(BUCKET),
            Fault::SecondAway => second_comes_back(world),
            Fault::KillWatch => self.start_watch(world),
            Fault::DiskFull => self.free(planned, world),
            Fault::BucketEmptied => self.create_stanza(world, Duration::ZERO),
            Fault::NewPrimary => self.nodes.rewind(world),
            Fault::ClockStep => {
                self.steps.retain(|number| *number != planned.number);
                self.step(world);
            }
            Fault::KillServer | Fault::Restart | Fault::Crash | Fault::NewTimeline => self.start_server(planned, world),
            _ => {}
        }
        if let Some(id) = self.injected.remove(&planned.number) {
            world.s3.remove(id);
        }
        if let Some(watcher) = self.second_watchers.remove(&planned.number) {
            World::stop_watcher(watcher);
        }
    }

    /// Ends whatever is left.
    pub(crate) fn end_all(&mut self, world: &mut World) {
        world.s3.clear_faults();
        self.injected.clear();
        world.s3.restore_key(KEY);
        world.s3.set_policy(KEY, Policy::ReadWrite);
        world.s3.restore_bucket(BUCKET);
        second_comes_back(world);
        std::mem::take(&mut self.second_watchers).into_values().for_each(World::stop_watcher);
        self.start_watch(world);
        self.steps.clear();
        self.step(world);
        make_room(world);
        self.fills.clear();
        world.start_server();
        self.nodes.rewind(world);
        self.create_stanza(world, STANZA);
    }

    fn fail_over(&mut self, number: u32, world: &mut World, workload: &Workload) {
        let since = SystemTime::now();
        if !self.nodes.fail_over(number, world, workload) {
            self.met -= 1;
            return;
        }
        if !self.watch_is_down {
            world.start_watcher();
        }
        self.down.push((since, SystemTime::now() + Duration::from_secs(1)));
    }

    /// Sets the clock, and looks whether the programs see it.
    fn set_clock(&mut self, number: u32, world: &World) -> bool {
        self.steps.push(number);
        self.step(world);
        world.clock.is_some() && clock::is_seen(world, clock::step(number))
    }

    /// As the newest of those steps says that are not over.
    fn step(&self, world: &World) {
        if let Some(clock) = &world.clock {
            clock.set(self.steps.last().map_or(0, |number| clock::step(*number)));
        }
    }

    fn fill(&mut self, planned: Planned, world: &World) {
        let Some(disk) = &world.disk else {
            self.met -= 1;
            return;
        };
        if world.profile.small == Small::Data {
            // A server that has no room for its own WAL ends, whoever archives it.
            self.down_since.insert(planned.number, SystemTime::now());
        }
        self.fills.insert(planned.number);
        disk.try_fill();
    }

    fn free(&mut self, planned: Planned, world: &World) {
        self.fills.remove(&planned.number);
        if !self.fills.is_empty() {
            return;
        }
        make_room(world);
        if world.profile.small == Small::Data && !self.is_stopped() {
            world.start_server();
        }
        self.up_again(planned.number);
    }

    /// Whether another fault has stopped the server, and starts it in the end.
    fn is_stopped(&self) -> bool {
        self.stopped.iter().any(|number| self.down_since.contains_key(number))
    }

    fn up_again(&mut self, number: u32) {
        let since = self.down_since.remove(&number);
        // A connection that was refused is tried again a moment later.
        self.down.extend(since.map(|since| (since, SystemTime::now() + Duration::from_secs(1))));
    }

    /// What the store has acknowledged before is gone; what comes after is in the new bucket.
    fn empty_bucket(&mut self, world: &World) {
        world.s3.set_policy(KEY, Policy::Nothing);
        std::thread::sleep(UNDER_WAY);
        world.s3.restore_bucket(BUCKET);
        let emptied = self.emptied.get_or_insert_default();
        emptied.archive.add(Archive::of(world));
        emptied.labels.extend(world.labels(1));
        world.s3.create_bucket(BUCKET);
        world.s3.set_policy(KEY, Policy::ReadWrite);
        self.taken_out.push(SystemTime::now());
    }

    /// Somebody creates the stanza in the new bucket, as the runbook says.
    fn create_stanza(&mut self, world: &World, limit: Duration) {
        let until = Instant::now() + limit;
        while self.emptied.as_ref().is_some_and(|emptied| !emptied.has_stanza) {
            let created = world.backrest.run(&["stanza-create"]);
            let is_there = created.code() == Some(0);
            if let Some(emptied) = self.emptied.as_mut().filter(|_| is_there) {
                emptied.has_stanza = true;
            }
            if Instant::now() > until {
                assert!(is_there || limit.is_zero(), "the stanza can't be created: {}", created.stderr);
                return;
            }
            // An upload that was under way has landed in it.
            if created.stderr.contains("directory not empty") {
                self.empty_bucket(world);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn inject(&mut self, planned: Planned, world: &World, fault: Store) {
        self.injected.insert(planned.number, world.s3.inject(fault));
    }

    fn kill_watch(&mut self, world: &mut World) {
        for mut watcher in world.watchers.drain(..) {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        self.watch_is_down = true;
    }

    fn start_watch(&mut self, world: &mut World) {
        if std::mem::take(&mut self.watch_is_down) {
            world.start_watchers();
        }
    }

    /// The longest that a fast stop took, of a failover too.
    pub(crate) fn longest_stop(&self) -> Duration {
        self.longest_stop.max(self.nodes.longest_stop)
    }

    fn stop_server(&mut self, planned: Planned, world: &World) {
        self.down_since.insert(planned.number, SystemTime::now());
        self.stopped.insert(planned.number);
        if !world.cluster.is_running() {
            return;
        }
        match planned.fault {
            Fault::KillServer => world.cluster.kill(),
            Fault::Crash => drop(world.cluster.stop(StopMode::Immediate)),
            _ => self.longest_stop = self.longest_stop.max(world.cluster.stop(StopMode::Fast)),
        }
        if planned.fault == Fault::NewTimeline {
            let signal = world.cluster.pgdata().join("standby.signal");
            fs::write(&signal, "").expect("standby.signal");
            world.lab.give(&signal);
        }
    }

    fn start_server(&mut self, planned: Planned, world: &World) {
        // Whoever starts a server makes room for it first.
        make_room(world);
        world.start_server();
        if planned.fault == Fault::NewTimeline && world.cluster.sql("SELECT pg_is_in_recovery()") == "t" {
            world.cluster.promote();
        }
        self.up_again(planned.number);
    }
}

/// Frees the small disk.
fn make_room(world: &World) {
    if let Some(disk) = world.disk.as_ref().filter(|disk| disk.is_filled()) {
        disk.empty();
    }
}

/// SIGKILL to one process, as soon as there is one.
fn kill_one(world: &World, text: &str) -> bool {
    let until = Instant::now() + PREY;
    loop {
        if let Some(pid) = world.pids(text).first() {
            Lab::signal(*pid, Signal::KILL);
            return true;
        }
        if Instant::now() > until {
            return false;
        }
    }
}

/// One byte of the ledger, where its number says.
fn flip_a_byte(world: &World, planned: Planned) {
    let path = world.state_dir().join("ledger");
    let Ok(mut bytes) = fs::read(&path) else { return };
    let at = (planned.at.as_millis() as usize).wrapping_mul(7_919) % bytes.len().max(1);
    // Most of it is empty: the beginning of a slot is what counts.
    let slot = at / (512 << 10) * (512 << 10);
    if let Some(byte) = bytes.get_mut(slot + at % 400) {
        *byte ^= 0x10;
        let changed = [*byte];
        let file = fs::OpenOptions::new().write(true).open(&path).expect("the ledger");
        std::os::unix::fs::FileExt::write_all_at(&file, &changed, (slot + at % 400) as u64).expect("a byte");
    }
}

fn second_comes_back(world: &World) {
    let away = world.second().with_extension("away");
    if away.exists() {
        let _ = fs::remove_dir_all(world.second());
        fs::rename(away, world.second()).expect("the second repository");
    }
}
