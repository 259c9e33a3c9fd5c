//! What administrators write: pgBackRest's configuration, variables, the settings file, the names that `setup` screens.

use super::SECRET;
use super::scratch::Scratch;
use pgbackrest_guard::decide::setup::{ENDPOINT, screen, screen_bucket, screen_value};
use pgbackrest_guard::pgbackrest::config::Config;
use pgbackrest_guard::pgbackrest::failure::codes::InstantDropCodes;
use pgbackrest_guard::settings::secret::FILES;
use pgbackrest_guard::settings::{self, CommonFlags, CommonSettings, Environment, GetFlags, GetSettings, Mebibytes};
use pgbackrest_guard::settings::{PushFlags, PushSettings, RepositoryList, RestoreSettings, Seconds, SetupSettings};
use pgbackrest_guard::settings::{Sources, WatchSettings};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::LazyLock;

pub(super) fn ini(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let config = Config::of_texts("main", std::iter::empty(), &[&text]);
    let repositories = config.repositories();
    assert!(!repositories.is_empty(), "a repository is always meant");
    let _ = (config.retention_of_wal(1), config.remote_repository(), config.secrets().count());
    for command in ["archive-push", "archive-get"] {
        // A call without a file says the same by its variables.
        let variables = config.as_variables(command, &repositories);
        let environment = variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let again = Config::of_texts("main", environment, &[]);
        assert_eq!(again.as_variables(command, &repositories), variables);
        for (_, value) in &variables {
            let value = value.to_string_lossy();
            assert!(value.trim() == value && !value.contains('\n'), "{value:?}");
        }
    }
    if !text.contains(SECRET) {
        let secret = format!("[global]\nrepo1-s3-key-secret={SECRET}\nrepo2-cipher-pass = {SECRET}\n");
        let shown = Config::of_texts("main", std::iter::empty(), &[&secret, &text]).shown();
        assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
    }
}

/// Everything that is read out of them.
fn resolve(sources: &mut Sources) {
    let _ = CommonSettings::resolve(CommonFlags::default(), None, sources);
    let _ = (PushSettings::resolve(PushFlags::default(), sources), GetSettings::resolve(GetFlags::default(), sources));
    let _ = (WatchSettings::resolve(sources), RestoreSettings::resolve(None, sources), SetupSettings::resolve(sources));
    let warnings: Vec<&str> = sources.warnings().iter().map(|warning| warning.0.as_str()).collect();
    assert!(warnings.iter().all(|warning| !warning.contains('\n')), "a warning is one line: {warnings:?}");
    assert!(warnings.iter().all(|warning| !warning.contains(SECRET)), "a secret is shown: {warnings:?}");
    assert!(sources.set().iter().all(|(_, shown, _)| !shown.contains(SECRET)), "a secret is shown");
}

/// A line is a variable, `NAME=value`; the two secrets end in one that must not be shown.
pub(super) fn settings(bytes: &[u8]) {
    let variable = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (OsStr::from_bytes(line.get(..at)?), line.get(at + 1..)?);
        // The files that these name are read.
        let is_file = FILES.iter().any(|file| name == *file) || name == "WAL_GUARD_CONFIG";
        let is_secret = name == "WAL_ARCHIVE_KEY" || name == "WAL_ARCHIVE_SECRET";
        let mut value = OsStr::from_bytes(value).to_owned();
        if is_secret {
            value.push(SECRET);
        }
        (!is_file && (is_secret || !line.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())))
            .then(|| (name.to_owned(), value))
    };
    let variables: Vec<(OsString, OsString)> = bytes.split(|byte| *byte == b'\n').filter_map(variable).collect();
    // Without a file: the usual one may be there on this machine.
    let no_file = [(OsString::from("WAL_GUARD_CONFIG"), OsString::from("/dev/null"))];
    let mut sources = settings::sources(None, variables.into_iter().chain(no_file).collect());
    resolve(&mut sources);
    values(&String::from_utf8_lossy(bytes));
}

/// What is read as a number or a list is the one that was written.
fn values(text: &str) {
    for text in text.lines().map(|line| line.split_once('=').map_or(line, |(_, value)| value)) {
        if let Ok(seconds) = text.parse::<Seconds>() {
            assert_eq!(seconds.get().to_string(), text);
        }
        if let Ok(size) = text.parse::<Mebibytes>() {
            assert_eq!((size.bytes() >> 20).to_string(), text);
        }
        if let Ok(list) = text.parse::<RepositoryList>() {
            assert!(list.numbers().iter().all(|number| (1..=256).contains(number)));
            let written: Vec<String> = list.numbers().iter().map(u32::to_string).collect();
            assert_eq!(written.join(",").parse::<RepositoryList>().ok(), Some(list));
        }
        if let Ok(codes) = text.parse::<InstantDropCodes>() {
            assert_eq!(codes.to_string().parse::<InstantDropCodes>().ok(), Some(codes));
        }
    }
}

pub(super) fn settings_file(bytes: &[u8]) {
    thread_local!(static FILE: Scratch = Scratch::new());
    // A secret that the input spells would be shown where it is no secret.
    if bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) || names_a_file(bytes) {
        return;
    }
    FILE.with(|file| {
        file.set_length(0);
        file.write(bytes, 0);
        let mut sources = settings::sources(Some(file.path()), Environment::default());
        resolve(&mut sources);
    });
}

/// Whether the settings could make a file be read.
fn names_a_file(bytes: &[u8]) -> bool {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| FILES.iter().map(|name| name.to_ascii_lowercase()).collect());
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    NAMES.iter().any(|name| text.contains(name.as_str())) || text.contains('\\')
}

pub(super) fn bucket(bytes: &[u8]) {
    let value = OsStr::from_bytes(bytes);
    if screen_bucket(value, false).is_ok() {
        let legal = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte);
        assert!((3..=63).contains(&bytes.len()) && bytes.iter().all(legal), "{} is no legal name", value.display());
    }
    if screen_value(value).is_ok() {
        let text = value.to_str().expect("what goes into a configuration is a text");
        assert!(text.trim() == text && !text.contains(char::is_control), "{text:?} would set an option");
        // What pgBackRest reads is what was screened.
        let line = format!("[global]\nrepo1-s3-region={text}\n");
        let read = Config::of_texts("main", std::iter::empty(), &[&line]);
        assert_eq!(read.option("archive-push", "repo1-s3-region"), Some(text));
    }
    if screen(OsStr::new("bucket"), false, &[(ENDPOINT, Some(&value.to_owned()))]).is_ok() {
        let text = value.to_str().expect("an address is a text");
        assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c)), "{text:?}");
        assert!(!text.trim_end_matches('/').is_empty());
    }
}
