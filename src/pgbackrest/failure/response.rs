//! The answers of an object store inside pgBackRest's error text.
//!
//! `httpRequestError` (src/common/io/http/request.c, 2.45 to 2.59) writes an answer as
//! `HTTP request failed with 403 (Forbidden):` and sections headed `*** Path/Query ***:`, `*** Request Headers ***:`,
//! `*** Response Headers ***:` and `*** Response Content ***:`, the last one absent when the body is empty. A 5xx (from
//! 2.57 also 408 and 429) shows no answer, only `[503] Slow Down`. A code is taken from the response's body alone, or
//! from the response's `x-ms-error-code` header: a path or a message may hold any words.

use super::codes::{self, InstantDropCodes};
use super::{Advice, Class};
use quick_xml::events::Event;
use serde_json::Value;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The HTTP status, where the text shows it.
    pub status: Option<u16>,
    /// The store's code: S3's and Azure's `<Code>`, Google's `reason`.
    pub code: Option<String>,
    /// Whether the body is a page for people, which no object store sends.
    pub is_page: bool,
}

impl Exchange {
    /// What the answer means.
    #[must_use]
    pub fn class(&self, instant: &InstantDropCodes) -> (Class, Option<Advice>) {
        let (class, advice) = codes::class(self.status, self.code.as_deref(), instant);
        match advice {
            None | Some(Advice::Bucket) if self.is_page => (class, Some(Advice::Stranger)),
            _ => (class, advice),
        }
    }
}

const FAILED: &str = "HTTP request failed with ";
const CONTENT: &str = "*** Response Content ***:";
/// No store has a longer code.
const LONGEST_CODE: usize = 100;

/// Every answer that `text` shows.
#[must_use]
pub fn exchanges(text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = text.split(FAILED).skip(1).map(failed_request).collect();
    if exchanges.is_empty() {
        exchanges.extend(bare_body(text));
    }
    exchanges.extend(text.split("ServiceError").skip(1).filter_map(service_error));
    exchanges
}

/// `[503] Slow Down`, after the error's name or after `on 6 retries from 249-3001ms:`.
fn service_error(rest: &str) -> Option<Exchange> {
    let line = rest.lines().next()?;
    let status = line
        .split('[')
        .skip(1)
        .find_map(|part| part.split_once(']')?.0.parse().ok().filter(|status| is_status(*status)))?;
    Some(Exchange { status: Some(status), code: None, is_page: false })
}

/// Whether a number can be an HTTP status; others in brackets are a system's error numbers.
fn is_status(number: u16) -> bool {
    (100..600).contains(&number)
}

/// What follows `HTTP request failed with `.
fn failed_request(rest: &str) -> Exchange {
    let status = rest.split(' ').next().and_then(|status| status.parse().ok()).filter(|status| is_status(*status));
    let body = match section(rest, CONTENT) {
        Some(body) => Some(body),
        // A text on one line.
        None if rest.lines().count() == 1 && rest.contains(CONTENT) => {
            rest.rsplit_once(CONTENT).map(|(_, body)| body.to_owned())
        }
        // A text without sections: what follows the status line is the answer.
        None if !rest.contains("*** ") => rest.split_once(':').map(|(_, body)| body.to_owned()),
        None => None,
    };
    let code = body.as_deref().and_then(code_in_body).or_else(|| header_code(rest)).filter(|code| is_legal(code));
    Exchange { status, code, is_page: body.as_deref().is_some_and(is_page) }
}

/// Whether a body begins as HTML does.
fn is_page(body: &str) -> bool {
    let head: String = body.trim_start().chars().take(14).collect();
    ["<!doctype html", "<html"].iter().any(|mark| head.to_ascii_lowercase().starts_with(mark))
}

/// An answer's body without its head: it begins a word, so that one inside a path or in quotes is none.
fn bare_body(text: &str) -> Option<Exchange> {
    let begins = |mark: &str| {
        let mut places = text.match_indices(mark).map(|(at, _)| at);
        places
            .find(|at| text.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace)))
    };
    let at = ["<?xml", "<Error>"].into_iter().filter_map(begins).min()?;
    // One inside a page is quoted there.
    if text.get(..at)?.contains(['<', '>']) {
        return None;
    }
    let code = code_in_body(text.get(at..)?).filter(|code| is_legal(code))?;
    Some(Exchange { status: None, code: Some(code), is_page: false })
}

/// Whether it is a code: it goes into the log and the ledger as it stands.
fn is_legal(code: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(legal)
}

/// The lines of one section, up to the next heading.
fn section(text: &str, heading: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != heading);
    lines.next()?;
    let is_heading = |line: &&str| line.trim().starts_with("*** ") && line.trim().ends_with(" ***:");
    Some(lines.take_while(|line| !is_heading(line)).collect::<Vec<_>>().join("\n"))
}

fn header_code(text: &str) -> Option<String> {
    let headers = section(text, "*** Response Headers ***:")?;
    headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("x-ms-error-code").then(|| value.trim().to_owned())
    })
}

fn code_in_body(body: &str) -> Option<String> {
    let body = body.trim();
    if body.starts_with('{') { reason_in_json(body) } else { code_in_xml(body) }
}

/// The `<Code>` directly inside the `<Error>` that is the body's root; a body cut at 8 KiB is read as far as it goes.
fn code_in_xml(body: &str) -> Option<String> {
    let mut reader = quick_xml::Reader::from_str(body.strip_prefix('<').map(|_| body)?);
    reader.config_mut().check_end_names = false;
    let mut path: Vec<String> = Vec::new();
    let mut code: Option<String> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => path.push(tag.local_name().as_ref().to_owned()),
            // The root has ended, and named no code.
            Event::End(_) if path.len() <= 1 => return code,
            Event::End(_) if code.is_some() => return code,
            Event::End(_) => {
                path.pop();
            }
            Event::Text(text) if is_code(&path) => code = Some(text.trim().to_owned()),
            Event::Eof => return None,
            _ if path.first().is_some_and(|root| root != "Error") => return None,
            _ => {}
        }
    }
}

/// Whether the path is that of an error's code: a page that quotes one has another root.
fn is_code(path: &[String]) -> bool {
    matches!(path, [root, code] if root == "Error" && code == "Code")
}

/// Google's `{"error": {"errors": [{"reason": "…"}]}}`.
fn reason_in_json(body: &str) -> Option<String> {
    let first = serde_json::Deserializer::from_str(body).into_iter::<Value>().next()?.ok()?;
    let reason = first.pointer("/error/errors/0/reason").or_else(|| first.pointer("/errors/0/reason"))?;
    Some(reason.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<String> {
        exchanges(text).into_iter().find_map(|exchange| exchange.code)
    }

    fn answer(path: &str, body: &str) -> String {
        format!(
            "HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET {path}\n*** Request Headers ***:\n\
             host: h\n*** Response Headers ***:\ncontent-type: application/xml\n*** Response Content ***:\n{body}\n"
        )
    }

    #[test]
    fn a_code_counts_in_the_body_and_nowhere_else() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        assert_eq!(code(&answer("/b", body)).as_deref(), Some("AccessDenied"));
        assert_eq!(code(&answer("/<Error><Code>NoSuchBucket</Code></Error>", "")), None);
        let message =
            "<Error><Message>&lt;Code&gt;NoSuchBucket&lt;/Code&gt;</Message><Code>AccessDenied</Code></Error>";
        assert_eq!(code(&answer("/b", message)).as_deref(), Some("AccessDenied"));
        let nested = "<Error><Detail><Code>NoSuchBucket</Code></Detail><Code>AccessDenied</Code></Error>";
        assert_eq!(code(&answer("/b", nested)).as_deref(), Some("AccessDenied"));
        assert_eq!(code("unable to open missing file '/repo/<Code>NoSuchBucket</Code>' for read"), None);
    }

    #[test]
    fn a_body_that_was_cut_off_is_read_as_far_as_it_goes() {
        assert_eq!(code(&answer("/b", "<Error><Code>NoSuchBucket</Code><Mess")).as_deref(), Some("NoSuchBucket"));
        assert_eq!(code(&answer("/b", "<Error><Code>NoSuchBu")), None);
    }

    #[test]
    fn a_page_that_quotes_an_error_is_none() {
        let quoted = "<Error><Code>InvalidAccessKeyId</Code></Error>";
        for page in [
            format!("<html><body>{quoted}</body></html>"),
            format!("<!DOCTYPE html><html><p>no</p>{quoted}"),
            format!("<p>blocked</p>{quoted}"),
            format!("blocked: {quoted}"),
            "<Code>NoSuchBucket</Code>".to_owned(),
            format!("<Errors>{quoted}</Errors>"),
        ] {
            assert_eq!(code(&answer("/b", &page)), None, "{page}");
        }
        let named = "<?xml version=\"1.0\"?><Error xmlns=\"x\"><Code>InvalidAccessKeyId</Code></Error>";
        assert_eq!(code(&answer("/b", named)).as_deref(), Some("InvalidAccessKeyId"));
        assert_eq!(code(&format!("unable to list: <html> {quoted}")), None);
    }

    #[test]
    fn a_page_for_people_is_a_strangers() {
        let advice = |status: u16, body: &str| {
            let text = answer("/b", body).replace("403", &status.to_string());
            exchanges(&text).first().unwrap().class(&InstantDropCodes::default())
        };
        let (page, stranger) = ("<!DOCTYPE html>\n<html></html>", Some(Advice::Stranger));
        assert_eq!(advice(403, page), (Class::Denied, stranger));
        assert_eq!(advice(404, page), (Class::Unknown, stranger));
        assert_eq!(advice(429, page), (Class::Unavailable, Some(Advice::Rate)));
        assert_eq!(advice(403, "<Error><Code>AccessDenied</Code></Error>"), (Class::Denied, None));
        // As fake-gcs-server says it of a bucket that is not there.
        let google = "{\"error\":{\"code\":404,\"errors\":[{\"domain\":\"global\",\"reason\":\"Not Found\"}]}}";
        assert_eq!(advice(404, google), (Class::Unknown, Some(Advice::Bucket)));
    }

    #[test]
    fn azure_and_google_name_their_codes_elsewhere() {
        let azure = "HTTP request failed with 403 (Forbidden):\n*** Response Headers ***:\nx-ms-error-code: AuthenticationFailed\n";
        assert_eq!(code(azure).as_deref(), Some("AuthenticationFailed"));
        let google =
            "{\"error\": {\"code\": 403, \"errors\": [{\"reason\": \"forbidden\", \"message\": \"x\"}]}}\nHINT: y";
        assert_eq!(code(&answer("/b", google)).as_deref(), Some("forbidden"));
        assert_eq!(code(&answer("/b", "{\"error\": {\"err")), None);
    }

    #[test]
    fn a_status_is_read_with_and_without_an_answer() {
        let statuses = |text| exchanges(text).into_iter().map(|exchange| exchange.status).collect::<Vec<_>>();
        assert_eq!(statuses("[ServiceError] [503] Slow Down"), [Some(503)]);
        assert_eq!(statuses("[ServiceError] on 6 retries from 249-3001ms: [503] Slow Down"), [Some(503)]);
        assert_eq!(statuses("ProtocolError: HTTP request failed with 404 (Not Found):"), [Some(404)]);
        assert_eq!(statuses("[ServiceError] NOTFOUND [2] [503] Slow Down"), [Some(503)]);
        assert_eq!(statuses("[ServiceError] NOTFOUND [2]"), []);
        assert_eq!(statuses("HTTP request failed with"), []);
        assert_eq!(statuses("HTTP request failed with many"), [None]);
    }
}
