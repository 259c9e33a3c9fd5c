//! Live: a volume of 512 MiB that fills with WAL while the store hangs or refuses. PostgreSQL goes on, and space with it.
//!
//! How fast that may go follows from the reserve: a push that stands still is ended after 5 s, and three quarters of the reserve must
//! last for them (docs/limits.md). `LAB_WAL_RATE` (MiB a second) and `LAB_RESERVE` (MiB) measure other figures.

use super::scene::{Live, Mode};
use pgbackrest_guard_lab::{Fault, FaultKind};
use std::time::{Duration, Instant};

const VOLUME: u64 = 512;
/// A third of what was measured to hold, for a machine that does other things too.
const RATE: u64 = 16;
const RESERVE: u64 = 256;
/// How long it is written: two pushes are tried at least.
const LASTS: Duration = Duration::from_secs(50);
/// What a commit may take.
const COMMIT: Duration = Duration::from_secs(5);

fn or(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Writes WAL at the rate, a commit each tenth of a second, and watches.
fn fills(mode: Mode, fault: Fault) {
    let (rate, reserve) = (or("LAB_WAL_RATE", RATE), or("LAB_RESERVE", RESERVE));
    let setup = Live::of(mode).segment_mib(16).setting("min_wal_size", "32MB").setting("max_wal_size", "64MB");
    let Some(setup) = setup.on_a_volume(VOLUME) else { return };
    let live = setup.env("WAL_FREE_RESERVE_MB", &reserve.to_string()).start();
    live.s3.inject(fault);
    let started = Instant::now();
    let (mut written, mut longest, mut least) = (0, Duration::ZERO, u64::MAX);
    while started.elapsed() < LASTS {
        let due = started.elapsed().as_millis() * u128::from(rate) / 1000;
        if u128::from(written) >= due {
            std::thread::sleep(Duration::from_millis(20));
        } else {
            let mebibytes = u64::try_from(due).unwrap().saturating_sub(written).min(rate / 2 + 1);
            let begun = Instant::now();
            let bytes = mebibytes << 20;
            live.postgres.sql(&format!("SELECT pg_logical_emit_message(true, 'x', repeat('x', {bytes}))"));
            longest = longest.max(begun.elapsed());
            written += mebibytes;
        }
        least = least.min(fs2::available_space(live.postgres.pgdata()).unwrap() >> 20);
    }
    let dropped = live.state().push.dropped_count;
    let failed = live.state().push.failed_count;
    eprintln!(
        "{written} MiB in {:?}, longest commit {longest:?}, least free {least} MiB of a reserve of {reserve}, {dropped} segments lost, {failed} pushes failed",
        started.elapsed()
    );
    assert!(live.postgres.is_running(), "{}", live.postgres.log());
    assert!(longest < COMMIT, "a commit took {longest:?}");
    assert!(least >= reserve / 4, "{least} MiB free of a reserve of {reserve}");
    assert!(dropped > 0, "the reserve was reached");
    live.s3.clear_faults();
    live.wait_for_no_backlog();
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn long_a_hanging_store_sync() {
    fills(Mode::Sync, Fault::new(FaultKind::Hang));
}

#[test]
fn a_hanging_store_async() {
    fills(Mode::Async, Fault::new(FaultKind::Hang));
}

#[test]
fn long_a_refusing_store_sync() {
    fills(Mode::Sync, Fault::new(FaultKind::Refuse));
}

#[test]
fn long_a_refusing_store_async() {
    fills(Mode::Async, Fault::new(FaultKind::Refuse));
}
