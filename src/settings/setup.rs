//! The settings of `pgbackrest-guard setup` and `run`.
//!
//! The `WAL_ARCHIVE_*` values stay raw here: what is junk among them is for [`crate::decide::setup`] to say, because
//! junk there switches archiving off instead of costing a warning and a default.

use super::value;
use super::{Seconds, Sources};
use crate::bad_value::BadValue;
use crate::decide::setup::screen_value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What setup goes by.
#[derive(Debug, Clone)]
pub struct SetupSettings {
    /// `WAL_ARCHIVE_BUCKET`, unless it is unset or empty; whether it is empty stands in
    /// [`CommonSettings::archiving_off`](super::CommonSettings::archiving_off).
    pub bucket: Option<OsString>,
    /// `WAL_ARCHIVE_ENDPOINT`
    pub endpoint: Option<OsString>,
    /// `WAL_ARCHIVE_REGION`
    pub region: Option<OsString>,
    /// `WAL_ARCHIVE_KEY`, a secret.
    pub key: Option<OsString>,
    /// `WAL_ARCHIVE_SECRET`, a secret.
    pub secret: Option<OsString>,
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
pub struct ProcessOverrides {
    /// `archive-push`
    pub push: Option<u64>,
    /// `archive-get`
    pub get: Option<u64>,
    /// `backup`
    pub backup: Option<u64>,
    /// `restore`
    pub restore: Option<u64>,
}

impl ProcessOverrides {
    /// Resolves them: variables of the shell scripts that the guard replaces, which are no options of pgBackRest.
    fn resolve(sources: &mut Sources) -> Self {
        let mut number = |name| {
            sources.optional(name, None, |text| value::number_in(text, 1..=MOST_PROCESSES)).map(|setting| setting.value)
        };
        Self {
            push: number("PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX"),
            get: number("PGBACKREST_ARCHIVE_GET_PROCESS_MAX"),
            backup: number("PGBACKREST_BACKUP_PROCESS_MAX"),
            restore: number("PGBACKREST_RESTORE_PROCESS_MAX"),
        }
    }
}

/// `WAL_ARCHIVE_PATH` where it is not set.
const DEFAULT_BASE: &str = "/pgbackrest";
/// The largest `archive_timeout` that PostgreSQL takes (guc.c, PostgreSQL 15: `INT_MAX / 2`).
const LONGEST_ARCHIVE_TIMEOUT: u64 = 1_073_741_823;
/// The largest retention that pgBackRest takes (src/build/config/config.yaml, 2.45 to 2.59: 1 to 9999999).
const LARGEST_RETENTION: u64 = 9_999_999;
/// The largest `process-max` that pgBackRest takes (the same).
const MOST_PROCESSES: u64 = 999;

impl SetupSettings {
    /// Resolves them.
    pub fn resolve(sources: &mut Sources) -> Self {
        let mut raw = |name| sources.optional(name, None, |text| Ok(text.clone())).map(|setting| setting.value);
        Self {
            bucket: raw("WAL_ARCHIVE_BUCKET"),
            endpoint: raw("WAL_ARCHIVE_ENDPOINT"),
            region: raw("WAL_ARCHIVE_REGION"),
            key: raw("WAL_ARCHIVE_KEY"),
            secret: raw("WAL_ARCHIVE_SECRET"),
            path: raw("WAL_ARCHIVE_PATH"),
            uri_style: raw("WAL_ARCHIVE_S3_URI_STYLE"),
            repository_base: sources.value("WAL_ARCHIVE_PATH", None, base, || DEFAULT_BASE.to_owned()).value,
            host_style: sources.value("WAL_ARCHIVE_S3_URI_STYLE", None, is_host_style, || false).value,
            allow_uuid: sources.value("WAL_ARCHIVE_BUCKET_ALLOW_UUID", None, value::switch, || false).value,
            archive_timeout: Seconds::new(
                sources
                    .value(
                        "POSTGRES_ARCHIVE_TIMEOUT",
                        None,
                        |text| value::number_in(text, 0..=LONGEST_ARCHIVE_TIMEOUT),
                        || 60,
                    )
                    .value,
            ),
            retention_full: retention(sources, "WAL_BACKUP_RETENTION_FULL", 4),
            retention_diff: retention(sources, "WAL_BACKUP_RETENTION_DIFF", 14),
            processes: ProcessOverrides::resolve(sources),
            settings_file: sources.named_file().map(Path::to_owned),
        }
    }
}

/// What the screen refuses is not worth a warning about a default as well.
fn screened<T>(text: &OsString, junk: T, parse: impl FnOnce(&str) -> Result<T, BadValue>) -> Result<T, BadValue> {
    match text.to_str() {
        Some(clean) if screen_value(text).is_ok() => parse(clean),
        _ => Ok(junk),
    }
}

/// Reads a path in the repository, as pgBackRest takes it (src/config/parse.c, 2.45: it begins with `/` and has no `//`).
fn base(text: &OsString) -> Result<String, BadValue> {
    screened(text, DEFAULT_BASE.to_owned(), |path| {
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts_are_names = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        if (path.is_empty() || path.starts_with('/')) && parts_are_names {
            Ok(path.to_owned())
        } else {
            Err(BadValue("not an absolute path without //, . and .."))
        }
    })
}

fn is_host_style(text: &OsString) -> Result<bool, BadValue> {
    screened(text, false, |style| match style {
        "host" => Ok(true),
        "path" => Ok(false),
        _ => Err(BadValue("not path or host")),
    })
}

fn retention(sources: &mut Sources, name: &'static str, default: u64) -> u64 {
    sources.value(name, None, |text| value::number_in(text, 1..=LARGEST_RETENTION), || default).value
}
