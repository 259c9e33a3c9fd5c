//! Writing WAL, and what PostgreSQL says about archiving it.

use std::fs;
use std::time::Duration;

use super::Cluster;

/// Fills nine tenths of what is left of the current segment, then switches to the next one.
/// A command of its own for each, as the position must have moved in between.
const FILL_AND_SWITCH: &str = "
SELECT pg_logical_emit_message(false, 'lab', repeat('x', ((s - (pg_current_wal_insert_lsn() - '0/0') % s) * 0.9)::int))
    FROM (SELECT setting::numeric AS s FROM pg_settings WHERE name = 'wal_segment_size') AS size \\g /dev/null
SELECT pg_walfile_name(pg_switch_wal());
";

impl Cluster {
    /// Fills this many segments; returns their names.
    pub fn write_wal(&self, segments: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < segments {
            // psql's input and output must both fit a pipe.
            let script = FILL_AND_SWITCH.repeat((segments - names.len()).min(100));
            names.extend(self.sql(&script).lines().map(str::to_owned));
        }
        names
    }

    /// Completes the current segment with as little in it as possible; returns its name.
    pub fn switch_wal(&self) -> String {
        self.sql(
            "SELECT pg_logical_emit_message(false, 'lab', 'switch') \\g /dev/null\nSELECT pg_walfile_name(pg_switch_wal());",
        )
    }

    /// The segment that is being written.
    pub fn current_segment(&self) -> String {
        self.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    }

    /// The names of the files waiting to be archived, sorted.
    pub fn ready(&self) -> Vec<String> {
        self.archive_status(".ready")
    }

    /// The names of the files marked as archived whose mark still exists, sorted.
    pub fn done(&self) -> Vec<String> {
        self.archive_status(".done")
    }

    fn archive_status(&self, suffix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.pg_wal().join("archive_status")).unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned())).collect();
        names.sort();
        names
    }

    /// Waits until `PostgreSQL` counts the file as archived; panics with the server's log otherwise.
    #[track_caller]
    pub fn wait_archived(&self, name: &str, timeout: Duration) {
        self.wait_until(&format!("{name} is archived"), timeout, || self.is_archived(name));
    }

    /// By its mark, or, as a checkpoint removes marks, by the archiver's latest success.
    fn is_archived(&self, name: &str) -> bool {
        let status = self.pg_wal().join("archive_status");
        if status.join(format!("{name}.done")).exists() {
            return true;
        }
        !status.join(format!("{name}.ready")).exists() && self.last_archived_wal().as_str() >= name
    }

    /// `failed_count` of `pg_stat_archiver`.
    pub fn failed_count(&self) -> u64 {
        self.sql("SELECT failed_count FROM pg_stat_archiver").parse().unwrap()
    }

    /// `archived_count` of `pg_stat_archiver`.
    pub fn archived_count(&self) -> u64 {
        self.sql("SELECT archived_count FROM pg_stat_archiver").parse().unwrap()
    }

    /// `last_archived_wal` of `pg_stat_archiver`; empty when there is none.
    pub fn last_archived_wal(&self) -> String {
        self.sql("SELECT last_archived_wal FROM pg_stat_archiver")
    }
}
