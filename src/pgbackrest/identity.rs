//! Which repositories a configuration names.
//!
//! Option names and defaults: src/build/config/config.yaml, 2.45 to 2.59.

use super::config::Config;
use serde::{Deserialize, Serialize};

/// What tells one repository from another. Keys are no part of it: they are changed while the repository stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIdentity {
    /// Its number N, as in `repoN-path`; from 1 on.
    pub key: u32,
    /// `posix`, `s3`, `azure`, `gcs`, `sftp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The store's endpoint, or the repository host.
    pub endpoint: String,
    /// Bucket or container.
    pub bucket: String,
    /// The path inside it.
    pub path: String,
}

/// The repositories that `archive-push` stores to, by what tells one from another. Keys are no part of it.
#[must_use]
pub fn repositories(config: &Config) -> Vec<RepositoryIdentity> {
    config.repositories().into_iter().map(|key| repository(config, key)).collect()
}

fn repository(config: &Config, key: u32) -> RepositoryIdentity {
    let option = |name: &str| config.option("archive-push", &format!("repo{key}-{name}"));
    let first = |names: &[&str]| names.iter().find_map(|name| option(name)).unwrap_or_default().to_owned();
    let kind = option("type").unwrap_or("posix").to_owned();
    let (endpoint, bucket) = match kind.as_str() {
        "s3" => (first(&["s3-endpoint"]), first(&["s3-bucket"])),
        "azure" => {
            (first(&["azure-endpoint"]), format!("{}/{}", first(&["azure-account"]), first(&["azure-container"])))
        }
        "gcs" => (first(&["gcs-endpoint"]), first(&["gcs-bucket"])),
        "sftp" => (first(&["sftp-host"]), String::new()),
        _ => (first(&["host"]), String::new()),
    };
    let path = option("path").unwrap_or("/var/lib/pgbackrest").to_owned();
    RepositoryIdentity { key, kind, endpoint, bucket, path }
}
