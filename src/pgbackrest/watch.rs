//! How a call of pgBackRest is watched: the clock, our own signals, and whatever else is a reason to end it.
//!
//! Nothing in pgBackRest bounds a whole call: a store that trickles bytes never times out (#2800), and before 2.57 a refused
//! connection takes eight times `io-timeout`. So every call has a watch, and says why it was ended.

use crate::signals::Signals;
use std::time::{Duration, Instant};

/// How often the clock is looked at unless somebody wants it otherwise.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a child has between SIGTERM and SIGKILL unless somebody waits: before 2.58 SIGTERM could deadlock (#2710).
const GRACE: Duration = Duration::from_secs(2);

/// Why we ended a pgBackRest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Its time limit passed.
    TimeLimit,
    /// Nothing came from the repository for too long.
    Silence,
    /// None of its processes moved a byte for too long.
    Stall,
    /// A promotion waits.
    Promotion,
    /// Free space fell under the reserve while much WAL waits.
    FreeReserve,
    /// The server shuts down.
    Shutdown,
    /// We were asked to end ourselves.
    Signal,
}

impl Interruption {
    /// What was done, in words; `limit` is what its time limit comes from.
    pub(super) fn words(self, limit: &str) -> String {
        let why = match self {
            Self::TimeLimit => return format!("pgBackRest was ended: it took longer than {limit} allows"),
            Self::Silence => "it heard nothing from the repository",
            Self::Stall => "stalled, none of its processes moved a byte",
            Self::Promotion => "a promotion does not wait for it",
            Self::FreeReserve => "free space fell under WAL_FREE_RESERVE_MB",
            Self::Shutdown => "the server is shutting down",
            Self::Signal => "we were asked to stop",
        };
        format!("pgBackRest was ended: {why}")
    }
}

/// The watch over one call.
pub struct Watch<'w> {
    pub(super) signals: Option<&'w Signals>,
    pub(super) interval: Duration,
    pub(super) grace: Duration,
    pub(super) limit: &'static str,
    pub(super) check: Box<dyn FnMut(u32) -> Option<Interruption> + 'w>,
}

impl<'w> Watch<'w> {
    /// Asks `check` again and again for a reason to end the call; it is given the number of its process group.
    pub fn by(check: impl FnMut(u32) -> Option<Interruption> + 'w) -> Self {
        Self { signals: None, interval: INTERVAL, grace: GRACE, limit: "its time limit", check: Box::new(check) }
    }

    /// Ends the call after `limit`.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        let started = Instant::now();
        Self::by(move |_| (started.elapsed() >= limit).then_some(Interruption::TimeLimit))
    }

    /// Ends it too when one of our own signals arrives.
    #[must_use]
    pub fn and_signals(self, signals: &'w Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// Names the setting that its time limit comes from.
    #[must_use]
    pub fn limited_by(self, setting: &'static str) -> Self {
        Self { limit: setting, ..self }
    }

    /// Looks this often.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Leaves it so long between SIGTERM and SIGKILL.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}
