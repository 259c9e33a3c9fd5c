//! A replay that has ended before its target: by an outage, by WAL that is missing, or by WAL that is damaged.
//!
//! PostgreSQL takes a segment that is not there and a record that is not valid alike for the end of WAL (xlogrecovery.c,
//! `ReadRecord`), and without a target it is promoted there. But it asks for a segment only when it has gone through all before
//! it, and `pgbackrest-guard-get` says of which one no repository has. What a repository has and nobody can unpack is fetched
//! once more, to see whether that is an outage.

use super::server;
use super::{MESSAGE_LENGTH, RestoreError, Work};
use crate::decide::restore::{Target, short};
use crate::pgbackrest::{Fetch, Fetched, Watch};
use crate::wal::{Lsn, SegmentName, SegmentSize, WalFile};
use std::fs;
use std::time::Duration;

/// How long fetching one file may take.
const LIMIT: Duration = Duration::from_mins(2);
/// What `pgbackrest-guard-get` says of the segment before which the archive ends (get/report.rs).
const ENDS: &str = " is in no repository: to PostgreSQL the archive ends before it";

/// Where the newest segment begins that the replay has asked for and no repository had.
pub(super) fn absent(work: &Work<'_>) -> Option<Lsn> {
    let size = SegmentSize::try_from(work.state.way.segment_bytes).ok()?;
    newest_absent(&server::log_from(&server::log_path(work.folder.path()), 0), size)
}

fn newest_absent(log: &str, size: SegmentSize) -> Option<Lsn> {
    let name = |line: &str| line.split_once(ENDS)?.0.rsplit([' ', '"']).next()?.parse::<SegmentName>().ok();
    let newest = log.lines().filter_map(name).next_back()?;
    Some(Lsn(newest.number(size).saturating_mul(size.bytes())))
}

/// The end of WAL has come before the target.
pub(super) fn before(work: &Work<'_>) -> RestoreError {
    let target = &work.state.wanted.target;
    let hint = short(work.state.way.last(), absent(work)).unwrap_or_else(|| {
        let hint = match target {
            Target::Time(_) => "the archive has no commit after it",
            _ => "it is not in the archive after the backup",
        };
        hint.to_owned()
    });
    RestoreError::Replay(format!("{target} was not reached: {hint}; nothing was promoted; choose an earlier target"))
}

/// A file could not be had: PostgreSQL's `words` name it.
pub(super) fn by_a_file(work: &Work<'_>, words: &str) -> RestoreError {
    let name = words.split('"').nth(1).and_then(|name| name.parse::<WalFile>().ok());
    if let Some(why) = name.and_then(|file| damage(work, &file)) {
        return RestoreError::Damaged(why);
    }
    RestoreError::Interrupted(format!(
        "the archive could no longer be queried, and nothing was promoted: {words}; fix the repository; see {}",
        server::log_path(work.folder.path()).display()
    ))
}

/// What is wrong with a file that the repository has; `None` where it is whole, or can't be fetched for another reason.
fn damage(work: &Work<'_>, file: &WalFile) -> Option<String> {
    let to = work.folder.path().join("looked-at");
    let repository = work.state.way.repository;
    let fetch = Fetch {
        file,
        to: &to,
        data_directory: Some(work.place.target.path()),
        repository: Some(repository),
        synchronous: true,
        verbose: false,
    };
    let answer = work.client.fetch(&fetch, Watch::within(LIMIT).and_signals(work.signals)).answer;
    let length = fs::metadata(&to).map_or(0, |file| file.len());
    let _ = fs::remove_file(&to);
    let is_segment = matches!(file, WalFile::Segment(_));
    let why = match answer {
        Fetched::Delivered if is_segment && length != work.state.way.segment_bytes => {
            format!("it has {length} bytes instead of {}", work.state.way.segment_bytes)
        }
        Fetched::Unclear { failure, .. } if failure.is_damage() => failure.shown(MESSAGE_LENGTH),
        Fetched::Delivered | Fetched::Absent | Fetched::Unclear { .. } => return None,
    };
    Some(format!(
        "{file} is damaged in repository {repository}, and nothing was promoted: {why}; choose a target before it, or another \
         repository with --repo (--replace starts over); once the file is whole again, the same command resumes the \
         restore"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_that_nobody_has_is_read_from_the_log() {
        let size = SegmentSize::try_from(1 << 20).unwrap();
        let log = "2026 [7] LOG:  restored log file \"000000010000000000000004\" from archive\n\
            pgbackrest-guard-get: INFO 000000010000000000000005 is in no repository: to PostgreSQL the archive ends before it\n\
            pgbackrest-guard-get: INFO 00000002.history is in no repository\n";
        assert_eq!(newest_absent(log, size), Some(Lsn(5 << 20)));
        let json = r#"{"level":"INFO","message":"00000001000000000000000A is in no repository: to PostgreSQL the archive ends before it"}"#;
        assert_eq!(newest_absent(json, size), Some(Lsn(10 << 20)));
        assert_eq!(newest_absent("2026 [7] LOG:  redo done", size), None);
    }
}
