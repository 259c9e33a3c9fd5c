//! The stages behind the restore: what only a server that runs, or its programs, can tell of a copy.

use super::process::{self, Call, Ran, SIGNAL};
use super::sandbox::{Sandbox, last_line};
use crate::drill_record::Verdict;
use crate::restore;
use crate::signals::Signals;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What `pg_dumpall` says where it can't start `pg_dump`, which must lie beside it and be of its own version
/// (`pg_dumpall.c`, PostgreSQL 13 to 18).
const NOT_STARTED: [&str; 2] = ["is needed by pg_dumpall but was not found", "but was not the same version as"];

/// What a stage needs.
pub(super) struct Bench<'b> {
    pub(super) sandbox: &'b Sandbox,
    /// The folder of PostgreSQL's programs.
    pub(super) programs: PathBuf,
    pub(super) signals: &'b Signals,
    /// When the checks must be done.
    pub(super) until: Option<Instant>,
}

/// What a stage came to, in a word and on a line.
pub(super) type Found = (Verdict, String);

impl Bench<'_> {
    fn call(&self, stage: &str, program: &str, arguments: Vec<OsString>) -> (Ran, PathBuf) {
        let log = self.sandbox.log(stage);
        let call =
            Call { program: self.programs.join(program), arguments, environment: vec![("LC_ALL".into(), "C".into())] };
        (process::run(&call, &log, self.until, self.signals), log)
    }

    /// The checksum of every page, where they are on. The server is stopped.
    pub(super) fn checksums(&self) -> Found {
        let data = || vec!["-D".into(), self.sandbox.data().into_os_string()];
        let (ran, log) = self.call("controldata", "pg_controldata", data());
        let text = process::words(&log);
        let line = text.lines().find(|line| line.starts_with("Data page checksum version:"));
        match (ran, line.and_then(|line| line.rsplit(' ').next())) {
            (Ran::Ended(0), Some("0")) => (Verdict::Passed, "data checksums are off".to_owned()),
            (Ran::Ended(0), Some(_)) => {
                let mut arguments = vec!["--check".into()];
                arguments.extend(data());
                judged(
                    &self.call("checksums", "pg_checksums", arguments),
                    "pg_checksums",
                    "the checksum of every page is right",
                )
            }
            (other, _) => (Verdict::Unverified, not_run(&other, "pg_controldata")),
        }
    }

    /// Whether there is a `pg_amcheck` to be run: PostgreSQL has it from 14 on, and what should be there and is not, is missed.
    pub(super) fn has_amcheck(&self, version: Option<&str>) -> bool {
        let major =
            version.and_then(|version| version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok());
        self.programs.join("pg_amcheck").exists() || major.is_none_or(|major| major >= 14)
    }

    /// Every index and table, by `pg_amcheck` (PostgreSQL 14 and later).
    pub(super) fn amcheck(&self, role: &str) -> Found {
        const OPTIONS: [&str; 5] =
            ["--all", "--install-missing", "--heapallindexed", "--parent-check", "--no-strict-names"];
        let arguments = OPTIONS.map(OsString::from).into_iter().chain(self.connection(role)).collect();
        let call = self.call("amcheck", "pg_amcheck", arguments);
        if let (Ran::Ended(_), text) = (&call.0, process::tail(&call.1))
            && text.contains("could not open extension control file")
        {
            return (Verdict::Unverified, "the extension amcheck is not installed".to_owned());
        }
        judged(&call, "pg_amcheck", "every index and table is consistent")
    }

    /// Every row, by `pg_dumpall`.
    pub(super) fn read(&self, role: &str) -> Found {
        // Without --no-sync it fails: /dev/null takes no fsync(2).
        let arguments =
            ["--file=/dev/null", "--no-sync"].map(OsString::from).into_iter().chain(self.connection(role)).collect();
        let call = self.call("read", "pg_dumpall", arguments);
        let words = process::tail(&call.1);
        if let Some(line) = words.lines().find(|line| NOT_STARTED.iter().any(|words| line.contains(words))) {
            return (Verdict::Unverified, last_line(line));
        }
        judged(&call, "pg_dumpall", "every row was read")
    }

    /// The statements of a file: each must return true and nothing else.
    pub(super) fn sql(&self, role: &str, file: &Path) -> Found {
        let mut input = OsString::from("--file=");
        input.push(file);
        let fixed = ["-X", "-A", "-t", "-q", "--set=ON_ERROR_STOP=1"].map(OsString::from);
        let arguments = fixed.into_iter().chain([input]).chain(self.connection(role)).collect();
        let (ran, log) = self.call("sql", "psql", arguments);
        let text = process::words(&log);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        match ran {
            Ran::Ended(0) if lines.is_empty() => (Verdict::Failed, format!("{} returned nothing", file.display())),
            Ran::Ended(0) => match lines.iter().find(|line| line.trim() != "t") {
                None => (Verdict::Passed, format!("{} statements returned true", lines.len())),
                Some(other) => (Verdict::Failed, format!("a statement returned '{}'", last_line(other))),
            },
            Ran::Ended(_) => (Verdict::Failed, last_line(&text)),
            other => (Verdict::Unverified, not_run(&other, "psql")),
        }
    }

    fn connection(&self, role: &str) -> Vec<OsString> {
        let mut host = OsString::from("--host=");
        host.push(restore::socket(&self.sandbox.server()));
        vec![
            host,
            format!("--port={}", restore::PORT).into(),
            format!("--username={role}").into(),
            "--no-password".into(),
        ]
    }
}

/// The first error of a program's words, else their last line.
fn complaint(text: &str) -> String {
    let error = text.lines().find(|line| ["ERROR:", "error:"].iter().any(|word| line.contains(word)));
    last_line(error.unwrap_or(text))
}

/// What a program's end means where 0 is good and anything else is not.
fn judged((ran, log): &(Ran, PathBuf), program: &str, good: &str) -> Found {
    match ran {
        Ran::Ended(0) => (Verdict::Passed, good.to_owned()),
        Ran::Ended(_) => (Verdict::Failed, complaint(&process::words(log))),
        other => (Verdict::Unverified, not_run(other, program)),
    }
}

/// Why a program says nothing of the copy.
fn not_run(ran: &Ran, program: &str) -> String {
    match ran {
        Ran::Ended(_) => format!("the output of {program} can't be read"),
        Ran::Killed(signal) => format!("{program} was ended by signal {signal}"),
        Ran::OutOfTime => format!("{program} did not finish within --budget"),
        Ran::Told => SIGNAL.to_owned(),
        Ran::NotStarted(error) => format!("{program} can't be started: {error}"),
    }
}
