//! A promotion that was cut off, and is to be done again.
//!
//! PostgreSQL removes `recovery.signal` before its new timeline stands in `pg_control` (xlog.c, `StartupXLOG`, 12 to 18). A server
//! that is ended in between, and started again, takes that for a crash: it stays on the old timeline, replays whatever of it lies
//! in `pg_wal`, past the target, and writes on. With the file put back it recovers to the target once more.

use super::server;
use super::{RestoreError, Work};
use crate::durable;

/// What makes PostgreSQL recover from the archive.
const SIGNAL_FILE: &str = "recovery.signal";

/// Has the next server recover, where the last one has neither stayed in recovery nor left it.
pub(super) fn begin_again(work: &Work<'_>) -> Result<(), RestoreError> {
    let target = work.place.target.path();
    let path = target.join(SIGNAL_FILE);
    if path.exists() || timeline(&server::control_data(work)?) > Some(work.state.way.timeline) {
        return Ok(());
    }
    tracing::info!("the promotion was cut off: replaying again");
    durable::replace(&path, b"", 0o600, None).map_err(|error| RestoreError::file("write", &path, error))
}

/// The timeline that a server would go on with: that of the newest checkpoint, or of the end of recovery that was written behind
/// it.
fn timeline(control_data: &str) -> Option<u32> {
    const NAMES: [&str; 2] = ["Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline"];
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        if NAMES.contains(&name) { value.trim().parse().ok() } else { None }
    };
    control_data.lines().filter_map(value).max()
}

#[cfg(test)]
mod tests {
    use super::timeline;

    #[test]
    fn the_end_of_recovery_counts_before_its_checkpoint() {
        let text = |checkpoint: u32, end: u32| {
            format!(
                "Latest checkpoint's REDO location:    0/A000028\nLatest checkpoint's TimeLineID:       {checkpoint}\n\
                 Latest checkpoint's PrevTimeLineID:   9\nMin recovery ending loc's timeline:   {end}\n"
            )
        };
        assert_eq!(timeline(&text(1, 1)), Some(1));
        assert_eq!(timeline(&text(1, 2)), Some(2));
        assert_eq!(timeline(&text(2, 0)), Some(2));
        assert_eq!(timeline("pg_controldata: error"), None);
    }
}
