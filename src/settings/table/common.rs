//! The settings of every program.

use super::Program::{Check, Push, Run, Setup, Status, Watch};
use super::{Declaration, Declared, Fallback, Group, Program};
use crate::log::{Format, Level};
use crate::settings::value::typed::{ABSOLUTE_FOLDER, FILE, PROGRAM, RAW, STANZA, choice};
use std::ffi::OsString;
use std::path::PathBuf;

settings! {
    name: "common", heading: "Every program", note: "", users: Program::ALL;

    WAL_GUARD_CONFIG: PathBuf = FILE, {
        flag: Some("config"),
        default: Fallback::Value("/etc/pgbackrest-guard.toml"),
        example: "/srv/guard.toml",
        help: "Settings file",
        more: "The default is read if it exists. If a named file is missing, there is a warning.",
        in_file: false,
    }

    PGDATA: PathBuf = ABSOLUTE_FOLDER, {
        flag: Some("pgdata"),
        default: Fallback::Words("the working directory, if it holds PG_VERSION"),
        example: "/var/lib/postgresql/15/main",
        help: "Data directory",
        more: "PostgreSQL runs `archive_command` and `restore_command` in it, so push and get need no setting. If the \
               WAL file is in another data directory than `PGDATA` names, that one is used, with a warning.",
    }

    PGBACKREST_STANZA: String = STANZA, {
        flag: Some("stanza"),
        default: Fallback::Value("main"),
        example: "prod",
        help: "pgBackRest's stanza",
    }

    PGBACKREST_CONFIG: PathBuf = FILE, {
        flag: Some("pgbackrest-config"),
        default: Fallback::Words("pgBackRest's own search"),
        example: "/etc/pgbackrest.conf",
        help: "pgBackRest's configuration file",
    }

    WAL_GUARD_PGBACKREST: PathBuf = PROGRAM, {
        flag: Some("pgbackrest"),
        default: Fallback::Value("pgbackrest"),
        example: "/opt/bin/pgbackrest",
        help: "pgBackRest itself, by name or path",
        more: "A name is looked for on `PATH`.",
    }

    WAL_GUARD_STATE_DIR: PathBuf = ABSOLUTE_FOLDER, {
        flag: Some("state-dir"),
        default: Fallback::Words("PGDATA/.pgbackrest_guard"),
        example: "/var/lib/pgbackrest-guard",
        help: "Where to keep the ledger",
        more: "It takes 2 MiB, allocated at the first push.",
    }

    WAL_GUARD_LOG: Level = choice("LEVEL", &["error", "warn", "info", "debug"]), {
        flag: Some("log-level"),
        default: Fallback::Value("info"),
        example: "warn",
        help: "How much to log",
    }

    WAL_GUARD_LOG_FORMAT: Format = choice("FORMAT", &["text", "json"]), {
        flag: Some("log-format"),
        default: Fallback::Value("text"),
        example: "json",
        help: "The form of the log",
        more: "`text` is for people, `json` writes one object per line.",
    }

    WAL_ARCHIVE_BUCKET: OsString = RAW, {
        example: "my-bucket",
        help: "Set to the empty string, this switches archiving off",
        more: "Push then acknowledges every file without storing it, and says so on one line. Unset, pgBackRest's \
               configuration decides. Any other value names the bucket for `pgbackrest-guard setup` and `run`.",
        users: &[Push, Watch, Status, Setup, Run, Check],
    }
}
