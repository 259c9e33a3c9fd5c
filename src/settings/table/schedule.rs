//! The settings that say when base backups are due.

use super::Program::{Status, Watch};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{HOURS, SECONDS, choice};
use crate::settings::value::{Seconds, TakenBy};

settings! {
    name: "schedule", heading: "The backup schedule", note: "", users: &[Watch, Status];

    WAL_BACKUP_TAKEN_BY: TakenBy = choice("WHO", &["watch", "others"]), {
        default: Fallback::Value("watch"),
        example: "others",
        help: "Who takes the base backups",
        more: "`others`: the watcher never runs `backup` or `expire`; it reads the catalog, seals gaps with the backups of others, \
               and warns if their newest backup is older than the intervals. Assumed if pgBackRest refuses a backup from here: \
               a repository on another host below 2.55 (72), `archive_mode=always` (67).",
    }

    WAL_BACKUP_FULL_INTERVAL_HOURS: Seconds = HOURS, {
        default: Fallback::Value("168"),
        example: "336",
        help: "The time between two full backups",
        more: "`0`: none is ever due.",
    }

    WAL_BACKUP_FULL_INTERVAL_SECONDS: Seconds = SECONDS, {
        example: "86400",
        default: Fallback::Words("what the hours say"),
        help: "The same in seconds, which wins over the hours",
    }

    WAL_BACKUP_DIFF_INTERVAL_HOURS: Seconds = HOURS, {
        default: Fallback::Value("24"),
        example: "12",
        help: "The time between two differential backups",
        more: "`0`: none is ever due.",
    }

    WAL_BACKUP_DIFF_INTERVAL_SECONDS: Seconds = SECONDS, {
        example: "3600",
        default: Fallback::Words("what the hours say"),
        help: "The same in seconds, which wins over the hours",
    }
}
