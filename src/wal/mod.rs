//! WAL file names and segment arithmetic.
//!
//! PostgreSQL names a segment by 24 upper-case hexadecimal digits: the timeline, and the segment's number split by
//! how many segments make 4 GiB (`XLogFileName`, `access/xlog_internal.h`, PostgreSQL 15). The split depends on the
//! cluster's segment size (`initdb --wal-segsize`, 1 MiB to 1 GiB), so the successor of a name can't be told without
//! it. Beside segments the archiver hands over `.partial` (the last segment of a timeline, at promotion), `.backup`
//! (backup history) and `.history` (timeline history) files.

pub mod commits;
pub mod heartbeats;
mod history;
mod listing;
mod page;
mod records;

pub use history::{parents, parse_history};
pub use listing::listed;
pub use page::{LongPageHeader, PageHeaderError, PageTimeline, whole_segment};
#[cfg(test)]
pub(crate) use records::made;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A timeline number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

/// A position in the WAL, as PostgreSQL prints it: two hexadecimal halves, `0/2000028` (`pg_lsn_in_internal`,
/// `pg_lsn.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// Text that is no position.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a position in the WAL")]
pub struct NotAnLsn(String);

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let half = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).ok().filter(|_| plain)
        };
        let halves = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        halves.map(|(high, low)| Self(high << 32 | low)).ok_or_else(|| NotAnLsn(text.to_owned()))
    }
}

impl TryFrom<String> for Lsn {
    type Error = NotAnLsn;

    fn try_from(text: String) -> Result<Self, NotAnLsn> {
        text.parse()
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

/// Bytes in one WAL segment of a cluster: a power of two from 1 MiB to 1 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SegmentSize(u64);

impl SegmentSize {
    /// What `initdb` uses when it is not told otherwise: 16 MiB.
    pub const DEFAULT: Self = Self(16 << 20);

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Segments in 4 GiB: the values that the last eight digits of a name can take.
    #[must_use]
    pub fn per_log(self) -> u64 {
        (1 << 32) / self.0
    }
}

impl TryFrom<u64> for SegmentSize {
    type Error = NotASegmentSize;

    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        let legal = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        if legal { Ok(Self(bytes)) } else { Err(NotASegmentSize(bytes)) }
    }
}

impl From<SegmentSize> for u64 {
    fn from(size: SegmentSize) -> Self {
        size.0
    }
}

/// A number of bytes that no cluster can have as its segment size.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes is not a WAL segment size (a power of two from 1 MiB to 1 GiB)")]
pub struct NotASegmentSize(u64);

/// The name of a WAL segment: 24 upper-case hexadecimal digits. Ordered as PostgreSQL's archiver orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SegmentName {
    timeline: u32,
    log: u32,
    segment: u32,
}

impl SegmentName {
    /// The timeline in the name.
    #[must_use]
    pub fn timeline(self) -> Timeline {
        Timeline(self.timeline)
    }

    /// The segment's number since the start of the cluster's WAL.
    #[must_use]
    pub fn number(self, size: SegmentSize) -> u64 {
        u64::from(self.log) * size.per_log() + u64::from(self.segment)
    }

    /// The segment `number` of `timeline`; `None` past the last one that has a name.
    #[must_use]
    pub fn from_number(timeline: Timeline, number: u64, size: SegmentSize) -> Option<Self> {
        Some(Self {
            timeline: timeline.0,
            log: u32::try_from(number / size.per_log()).ok()?,
            segment: u32::try_from(number % size.per_log()).ok()?,
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.segment)
    }
}

impl FromStr for SegmentName {
    type Err = NotAWalFile;

    fn from_str(name: &str) -> Result<Self, NotAWalFile> {
        if name.len() != 24 {
            return Err(NotAWalFile::new(name));
        }
        let part = |at: usize| hexadecimal(name.get(at..at + 8)).ok_or_else(|| NotAWalFile::new(name));
        Ok(Self { timeline: part(0)?, log: part(8)?, segment: part(16)? })
    }
}

impl TryFrom<String> for SegmentName {
    type Error = NotAWalFile;

    fn try_from(name: String) -> Result<Self, NotAWalFile> {
        name.parse()
    }
}

impl From<SegmentName> for String {
    fn from(name: SegmentName) -> Self {
        name.to_string()
    }
}

/// A file that PostgreSQL's archiver can hand over, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalFile {
    /// A whole segment.
    Segment(SegmentName),
    /// The segment in which a timeline ended, as far as it was written.
    Partial(SegmentName),
    /// A backup history file: the segment and the offset in it where a base backup began.
    Backup(SegmentName, u32),
    /// The history of a timeline.
    History(Timeline),
}

impl WalFile {
    /// The segment of a file that can be lost, and whether it is its `.partial`; `None` for what is never given up.
    #[must_use]
    pub fn losable(&self) -> Option<(SegmentName, bool)> {
        match self {
            Self::Segment(segment) => Some((*segment, false)),
            Self::Partial(segment) => Some((*segment, true)),
            Self::Backup(..) | Self::History(_) => None,
        }
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(name) => write!(f, "{name}"),
            Self::Partial(name) => write!(f, "{name}.partial"),
            Self::Backup(name, offset) => write!(f, "{name}.{offset:08X}.backup"),
            Self::History(timeline) => write!(f, "{:08X}.history", timeline.0),
        }
    }
}

impl FromStr for WalFile {
    type Err = NotAWalFile;

    fn from_str(name: &str) -> Result<Self, NotAWalFile> {
        let refused = || NotAWalFile::new(name);
        if let Some(timeline) = name.strip_suffix(".history") {
            return hexadecimal(Some(timeline)).map(|id| Self::History(Timeline(id))).ok_or_else(refused);
        }
        if let Some(segment) = name.strip_suffix(".partial") {
            return segment.parse().map(Self::Partial).map_err(|_| refused());
        }
        if let Some(backup) = name.strip_suffix(".backup") {
            let (segment, offset) = backup.split_once('.').ok_or_else(refused)?;
            let offset = hexadecimal(Some(offset)).ok_or_else(refused)?;
            return segment.parse().map(|name| Self::Backup(name, offset)).map_err(|_| refused());
        }
        name.parse().map(Self::Segment)
    }
}

/// A name that PostgreSQL gives to no WAL file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a WAL file name (24 digits 0-9 A-F, optionally with .partial, or with a dot, 8 more digits and \
     .backup; or 8 digits with .history)"
)]
pub struct NotAWalFile(String);

impl NotAWalFile {
    /// Names the refused text, made safe for one log line.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.chars().take(200).collect::<String>().escape_debug().to_string())
    }
}

/// Eight upper-case hexadecimal digits; PostgreSQL accepts no lower case (`IsXLogFileName`, `xlog_internal.h`).
fn hexadecimal(digits: Option<&str>) -> Option<u32> {
    let digits = digits?;
    let legal = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    if legal { u32::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_the_archiver_hands_over_is_read_and_written_back() {
        for name in [
            "000000010000000000000001",
            "0000000A00000010000000FF",
            "000000010000000000000001.partial",
            "000000010000000000000001.00000028.backup",
            "00000002.history",
        ] {
            assert_eq!(name.parse::<WalFile>().map(|file| file.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn every_other_name_is_refused() {
        for name in [
            "",
            "00000001000000000000000",
            "0000000100000000000000011",
            "00000001000000000000000g",
            "00000001000000000000000a",
            "+00000010000000000000001",
            "000000010000000000000001.part",
            "000000010000000000000001.28.backup",
            "000000010000000000000001.backup",
            "2.history",
            "0000000é.history",
            "RECOVERYXLOG",
            "000000010000000000000001 ",
            "\u{1F980}00000000000000000000",
        ] {
            assert!(name.parse::<WalFile>().is_err(), "{name}");
        }
    }

    #[test]
    fn the_successor_depends_on_the_segment_size() {
        let last: SegmentName = "0000000100000000000000FF".parse().unwrap();
        for (bytes, next) in [(16 << 20, "000000010000000100000000"), (1 << 20, "000000010000000000000100")] {
            let size = SegmentSize::try_from(bytes).unwrap();
            let successor = SegmentName::from_number(last.timeline(), last.number(size) + 1, size).unwrap();
            assert_eq!(successor.to_string(), next);
        }
    }

    #[test]
    fn a_segment_size_is_a_power_of_two_in_range() {
        for bytes in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, u64::MAX] {
            assert!(SegmentSize::try_from(bytes).is_err(), "{bytes}");
        }
    }
}
