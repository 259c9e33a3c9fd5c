//! The settings of `pgbackrest-guard run` on an empty volume.
//!
//! They stay raw: what is wrong with one of them is a reason to restore nothing and to start nothing, and
//! [`crate::decide::recover`] says it.

use super::{Secret, SecretTrouble, Sources, table};
use std::ffi::OsString;

/// From where, and up to where. Each value with its variable; `None` where it is unset or empty.
#[derive(Debug, Clone, Default)]
pub struct RecoverSettings {
    /// Bucket, endpoint, region, key, secret, path and the style of its address.
    pub from: [Option<OsString>; 7],
    /// Why key or secret can't be had.
    pub trouble: Option<SecretTrouble>,
    /// Time, transaction, position, name, immediate.
    pub targets: [Option<OsString>; 5],
    /// The shell scripts' time and transaction.
    pub scripts: [Option<OsString>; 2],
    /// Whether a bucket may have the shape of a UUID.
    pub allow_uuid: bool,
}

impl RecoverSettings {
    /// Resolves them.
    pub fn resolve(sources: &mut Sources) -> Self {
        let mut value = |declared| sources.optional(declared, None).map(|set| set.value);
        let [bucket, endpoint, region, path, style] = [
            &table::WAL_RECOVER_FROM_BUCKET,
            &table::WAL_RECOVER_FROM_ENDPOINT,
            &table::WAL_RECOVER_FROM_REGION,
            &table::WAL_RECOVER_FROM_PATH,
            &table::WAL_RECOVER_FROM_S3_URI_STYLE,
        ]
        .map(&mut value);
        let targets = [
            &table::WAL_RECOVER_TARGET_TIME,
            &table::WAL_RECOVER_TARGET_XID,
            &table::WAL_RECOVER_TARGET_LSN,
            &table::WAL_RECOVER_TARGET_NAME,
            &table::WAL_RECOVER_TARGET_IMMEDIATE,
        ]
        .map(&mut value);
        let scripts = [&table::POSTGRES_RECOVERY_TARGET_TIME, &table::POSTGRES_RECOVERY_TARGET_XID].map(&mut value);
        let key = Secret::resolve(sources, &table::WAL_RECOVER_FROM_KEY, &table::WAL_RECOVER_FROM_KEY_FILE);
        let secret = Secret::resolve(sources, &table::WAL_RECOVER_FROM_SECRET, &table::WAL_RECOVER_FROM_SECRET_FILE);
        let from = [bucket, endpoint, region, key.value, secret.value, path, style];
        let allow_uuid = sources.value(&table::WAL_ARCHIVE_BUCKET_ALLOW_UUID, None).value;
        Self { from, trouble: key.trouble.or(secret.trouble), targets, scripts, allow_uuid }
    }
}
