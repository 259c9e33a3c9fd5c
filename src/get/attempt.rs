//! One run of `pgbackrest archive-get`, and what it left beside the target.

use crate::classify::redact::Redacted;
use crate::classify::{self, Class, Failure};
use crate::data_directory::{DataDirectory, Recovery};
use crate::decide::get::{self as decide, Found, Outcome};
use crate::pgbackrest::output;
use crate::pgbackrest::prefetch::Prefetch;
use crate::pgbackrest::run::{self, Ending, Signals, Watch};
use crate::session::Session;
use crate::settings::{CommonSettings, Environment, GetSettings};
use crate::wal::{LongPageHeader, SegmentSize, WalFile};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
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

#[derive(Debug, Clone, Copy)]
enum Stop {
    TimeLimit,
    Signal,
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
        Self { request, signals, session, parent: rustix::process::getppid() }
    }

    /// Which kind of recovery the signal files ask for, now.
    pub(super) fn recovery(&self) -> Recovery {
        self.request.data_directory.as_ref().map_or(Recovery::OneShot, DataDirectory::recovery)
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

    /// Asks pgBackRest once.
    pub(super) fn attempt(&self, file: &WalFile, most: Duration) -> Attempt {
        let fetched = self.beside();
        let limit = self.request.get.timeout.value.duration().min(most);
        let started = Instant::now();
        let mut check = |_| {
            let late = (started.elapsed() >= limit).then_some(Stop::TimeLimit);
            if self.is_orphan() { Some(Stop::Signal) } else { late }
        };
        let watch =
            Watch { check: &mut check, interval: INTERVAL.min(limit), on_signal: Stop::Signal, keep: run::KEPT_BYTES };
        let name = OsString::from(file.to_string());
        let arguments = [OsStr::new("--archive-missing-retry"), OsStr::new("archive-get"), &name, fetched.as_os_str()];
        let pg1_path = self.pg1_path();
        let arguments = pg1_path.iter().map(OsString::as_os_str).chain(arguments);
        let command = self.session.caller.command(arguments);
        let ended = run::run(command, Some(&self.signals), watch);
        let text = output::joined(&ended.stderr, &ended.stdout);
        let found = self.found(file, &fetched);
        // Nothing clean follows from an answer that was cut off.
        let unclean = ended.cut || output::warns_of_repository(&text);
        let ended_how = if self.is_orphan() { decide::Ended::Told } else { how(&ended.ending) };
        let mut outcome = decide::outcome(ended_how, unclean, found);
        let mut failure = failure(&ended.ending, &text, found);
        if outcome == Outcome::Restored
            && let Err(error) = fs::rename(&fetched, &self.request.target)
        {
            outcome = decide::outcome(decide::Ended::Exited(0), false, Found::Nothing);
            failure = Failure::of_class(Class::Local, &format!("can't rename {}: {error}", fetched.display()));
        }
        if outcome != Outcome::Restored {
            self.remove_own();
        }
        Attempt { outcome, failure, printed: self.session.redactor.redact(text.as_bytes()) }
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

fn how(ending: &Ending<Stop>) -> decide::Ended {
    match ending {
        Ending::Exited(code) => decide::Ended::Exited(*code),
        Ending::Signaled(_) => decide::Ended::Signaled,
        Ending::Stopped(Stop::TimeLimit) => decide::Ended::TimeLimit,
        Ending::Stopped(Stop::Signal) => decide::Ended::Told,
        Ending::NotStarted(_) => decide::Ended::NotStarted,
    }
}

fn failure(ending: &Ending<Stop>, text: &str, found: Found) -> Failure {
    match ending {
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
        Ending::Stopped(Stop::Signal) => Failure::of_class(Class::Local, "told to end"),
        Ending::NotStarted(error) => {
            Failure::of_class(Class::Unknown, &format!("pgBackRest can't be started: {error}"))
        }
    }
}
