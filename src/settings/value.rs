//! One value out of its text.

pub(super) mod typed;
mod words;

pub use words::{DropMeasure, GapBackup, RequiredRepositories, TakenBy};

use crate::bad_value::BadValue;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The largest number that a setting takes: as MiB it still is a number of bytes.
const LARGEST: u64 = 1 << 43;

/// A size, given in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mebibytes(u64);

impl Mebibytes {
    /// So many MiB.
    #[must_use]
    pub const fn new(mebibytes: u64) -> Self {
        Self(mebibytes)
    }

    /// The size in bytes, at most 2^63.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(1 << 20)
    }
}

impl FromStr for Mebibytes {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        number(text).map(Self)
    }
}

/// A time, given in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(u64);

impl Seconds {
    /// So many seconds.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The time as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The time in seconds.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// So many times as long.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Reads a time limit, which can't be 0.
    ///
    /// # Errors
    /// When the text is no whole number, or 0.
    pub fn limit(text: &str) -> Result<Self, BadValue> {
        match number(text)? {
            0 => Err(BadValue("a time limit can't be 0")),
            seconds => Ok(Self(seconds)),
        }
    }
}

impl FromStr for Seconds {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        number(text).map(Self)
    }
}

/// A repository's number, as in `repo1-path`: 1 to 256 (`CFGOPTGRP_REPO`, src/config/define, 2.45 to 2.60).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryNumber(u16);

impl RepositoryNumber {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }
}

impl FromStr for RepositoryNumber {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let number = number(text).ok().and_then(|number| u16::try_from(number).ok());
        number
            .filter(|number| (1..=256).contains(number))
            .map(Self)
            .ok_or(BadValue("not a repository's number, 1 to 256"))
    }
}

/// Repositories, by their numbers, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryList(Vec<u32>);

impl RepositoryList {
    /// The numbers, in the order in which they were given.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }
}

impl FromStr for RepositoryList {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut numbers = Vec::new();
        for word in text.split(',').map(str::trim) {
            let number =
                word.parse::<RepositoryNumber>().map_err(|_| BadValue("not a list of repositories, such as 1,2"))?;
            if !numbers.contains(&number.get()) {
                numbers.push(number.get());
            }
        }
        Ok(Self(numbers))
    }
}

/// Reads a whole number: digits alone, without a leading zero, at most 2^43.
fn number(text: &str) -> Result<u64, BadValue> {
    const WRONG: BadValue = BadValue("not a whole number of at most 2^43 (no sign, unit, fraction or leading zero)");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(WRONG);
    }
    text.parse().ok().filter(|number| *number <= LARGEST).ok_or(WRONG)
}

/// Reads what has a `FromStr`.
pub(super) fn parsed<T>(text: &OsString) -> Result<T, BadValue>
where
    T: FromStr,
    BadValue: From<T::Err>,
{
    Ok(text.to_str().ok_or(BadValue("not UTF-8"))?.parse()?)
}

/// Reads a time limit, which can't be 0.
pub(super) fn time_limit(text: &OsString) -> Result<Seconds, BadValue> {
    Seconds::limit(text.to_str().ok_or(BadValue("not UTF-8"))?)
}

/// Reads a whole number that lies in a range.
pub(super) fn number_in(text: &OsString, range: RangeInclusive<u64>) -> Result<u64, BadValue> {
    let number = number(text.to_str().ok_or(BadValue("not UTF-8"))?)?;
    if range.contains(&number) { Ok(number) } else { Err(BadValue("out of range")) }
}

/// Reads a time that is given in hours.
pub(super) fn hours(text: &OsString) -> Result<Seconds, BadValue> {
    parsed::<Seconds>(text).map(|hours| hours.times(3600))
}

/// Reads a port.
pub(super) fn days(text: &OsString) -> Result<Seconds, BadValue> {
    Ok(Seconds::new(number_in(text, 0..=36_500)? * 86_400))
}

pub(super) fn port(text: &OsString) -> Result<u16, BadValue> {
    text.to_str().and_then(|text| text.parse().ok()).ok_or(BadValue("not a port"))
}

/// Reads a switch: `0`, `1`, `true` or `false`.
pub(super) fn address(text: &OsString) -> Result<SocketAddr, BadValue> {
    let address = text.to_str().and_then(|text| text.parse().ok());
    address.ok_or(BadValue("is not an address and port, such as 127.0.0.1:9854"))
}

pub(super) fn switch(text: &OsString) -> Result<bool, BadValue> {
    match text.to_str() {
        Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        _ => Err(BadValue("not 0, 1, true or false")),
    }
}

/// Reads any path.
#[expect(clippy::unnecessary_wraps, reason = "one signature for every kind of value")]
pub(super) fn path(text: &OsString) -> Result<PathBuf, BadValue> {
    Ok(PathBuf::from(text))
}

/// Reads a path that means the same from every working directory.
pub(super) fn absolute_path(text: &OsString) -> Result<PathBuf, BadValue> {
    let path = Path::new(text);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(BadValue("not an absolute path")) }
}

/// Reads a stanza's name, which becomes part of file names.
pub(super) fn stanza(text: &OsString) -> Result<String, BadValue> {
    let name = text.to_str().ok_or(BadValue("not UTF-8"))?;
    let odd = |c: char| c == '/' || c.is_control();
    if name.is_empty() || name.starts_with('.') || name.contains(odd) {
        return Err(BadValue("not a stanza's name"));
    }
    Ok(name.to_owned())
}

/// Reads a number with a unit of PostgreSQL's (guc.c, `memory_unit_conversion_table`, `time_unit_conversion_table`).
pub(super) fn postgres_unit(text: &OsString) -> Result<String, BadValue> {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "ms", "s", "min", "h"];
    let text = text.to_str().ok_or(BadValue("not UTF-8"))?;
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - unit.len();
    if (1..=9).contains(&digits) && UNITS.contains(&unit) {
        Ok(text.to_owned())
    } else {
        Err(BadValue("not a number with a unit of PostgreSQL's, such as 15min or 1GB"))
    }
}

/// Reads a path in the repository, as pgBackRest takes it (src/config/parse.c, 2.45: it begins with `/` and has no `//`).
pub(super) fn repository_folder(text: &OsString) -> Result<String, BadValue> {
    let path = text.to_str().ok_or(BadValue("not UTF-8"))?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts_are_names = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if (path.is_empty() || path.starts_with('/')) && parts_are_names {
        Ok(path.to_owned())
    } else {
        Err(BadValue("not an absolute path without //, . and .."))
    }
}

/// Reads where the bucket stands in a request: whether in the host's name.
pub(super) fn is_host_style(text: &OsString) -> Result<bool, BadValue> {
    match text.to_str() {
        Some("host") => Ok(true),
        Some("path") => Ok(false),
        _ => Err(BadValue("not path or host")),
    }
}

impl From<crate::pgbackrest::failure::codes::NotCodes> for BadValue {
    fn from(_: crate::pgbackrest::failure::codes::NotCodes) -> Self {
        Self("not a list of codes such as InvalidAccessKeyId,NoSuchBucket, or none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_whole_numbers_are_numbers() {
        for (text, value) in [("0", 0), ("1", 1), ("500", 500), ("8796093022208", 1 << 43)] {
            assert_eq!(number(text), Ok(value));
        }
        for bad in ["", "08", "00", "5gb", "-1", "+1", "1.0", " 1", "1 ", "1e3", "0x10", "٣", "8796093022209"] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_time_limit_is_not_zero() {
        assert!(Seconds::limit("0").is_err());
        assert_eq!(Seconds::limit("1"), Ok(Seconds::new(1)));
    }

    proptest! {
        #[test]
        fn a_number_that_is_read_is_the_one_that_was_written(text in "[0-9+\\-. a-z]{0,20}") {
            if let Ok(number) = number(&text) {
                prop_assert_eq!(number.to_string(), text);
                prop_assert!(Mebibytes::new(number).bytes() >> 20 == number);
            }
        }
    }
}
