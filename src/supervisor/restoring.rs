//! The restore that `run` starts: its arguments, and what of the environment it must not see.

use crate::settings::{CommonSettings, Environment};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A restore that is to be started.
pub(super) struct Restoring<'r> {
    /// What says up to where.
    pub(super) target: &'r [String],
    /// The data directory to be.
    pub(super) to: &'r Path,
    /// pgBackRest's configuration for the source.
    pub(super) config: &'r Path,
    /// The source's folder, or the one above it.
    pub(super) base: &'r str,
    /// Where the restore may note what it has done.
    pub(super) state_dir: &'r Path,
    pub(super) common: &'r CommonSettings,
    pub(super) environment: &'r Environment,
    /// As whom; `None`: as we are.
    pub(super) user: Option<(u32, u32)>,
}

impl Restoring<'_> {
    /// Arguments of a restore, in the order in which they are typed.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let path = |flag: &str, path: &Path| {
            let mut argument = OsString::from(flag);
            argument.push(path);
            argument
        };
        let common = self.common;
        let mut arguments: Vec<OsString> = vec!["restore".into()];
        arguments.extend(self.target.iter().map(OsString::from));
        arguments.push(path("--target=", self.to));
        arguments.push(path("--pgbackrest-config=", self.config));
        arguments.push(path("--pgbackrest=", &common.pgbackrest.value));
        arguments.push(path("--state-dir=", self.state_dir));
        arguments.push(format!("--stanza={}", common.stanza.value).into());
        arguments.push(format!("--repository-below={}", self.base).into());
        arguments.push(format!("--log-level={}", common.log_level.value.as_str()).into());
        arguments
    }
}

/// How the source's store is reached and read is the same for every repository of this container.
const KEPT: [&str; 6] = [
    "PGBACKREST_REPO1_STORAGE_CA_FILE",
    "PGBACKREST_REPO1_STORAGE_CA_PATH",
    "PGBACKREST_REPO1_STORAGE_VERIFY_TLS",
    "PGBACKREST_REPO1_STORAGE_PORT",
    "PGBACKREST_REPO1_CIPHER_TYPE",
    "PGBACKREST_REPO1_CIPHER_PASS",
];

/// What a restore must not find in its environment: everything that names another repository, cluster or configuration.
pub(super) fn is_foreign(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let option = name.strip_prefix("PGBACKREST_").unwrap_or_default();
    let elsewhere = ["REPO", "CONFIG", "PG", "SPOOL_PATH", "ARCHIVE_ASYNC", "STANZA"];
    let is_option = elsewhere.iter().any(|prefix| option.starts_with(prefix)) && !KEPT.contains(&name);
    is_option
        || ["WAL_RECOVER_", "WAL_ARCHIVE_", "POSTGRES_RECOVERY_"].iter().any(|own| name.starts_with(own))
        || name == "PGDATA"
}
