//! pgBackRest's error names and codes, and the class of an error that shows no answer of a store.
//!
//! Names and codes: src/build/error/error.yaml, the same in 2.45 and 2.59. The texts are those of src/common/io and
//! src/info/infoArchive.c.

use super::{Advice, Class};

/// One thing that pgBackRest tried and that failed.
pub(super) struct Attempt {
    /// pgBackRest's code: of the name it begins with, else of the whole error.
    code: i32,
    /// What it says.
    pub(super) text: String,
    /// Whether `archive.info` or its copy was being loaded.
    loads_archive_info: bool,
}

/// The attempts that an error text speaks of: where `archive.info` and its copy were tried, each begins a line with its
/// own `NameError: ` (`infoLoad`, src/info/info.c); else the text is one.
pub(super) fn attempts(code: i32, text: &str) -> Vec<Attempt> {
    let loads_archive_info = is_load_of_archive_info(text);
    let mut attempts: Vec<Attempt> = Vec::new();
    for line in text.lines() {
        let name = line.trim_start().split_once("Error: ").map(|(name, _)| format!("{name}Error"));
        if let Some(code) = name.and_then(|name| code_of(&name)) {
            attempts.push(Attempt { code, text: line.trim_start().to_owned(), loads_archive_info });
        } else if let Some(attempt) = attempts.last_mut() {
            attempt.text.push('\n');
            attempt.text.push_str(line);
        }
    }
    if attempts.is_empty() {
        let code = bracketed(text).unwrap_or(code);
        attempts.push(Attempt { code, text: text.to_owned(), loads_archive_info });
    }
    attempts
}

/// What the filters of src/common/compress and src/common/crypto say of bytes that are not what was stored (2.45 to 2.60).
const DAMAGED: [&str; 7] = [
    "] zlib threw error: ",
    "] lz4 error: ",
    "] zst error: ",
    "] bz2 error: ",
    "] unexpected eof in compressed data",
    "] cipher header ",
    "] unable to flush",
];

/// Whether a text says that a file was read, and is damaged.
pub(super) fn is_damage(text: &str) -> bool {
    let of = |name: &str| text.contains(&format!("[{name}"));
    (of("FormatError") || of("CryptoError")) && DAMAGED.iter().any(|words| text.contains(words))
}

/// The class of an attempt that shows no answer of a store, by its text, then its code.
pub(super) fn class(attempt: &Attempt) -> (Class, Option<Advice>) {
    let text = attempt.text.as_str();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if has(LOGIN_REFUSED) {
        (Class::Denied, Some(Advice::Login))
    } else if text.contains("authentication token") && text.contains("invalid_grant") {
        (Class::Denied, Some(Advice::Grant))
    } else if attempt.loads_archive_info && (attempt.code == 55 || text.contains("FileMissingError")) {
        (Class::StanzaMissing, None)
    } else if attempt.loads_archive_info && has(OF_NOTHING) {
        (Class::Unavailable, Some(Advice::Empty))
    } else if is_network(text) {
        (Class::Unavailable, None)
    } else if text.contains("raised from remote-") && of_code(attempt.code).0 == Class::Local {
        (Class::Unavailable, Some(Advice::RepositoryHost))
    } else if (attempt.code == 29 && has(&["XML"])) || (is_of_format(attempt) && has(&["<html", "<!DOCTYPE"])) {
        (Class::Unavailable, Some(Advice::Stranger))
    } else {
        of_code(attempt.code)
    }
}

/// What pgBackRest says of an info file without any content, and of a token of Google's without any (seen with 2.60.0).
const OF_NOTHING: &[&str] = &[
    "invalid checksum, actual '8a456f046f11cb56504a01eb76372f239788d018' but no checksum found",
    "JsonFormatError: expected data",
];

/// pgBackRest's code for a PostgreSQL that it does not know.
pub(super) const VERSION_NOT_SUPPORTED: i32 = 46;

/// OpenSSH's words, and libssh2's as src/storage/sftp/storage.c (2.46 to 2.60) passes them on.
const LOGIN_REFUSED: &[&str] = &[
    "Host key verification failed",
    "Permission denied (publickey",
    "known hosts failure",
    "repo-sftp-host-fingerprint",
    "public key from file",
    "authentication failed: libssh2",
    "authentication failed [libssh2",
    "Username/PublicKey combination invalid",
];

/// A text without OpenSSH's box about a changed host key: a dozen lines of alarm, of which the last two say all of it
/// (sshconnect.c, `warn_changed_key`).
pub(super) fn without_alarm(text: &str) -> String {
    const EDGE: &str = "@@@@@@@@@@@@@@@@@@@@";
    const VERDICT: &str = "Host key for ";
    let alarm = text.split_once(EDGE).and_then(|(before, rest)| Some((before, rest.split_once(VERDICT)?.1)));
    alarm.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{VERDICT}{}", without_alarm(after)))
}

/// Whether something was to be read and could not be understood. `JsonFormatError` begins a text, and its code is the caller's.
fn is_of_format(attempt: &Attempt) -> bool {
    attempt.code == 29 || attempt.text.contains("JsonFormatError: ")
}

fn is_load_of_archive_info(text: &str) -> bool {
    if text.lines().any(|line| line.contains("unable to open missing file '") && line.contains("archive.info")) {
        return true;
    }
    let Some((_, files)) = text.split_once("unable to load info file '") else { return false };
    files.lines().next().unwrap_or_default().contains("archive.info'")
}

/// Texts of a connection that failed; the error's name can be that of a file (`FileReadError`).
fn is_network(text: &str) -> bool {
    const TEXTS: &[&str] = &[
        "unable to connect to '",
        "timeout connecting to '",
        "unable to get address for '",
        "waiting for read from '",
        "waiting for write to '",
        "unable to verify certificate",
        "in certificate common name",
        "unable to set TLS",
        "TLS error",
        "unexpected eof while reading",
        "unexpected EOF reading HTTP content",
        "HTTP response",
        "Connection refused",
        "Connection reset by peer",
        "Connection timed out",
        "Broken pipe",
    ];
    TEXTS.iter().any(|part| text.contains(part))
}

/// The code of the first error name in brackets.
fn bracketed(text: &str) -> Option<i32> {
    text.split('[').skip(1).find_map(|rest| rest.split_once(']').and_then(|(name, _)| code_of(name)))
}

fn of_code(code: i32) -> (Class, Option<Advice>) {
    match code {
        44 | 45 | 51 | 58 => (Class::Mismatch, None),
        73 => (Class::Local, Some(Advice::Folder)),
        41 | 42 | 47 | 50 | 55 | 62 | 63 | 64 => (Class::Local, None),
        VERSION_NOT_SUPPORTED => (Class::Config, Some(Advice::Version)),
        67 => (Class::Config, Some(Advice::Feature)),
        72 => (Class::Config, Some(Advice::Host)),
        27 | 29 | 31 | 32 | 37 | 43 | 68 => (Class::Config, None),
        49 | 82 | 101 => (Class::Unavailable, None),
        _ => (Class::Unknown, None),
    }
}

/// The code of an error name, as `ArchiveMismatchError`.
fn code_of(name: &str) -> Option<i32> {
    let code = match name {
        "AssertError" => 25,
        "ChecksumError" => 26,
        "ConfigError" => 27,
        "FileInvalidError" => 28,
        "FormatError" => 29,
        "CommandRequiredError" => 30,
        "OptionInvalidError" => 31,
        "OptionInvalidValueError" => 32,
        "OptionRequiredError" => 37,
        "ProtocolError" => 39,
        "PathNotEmptyError" => 40,
        "FileOpenError" => 41,
        "FileReadError" => 42,
        "ParamRequiredError" => 43,
        "ArchiveMismatchError" => 44,
        "ArchiveDuplicateError" => 45,
        "VersionNotSupportedError" => 46,
        "PathCreateError" => 47,
        "HostConnectError" => 49,
        "LockAcquireError" => 50,
        "BackupMismatchError" => 51,
        "FileSyncError" => 52,
        "PathOpenError" => 53,
        "PathSyncError" => 54,
        "FileMissingError" => 55,
        "DbConnectError" => 56,
        "DbMismatchError" => 58,
        "StopError" => 62,
        "TermError" => 63,
        "FileWriteError" => 64,
        "FeatureNotSupportedError" => 67,
        "ArchiveCommandInvalidError" => 68,
        "HostInvalidError" => 72,
        "PathMissingError" => 73,
        "ArchiveTimeoutError" => 82,
        "CryptoError" => 95,
        "ServiceError" => 101,
        "ExecuteError" => 102,
        "RepoInvalidError" => 103,
        _ => return None,
    };
    Some(code)
}
