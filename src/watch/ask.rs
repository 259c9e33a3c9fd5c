//! Short calls of pgBackRest: the catalog, a stanza, a push, a listing. Each has a time limit and ends with the watcher.

use super::Watcher;
use crate::decide::holes::MOST_NAMES;
use crate::pgbackrest::info::{Catalog, Doubt, Stanza};
use crate::pgbackrest::output;
use crate::pgbackrest::run::{self, Ended, Ending, Watch};
use crate::wal::WalFile;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the catalog may take to answer; a listing too.
const ASK_LIMIT: Duration = Duration::from_mins(1);
/// How long a stanza may take to be created, and a file to be pushed.
const WORK_LIMIT: Duration = Duration::from_mins(2);
/// The longest answer that is taken in: a listing of 100,000 names is about 9 MiB.
pub(super) const LISTING_BYTES: usize = 16 << 20;
/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// Characters of pgBackRest's message in a line.
const MESSAGE_LENGTH: usize = 500;

/// Why there is no listing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoListing {
    /// It can't be had now.
    #[error("{0}")]
    Failed(String),
    /// It never can be.
    #[error("it is longer than {MOST_NAMES} names")]
    TooLong,
}

/// Why a call was ended.
#[derive(Debug, Clone, Copy)]
enum Stop {
    TimeLimit,
    Told,
}

impl Watcher {
    /// A listing of a repository's folder, whole.
    pub(super) fn list(&mut self, arguments: &[&OsStr]) -> Result<String, NoListing> {
        let ended = self.call(arguments, ASK_LIMIT);
        if !matches!(ended.ending, Ending::Exited(0)) {
            return Err(NoListing::Failed(self.why(&ended)));
        }
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        if text.lines().count() >= MOST_NAMES || ended.cut { Err(NoListing::TooLong) } else { Ok(text) }
    }

    /// Asks the catalog for this cluster's full backups.
    pub(super) fn catalog(&mut self, system_id: u64) -> (Catalog, Option<Stanza>) {
        let answer = self.info();
        let expected = self.session.config.as_ref().map(crate::pgbackrest::config::Config::repositories);
        match (answer, expected) {
            (Ok(stanza), Some(expected)) => (self.redacted(stanza.catalog(system_id, &expected)), Some(stanza)),
            (Ok(_), None) => (inconclusive("pgBackRest's configuration can't be read".to_owned()), None),
            (Err(why), _) => (inconclusive(why), None),
        }
    }

    /// What `info` says of the stanza.
    pub(super) fn info(&mut self) -> Result<Stanza, String> {
        let arguments = ["info", "--output=json"].map(OsStr::new);
        let ended = self.call(&arguments, ASK_LIMIT);
        match ended.ending {
            Ending::Exited(0) => Stanza::parse(&ended.stdout, &self.request.common.stanza.value)
                .ok_or_else(|| "the answer of pgbackrest info can't be read".to_owned()),
            _ => Err(format!("pgbackrest info failed: {}", self.why(&ended))),
        }
    }

    /// Creates the stanza.
    pub(super) fn create_stanza(&mut self) -> Result<(), String> {
        let ended = self.call(&[OsStr::new("stanza-create")], WORK_LIMIT);
        if matches!(ended.ending, Ending::Exited(0)) { Ok(()) } else { Err(self.why(&ended)) }
    }

    /// Pushes a file again, and proves it: exit 0 without a drop, and the file in every repository's listing.
    pub(super) fn push_again(&mut self, file: &WalFile, path: &Path, archives: &[(u32, String)]) -> Result<(), String> {
        let arguments = [OsStr::new("archive-push"), OsStr::new("--no-archive-async"), path.as_os_str()];
        let ended = self.call(&arguments, WORK_LIMIT);
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        if !matches!(ended.ending, Ending::Exited(0)) || !output::skipped(&text).is_empty() {
            return Err(self.why(&ended));
        }
        let listed = |watcher: &mut Self, (key, archive): &(u32, String)| watcher.lists(*key, archive, file);
        if archives.is_empty() {
            return Err("no repository names this cluster's archive".to_owned());
        }
        archives.iter().try_for_each(|archive| listed(self, archive))
    }

    /// Whether a repository's listing shows the file.
    fn lists(&mut self, key: u32, archive: &str, file: &WalFile) -> Result<(), String> {
        let name = file.to_string();
        let folder = match file {
            WalFile::History(_) => format!("archive/{}/{archive}", self.request.common.stanza.value),
            _ => {
                format!("archive/{}/{archive}/{}", self.request.common.stanza.value, name.get(..16).unwrap_or_default())
            }
        };
        let repo = format!("--repo={key}");
        let ended = self.call(&["repo-ls", &repo, &folder].map(OsStr::new), ASK_LIMIT);
        let listing = String::from_utf8_lossy(&ended.stdout).into_owned();
        let is_it = |line: &str| line == name || line.strip_prefix(&name).is_some_and(|rest| rest.starts_with('-'));
        if matches!(ended.ending, Ending::Exited(0)) && listing.lines().any(is_it) {
            return Ok(());
        }
        Err(format!("repository {key} does not list it: {}", self.why(&ended)))
    }

    fn call(&mut self, arguments: &[&OsStr], limit: Duration) -> Ended<Stop> {
        if self.is_told() {
            return Ended { ending: Ending::Stopped(Stop::Told), cut: false, stdout: Vec::new(), stderr: Vec::new() };
        }
        let started = Instant::now();
        let mut check = |_| {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            (started.elapsed() >= limit).then_some(Stop::TimeLimit)
        };
        let watch = Watch {
            check: &mut check,
            interval: INTERVAL,
            on_signal: Stop::Told,
            keep: LISTING_BYTES,
            grace: run::GRACE,
        };
        let command = self.session.caller.command(arguments.iter().copied());
        let ended = run::run(command, Some(&self.signals), watch);
        self.told |= matches!(ended.ending, Ending::Stopped(Stop::Told));
        ended
    }

    fn why(&self, ended: &Ended<Stop>) -> String {
        let text = output::errors(&String::from_utf8_lossy(&ended.stderr));
        let said = self.session.redactor.redact(text.as_bytes()).one_line(MESSAGE_LENGTH);
        match &ended.ending {
            Ending::Exited(code) => format!("pgBackRest {code}: {said}"),
            Ending::Signaled(signal) => format!("pgBackRest was ended by signal {signal}"),
            Ending::Stopped(Stop::TimeLimit) => "no answer in time".to_owned(),
            Ending::Stopped(Stop::Told) => "told to end".to_owned(),
            Ending::NotStarted(error) => format!("pgBackRest can't be started: {error}"),
        }
    }

    fn redacted(&self, catalog: Catalog) -> Catalog {
        match catalog {
            Catalog::Inconclusive { why, doubt } => {
                let why = self.session.redactor.redact(why.as_bytes()).one_line(MESSAGE_LENGTH);
                Catalog::Inconclusive { why, doubt }
            }
            other => other,
        }
    }
}

fn inconclusive(why: String) -> Catalog {
    Catalog::Inconclusive { why, doubt: Doubt::Dark }
}
