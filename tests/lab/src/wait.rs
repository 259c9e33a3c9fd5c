//! Waiting for a condition instead of for an amount of time: every wait of the laboratory polls.

use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Polls until `condition` holds, for at most `timeout`; tells whether it did.
pub fn within(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Polls until `condition` holds; panics naming `what` when it does not within `timeout`.
#[track_caller]
pub fn eventually(what: &str, timeout: Duration, condition: impl FnMut() -> bool) {
    assert!(within(timeout, condition), "not within {timeout:?}: {what}");
}
