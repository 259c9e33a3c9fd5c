//! One run of `pgbackrest archive-get`, and what it left beside the target.

use super::listener::{Caller, Listener};
use super::silence::Silence;
use crate::data_directory::{Change, DataDirectory, Recovery};
use crate::decide::get::{self as decide, Asker, Before, Found, Limits, Outcome, Promotion, Words};
use crate::pgbackrest::config::Config;
use crate::pgbackrest::failure::redact::Redacted;
use crate::pgbackrest::prefetch::Prefetch;
use crate::pgbackrest::{Class, Client, End, Failure, Fetch, Fetched, Interruption, Spoken, Watch};
use crate::settings::{CommonSettings, Environment, GetSettings};
use crate::signals::Signals;
use crate::wal::{LongPageHeader, SegmentSize, WalFile};
use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
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
    pub(super) client: Client,
    silence: Silence,
    /// Who asked.
    parent: Option<rustix::process::Pid>,
}

/// One attempt, ended.
pub(super) struct Attempt {
    /// What it came to.
    pub(super) outcome: Outcome,
    /// Why it failed, if it did.
    pub(super) failure: Option<Failure>,
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
        let client = request.common.client(&request.environment, &directory);
        let state_dir = request.common.state_dir.as_ref().map(|folder| folder.value.as_path());
        let silence = Silence::of(state_dir, request.data_directory.as_ref());
        Self { silence, request, signals, client, parent: rustix::process::getppid() }
    }

    /// Who asks for a file, as the data directory says now.
    pub(super) fn asker(&self, file: &WalFile) -> Asker {
        let Some(directory) = &self.request.data_directory else {
            // A history may be the new timeline's of a server that nobody can look at: never 254.
            let is_history = matches!(file, WalFile::History(_));
            let new_timeline = Asker::NewTimeline { kept: false, silent_before: Before::Heard };
            return if is_history { new_timeline } else { Asker::Rewind };
        };
        let silent_before = self.silence.before();
        match (directory.recovery(), file) {
            (Recovery::Standby, _) => Asker::Standby { promotion: promotion(directory), silent_before },
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
        let prefetch = self.prefetch();
        let control = self.request.data_directory.as_ref().and_then(DataDirectory::control);
        let size = control.and_then(|control| control.segment_size);
        match (prefetch, control, size) {
            (Some(prefetch), Some(control), Some(size)) => {
                prefetch.take(*segment, control.system_id, size, &self.request.target)
            }
            _ => false,
        }
    }

    /// The folder of what an async process fetches, where that is on.
    fn prefetch(&self) -> Option<Prefetch> {
        self.client.config().and_then(|config| Prefetch::of(config, &self.request.common.stanza.value))
    }

    /// Asks pgBackRest once; of what its async process calls absent, twice.
    ///
    /// Where a repository's folder of WAL can't be listed and the others lack the segment, the async process says nothing of
    /// the failure (2.45, 2.55.1, 2.60.0); a synchronous call does.
    pub(super) fn attempt(&self, file: &WalFile, asker: Asker, limits: Limits) -> Attempt {
        let began = Instant::now();
        let first = self.ask(file, asker, limits, began, false);
        if first.outcome == Outcome::Absent && matches!(file, WalFile::Segment(_)) && self.is_vague() {
            // A recovery has the time for both; who is waited for has one for both.
            let alone = matches!(asker, Asker::Recovery | Asker::Rewind);
            return self.ask(file, asker, limits, if alone { Instant::now() } else { began }, true);
        }
        first
    }

    /// Whether an async process asks more than one repository.
    fn is_vague(&self) -> bool {
        let several = |config: &Config| config.is_on("archive-get", "archive-async") && config.repositories().len() > 1;
        self.request.get.repository.is_none() && self.client.config().is_some_and(several)
    }

    fn ask(&self, file: &WalFile, asker: Asker, limits: Limits, began: Instant, synchronous: bool) -> Attempt {
        let to = self.beside();
        let data_directory = self.foreign_data_directory();
        let fetch = Fetch {
            file,
            to: &to,
            data_directory: data_directory.as_deref(),
            repository: self.repository(),
            synchronous,
            verbose: self.request.common.log_level.value == crate::log::Level::Debug,
        };
        let heard = Cell::new(false);
        let prefetch = if synchronous { None } else { self.prefetch() };
        let caller = Caller { asker, directory: self.request.data_directory.as_ref(), prefetch, began };
        let listener = Listener::new(limits, caller, &heard);
        let started = Instant::now();
        let Spoken { printed, answer } = self.client.fetch(&fetch, self.watch(listener));
        let took = started.elapsed();
        let found = self.found(file, &to);
        let mut attempt = self.judge(answer, printed, found);
        if attempt.outcome == Outcome::Restored
            && let Err(error) = fs::rename(&to, &self.request.target)
        {
            attempt.outcome = decide::outcome(decide::Ended::Exited(0), Words::Nothing, Found::Nothing);
            attempt.failure = Some(self.client.local_failure(&format!("can't rename {}: {error}", to.display()), 0));
        }
        if attempt.outcome != Outcome::Restored {
            self.remove_own();
        }
        self.note_silence(asker, &attempt, took, heard.get());
        attempt
    }

    fn judge(&self, answer: Fetched, printed: Redacted, found: Found) -> Attempt {
        let (ended, words, failure) = match answer {
            Fetched::Delivered => (decide::Ended::Exited(0), Words::Nothing, self.not_whole(found)),
            Fetched::Absent => (decide::Ended::Exited(1), Words::Absent, None),
            Fetched::Unclear { failure, repository_failed } => {
                let words = if repository_failed { Words::RepositoryFailed } else { Words::Nothing };
                (ended(failure.end()), words, Some(failure))
            }
        };
        let ended = if self.is_orphan() { decide::Ended::Shutdown } else { ended };
        Attempt { outcome: decide::outcome(ended, words, found), failure, printed }
    }

    /// What is wrong with a success, if something is.
    fn not_whole(&self, found: Found) -> Option<Failure> {
        match found {
            Found::Whole => None,
            Found::NotWhole => Some(self.client.local_failure("pgBackRest succeeded, and the file is not whole", 0)),
            Found::Nothing => Some(self.client.local_failure("pgBackRest succeeded, and the file is not there", 0)),
        }
    }

    /// The one repository that is asked, if a person said so.
    pub(super) fn repository(&self) -> Option<u32> {
        self.request.get.repository.as_ref().map(|repository| repository.value.get())
    }

    /// A standby remembers that the repository was silent, until a call succeeds; also where pgBackRest itself lost patience.
    /// What did come in slowly, and what was given no time but a promotion's, is no silent repository.
    fn note_silence(&self, asker: Asker, attempt: &Attempt, took: Duration, heard: bool) {
        if attempt.is_answered() {
            return self.silence.forget();
        }
        let Asker::Standby { promotion, .. } = asker else { return };
        let silent = match attempt.failure.as_ref() {
            Some(failure) => match failure.end() {
                End::Interrupted(Interruption::Silence) => true,
                End::Interrupted(Interruption::Promotion | Interruption::TimeLimit) => !heard,
                End::Interrupted(_) => false,
                _ => !heard && took >= decide::SILENCE_AGAIN && failure.class() == Class::Unavailable,
            },
            None => false,
        };
        if silent {
            let interrupted =
                attempt.failure.as_ref().map(Failure::end) == Some(End::Interrupted(Interruption::Promotion));
            self.silence.note(interrupted || promotion != Promotion::Unlikely);
        }
    }

    fn watch<'w>(&'w self, mut listener: Listener<'w>) -> Watch<'w> {
        let check = move |group| if self.is_orphan() { Some(Interruption::Signal) } else { listener.check(group) };
        Watch::by(check)
            .every(INTERVAL)
            .with_grace(GRACE)
            .and_signals(&self.signals)
            .limited_by("WAL_GET_TIMEOUT_SECONDS")
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

    /// The data directory that recovers, where pgBackRest's configuration names another one, as after a restore to another
    /// place; pgBackRest reads `pg_control` there to find the cluster's archive (get.c).
    fn foreign_data_directory(&self) -> Option<PathBuf> {
        let own = self.request.data_directory.as_ref()?.path();
        let configured = self.client.config()?.option("archive-get", "pg1-path").map(Path::new);
        let same = configured.is_some_and(|path| path == own || path.canonicalize().ok() == own.canonicalize().ok());
        (!same).then(|| own.to_owned())
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
        let by_page = || Some(LongPageHeader::of_file(&File::open(path).ok()?)?.segment_size);
        control.and_then(|control| control.segment_size).or_else(by_page).or_else(|| length.try_into().ok())
    }
}

/// Whether a promotion waits, as the data directory says now.
fn promotion(directory: &DataDirectory) -> Promotion {
    if directory.promotion_is_asked_for() {
        return Promotion::Waits;
    }
    match directory.change() {
        Change::Nothing => Promotion::Unlikely,
        Change::Made => Promotion::Possible,
        Change::Removed => Promotion::Waits,
    }
}

/// What stands between the target's name and our process id in the name under which a file is fetched.
const BESIDE: &str = ".pgbackrest-guard.";

fn beside(target: &Path, process: u32) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!("{BESIDE}{process}"));
    target.with_file_name(name)
}

fn ended(end: End) -> decide::Ended {
    match end {
        End::Exited(code) => decide::Ended::Exited(code),
        End::Signaled(_) => decide::Ended::Signaled,
        End::Interrupted(Interruption::Signal) => decide::Ended::Shutdown,
        End::Interrupted(_) => decide::Ended::TimeLimit,
        End::NotStarted => decide::Ended::NotStarted,
    }
}
