//! Answers that refuse, in the form of the real S3: the XML's fields, their order, the reason phrase.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use s3s::Body;

use super::request::{Operation, Request};

/// A refusal before it becomes an answer.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    message: String,
    fields: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str) -> Self {
        Self { status, code: code.to_owned(), message: message(code).to_owned(), fields: String::new() }
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields = format!("{}<{name}>{}</{name}>", self.fields, escape(value));
        self
    }

    /// The fields that S3 adds to some codes.
    pub(super) fn about(self, request: &Request, headers: &HeaderMap) -> Self {
        match self.code.as_str() {
            "InvalidAccessKeyId" => self.field("AWSAccessKeyId", &request.key_id),
            "SignatureDoesNotMatch" => self
                .field("AWSAccessKeyId", &request.key_id)
                .field("StringToSign", &string_to_sign(headers))
                .field("SignatureProvided", after(header(headers, AUTHORIZATION.as_str()), "Signature=")),
            "NoSuchBucket" => self.field("BucketName", &request.bucket),
            "NoSuchKey" => self.field("Key", &request.key),
            _ => self,
        }
    }

    pub(super) fn answer(&self, request: &Request) -> Response<Body> {
        let Self { code, message, fields, .. } = self;
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{fields}\
             <RequestId>4442587FB7D0A2F9</RequestId><HostId>bGFib3JhdG9yeQ==</HostId></Error>"
        );
        let body = if request.operation == Operation::Head { Body::empty() } else { Body::from(xml) };
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap();
        if code == "SlowDown" {
            answer.extensions_mut().insert(ReasonPhrase::from_static(b"Slow Down"));
        }
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
        answer.headers_mut().insert("x-amz-request-id", HeaderValue::from_static("4442587FB7D0A2F9"));
        answer
    }
}

/// Reads the code out of an error answer of s3s, to give it the real S3's form.
pub(super) async fn refusal_of(answer: Response<Body>, request: &Request) -> Refusal {
    // s3s-fs fails on a HEAD of a key that is a folder on its disk; S3 has no folders, so to it there is no such key.
    if answer.status().as_u16() == 500 && request.method == "HEAD" {
        return Refusal::new(404, "NoSuchKey");
    }
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let code = code_of(&body).unwrap_or_else(|| fallback(request).to_owned());
    Refusal::new(status, &code)
}

fn code_of(body: &Bytes) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0.to_owned())
}

/// s3s answers HEAD without a body, so its code is unknown; a missing key is the only usual case.
fn fallback(request: &Request) -> &'static str {
    if request.operation == Operation::Head { "NoSuchKey" } else { "InternalError" }
}

fn message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        }
        "NoSuchBucket" => "The specified bucket does not exist",
        "NoSuchKey" => "The specified key does not exist.",
        "SlowDown" => "Please reduce your request rate.",
        "ServiceUnavailable" => "Service is unable to handle request.",
        "ExpiredToken" => "The provided token has expired.",
        "InternalError" => "We encountered an internal error. Please try again.",
        "RequestTimeTooSkewed" => "The difference between the request time and the current time is too large.",
        _ => "The request was refused.",
    }
}

/// Like the original's, except that its last line is the hash of the payload and not of the canonical request.
fn string_to_sign(headers: &HeaderMap) -> String {
    let credential = after(header(headers, AUTHORIZATION.as_str()), "Credential=").split(',').next().unwrap_or("");
    let scope = credential.split_once('/').map_or("", |(_, scope)| scope);
    let (date, hash) = (header(headers, "x-amz-date"), header(headers, "x-amz-content-sha256"));
    format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn after<'a>(text: &'a str, marker: &str) -> &'a str {
    text.split_once(marker).map_or("", |(_, rest)| rest)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
