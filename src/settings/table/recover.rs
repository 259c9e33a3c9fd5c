//! The settings of `pgbackrest-guard run` on an empty volume: from where a cluster is restored, and up to where.

use super::Program::Run;
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::{FILE, RAW};
use std::ffi::OsString;
use std::path::PathBuf;

settings! {
    name: "recover",
    heading: "pgbackrest-guard run on an empty volume: what is restored before CMD is started",
    note: "If any of them is set and the volume has no cluster, one is restored or `run` ends with an error; on a \
           volume with a cluster they have no effect.",
    users: &[Run];

    WAL_RECOVER_FROM_BUCKET: OsString = RAW, {
        example: "my-bucket",
        help: "The bucket of the cluster that is restored",
        in_file: false,
    }

    WAL_RECOVER_FROM_ENDPOINT: OsString = RAW, {
        default: Fallback::Words("s3.REGION.amazonaws.com"),
        example: "fly.storage.tigris.dev",
        help: "Its store",
        in_file: false,
    }

    WAL_RECOVER_FROM_REGION: OsString = RAW, {
        default: Fallback::Words("us-east-1"),
        example: "auto",
        help: "Its region",
        in_file: false,
    }

    WAL_RECOVER_FROM_KEY: OsString = RAW, {
        default: Fallback::Words("the machine's own role"),
        help: "Its access key",
        secret: true,
        in_file: false,
    }

    WAL_RECOVER_FROM_SECRET: OsString = RAW, {
        help: "Its secret key",
        secret: true,
        in_file: false,
    }

    WAL_RECOVER_FROM_KEY_FILE: PathBuf = FILE, {
        example: "/run/secrets/source_key",
        help: "A file with its access key, instead of WAL_RECOVER_FROM_KEY",
        more: "Newlines at its end are cut. Setting both is an error.",
        in_file: false,
    }

    WAL_RECOVER_FROM_SECRET_FILE: PathBuf = FILE, {
        example: "/run/secrets/source_secret",
        help: "The same for WAL_RECOVER_FROM_SECRET",
        in_file: false,
    }

    WAL_RECOVER_FROM_PATH: OsString = RAW, {
        default: Fallback::Words("/pgbackrest"),
        example: "/pgbackrest/cluster-7301234567890123456",
        help: "The folder in that bucket",
        more: "The repository itself, or a folder with a single `cluster-…` in it.",
        in_file: false,
    }

    WAL_RECOVER_FROM_S3_URI_STYLE: OsString = RAW, {
        default: Fallback::Words("path"),
        example: "host",
        help: "Whether that bucket is in a request's path or in its host name",
        in_file: false,
    }

    WAL_RECOVER_TARGET_TIME: OsString = RAW, {
        example: "2026-11-22T10:00:00Z",
        help: "Restore to this moment",
        more: "With an offset from UTC. `latest`: to the end of the archive.",
        in_file: false,
    }

    WAL_RECOVER_TARGET_XID: OsString = RAW, {
        example: "731",
        help: "Restore to the commit of this transaction",
        in_file: false,
    }

    WAL_RECOVER_TARGET_LSN: OsString = RAW, {
        example: "0/3000028",
        help: "Restore to this position",
        in_file: false,
    }

    WAL_RECOVER_TARGET_NAME: OsString = RAW, {
        example: "before-the-upgrade",
        help: "Restore to this restore point",
        in_file: false,
    }

    WAL_RECOVER_TARGET_IMMEDIATE: OsString = RAW, {
        example: "1",
        help: "Restore no farther than the backup needs",
        in_file: false,
    }

    POSTGRES_RECOVERY_TARGET_TIME: OsString = RAW, {
        example: "2026-11-22 10:00:00+00",
        help: "The shell scripts' name for `WAL_RECOVER_TARGET_TIME`",
        more: "Read if no `WAL_RECOVER_TARGET_*` is set.",
        in_file: false,
    }

    POSTGRES_RECOVERY_TARGET_XID: OsString = RAW, {
        example: "731",
        help: "Their name for `WAL_RECOVER_TARGET_XID`",
        more: "It wins over their time.",
        in_file: false,
    }
}
