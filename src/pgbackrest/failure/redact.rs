//! The only way for pgBackRest's text out of the program.
//!
//! pgBackRest redacts its own request headers and options, but forwards the store's answer as it came, and S3's
//! `InvalidAccessKeyId` and `SignatureDoesNotMatch` bodies hold the key id, the string to sign and the signature
//! (src/common/io/http/request.c, 2.45 to 2.59). So text is cut here by what it says (tags, headers, parameters) and by
//! what is known to be secret (the values in pgBackRest's configuration and our own environment). Searches are plain:
//! this runs on the success path too.

use std::fmt;

/// What takes a secret's place.
const MASK: &str = "<redacted>";
/// A shorter secret would cut pieces out of ordinary words; none of the stores issues one.
const SHORTEST_SECRET: usize = 4;

/// Text without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redacted(String);

impl Redacted {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text on one line, at most `most` characters. The headers of a store's answer are left out, so that there is
    /// room for what it says.
    #[must_use]
    pub fn one_line(&self, most: usize) -> String {
        let mut in_headers = false;
        let told = self.0.lines().filter(|line| {
            let heading = line.trim().starts_with("*** ") && line.trim().ends_with(" ***:");
            let continues = in_headers && !heading && is_header(line);
            in_headers = if heading { line.contains("Headers") } else { continues };
            !heading && !continues
        });
        let joined = told.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let visible = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
        if joined.chars().count() <= most {
            return joined.chars().map(visible).collect();
        }
        joined.chars().take(most).map(visible).chain(['…']).collect()
    }
}

/// `name: value`, as pgBackRest lists headers: the name in lower case, without spaces.
fn is_header(line: &str) -> bool {
    let name = line.trim().split_once(": ").map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cuts secrets out of text.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

/// XML elements of an answer whose content is, or lets one compute, a secret.
const TAGS: &[&str] = &[
    "AWSAccessKeyId",
    "AccessKeyId",
    "StringToSign",
    "StringToSignBytes",
    "SignatureProvided",
    "CanonicalRequest",
    "CanonicalRequestBytes",
    "Token-0",
    "AuthenticationErrorDetail",
    "SecretAccessKey",
    "SessionToken",
];

/// Words after which a value follows, to the end of the line or of the value; compared without case.
const HEADERS: &[&str] = &[
    "authorization:",
    "x-amz-security-token:",
    "x-amz-server-side-encryption-customer-key:",
    "x-goog-iam-authorization-token:",
];
const PARAMETERS: &[&str] = &[
    "x-amz-signature=",
    "x-amz-credential=",
    "x-amz-security-token=",
    "signature=",
    "credential=",
    "?sig=",
    "&sig=",
    "-s3-key=",
    "-s3-key-secret=",
    "-s3-token=",
    "-cipher-pass=",
    "-azure-key=",
    "-passphrase=",
    "-s3-sse-customer-key=",
    "_s3_key=",
    "_s3_key_secret=",
    "_s3_token=",
    "_cipher_pass=",
    "_azure_key=",
    "\"access_token\":",
    "\"private_key\":",
];
/// How the ids of AWS access keys begin: long-lived, temporary.
const KEY_IDS: &[&str] = &["AKIA", "ASIA"];

impl Redactor {
    /// A redactor that also cuts these values wherever they stand.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        // The longer first: a key may begin like another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// The text without secrets; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn redact(&self, text: &[u8]) -> Redacted {
        let mut text = String::from_utf8_lossy(text).into_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), MASK);
        }
        let mut text = Masked::new(text);
        for tag in TAGS {
            text.mask(&format!("<{tag}>"), |rest| rest.find("</").unwrap_or(rest.len()));
        }
        for header in HEADERS {
            text.mask(header, |rest| rest.find('\n').unwrap_or(rest.len()));
        }
        for parameter in PARAMETERS {
            text.mask(parameter, value_length);
        }
        for id in KEY_IDS {
            text.mask(id, key_id_length);
        }
        Redacted(text.text)
    }
}

/// Where a value ends: at the end of its quotes, or at what parts parameters.
fn value_length(rest: &str) -> usize {
    let start = rest.len() - rest.trim_start_matches(' ').len();
    let value = rest.get(start..).unwrap_or_default();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return start + 1 + quoted.find(quote).map_or(quoted.len(), |end| end + 1);
        }
    }
    let end = |c: char| c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\'' | '<' | ')');
    start + value.find(end).unwrap_or(value.len())
}

/// The sixteen characters after `AKIA`, or nothing where it is no key id.
fn key_id_length(rest: &str) -> usize {
    let id = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let length = rest.find(|c| !id(c)).unwrap_or(rest.len());
    if length >= 12 { length } else { 0 }
}

/// A text, and the same in lower case, made again only where something was cut: most texts hold none of the marks.
struct Masked {
    text: String,
    lower: String,
}

impl Masked {
    fn new(text: String) -> Self {
        Self { lower: text.to_ascii_lowercase(), text }
    }

    /// Replaces what follows each `mark`, for as long as `length` says; compares `mark` without case.
    fn mask(&mut self, mark: &str, length: impl Fn(&str) -> usize) {
        let mark = mark.to_ascii_lowercase();
        let (text, lower) = (&self.text, &self.lower);
        if !lower.contains(&mark) {
            return;
        }
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        while let Some(at) = lower.get(done..).and_then(|rest| rest.find(&mark)) {
            let value = done + at + mark.len();
            masked.push_str(text.get(done..value).unwrap_or_default());
            let rest = text.get(value..).unwrap_or_default();
            let cut = length(rest);
            let is_secret = !rest.get(..cut).unwrap_or_default().trim().is_empty();
            let leading = if rest.starts_with(' ') && is_secret { " " } else { "" };
            masked.push_str(if is_secret { leading } else { rest.get(..cut).unwrap_or_default() });
            masked.push_str(if is_secret { MASK } else { "" });
            done = value + cut;
        }
        masked.push_str(text.get(done..).unwrap_or_default());
        *self = Self::new(masked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(text: &str) -> String {
        Redactor::new(["wJalrXUtnFEMI/K7MDENG".to_owned()]).redact(text.as_bytes()).as_str().to_owned()
    }

    #[test]
    fn what_a_store_answers_about_keys_is_cut() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>MYKEY</AWSAccessKeyId>\
                    <StringToSign>AWS4-HMAC-SHA256\n20261122\nabc</StringToSign></Error>";
        let cut = redact(body);
        assert!(cut.contains("<Code>SignatureDoesNotMatch</Code>") && cut.ends_with("</StringToSign></Error>"));
        for secret in ["MYKEY", "20261122", "HMAC"] {
            assert!(!cut.contains(secret), "{cut}");
        }
    }

    #[test]
    fn headers_parameters_and_known_values_are_cut() {
        let table = [
            ("Authorization: AWS4 Credential=x\nnext: 1", "Authorization: <redacted>\nnext: 1"),
            ("GET /?X-Amz-Signature=abc&a=b", "GET /?X-Amz-Signature=<redacted>&a=b"),
            ("--repo1-s3-key-secret=abc --x=1", "--repo1-s3-key-secret=<redacted> --x=1"),
            ("{\"access_token\": \"abc\", \"x\": 1}", "{\"access_token\": <redacted>, \"x\": 1}"),
            ("say wJalrXUtnFEMI/K7MDENG twice wJalrXUtnFEMI/K7MDENG", "say <redacted> twice <redacted>"),
            ("id AKIAIOSFODNN7EXAMPLE.", "id AKIA<redacted>."),
            ("AKIA alone, <AWSAccessKeyId></AWSAccessKeyId>", "AKIA alone, <AWSAccessKeyId></AWSAccessKeyId>"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn a_message_fits_on_one_line() {
        let text = Redactor::default().redact(b"a\n  b\x1b[1m\xff c");
        assert_eq!(text.one_line(100), "a b\u{FFFD}[1m\u{FFFD} c");
        assert_eq!(text.one_line(3), "a b…");
        let answer = "HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET /b\n*** Request Headers ***:\n\
                      host: h\n*** Response Headers ***:\ncontent-type: x\n*** Response Content ***:\n<Code>A</Code>\nHINT: b";
        let told = "HTTP request failed with 403 (Forbidden): GET /b <Code>A</Code> HINT: b";
        assert_eq!(Redactor::default().redact(answer.as_bytes()).one_line(500), told);
    }
}
