//! What goes wrong in a campaign, as data: a seed gives a profile and a list of faults that overlap.
//!
//! A fault has a number, a moment and a length. A failing seed is replayed with the same list, and made smaller by leaving
//! out numbers; whatever is left out, the others stay where they were.

use super::random::Random;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The first number of the faults that came later.
const LATER: u64 = 100;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The store no longer knows the key.
    KeyRevoked,
    /// The key may read only.
    ReadOnly,
    /// The key may do nothing.
    Denied,
    /// The bucket is gone, and comes back with all that was in it.
    BucketGone,
    /// Connections are refused.
    Refused,
    /// Requests are never answered.
    Hangs,
    /// Each request gets a 503.
    Busy,
    /// Uploads crawl.
    Trickles,
    /// Connections break in the middle of an upload.
    Resets,
    /// The second repository's folder is not there.
    SecondAway,
    /// SIGKILL to a push that runs.
    KillPush,
    /// SIGKILL to pgBackRest's async worker.
    KillWorker,
    /// SIGKILL to any pgBackRest that runs.
    KillBackrest,
    /// SIGKILL to the watcher; it is started again when the fault ends.
    KillWatch,
    /// SIGKILL to the postmaster; started again when the fault ends.
    KillServer,
    /// A fast stop and a start.
    Restart,
    /// An immediate stop and a start.
    Crash,
    /// A stop, a start as a standby, and a promotion: a new timeline.
    NewTimeline,
    /// One byte of the ledger becomes another.
    LedgerByte,
    /// A second watcher beside the first.
    SecondWatcher,
    /// A checkpoint, which recycles what nobody needs.
    Checkpoint,
    /// Expiry that keeps one full backup.
    Expire,
    /// Somebody else takes a full backup.
    OthersFull,
    /// Segments in a row, as fast as they come.
    Burst,
    /// A small disk is full to its last byte, and has room again.
    DiskFull,
    /// A drill beside all that.
    Drill,
    /// The bucket is deleted and made again, with nothing in it; in the end somebody creates the stanza.
    BucketEmptied,
    /// The programs' clock is set, and set right again.
    ClockStep,
    /// The standby takes over, and in the end the old primary is rewound and follows it.
    NewPrimary,
}

impl Fault {
    /// All that make a campaign.
    const ALL: [Self; 24] = [
        Self::KeyRevoked,
        Self::ReadOnly,
        Self::Denied,
        Self::BucketGone,
        Self::Refused,
        Self::Hangs,
        Self::Busy,
        Self::Trickles,
        Self::Resets,
        Self::SecondAway,
        Self::KillPush,
        Self::KillWorker,
        Self::KillBackrest,
        Self::KillWatch,
        Self::KillServer,
        Self::Restart,
        Self::Crash,
        Self::NewTimeline,
        Self::LedgerByte,
        Self::SecondWatcher,
        Self::Checkpoint,
        Self::Expire,
        Self::OthersFull,
        Self::Burst,
    ];
    /// Drawn beside those, so that a seed's first ones stay what they were. Some are drawn more often.
    const LATER: [Self; 9] = [
        Self::DiskFull,
        Self::DiskFull,
        Self::Drill,
        Self::Drill,
        Self::BucketEmptied,
        Self::ClockStep,
        Self::ClockStep,
        Self::NewPrimary,
        Self::NewPrimary,
    ];
    /// Those of the part that `make test` runs.
    const STEADY: [Self; 6] =
        [Self::KeyRevoked, Self::Busy, Self::Refused, Self::KillPush, Self::KillWatch, Self::Checkpoint];
}

/// What lies on a disk of its own that can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Small {
    /// Nothing.
    Nothing,
    /// The state directory.
    State,
    /// The data directory, with `pg_wal` and the state.
    Data,
    /// pgBackRest's spool.
    Spool,
}

/// One fault with its place in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its number in the schedule.
    pub(crate) number: u32,
    /// When it begins.
    pub(crate) at: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// What it is.
    pub(crate) fault: Fault,
}

/// How the cluster is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct Profile {
    /// `archive-async`.
    pub(crate) asynchronous: bool,
    /// `WAL_DROP_THRESHOLD_MB`.
    pub(crate) threshold: u64,
    /// `WAL_DROP_AFTER_SECONDS`.
    pub(crate) after: u64,
    /// A second repository, in a folder.
    pub(crate) second: bool,
    /// An overflow folder.
    pub(crate) overflow: bool,
    /// `archive-push-queue-max`.
    pub(crate) queue_max: bool,
    /// Differential backups every 15 s.
    pub(crate) diffs: bool,
    /// `WAL_BACKUP_GAP_TYPE=diff`.
    pub(crate) gap_by_diff: bool,
    /// Repository 1 in a folder too, for what needs no store.
    pub(crate) folders: bool,
    /// What lies on a small disk.
    pub(crate) small: Small,
    /// The programs go by a clock that can be set.
    pub(crate) clock: bool,
    /// Another node follows.
    pub(crate) standby: bool,
}

/// How large a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Of a seed of `make campaign`.
    Whole,
    /// Of the part in `make test`.
    Short,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Where it comes from.
    pub(crate) seed: u64,
    /// The set-up.
    pub(crate) profile: Profile,
    /// What goes wrong, by its moment.
    pub(crate) faults: Vec<Planned>,
    /// How long faults may go on.
    pub(crate) length: Duration,
}

impl Schedule {
    /// That of a seed.
    pub(crate) fn of(seed: u64, size: Size) -> Self {
        let mut random = Random::new(seed);
        let profile = Profile::of(&mut random, size);
        let (count, length): (u64, u64) = match size {
            Size::Whole => (12 + random.below(24), 45_000),
            Size::Short => (4, 8_000),
        };
        let of: &[Fault] = if size == Size::Whole { &Fault::ALL } else { &Fault::STEADY };
        let mut faults = drawn(&mut random, of, 0..count, length);
        let mut random = Random::new(!seed);
        let profile = if size == Size::Whole { profile.later(&mut random) } else { profile };
        if size == Size::Whole {
            let count = 2 + random.below(5);
            faults.extend(drawn(&mut random, &Fault::LATER, LATER..LATER + count, length));
        }
        faults.retain(|planned| profile.has_what_it_takes(planned.fault));
        // Once: each needs a full backup.
        let once = faults.iter().find(|planned| planned.fault == Fault::BucketEmptied).map(|planned| planned.number);
        faults.retain(|planned| planned.fault != Fault::BucketEmptied || Some(planned.number) == once);
        faults.sort_by_key(|planned| (planned.at, planned.number));
        Self { seed, profile, faults, length: Duration::from_millis(length) }
    }

    /// The same without these numbers.
    pub(crate) fn without(&self, numbers: &BTreeSet<u32>) -> Self {
        let mut fewer = self.clone();
        fewer.faults.retain(|planned| !numbers.contains(&planned.number));
        fewer
    }

    /// Whether a fault is in it.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.iter().any(|planned| planned.fault == fault)
    }
}

/// Faults with these numbers: most are short, some reach far over others.
fn drawn(random: &mut Random, of: &[Fault], numbers: std::ops::Range<u64>, length: u64) -> Vec<Planned> {
    let draw = |number| {
        let fault = random.pick(of);
        let at = random.below(length - 3_000);
        let longest = if random.chance(25) { 20_000 } else { 5_000 };
        let lasts = (200 + random.below(longest)).min(length - at);
        let (at, lasts) = (Duration::from_millis(at), Duration::from_millis(lasts));
        Planned { number: u32::try_from(number).unwrap_or(u32::MAX), at, lasts, fault }
    };
    numbers.map(draw).collect()
}

impl Profile {
    fn of(random: &mut Random, size: Size) -> Self {
        let drawn = Self {
            asynchronous: random.chance(50),
            threshold: random.pick(&[0, 3, 8, 500]),
            after: random.pick(&[0, 5]),
            second: random.chance(40),
            overflow: random.chance(30),
            queue_max: random.chance(30),
            diffs: random.chance(40),
            gap_by_diff: random.chance(40),
            folders: false,
            small: Small::Nothing,
            clock: false,
            standby: false,
        };
        match size {
            Size::Whole => drawn,
            Size::Short => {
                Self { asynchronous: false, second: false, queue_max: false, diffs: false, threshold: 3, ..drawn }
            }
        }
    }

    /// With what came later.
    fn later(self, random: &mut Random) -> Self {
        let small = [Small::Nothing, Small::State, Small::State, Small::Data, Small::Data, Small::Spool];
        let later = Self { small: random.pick(&small), clock: random.chance(50), standby: random.chance(40), ..self };
        // Each node has a state directory of its own.
        if later.standby { Self { small: Small::Nothing, ..later } } else { later }
    }

    /// Whether a fault can happen to it.
    fn has_what_it_takes(&self, fault: Fault) -> bool {
        match fault {
            Fault::SecondAway => self.second,
            Fault::ClockStep => self.clock,
            Fault::NewPrimary => self.standby,
            // One that is started as a standby would first ask the archive.
            Fault::NewTimeline => !self.standby,
            Fault::DiskFull => self.small != Small::Nothing,
            _ => true,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}", self.seed, self.profile)?;
        for Planned { number, at, lasts, fault } in &self.faults {
            writeln!(f, "  {number:>3}  {:>6.1} s  {:>5.1} s  {fault:?}", at.as_secs_f64(), lasts.as_secs_f64())?;
        }
        Ok(())
    }
}

#[test]
fn a_seed_gives_the_same_campaign_each_time_and_smaller_ones_keep_their_moments() {
    let one = Schedule::of(7, Size::Whole);
    assert_eq!(one, Schedule::of(7, Size::Whole));
    assert_ne!(one, Schedule::of(8, Size::Whole));
    let left_out: BTreeSet<u32> = one.faults.iter().take(2).map(|planned| planned.number).collect();
    let fewer = one.without(&left_out);
    assert_eq!((fewer.faults.len() + 2, fewer.profile), (one.faults.len(), one.profile));
    assert!(fewer.faults.iter().all(|planned| one.faults.contains(planned)));
    let kinds: BTreeSet<Fault> =
        (0..40).flat_map(|seed| Schedule::of(seed, Size::Whole).faults).map(|planned| planned.fault).collect();
    let all: BTreeSet<Fault> = Fault::ALL.into_iter().chain(Fault::LATER).collect();
    assert_eq!(kinds, all, "each kind comes up");
}
