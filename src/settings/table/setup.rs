//! The settings of `pgbackrest-guard setup` and `run`.

use super::Program::{Run, Setup};
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{FILE, RAW, REPOSITORY_FOLDER, SWITCH, URI_STYLE, number};
use std::ffi::OsString;
use std::path::PathBuf;

/// The largest `archive_timeout` that PostgreSQL takes (guc.c, PostgreSQL 15: `INT_MAX / 2`).
const LONGEST_ARCHIVE_TIMEOUT: u64 = 1_073_741_823;
/// The largest retention that pgBackRest takes (src/build/config/config.yaml, 2.45 to 2.59: 1 to 9999999).
const LARGEST_RETENTION: u64 = 9_999_999;
/// The largest `process-max` that pgBackRest takes (the same).
const MOST_PROCESSES: u64 = 999;

settings! {
    name: "setup",
    heading: "pgbackrest-guard setup and run: the bucket, for pgBackRest's configuration",
    note: "Only if `pgbackrest-guard setup` writes that configuration. With a secret in it, this file must be \
           readable by \
           root and the server's group alone: chown root:postgres, chmod 0640.",
    users: &[Setup, Run];

    WAL_ARCHIVE_ENDPOINT: OsString = RAW, {
        default: Fallback::Words("s3.REGION.amazonaws.com"),
        example: "fly.storage.tigris.dev",
        help: "The store",
        more: "A host, `host:port` or a URL. `http://` needs pgBackRest 2.58.",
    }

    WAL_ARCHIVE_REGION: OsString = RAW, {
        default: Fallback::Words("us-east-1"),
        example: "auto",
        help: "The store's region",
    }

    WAL_ARCHIVE_KEY: OsString = RAW, {
        default: Fallback::Words("the machine's own role"),
        help: "The access key",
        secret: true,
    }

    WAL_ARCHIVE_SECRET: OsString = RAW, {
        help: "The secret key",
        secret: true,
    }

    WAL_ARCHIVE_KEY_FILE: PathBuf = FILE, {
        example: "/run/secrets/archive_key",
        help: "A file with the access key, instead of WAL_ARCHIVE_KEY",
        more: "Newlines at its end are cut. Setting both is an error.",
    }

    WAL_ARCHIVE_SECRET_FILE: PathBuf = FILE, {
        example: "/run/secrets/archive_secret",
        help: "The same for WAL_ARCHIVE_SECRET",
    }

    WAL_ARCHIVE_PATH: String = REPOSITORY_FOLDER, {
        default: Fallback::Value("/pgbackrest"),
        example: "/prod",
        help: "The folder in the bucket",
        more: "Each cluster gets a folder of its own below it, `cluster-SYSTEM_IDENTIFIER`.",
    }

    WAL_ARCHIVE_S3_URI_STYLE: bool = URI_STYLE, {
        default: Fallback::Value("path"),
        example: "host",
        help: "Whether the bucket is in a request's path or in its host name",
    }

    WAL_ARCHIVE_BUCKET_ALLOW_UUID: bool = SWITCH, {
        default: Fallback::Value("0"),
        example: "1",
        help: "Accept a bucket whose name looks like a UUID",
        more: "Otherwise it is taken for a variable that was never filled in.",
    }

    POSTGRES_ARCHIVE_TIMEOUT: u64 = number::<0, LONGEST_ARCHIVE_TIMEOUT>("seconds"), {
        default: Fallback::Value("60"),
        example: "300",
        help: "PostgreSQL's archive_timeout",
        more: "`0`: never.",
    }

    WAL_BACKUP_RETENTION_FULL: u64 = number::<1, LARGEST_RETENTION>("backups"), {
        default: Fallback::Value("4"),
        example: "2",
        help: "How many full backups to keep",
    }

    WAL_BACKUP_RETENTION_DIFF: u64 = number::<1, LARGEST_RETENTION>("backups"), {
        default: Fallback::Value("14"),
        example: "7",
        help: "How many differential backups to keep",
    }

    PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX: u64 = number::<1, MOST_PROCESSES>("processes"), {
        default: Fallback::Words("an eighth of the CPUs, 2 to 8"),
        example: "4",
        help: "How many processes pgBackRest's archive-push uses",
        more: "The CPUs are those that the control group grants. The name comes from older scripts; pgBackRest has no \
               such option.",
    }

    PGBACKREST_ARCHIVE_GET_PROCESS_MAX: u64 = number::<1, MOST_PROCESSES>("processes"), {
        default: Fallback::Words("1"),
        example: "2",
        help: "The same for archive-get",
    }

    PGBACKREST_BACKUP_PROCESS_MAX: u64 = number::<1, MOST_PROCESSES>("processes"), {
        default: Fallback::Words("1"),
        example: "2",
        help: "The same for backup",
    }

    PGBACKREST_RESTORE_PROCESS_MAX: u64 = number::<1, MOST_PROCESSES>("processes"), {
        default: Fallback::Words("the CPUs, 1 to 32"),
        example: "8",
        help: "The same for restore",
    }
}
