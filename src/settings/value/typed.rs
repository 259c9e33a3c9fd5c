//! The kinds of values that a row of the table can have: what a value is, and how its text is read.

use super::{Mebibytes, RepositoryList, RepositoryNumber, RequiredRepositories, Seconds, number_in, parsed};
use crate::bad_value::BadValue;
use crate::pgbackrest::failure::codes::InstantDropCodes;
use crate::settings::declaration::{Kind, Typed};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

const fn typed<T>(kind: Kind, read: fn(&OsString) -> Result<T, BadValue>) -> Typed<T> {
    Typed { kind, read }
}

pub(in crate::settings) const FILE: Typed<PathBuf> = typed(Kind::File, super::path);
pub(in crate::settings) const ABSOLUTE_FILE: Typed<PathBuf> = typed(Kind::AbsoluteFile, super::absolute_path);
pub(in crate::settings) const ABSOLUTE_FOLDER: Typed<PathBuf> = typed(Kind::AbsoluteFolder, super::absolute_path);
pub(in crate::settings) const PROGRAM: Typed<PathBuf> = typed(Kind::Program, super::path);
pub(in crate::settings) const STANZA: Typed<String> = typed(Kind::Stanza, super::stanza);
pub(in crate::settings) const MEBIBYTES: Typed<Mebibytes> = typed(Kind::Mebibytes, parsed);
pub(in crate::settings) const SECONDS: Typed<Seconds> = typed(Kind::Seconds, parsed);
pub(in crate::settings) const HOURS: Typed<Seconds> = typed(Kind::Hours, super::hours);
pub(in crate::settings) const DAYS: Typed<Seconds> =
    typed(Kind::Number { least: 0, most: 36_500, unit: "days" }, super::days);
pub(in crate::settings) const TIME_LIMIT: Typed<Seconds> = typed(Kind::TimeLimit, super::time_limit);
pub(in crate::settings) const REPOSITORY: Typed<RepositoryNumber> = typed(Kind::Repository, parsed);
pub(in crate::settings) const REPOSITORIES: Typed<RepositoryList> = typed(Kind::Text, parsed);
pub(in crate::settings) const REQUIRED: Typed<RequiredRepositories> = typed(Kind::Text, parsed);
pub(in crate::settings) const PORT: Typed<u16> = typed(Kind::Port, super::port);
/// An address and a port.
pub(in crate::settings) const ADDRESS: Typed<SocketAddr> = typed(Kind::Text, super::address);
pub(in crate::settings) const SWITCH: Typed<bool> = typed(Kind::Switch, super::switch);
pub(in crate::settings) const CODES: Typed<InstantDropCodes> = typed(Kind::Codes, parsed);
/// Text for libpq.
pub(in crate::settings) const TEXT: Typed<String> = typed(Kind::Text, |text| Ok(text.to_string_lossy().into_owned()));
/// libpq's host, which may be a folder.
pub(in crate::settings) const PATH: Typed<PathBuf> = typed(Kind::Text, super::path);
/// Text that another module judges.
pub(in crate::settings) const RAW: Typed<OsString> = typed(Kind::Text, |text| Ok(text.clone()));
/// A number with a unit, as PostgreSQL's configuration takes it.
pub(in crate::settings) const POSTGRES_UNIT: Typed<String> = typed(Kind::Text, super::postgres_unit);
/// A folder in a repository.
pub(in crate::settings) const REPOSITORY_FOLDER: Typed<String> = typed(Kind::Text, super::repository_folder);
/// Whether the bucket stands in the host's name.
pub(in crate::settings) const URI_STYLE: Typed<bool> =
    typed(Kind::Choice { name: "STYLE", words: &["path", "host"] }, super::is_host_style);

/// A word that `T` is read from.
pub(in crate::settings) const fn choice<T>(name: &'static str, words: &'static [&'static str]) -> Typed<T>
where
    T: FromStr<Err = BadValue>,
{
    typed(Kind::Choice { name, words }, parsed)
}

/// A number in a range, both ends included.
pub(in crate::settings) const fn number<const LEAST: u64, const MOST: u64>(unit: &'static str) -> Typed<u64> {
    typed(Kind::Number { least: LEAST, most: MOST, unit }, |text| number_in(text, LEAST..=MOST))
}
