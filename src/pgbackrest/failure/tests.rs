//! Whole texts, as pgBackRest prints them, into classes.

use super::*;
use crate::pgbackrest::failure::redact::Redactor;
use crate::pgbackrest::failure::{End, Failure};
use proptest::prelude::*;

fn class(code: i32, printed: &str) -> (Class, Option<String>) {
    let diagnosis = of_output(code, printed, &InstantDropCodes::default());
    let failure = Failure::new(diagnosis, End::Exited(code), &Redactor::default());
    (failure.class(), failure.s3_code().map(str::to_owned))
}

fn http(status: u16, s3_code: &str) -> String {
    format!(
        "ProtocolError: HTTP request failed with {status} (X):\n*** Path/Query ***:\nGET /b/archive.info\n\
         *** Response Content ***:\n<?xml version=\"1.0\"?>\n<Error><Code>{s3_code}</Code></Error>\n"
    )
}

fn repository(number: u32, name: &str, text: &str) -> String {
    format!("repo{number}: [{name}] unable to load info file '/r/archive.info' or '/r/archive.info.copy':\n{text}\n")
}

fn invalid(repositories: &[String]) -> String {
    let text = format!("unable to find a valid repository:\n{}", repositories.join(""));
    format!("ERROR: [103]: {}\n", text.trim_end().replace('\n', "\n       "))
}

const MISSING: &str = "FileMissingError: unable to open missing file '/r/archive.info' for read";

#[test]
fn one_repository() {
    let denied = invalid(&[repository(1, "ProtocolError", &http(403, "AccessDenied"))]);
    assert_eq!(class(103, &denied), (Class::Denied, Some("AccessDenied".to_owned())));
    let gone = invalid(&[repository(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))]);
    assert_eq!(class(103, &gone), (Class::Gone, Some("InvalidAccessKeyId".to_owned())));
    let missing = invalid(&[repository(1, "FileMissingError", MISSING)]);
    assert_eq!(class(103, &missing), (Class::StanzaMissing, None));
    let mismatch = invalid(&["repo1: [ArchiveMismatchError] PostgreSQL version 15, system-id 1\n".to_owned()]);
    assert_eq!(class(103, &mismatch), (Class::Mismatch, None));
}

#[test]
fn gone_needs_every_repository_that_failed() {
    let gone = |number| repository(number, "ProtocolError", &http(404, "NoSuchBucket"));
    let refused = "repo2: [HostConnectError] unable to connect to 'h:443': [111] Connection refused\n".to_owned();
    let denied = repository(2, "ProtocolError", &http(403, "AccessDenied"));
    assert_eq!(class(103, &invalid(&[gone(1), gone(2)])).0, Class::Gone);
    assert_eq!(class(103, &invalid(&[gone(1), refused])).0, Class::Unavailable);
    assert_eq!(class(103, &invalid(&[gone(1), denied])).0, Class::Denied);
}

/// As OpenSSH 9.2 prints it and pgBackRest 2.45 passes it on, shortened by a few lines.
#[test]
fn a_changed_host_key_is_told_by_its_last_lines() {
    let alarm = "@@@@@@@@@@@@@@@@@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
                 @@@@@@@@@@@@@@@@@@@@@@@@@@@\nIT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n\
                 Host key for [127.0.0.1]:22 has changed and you have requested strict checking.\n\
                 Host key verification failed.\n";
    let one = |number| format!("repo{number}: [UnknownError] remote-0 process terminated unexpectedly [255]: {alarm}");
    let diagnosis = of_output(103, &invalid(&[one(1), one(2)]), &InstantDropCodes::default());
    let failure = Failure::new(diagnosis, End::Exited(103), &Redactor::default());
    assert_eq!((failure.class(), failure.repositories()), (Class::Denied, vec![1, 2]));
    let told = "remote-0 process terminated unexpectedly [255]: Host key for [127.0.0.1]:22 has changed and you have \
                requested strict checking. Host key verification failed.";
    let text = failure.text().one_line(1_000);
    assert!(text.matches(told).count() == 2 && !text.contains('@'), "{text}");
}

/// What pgBackRest 2.60 printed in `make stores`, stores of other people behind a way that answers in their place.
#[test]
fn answers_of_foreign_stores_and_of_strangers() {
    use crate::pgbackrest::failure::Advice;
    let table = [
        ("proxy-page-403", Class::Denied, None, Advice::Stranger),
        ("empty-answer", Class::Unavailable, None, Advice::Empty),
        ("gcs-captive-portal", Class::Unavailable, None, Advice::Stranger),
        ("gcs-empty-answer", Class::Unavailable, None, Advice::Empty),
        ("gcs-invalid-grant", Class::Denied, None, Advice::Grant),
    ];
    for (name, class, code, advice) in table {
        let path = format!("{}/tests/lab/samples/archive-push.{name}.sync.txt", env!("CARGO_MANIFEST_DIR"));
        let printed = std::fs::read_to_string(path).unwrap();
        let diagnosis = of_output(103, &printed, &InstantDropCodes::default());
        let failure = Failure::new(diagnosis, End::Exited(103), &Redactor::default());
        assert_eq!((failure.class(), failure.s3_code(), failure.remedy()), (class, code, advice.to_string()), "{name}");
    }
}

#[test]
fn two_answers_of_one_repository_must_agree_on_gone() {
    let both = format!("{}{}", http(403, "InvalidAccessKeyId"), "ServiceError: [503] Slow Down");
    assert_eq!(class(103, &invalid(&[repository(1, "ProtocolError", &both)])).0, Class::Unavailable);
}

#[test]
fn warnings_count_where_the_error_names_no_repository() {
    let printed = "WARN: repo1: [ServiceError] [503] Slow Down\nERROR: [103]: unable to find a valid one\n";
    assert_eq!(class(103, printed).0, Class::Unavailable);
    let get = "WARN: repo1: [ServiceError] [503] Slow Down\nERROR: [103]: unable to find a valid repository\n";
    assert_eq!(class(103, get).0, Class::Unavailable);
}

#[test]
fn a_valid_repository_in_the_error_is_no_named_one() {
    let answer = "HTTP request failed with 403 (Forbidden): <Error><Code>InvalidAccessKeyId</Code></Error>";
    for warning in [format!("repo1: [ProtocolError] {answer}"), answer.to_owned()] {
        let printed = format!("WARN: {warning}\nERROR: [103]: unable to find a valid repository\n");
        assert_eq!(class(103, &printed), (Class::Gone, Some("InvalidAccessKeyId".to_owned())), "{warning}");
    }
    let both = format!("WARN: repo1: [ProtocolError] {answer}\nWARN: repo2: [ServiceError] [503] Slow Down\n");
    assert_eq!(class(103, &format!("{both}ERROR: [103]: unable to find a valid repository\n")).0, Class::Unavailable);
}

#[test]
fn an_answer_on_one_line_is_an_answer() {
    let body = "<Error><Code>NoSuchBucket</Code></Error>";
    let sections = format!("404 (Not Found): *** Path/Query ***: GET /b *** Response Content ***: {body}");
    for text in [format!("unable to list: {body}"), format!("HTTP request failed with {sections}")] {
        assert_eq!(class(103, &format!("ERROR: [103]: {text}\n")).0, Class::Gone, "{text}");
    }
    for text in [format!("unable to open '/b/{body}'"), format!("unable to open '{body}'")] {
        assert_eq!(class(103, &format!("ERROR: [103]: {text}\n")).0, Class::Unknown, "{text}");
    }
}

#[test]
fn what_can_be_no_code_is_none() {
    let answer =
        |code: &str| format!("ERROR: [039]: HTTP request failed with 403 (X): <Error><Code>{code}</Code></Error>");
    for code in ["No\u{1b}[31mX".to_owned(), "A".repeat(101), "a key".to_owned()] {
        assert_eq!(class(39, &answer(&code)), (Class::Denied, None), "{code}");
    }
}

#[test]
fn a_connection_that_broke_is_no_local_file() {
    let reset = "ERROR: [104]: archive-push command encountered error(s):\n       \
                 repo1: [FileReadError] unable to read from h:443: [104] Connection reset by peer\n";
    assert_eq!(class(104, reset).0, Class::Unavailable);
    let name = "ERROR: [095]: unable to find hostname 'h' in certificate common name or subject alternative names\n";
    assert_eq!(class(95, name).0, Class::Unavailable);
}

#[test]
fn a_missing_archive_info_is_a_missing_stanza_without_its_copy() {
    let missing = "ERROR: [055]: unable to open missing file '/r/archive/main/archive.info' for read\n";
    assert_eq!(class(55, missing).0, Class::StanzaMissing);
    assert_eq!(class(55, "ERROR: [055]: unable to open missing file '/data/pg_wal/1' for read\n").0, Class::Local);
}

#[test]
fn a_bare_code_is_a_class_too() {
    let table = [
        (44, Class::Mismatch),
        (45, Class::Mismatch),
        (50, Class::Local),
        (55, Class::Local),
        (31, Class::Config),
        (82, Class::Unavailable),
        (49, Class::Unavailable),
        (101, Class::Unavailable),
        (103, Class::Unknown),
        (1, Class::Unknown),
    ];
    for (code, expected) in table {
        assert_eq!(class(code, "").0, expected, "{code}");
        assert_eq!(class(code, &format!("ERROR: [{code:03}]: something\n")).0, expected, "{code}");
    }
}

/// What pgBackRest 2.45 really printed (tests/lab/samples), and the class of each.
#[test]
fn the_samples_of_the_laboratory() {
    let table = [
        ("deleted-bucket", Class::StanzaMissing),
        ("duplicate-other-content", Class::Mismatch),
        ("hang", Class::Unavailable),
        ("hang-put", Class::Unavailable),
        ("mismatched-cluster", Class::Mismatch),
        ("missing-stanza", Class::StanzaMissing),
        ("missing-wal-file", Class::Local),
        ("nothing-policy", Class::Denied),
        ("one-of-two-revoked", Class::Gone),
        ("read-only-policy", Class::Denied),
        ("refused", Class::Unavailable),
        ("reset-get", Class::Unavailable),
        ("reset-put", Class::Unavailable),
        ("revoked-key", Class::Gone),
        ("status-400-expired-token", Class::Denied),
        ("status-500-internal-error", Class::Unavailable),
        ("status-503-slow-down", Class::Unavailable),
        ("stop-file", Class::Local),
        ("unknown-host", Class::Unavailable),
        ("untrusted-certificate", Class::Unavailable),
        ("wrong-secret", Class::Denied),
    ];
    for (name, expected) in table {
        for mode in ["sync", "async"] {
            let path = format!("{}/tests/lab/samples/archive-push.{name}.{mode}.txt", env!("CARGO_MANIFEST_DIR"));
            let sample = std::fs::read_to_string(&path).unwrap();
            let (exit, printed) = sample.split_once('\n').unwrap();
            let code = exit.strip_prefix("exit: ").unwrap().parse().unwrap();
            assert_eq!(class(code, printed).0, expected, "{path}");
        }
    }
}

#[test]
fn a_read_that_timed_out_is_no_local_file() {
    let printed = "ERROR: [042]: raised from local-1 protocol: repo1: [FileReadError] timeout after 60000ms waiting for read from 'h:443'\n";
    assert_eq!(class(42, printed).0, Class::Unavailable);
}

#[test]
fn words_in_paths_and_messages_decide_nothing() {
    let path = "ERROR: [055]: unable to open missing file '/data/NoSuchBucket/InvalidAccessKeyId' for read\n";
    assert_eq!(class(55, path).0, Class::Local);
    let bucket =
        invalid(&[repository(1, "ProtocolError", &http(403, "AccessDenied").replace("/b/", "/NoSuchBucket/"))]);
    assert_eq!(class(103, &bucket).0, Class::Denied);
}

fn any_class() -> impl Strategy<Value = Class> {
    prop::sample::select(vec![
        Class::Gone,
        Class::Denied,
        Class::StanzaMissing,
        Class::Unavailable,
        Class::Mismatch,
        Class::Local,
        Class::Config,
        Class::Unknown,
    ])
}

proptest! {
    #[test]
    fn joined_classes_are_gone_only_when_all_are(classes in prop::collection::vec(any_class(), 1..6)) {
        let joined = Class::join(&classes).unwrap();
        prop_assert!(classes.contains(&joined));
        prop_assert_eq!(joined == Class::Gone, classes.iter().all(|class| *class == Class::Gone));
        let mut reversed = classes.clone();
        reversed.reverse();
        prop_assert_eq!(Class::join(&reversed), Some(joined));
    }

    #[test]
    fn any_bytes_are_classified_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), code in -1..300) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = of_output(code, &text, &InstantDropCodes::default());
        let _ = of_message_alone(code, &text, &InstantDropCodes::default());
        let _ = Redactor::new(["abcd".to_owned()]).redact(&bytes);
    }

    #[test]
    fn any_mixture_of_pgbackrests_words_is_classified_without_a_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "repo1: [ProtocolError] ", "ERROR: [103]: ", "\n", "HTTP request failed with 403 (Forbidden):",
            "*** Response Content ***:", "<Error>", "<Code>", "NoSuchBucket", "</Code>", "</Error>", "[", "]",
            "<![CDATA[", "<?xml", "{\"error\":", "é", "AKIA", "authorization:", "[ServiceError] ", "-->", "<!--",
        ]), 0..30)
    ) {
        let text = words.concat();
        let _ = of_output(103, &text, &InstantDropCodes::default());
        let _ = Redactor::default().redact(text.as_bytes());
    }
}

#[test]
fn what_was_read_and_is_damaged_is_no_outage() {
    let damaged = |name: &str, text: &str| {
        let printed = format!(
            "ERROR: [042]: unable to get 000000010000000000000006:\n       repo1: 15-1/0000000100000000/000000010000000000000006-33d3.x \
             [{name}] {text}\n"
        );
        Failure::new(of_output(42, &printed, &InstantDropCodes::default()), End::Exited(42), &Redactor::default())
            .is_damage()
    };
    for text in [
        "zlib threw error: [-3] data error",
        "unexpected eof in compressed data",
        "lz4 error: [-18] ERROR_contentChecksum_invalid",
        "zst error: [-20] Data corruption detected",
    ] {
        assert!(damaged("FormatError", text), "{text}");
    }
    assert!(damaged("CryptoError", "cipher header invalid"));
    assert!(!damaged("FormatError", "invalid xml"));
    assert!(!damaged("ProtocolError", "HTTP request failed with 503 (Slow Down)"));
    assert!(!damaged("FileReadError", "unable to read"));
}
