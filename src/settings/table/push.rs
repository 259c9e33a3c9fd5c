//! The settings of `pgbackrest-guard-push`.

use super::Program::{Get, Push, Status, Watch};
use super::{Declaration, Declared, Fallback, Group};
use crate::pgbackrest::failure::codes::{self, InstantDropCodes};
use crate::settings::value::typed::{ABSOLUTE_FOLDER, CODES, MEBIBYTES, REQUIRED, SECONDS, SWITCH, TIME_LIMIT, choice};
use crate::settings::value::{DropMeasure, Mebibytes, RequiredRepositories, Seconds};
use std::path::PathBuf;

settings! {
    name: "push", heading: "archive_command: pgbackrest-guard-push", note: "", users: &[Push];

    WAL_DROP_THRESHOLD_MB: Mebibytes = MEBIBYTES, {
        flag: Some("drop-threshold"),
        default: Fallback::Words("500, or 10 % of a smaller volume, at least 64 and four segments"),
        example: "2000",
        help: "Drop segments once this much WAL (MiB) is waiting",
        more: "Checked when a push fails; `0` drops a segment at the first failure. The default is 500 if the \
               volume's size is unknown.",
        users: &[Push, Watch, Status],
    }

    WAL_DROP_AFTER_SECONDS: Seconds = SECONDS, {
        flag: Some("drop-after"),
        default: Fallback::Value("60"),
        example: "600",
        help: "Seconds that pushes must have been failing before the threshold counts",
        more: "No push may have succeeded since the first failure. `0`: it counts at once. A threshold of `0`, \
               `WAL_FREE_RESERVE_MB` and the instant drop do not wait. Counted by the monotonic clock.",
    }

    WAL_DROP_MEASURE: DropMeasure = choice("WHAT", &["backlog", "pg_wal"]), {
        flag: Some("drop-measure"),
        default: Fallback::Value("backlog"),
        example: "pg_wal",
        help: "What counts as waiting WAL",
        more: "`backlog` is the WAL waiting to be archived, `pg_wal` everything in that folder.",
        users: &[Push, Watch, Status],
    }

    WAL_FREE_RESERVE_MB: Mebibytes = MEBIBYTES, {
        flag: Some("free-reserve"),
        default: Fallback::Words("1024, or 5 % of a smaller volume"),
        example: "4096",
        help: "Space (MiB) to keep free on the volume of pg_wal",
        more: "A segment is dropped when a push fails, less than this is free and at least 64 MiB of WAL are waiting.",
        users: &[Push, Watch, Status],
    }

    WAL_PUSH_TIMEOUT_SECONDS: Seconds = TIME_LIMIT, {
        flag: Some("timeout"),
        default: Fallback::Value("120"),
        example: "300",
        help: "Seconds that pgBackRest may take for one file",
        more: "Then it is ended, and PostgreSQL tries again.",
    }

    WAL_REQUIRED_REPOS: RequiredRepositories = REQUIRED, {
        default: Fallback::Value("all"),
        example: "any",
        help: "The repositories that must have a WAL file before it counts as archived",
        more: "`all`, `any` (one is enough), or a list of numbers such as `1,2`. What these have counts as archived; \
               what others lack is recorded as owed to them, and the watcher pushes it later.",
    }

    WAL_INSTANT_DROP_CODES: InstantDropCodes = CODES, {
        flag: Some("instant-drop"),
        default: Fallback::Value(codes::USUAL),
        example: "NoSuchBucket",
        help: "The store's error codes that drop a segment at once, or none",
        more: "After these, waiting would not help. `none` switches this off.",
    }

    WAL_INSTANT_DROP_AFTER_SECONDS: Seconds = SECONDS, {
        flag: Some("instant-drop-after"),
        default: Fallback::Value("0"),
        example: "3600",
        help: "Seconds that these codes must have persisted before they count",
        more: "No push may have succeeded since the first of them. `0`: they count at once.",
    }

    WAL_GUARD_FAST_PATH: bool = SWITCH, {
        flag: Some("no-fast-path"),
        default: Fallback::Value("1"),
        example: "0",
        help: "Start pgBackRest even for a segment that its spool shows as done",
        more: "The flag and `0` mean this. With `1`, a segment that is already stored or fetched is taken without \
               starting pgBackRest.",
        users: &[Push, Get],
    }

    WAL_OVERFLOW_DIR: PathBuf = ABSOLUTE_FOLDER, {
        example: "/mnt/spare/wal",
        help: "Copy segments to this folder instead of losing them",
        more: "Best on another volume. The service must be allowed to write there, see `pgbackrest-guard@.service`.",
        users: &[Push, Watch, Status],
    }

    WAL_OVERFLOW_MAX_MB: Mebibytes = MEBIBYTES, {
        default: Fallback::Value("1024"),
        example: "20000",
        help: "How much that folder may hold",
    }
}
