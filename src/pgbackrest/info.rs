//! The answer of `pgbackrest info --output=json`.
//!
//! The exit code is 0 even when no repository can be reached; what counts is `repo[].status.code` (src/command/info/
//! info.c, 2.45 to 2.59): 0 ok, 1 missing stanza path, 2 no valid backups, 3 missing stanza data, 99 other, with the
//! error's text as the message. With a wrong cipher passphrase the answer may be no JSON at all, with exit 0.

use serde::Deserialize;

/// One repository's state, as `info` reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// The repository's number.
    pub key: u32,
    /// What `info` found.
    pub status: Status,
}

/// A status code and its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// 0 to 6 or 99.
    pub code: u32,
    /// `ok`, or what is wrong; for 99 `[ErrorName] text`.
    pub message: String,
}

#[derive(Deserialize)]
struct Stanza {
    name: String,
    #[serde(default)]
    repo: Vec<Repository>,
}

/// The repositories of `stanza`; `None` when the answer can't be read or does not speak of that stanza.
#[must_use]
pub fn repositories(stdout: &[u8], stanza: &str) -> Option<Vec<Repository>> {
    let text = String::from_utf8_lossy(stdout);
    // A warning about the environment can stand on stdout before the answer.
    let is_start = |at: &usize| text.get(at + 1..).is_some_and(|rest| rest.trim_start().starts_with('{'));
    let start = text.match_indices('[').map(|(at, _)| at).find(is_start)?;
    let json = text.get(start..)?;
    let stanzas: Vec<Stanza> = serde_json::from_str(json).ok()?;
    stanzas.into_iter().find(|answer| answer.name == stanza).map(|answer| answer.repo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repositorys_code_and_text_are_read() {
        let answer = br#"[{"backup":[],"name":"main","repo":[{"cipher":"none","key":2,"status":{"code":99,"message":"[ProtocolError] x"}}],"status":{"code":99,"message":"other"}}]"#;
        let status = Status { code: 99, message: "[ProtocolError] x".to_owned() };
        assert_eq!(repositories(answer, "main"), Some(vec![Repository { key: 2, status }]));
        assert_eq!(repositories(answer, "other"), None);
        let pretty = b"2026-11-22 10:58:13.119 P00   WARN: option '[x]'\n[ \n {\"name\": \"main\", \"repo\": []}\n]";
        assert_eq!(repositories(pretty, "main"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for answer in [&b""[..], b"[]", b"\xff\xfe[{\"name\":", b"null", b"[{\"name\":\"[invalid]\"}]"] {
            assert_eq!(repositories(answer, "main"), None);
        }
    }
}
