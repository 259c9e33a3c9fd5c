//! The one face of pgBackRest: verbs in, typed answers out.
//!
//! Whoever wants something of pgBackRest asks a [`Client`]; how it is called, which flags differ between versions, what its
//! words mean and which of them are secret stays behind it. An answer that is a failure has its class, pgBackRest's code and
//! the store's, and a text without secrets ([`Failure`]). Each call is watched by a [`Watch`], because nothing in pgBackRest
//! bounds one.

mod apart;
mod backup;
mod restore;

pub use restore::Restoring;

use super::call::{Caller, Verbosity};
use super::config::Config;
use super::failure::codes::InstantDropCodes;
use super::failure::diagnosis::{self, Diagnosis};
use super::failure::redact::{Redacted, Redactor};
use super::failure::{Class, End, Failure, Listing, unspoken};
use super::identity::{self, RepositoryIdentity};
use super::info::{CatalogAnswer, Doubt, Stanza};
use super::output;
use super::pushed::Pushed;
use super::run::{self, Ended, Ending};
use super::spool::Spool;
use super::version::Version;
use super::watch::Watch;
use crate::wal::WalFile;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What is kept of an answer: a listing of 100,000 names is about 9 MiB.
const ANSWER_BYTES: usize = 16 << 20;
/// What is kept of what a push or a fetch prints.
const PRINTED_BYTES: usize = 1 << 20;
/// `info`'s code of a repository that can't be read (src/command/info/info.c, 2.45 to 2.60).
const UNREADABLE: u32 = 99;
/// Characters of a repository's words.
const WORDS: usize = 500;

/// pgBackRest, as one program may call it for one cluster.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    config: Option<Config>,
    pub(super) spool: Option<Spool>,
    redactor: Redactor,
    instant: InstantDropCodes,
}

/// How a file is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushMode {
    /// As PostgreSQL has it pushed, by the async process where one is configured.
    Configured,
    /// At once, whether or not PostgreSQL has marked it as waiting.
    Synchronous,
}

/// What a push or a fetch printed, without secrets, and what it came to.
#[derive(Debug)]
pub struct Spoken<T> {
    /// Both streams.
    pub printed: Redacted,
    /// The answer.
    pub answer: T,
}

/// What is fetched, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'f> {
    /// The file.
    pub file: &'f WalFile,
    /// Where it is put; absolute.
    pub to: &'f Path,
    /// The data directory that recovers, where the configuration names another.
    pub data_directory: Option<&'f Path>,
    /// The one repository that is asked; `None`: all of them.
    pub repository: Option<u32>,
    /// Whether it is fetched at once, though an async process is configured.
    pub synchronous: bool,
    /// Whether everything that pgBackRest says is kept, not only its warnings and errors.
    pub verbose: bool,
}

/// What a fetch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// pgBackRest says that the file is there.
    Delivered,
    /// It says in words, of this very file, that every repository that was asked lacks it.
    Absent,
    /// Neither.
    Unclear {
        /// Why.
        failure: Failure,
        /// Whether one repository failed while another answered.
        repository_failed: bool,
    },
}

/// Why there is no listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoListing {
    /// It can't be had now.
    Failed(Failure),
    /// It is longer than what is taken in.
    TooLong,
}

impl Client {
    /// A client that calls by `caller`. `secrets` are cut out of everything that pgBackRest prints, beside those that its
    /// configuration holds. A configuration that can't be read pgBackRest itself will report.
    #[must_use]
    pub fn new(caller: Caller, secrets: Vec<String>) -> Self {
        let config = Config::load(caller.stanza(), caller.environment());
        if let Err(error) = &config {
            tracing::debug!("{error}; pgBackRest will say what is wrong");
        }
        let config = config.ok();
        let configured = config.iter().flat_map(Config::secrets).map(str::to_owned);
        let redactor = Redactor::new(secrets.into_iter().chain(configured));
        let spool = config.as_ref().map(|config| Spool::for_push(config, caller.stanza()));
        Self { caller, config, spool, redactor, instant: InstantDropCodes::default() }
    }

    /// The same with other codes that mean *gone*.
    #[must_use]
    pub fn with_instant_drop(self, instant: InstantDropCodes) -> Self {
        Self { instant, ..self }
    }

    /// Text of any origin without the secrets that are known here.
    #[must_use]
    pub fn redacted(&self, text: &str) -> Redacted {
        self.redactor.redact(text.as_bytes())
    }

    /// pgBackRest's configuration; `None` where it can't be read.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// The configured repositories, by what tells one from another; `None` where the configuration can't be read.
    #[must_use]
    pub fn identities(&self) -> Option<Vec<RepositoryIdentity>> {
        self.config.as_ref().map(identity::repositories)
    }

    /// The stanza.
    #[must_use]
    pub fn stanza(&self) -> &str {
        self.caller.stanza()
    }

    /// Whether a push says what was there already: it is silent about it where nobody checks the archive's mode.
    #[must_use]
    pub fn says_what_existed(&self) -> bool {
        let config = self.config.as_ref();
        config.is_none_or(|config| config.option("archive-push", "archive-mode-check") != Some("n"))
    }

    /// Whether the spool already shows a file as stored, and that may be relied on.
    #[must_use]
    pub fn has_stored(&self, name: &str, archive_status: &Path) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.has_stored(name, archive_status))
    }

    /// Whether an async push only repeats an answer that is older than `age`.
    #[must_use]
    pub fn repeats(&self, name: &str, age: std::time::Duration) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.repeats(name, age))
    }

    /// `archive-push`. `path` is as PostgreSQL gives it, or absolute.
    #[must_use]
    pub fn push(&self, path: &Path, mode: PushMode, mut watch: Watch<'_>) -> Spoken<Result<Pushed, Failure>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let spool = self.spool.as_ref().filter(|_| mode == PushMode::Configured);
        let before = spool.map(|spool| spool.error_files(&name));
        let mut arguments = vec![OsStr::new("archive-push")];
        if mode == PushMode::Synchronous {
            // With a queue limit pgBackRest looks for `archive_status` beside the file, and fails on a copy elsewhere: 25 or 73
            // (2.45, 2.55.1, 2.60.0). What is pushed again waits in no queue.
            arguments.extend(["--no-archive-async", "--reset-archive-push-queue-max"].map(OsStr::new));
        }
        arguments.push(path.as_os_str());
        let ended = self.call(self.caller.verbosity(), &arguments, PRINTED_BYTES, &mut watch);
        let text = output::joined(&ended.stderr, &ended.stdout);
        let answer = if matches!(ended.ending, Ending::Exited(0)) {
            Ok(Pushed::by(&text))
        } else {
            let spooled = spool.zip(before).and_then(|(spool, before)| spool.error_since(&before));
            let spooled = spooled.map(|error| diagnosis::of_message_alone(error.code, &error.text, &self.instant));
            let (printed, end) = self.diagnosis(&ended, &text, watch.limit);
            // 82 says no more than that the async process was not done; the spool says why.
            let vague =
                matches!(end, End::Exited(82)) || matches!(end, End::Exited(_)) && printed.class() == Class::Unknown;
            Err(Failure::new(spooled.filter(|_| vague).unwrap_or(printed), end, &self.redactor))
        };
        Spoken { printed: self.redactor.redact(text.as_bytes()), answer }
    }

    /// `archive-get`, at level info: only there does pgBackRest say that it found nothing.
    #[must_use]
    pub fn fetch(&self, fetch: &Fetch<'_>, mut watch: Watch<'_>) -> Spoken<Fetched> {
        let name = fetch.file.to_string();
        let verbosity = if fetch.verbose { Verbosity::Detail } else { Verbosity::Info };
        let arguments = fetch_arguments(fetch, &name);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let ended = self.call(verbosity, &arguments, PRINTED_BYTES, &mut watch);
        let text = output::joined(&ended.stderr, &ended.stdout);
        let repository_failed = output::warns_of_repository(&text);
        // Nothing follows from an answer that was cut off.
        let absent = !repository_failed && !ended.cut && output::says_absent(&text, &name);
        let shown = if fetch.verbose { text } else { output::without_info(&text) };
        let answer = match &ended.ending {
            Ending::Exited(0) => Fetched::Delivered,
            Ending::Exited(1) if absent => Fetched::Absent,
            _ => {
                let (mut diagnosis, end) = self.diagnosis(&ended, &shown, watch.limit);
                if let (End::Exited(code), true) = (end, diagnosis.text.is_empty()) {
                    let wrapper = if code == 1 { ": it is not pgBackRest, or a wrapper around it" } else { "" };
                    diagnosis.text = format!("pgBackRest exited with {code} and said nothing{wrapper}");
                }
                Fetched::Unclear { failure: Failure::new(diagnosis, end, &self.redactor), repository_failed }
            }
        };
        Spoken { printed: self.redactor.redact(shown.as_bytes()), answer }
    }

    /// `info` of the stanza.
    ///
    /// # Errors
    /// When it can't be had or read. That it can be had says nothing of the repositories: each has its own code.
    pub fn info(&self, repository: Option<u32>, mut watch: Watch<'_>) -> Result<Stanza, Failure> {
        let repository = repository.map(|key| OsString::from(format!("--repo={key}")));
        let arguments: Vec<&OsStr> =
            repository.iter().map(OsString::as_os_str).chain(["info", "--output=json"].map(OsStr::new)).collect();
        let ended = self.succeeded(self.caller.verbosity(), &arguments, ANSWER_BYTES, &mut watch)?;
        let stanza = Stanza::parse(&ended.stdout, self.stanza()).map(|mut stanza| {
            for repository in &mut stanza.repo {
                let message = self.redactor.redact(repository.status.message.as_bytes());
                message.as_str().clone_into(&mut repository.status.message);
            }
            stanza
        });
        stanza.ok_or_else(|| {
            let text = "the answer of pgbackrest info can't be read".to_owned();
            Failure::new(Diagnosis::of_class(Class::Unknown, text), End::Exited(0), &self.redactor)
        })
    }

    /// What the catalog says of a cluster's full backups, and what that was concluded from.
    #[must_use]
    pub fn catalog(&self, system_id: u64, watch: Watch<'_>) -> (CatalogAnswer, Option<Stanza>) {
        let unreadable = |why: String| CatalogAnswer::Inconclusive { why, doubt: Doubt::Unreadable };
        match (self.info(None, watch), &self.config) {
            (Ok(stanza), Some(config)) => match stanza.catalog(system_id, &config.repositories()) {
                CatalogAnswer::Inconclusive { why, doubt } => {
                    let why = self.redactor.redact(why.as_bytes()).one_line(WORDS);
                    (CatalogAnswer::Inconclusive { why, doubt }, Some(stanza))
                }
                conclusive => (conclusive, Some(stanza)),
            },
            (Ok(_), None) => (unreadable("pgBackRest's configuration can't be read".to_owned()), None),
            (Err(failure), _) => (unreadable(format!("pgbackrest info failed: {}", failure.shown(WORDS))), None),
        }
    }

    /// What a listing of each repository says: the first request of `info` is one.
    ///
    /// # Errors
    /// When `info` can't be had.
    pub fn listing(&self, repository: Option<u32>, watch: Watch<'_>) -> Result<Listing, Failure> {
        let stanza = self.info(repository, watch)?;
        let unreadable = stanza.repo.iter().filter(|repository| repository.status.code == UNREADABLE);
        let failed = unreadable.filter_map(|repository| {
            let diagnosis = diagnosis::of_message_alone(39, &repository.status.message, &self.instant);
            let failed = diagnosis.repositories.into_iter().next()?;
            // A store that lacks an object answers.
            (failed.s3_code.as_deref() != Some("NoSuchKey")).then_some((repository.key, failed))
        });
        Ok(Listing { failed: failed.collect(), asked: stanza.repo.len() })
    }

    /// The names in a folder of a repository, a line each; none where there is no such folder. The folder of no name is the
    /// repository's own.
    ///
    /// # Errors
    /// When it can't be had whole.
    pub fn list(&self, repository: u32, folder: &str, mut watch: Watch<'_>) -> Result<String, NoListing> {
        let repository = format!("--repo={repository}");
        // A path of nothing would be a folder without a name on S3.
        let folder = (!folder.is_empty()).then_some(folder);
        let arguments: Vec<&OsStr> =
            ["repo-ls", repository.as_str()].into_iter().chain(folder).map(OsStr::new).collect();
        let ended = self.succeeded(self.caller.verbosity(), &arguments, ANSWER_BYTES, &mut watch);
        let ended = ended.map_err(NoListing::Failed)?;
        if ended.cut { Err(NoListing::TooLong) } else { Ok(String::from_utf8_lossy(&ended.stdout).into_owned()) }
    }

    /// `version`.
    ///
    /// # Errors
    /// When pgBackRest can't be started or says something else.
    pub fn version(&self, mut watch: Watch<'_>) -> Result<Version, Failure> {
        let mut command = self.caller.bare();
        command.arg("version");
        let ended = self.checked(run::run(command, PRINTED_BYTES, &mut watch), &watch)?;
        Version::parse(&String::from_utf8_lossy(&ended.stdout)).ok_or_else(|| {
            let text = "pgbackrest version printed something else".to_owned();
            Failure::new(Diagnosis::of_class(Class::Unknown, text), End::Exited(0), &self.redactor)
        })
    }

    /// A failure of our own on this machine, in words that name no secret.
    #[must_use]
    pub fn local_failure(&self, text: &str, code: i32) -> Failure {
        Failure::local(text, End::Exited(code), &self.redactor)
    }

    /// The program's path or name, for messages.
    #[must_use]
    pub fn program(&self) -> &Path {
        self.caller.program()
    }

    /// The codes that mean *gone*.
    pub(super) fn instant(&self) -> &InstantDropCodes {
        &self.instant
    }

    /// What cuts secrets out.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Whether a stop file forbids pushing.
    pub(super) fn is_stopped(&self) -> bool {
        self.spool.as_ref().is_some_and(super::spool::Spool::is_stopped)
    }

    /// A call that did not end by itself with 0.
    pub(super) fn failure(&self, ended: &Ended, text: &str, limit: &str) -> Failure {
        if let Ending::Exited(code) = ended.ending {
            return Failure::printed(code, text, &self.instant, &self.redactor);
        }
        let (diagnosis, end) = self.diagnosis(ended, text, limit);
        Failure::new(diagnosis, end, &self.redactor)
    }

    pub(super) fn call(&self, verbosity: Verbosity, arguments: &[&OsStr], keep: usize, watch: &mut Watch<'_>) -> Ended {
        run::run(self.caller.command(verbosity, arguments.iter().copied()), keep, watch)
    }

    /// Calls, and takes everything but an exit code of 0 for a failure.
    pub(super) fn succeeded(
        &self,
        verbosity: Verbosity,
        arguments: &[&OsStr],
        keep: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Ended, Failure> {
        let ended = self.call(verbosity, arguments, keep, watch);
        self.checked(ended, watch)
    }

    /// What a call printed, if it ended with 0.
    fn checked(&self, ended: Ended, watch: &Watch<'_>) -> Result<Ended, Failure> {
        if matches!(ended.ending, Ending::Exited(0)) {
            return Ok(ended);
        }
        // A listing that failed may be long, and says nothing of why.
        let stdout = ended.stdout.get(..ended.stdout.len().min(PRINTED_BYTES)).unwrap_or_default();
        Err(self.failure(&ended, &output::joined(&ended.stderr, stdout), watch.limit))
    }

    fn diagnosis(&self, ended: &Ended, text: &str, limit: &str) -> (Diagnosis, End) {
        let code = if let Ending::Exited(code) = ended.ending { code } else { 0 };
        unspoken(&ended.ending, &self.caller.program().display().to_string(), limit)
            .unwrap_or_else(|| (diagnosis::of_output(code, text, &self.instant), End::Exited(code)))
    }
}

fn fetch_arguments(fetch: &Fetch<'_>, name: &str) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if let Some(directory) = fetch.data_directory {
        let mut argument = OsString::from("--pg1-path=");
        argument.push(directory);
        arguments.push(argument);
    }
    arguments.extend(fetch.repository.map(|key| format!("--repo={key}").into()));
    arguments.extend(fetch.synchronous.then(|| "--no-archive-async".into()));
    arguments.extend(["--archive-missing-retry", "archive-get", name].map(OsString::from));
    arguments.push(fetch.to.as_os_str().to_owned());
    arguments
}
