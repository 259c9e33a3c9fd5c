//! Any history of losses, heals, backups, restarts and clocks that are set: no gap is closed without proof, and once all
//! is quiet again every gap is closed, by few backups.
//!
//! The decisions and the gap arithmetic are the program's; the world that they act on is a model: segments by number,
//! an archive as a set of them, a backup as a position.

use pgbackrest_guard::decide::holes::Listing;
use pgbackrest_guard::decide::watch::{Action, Memory, Observation, Reason, Schedule, decide};
use pgbackrest_guard::ledger::gaps::{BackupStart, Cause, GapState, Gaps, Loss, LossesBefore, Repositories};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline, WalFile};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SIZE: SegmentSize = SegmentSize::DEFAULT;
const ONLY: Repositories<'static> = Repositories { configured: &[1], backed_up: &[1] };
const SCHEDULE: Schedule = Schedule {
    full: 604_800,
    diff: 86_400,
    verify: 3_600,
    grace: 300,
    backoff: None,
    gap_diff: false,
    heartbeat: false,
};

const SHA: &str = "7798b7d2af0a677f3636f4a578c6800df3ddd284";

#[derive(Debug, Clone)]
enum Step {
    /// A segment is written, and archived or given up.
    Write { lost: bool },
    /// PostgreSQL recycles all but the newest segments.
    Recycle { kept: u64 },
    /// The watcher polls.
    Poll { repository_answers: bool },
    /// The running backup ends.
    BackupEnds { well: bool },
    /// The watcher is killed and started again; a backup that ran may have been made all the same.
    Restart { made: bool },
    /// Time passes, or the clock is set.
    Clock { seconds: i64 },
    /// Somebody deletes a segment from the archive.
    Delete { nth: u64 },
}

struct Running {
    start: u64,
    at: i64,
    reason: Reason,
    gaps: Gaps,
}

/// All that there is.
struct World {
    now: i64,
    /// The next segment to be written.
    next: u64,
    archived: BTreeSet<u64>,
    /// What was ever archived, deleted or not.
    proven: BTreeSet<u64>,
    pg_wal: BTreeSet<u64>,
    gaps: Gaps,
    memory: Memory,
    backup: Option<Running>,
    catalog: Vec<(BackupStart, i64)>,
    backups: usize,
    last_failure_at: Option<i64>,
}

fn segment(number: u64) -> SegmentName {
    SegmentName::from_number(Timeline(1), number, SIZE).unwrap()
}

impl World {
    fn new() -> Self {
        let now = 1_800_000_000;
        let first = BackupStart { label: "first".to_owned(), timeline: Timeline(1), lsn: SIZE.bytes() };
        let memory =
            Memory { last_full_at: Some(now), last_diff_at: Some(now), last_verify_at: Some(now), ..Memory::default() };
        Self {
            now,
            next: 1,
            archived: BTreeSet::new(),
            proven: BTreeSet::new(),
            pg_wal: BTreeSet::new(),
            gaps: Gaps::default(),
            memory,
            backup: None,
            catalog: vec![(first, now)],
            backups: 0,
            last_failure_at: None,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { lost } => self.write(lost),
            Step::Recycle { kept } => self.pg_wal = self.pg_wal.split_off(&self.next.saturating_sub(kept)),
            Step::Poll { repository_answers } => self.poll(repository_answers),
            Step::BackupEnds { well } => self.backup_ends(well),
            Step::Restart { made } => self.restart(made),
            Step::Clock { seconds } => self.now += seconds,
            Step::Delete { nth } => {
                let nth = self.archived.iter().nth(usize::try_from(nth).unwrap()).copied();
                nth.map(|number| self.archived.remove(&number));
            }
        }
    }

    fn write(&mut self, lost: bool) {
        let number = self.next;
        self.next += 1;
        self.pg_wal.insert(number);
        if lost {
            self.last_failure_at = Some(self.now);
            self.lose(number, Cause::InstantDrop);
        } else {
            self.archived.insert(number);
            self.proven.insert(number);
        }
    }

    fn lose(&mut self, number: u64, cause: Cause) {
        let loss =
            Loss { segment: segment(number), partial: false, class: Class::Gone, cause, s3_code: None, at: self.now };
        self.gaps.record(&loss, SIZE);
    }

    fn healable(&self) -> Vec<u64> {
        let open = |number: &u64| self.gaps.open_gap_of(segment(*number), false, SIZE).is_some();
        self.pg_wal.iter().copied().filter(open).collect()
    }

    fn poll(&mut self, answers: bool) {
        let healable = !self.healable().is_empty();
        let seen = Observation {
            now: self.now,
            unchecked: false,
            others: false,
            backup_locked: false,
            gap: self.gaps.any_open(),
            pushable: healable,
            healable,
            last_failure_at: self.last_failure_at,
            backup_runs: self.backup.is_some(),
            unproven: false,
            unwalked: false,
        };
        for action in decide(&seen, &self.memory, &SCHEDULE) {
            match action {
                Action::AskCatalog if answers => self.verify(),
                Action::AskCatalog => (self.memory.inconclusive_at, self.memory.unreadable) = (Some(self.now), true),
                Action::Heal if answers => self.heal(),
                Action::Heal => self.memory.heal_failed_at = Some(self.now),
                Action::Backup(..) if self.memory.unreadable || !answers => {}
                Action::Backup(_, reason) => self.begin_backup(reason),
                Action::Heartbeat | Action::ProveContinuity | Action::LookUp | Action::Wait(..) => {}
            }
        }
    }

    fn verify(&mut self) {
        (self.memory.last_verify_at, self.memory.inconclusive_at, self.memory.unreadable) =
            (Some(self.now), None, false);
        // Adopted from the catalog, which may have been written by a clock that was ahead.
        let known = self.memory.last_full_at.filter(|at| *at <= self.now);
        self.memory.last_full_at = known.or(Some(self.now));
        let newest = self.catalog.iter().map(|(start, _)| start.lsn / SIZE.bytes()).max().unwrap();
        let lines = self.archived.iter().map(|number| format!("{}-{SHA}\n", segment(*number)));
        let listing = Listing::parse(&lines.collect::<String>(), SIZE);
        if self.next > 1 {
            for missing in listing.missing(segment(newest), segment(self.next - 1), &BTreeMap::new(), SIZE) {
                if !self.gaps.lost_for_good(missing, SIZE) {
                    self.lose(missing.number(SIZE), Cause::FoundMissing);
                }
            }
        }
        for (start, at) in &self.catalog {
            self.gaps.seal_in(1, ONLY, start, LossesBefore::StartedAt(*at), (self.now, SIZE));
        }
    }

    fn heal(&mut self) {
        self.memory.heal_failed_at = None;
        for number in self.healable() {
            self.archived.insert(number);
            self.proven.insert(number);
            self.gaps.heal(&WalFile::Segment(segment(number)), self.now, SIZE);
        }
    }

    fn begin_backup(&mut self, reason: Reason) {
        assert!(self.backup.is_none(), "two at a time");
        self.backups += 1;
        let start = self.next * SIZE.bytes() + 40;
        self.backup = Some(Running { start, at: self.now, reason, gaps: self.gaps.clone() });
    }

    fn backup_ends(&mut self, well: bool) {
        let Some(backup) = self.backup.take() else { return };
        if !well {
            self.memory.backup_failed_at = Some(self.now);
            return;
        }
        let start = self.list(&backup);
        (self.memory.last_full_at, self.memory.last_diff_at) = (Some(self.now), Some(self.now));
        self.memory.backup_failed_at = None;
        let sealed = self.gaps.seal_in(1, ONLY, &start, LossesBefore::OnRecord(&backup.gaps), (self.now, SIZE));
        let in_vain = backup.reason == Reason::Gap && backup.gaps.any_open() && sealed == 0;
        self.memory.unsealed_at = in_vain.then_some(self.now);
    }

    fn list(&mut self, backup: &Running) -> BackupStart {
        let label = format!("backup {}", self.catalog.len());
        let start = BackupStart { label, timeline: Timeline(1), lsn: backup.start };
        self.catalog.push((start.clone(), backup.at));
        start
    }

    /// What is in the state file is kept; what is in the process is not.
    fn restart(&mut self, made: bool) {
        if let Some(backup) = self.backup.take().filter(|_| made) {
            self.list(&backup);
        }
        let Memory { last_full_at, last_diff_at, last_verify_at, .. } = self.memory;
        self.memory = Memory { last_full_at, last_diff_at, last_verify_at, ..Memory::default() };
    }

    /// No gap is closed without proof, and nothing that was lost is nowhere.
    fn check(&self) {
        for gap in self.gaps.iter() {
            let numbers = gap.first.number(SIZE)..=gap.last.number(SIZE);
            match gap.state {
                GapState::Open => {}
                GapState::Healed => assert!(numbers.clone().all(|number| self.proven.contains(&number)), "{gap:?}"),
                GapState::Sealed => {
                    let by = self.catalog.iter().find(|(start, _)| Some(&start.label) == gap.sealed_by.as_ref());
                    let (start, _) = by.unwrap_or_else(|| panic!("no such backup: {gap:?}"));
                    assert!(start.lsn >= (numbers.end() + 1) * SIZE.bytes(), "{gap:?} by {start:?}");
                }
            }
        }
        for number in (1..self.next).filter(|number| !self.proven.contains(number)) {
            assert!(self.gaps.lost_for_good(segment(number), SIZE), "{number} is nowhere: {:?}", self.gaps);
        }
    }

    /// All is well from now on. How many backups it takes until no gap is open.
    fn calm_down(&mut self) -> usize {
        let before = self.backups;
        self.backup_ends(true);
        for _ in 0..60 {
            self.write(false);
            self.now += 120;
            self.poll(true);
            self.backup_ends(true);
            self.check();
        }
        assert!(!self.gaps.any_open(), "still open after two hours: {:?}, {:?}", self.gaps, self.memory);
        self.backups - before
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|lost| Step::Write { lost }),
        1 => (0..6_u64).prop_map(|kept| Step::Recycle { kept }),
        4 => prop::bool::weighted(0.8).prop_map(|repository_answers| Step::Poll { repository_answers }),
        2 => prop::bool::weighted(0.7).prop_map(|well| Step::BackupEnds { well }),
        1 => any::<bool>().prop_map(|made| Step::Restart { made }),
        3 => (0..1_000_i64).prop_map(|seconds| Step::Clock { seconds }),
        1 => (-200_000..200_000_i64).prop_map(|seconds| Step::Clock { seconds }),
        1 => (0..20_u64).prop_map(|nth| Step::Delete { nth }),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn no_gap_is_closed_without_proof_and_none_stays_open_for_ever(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        let backups = world.calm_down();
        prop_assert!(backups <= 4, "{backups} backups to calm down");
    }
}
