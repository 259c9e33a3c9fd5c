//! The integration tests: one file a subject.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod live;
mod live_gone;
mod live_healthy;
mod live_kept;
mod live_outage;
mod live_promotion;
mod live_queue;
mod live_repositories;
mod live_stop;
