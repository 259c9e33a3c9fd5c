//! `make campaign CAMPAIGN='moments 200'`: one history with all that makes `--at` difficult, and many moments of it, each
//! restored for real.
//!
//! The history: a full backup in two repositories; segments that both lose, and the differential backups that seal that;
//! segments that only repository 2 lacks; the primary crashes and a standby that knows of none of this takes over; the debt
//! is paid, incremental backups follow, and both lose segments again; at the end one of them lacks some for good (with an odd
//! seed repository 1), so that it is the other's turn. The standby is a synchronous one: each commit that was answered is on
//! the new timeline.
//!
//! Then `status` is asked about moments that a seed chooses: as many as asked for, anywhere in the history, and one more for
//! every five near an edge, where a window begins or ends, a backup stops, or a repository goes or comes, or at the
//! promotion. What can be restored is restored from what `status` names; what can't, or is not known, is tried from each
//! repository by what pgBackRest would choose.

use super::claims::{self, Claim, Shown};
use super::random::Random;
use super::schedule::{Profile, Small};
use super::workload::{Row, Workload};
use super::world::World;
use jiff::Timestamp;
use pgbackrest_guard_lab::{Cluster, PgBackRest, StopMode};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is asked where no number is said.
const MOMENTS: usize = 200;
/// For so many moments there is one more, near an edge.
const EDGES_FOR: usize = 5;
/// How far from it they are at most, in milliseconds.
const NEAR: u64 = 1_500;
/// How many of a hundred moments that lie anywhere may be refused though they can be restored.
const MOST_PESSIMISTIC: usize = 5;
/// Bytes of WAL beside each commit: a segment takes about two seconds.
const PADDING: usize = 30_000;
/// Restores at a time.
const AT_A_TIME: usize = 2;
/// How long anything may take.
const WAIT: Duration = Duration::from_mins(2);

const PROFILE: Profile = Profile {
    asynchronous: false,
    threshold: 0,
    after: 0,
    second: true,
    overflow: false,
    queue_max: false,
    diffs: false,
    gap_by_diff: true,
    folders: true,
    small: Small::Nothing,
    clock: false,
    standby: false,
};

/// A moment to be asked about, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    at: i64,
    near_an_edge: bool,
}

/// What came of a moment.
#[derive(Debug, Clone)]
enum Came {
    /// It can be restored.
    Held,
    /// It is claimed, and that is wrong.
    False(String),
    /// It is refused, or not known, and no repository gives it.
    Refused,
    /// It is refused, or not known, and can be restored.
    Pessimistic,
}

/// Asks about as many moments as the words say, of the history that ends before.
pub(crate) fn try_all(words: &str) -> ExitCode {
    let mut words =
        words.split_whitespace().map(|word| word.parse::<u64>().unwrap_or_else(|_| panic!("{word:?} is no number")));
    let count = words.next().map_or(MOMENTS, |count| usize::try_from(count).unwrap_or(MOMENTS));
    let (seed, started) = (words.next().unwrap_or(1), Instant::now());
    let mut random = Random::new(seed);
    // Moments are restored from the other one.
    let history = History::live(if seed % 2 == 0 { 2 } else { 1 });
    eprintln!("{}", history.said());
    let moments = history.moments(count, &mut random);
    let results = history.hold_all(&moments);
    let (table, well) = table(&results);
    eprintln!("{table}\n{:.0} s", started.elapsed().as_secs_f64());
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A cluster's life, at its end.
struct History {
    world: World,
    rows: Vec<Row>,
    /// What happened when, in milliseconds since 1970.
    events: Vec<(i64, &'static str)>,
    /// The old primary, which has crashed.
    _old: Cluster,
}

impl History {
    /// Lives through it. `in_debt`: the repository that lacks some at the end.
    fn live(in_debt: u8) -> Self {
        let mut world = World::new(PROFILE);
        // Both first backups have stopped.
        commits(3);
        let workload = Workload::start(world.primary(), PADDING);
        let mut events = Vec::new();
        commits(20);
        let standby = standby(&world);
        // Both lose segments, and a differential backup in each seals that.
        outage(&world, &[1, 2], &mut events);
        back(&world, &[1, 2], &mut events);
        wait_closed(&world);
        commits(20);
        // Repository 2 is owed some, and nobody has paid when the primary crashes.
        outage(&world, &[2], &mut events);
        commits(3);
        let old = fail_over(&mut world, standby, &workload, &mut events);
        back(&world, &[2], &mut events);
        world.start_watcher();
        world.wait("the debt is on record", WAIT, |world| world.ledger().gaps.iter().next().is_some());
        wait_closed(&world);
        commits(15);
        for key in world.repositories() {
            world.backrest.ok(&[&format!("--repo={key}"), "--type=incr", "backup"]);
        }
        commits(15);
        outage(&world, &[1, 2], &mut events);
        back(&world, &[1, 2], &mut events);
        wait_closed(&world);
        commits(20);
        // This debt stays: nobody watches any more when the repository is back.
        outage(&world, &[in_debt], &mut events);
        commits(12);
        let rows = workload.end().rows;
        let last = world.cluster.switch_wal();
        world.cluster.wait_archived(&last, WAIT);
        // The watcher looks once a second.
        commits(8);
        world.watchers.drain(..).for_each(World::stop_watcher);
        back(&world, &[in_debt], &mut events);
        Self { world, rows, events, _old: old }
    }

    /// What it has come to.
    fn said(&self) -> String {
        let mut lines = vec![format!("{} commits", self.rows.len())];
        for key in self.world.repositories() {
            let mut labels = self.world.labels(key);
            labels.sort();
            lines.push(format!("backups in repository {key}: {}", labels.join(" ")));
        }
        for gap in self.world.ledger().gaps.iter() {
            let lacking = gap.repositories.as_ref().map_or_else(String::new, |keys| format!(" in {keys:?}"));
            lines.push(format!("gap {:?}{lacking}: {} to {}", gap.state, gap.first, gap.last));
        }
        lines.extend(self.events.iter().map(|(at, what)| format!("{} {what}", moment(*at))));
        lines.join("\n")
    }

    /// Moments that a source of numbers chooses.
    fn moments(&self, count: usize, random: &mut Random) -> Vec<Moment> {
        let first = self.rows.first().map_or(0, |row| millis(row.begun));
        let last = self.rows.last().map_or(0, |row| millis(row.answered.unwrap_or(row.begun)));
        let edges = self.edges();
        chosen(count, (first, last), &edges, random)
    }

    /// Where something begins or ends.
    fn edges(&self) -> Vec<i64> {
        let mut edges: Vec<i64> = self.events.iter().map(|(at, _)| *at).collect();
        edges.extend(self.rows.last().map(|row| millis(row.begun)));
        let said: serde_json::Value = serde_json::from_slice(&self.world.status(&[]).stdout).expect("a report");
        let windows = said["windows"].as_array().expect("windows");
        let times = windows.iter().flat_map(|window| [&window["from"], &window["to"]]);
        let times = times.filter_map(|time| time.as_str()?.parse::<Timestamp>().ok());
        edges.extend(times.map(Timestamp::as_millisecond));
        let backups = self.world.backrest.ok(&["info", "--output=json"]);
        let backups: serde_json::Value = serde_json::from_str(&backups).expect("info");
        let stops = backups[0]["backup"].as_array().into_iter().flatten();
        edges.extend(stops.filter_map(|backup| Some(backup["timestamp"]["stop"].as_i64()? * 1_000 + 500)));
        edges
    }

    /// Asks about each moment, and restores it, some at a time.
    fn hold_all(&self, moments: &[Moment]) -> Vec<(Moment, Claim, Came)> {
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (claim, came) = self.hold(*moment);
                        eprintln!("{} {claim:?}: {came:?}", self::moment(moment.at));
                        results.lock().expect("the results").push((*moment, claim, came));
                    }
                });
            }
        });
        results.into_inner().expect("the results")
    }

    fn hold(&self, moment: Moment) -> (Claim, Came) {
        let claim = claims::claim(&self.world, moment.at).expect("an answer of status --at");
        let name = format!("at-{}", moment.at);
        let result = if claim.restorable == Some(true) {
            match claims::hold(&self.world, &claim, &self.rows, &name) {
                Shown::Holds => Came::Held,
                Shown::False(why) => Came::False(why),
                Shown::Expired => Came::False("the backup is not there".to_owned()),
            }
        } else if claims::can_be(&self.world, moment.at, &self.rows, &name) {
            Came::Pessimistic
        } else {
            Came::Refused
        };
        (claim, result)
    }
}

/// As many moments as asked for between two, and some more near edges.
fn chosen(count: usize, (first, last): (i64, i64), edges: &[i64], random: &mut Random) -> Vec<Moment> {
    let length = u64::try_from(last - first).unwrap_or(0);
    let (mut moments, more) = (Vec::<Moment>::new(), count / EDGES_FOR);
    while moments.len() < count + more {
        let near_an_edge = moments.len() >= count;
        let (from, length) =
            if near_an_edge { (random.pick(edges).saturating_sub_unsigned(NEAR), 2 * NEAR) } else { (first, length) };
        let at = from.saturating_add_unsigned(random.below(length + 1));
        // Each restore has a folder of its moment's name.
        if moments.iter().all(|moment| moment.at != at) {
            moments.push(Moment { at, near_an_edge });
        }
    }
    moments
}

#[test]
fn a_seed_gives_the_same_moments_each_time_and_the_extra_ones_lie_near_an_edge() {
    let of = |seed| chosen(50, (1_000_000, 1_060_000), &[1_030_000], &mut Random::new(seed));
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
    let (near, anywhere): (Vec<Moment>, Vec<Moment>) = of(3).into_iter().partition(|moment| moment.near_an_edge);
    assert_eq!((anywhere.len(), near.len()), (50, 10));
    assert!(anywhere.iter().all(|moment| (1_000_000..=1_060_000).contains(&moment.at)));
    assert!(near.iter().all(|moment| (1_028_500..=1_031_500).contains(&moment.at)));
}

#[test]
fn one_false_claim_is_too_many_and_so_are_six_of_a_hundred_that_are_refused_needlessly() {
    let claim = |restorable| Claim { restorable, ..Claim::default() };
    let came = |held: usize, pessimistic: usize, wrong: usize| {
        let anywhere = Moment { at: 0, near_an_edge: false };
        let held = (0..held).map(|_| (anywhere, claim(Some(true)), Came::Held));
        let pessimistic = (0..pessimistic).map(|_| (anywhere, claim(None), Came::Pessimistic));
        let wrong = (0..wrong).map(|_| (anywhere, claim(Some(true)), Came::False(String::new())));
        let (table, well) = table(&held.chain(pessimistic).chain(wrong).collect::<Vec<_>>());
        assert!(table.contains("| all | 100 |"), "{table}");
        well
    };
    assert_eq!([came(95, 5, 0), came(94, 6, 0), came(99, 0, 1)], [true, false, false]);
}

/// Lets the cluster commit for some seconds.
fn commits(seconds: u64) {
    sleep(Duration::from_secs(seconds));
}

/// A standby that streams, with the primary's answers waiting for it from now on.
fn standby(world: &World) -> (Cluster, PgBackRest) {
    let builder = Cluster::builder(&world.lab).name("standby");
    let (backrest, pgdata) = (world.config_for(&builder, "store-standby"), builder.pgdata());
    let standby = builder.archive_command(&world.archive_command(&backrest, &pgdata)).standby_of(&world.cluster);
    standby.start().unwrap_or_else(|log| panic!("the standby does not start:\n{log}"));
    world.cluster.reload_with("synchronous_standby_names", "*");
    world.wait("the standby is synchronous", WAIT, |world| {
        world.cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
    });
    (standby, backrest)
}

/// These repositories are away from now on, and segments that they do not get are in `pg_wal` no more.
fn outage(world: &World, keys: &[u8], events: &mut Vec<(i64, &'static str)>) {
    let before = world.cluster.last_archived_wal();
    for key in keys {
        fs::rename(world.folder(*key), away(world, *key)).expect("the repository");
    }
    let what = match keys {
        [1] => "repository 1 is away",
        [2] => "repository 2 is away",
        _ => "both are away",
    };
    events.push((millis(SystemTime::now()), what));
    let first = segment_number(&world.cluster.current_segment());
    world.wait("three segments are given up", WAIT, |world| {
        segment_number(&world.cluster.last_archived_wal()) >= first + 2
    });
    let last = world.cluster.last_archived_wal();
    world.cluster.sql("CHECKPOINT");
    let between = |name: &String| name.len() == 24 && *name > before && *name <= last;
    for name in super::world::names_in(&world.cluster.pg_wal()).iter().filter(|name| between(name)) {
        let _ = fs::remove_file(world.cluster.pg_wal().join(name));
    }
}

/// They are back.
fn back(world: &World, keys: &[u8], events: &mut Vec<(i64, &'static str)>) {
    for key in keys {
        let _ = fs::remove_dir_all(world.folder(*key));
        fs::rename(away(world, *key), world.folder(*key)).expect("the repository");
    }
    events.push((millis(SystemTime::now()), "back"));
}

fn away(world: &World, key: u8) -> PathBuf {
    world.folder(key).with_extension("away")
}

/// A segment's number on its timeline, of 1 MiB segments.
fn segment_number(name: &str) -> u64 {
    let part = |from, to| name.get(from..to).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    (part(8, 16) << 12) + part(16, 24)
}

/// The primary crashes, and the standby takes over with its own memory.
fn fail_over(
    world: &mut World,
    (standby, backrest): (Cluster, PgBackRest),
    workload: &Workload,
    events: &mut Vec<(i64, &'static str)>,
) -> Cluster {
    events.push((millis(SystemTime::now()), "the primary crashes"));
    world.cluster.stop(StopMode::Immediate);
    // What it has streamed lies in its own pg_wal too: only what it needs may stay.
    standby.sql("CHECKPOINT");
    let needed = standby.sql("SELECT redo_wal_file FROM pg_control_checkpoint()");
    for name in super::world::names_in(&standby.pg_wal()).iter().filter(|name| name.len() == 24 && **name < needed) {
        let _ = fs::remove_file(standby.pg_wal().join(name));
    }
    standby.promote();
    events.push((millis(SystemTime::now()), "promoted"));
    world.watchers.drain(..).for_each(World::stop_watcher);
    world.backrest = backrest;
    let old = std::mem::replace(&mut world.cluster, standby);
    workload.follow(world.primary());
    old
}

/// Until the watcher has closed each gap.
fn wait_closed(world: &World) {
    world.wait("no gap is open", WAIT, |world| world.ledger().gaps.open().next().is_none());
}

/// The figures, and whether nothing is wrong with them.
fn table(results: &[(Moment, Claim, Came)]) -> (String, bool) {
    let head = "| moments | asked | yes | false | no | not known | pessimistic |\n|---|---|---|---|---|---|---|";
    let (mut lines, mut well) = (vec![head.to_owned()], true);
    for (name, edges) in [("anywhere", Some(false)), ("near an edge", Some(true)), ("all", None)] {
        let these = || results.iter().filter(|(moment, ..)| edges.is_none_or(|edges| moment.near_an_edge == edges));
        let said = |what: Option<bool>| these().filter(|(_, claim, _)| claim.restorable == what).count();
        let (yes, no, unknown) = (said(Some(true)), said(Some(false)), said(None));
        let wrong = these().filter(|(.., came)| matches!(came, Came::False(_))).count();
        let pessimistic = these().filter(|(.., came)| matches!(came, Came::Pessimistic)).count();
        let asked = these().count();
        let tenths = pessimistic * 1_000 / asked.max(1);
        let share = format!("{}.{} %", tenths / 10, tenths % 10);
        lines.push(format!("| {name} | {asked} | {yes} | {wrong} | {no} | {unknown} | {pessimistic} ({share}) |"));
        well &= wrong == 0;
        if edges == Some(false) {
            well &= pessimistic * 100 <= asked * MOST_PESSIMISTIC;
        }
    }
    let mut from: BTreeMap<String, usize> = BTreeMap::new();
    for (_, claim, came) in results {
        let words = match came {
            Came::False(why) => format!("false: {claim:?}: {why}"),
            Came::Held => format!("held from repository {} on timeline {}", claim.repository, claim.timeline),
            Came::Pessimistic => format!("pessimistic: {}", claim.reason),
            Came::Refused => format!("refused: {}", claim.reason),
        };
        *from.entry(words).or_default() += 1;
    }
    lines.extend(from.iter().map(|(words, count)| format!("{count:>4} {words}")));
    (lines.join("\n"), well)
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

fn moment(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
