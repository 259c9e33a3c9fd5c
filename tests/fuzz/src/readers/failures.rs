//! What pgBackRest says of a failure: its class, and the text without secrets.

use super::SECRET;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::pgbackrest::failure::Failure;
use pgbackrest_guard::pgbackrest::failure::codes::InstantDropCodes;
use pgbackrest_guard::pgbackrest::failure::redact::Redactor;
use std::sync::LazyLock;

/// Characters of a text in a log line.
const MOST: usize = 200;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new([SECRET.to_owned()]));
static USUAL: LazyLock<InstantDropCodes> = LazyLock::new(InstantDropCodes::default);

/// A first line `exit: 103` is the exit code, as in the samples of the laboratory.
pub(super) fn failure(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let exit = text.lines().next().and_then(|line| line.strip_prefix("exit: "));
    let code = exit.and_then(|code| code.trim().parse().ok()).unwrap_or(104);
    let failure = Failure::printed(code, &text, &USUAL, &REDACTOR);
    if failure.class() == Class::Gone {
        let named = ["InvalidAccessKeyId", "NoSuchBucket"].iter().any(|code| text.contains(code));
        assert!(named, "gone, and no code says so: {text:?}");
        assert!(failure.s3_code().is_some_and(|code| USUAL.contains(code)));
        assert_ne!(Failure::printed(code, &text, &InstantDropCodes::none(), &REDACTOR).class(), Class::Gone);
    }
    // An entity or an escape stands for another letter.
    if let Some(code) = failure.s3_code().filter(|_| !text.contains(['&', '\\'])) {
        assert!(text.contains(code), "{code} is not in {text:?}");
    }
    for key in failure.repositories() {
        assert!(text.contains("repo") && text.contains(&key.to_string()), "repository {key} is not in {text:?}");
    }
    let shown = failure.shown(MOST);
    assert!(!shown.contains(char::is_control) && shown.chars().count() < MOST + 30, "{shown:?}");
    assert!(!failure.text().as_str().contains(SECRET) && !failure.remedy().is_empty());
}

pub(super) fn redaction(bytes: &[u8]) {
    let redacted = REDACTOR.redact(bytes);
    assert!(!redacted.as_str().contains(SECRET), "a secret comes through: {redacted}");
    let again = REDACTOR.redact(redacted.as_str().as_bytes());
    assert_eq!(again, redacted, "what was cut once holds nothing more to cut");
}
