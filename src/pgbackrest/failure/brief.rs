//! What a failure comes down to, for a person: the store's own sentence instead of the exchange around it.
//!
//! It reads what a [`super::redact::Redacted`] gives on one line and a ledger keeps, which may be cut off at its end. The layout
//! is that of `httpRequestError` (see [`super::response`]); a store's XML has its sentence in `<Message>`, Google's JSON in
//! `"message"`.

/// The text without what says nothing to a person; what is no answer of a store stays as it is, and so does the code that
/// [`super::Failure::shown`] puts before it.
#[must_use]
pub fn brief(text: &str) -> String {
    let coded = text.strip_prefix("pgBackRest ").and_then(|rest| rest.split_once(": "));
    match coded.filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((code, text)) => format!("pgBackRest {code}: {}", brief(text)),
        None => answer(text).unwrap_or_else(|| without_heads(text).to_owned()),
    }
}

/// `the store answered 403 (Forbidden): Access Denied.`
fn answer(text: &str) -> Option<String> {
    let (before, rest) = text.split_once("HTTP request failed with ")?;
    let (status, body) = match rest.split_once("):") {
        Some((status, body)) => (format!("{status})"), body),
        None => (rest.to_owned(), ""),
    };
    let said = message(body).map_or(String::new(), |said| format!(": {said}"));
    let repository = repository(before).map_or(String::new(), |number| format!(" (repository {number})"));
    Some(format!("the store answered {status}{said}{repository}"))
}

/// The store's sentence.
fn message(body: &str) -> Option<String> {
    let xml = body.split_once("<Message>").map(|(_, rest)| rest.split('<').next().unwrap_or(rest));
    let json =
        || body.split_once("\"message\":").and_then(|(_, rest)| rest.trim_start().strip_prefix('"')?.split('"').next());
    let said = xml.or_else(json)?.trim();
    let plain = [("&apos;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    let said = plain.iter().fold(said.to_owned(), |said, (entity, plain)| said.replace(entity, plain));
    (!said.is_empty()).then_some(said)
}

/// The number in the last `repoN: ` of a text.
fn repository(text: &str) -> Option<u32> {
    let (_, rest) = text.rsplit_once("repo")?;
    rest.split_once(':')?.0.parse().ok()
}

/// Without what every failure of a push begins with.
fn without_heads(text: &str) -> &str {
    let heads = ["unable to find a valid repository: ", "archive-push command encountered error(s): "];
    heads
        .iter()
        .find_map(|head| text.split_once(head))
        .filter(|(_, rest)| !rest.is_empty())
        .map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stores_answer_is_its_own_sentence() {
        let head = "unable to find a valid repository: repo2: [ProtocolError] unable to load info file '/a' or '/b': \
                    ProtocolError: HTTP request failed with 403 (Forbidden):";
        let path = "GET /wal/repo/archive.info <?xml version=\"1.0\"?> <Error><Code>InvalidAccessKeyId</Code>";
        let table = [
            (format!("{head} {path}<Message>It&apos;s gone.</Message></Error>"), ": It's gone. (repository 2)"),
            (format!("{head} {path}<Message>It is"), ": It is (repository 2)"),
            (format!("{head} {path}"), " (repository 2)"),
            (format!("{head} {{ \"error\": {{ \"message\": \"No access.\" }} }}"), ": No access. (repository 2)"),
            (head.to_owned(), " (repository 2)"),
            (head.trim_end_matches(':').to_owned(), " (repository 2)"),
        ];
        for (text, said) in table {
            assert_eq!(brief(&text), format!("the store answered 403 (Forbidden){said}"), "{text}");
        }
        assert_eq!(brief("HTTP request failed with 40…"), "the store answered 40…");
        assert_eq!(
            brief("pgBackRest 103: HTTP request failed with 404 (Not Found):"),
            "pgBackRest 103: the store answered 404 (Not Found)"
        );
    }

    #[test]
    fn other_words_stay() {
        let refused = "repo1: [HostConnectError] unable to connect to 'h:443': [111] Connection refused";
        assert_eq!(brief(&format!("unable to find a valid repository: {refused}")), refused);
        let async_said = "archive-push command encountered error(s): repo1: [X] y";
        assert_eq!(brief(&format!("raised from local-1 protocol: {async_said}")), "repo1: [X] y");
        for text in ["", "unable to find a valid repository: ", "it took longer than WAL_PUSH_TIMEOUT_SECONDS allows"] {
            assert_eq!(brief(text), text);
        }
    }
}
