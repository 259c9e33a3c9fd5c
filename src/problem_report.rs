//! `pgbackrest-guard status --report`: what a problem report needs, in one text without secrets.
//!
//! Versions, every setting with its origin, the server's and pgBackRest's configuration, the report of `status` as JSON, and the
//! last lines of the server's log about archiving. Nothing is written and no repository is asked. Whatever it says leaves
//! through one door ([`Client::redacted`]), which cuts out every secret that pgBackRest's configuration and the environment
//! hold; a password within an address goes too.

use crate::check::program_version;
use crate::data_directory::DataDirectory;
use crate::decide::check::{GET, PUSH};
use crate::log;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::{Client, Watch};
use crate::postgres::Postgres;
use crate::settings::{Connection, Origin, Sources};
use crate::status::Report;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long pgBackRest may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);
/// Characters of a message.
const SHOWN: usize = 300;
/// How much of the end of a log is read, in bytes.
const TAIL: u64 = 4 << 20;
/// Lines of a log that are shown.
const LINES: usize = 60;

/// What a report is made of.
pub struct Request<'r> {
    /// The settings.
    pub sources: &'r Sources,
    /// pgBackRest.
    pub client: &'r Client,
    /// The data directory, if there is one.
    pub directory: Option<&'r DataDirectory>,
    /// How to reach the server.
    pub connection: &'r Connection,
    /// The cluster's name: `15/main`, or the data directory's last part.
    pub cluster: &'r str,
    /// What `status` says.
    pub report: &'r Report,
    /// The folder that this program lies in.
    pub beside: Option<PathBuf>,
}

/// The report.
#[must_use]
pub fn problem_report(request: &Request<'_>) -> String {
    let mut text = String::from(
        "Problem report of pgbackrest-guard. Keys and passwords are left out; names of hosts, buckets, paths and\n\
         clusters are not: read it before you send it.\n",
    );
    let mut section = |heading: &str, body: &str| {
        let _ = write!(text, "\n## {heading}\n\n{}\n", body.trim_end());
    };
    section("Versions", &versions(request));
    section("Settings", &settings(request.sources));
    section("PostgreSQL", &server(request));
    let unread = || "its configuration can't be read\n".to_owned();
    section("pgBackRest", &request.client.config().map_or_else(unread, Config::shown));
    section("Status", &status(request.report));
    section("Log", &server_log(request));
    without_passwords(request.client.redacted(&text).as_str())
}

fn versions(request: &Request<'_>) -> String {
    let mut text = format!("pgbackrest-guard {}\n", env!("CARGO_PKG_VERSION"));
    for name in [PUSH, GET] {
        let version = program_version(request.beside.as_deref(), name);
        let _ = writeln!(text, "{name} {}", version.as_deref().unwrap_or("can't be started"));
    }
    let pgbackrest = request.client.version(Watch::within(LIMIT));
    let pgbackrest = pgbackrest.map_or_else(|failure| failure.shown(SHOWN), |version| version.to_string());
    let _ = writeln!(text, "pgBackRest {pgbackrest}");
    let kernel = rustix::system::uname();
    let kernel = [kernel.sysname(), kernel.release(), kernel.machine()].map(std::ffi::CStr::to_string_lossy);
    let _ = writeln!(text, "{}", kernel.join(" "));
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    text + name.map(|name| name.trim_matches('"')).unwrap_or_default() + "\n"
}

/// What is set; all else is at its default.
fn settings(sources: &Sources) -> String {
    let origin = |origin| match origin {
        Origin::Flag => "command line",
        Origin::Environment => "environment",
        Origin::File => "settings file",
        Origin::Default => "default",
    };
    let mut text = String::new();
    for (name, value, from) in sources.set() {
        let _ = writeln!(text, "{name}={value} ({})", origin(from));
    }
    if text.is_empty() {
        text.push_str("nothing is set: every default holds\n");
    }
    for warning in sources.warnings() {
        let _ = writeln!(text, "warning: {}", warning.0);
    }
    text
}

fn server(request: &Request<'_>) -> String {
    let Some(directory) = request.directory else { return "no data directory was found\n".to_owned() };
    let data = directory.path().display();
    if !directory.server_runs() {
        return format!("data directory {data}\nit is not running\n");
    }
    match Postgres::of(directory, request.connection).installation() {
        Ok(seen) => {
            let role = if seen.in_recovery { "a standby" } else { "a primary" };
            let settings = seen.settings;
            format!(
                "{}, {role}, data directory {data}\narchive_mode = {}\narchive_command = {}\narchive_library = {}\n\
                 restore_command = {}\n",
                seen.version, settings.mode, settings.command, settings.library, settings.restore_command
            )
        }
        Err(error) => format!("data directory {data}\n{}\n", log::chain(&error)),
    }
}

fn status(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_else(|error| format!("can't be written as JSON: {error}"))
}

/// The server's log, where it lies in a file that can be read, and where the watcher's is.
fn server_log(request: &Request<'_>) -> String {
    let Some(path) = request.directory.and_then(|directory| log_file(directory, request.cluster)) else {
        return "the server's log was not found in a file: add its lines about pgbackrest yourself\n".to_owned()
            + &watcher_log(request);
    };
    let lines = match tail(&path) {
        Ok(text) => of_interest(&text),
        Err(error) => format!("can't be read: {error}\n"),
    };
    format!("{}, its last lines about pgbackrest:\n{lines}{}", path.display(), watcher_log(request))
}

fn watcher_log(request: &Request<'_>) -> String {
    let unit = request
        .directory
        .and_then(|directory| crate::clusters::unit_of(request.sources.environment(), directory.path()));
    unit.map_or_else(String::new, |unit| format!("the watcher's lines: journalctl --unit='{unit}' --lines=100\n"))
}

/// The file that the server logs to: what it notes in `current_logfiles`, else where Debian sends its stderr.
fn log_file(directory: &DataDirectory, cluster: &str) -> Option<PathBuf> {
    let noted = fs::read_to_string(directory.path().join("current_logfiles")).unwrap_or_default();
    let noted = noted.lines().find_map(|line| line.strip_prefix("stderr ")).map(|path| directory.path().join(path));
    let debian = || {
        let (version, name) = cluster.split_once('/')?;
        Some(Path::new("/var/log/postgresql").join(format!("postgresql-{version}-{name}.log")))
    };
    noted.or_else(debian).filter(|path| path.is_file())
}

/// The end of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines that speak of archiving.
fn of_interest(log: &str) -> String {
    let words = ["pgbackrest", "archive command", "archiver", "restore_command", "P00 ", "ERROR: ["];
    let lines: Vec<&str> = log.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
    let first = lines.len().saturating_sub(LINES);
    lines.iter().skip(first).flat_map(|line| [*line, "\n"]).collect()
}

/// Text without the password of an address such as `https://user:password@host/`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut cut = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        cut.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || "/'\"".contains(c)).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                let name = user.split(':').next().unwrap_or_default();
                let _ = write!(cut, "{name}:<redacted>@{host}");
            }
            _ => cut.push_str(authority),
        }
        cut.push_str(rest);
    }
    cut
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_cut_out_and_nothing_else() {
        for (text, cut) in [
            ("a https://u:p:w@h:1/x?a@b c", "a https://u:<redacted>@h:1/x?a@b c"),
            ("https://host/a:b@c", "https://host/a:b@c"),
            ("postgres://u@h 'http://a:b@c'", "postgres://u@h 'http://a:<redacted>@c'"),
            ("://", "://"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_passwords(text), cut);
        }
    }

    #[test]
    fn the_log_is_the_one_that_the_server_names() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        assert_eq!(log_file(&directory, "main"), None);
        fs::create_dir(folder.path().join("log")).unwrap();
        fs::write(folder.path().join("log/a.log"), "LOG: archive command failed\nLOG: checkpoint\n").unwrap();
        fs::write(folder.path().join("current_logfiles"), "csvlog log/a.csv\nstderr log/a.log\n").unwrap();
        let path = log_file(&directory, "main").unwrap();
        assert_eq!(of_interest(&tail(&path).unwrap()), "LOG: archive command failed\n");
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let log: Vec<String> = (0..200).map(|number| format!("pgbackrest {number}")).collect();
        let shown = of_interest(&log.join("\n"));
        assert_eq!(shown.lines().count(), LINES);
        assert!(shown.starts_with("pgbackrest 140\n") && shown.ends_with("pgbackrest 199\n"));
    }
}
