//! One run of `pgbackrest archive-get`, and what it left beside the target.

use super::listener::{Listener, Stop};
use super::silence::Silence;
use crate::classify::redact::Redacted;
use crate::classify::{self, Class, Failure};
use crate::data_directory::{DataDirectory, Recovery};
use crate::decide::get::{self as decide, Asker, Found, Limits, Outcome, Words};
use crate::pgbackrest::call::Verbosity;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::output;
use crate::pgbackrest::prefetch::Prefetch;
use crate::pgbackrest::run::{self, Ended, Ending, Signals, Watch};
use crate::session::Session;
use crate::settings::{CommonSettings, Environment, GetSettings};
use crate::wal::{LongPageHeader, SegmentSize, WalFile};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long pgBackRest has between SIGTERM and SIGKILL: what it leaves we remove, and a promotion may wait.
const GRACE: Duration = Duration::from_millis(300);
/// How often a pause is interrupted, to see whether the caller is still there.
const SLICE: Duration = Duration::from_secs(1);

/// What a get is asked for, and under which settings.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// The settings of get.
    pub get: GetSettings,
    /// The environment, for pgBackRest.
    pub environment: Environment,
    /// The cluster, where one is known.
    pub data_directory: Option<DataDirectory>,
    /// The working directory.
    pub working_directory: PathBuf,
    /// Where the file shall be; absolute.
    pub target: PathBuf,
}

/// A get under way.
#[derive(Debug)]
pub struct Context {
    pub(super) request: Request,
    pub(super) signals: Signals,
    pub(super) session: Session,
    silence: Silence,
    /// Who asked.
    parent: Option<rustix::process::Pid>,
}

/// One attempt, ended.
pub(super) struct Attempt {
    /// What it came to.
    pub(super) outcome: Outcome,
    /// Why it failed.
    pub(super) failure: Failure,
    /// What pgBackRest printed, without secrets.
    pub(super) printed: Redacted,
}

impl Attempt {
    /// Whether it says where the file is, or that it is nowhere.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Restored | Outcome::Absent)
    }
}

impl Context {
    /// Reads pgBackRest's configuration.
    #[must_use]
    pub fn open(request: Request, signals: Signals) -> Self {
        let known = request.data_directory.as_ref().map(|directory| directory.path().to_owned());
        let directory = known.unwrap_or_else(|| request.working_directory.clone());
        let session = Session::open(&request.common, &request.environment, &directory);
        let state_dir = request.common.state_dir.as_ref().map(|folder| folder.value.as_path());
        let silence = Silence::of(state_dir, request.data_directory.as_ref());
        Self { silence, request, signals, session, parent: rustix::process::getppid() }
    }

    /// Who asks for a file, as the data directory says now.
    pub(super) fn asker(&self, file: &WalFile) -> Asker {
        let Some(directory) = &self.request.data_directory else { return Asker::Rewind };
        let silent_before = self.silence.is_noted();
        match (directory.recovery(), file) {
            (Recovery::Standby, _) => Asker::Standby {
                promotion: directory.promotion_is_asked_for() || directory.promotion_may_be_under_way(),
                silent_before,
            },
            (Recovery::OneShot, _) => Asker::Recovery,
            (Recovery::NoSignal, WalFile::History(_)) => {
                Asker::NewTimeline { kept: directory.pg_wal().join(file.to_string()).is_file(), silent_before }
            }
            (Recovery::NoSignal, _) => Asker::Rewind,
        }
    }

    /// Takes a segment that pgBackRest has fetched ahead, if it is surely the right one.
    pub(super) fn take_prefetched(&self, file: &WalFile) -> bool {
        let WalFile::Segment(segment) = file else { return false };
        if !self.request.get.fast_path.value {
            return false;
        }
        let prefetch = self.session.config.as_ref();
        let prefetch = prefetch.and_then(|config| Prefetch::of(config, &self.request.common.stanza.value));
        let control = self.request.data_directory.as_ref().and_then(DataDirectory::control);
        let size = control.and_then(|control| control.segment_size);
        match (prefetch, control, size) {
            (Some(prefetch), Some(control), Some(size)) => {
                prefetch.take(*segment, control.system_id, size, &self.request.target)
            }
            _ => false,
        }
    }

    /// Asks pgBackRest once; of what its async process calls absent, twice.
    ///
    /// Where a repository's folder of WAL can't be listed and the others lack the segment, the async process says nothing of
    /// the failure (2.45, 2.55.1, 2.60.0); a synchronous call does.
    pub(super) fn attempt(&self, file: &WalFile, asker: Asker, limits: Limits) -> Attempt {
        let first = self.ask(file, asker, limits, &[]);
        if first.outcome == Outcome::Absent && matches!(file, WalFile::Segment(_)) && self.is_vague() {
            return self.ask(file, asker, limits, &["--no-archive-async"]);
        }
        first
    }

    /// Whether an async process asks more than one repository.
    fn is_vague(&self) -> bool {
        let several = |config: &Config| config.is_on("archive-get", "archive-async") && config.repositories().len() > 1;
        self.request.get.repository.is_none() && self.session.config.as_ref().is_some_and(several)
    }

    fn ask(&self, file: &WalFile, asker: Asker, limits: Limits, options: &[&str]) -> Attempt {
        let fetched = self.beside();
        let command = self.command(file, &fetched, options);
        let mut listener = Listener::new(limits, Some(asker), self.request.data_directory.as_ref());
        let ended = self.watched(command, &mut |group| listener.check(group));
        let text = output::joined(&ended.stderr, &ended.stdout);
        let found = self.found(file, &fetched);
        let how = if self.is_orphan() { decide::Ended::Shutdown } else { how(&ended.ending) };
        let mut outcome = decide::outcome(how, words(&ended, &text, file), found);
        let shown = if self.shows_all() { text } else { output::without_info(&text) };
        let mut failure = failure(&ended.ending, &shown, found, file);
        if outcome == Outcome::Restored
            && let Err(error) = fs::rename(&fetched, &self.request.target)
        {
            outcome = decide::outcome(decide::Ended::Exited(0), Words::Nothing, Found::Nothing);
            failure = Failure::of_class(Class::Local, &format!("can't rename {}: {error}", fetched.display()));
        }
        if outcome != Outcome::Restored {
            self.remove_own();
        }
        self.note_silence(asker, outcome, &ended.ending);
        Attempt { outcome, failure, printed: self.session.redactor.redact(shown.as_bytes()) }
    }

    /// `archive-get` at level info: only there does pgBackRest say that it found nothing.
    fn command(&self, file: &WalFile, fetched: &Path, options: &[&str]) -> Command {
        let name = OsString::from(file.to_string());
        let own = [self.pg1_path(), self.repository_argument()];
        let own = own.iter().flatten().map(OsString::as_os_str).chain(options.iter().map(OsStr::new));
        let arguments = [OsStr::new("--archive-missing-retry"), OsStr::new("archive-get"), &name, fetched.as_os_str()];
        let arguments = own.chain(arguments);
        let verbosity = if self.shows_all() { Verbosity::Detail } else { Verbosity::Info };
        self.session.caller.command_saying(verbosity, arguments)
    }

    /// `--repo=N`, where one repository alone is asked.
    pub(super) fn repository_argument(&self) -> Option<OsString> {
        let repository = self.request.get.repository.as_ref()?;
        Some(format!("--repo={}", repository.value.get()).into())
    }

    /// Whether everything that pgBackRest says is shown.
    fn shows_all(&self) -> bool {
        self.request.common.log_level.value == crate::log::Level::Debug
    }

    /// A standby remembers that the repository was silent, until a call succeeds.
    fn note_silence(&self, asker: Asker, outcome: Outcome, ending: &Ending<Stop>) {
        match outcome {
            Outcome::Restored | Outcome::Absent => self.silence.forget(),
            _ if matches!((asker, ending), (Asker::Standby { .. }, Ending::Stopped(stop)) if stop.is_impatience()) => {
                self.silence.note();
            }
            _ => {}
        }
    }

    /// Another call of pgBackRest, within this limit.
    pub(super) fn call(&self, command: Command, limit: Duration) -> Ended<Stop> {
        let mut listener = Listener::new(Limits { whole: limit, silence: Duration::MAX }, None, None);
        self.watched(command, &mut |group| listener.check(group))
    }

    fn watched(&self, command: Command, check: &mut dyn FnMut(u32) -> Option<Stop>) -> Ended<Stop> {
        let mut check = |group| if self.is_orphan() { Some(Stop::Signal) } else { check(group) };
        let watch = Watch {
            check: &mut check,
            interval: INTERVAL,
            on_signal: Stop::Signal,
            keep: run::KEPT_BYTES,
            grace: GRACE,
        };
        run::run(command, Some(&self.signals), watch)
    }

    /// Waits, at most `longest`. True when we were told to end, or the caller is gone: a file that is put in place later
    /// could meet another server that asked for another one.
    pub(super) fn must_end(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.signals.wait(left.min(SLICE)) || self.is_orphan() {
                return true;
            }
            if left <= SLICE {
                return false;
            }
        }
    }

    fn is_orphan(&self) -> bool {
        rustix::process::getppid() != self.parent
    }

    /// Removes what this process's pgBackRest has left beside the target.
    fn remove_own(&self) {
        let own = beside(&self.request.target, std::process::id());
        let own = own.to_string_lossy();
        let is_own = |path: &Path| {
            let name = path.to_string_lossy();
            name.strip_prefix(&*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let entries = self.request.target.parent().and_then(|folder| fs::read_dir(folder).ok());
        for left in entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| is_own(path)) {
            let _ = fs::remove_file(left);
        }
    }

    /// The path beside the target under which the file is fetched; what killed gets left there is removed.
    ///
    /// Each process has its own: the pgBackRest of a killed get may still be writing when the next get begins.
    fn beside(&self) -> PathBuf {
        let target = &self.request.target;
        let prefix = beside(target, 0).to_string_lossy().trim_end_matches('0').to_owned();
        let entries = target.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        for left in entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().starts_with(&prefix)) {
            let _ = fs::remove_file(left);
        }
        beside(target, std::process::id())
    }

    /// `--pg1-path`, where pgBackRest's configuration names another data directory than the one that recovers, as after
    /// a restore to another place; pgBackRest reads `pg_control` there to find the cluster's archive (get.c).
    fn pg1_path(&self) -> Option<OsString> {
        let config = self.session.config.as_ref()?;
        let own = self.request.data_directory.as_ref()?.path();
        let configured = config.option("archive-get", "pg1-path").map(Path::new);
        let same = configured.is_some_and(|path| path == own || path.canonicalize().ok() == own.canonicalize().ok());
        (!same).then(|| {
            let mut argument = OsString::from("--pg1-path=");
            argument.push(own);
            argument
        })
    }

    /// What lies where pgBackRest put the file.
    fn found(&self, file: &WalFile, path: &Path) -> Found {
        let Ok(length) = path.metadata().map(|metadata| metadata.len()) else { return Found::Nothing };
        let whole = match file {
            WalFile::Segment(_) => self.segment_size(path, length).is_some_and(|size| size.bytes() == length),
            WalFile::Partial(_) | WalFile::Backup(..) | WalFile::History(_) => length > 0,
        };
        if whole { Found::Whole } else { Found::NotWhole }
    }

    /// The size that a segment must have: the cluster's, else what its first page says, else any legal one.
    fn segment_size(&self, path: &Path, length: u64) -> Option<SegmentSize> {
        let control = self.request.data_directory.as_ref().and_then(DataDirectory::control);
        let by_page = || {
            let mut first = [0; LongPageHeader::BYTES];
            File::open(path).and_then(|mut file| file.read_exact(&mut first)).ok()?;
            LongPageHeader::parse(&first).ok().map(|header| header.segment_size)
        };
        control.and_then(|control| control.segment_size).or_else(by_page).or_else(|| length.try_into().ok())
    }
}

/// What stands between the target's name and our process id in the name under which a file is fetched.
const BESIDE: &str = ".pgbackrest-guard.";

fn beside(target: &Path, process: u32) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!("{BESIDE}{process}"));
    target.with_file_name(name)
}

fn words(ended: &Ended<Stop>, text: &str, file: &WalFile) -> Words {
    if output::warns_of_repository(text) {
        Words::RepositoryFailed
    } else if !ended.cut && output::says_absent(text, &file.to_string()) {
        // Nothing follows from an answer that was cut off.
        Words::Absent
    } else {
        Words::Nothing
    }
}

fn how(ending: &Ending<Stop>) -> decide::Ended {
    match ending {
        Ending::Exited(code) => decide::Ended::Exited(*code),
        Ending::Signaled(_) => decide::Ended::Signaled,
        Ending::Stopped(Stop::TimeLimit | Stop::Silence | Stop::Promotion) => decide::Ended::TimeLimit,
        Ending::Stopped(Stop::Signal) => decide::Ended::Shutdown,
        Ending::NotStarted(_) => decide::Ended::NotStarted,
    }
}

fn failure(ending: &Ending<Stop>, text: &str, found: Found, file: &WalFile) -> Failure {
    match ending {
        Ending::Exited(1) if text.trim().is_empty() => {
            let text = format!("pgBackRest exited with 1 and did not say that it can't find {file}; is it a wrapper?");
            Failure::of_class(Class::Unknown, &text)
        }
        Ending::Exited(0) if found == Found::NotWhole => {
            Failure::of_class(Class::Mismatch, "pgBackRest succeeded, and the file is not whole")
        }
        Ending::Exited(0) => Failure::of_class(Class::Unknown, "pgBackRest succeeded, and the file is not there"),
        Ending::Exited(code) => {
            let mut failure = classify::of_output(*code, text, &classify::codes::InstantDropCodes::default());
            if failure.text.is_empty() {
                failure.text = format!("pgBackRest exited with {code} and said nothing");
            }
            failure
        }
        Ending::Signaled(signal) => {
            Failure::of_class(Class::Local, &format!("pgBackRest was ended by signal {signal}"))
        }
        Ending::Stopped(Stop::TimeLimit) => {
            Failure::of_class(Class::Unavailable, "pgBackRest took longer than WAL_GET_TIMEOUT_SECONDS allows")
        }
        Ending::Stopped(Stop::Silence) => {
            Failure::of_class(Class::Unavailable, "pgBackRest heard nothing from the repository")
        }
        Ending::Stopped(Stop::Promotion) => {
            Failure::of_class(Class::Unavailable, "pgBackRest took longer than a promotion waits")
        }
        Ending::Stopped(Stop::Signal) => Failure::of_class(Class::Local, "asked to end"),
        Ending::NotStarted(error) => {
            Failure::of_class(Class::Unknown, &format!("pgBackRest can't be started: {error}"))
        }
    }
}
