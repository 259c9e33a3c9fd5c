//! WAL file names and segment arithmetic.
//!
//! PostgreSQL names a segment by 24 upper-case hexadecimal digits: the timeline, and the segment's number split by
//! how many segments make 4 GiB (`XLogFileName`, `access/xlog_internal.h`, PostgreSQL 15). The split depends on the
//! cluster's segment size (`initdb --wal-segsize`, 1 MiB to 1 GiB), so the successor of a name can't be told without
//! it. Beside segments the archiver hands over `.partial` (the last segment of a timeline, at promotion), `.backup`
//! (backup history) and `.history` (timeline history) files.

pub mod commits;
mod page;

pub use page::{LongPageHeader, PageHeaderError};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A position in the WAL, as PostgreSQL writes it: `0/3000100`.
#[must_use]
pub fn shown_lsn(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// Reads a position in the WAL.
#[must_use]
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.trim().split_once('/')?;
    let half = |digits: &str| u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
    Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
}

/// A timeline number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

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
#[error("{0} bytes is no WAL segment size (a power of two from 1 MiB to 1 GiB)")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    "'{0}' is no WAL file name (24 digits 0-9 A-F, also with .partial or, behind 8 more digits, .backup; or 8 digits with .history)"
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
    fn a_position_is_read_and_written_as_postgresql_does() {
        for (lsn, text) in [(0, "0/0"), (0x1_0200_0028, "1/2000028"), (u64::MAX, "FFFFFFFF/FFFFFFFF")] {
            assert_eq!((shown_lsn(lsn).as_str(), parse_lsn(text)), (text, Some(lsn)));
        }
        for text in ["", "/", "0", "0/", "1/100000000", "+1/0", "x/0"] {
            assert_eq!(parse_lsn(text), None, "{text}");
        }
    }

    #[test]
    fn a_segment_size_is_a_power_of_two_in_range() {
        for bytes in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, u64::MAX] {
            assert!(SegmentSize::try_from(bytes).is_err(), "{bytes}");
        }
    }
}
