//! Whether a push gets on: the bytes that pgBackRest's processes move, and what its spool shows as stored since.
//!
//! With async on, PostgreSQL's call only waits for a process in a session of its own, which holds the archive lock; that
//! one's bytes count as much as the call's own. The kernel's counts lie in `/proc/<pid>/io` ([`crate::pgbackrest::progress`]).

use super::context::Context;
use crate::decide::pressure::STILL;
use crate::pgbackrest::progress::{Moved, moved};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// What is sent without getting on: a TLS handshake, a request that is refused, tried again and again.
const SENT_NOISE: u64 = 16 << 10;
/// What is read without getting on: libraries, certificates, the programs of a wrapper.
const READ_NOISE: u64 = 256 << 10;
/// How often the processes are looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// The progress of one call.
pub(super) struct Progress<'c> {
    context: &'c Context,
    seen: RefCell<Seen>,
}

struct Seen {
    call: Track,
    worker: Track,
    stored: Option<usize>,
    looked: Option<Instant>,
}

/// What one group of processes has moved, and since when nothing more.
struct Track {
    moved: Option<Moved>,
    since: Instant,
    got_on: bool,
}

impl<'c> Progress<'c> {
    /// A call that begins now.
    pub(super) fn of(context: &'c Context) -> Self {
        let seen = Seen { call: Track::begin(), worker: Track::begin(), stored: None, looked: None };
        Self { context, seen: RefCell::new(seen) }
    }

    /// For how long nothing has moved. `group` is the call's process group.
    pub(super) fn still(&self, group: u32) -> Duration {
        let mut seen = self.seen.borrow_mut();
        if seen.looked.is_none_or(|looked| looked.elapsed() >= INTERVAL) {
            seen.call.look(moved(group));
            self.look_at_the_worker(&mut seen);
        }
        seen.call.since.max(seen.worker.since).elapsed()
    }

    /// Whether the async process has got on while this call waited for it, and not long ago. The call has ended.
    pub(super) fn is_the_worker_getting_on(&self) -> bool {
        let mut seen = self.seen.borrow_mut();
        self.look_at_the_worker(&mut seen);
        seen.worker.got_on && seen.worker.since.elapsed() < STILL
    }

    fn look_at_the_worker(&self, seen: &mut Seen) {
        let stored = self.context.client.acknowledged();
        seen.looked = Some(Instant::now());
        seen.worker.look(self.context.client.worker_group().map_or_else(Moved::default, moved));
        if seen.stored.replace(stored).is_some_and(|before| stored > before) {
            seen.worker.gets_on();
        }
    }
}

impl Track {
    fn begin() -> Self {
        Self { moved: None, since: Instant::now(), got_on: false }
    }

    fn gets_on(&mut self) {
        (self.since, self.got_on) = (Instant::now(), true);
    }

    /// Takes in what was moved so far. What was moved before the first look says nothing of now.
    fn look(&mut self, now: Moved) {
        let before = self.moved.unwrap_or(now);
        let gets_on = now.written >= before.written + SENT_NOISE || now.read >= before.read + READ_NOISE;
        // A process that has ended takes its count with it.
        let lower = Moved { read: before.read.min(now.read), written: before.written.min(now.written) };
        self.moved = Some(if gets_on { now } else { lower });
        if gets_on {
            self.gets_on();
        }
    }
}
