//! How to reach the server: libpq's variables (PostgreSQL's documentation, "Environment Variables").

use super::Program::{Check, Drill, Restore, Status, Watch};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{PATH, PORT, TEXT};
use std::path::PathBuf;

settings! {
    name: "server", heading: "The connection to the server", note: "", users: &[Watch, Status];

    WAL_GUARD_CLUSTER: String = TEXT, {
        flag: Some("cluster"),
        default: Fallback::Words("the only cluster on the machine, if nothing else names a data directory"),
        example: "15/main",
        help: "A cluster by Debian's name, instead of its data directory",
        more: "As `pg_lsclusters` shows it. `PGDATA` wins over the variable, and the flag over both.",
        users: &[Status, Watch, Restore, Check, Drill],
    }

    PGHOST: PathBuf = PATH, {
        default: Fallback::Words("what postmaster.pid says"),
        example: "/run/postgresql",
        help: "The socket's folder, or a host",
    }

    PGPORT: u16 = PORT, {
        default: Fallback::Words("what postmaster.pid says"),
        example: "5433",
        help: "The port",
    }

    PGUSER: String = TEXT, {
        default: Fallback::Words("POSTGRES_USER, as in the official image, else postgres"),
        example: "admin",
        help: "The role",
    }

    PGDATABASE: String = TEXT, {
        default: Fallback::Words("postgres, or template1 for the duration of a query"),
        example: "app",
        help: "The database",
        more: "One that does not exist is skipped.",
    }
}
