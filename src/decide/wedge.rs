//! Whether pgBackRest's async push process is wedged, and what to do about it.
//!
//! It can hang for ever on a connection that says nothing (pgBackRest #1522, #1617); as long as it holds its lock no
//! other starts, and every push times out. It is wedged when for the whole [`PATIENCE`] WAL has waited and it has moved no
//! byte: nothing was stored then, whatever PostgreSQL counts (a segment that push gives up counts as archived), and one that
//! uploads slowly is left alone. SIGTERM can deadlock before 2.58 (#2710),
//! so SIGKILL follows.

use crate::pgbackrest::locks::Worker;
use std::time::Duration;

/// How long nothing may move.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// How long a process has between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(30);

/// What changes while archiving gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether WAL waits for the archiver.
    pub wal_waits: bool,
    /// The process that holds the archive lock.
    pub worker: Option<Worker>,
    /// The bytes that it and its children have moved; `None` when they can't be looked at.
    pub moved: Option<u64>,
}

/// What to send to a wedged process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Remedy {
    /// End it by SIGTERM, which pgBackRest answers by tidying up.
    Terminate(Worker),
    /// SIGKILL: it was sent SIGTERM, and has not ended.
    Kill(Worker),
}

/// What was seen before. Times are those of a clock that can't be set, since whenever.
#[derive(Debug, Clone, Default)]
pub struct Wedge {
    seen: Option<(Seen, Duration)>,
    terminated: Option<(Worker, Duration)>,
}

impl Wedge {
    /// Takes in what is to be seen `now`.
    pub fn look(&mut self, seen: Seen, now: Duration, patience: Duration) -> Option<Remedy> {
        let same = self.seen.as_ref().filter(|(before, _)| *before == seen);
        let since = same.map_or(now, |(_, since)| *since);
        let still = seen.wal_waits && seen.moved.is_some() && now.saturating_sub(since) >= patience;
        let worker = seen.worker.clone();
        self.seen = Some((seen, since));
        self.terminated.take_if(|(sent_to, _)| Some(&*sent_to) != worker.as_ref());
        let worker = worker?;
        match self.terminated {
            Some((_, at)) if now.saturating_sub(at) >= GRACE => {
                self.terminated = None;
                // With SIGKILL unheeded too, it would be sent SIGTERM again only after the whole time.
                self.seen = None;
                Some(Remedy::Kill(worker))
            }
            None if still => {
                self.terminated = Some((worker.clone(), now));
                Some(Remedy::Terminate(worker))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pid: u32) -> Worker {
        Worker { pid, group: pid }
    }

    fn hung() -> Seen {
        Seen { wal_waits: true, worker: Some(worker(11)), moved: Some(5) }
    }

    /// What follows when these are seen, one a minute.
    fn minutes(seen: impl IntoIterator<Item = Seen>) -> Vec<(usize, Remedy)> {
        let mut wedge = Wedge::default();
        let looks = seen.into_iter().enumerate();
        let look = |(minute, seen): (usize, Seen)| {
            let now = Duration::from_mins(u64::try_from(minute).unwrap());
            wedge.look(seen, now, PATIENCE).map(|remedy| (minute, remedy))
        };
        looks.filter_map(look).collect()
    }

    #[test]
    fn a_worker_that_moves_nothing_for_ten_minutes_is_told_to_end_and_then_killed() {
        let [term, kill] = [Remedy::Terminate(worker(11)), Remedy::Kill(worker(11))];
        assert_eq!(minutes(vec![hung(); 10]), []);
        assert_eq!(minutes(vec![hung(); 11]), [(10, term.clone())]);
        assert_eq!(minutes(vec![hung(); 21]), [(10, term.clone()), (11, kill)]);
        let another = Seen { worker: Some(worker(12)), ..hung() };
        let ended = vec![hung(); 11].into_iter().chain(vec![another; 9]);
        assert_eq!(minutes(ended), [(10, term)]);
    }

    #[test]
    fn whatever_moves_begins_the_time_anew() {
        for changed in [
            Seen { moved: Some(6), ..hung() },
            Seen { worker: Some(worker(12)), ..hung() },
            Seen { worker: None, ..hung() },
            Seen { wal_waits: false, ..hung() },
        ] {
            let seen = vec![hung(); 9].into_iter().chain([changed]).chain(vec![hung(); 9]);
            assert_eq!(minutes(seen), []);
        }
    }

    #[test]
    fn without_waiting_wal_a_worker_or_a_look_at_it_nothing_is_ended() {
        for seen in [
            Seen { wal_waits: false, ..hung() },
            Seen { worker: None, moved: None, ..hung() },
            Seen { moved: None, ..hung() },
        ] {
            assert_eq!(minutes(vec![seen; 100]), []);
        }
    }
}
