//! The screen: is what the environment names a bucket, or junk?
//!
//! A template that never resolved (`${{bucket.BUCKET}}`), a raw id or a stray newline would go into pgBackRest's
//! configuration as it is; each push would fail, and a newline would set options of its own. The order of the tests
//! and their words are fixed, because programs read them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::str::FromStr;

/// Why a value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `${{` or `}}`: a template that nobody resolved.
    UnresolvedTemplateRef,
    /// White space: anywhere in a bucket, at an end elsewhere.
    Whitespace,
    /// A control character.
    ControlCharacter,
    /// 8-4-4-4-12 hexadecimal digits: an id instead of a name.
    UuidShape,
    /// Not a legal bucket name; of another value: not UTF-8.
    BadName,
}

/// Every reason.
pub const REASONS: [Reason; 5] =
    [Reason::UnresolvedTemplateRef, Reason::Whitespace, Reason::ControlCharacter, Reason::UuidShape, Reason::BadName];

impl Reason {
    /// Its word, as the sentinel holds it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UnresolvedTemplateRef => "unresolved-template-ref",
            Self::Whitespace => "whitespace",
            Self::ControlCharacter => "control-character",
            Self::UuidShape => "uuid-shape",
            Self::BadName => "bad-name",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A text that is none of the five words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the reasons for which a bucket is refused")]
pub struct NotAReason;

impl FromStr for Reason {
    type Err = NotAReason;

    fn from_str(text: &str) -> Result<Self, NotAReason> {
        REASONS.into_iter().find(|reason| reason.word() == text).ok_or(NotAReason)
    }
}

/// Screens a bucket's name.
///
/// # Errors
/// The first reason, in the order of [`REASONS`], for which it can't be one.
pub fn screen_bucket(value: &OsStr, allow_uuid: bool) -> Result<(), Reason> {
    let text = value.to_string_lossy();
    if is_template(&text) {
        Err(Reason::UnresolvedTemplateRef)
    } else if text.contains(char::is_whitespace) {
        Err(Reason::Whitespace)
    } else if text.contains(char::is_control) {
        Err(Reason::ControlCharacter)
    } else if !allow_uuid && has_uuid_shape(&text) {
        Err(Reason::UuidShape)
    } else if !is_legal_bucket(&text) {
        Err(Reason::BadName)
    } else {
        Ok(())
    }
}

/// Screens any other value that goes into pgBackRest's configuration.
///
/// # Errors
/// The first reason for which it must not go there.
pub fn screen_value(value: &OsStr) -> Result<(), Reason> {
    let Some(text) = value.to_str() else { return Err(Reason::BadName) };
    if is_template(text) {
        Err(Reason::UnresolvedTemplateRef)
    } else if text.trim() != text {
        Err(Reason::Whitespace)
    } else if text.contains(char::is_control) {
        Err(Reason::ControlCharacter)
    } else {
        Ok(())
    }
}

/// The variable of the store's address.
pub const ENDPOINT: &str = "WAL_ARCHIVE_ENDPOINT";

/// Screens the store's address, also for the form that pgBackRest takes (src/common/io/http/url.c, 2.45).
fn screen_endpoint(value: &OsStr) -> Result<(), Reason> {
    screen_value(value)?;
    if value.to_str().is_some_and(is_endpoint) { Ok(()) } else { Err(Reason::BadName) }
}

/// `[http[s]://]host[:port][/]`, the host a name, an IPv4 address or an IPv6 address in brackets.
fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, port.strip_prefix(':').or(Some(""))),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let is_v6 = rest.starts_with('[') && host.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    let odd = |c: char| c.is_whitespace() || "/@:[]?#".contains(c);
    let is_name = !rest.starts_with('[') && !host.contains(odd);
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    !host.is_empty() && (is_v6 || is_name) && port.is_none_or(is_port)
}

/// Screens the bucket, then the other values, each by its variable's name.
///
/// # Errors
/// The first variable that is refused, and why.
pub fn screen(
    bucket: &OsStr,
    allow_uuid: bool,
    others: &[(&'static str, Option<&OsString>)],
) -> Result<(), (&'static str, Reason)> {
    screen_bucket(bucket, allow_uuid).map_err(|reason| ("WAL_ARCHIVE_BUCKET", reason))?;
    for (name, value) in others {
        let screened = match value {
            Some(value) if *name == ENDPOINT => screen_endpoint(value),
            Some(value) => screen_value(value),
            None => Ok(()),
        };
        screened.map_err(|reason| (*name, reason))?;
    }
    Ok(())
}

fn is_template(text: &str) -> bool {
    text.contains("${{") || text.contains("}}")
}

fn has_uuid_shape(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// 3 to 63 of `a-z 0-9 . -`, a letter or digit at both ends, no `..`, no IPv4 address.
fn is_legal_bucket(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && end(bytes.first())
        && end(bytes.last())
        && !text.contains("..")
        && !is_ipv4(text)
}

/// Four numbers with dots between: S3 refuses every name formatted as one, whatever the numbers.
fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
