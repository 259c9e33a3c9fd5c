//! The settings of `pgbackrest-guard drill`, of the watcher's drills, and of how old one may be.

use super::Program::{Drill, Status, Watch};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::Seconds;
use crate::settings::value::typed::{ABSOLUTE_FOLDER, DAYS, HOURS};
use std::path::PathBuf;

settings! {
    name: "drill", heading: "Drills", note: "", users: &[Drill, Status, Watch];

    WAL_DRILL_DIR: PathBuf = ABSOLUTE_FOLDER, {
        default: Fallback::Words("pgbackrest-guard-drill beside the data directory"),
        example: "/srv/drill",
        help: "The folder in which a drill restores",
        more: "It must have room for the whole cluster, and be empty or hold an earlier drill.",
        users: &[Drill, Watch],
    }

    WAL_DRILL_INTERVAL_HOURS: Seconds = HOURS, {
        default: Fallback::Value("0"),
        example: "168",
        help: "The time between two drills that the watcher starts by itself",
        more: "`0`: none. Its service must be allowed to write into `WAL_DRILL_DIR`.",
        users: &[Watch],
    }

    WAL_DRILL_MAX_AGE_DAYS: Seconds = DAYS, {
        default: Fallback::Value("0"),
        example: "30",
        help: "How old the last drill that passed may be before status warns",
        more: "`0`: any age. A failed drill is always a warning.",
        users: &[Status, Watch],
    }
}
