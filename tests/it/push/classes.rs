//! Failure classes, from the texts of a real pgBackRest, in both of its log layouts (contract, section 5).

use super::standin::Case;
use std::fs;

/// Where pgBackRest's lines go: 2.45 writes to stderr, later ones can be told to use stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Stderr,
    Stdout,
}

pub(crate) const LAYOUTS: [Layout; 2] = [Layout::Stderr, Layout::Stdout];

impl Case {
    /// pgBackRest logs `text`, given as it stands on stderr.
    pub(crate) fn logs(self, layout: Layout, text: &str) -> Self {
        match layout {
            Layout::Stderr => self.says(text),
            Layout::Stdout => self.prints(on_stdout(text)),
        }
    }
}

/// The same lines as `logPost` writes them to stdout: with a time, the level in 6 columns, the rest indented by 36.
fn on_stdout(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with(' ') {
            return format!("{:36}{}\n", "", line.trim_start());
        }
        let (level, rest) = line.split_once(": ").unwrap_or(("INFO", line));
        format!("2026-11-22 10:58:13.119 P00 {level:>6}: {rest}\n")
    };
    text.lines().map(line).collect()
}

/// What pgBackRest 2.45 printed in the laboratory, and its exit code.
pub(crate) fn sample(name: &str) -> (u8, String) {
    let path = format!("{}/tests/lab/samples/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap();
    let (exit, printed) = text.split_once('\n').unwrap();
    (exit.strip_prefix("exit: ").unwrap().parse().unwrap(), printed.to_owned())
}

/// A store's answer inside pgBackRest's error.
pub(crate) fn http(status: u16, code: &str) -> String {
    format!(
        "HTTP request failed with {status} (X):\n*** Path/Query ***:\nPUT /wal/x\n*** Response Headers ***:\n\
         content-type: application/xml\n*** Response Content ***:\n<?xml version=\"1.0\"?>\n\
         <Error><Code>{code}</Code><Message>m</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId></Error>"
    )
}

/// A repository's number, the error's name, and its text.
type Failed<'t> = (u32, &'t str, &'t str);

/// An `archive-push` that failed in these repositories.
pub(crate) fn command_error(repositories: &[Failed<'_>]) -> String {
    let lines = repositories.iter().map(|(number, name, what)| format!("\nrepo{number}: [{name}] {what}"));
    let text = format!("archive-push command encountered error(s):{}", lines.collect::<String>());
    format!("ERROR: [104]: {}\n", text.replace('\n', "\n       "))
}

#[test]
fn samples_of_a_real_pgbackrest() {
    let table = [
        ("duplicate-other-content", "mismatch"),
        ("hang", "unavailable"),
        ("hang-put", "unavailable"),
        ("mismatched-cluster", "mismatch"),
        // Whether it is missing only a listing tells, and here is none.
        ("missing-stanza", "unavailable"),
        ("missing-wal-file", "local"),
        ("nothing-policy", "denied"),
        ("read-only-policy", "denied"),
        ("refused", "unavailable"),
        ("reset-get", "unavailable"),
        ("reset-put", "unavailable"),
        ("status-400-expired-token", "denied"),
        ("status-500-internal-error", "unavailable"),
        ("status-503-slow-down", "unavailable"),
        ("stop-file", "local"),
        ("trickle-put", "unavailable"),
        ("unknown-host", "unavailable"),
        ("untrusted-certificate", "unavailable"),
        ("wrong-secret", "denied"),
    ];
    for (name, class) in table {
        for mode in ["sync", "async"] {
            for layout in LAYOUTS {
                let (code, text) = sample(&format!("archive-push.{name}.{mode}"));
                let case = Case::new(&format!("{name} {mode} {layout:?}")).logs(layout, &text).exits(code);
                case.status(i32::from(code)).kept(class);
            }
        }
    }
}

#[test]
fn samples_of_a_repository_that_is_gone() {
    for mode in ["sync", "async"] {
        for layout in LAYOUTS {
            for name in ["revoked-key", "one-of-two-revoked"] {
                let (code, text) = sample(&format!("archive-push.{name}.{mode}"));
                let case = Case::new(&format!("{name} {mode} {layout:?}")).logs(layout, &text).exits(code);
                case.status(0).lost("gone", "instant-drop").stderr_has("InvalidAccessKeyId").called("info", 0);
            }
            let (code, text) = sample(&format!("archive-push.deleted-bucket.{mode}"));
            let (_, info) = sample("info.deleted-bucket");
            let case =
                Case::new(&format!("deleted-bucket {mode} {layout:?}")).logs(layout, &text).exits(code).info(info);
            case.status(0).lost("gone", "instant-drop").stderr_has("NoSuchBucket").called("info", 1);
        }
    }
}

#[test]
fn samples_of_success() {
    for name in ["duplicate-same-content.sync", "trickle-get.sync", "trickle-get.async"] {
        let (code, text) = sample(&format!("archive-push.{name}"));
        assert_eq!(code, 0);
        Case::new(name).says(&text).status(0).stored();
    }
}

#[test]
fn what_a_store_answers() {
    let table = [
        (403, "AccessDenied", "denied"),
        (403, "SignatureDoesNotMatch", "denied"),
        (400, "ExpiredToken", "denied"),
        (400, "InvalidToken", "denied"),
        (403, "AccountProblem", "denied"),
        (403, "AllAccessDisabled", "denied"),
        (403, "RequestTimeTooSkewed", "denied"),
        (401, "Whatever", "denied"),
        (403, "Whatever", "denied"),
        (500, "InternalError", "unavailable"),
        (400, "RequestTimeout", "unavailable"),
        (400, "SlowDown", "unavailable"),
        (400, "InternalError", "unavailable"),
        (408, "Whatever", "unavailable"),
        (429, "Whatever", "unavailable"),
        (503, "ServiceUnavailable", "unavailable"),
        (404, "NoSuchKey", "unknown"),
        (400, "EntityTooLarge", "unknown"),
    ];
    for (status, code, class) in table {
        let text = command_error(&[(1, "ProtocolError", &http(status, code))]);
        Case::new(&format!("{status} {code}")).says(text).exits(104).status(104).kept(class);
    }
    for code in ["InvalidAccessKeyId", "NoSuchBucket"] {
        let text = command_error(&[(1, "ProtocolError", &http(403, code))]);
        Case::new(code).says(text).exits(104).status(0).lost("gone", "instant-drop").stderr_has(code);
    }
}

#[test]
fn azure_and_google_name_their_codes_elsewhere() {
    let azure =
        "HTTP request failed with 403 (Forbidden):\n*** Response Headers ***:\nx-ms-error-code: ContainerNotFound";
    let google = "HTTP request failed with 404 (Not Found):\n*** Response Content ***:\n\
                  {\"error\": {\"code\": 404, \"errors\": [{\"reason\": \"notFound\", \"message\": \"x\"}]}}";
    for (name, answer, code) in [("azure", azure, "ContainerNotFound"), ("google", google, "notFound")] {
        let case = |name: &str| Case::new(name).says(command_error(&[(1, "ProtocolError", answer)])).exits(104);
        case(name).env("WAL_INSTANT_DROP_CODES", code).status(0).lost("gone", "instant-drop").stderr_has(code);
        case(name).status(104).ledger("not gone", |state| state.push.dropped_count == 0);
    }
}

#[test]
fn pgbackrests_codes_alone() {
    let table: &[(&str, &[u8])] = &[
        ("unavailable", &[49, 82, 101]),
        ("mismatch", &[44, 45, 51, 58]),
        ("local", &[41, 42, 47, 50, 55, 62, 63, 64, 73]),
        ("config", &[27, 29, 31, 32, 37, 43, 46, 67, 68, 72]),
        ("unknown", &[1, 25, 39, 95, 103, 104]),
    ];
    for (class, codes) in table {
        for (code, layout) in codes.iter().zip(LAYOUTS.iter().cycle()) {
            let text = format!("ERROR: [{code:03}]: something else\n");
            let case = Case::new(&format!("{code} {layout:?}")).logs(*layout, &text).exits(*code);
            case.status(i32::from(*code)).kept(class);
        }
    }
}

#[test]
fn names_in_brackets_count_as_their_codes() {
    let table = [
        ("ArchiveMismatchError", "mismatch"),
        ("ArchiveDuplicateError", "mismatch"),
        ("FileOpenError", "local"),
        ("LockAcquireError", "local"),
        ("OptionRequiredError", "config"),
        ("HostConnectError", "unavailable"),
        ("ServiceError", "unavailable"),
        ("NobodyKnowsThisError", "unknown"),
    ];
    for (name, class) in table {
        let text = command_error(&[(1, name, "something")]);
        Case::new(name).says(text).exits(104).status(104).kept(class);
    }
}

#[test]
fn words_in_paths_and_messages_decide_nothing() {
    let texts = [
        (55, "ERROR: [055]: unable to open missing file '/data/NoSuchBucket/InvalidAccessKeyId' for read\n", "local"),
        (55, "ERROR: [055]: unable to open missing file '/d/<Code>NoSuchBucket</Code>' for read\n", "local"),
        (125, "ERROR: [125]: NoSuchBucket InvalidAccessKeyId AccessDenied\n", "unknown"),
        (104, "WARN: NoSuchBucket\nERROR: [104]: it failed\n", "unknown"),
        (31, "ERROR: [031]: invalid option 'ArchiveMismatchError'\n", "config"),
    ];
    for (code, text, class) in texts {
        for layout in LAYOUTS {
            let case = Case::new(&format!("{text} {layout:?}")).logs(layout, text).exits(code);
            case.status(i32::from(code)).kept(class);
        }
    }
    let path = http(403, "AccessDenied").replace("PUT /wal/x", "PUT /NoSuchBucket/<Code>InvalidAccessKeyId</Code>");
    Case::new("in the path").says(command_error(&[(1, "ProtocolError", &path)])).exits(104).status(104).kept("denied");
    let message = http(403, "AccessDenied").replace("<Message>m", "<Message>Code NoSuchBucket &lt;Code&gt;");
    let case = Case::new("in the message").says(command_error(&[(1, "ProtocolError", &message)])).exits(104);
    case.status(104).kept("denied");
    let header = http(403, "AccessDenied").replace("content-type:", "x-ms-other: NoSuchBucket\ncontent-type:");
    Case::new("in a header")
        .says(command_error(&[(1, "ProtocolError", &header)]))
        .exits(104)
        .status(104)
        .kept("denied");
}

#[test]
fn several_repositories_fail_differently() {
    let (denied, gone, slow) = (http(403, "AccessDenied"), http(403, "InvalidAccessKeyId"), "[503] Slow Down");
    let mismatch = "PostgreSQL version 15, system-id 1 do not match repo stanza version 15, system-id 2";
    let table: &[(&str, [Failed<'_>; 2], &str)] = &[
        ("gone, denied", [(1, "ProtocolError", &gone), (2, "ProtocolError", &denied)], "denied"),
        ("gone, unavailable", [(1, "ProtocolError", &gone), (2, "ServiceError", slow)], "unavailable"),
        ("gone, mismatch", [(1, "ProtocolError", &gone), (2, "ArchiveMismatchError", mismatch)], "mismatch"),
        ("gone, local", [(1, "FileOpenError", "x"), (2, "ProtocolError", &gone)], "local"),
        ("gone, unknown", [(1, "ProtocolError", &gone), (2, "KernelError", "x")], "unknown"),
        ("denied, unavailable", [(1, "ServiceError", slow), (2, "ProtocolError", &denied)], "denied"),
        ("config, denied", [(1, "ProtocolError", &denied), (2, "OptionInvalidError", "x")], "config"),
        ("mismatch, config", [(1, "OptionInvalidError", "x"), (2, "ArchiveMismatchError", mismatch)], "mismatch"),
    ];
    for (name, repositories, class) in table {
        for layout in LAYOUTS {
            let case = Case::new(&format!("{name} {layout:?}")).logs(layout, &command_error(repositories)).exits(104);
            case.status(104).kept(class);
        }
    }
    let both = [(1, "ProtocolError", gone.as_str()), (2, "ProtocolError", &http(404, "NoSuchBucket"))];
    Case::new("both gone").says(command_error(&both)).exits(104).status(0).lost("gone", "instant-drop");
}

/// A message, pgBackRest's code, the class, and words of the remedy.
#[test]
fn each_cause_has_a_remedy_that_is_true() {
    let google = |status: u16, reason: &str| {
        format!(
            "HTTP request failed with {status} (X):\n*** Response Content ***:\n\
             {{\"error\": {{\"code\": {status}, \"errors\": [{{\"reason\": \"{reason}\"}}]}}}}"
        )
    };
    let portal = "HTTP request failed with 302 (Found):\n*** Response Content ***:\n<html>sign in</html>";
    let table = [
        ("ProtocolError", http(403, "QuotaExceeded"), "unavailable", "make room in the store"),
        ("ServiceError", "[507] Insufficient Storage".to_owned(), "unavailable", "make room in the store"),
        ("ProtocolError", http(301, "PermanentRedirect"), "denied", "region and endpoint"),
        ("ProtocolError", http(400, "AuthorizationHeaderMalformed"), "denied", "region and endpoint"),
        ("ProtocolError", http(400, "InvalidBucketName"), "denied", "correct bucket"),
        ("ProtocolError", portal.to_owned(), "unavailable", "captive portal"),
        ("FormatError", "invalid XML in 31 byte(s):\n<html>".to_owned(), "unavailable", "captive portal"),
        ("ProtocolError", google(403, "rateLimitExceeded"), "unavailable", "request limit"),
        (
            "ProtocolError",
            "unable to get authentication token: [invalid_grant] Invalid JWT".to_owned(),
            "denied",
            "new key",
        ),
        (
            "FileReadError",
            "raised from remote-0 ssh protocol on 'h': Host key verification failed.".to_owned(),
            "denied",
            "host key",
        ),
        (
            "ServiceError",
            "public key from file authentication failed: libssh2 error [-18]".to_owned(),
            "denied",
            "host key",
        ),
        (
            "FileOpenError",
            "raised from remote-0 tls protocol on 'h': no space".to_owned(),
            "unavailable",
            "that is the machine",
        ),
        (
            "HostInvalidError",
            "archive-push command must be run on the PostgreSQL host".to_owned(),
            "config",
            "another machine",
        ),
        ("PathMissingError", "unable to list '/r'".to_owned(), "local", "create the folder"),
        ("ServiceError", "unable to look up: NOTFOUND [2]".to_owned(), "unavailable", "nothing, if"),
    ];
    for (name, text, class, remedy) in table {
        let case = Case::new(&text).says(command_error(&[(1, name, &text)])).exits(104);
        case.status(104).kept(class).stderr_has(remedy);
    }
}

#[test]
fn what_explains_a_failure_is_kept_and_what_quotes_a_code_is_none() {
    let unknown = "WARN: unexpected control version = 1800 and catalog version = 202505281\n      HINT: is this version of PostgreSQL supported?\nERROR: [046]: unexpected control version\n";
    let version = Case::new("a PostgreSQL that it does not know").says(unknown).exits(46).status(46).kept("config");
    version.stderr_has("knows this version").ledger("the warning", |state| {
        state
            .push
            .last_failure
            .as_ref()
            .is_some_and(|failure| failure.message.contains("is this version of PostgreSQL"))
    });
    let quoted = "HTTP request failed with 403 (Forbidden):\n*** Response Content ***:\n<html><pre><Error><Code>InvalidAccessKeyId</Code></Error></pre></html>";
    let page = Case::new("a proxy's page").says(command_error(&[(1, "ProtocolError", quoted)])).exits(104);
    page.status(104).kept("denied");
}
