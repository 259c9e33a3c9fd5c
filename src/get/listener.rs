//! What is listened for while pgBackRest fetches a file: the clock, what comes in, a request for a promotion.

use crate::data_directory::DataDirectory;
use crate::decide::get::{Asker, Limits, PROMOTION_LIMIT, Promotion};
use crate::pgbackrest::prefetch::Prefetch;
use crate::pgbackrest::{Interruption, progress};
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long pgBackRest may run before anybody looks for what comes in: until then it reads its libraries, its
/// configuration and the certificates.
const UNSUSPICIOUS: Duration = Duration::from_secs(1);

/// Whose call is listened to.
pub(super) struct Caller<'d> {
    /// Who waits for it.
    pub(super) asker: Asker,
    /// The cluster, where one is known.
    pub(super) directory: Option<&'d DataDirectory>,
    /// Where an async process downloads to, if one may.
    pub(super) prefetch: Option<Prefetch>,
    /// When the time began that a promotion is waiting.
    pub(super) began: Instant,
}

/// Looks at the clock, at what comes in, and whether somebody asks for a promotion.
pub(super) struct Listener<'d> {
    limits: Limits,
    /// What it means when the whole time is over.
    at_the_limit: Interruption,
    /// A standby's data directory.
    standby: Option<&'d DataDirectory>,
    prefetch: Option<Prefetch>,
    began: Instant,
    started: Instant,
    moved: Option<u64>,
    spooled: (u64, Option<SystemTime>),
    heard_at: Instant,
    /// Set when something came in.
    heard: &'d Cell<bool>,
}

impl<'d> Listener<'d> {
    pub(super) fn new(limits: Limits, caller: Caller<'d>, heard: &'d Cell<bool>) -> Self {
        let Caller { asker, directory, prefetch, began } = caller;
        let waits = matches!(asker, Asker::Standby { promotion: Promotion::Waits, .. } | Asker::NewTimeline { .. });
        let at_the_limit = if waits { Interruption::Promotion } else { Interruption::TimeLimit };
        let standby = directory.filter(|_| matches!(asker, Asker::Standby { .. }));
        let started = Instant::now();
        let spooled = prefetch.as_ref().map(Prefetch::footprint).unwrap_or_default();
        Self { limits, at_the_limit, standby, prefetch, began, started, moved: None, spooled, heard_at: started, heard }
    }

    /// A reason to end it. `group` is its process group.
    pub(super) fn check(&mut self, group: u32) -> Option<Interruption> {
        let elapsed = self.began.elapsed();
        if elapsed >= self.limits.whole {
            self.listen(group);
            return Some(self.at_the_limit);
        }
        let asked_for = || self.standby.is_some_and(DataDirectory::promotion_is_asked_for);
        if elapsed >= PROMOTION_LIMIT && asked_for() {
            self.listen(group);
            return Some(Interruption::Promotion);
        }
        if self.standby.is_none() || self.started.elapsed() < UNSUSPICIOUS {
            return None;
        }
        // Another user's process can't be looked at: that is not the same as one that hears nothing.
        let can_be_looked_at = self.listen(group);
        (can_be_looked_at && self.heard_at.elapsed() >= self.limits.silence).then_some(Interruption::Silence)
    }

    /// Looks whether something came in. False when that can't be seen.
    fn listen(&mut self, group: u32) -> bool {
        let spooled = self.prefetch.as_ref().map(Prefetch::footprint).unwrap_or_default();
        if spooled != self.spooled {
            self.spooled = spooled;
            self.hear();
        }
        let Some(moved) = progress::bytes_of_both_ways(group) else { return false };
        match self.moved {
            Some(before) if moved < before + progress::NOISE => {}
            Some(_) => {
                self.moved = Some(moved);
                self.hear();
            }
            None => {
                self.moved = Some(moved);
                if moved >= progress::NOISE {
                    self.heard_at = Instant::now();
                }
            }
        }
        true
    }

    fn hear(&mut self) {
        self.heard_at = Instant::now();
        self.heard.set(true);
    }
}
