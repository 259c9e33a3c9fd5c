//! The codes of the object stores, and what an HTTP status means without one.
//!
//! S3: "Error responses", Amazon S3 API reference. Azure and Google Cloud Storage name theirs differently; for them the
//! HTTP status decides unless the administrator lists a code for instant drop.

use super::{Advice, Class};
use std::fmt;
use std::str::FromStr;

/// The codes for which WAL is given up at once (`WAL_INSTANT_DROP_CODES`). Empty: for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstantDropCodes(Vec<String>);

impl InstantDropCodes {
    /// Whether `code` is one of them. Codes are compared as they stand, upper and lower case apart.
    #[must_use]
    pub fn contains(&self, code: &str) -> bool {
        self.0.iter().any(|listed| listed == code)
    }

    /// No code at all: what `none` means.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }
}

/// The codes after which waiting is of no use, unless somebody lists others.
pub const USUAL: &str = "InvalidAccessKeyId,NoSuchBucket";

impl Default for InstantDropCodes {
    fn default() -> Self {
        Self(USUAL.split(',').map(str::to_owned).collect())
    }
}

/// A text that is no list of codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a list of codes such as InvalidAccessKeyId,NoSuchBucket, or none")]
pub struct NotCodes;

impl FromStr for InstantDropCodes {
    type Err = NotCodes;

    fn from_str(text: &str) -> Result<Self, NotCodes> {
        if text == "none" {
            return Ok(Self::none());
        }
        let codes: Vec<String> = text.split(',').map(|code| code.trim().to_owned()).collect();
        let legal = |code: &String| !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let none = |code: &String| code == "none";
        if codes.iter().all(legal) && !codes.iter().any(none) { Ok(Self(codes)) } else { Err(NotCodes) }
    }
}

impl fmt::Display for InstantDropCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.0.is_empty() { "none".to_owned() } else { self.0.join(",") })
    }
}

/// The class of a store's answer. `status` is the HTTP status; `code` the code in the answer's body or header.
#[must_use]
pub fn class(status: Option<u16>, code: Option<&str>, instant: &InstantDropCodes) -> (Class, Option<Advice>) {
    if code.is_some_and(|code| instant.contains(code)) {
        return (Class::Gone, None);
    }
    match code.and_then(of_code) {
        Some(known) => known,
        None => of_status(status),
    }
}

/// Codes that mean the same whatever status they come with.
fn of_code(code: &str) -> Option<(Class, Option<Advice>)> {
    let known = match code {
        "AccessDenied"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "RequestTimeTooSkewed" => (Class::Denied, None),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidBucketName" => (Class::Denied, Some(Advice::Place)),
        "RequestTimeout" | "InternalError" | "SlowDown" | "ServiceUnavailable" => (Class::Unavailable, None),
        "rateLimitExceeded" | "userRateLimitExceeded" | "TooManyRequests" => (Class::Unavailable, Some(Advice::Rate)),
        // S3, Azure and Google; of a missing object they say something else, and pgBackRest takes that for an answer.
        "NoSuchBucket" | "ContainerNotFound" | "notFound" => (Class::Unknown, Some(Advice::Bucket)),
        // Ceph and MinIO, and Google's limits of storage.
        "QuotaExceeded"
        | "quotaExceeded"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "InsufficientStorage" => (Class::Unavailable, Some(Advice::Quota)),
        _ => return None,
    };
    Some(known)
}

fn of_status(status: Option<u16>) -> (Class, Option<Advice>) {
    match status {
        Some(301 | 308) => (Class::Denied, Some(Advice::Place)),
        Some(302 | 303 | 307 | 511) => (Class::Unavailable, Some(Advice::Stranger)),
        Some(401 | 403) => (Class::Denied, None),
        // Of a missing object pgBackRest makes no error: it is the bucket.
        Some(404) => (Class::Unknown, Some(Advice::Bucket)),
        Some(507) => (Class::Unavailable, Some(Advice::Quota)),
        Some(429) => (Class::Unavailable, Some(Advice::Rate)),
        Some(408 | 500..=599) => (Class::Unavailable, None),
        _ => (Class::Unknown, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_none_is_no_code() {
        let listed: InstantDropCodes = "NoSuchBucket, AccountProblem".parse().unwrap();
        assert!(listed.contains("AccountProblem") && !listed.contains("InvalidAccessKeyId"));
        assert_eq!("none".parse(), Ok(InstantDropCodes::none()));
        for bad in ["", ",", "NoSuchBucket,", "a b", "none,NoSuchBucket", "<Code>"] {
            assert_eq!(bad.parse::<InstantDropCodes>(), Err(NotCodes), "{bad}");
        }
    }

    #[test]
    fn a_bucket_that_is_not_there_is_gone_only_where_its_code_is_listed() {
        for code in ["NoSuchBucket", "ContainerNotFound", "notFound"] {
            let unlisted = class(Some(404), Some(code), &InstantDropCodes::none());
            assert_eq!(unlisted, (Class::Unknown, Some(Advice::Bucket)), "{code}");
            assert_eq!(class(Some(404), Some(code), &code.parse().unwrap()), (Class::Gone, None), "{code}");
        }
    }

    #[test]
    fn a_code_outweighs_its_status() {
        let class = |status, code| class(Some(status), Some(code), &InstantDropCodes::default()).0;
        assert_eq!(class(400, "RequestTimeout"), Class::Unavailable);
        assert_eq!(class(403, "SlowDown"), Class::Unavailable);
        assert_eq!(class(400, "ExpiredToken"), Class::Denied);
        assert_eq!(class(403, "InvalidAccessKeyId"), Class::Gone);
        assert_eq!(class(403, "SomethingNew"), Class::Denied);
        assert_eq!(class(301, "PermanentRedirect"), Class::Denied);
        assert_eq!(class(403, "QuotaExceeded"), Class::Unavailable);
        assert_eq!(class(403, "rateLimitExceeded"), Class::Unavailable);
    }
}
