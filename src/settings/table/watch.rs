//! The settings of `pgbackrest-guard watch`.

use super::Program::{Status, Watch};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{ABSOLUTE_FILE, ADDRESS, REPOSITORIES, SECONDS, SWITCH, choice};
use crate::settings::value::{GapBackup, RepositoryList, Seconds};
use std::net::SocketAddr;
use std::path::PathBuf;

settings! {
    name: "watch", heading: "pgbackrest-guard watch", note: "", users: &[Watch];

    WAL_BACKUP_POLL_INTERVAL_SECONDS: Seconds = SECONDS, {
        default: Fallback::Value("60"),
        example: "30",
        help: "The time between two polls",
    }

    WAL_BACKUP_INITIAL_POLL_SECONDS: Seconds = SECONDS, {
        default: Fallback::Value("5"),
        example: "10",
        help: "The same while no full backup is on record",
    }

    WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS: Seconds = SECONDS, {
        default: Fallback::Value("300"),
        example: "60",
        help: "How long archiving must have worked without a failure before a gap is repaired",
    }

    WAL_BACKUP_GAP_TYPE: GapBackup = choice("KIND", &["full", "diff"]), {
        default: Fallback::Value("full"),
        example: "diff",
        help: "The kind of backup that seals a gap",
    }

    WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS: Seconds = SECONDS, {
        default: Fallback::Value("3600"),
        example: "600",
        help: "The time between two checks of the catalog",
        more: "`0`: never. While no full backup is on record, the catalog is checked all the same.",
        users: &[Watch, Status],
    }

    WAL_BACKUP_REPOS: RepositoryList = REPOSITORIES, {
        default: Fallback::Words("all that are configured"),
        example: "1,2",
        help: "The repositories into which backups are made, by their numbers",
        more: "They get their backups one after the other. If one fails, the others still get theirs, and the failed \
               one is tried again with the next backup that is due; a repository that is found empty gets a full \
               backup at once.",
    }

    WAL_BACKUP_RETRY_BACKOFF_SECONDS: Seconds = SECONDS, {
        default: Fallback::Words("600, or 30 while there is no full backup"),
        example: "120",
        help: "How long to wait after a failed backup or repair, or a check without an answer",
        more: "A value that you set replaces both defaults.",
    }

    WAL_BACKUP_STALL_SECONDS: Seconds = SECONDS, {
        default: Fallback::Value("1800"),
        example: "3600",
        help: "End a backup that has made no progress for this long",
        more: "`0`: never.",
    }

    WAL_HEARTBEAT_DISABLED: bool = SWITCH, {
        default: Fallback::Value("0"),
        example: "1",
        help: "Write no heartbeats",
        more: "Then the archive of an idle cluster does not advance.",
    }

    WAL_GUARD_METRICS_FILE: PathBuf = ABSOLUTE_FILE, {
        example: "/var/lib/prometheus/node-exporter/pgbackrest-guard.prom",
        help: "A file for node_exporter's textfile collector, written at each poll",
        more: "If the path ends in `/`, each cluster gets a file in that folder. The service must be allowed to write \
               there.",
    }

    WAL_GUARD_METRICS_LISTEN: SocketAddr = ADDRESS, {
        flag: Some("metrics-listen"),
        example: "127.0.0.1:9854",
        help: "An address at which the watcher serves `/metrics` and `/healthz` over HTTP",
        more: "Without TLS and without a password: keep it on the loopback interface, or behind a proxy.",
    }
}
