//! The names of pgBackRest's options, to tell its own `PGBACKREST_*` variables from strangers.
//!
//! pgBackRest takes every variable that begins with `PGBACKREST_` for an option and warns about each that it does not
//! know, on every call. The names are those of src/build/config/config.yaml, 2.45 to 2.59, with the deprecated ones;
//! a name that only a newer version knows is harmless to an older one beyond that warning.

/// Options without a number.
const PLAIN: &[&str] = &[
    "annotation",
    "archive-async",
    "archive-check",
    "archive-copy",
    "archive-get-queue-max",
    "archive-header-check",
    "archive-missing-retry",
    "archive-mode",
    "archive-mode-check",
    "archive-push-batch-size",
    "archive-push-queue-max",
    "archive-queue-max",
    "archive-timeout",
    "backup-full-incr",
    "backup-standby",
    "beta",
    "buffer-size",
    "checksum-page",
    "cmd",
    "cmd-ssh",
    "compress",
    "compress-level",
    "compress-level-network",
    "compress-type",
    "config",
    "config-include-path",
    "config-path",
    "db-exclude",
    "db-include",
    "db-timeout",
    "delta",
    "detail-level",
    "dry-run",
    "exclude",
    "exec-id",
    "expire-auto",
    "filter",
    "force",
    "hardlink",
    "io-timeout",
    "job-retry",
    "job-retry-interval",
    "link-all",
    "link-map",
    "lock-path",
    "log-level-console",
    "log-level-file",
    "log-level-stderr",
    "log-path",
    "log-subprocess",
    "log-timestamp",
    "manifest-save-threshold",
    "neutral-umask",
    "online",
    "output",
    "page-header-check",
    "priority",
    "process-max",
    "protocol-timeout",
    "raw",
    "recovery-option",
    "recurse",
    "repo",
    "report",
    "restore-owner-mode",
    "resume",
    "sck-block",
    "sck-keep-alive",
    "set",
    "sort",
    "spool-path",
    "stanza",
    "start-fast",
    "stop-auto",
    "tablespace-map",
    "tablespace-map-all",
    "target",
    "target-action",
    "target-exclusive",
    "target-timeline",
    "tcp-keep-alive-count",
    "tcp-keep-alive-idle",
    "tcp-keep-alive-interval",
    "thread-max",
    "tls-server-address",
    "tls-server-auth",
    "tls-server-ca-file",
    "tls-server-cert-file",
    "tls-server-crl-file",
    "tls-server-key-file",
    "tls-server-port",
    "type",
    "verbose",
    "allow-root",
];

/// Options of a PostgreSQL host, as `pg1-path`; `db` and `backup` are their deprecated groups.
const PG: &[&str] = &[
    "cmd",
    "config",
    "database",
    "host",
    "host-ca-file",
    "host-ca-path",
    "host-cert-file",
    "host-cmd",
    "host-config",
    "host-config-include-path",
    "host-config-path",
    "host-key-file",
    "host-port",
    "host-type",
    "host-user",
    "local",
    "path",
    "port",
    "socket-path",
    "ssh-port",
    "user",
    "version-force",
];

/// Options of a repository, as `repo1-type`.
const REPO: &[&str] = &[
    "azure-account",
    "azure-ca-file",
    "azure-ca-path",
    "azure-container",
    "azure-endpoint",
    "azure-host",
    "azure-key",
    "azure-key-type",
    "azure-port",
    "azure-uri-style",
    "azure-verify-tls",
    "block",
    "block-age-map",
    "block-checksum-size-map",
    "block-size-map",
    "block-size-super",
    "block-size-super-full",
    "bundle",
    "bundle-limit",
    "bundle-size",
    "cipher-pass",
    "cipher-type",
    "gcs-bucket",
    "gcs-endpoint",
    "gcs-key",
    "gcs-key-type",
    "gcs-user-project",
    "hardlink",
    "host",
    "host-ca-file",
    "host-ca-path",
    "host-cert-file",
    "host-cmd",
    "host-config",
    "host-config-include-path",
    "host-config-path",
    "host-key-file",
    "host-port",
    "host-type",
    "host-user",
    "local",
    "path",
    "retention-archive",
    "retention-archive-type",
    "retention-diff",
    "retention-full",
    "retention-full-type",
    "retention-history",
    "s3-bucket",
    "s3-ca-file",
    "s3-ca-path",
    "s3-endpoint",
    "s3-host",
    "s3-key",
    "s3-key-secret",
    "s3-key-type",
    "s3-kms-key-id",
    "s3-port",
    "s3-region",
    "s3-requester-pays",
    "s3-role",
    "s3-sse-customer-key",
    "s3-token",
    "s3-uri-style",
    "s3-verify-ssl",
    "s3-verify-tls",
    "sftp-host",
    "sftp-host-fingerprint",
    "sftp-host-key-check-type",
    "sftp-host-key-hash-type",
    "sftp-host-port",
    "sftp-host-user",
    "sftp-known-host",
    "sftp-private-key-file",
    "sftp-private-key-passphrase",
    "sftp-public-key-file",
    "storage-ca-file",
    "storage-ca-path",
    "storage-host",
    "storage-port",
    "storage-tag",
    "storage-upload-chunk-size",
    "storage-verify-tls",
    "symlink",
    "target-time",
    "type",
];

/// The option a variable stands for (`PGBACKREST_REPO1_S3_KEY` is `repo1-s3-key`), if pgBackRest has one of that name.
#[must_use]
pub fn of_variable(variable: &str) -> Option<String> {
    let option = variable.strip_prefix("PGBACKREST_")?.to_ascii_lowercase().replace('_', "-");
    is_known(&option).then_some(option)
}

/// The variable of an option.
#[must_use]
pub fn variable(option: &str) -> String {
    format!("PGBACKREST_{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// The repository that an option is about: `repo2-path` is 2's; one without a number (`repo-path`, `backup-host`) is 1's, by its
/// old name.
#[must_use]
pub fn repository(option: &str) -> Option<u32> {
    if PLAIN.contains(&option) {
        return None;
    }
    let rest = option.strip_prefix("repo").or_else(|| option.strip_prefix("backup"))?;
    let digits = rest.split('-').next().unwrap_or_default();
    if digits.is_empty() { Some(1) } else { digits.parse().ok() }
}

/// Whether an option may be given more than once to a push: in a file a line each, in a variable parted by colons.
#[must_use]
pub fn is_list(option: &str) -> bool {
    grouped(option, "repo", &["sftp-known-host", "storage-tag"])
}

/// Whether pgBackRest has an option of this name.
pub(super) fn is_known(option: &str) -> bool {
    PLAIN.contains(&option)
        || grouped(option, "pg", PG)
        || grouped(option, "db", PG)
        || grouped(option, "backup", PG)
        || grouped(option, "repo", REPO)
        || grouped(option, "retention", &["full", "diff", "archive", "archive-type"])
}

/// Whether `option` is `<group>[number]-<name>`.
fn grouped(option: &str, group: &str, names: &[&str]) -> bool {
    let name = option
        .strip_prefix(group)
        .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        .and_then(|rest| rest.strip_prefix('-'));
    name.is_some_and(|name| names.contains(&name))
}

/// Whether an option's value is a secret, whatever the repository's number.
#[must_use]
pub fn is_secret(option: &str) -> bool {
    const SECRETS: &[&str] = &[
        "azure-key",
        "cipher-pass",
        "s3-key",
        "s3-key-secret",
        "s3-sse-customer-key",
        "s3-token",
        "sftp-private-key-passphrase",
    ];
    option == "cipher-pass" || grouped(option, "repo", SECRETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbackrests_own_variables_are_told_from_strangers() {
        assert_eq!(of_variable("PGBACKREST_REPO1_S3_KEY_SECRET").as_deref(), Some("repo1-s3-key-secret"));
        assert_eq!(of_variable("PGBACKREST_PG1_PATH").as_deref(), Some("pg1-path"));
        assert_eq!(of_variable("PGBACKREST_ARCHIVE_ASYNC").as_deref(), Some("archive-async"));
        for stranger in
            ["PGBACKREST_BUCKET_INVALID_REASON", "PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX", "PGBACKREST_", "PATH"]
        {
            assert_eq!(of_variable(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn an_option_is_of_its_repository() {
        for (option, repository_of) in [
            ("repo2-s3-key", Some(2)),
            ("repo-path", Some(1)),
            ("backup-host", Some(1)),
            ("backup-standby", None),
            ("pg1-path", None),
        ] {
            assert_eq!(repository(option), repository_of, "{option}");
        }
        assert_eq!(variable("repo2-s3-key"), "PGBACKREST_REPO2_S3_KEY");
    }

    #[test]
    fn secrets_are_known_in_every_repository() {
        assert!(is_secret("repo1-s3-key") && is_secret("repo12-s3-token") && is_secret("repo2-cipher-pass"));
        assert!(!is_secret("repo1-s3-bucket") && !is_secret("repo1-s3-key-type"));
    }
}
