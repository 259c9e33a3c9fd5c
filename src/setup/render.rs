//! The two files that setup writes whole: pgBackRest's configuration, and PostgreSQL's part of it.
//!
//! pgBackRest's grammar has no quotes and no escapes (src/common/ini.c, 2.45 to 2.59): a value reaches from the `=` to
//! the end of the line, which is why the screen lets no control character through.

use super::server_config::quoted;
use crate::data_directory::STATE_FOLDER;
use crate::settings::ProcessOverrides;
use std::fmt::Write as _;
use std::path::Path;

/// The first line of what setup writes: what does not begin with it is an operator's own.
pub(super) const HEADER: &str = "# Written by pgbackrest-guard setup, and again at each run.";
/// The spool's name in the data directory, as the shell scripts had it.
pub(super) const SPOOL: &str = "pgbackrest-spool";

const MIB: u64 = 1 << 20;
/// The guard's own files in the data directory. A restored copy must not take them for its own.
const EXCLUDED: [&str; 5] = [
    crate::backup_state::FILE_NAME,
    ".pgbackrest_gap_pending",
    STATE_FOLDER,
    ".pgbackrest_invalid_bucket",
    ".pgbackrest_repo_path",
];

/// The repository.
#[derive(Debug)]
pub(super) struct Repository<'r> {
    pub(super) bucket: &'r str,
    pub(super) endpoint: String,
    pub(super) region: &'r str,
    pub(super) keys: Keys<'r>,
    pub(super) path: String,
    pub(super) uri_style: &'static str,
    pub(super) retention_full: u64,
    pub(super) retention_diff: u64,
}

/// Who pgBackRest is to the store.
#[derive(Debug)]
pub(super) enum Keys<'r> {
    /// An access key and its secret.
    Pair(&'r str, &'r str),
    /// The role of the machine.
    Role,
    /// pgBackRest's own variables say it.
    Elsewhere,
}

/// The machine that pgBackRest runs on.
#[derive(Debug)]
pub(super) struct Machine<'m> {
    pub(super) stanza: &'m str,
    pub(super) pgdata: &'m str,
    /// What else of the guard's lies in the data directory.
    pub(super) excluded: Vec<&'m str>,
    pub(super) port: Option<&'m str>,
    pub(super) socket: Option<&'m str>,
    pub(super) queue_limit: u64,
    pub(super) processes: Processes,
}

/// How many processes each command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Processes {
    push: u64,
    get: u64,
    backup: u64,
    restore: u64,
}

impl Processes {
    /// By the CPUs that are granted. Readers of a backup starve queries, and disks do not get faster with CPUs: one.
    pub(super) fn new(cpus: u64, overrides: &ProcessOverrides) -> Self {
        Self {
            push: overrides.push.unwrap_or_else(|| (cpus / 8).clamp(2, 8)),
            get: overrides.get.unwrap_or(1),
            backup: overrides.backup.unwrap_or(1),
            restore: overrides.restore.unwrap_or_else(|| cpus.clamp(1, 32)),
        }
    }
}

/// The WAL that may wait before pgBackRest itself drops it: 5 GiB or half the volume, at least 128 MiB; in bytes.
pub(super) fn queue_limit(volume: Option<u64>) -> u64 {
    const MOST: u64 = 5 * 1024 * MIB;
    volume.map_or(MOST, |bytes| (bytes / 2 / MIB * MIB).min(MOST)).max(128 * MIB)
}

/// `pgbackrest.conf`.
pub(super) fn pgbackrest_conf(repository: &Repository<'_>, machine: &Machine<'_>) -> String {
    let mut text = format!(
        "{HEADER}\n# Change the WAL_ARCHIVE_* settings instead; more options of pgBackRest go into PGBACKREST_* variables.\n\n"
    );
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{key}={value}");
    };
    line("[global]\nrepo1-type", &"s3");
    line("repo1-s3-bucket", &repository.bucket);
    line("repo1-s3-endpoint", &repository.endpoint);
    line("repo1-s3-region", &repository.region);
    match repository.keys {
        Keys::Pair(key, secret) => {
            line("repo1-s3-key", &key);
            line("repo1-s3-key-secret", &secret);
        }
        Keys::Role => line("repo1-s3-key-type", &"auto"),
        Keys::Elsewhere => {}
    }
    line("repo1-s3-uri-style", &repository.uri_style);
    line("repo1-path", &repository.path);
    line("repo1-retention-full", &repository.retention_full);
    line("repo1-retention-diff", &repository.retention_diff);
    line("compress-type", &"zst");
    line("compress-level", &3);
    line("archive-async", &"y");
    line("archive-push-queue-max", &format_args!("{}MiB", machine.queue_limit / MIB));
    line("spool-path", &format_args!("{}/{SPOOL}", machine.pgdata.trim_end_matches('/')));
    line("\n[global:archive-push]\nprocess-max", &machine.processes.push);
    line("\n[global:archive-get]\nprocess-max", &machine.processes.get);
    line("\n[global:backup]\nprocess-max", &machine.processes.backup);
    for name in EXCLUDED.iter().chain(&machine.excluded).chain(&[SPOOL]) {
        line("exclude", &name);
    }
    line("\n[global:restore]\nprocess-max", &machine.processes.restore);
    line(&format!("\n[{}]\npg1-path", machine.stanza), &machine.pgdata);
    for (key, value) in [("pg1-port", machine.port), ("pg1-socket-path", machine.socket)] {
        if let Some(value) = value {
            line(key, &value);
        }
    }
    text
}

/// `conf.d/pgbackrest.conf`.
pub(super) fn server_conf(archive_command: &str, archive_timeout: u64) -> String {
    format!(
        "{HEADER}\narchive_mode = on\narchive_command = {}\narchive_timeout = {archive_timeout}\n\
         track_commit_timestamp = on\n",
        quoted(archive_command)
    )
}

/// `archive_command`: the program, and the flags without which it would find other settings than setup did.
///
/// PostgreSQL gives it to a shell and replaces `%p`, `%f` and `%%` before (`shell_archive.c`, PostgreSQL 15).
pub(super) fn archive_command(program: &Path, flags: &[(&str, String)]) -> String {
    let word = |text: &str| shell_word(text).replace('%', "%%");
    let mut command = word(&program.to_string_lossy());
    for (flag, value) in flags {
        let _ = write!(command, " {flag}={}", word(value));
    }
    command + " %p"
}

/// A text as one word of a shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_follow_the_cpus_unless_they_are_set() {
        let none = ProcessOverrides::default();
        for (cpus, push, restore) in [(1, 2, 1), (8, 2, 8), (16, 2, 16), (24, 3, 24), (64, 8, 32), (256, 8, 32)] {
            assert_eq!(Processes::new(cpus, &none), Processes { push, get: 1, backup: 1, restore }, "{cpus}");
        }
        let all = ProcessOverrides { push: Some(5), get: Some(6), backup: Some(7), restore: Some(8) };
        assert_eq!(Processes::new(64, &all), Processes { push: 5, get: 6, backup: 7, restore: 8 });
    }

    #[test]
    fn the_queue_stays_under_half_the_volume() {
        for (volume, limit) in
            [(None, 5120), (Some(100 << 30), 5120), (Some(4 << 30), 2048), (Some(200 << 20), 128), (Some(0), 128)]
        {
            assert_eq!(queue_limit(volume), limit * MIB, "{volume:?}");
        }
    }

    #[test]
    fn the_command_survives_the_shell_and_postgresqls_percent_signs() {
        assert_eq!(archive_command(Path::new("pgbackrest-guard-push"), &[]), "pgbackrest-guard-push %p");
        let flags = [("--stanza", "it's 100%".to_owned())];
        assert_eq!(archive_command(Path::new("/opt/a b/push"), &flags), r"'/opt/a b/push' --stanza='it'\''s 100%%' %p");
        assert_eq!(shell_word(""), "''");
    }
}
