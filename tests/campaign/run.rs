//! One campaign from its first backup to its last check.

use super::checks::{self, Watched};
use super::claims::{self, Claim, Shown};
use super::faults::{self, Faults};
use super::random::Random;
use super::schedule::{Fault, Schedule, Size};
use super::workload::{PADDING, Seen, Workload};
use super::world::World;
use pgbackrest_guard::ledger::gaps::GapState;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines of the logs that a failure shows.
const LINES: usize = 120;

/// What a campaign came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    faults: usize,
    pub(crate) rows: usize,
    pub(crate) segments: usize,
    timelines: usize,
    gaps: [usize; 2],
    longest_commit: Duration,
    longest_stop: Duration,
    well_after: Duration,
    watched: Watched,
    moments: Moments,
    /// How many drills came to which verdict.
    drills: BTreeMap<String, usize>,
    /// How many old primaries were rewound, and how many had to be copied.
    rewound: [usize; 2],
    longest_promotion: Duration,
    took: Duration,
    pub(crate) violations: BTreeSet<String>,
    /// The ends of the logs, of one that fails.
    pub(crate) said: String,
}

/// The moments that `--at` was asked about.
#[derive(Debug, Default, Clone, Copy)]
struct Moments {
    asked: usize,
    yes: usize,
    no: usize,
    held: usize,
    wrong: usize,
    refused: usize,
    pessimistic: usize,
}

/// Runs a schedule. What the driver itself stumbles over, a server that does not start, say, is a violation too.
pub(crate) fn run(schedule: &Schedule, size: Size) -> Outcome {
    std::panic::catch_unwind(|| attempt(schedule, size)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
        let violations = BTreeSet::from([format!("the driver stumbled: {words}")]);
        Outcome { seed: schedule.seed, violations, ..Outcome::default() }
    })
}

fn attempt(schedule: &Schedule, size: Size) -> Outcome {
    let started = Instant::now();
    let mut world = World::new(schedule.profile);
    let workload = Workload::start(world.primary(), PADDING);
    let (mut faults, mut watched) = (Faults::default(), Watched::default());
    let mut violations = BTreeSet::new();
    let mut random = Random::new(schedule.seed ^ 0xA7);
    let mut said = go_wrong(schedule, &mut world, &workload, &mut faults, &mut watched, &mut violations, &mut random);
    faults.end_all(&mut world);
    faults.drills.finish(&world, &faults.taken_out);
    let well_after = checks::gets_well(&mut world, &mut watched, &mut violations);
    // The last commits come into a segment of their own.
    let seen = workload.end();
    let _ = world.cluster.try_sql("SELECT pg_switch_wal()");
    checks::gets_well(&mut world, &mut watched, &mut violations);
    violations.extend(checks::at_the_end(&world, &seen, &faults, schedule));
    if schedule.has(Fault::Drill) {
        faults.drills.in_calm(&world);
        faults.drills.hold(&world, &seen);
    }
    violations.extend(std::mem::take(&mut faults.drills.violations));
    violations.extend(faults.nodes.violations());
    let moments = moments(&world, &seen, &mut said, &mut random, size, &mut violations);
    let state = world.ledger();
    let count = |of: GapState| state.gaps.iter().filter(|gap| gap.state == of).count();
    let timelines: BTreeSet<&str> = seen.segments.keys().filter_map(|name| name.get(..8)).collect();
    Outcome {
        seed: schedule.seed,
        faults: faults.met,
        rows: seen.rows.len(),
        segments: seen.segments.len(),
        timelines: timelines.len(),
        gaps: [count(GapState::Healed), count(GapState::Sealed)],
        longest_commit: checks::longest_commit(&seen, &faults),
        longest_stop: faults.longest_stop(),
        well_after,
        watched,
        moments,
        drills: std::mem::take(&mut faults.drills.verdicts),
        rewound: faults.nodes.rewound,
        longest_promotion: faults.nodes.longest_promotion,
        took: started.elapsed(),
        said: if violations.is_empty() { String::new() } else { ends_of_logs(&world) },
        violations,
    }
}

/// Lets the faults begin and end, and asks about moments meanwhile.
fn go_wrong(
    schedule: &Schedule,
    world: &mut World,
    workload: &Workload,
    faults: &mut Faults,
    watched: &mut Watched,
    violations: &mut BTreeSet<String>,
    random: &mut Random,
) -> Vec<Claim> {
    let (began, first) = (Instant::now(), now());
    let mut claims = Vec::new();
    let mut events = faults::events(schedule).into_iter().peekable();
    let mut ask_at = Duration::from_secs(3);
    while began.elapsed() < schedule.length || events.peek().is_some() {
        while let Some((_, event)) = events.next_if(|(at, _)| *at <= began.elapsed()) {
            faults.take(event, world, workload);
        }
        faults.look(world);
        watched.look(world, violations);
        if began.elapsed() > ask_at {
            ask_at += Duration::from_secs(4);
            let passed = u64::try_from(now() - first).unwrap_or(0);
            let at = first + i64::try_from(random.below(passed + 1)).unwrap_or(0);
            claims.extend(claims::claim(world, at * 1_000));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    claims
}

/// Holds what was claimed meanwhile, and what is claimed now, against real restores.
fn moments(
    world: &World,
    seen: &Seen,
    claims: &mut Vec<Claim>,
    random: &mut Random,
    size: Size,
    violations: &mut BTreeSet<String>,
) -> Moments {
    let (most_held, most_refused) = if size == Size::Whole { (7, 2) } else { (1, 0) };
    let second = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (first, last) = (seen.rows.first().map(|row| second(row.begun)), seen.rows.last().map(|row| second(row.begun)));
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
    let meanwhile = claims.len();
    for _ in 0..12 {
        let at = first + random.below(last.saturating_sub(first) + 1);
        claims.extend(claims::claim(world, i64::try_from(at).unwrap_or(0) * 1_000));
    }
    let said = |what: bool| claims.iter().filter(|claim| claim.restorable == Some(what)).count();
    let mut moments = Moments { asked: claims.len(), yes: said(true), no: said(false), ..Moments::default() };
    let yes: Vec<(usize, &Claim)> =
        claims.iter().enumerate().filter(|(_, claim)| claim.restorable == Some(true)).collect();
    // Spread over those of meanwhile and those of now.
    let step = yes.len().div_ceil(most_held).max(1);
    for (count, (number, claim)) in yes.iter().step_by(step).enumerate() {
        match claims::hold(world, claim, &seen.rows, &format!("claim-{count}")) {
            Shown::Holds => moments.held += 1,
            // Meanwhile; now everything is well, and what is claimed is there.
            Shown::Expired if *number < meanwhile => {}
            Shown::Expired => {
                violations.insert(format!("a claim names a backup that is not there: {claim:?}"));
            }
            Shown::False(why) => {
                moments.wrong += 1;
                violations.insert(format!("false claim: {claim:?}: {why}"));
            }
        }
    }
    // What was refused a moment ago may be shown by now: only those of the end are looked into.
    let no = claims.iter().rev().take(12).filter(|claim| claim.restorable == Some(false));
    for (count, claim) in no.take(most_refused).enumerate() {
        moments.refused += 1;
        moments.pessimistic += usize::from(claims::can_be(world, claim.at, &seen.rows, &format!("refused-{count}")));
    }
    for key in world.repositories() {
        if let Some(why) = claims::newest(world, key, &seen.rows) {
            violations.insert(format!("the newest state can't be restored from repository {key}: {why}"));
        }
    }
    moments
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

fn ends_of_logs(world: &World) -> String {
    let end = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    };
    let watch = std::fs::read_to_string(world.watch_log()).unwrap_or_default();
    format!("{:#?}\n--- watch\n{}\n--- server\n{}", world.ledger().gaps, end(&watch), end(&world.cluster.log()))
}

impl Outcome {
    /// What kinds of violations there are: their words up to the first number or name.
    pub(crate) fn kinds(&self) -> BTreeSet<String> {
        self.violations.iter().map(|text| text.split(':').next().unwrap_or(text).to_owned()).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moments { asked, yes, no, held, wrong, refused, pessimistic } = self.moments;
        write!(
            f,
            "seed {}: {} faults, {} commits, {} segments on {} timelines; gaps: {} healed, {} sealed; longest commit {:.1} s, \
             longest stop {:.1} s, well after {:.0} s; moments: {asked} asked ({yes} yes, {no} no), {held} held, {wrong} \
             false, {refused} refused, of these {pessimistic} pessimistic; drills: {:?}; nodes: {:?} rewound or \
             copied, longest promotion {:.1} s; watch: {} MiB, {} descriptors; \
             {:.0} s; {}",
            self.seed,
            self.faults,
            self.rows,
            self.segments,
            self.timelines,
            self.gaps[0],
            self.gaps[1],
            self.longest_commit.as_secs_f64(),
            self.longest_stop.as_secs_f64(),
            self.well_after.as_secs_f64(),
            self.drills,
            self.rewound,
            self.longest_promotion.as_secs_f64(),
            self.watched.memory >> 10,
            self.watched.descriptors,
            self.took.as_secs_f64(),
            if self.violations.is_empty() { "well" } else { "VIOLATED" },
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n    {violation}"))
    }
}

/// The sum of several.
pub(crate) fn total(all: &[Outcome]) -> String {
    let sum = |of: fn(&Outcome) -> usize| all.iter().map(of).sum::<usize>();
    let longest = |of: fn(&Outcome) -> Duration| all.iter().map(of).max().unwrap_or_default().as_secs_f64();
    let mut drills: BTreeMap<&str, usize> = BTreeMap::new();
    for (verdict, count) in all.iter().flat_map(|one| &one.drills) {
        *drills.entry(verdict).or_default() += count;
    }
    format!(
        "{} seeds: {} faults, {} commits, {} segments; gaps: {} healed, {} sealed; moments: {} asked ({} yes, {} no), {} held, {} false, {} \
         refused, of these {} pessimistic; drills: {:?}; longest commit {:.1} s, longest stop {:.1} s, slowest to be well {:.0} s; {} seeds \
         violated",
        all.len(),
        sum(|one| one.faults),
        sum(|one| one.rows),
        sum(|one| one.segments),
        sum(|one| one.gaps[0]),
        sum(|one| one.gaps[1]),
        sum(|one| one.moments.asked),
        sum(|one| one.moments.yes),
        sum(|one| one.moments.no),
        sum(|one| one.moments.held),
        sum(|one| one.moments.wrong),
        sum(|one| one.moments.refused),
        sum(|one| one.moments.pessimistic),
        drills,
        longest(|one| one.longest_commit),
        longest(|one| one.longest_stop),
        longest(|one| one.well_after),
        sum(|one| usize::from(!one.violations.is_empty())),
    )
}
