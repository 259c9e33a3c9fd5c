//! What may go wrong at the server, and at which requests.

use std::fmt;
use std::sync::Arc;

use super::request::{Operation, Request};

/// One thing that goes wrong until it is removed or used up.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) on: Operations,
    pub(super) what: FaultKind,
    pub(super) times: Option<u32>,
}

/// The handle to remove a fault with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(pub(super) u64);

/// What happens to a request that meets a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers with this HTTP status and, except to HEAD, with S3's XML naming this code.
    Status {
        /// The HTTP status, such as 503.
        http: u16,
        /// The S3 error code, such as `SlowDown`.
        code: String,
    },
    /// Closes the port and every connection; the port stays the server's own. Concerns the whole
    /// server, whatever the operations of the fault are.
    Refuse,
    /// Takes the request and never answers. When the fault is removed, the connection is reset.
    Hang,
    /// Reads the request's body and sends the answer's body at this speed.
    Trickle {
        /// At least 1; bodies move ten times a second, or one byte at a time below that.
        bytes_per_second: u32,
    },
    /// Resets the connection after half of the answer's body, or of the request's body if it has one.
    ResetMidBody,
}

/// The requests that a fault concerns.
#[derive(Clone)]
pub enum Operations {
    /// Every request.
    All,
    /// Downloads of objects.
    Get,
    /// Uploads of objects, in one or several parts.
    Put,
    /// Listings.
    List,
    /// Questions whether an object exists.
    Head,
    /// Deletions.
    Delete,
    /// The requests for which the function returns true.
    Matching(Arc<dyn Fn(&Request) -> bool + Send + Sync>),
}

impl Fault {
    /// A fault at every request, until it is removed.
    #[must_use]
    pub fn new(what: FaultKind) -> Self {
        Self { on: Operations::All, what, times: None }
    }

    /// An HTTP status with an S3 error code, at every request.
    #[must_use]
    pub fn status(http: u16, code: &str) -> Self {
        Self::new(FaultKind::Status { http, code: code.to_owned() })
    }

    /// Limits the fault to some requests.
    #[must_use]
    pub fn on(self, on: Operations) -> Self {
        Self { on, ..self }
    }

    /// Limits the fault to its first `times` requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

impl Operations {
    /// Requests whose object key contains this text (a listing has an empty key).
    #[must_use]
    pub fn key_contains(text: &str) -> Self {
        let text = text.to_owned();
        Self::Matching(Arc::new(move |request| request.key.contains(&text)))
    }

    /// Requests of one operation whose object key contains this text.
    #[must_use]
    pub fn of(operation: Operation, text: &str) -> Self {
        let text = text.to_owned();
        Self::Matching(Arc::new(move |request| request.operation == operation && request.key.contains(&text)))
    }

    pub(super) fn concerns(&self, request: &Request) -> bool {
        match self {
            Self::All => true,
            Self::Get => request.operation == Operation::Get,
            Self::Put => request.operation == Operation::Put,
            Self::List => request.operation == Operation::List,
            Self::Head => request.operation == Operation::Head,
            Self::Delete => request.operation == Operation::Delete,
            Self::Matching(predicate) => predicate(request),
        }
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::Get => "Get",
            Self::Put => "Put",
            Self::List => "List",
            Self::Head => "Head",
            Self::Delete => "Delete",
            Self::Matching(_) => "Matching(..)",
        })
    }
}
