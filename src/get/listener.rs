//! What is listened for while pgBackRest fetches a file: the clock, what it reads, a request for a promotion.

use crate::data_directory::DataDirectory;
use crate::decide::get::{Asker, Limits, PROMOTION_LIMIT};
use crate::pgbackrest::progress;
use std::time::{Duration, Instant};

/// How long pgBackRest may run before anybody looks for what it reads.
const UNSUSPICIOUS: Duration = Duration::from_secs(1);

/// Why pgBackRest was ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// The time limit passed.
    TimeLimit,
    /// Nothing came from the repository for too long.
    Silence,
    /// A promotion waits.
    Promotion,
    /// We were asked to end.
    Signal,
}

impl Stop {
    /// Whether we lost patience; nobody asked us to end.
    pub(super) fn is_impatience(self) -> bool {
        matches!(self, Self::TimeLimit | Self::Silence | Self::Promotion)
    }
}

/// Looks at the clock, at what pgBackRest reads, and whether somebody asks for a promotion.
pub(super) struct Listener<'d> {
    limits: Limits,
    /// What it means when the whole time is over.
    at_the_limit: Stop,
    /// A standby's data directory.
    standby: Option<&'d DataDirectory>,
    started: Instant,
    read: u64,
    read_at: Instant,
}

impl<'d> Listener<'d> {
    pub(super) fn new(limits: Limits, asker: Option<Asker>, directory: Option<&'d DataDirectory>) -> Self {
        let waits = matches!(asker, Some(Asker::Standby { promotion: true, .. } | Asker::NewTimeline { .. }));
        let at_the_limit = if waits { Stop::Promotion } else { Stop::TimeLimit };
        let standby = directory.filter(|_| matches!(asker, Some(Asker::Standby { .. })));
        let now = Instant::now();
        Self { limits, at_the_limit, standby, started: now, read: 0, read_at: now }
    }

    /// A reason to end it. `group` is its process group.
    pub(super) fn check(&mut self, group: u32) -> Option<Stop> {
        let elapsed = self.started.elapsed();
        if elapsed >= self.limits.whole {
            return Some(self.at_the_limit);
        }
        let asked_for = || self.standby.is_some_and(DataDirectory::promotion_is_asked_for);
        if elapsed >= PROMOTION_LIMIT && asked_for() {
            return Some(Stop::Promotion);
        }
        if elapsed < UNSUSPICIOUS || self.limits.silence == Duration::MAX {
            return None;
        }
        // Another user's process can't be looked at: that is not the same as one that reads nothing.
        let read = progress::bytes_read(group)?;
        if read >= self.read + progress::NOISE {
            (self.read, self.read_at) = (read, Instant::now());
        }
        (self.read_at.elapsed() >= self.limits.silence).then_some(Stop::Silence)
    }
}
