//! A request as the gate sees it and as the log keeps it.

use std::fmt;
use std::time::SystemTime;

use hyper::header::AUTHORIZATION;
use hyper::{Method, Uri};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it arrived.
    pub at: SystemTime,
    /// The HTTP method.
    pub method: String,
    /// The bucket, or nothing for a request that names none.
    pub bucket: String,
    /// The object's key; empty for a listing, whose prefix is in `query`.
    pub key: String,
    /// The query string as sent, without the question mark.
    pub query: String,
    /// What the request asks for.
    pub operation: Operation,
    /// The access key id that signed it.
    pub key_id: String,
    /// The HTTP status of the answer; `None` while there is none, and for ever after a hang or reset.
    pub status: Option<u16>,
    /// The S3 error code of the answer, such as `AccessDenied`.
    pub s3_code: Option<String>,
}

/// The kinds of request that pgBackRest makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Download of an object.
    Get,
    /// Upload of an object, whole or in parts.
    Put,
    /// Listing of keys.
    List,
    /// Question for an object's existence.
    Head,
    /// Deletion of one or several objects.
    Delete,
}

impl Request {
    pub(super) fn arriving<B>(request: &hyper::Request<B>) -> Self {
        let (bucket, key) = bucket_and_key(request.uri());
        let query = request.uri().query().unwrap_or_default().to_owned();
        Self {
            at: SystemTime::now(),
            method: request.method().to_string(),
            operation: operation(request.method(), &key, &query),
            key_id: key_id(request),
            bucket,
            key,
            query,
            status: None,
            s3_code: None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let Self { method, bucket, key, query, key_id, .. } = self;
        write!(f, "{method} /{bucket}/{key}?{query} by {key_id}: {status} {}", self.s3_code.as_deref().unwrap_or(""))
    }
}

fn bucket_and_key(uri: &Uri) -> (String, String) {
    let path = uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    (decode(bucket), decode(key))
}

fn operation(method: &Method, key: &str, query: &str) -> Operation {
    match *method {
        Method::HEAD => Operation::Head,
        Method::GET if key.is_empty() => Operation::List,
        Method::GET => Operation::Get,
        Method::DELETE => Operation::Delete,
        Method::POST if query.starts_with("delete") => Operation::Delete,
        _ => Operation::Put,
    }
}

/// The key id of `Credential=KEY/DATE/REGION/s3/aws4_request` in the authorization header.
fn key_id<B>(request: &hyper::Request<B>) -> String {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let credential = header.split_once("Credential=").map_or("", |(_, rest)| rest);
    credential.split('/').next().unwrap_or("").to_owned()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.first_chunk::<2>().filter(|_| first == b'%');
        let value = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = tail.get(if value.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
