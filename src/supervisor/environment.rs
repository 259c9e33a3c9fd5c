//! What CMD and the watcher find in their environment.
//!
//! CMD has no business with the keys: push and the watcher go by pgBackRest's configuration. But on a volume without a
//! cluster, valid settings stay, because there the second half of setup runs inside CMD, in the initdb hook. An empty
//! bucket stays too: it tells push that archiving is switched off.

use super::recover;
use crate::data_directory::is_this_machine;
use crate::settings::Environment;
use crate::setup::{ACCESS_VARIABLES as CREDENTIALS, Archiving, BUCKET_VARIABLE as BUCKET, EnvironmentChange};
use std::path::Path;

/// What a service manager watches the server by; the watcher is not what it started.
const MANAGERS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// How CMD's environment differs from ours. `archiving` is `None` when setup has failed.
#[must_use]
pub(super) fn for_command(
    archiving: Option<&Archiving>,
    setup: &EnvironmentChange,
    volume_was_empty: bool,
    environment: &Environment,
) -> EnvironmentChange {
    let mut change = setup.clone();
    if archiving == Some(&Archiving::On) && volume_was_empty {
        return change;
    }
    let is_empty = environment.iter().any(|(name, value)| name == BUCKET && value.is_empty());
    let gone = CREDENTIALS.into_iter().chain(recover::secrets()).chain((!is_empty).then_some(BUCKET));
    let new: Vec<_> = gone.filter(|name| !change.unset.contains(name)).collect();
    change.unset.extend(new);
    change
}

/// How the watcher's differs. The server's pid file tells it where the server is; a `PGHOST` that names another machine
/// is meant for clients.
#[must_use]
pub(super) fn for_watch(environment: &Environment) -> EnvironmentChange {
    let set = |name| environment.get(name).and_then(|value| value.to_str());
    let mut change = EnvironmentChange::default();
    change.unset.extend(MANAGERS);
    change.unset.extend([BUCKET, "PGPORT"]);
    change.unset.extend(CREDENTIALS);
    if !set("PGHOST").is_some_and(is_here) {
        change.unset.push("PGHOST");
    }
    change
}

/// Whether a host is this machine: a socket's folder, or an address of its own.
fn is_here(host: &str) -> bool {
    Path::new(host).is_absolute() || is_this_machine(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::setup::Reason;
    use crate::setup::REASON_VARIABLE;

    const ALL: [&str; 7] = [
        "WAL_ARCHIVE_BUCKET",
        "WAL_ARCHIVE_ENDPOINT",
        "WAL_ARCHIVE_KEY",
        "WAL_ARCHIVE_KEY_FILE",
        "WAL_ARCHIVE_REGION",
        "WAL_ARCHIVE_SECRET",
        "WAL_ARCHIVE_SECRET_FILE",
    ];

    fn gone(archiving: Option<&Archiving>, volume_was_empty: bool, bucket: &str) -> Vec<&'static str> {
        let environment = [(BUCKET, bucket)].into_iter().collect();
        let mut change = for_command(archiving, &EnvironmentChange::default(), volume_was_empty, &environment);
        let source = change.unset.iter().filter(|name| name.starts_with("WAL_RECOVER_FROM_")).count();
        assert!(change.unset.is_empty() || source == recover::secrets().count(), "the keys of a restore: {change:?}");
        change.unset.retain(|name| name.starts_with("WAL_ARCHIVE_"));
        change.unset.sort_unstable();
        change.unset
    }

    #[test]
    fn command_has_settings_only_where_the_hook_needs_them() {
        let invalid = Archiving::Invalid { variable: BUCKET, reason: Reason::Whitespace };
        assert_eq!(gone(Some(&Archiving::On), true, "wal"), Vec::<&str>::new());
        assert_eq!(gone(Some(&Archiving::On), false, "wal"), ALL);
        for empty in [true, false] {
            assert_eq!(gone(Some(&invalid), empty, "a b"), ALL);
            assert_eq!(gone(Some(&Archiving::Unset), empty, "x"), ALL);
            assert_eq!(gone(None, empty, "wal"), ALL, "setup has failed");
            assert_eq!(gone(Some(&Archiving::SwitchedOff), empty, ""), ALL[1..], "push must see the empty bucket");
        }
    }

    #[test]
    fn what_setup_hands_on_is_handed_on() {
        let setup = EnvironmentChange { unset: ALL.to_vec(), export: vec![(REASON_VARIABLE, "whitespace".to_owned())] };
        let invalid = Archiving::Invalid { variable: BUCKET, reason: Reason::Whitespace };
        let change = for_command(Some(&invalid), &setup, true, &Environment::default());
        assert_eq!(change.export, setup.export);
        assert_eq!(change.unset[..ALL.len()], ALL);
    }

    #[test]
    fn the_watcher_asks_this_machine() {
        let change = |pairs: &[(&str, &str)]| for_watch(&pairs.iter().copied().collect());
        for (host, stays) in
            [("/run/postgresql", true), ("localhost", true), ("127.0.0.1", true), ("::1", true), ("db.internal", false)]
        {
            assert_eq!(change(&[("PGHOST", host)]).unset.contains(&"PGHOST"), !stays, "{host}");
        }
        assert_eq!(change(&[]).export, []);
    }
}
