//! Named places at which a test kills the program, to see what is left behind.
//!
//! In a debug build `WAL_GUARD_TEST_KILL_AT` names the place; a release build holds none of this.

/// The checkpoints, in the order in which a push that gives a segment up passes them.
pub const NAMES: &[&str] = &[
    "ledger-allocated",
    "kept-files-copied",
    "pgbackrest-ended",
    "copy-written",
    "overflow-copied",
    "deferred-copied",
    "ledger-locked",
    "ledger-slot-written",
    "ledger-slot-synced",
    "loss-recorded",
    "marker-written",
];

/// The checkpoints of an exchange of ledgers, and of a file that makes room for another cluster's.
pub const OF_EXCHANGE: &[&str] =
    &["own-files-noted", "ledger-set-aside", "deferred-given-back", "ledger-prepared", "foreign-file-moved"];

/// The checkpoints of the watcher, in the order in which it passes them.
pub const OF_WATCH: &[&str] = &[
    "repair-copied",
    "repair-pushed",
    "repair-healed",
    "backup-begun",
    "backup-made",
    "backup-noted",
    "gaps-sealed",
    "marker-removed",
];

/// The checkpoints of setup: a file that has not its name yet, and each change.
pub const OF_SETUP: &[&str] = &["replacement-written", "setup-change-made"];

/// The checkpoints of a restore, in the order in which it passes them.
pub const OF_RESTORE: &[&str] = &[
    "restore-planned",
    "restore-copying",
    "restore-copied",
    "restore-armed",
    "restore-reached",
    "restore-stopped",
    "restore-proved",
    "restore-handed-over",
];

/// The checkpoints of a drill, in the order in which it passes them.
pub const OF_DRILL: &[&str] = &[
    "drill-entered",
    "drill-selected",
    "drill-restored",
    "drill-started",
    "drill-looked-through",
    "drill-stopped",
    "drill-recorded",
];

/// The checkpoints of `run` between a restore and CMD, in the order in which it passes them.
pub const OF_RUN: &[&str] = &["run-restored", "run-path-noted", "run-handed-over"];

/// Dies here by SIGKILL when a test asked for it.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    debug_assert!(
        [NAMES, OF_EXCHANGE, OF_WATCH, OF_SETUP, OF_RESTORE, OF_DRILL, OF_RUN].concat().contains(&name),
        "{name} is not listed"
    );
    #[expect(clippy::disallowed_methods, reason = "a test's switch, no setting")]
    let asked = std::env::var_os("WAL_GUARD_TEST_KILL_AT");
    if asked.is_some_and(|asked| asked == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Dies here by SIGKILL when a test asked for it; not in a release build.
#[cfg(not(debug_assertions))]
pub fn reached(_name: &str) {}

/// How long a process may stand still: what a test says in `WAL_GUARD_TEST_PATIENCE_SECONDS`, in a debug build.
#[must_use]
pub fn patience(usual: std::time::Duration) -> std::time::Duration {
    #[cfg(debug_assertions)]
    {
        #[expect(clippy::disallowed_methods, reason = "a test's switch, no setting")]
        let asked = std::env::var("WAL_GUARD_TEST_PATIENCE_SECONDS");
        if let Some(seconds) = asked.ok().and_then(|asked| asked.parse().ok()) {
            return std::time::Duration::from_secs(seconds);
        }
    }
    usual
}
