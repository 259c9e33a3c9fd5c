//! The settings of `pgbackrest-guard setup` and `run`.
//!
//! The `WAL_ARCHIVE_*` values stay raw here: what is junk among them is for [`crate::decide::setup`] to say, because
//! junk there switches archiving off instead of costing a warning and a default.

use super::value;
use super::{Seconds, Sources};
use std::ffi::OsString;

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
    /// `WAL_ARCHIVE_PATH`
    pub path: Option<OsString>,
    /// `WAL_ARCHIVE_S3_URI_STYLE`
    pub uri_style: Option<OsString>,
    /// Whether a bucket may have the shape of a UUID.
    pub allow_uuid: bool,
    /// PostgreSQL's `archive_timeout`.
    pub archive_timeout: Seconds,
    /// How many full backups are kept.
    pub retention_full: u64,
    /// How many differential backups are kept.
    pub retention_diff: u64,
}

/// The largest `archive_timeout` that PostgreSQL takes (guc.c, PostgreSQL 15: `INT_MAX / 2`).
const LONGEST_ARCHIVE_TIMEOUT: u64 = 1_073_741_823;
/// The largest retention that pgBackRest takes (src/build/config/config.yaml, 2.45 to 2.59: 1 to 9999999).
const LARGEST_RETENTION: u64 = 9_999_999;

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
        }
    }
}

fn retention(sources: &mut Sources, name: &'static str, default: u64) -> u64 {
    sources.value(name, None, |text| value::number_in(text, 1..=LARGEST_RETENTION), || default).value
}
