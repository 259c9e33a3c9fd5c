//! What one push works with: its settings, the cluster, pgBackRest and the ledger.

use super::book::{self, Book};
use crate::data_directory::DataDirectory;
use crate::decide::pressure::{Space, is_held_up, remembered_for};
use crate::decide::push::{Answer, Facts, is_under_reserve, space_left};
use crate::epoch;
use crate::ledger::moment::Moment;
use crate::ledger::state::{LastFailure, State};
use crate::ledger::{Event, Ledger, LedgerError};
use crate::log;
use crate::pgbackrest::Class;
use crate::pgbackrest::Client;
use crate::pgbackrest::config::Config;
use crate::settings::{CommonSettings, DropMeasure, Environment, PushSettings};
use crate::signals::Signals;
use crate::space::{self, Backlog, Limits, Volume};
use crate::wal::{LongPageHeader, SegmentSize, WalFile};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a push is asked for, and under which settings.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// The settings of push.
    pub push: PushSettings,
    /// The environment, for pgBackRest.
    pub environment: Environment,
    /// The cluster.
    pub data_directory: DataDirectory,
    /// The file's path, as PostgreSQL gave it: relative to the data directory, or absolute.
    pub wal_path: PathBuf,
}

/// A push under way.
pub struct Context {
    pub(super) request: Request,
    pub(super) started: Instant,
    pub(super) client: Client,
    pub(super) signals: Signals,
    pub(super) state: State,
    ledger: Option<Book>,
}

impl Context {
    /// Reads pgBackRest's configuration and opens the ledger. What can't be had is said, and done without.
    #[must_use]
    pub fn open(request: Request, signals: Signals) -> Self {
        let started = Instant::now();
        let client = request.common.client(&request.environment, request.data_directory.path());
        let client = client.with_instant_drop(request.push.instant_drop.value.clone());
        let (ledger, state) = open_or_do_without(&request);
        Self { request, started, client, signals, state, ledger }
    }

    /// Why archiving is switched off, if it is.
    pub(super) fn archiving_off(&self) -> Option<String> {
        if self.request.common.archiving_off {
            return Some("WAL_ARCHIVE_BUCKET is empty".to_owned());
        }
        let reason = self.request.data_directory.invalid_bucket()?;
        Some(format!("the bucket's settings were refused ({}), see .pgbackrest_invalid_bucket", reason.escape_debug()))
    }

    /// Whether pgBackRest's spool already shows the file as stored, and that may be relied on.
    pub(super) fn is_stored_by_the_spool(&self, file: &WalFile) -> bool {
        let archive_status = self.request.data_directory.archive_status();
        self.request.push.fast_path.value && self.client.has_stored(&file.to_string(), &archive_status)
    }

    /// Changes the ledger durably; says so when it can't be done.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut State)) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        match ledger.update(change) {
            Ok(state) => {
                self.state = state;
                true
            }
            Err(error) => {
                tracing::error!("{}; this push is not counted", log::chain(&error));
                false
            }
        }
    }

    /// Copies a small file into `folder`, which lies in the state directory. What is another cluster's there makes room; without a
    /// ledger nobody knows whose it is.
    pub(super) fn keep(&mut self, from: &Path, folder: &Path, name: &str) -> io::Result<()> {
        self.make_room(name)?;
        match &self.ledger {
            Some(ledger) => ledger.keep(from, folder, name),
            None => book::keep_without(&self.request.data_directory, from, folder, name),
        }
    }

    /// Has another cluster's deferred file make room for ours of the same name.
    fn make_room(&mut self, name: &str) -> io::Result<()> {
        if let Some(ledger) = self.ledger.as_ref().filter(|_| self.state.foreign_deferred.contains(name)) {
            self.state = ledger.make_room(name).map_err(|error| io::Error::other(log::chain(&error)))?;
        }
        Ok(())
    }

    /// Everything the decision needs, measured now.
    pub(super) fn facts(&self, class: Class, ended_for_shutdown: bool, slow: bool) -> Facts {
        let pg_wal = self.request.data_directory.pg_wal();
        let volume = Volume::of(&pg_wal);
        let limits = self.limits(volume);
        let now = Moment::now();
        Facts {
            class,
            ended_for_shutdown,
            holds_up_a_stop: is_held_up(self.stopping_for()),
            backlog: self.backlog(&pg_wal),
            threshold: limits.threshold,
            drop_after: self.request.push.drop_after.value.get(),
            failing_for: lasted(self.state.push.failing_from.as_ref(), &now),
            free: volume.free,
            recyclable: if is_under_reserve(volume.free, limits.reserve) { space::recyclable(&pg_wal) } else { 0 },
            reserve: limits.reserve,
            slow,
            answer: Answer::New,
            instant_drop_after: self.request.push.instant_drop_after.value.get(),
            gone_for: lasted(self.state.push.gone_from.as_ref(), &now),
        }
    }

    /// How much space is left, and whether giving WAL up would help.
    pub(super) fn space(&self) -> Space {
        let pg_wal = self.request.data_directory.pg_wal();
        let volume = Volume::of(&pg_wal);
        let reserve = self.limits(volume).reserve;
        if !is_under_reserve(volume.free, reserve) {
            return Space::Enough;
        }
        let recyclable = space::recyclable(&pg_wal);
        let backlog = self.measure(&pg_wal).ok().map(|backlog| backlog.bytes);
        space_left(backlog, volume.free, recyclable, reserve)
    }

    /// The failure of a push before, where space is short and it says what this one would come to.
    pub(super) fn remembered(&self, file: &WalFile) -> Option<LastFailure> {
        let last = self.state.push.last_failure.as_ref()?;
        let (at, took) = self.state.push.failed_at.as_ref().filter(|_| self.state.push.consecutive_failures > 0)?;
        let is_fresh = at.age(&Moment::now()) <= remembered_for(*took, last.class);
        let is_short = is_fresh && self.space() != Space::Enough;
        is_short.then(|| LastFailure { file: file.to_string(), at: self.now(), ..last.clone() })
    }

    /// The limits on a volume.
    pub(super) fn limits(&self, volume: Volume) -> Limits {
        let push = &self.request.push;
        let value = |setting: &Option<crate::settings::Setting<_>>| setting.as_ref().map(|setting| setting.value);
        let segment = self.request.data_directory.control().and_then(|control| control.segment_size);
        let segment = segment.or_else(|| self.segment_size(&self.file_path()));
        Limits::new(value(&push.drop_threshold), value(&push.free_reserve), volume, segment)
    }

    /// The WAL that waits, by the measure that is set.
    pub(super) fn measure(&self, pg_wal: &Path) -> io::Result<Backlog> {
        match self.request.push.drop_measure.value {
            DropMeasure::Backlog => space::backlog(pg_wal),
            DropMeasure::PgWal => space::everything(pg_wal).map(|bytes| Backlog { files: None, bytes }),
        }
    }

    fn backlog(&self, pg_wal: &Path) -> Option<u64> {
        let measured = self.measure(pg_wal);
        if let Err(error) = &measured {
            tracing::warn!(
                "can't measure the WAL in {}: {error}; the backlog is unknown, and nothing is dropped because of it",
                pg_wal.display()
            );
        }
        measured.ok().map(|backlog| backlog.bytes)
    }

    /// How long a push may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.request.push.timeout.value.duration()
    }

    /// How long the first call may take: with several repositories time is left to ask each by itself.
    pub(super) fn first_limit(&self) -> Duration {
        if self.repositories().len() > 1 { self.time_limit() / 2 } else { self.time_limit() }
    }

    /// The numbers of the configured repositories; none where the configuration can't be read.
    pub(super) fn repositories(&self) -> Vec<u32> {
        self.client.config().map(Config::repositories).unwrap_or_default()
    }

    /// For how long the server has been stopping, if it is.
    fn stopping_for(&self) -> Option<Duration> {
        self.request.data_directory.stopping_since()?.elapsed().ok()
    }

    /// Whether the server is stopping.
    pub(super) fn is_stopping(&self) -> bool {
        self.request.data_directory.stopping_since().is_some()
    }

    /// The pushed file's whole path.
    pub(super) fn file_path(&self) -> PathBuf {
        self.request.data_directory.path().join(&self.request.wal_path)
    }

    /// The cluster's segment size: what the file's first page says, else its length, else what was seen before.
    pub(super) fn segment_size(&self, path: &Path) -> Option<SegmentSize> {
        let by_page = File::open(path).ok().and_then(|file| Some(LongPageHeader::of_file(&file)?.segment_size));
        let by_length = || path.metadata().ok().and_then(|file| SegmentSize::try_from(file.len()).ok());
        by_page.or(self.state.segment_size).or_else(by_length)
    }

    /// Seconds since 1970.
    #[expect(clippy::unused_self, reason = "the clock belongs to the context")]
    pub(super) fn now(&self) -> i64 {
        epoch::now()
    }
}

/// For how many seconds something has lasted that began at `from`.
fn lasted(from: Option<&Moment>, now: &Moment) -> u64 {
    from.map_or(0, |from| from.age(now))
}

fn open_or_do_without(request: &Request) -> (Option<Book>, State) {
    match open_book(&request.common, &request.data_directory) {
        Ok((ledger, state)) => (Some(ledger), state),
        Err(error) => {
            say_without_ledger(&error);
            (None, State::default())
        }
    }
}

/// Opens the ledger of a cluster, and says what happened to it.
///
/// # Errors
/// When it can't be made or read.
pub fn open_ledger(common: &CommonSettings, data_directory: &DataDirectory) -> Result<Ledger, LedgerError> {
    let (folder, identity, place) = book::whose(common, data_directory);
    let (ledger, state, events) = Ledger::open(&folder, identity, place, epoch::now())?;
    for event in &events {
        tell(event, data_directory);
    }
    if !state.kept_files.is_empty() {
        unload(state, |state| ledger.unload(state));
    }
    Ok(ledger)
}

fn open_book(common: &CommonSettings, data_directory: &DataDirectory) -> Result<(Book, State), LedgerError> {
    let (book, mut state, events) = Book::open(common, data_directory)?;
    for event in &events {
        tell(event, data_directory);
    }
    if !state.kept_files.is_empty() {
        state = unload(state, |state| book.unload(state));
    }
    Ok((book, state))
}

/// Has the ledger give away the files that it keeps, if there is room for them by now.
fn unload(state: State, unload: impl FnOnce(&State) -> Result<(State, Vec<String>), LedgerError>) -> State {
    match unload(&state) {
        Ok((state, names)) => {
            tracing::info!("{} is in the folder of deferred files now, no longer in the ledger", names.join(", "));
            state
        }
        Err(error) => {
            tracing::debug!("{}", log::chain(&error));
            state
        }
    }
}

fn say_without_ledger(error: &LedgerError) {
    tracing::error!(
        "{}; nothing can be recorded, so nothing is dropped unless the disk runs full: fix this first",
        log::chain(error)
    );
}

/// Says what happened to the ledger. Where losses may be forgotten, the marker sees to it that a backup is taken.
fn tell(event: &Event, data_directory: &DataDirectory) {
    match event {
        Event::Repaired { path } => tracing::warn!(
            "the ledger {} was damaged: its newest whole record is used, at most the last change is missing",
            path.display()
        ),
        Event::Unreadable { aside } => {
            tracing::error!(
                "the ledger could not be read and was set aside as {}: earlier losses are unknown, take a full backup",
                aside.display()
            );
            let text = format!("{}: the ledger was unreadable, losses before are unknown\n", jiff::Timestamp::now());
            let _ = crate::durable::write_marker(&data_directory.gap_marker(), &text);
        }
        Event::Foreign { aside } => tracing::warn!(
            "the ledger is another cluster's (its system identifier is not this one's): it is kept as {}",
            aside.display()
        ),
        Event::TakenBack { aside } => {
            tracing::warn!("this cluster's own ledger is in use again: it was kept as {}", aside.display());
        }
        Event::Removed { aside, system_id, open, deferred } => tell_removed(aside, *system_id, *open, *deferred),
    }
}

/// Says which ledger of another cluster is no longer kept.
fn tell_removed(aside: &Path, system_id: Option<u64>, open: usize, deferred: usize) {
    let whose = system_id.map_or_else(|| "an unreadable ledger".to_owned(), |id| format!("the ledger of cluster {id}"));
    let removed = format!("{} was removed, {whose}: at most three are kept aside", aside.display());
    if open == 0 && deferred == 0 {
        tracing::warn!("{removed}; it had no open gap");
    } else {
        tracing::error!(
            "{removed}; its {open} open gaps and {deferred} deferred files are forgotten, take a full backup of that \
             cluster"
        );
    }
}
