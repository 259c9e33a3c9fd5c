//! The settings of `pgbackrest-guard-get`.

use super::Program::{Drill, Get, Restore};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{REPOSITORY, SECONDS, TIME_LIMIT};
use crate::settings::value::{RepositoryNumber, Seconds};

settings! {
    name: "get", heading: "restore_command: pgbackrest-guard-get", note: "", users: &[Get];

    WAL_GET_RETRY_SECONDS: Seconds = SECONDS, {
        flag: Some("retry"),
        default: Fallback::Value("300"),
        example: "3600",
        help: "Seconds for which a recovery keeps asking an unavailable repository",
        more: "Then the server is stopped. `0`: it asks once. A standby and a promotion never wait so long, see \
               [recovery.md](recovery.md).",
    }

    WAL_GET_TIMEOUT_SECONDS: Seconds = TIME_LIMIT, {
        flag: Some("timeout"),
        default: Fallback::Value("120"),
        example: "60",
        help: "Seconds that one attempt may take",
    }

    PGBACKREST_REPO: RepositoryNumber = REPOSITORY, {
        flag: Some("repo"),
        default: Fallback::Words("all of them"),
        example: "2",
        help: "Ask only this repository, and believe its answer",
        more: "By its number, as in `repo2-path`. For a restore while another repository can't be reached.",
        users: &[Get, Restore, Drill],
    }
}
