//! The settings of `pgbackrest-guard setup` and `run`.
//!
//! The `WAL_ARCHIVE_*` values stay raw here: what is junk among them is for [`crate::decide::setup`] to say, because
//! junk there switches archiving off instead of costing a warning and a default.

use super::declaration::Declared;
use super::{Seconds, Secret, Sources, table};
use crate::decide::setup::screen_value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What setup goes by.
#[derive(Debug, Clone)]
pub struct SetupSettings {
    /// `WAL_ARCHIVE_BUCKET`, unless it is unset or empty; whether it is empty stands in
    /// [`CommonSettings::archiving_off`](super::CommonSettings::archiving_off).
    pub bucket: Option<OsString>,
    /// The store, as it is set.
    pub endpoint: Option<OsString>,
    /// The store's region, as it is set.
    pub region: Option<OsString>,
    /// `WAL_ARCHIVE_KEY`, or what its file holds.
    pub key: Secret,
    /// `WAL_ARCHIVE_SECRET`, or what its file holds.
    pub secret: Secret,
    /// `WAL_ARCHIVE_PATH`, for the screen.
    pub path: Option<OsString>,
    /// `WAL_ARCHIVE_S3_URI_STYLE`, for the screen.
    pub uri_style: Option<OsString>,
    /// What `WAL_ARCHIVE_PATH` means: absolute, without a slash at its end.
    pub repository_base: String,
    /// What `WAL_ARCHIVE_S3_URI_STYLE` means.
    pub host_style: bool,
    /// Whether a bucket may have the shape of a UUID.
    pub allow_uuid: bool,
    /// PostgreSQL's `archive_timeout`.
    pub archive_timeout: Seconds,
    /// How many full backups are kept.
    pub retention_full: u64,
    /// How many differential backups are kept.
    pub retention_diff: u64,
    /// How many processes pgBackRest's commands use.
    pub processes: ProcessOverrides,
    /// The settings file, if one is named.
    pub settings_file: Option<PathBuf>,
}

/// How many processes pgBackRest's commands use, where that is set.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "each is the command of its name")]
pub struct ProcessOverrides {
    pub push: Option<u64>,
    pub get: Option<u64>,
    pub backup: Option<u64>,
    pub restore: Option<u64>,
}

impl ProcessOverrides {
    /// Resolves them: variables of the shell scripts that the guard replaces, which are no options of pgBackRest.
    fn resolve(sources: &mut Sources) -> Self {
        let mut number = |declared| sources.optional(declared, None).map(|setting| setting.value);
        Self {
            push: number(&table::PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX),
            get: number(&table::PGBACKREST_ARCHIVE_GET_PROCESS_MAX),
            backup: number(&table::PGBACKREST_BACKUP_PROCESS_MAX),
            restore: number(&table::PGBACKREST_RESTORE_PROCESS_MAX),
        }
    }
}

impl SetupSettings {
    /// Resolves them.
    pub fn resolve(sources: &mut Sources) -> Self {
        Self {
            bucket: sources.raw(&table::WAL_ARCHIVE_BUCKET),
            endpoint: sources.raw(&table::WAL_ARCHIVE_ENDPOINT),
            region: sources.raw(&table::WAL_ARCHIVE_REGION),
            key: Secret::resolve(sources, &table::WAL_ARCHIVE_KEY, &table::WAL_ARCHIVE_KEY_FILE),
            secret: Secret::resolve(sources, &table::WAL_ARCHIVE_SECRET, &table::WAL_ARCHIVE_SECRET_FILE),
            path: sources.raw(&table::WAL_ARCHIVE_PATH),
            uri_style: sources.raw(&table::WAL_ARCHIVE_S3_URI_STYLE),
            repository_base: screened(sources, &table::WAL_ARCHIVE_PATH),
            host_style: screened(sources, &table::WAL_ARCHIVE_S3_URI_STYLE),
            allow_uuid: sources.value(&table::WAL_ARCHIVE_BUCKET_ALLOW_UUID, None).value,
            archive_timeout: Seconds::new(sources.value(&table::POSTGRES_ARCHIVE_TIMEOUT, None).value),
            retention_full: sources.value(&table::WAL_BACKUP_RETENTION_FULL, None).value,
            retention_diff: sources.value(&table::WAL_BACKUP_RETENTION_DIFF, None).value,
            processes: ProcessOverrides::resolve(sources),
            settings_file: sources.named_file().map(Path::to_owned),
        }
    }
}

/// A value that is screened: what the screen refuses is not worth a warning about a default as well.
fn screened<T>(sources: &mut Sources, declared: &Declared<T>) -> T {
    let is_junk = sources.raw(declared).is_some_and(|text| screen_value(&text).is_err());
    if is_junk { declared.constant() } else { sources.value(declared, None).value }
}
