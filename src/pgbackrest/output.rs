//! What pgBackRest prints: log lines, in both of its layouts.
//!
//! `logPost` (src/common/log.c, 2.45 to 2.59): on stderr `LEVEL: [code]: text` without a time, on stdout
//! `2026-11-22 10:58:13.119 P00   WARN: text`; the code only with ERROR and ASSERT. Further lines of a message are
//! indented. Text may hold any bytes; a message is cut at 8 KiB (`ERROR_MESSAGE_BUFFER_SIZE`).

use crate::wal::{Lsn, SegmentName, Timeline};

/// The level of a line that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// `ERROR` and `ASSERT`.
    Error,
    /// `WARN`.
    Warn,
    /// Everything quieter.
    Info,
}

/// One message with all its lines, the indentation taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// How serious pgBackRest takes it.
    pub(super) level: Level,
    /// pgBackRest's error code, from `[NNN]`.
    pub(super) code: Option<i32>,
    /// The lines, joined by newlines.
    pub(super) text: String,
}

/// Reads the messages; what stands before the first is left out.
#[must_use]
pub(super) fn messages(output: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for line in output.lines() {
        if let Some(message) = head(line) {
            messages.push(message);
        } else if let Some(last) = messages.last_mut() {
            last.text.push('\n');
            last.text.push_str(line.trim());
        }
    }
    messages
}

/// The first line of a message.
fn head(line: &str) -> Option<Message> {
    let rest = without_time(line).or_else(|| without_process(line)).unwrap_or(line).trim_start();
    let (level, text) = [
        ("ERROR: ", Level::Error),
        ("ASSERT: ", Level::Error),
        ("WARN: ", Level::Warn),
        ("INFO: ", Level::Info),
        ("DETAIL: ", Level::Info),
        ("DEBUG: ", Level::Info),
        ("TRACE: ", Level::Info),
    ]
    .into_iter()
    .find_map(|(word, level)| Some((level, rest.strip_prefix(word)?)))?;
    let (code, text) = code(text).map_or((None, text), |(code, text)| (Some(code), text));
    Some(Message { level, code, text: text.to_owned() })
}

/// `2026-11-22 10:58:13.119 P00   ` taken off.
fn without_time(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(|c: char| c.is_ascii_digit())?;
    let (time, rest) = rest.split_once(" P")?;
    let legal = time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b' '));
    legal.then(|| rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// `P00  ` taken off: from 2.53 on an error of the options is written so to stdout, without a time and whatever the levels
/// are (2.55.1, 2.60.0: `P00  ERROR: [032]: key '9' is not valid for 'repo' option`).
fn without_process(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('P')?;
    let (number, rest) = rest.split_at_checked(2)?;
    (number.bytes().all(|digit| digit.is_ascii_digit()) && rest.starts_with(' ')).then_some(rest)
}

/// `[103]: text`.
fn code(text: &str) -> Option<(i32, &str)> {
    let (digits, text) = text.strip_prefix('[')?.split_once("]: ")?;
    if digits.len() == 3 { Some((digits.parse().ok()?, text)) } else { None }
}

/// Both streams as one text, the first one's last line ended, so that the next does not become part of it.
#[must_use]
pub(super) fn joined(stderr: &[u8], stdout: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(stderr).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&String::from_utf8_lossy(stdout));
    text
}

/// Whether the output speaks of a repository that failed: `repoN: [ErrorName]` at the start of a line or message.
///
/// `archive-get` exits 1 too when one repository failed and the others lack the file (src/command/archive/get/get.c);
/// only this warning tells.
#[must_use]
pub(super) fn warns_of_repository(output: &str) -> bool {
    output.match_indices("repo").any(|(at, _)| {
        let rest = output.get(at + 4..).unwrap_or_default();
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        number.len() < rest.len() && number.starts_with(": [")
    })
}

/// Whether `archive-get` says, at level info, that every repository it asked lacks this very file:
/// `unable to find NAME in the archive`, in async mode with ` asynchronously` behind it (`UNABLE_TO_FIND_IN_ARCHIVE_MSG`,
/// src/command/archive/get/get.c, 2.45 to 2.60).
#[must_use]
pub(super) fn says_absent(output: &str, name: &str) -> bool {
    messages(output).iter().any(|message| {
        let rest = message.text.strip_prefix("unable to find ").and_then(|rest| rest.strip_prefix(name));
        let rest = rest.and_then(|rest| rest.strip_prefix(" in the archive"));
        message.level == Level::Info && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n']))
    })
}

/// The output without what pgBackRest says at level info and below: what a person needs to see of a failure.
#[must_use]
pub(super) fn without_info(output: &str) -> String {
    let mut shown = true;
    let lines = output.split_inclusive('\n').filter(|line| {
        shown = head(line.trim_end()).map_or(shown, |message| message.level != Level::Info);
        shown
    });
    lines.collect()
}

/// A backup that was made, as pgBackRest's own lines tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBackup {
    /// Its label, which says its kind: `…F`, `…D` or `…I`.
    pub label: String,
    /// The timeline and the position in the WAL at which it begins.
    pub start: (Timeline, Lsn),
}

/// The label and the start of a backup, from `backup`'s own lines at level info (src/command/backup/backup.c, 2.45 to 2.60:
/// `backup start archive = …, lsn = …`, `new backup label = …`); it makes a full one where no other kind is possible.
pub(super) fn made_backup(output: &str) -> Option<MadeBackup> {
    let after = |mark: &str| output.lines().rev().find_map(|line| line.split_once(mark)).map(|(_, rest)| rest.trim());
    let label = after("new backup label = ")?.to_owned();
    let (segment, lsn) = after("backup start archive = ")?.split_once(", lsn = ")?;
    let (segment, lsn): (SegmentName, Lsn) = (segment.trim().parse().ok()?, lsn.trim().parse().ok()?);
    Some(MadeBackup { label, start: (segment.timeline(), lsn) })
}

/// A WAL file that pgBackRest acknowledged without storing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name, as pgBackRest writes it.
    pub name: String,
    /// What pgBackRest said of it.
    pub why: SkipReason,
}

/// Why pgBackRest acknowledged a file that it did not store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// `archive-push-queue-max` was exceeded (`archivePushDropWarning`, src/command/archive/push/push.c).
    QueueMax,
    /// Somebody renamed the spool's `.error` to `.ok` (`archiveAsyncStatus`, src/command/archive/common.c).
    Manually,
}

/// The files that a successful `archive-push` says it did not store.
#[must_use]
pub(super) fn skipped(output: &str) -> Vec<Skipped> {
    if !output.contains("WARN") {
        return Vec::new();
    }
    let warnings = messages(output).into_iter().filter(|message| message.level == Level::Warn);
    warnings.flat_map(|message| message.text.lines().filter_map(skipped_line).collect::<Vec<_>>()).collect()
}

fn skipped_line(line: &str) -> Option<Skipped> {
    let parts = |prefix: &str| line.strip_prefix(prefix).and_then(|rest| rest.split_once('\''));
    if let Some((name, rest)) = parts("dropped WAL file '") {
        return rest
            .starts_with(" because archive queue exceeded")
            .then(|| Skipped { name: name.to_owned(), why: SkipReason::QueueMax });
    }
    let (name, rest) = parts("WAL segment '").or_else(|| parts("WAL file '"))?;
    rest.starts_with(" was not pushed due to error")
        .then(|| Skipped { name: name.to_owned(), why: SkipReason::Manually })
}

/// Whether a successful `archive-push` says that a file of this name and checksum was there already: `WAL file '…' already
/// exists in the repoN archive with the same checksum` (src/command/archive/push/file.c, 2.45 to 2.59.1).
#[must_use]
pub(super) fn existed(output: &str) -> bool {
    let says = |line: &str| line.starts_with("WAL file '") && line.ends_with(" archive with the same checksum");
    let mut warnings = messages(output).into_iter().filter(|message| message.level == Level::Warn);
    warnings.any(|message| message.text.lines().any(says))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_read() {
        let stderr = "ERROR: [103]: unable to find a valid repository:\n       repo1: [ProtocolError] x\n";
        let stdout = "2026-11-22 10:58:13.119 P00  ERROR: [103]: unable to find a valid repository:\n                                    repo1: [ProtocolError] x\n";
        let expected = Message {
            level: Level::Error,
            code: Some(103),
            text: "unable to find a valid repository:\nrepo1: [ProtocolError] x".to_owned(),
        };
        let options = messages("P00  ERROR: [032]: key '9' is not valid for 'repo' option\n");
        assert_eq!(options.first().map(|message| (message.level, message.code)), Some((Level::Error, Some(32))));
        assert_eq!(messages(stderr), std::slice::from_ref(&expected));
        assert_eq!(messages(stdout), [expected]);
    }

    #[test]
    fn a_message_ends_where_the_next_begins() {
        let levels: Vec<_> = messages("noise\nWARN: a\n      b\nASSERT: [025]: no WAL files\nINFO: c\n")
            .into_iter()
            .map(|m| (m.level, m.code))
            .collect();
        assert_eq!(levels, [(Level::Warn, None), (Level::Error, Some(25)), (Level::Info, None)]);
    }

    #[test]
    fn a_repository_that_failed_is_seen_wherever_it_stands() {
        assert!(warns_of_repository("WARN: repo1: [ProtocolError] x"));
        assert!(warns_of_repository("2026-11-22 10:58:13.119 P00   WARN: x\n      repo12: [FileMissingError] x"));
        for harmless in
            ["", "WARN: repo1: x", "repo: [x]", "WARN: configuration file contains invalid option 'repo1-x'"]
        {
            assert!(!warns_of_repository(harmless), "{harmless}");
        }
    }

    #[test]
    fn absence_is_said_in_words_of_this_very_file() {
        let name = "00000002.history";
        for says in [
            "INFO: unable to find 00000002.history in the archive\n",
            "WARN: x\nINFO: archive-get command begin 2.45: []\nINFO: unable to find 00000002.history in the archive asynchronously\nINFO: end",
            "2026-11-22 10:58:13.119 P00   INFO: unable to find 00000002.history in the archive",
        ] {
            assert!(says_absent(says, name), "{says}");
        }
        for silent in [
            "",
            "INFO: unable to find 00000003.history in the archive",
            "unable to find 00000002.history in the archive",
            "ERROR: [042]: unable to find 00000002.history in the archive",
            "INFO: unable to find 00000002.history in the archived",
            "INFO: archive-get command begin: [unable to find 00000002.history in the archive]",
        ] {
            assert!(!says_absent(silent, name), "{silent}");
        }
    }

    #[test]
    fn what_is_shown_of_a_failure_is_what_failed() {
        let output = "noise\nINFO: begin\n      more\nWARN: a\n      b\nINFO: end\nERROR: [103]: c";
        assert_eq!(without_info(output), "noise\nWARN: a\n      b\nERROR: [103]: c");
    }

    #[test]
    fn label_and_start_of_a_backup_are_read_from_its_lines() {
        let text = "INFO: execute non-exclusive backup start\n\
                    INFO: backup start archive = 000000030000000100000002, lsn = 1/2000028\n\
                    INFO: new backup label = 20261122-100000F_20261122-110000D\nINFO: full backup size = 1MB\n";
        let made = made_backup(text).unwrap();
        assert_eq!((made.start.0.0, made.start.1.0), (3, 0x1_0200_0028));
        assert_eq!(made.label, "20261122-100000F_20261122-110000D");
        assert_eq!(made_backup("INFO: new backup label = 20261122-100000F\n"), None);
    }

    #[test]
    fn a_drop_is_seen_only_in_a_warning_of_that_text() {
        let dropped = "dropped WAL file '000000010000000000000001' because archive queue exceeded 20MB";
        let skips = |text: &str| skipped(text).len();
        assert_eq!(skips(&format!("WARN: {dropped}\n")), 1);
        assert_eq!(skips(&format!("2026-11-22 10:58:13.119 P00   WARN: {dropped}\n")), 1);
        assert_eq!(skips(&format!("INFO: {dropped}\n")), 0);
        assert_eq!(
            skips(
                "WARN: WAL file '000000010000000000000003' already exists in the repo1 archive with the same checksum\n"
            ),
            0
        );
        let exists = "WARN: WAL file '000000010000000000000003' already exists in the repo1 archive with the same checksum\n      HINT: x\n";
        assert!(existed(exists) && !existed(&exists.replace("WARN", "INFO")) && !existed(&format!("WARN: {dropped}")));
        let manually = "WARN: WAL segment '000000010000000000000003' was not pushed due to error [104] and was manually skipped: x\n";
        assert_eq!(skipped(manually).pop().map(|skip| skip.why), Some(SkipReason::Manually));
    }
}
