//! `pgbackrest-guard watch`: base backups, a catalog that is checked, gaps healed or sealed.
//!
//! A loop of observe, decide ([`crate::decide::watch`]), act. A backup runs beside it on a thread of its own. Only a
//! primary acts: on every other node the watcher waits, and takes over within one poll after a promotion. It says what
//! changes, not what it sees on every poll.

mod ask;
mod backup;
mod catalog;
mod holes;
mod lookup;
mod marker;
mod memory;
mod metrics;
mod poll;
mod proof;
mod repair;
mod space;
mod state_file;
mod wedge;

use crate::data_directory::DataDirectory;
use crate::decide::watch::{Failures, Memory, Schedule};
use crate::decide::wedge::Wedge;
use crate::exit::Exit;
use crate::ledger::state::Place;
use crate::ledger::{Ledger, LedgerError};
use crate::pgbackrest::Client;
use crate::postgres::Postgres;
use crate::push;
use crate::settings::{CommonSettings, Environment, WatchSettings};
use crate::signals::Signals;
use crate::wal::SegmentName;
use backup::Backup;
use state_file::StateFile;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// While a backup runs, its end is looked for this often.
const BACKUP_CHECK: Duration = Duration::from_secs(1);
/// How often systemd hears that the watcher lives.
const WATCHDOG_CHECK: Duration = Duration::from_secs(10);

/// What a watcher is asked for, and under which settings.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// The settings of watch.
    pub watch: WatchSettings,
    /// The environment, for pgBackRest.
    pub environment: Environment,
    /// The cluster.
    pub data_directory: DataDirectory,
    /// One poll, then the end; a backup that it begins is waited for.
    pub once: bool,
}

/// A watcher at work.
pub struct Watcher {
    request: Request,
    signals: Signals,
    client: Arc<Client>,
    server: Postgres,
    /// Opened when a primary answers: nothing is made in a data directory before.
    ledger: Option<Ledger>,
    memory: Memory,
    backup: Option<Backup>,
    /// The cluster that the primary says it is.
    system_id: Option<u64>,
    /// PostgreSQL's failures as of this poll.
    failures: Failures,
    /// Those of them in spite of which nothing is missing.
    proven: Failures,
    /// Whether we were told to end.
    told: bool,
    /// The last line on each subject, to say it only when it changes.
    said: BTreeMap<&'static str, String>,
    /// Up to which segment the listing has been walked.
    walked: Option<SegmentName>,
    /// The segments in which the newest commit was looked for.
    noted: BTreeSet<SegmentName>,
    wedge: Wedge,
    started: Instant,
    heal_failures: BTreeMap<String, u32>,
    unhealable: BTreeSet<String>,
    /// Stamps that could not be written: they count all the same, and are written as soon as that is possible.
    unwritten: BTreeMap<&'static str, Option<i64>>,
    /// When leftovers of killed programs were last looked for.
    swept: Option<Instant>,
}

impl Watcher {
    /// A watcher that has touched nothing yet.
    #[must_use]
    pub fn new(request: Request, signals: Signals) -> Self {
        let client = request.common.client(&request.environment, request.data_directory.path());
        Self {
            server: Postgres::of(&request.data_directory, &request.watch.connection),
            client: Arc::new(client),
            request,
            signals,
            ledger: None,
            memory: Memory::default(),
            backup: None,
            system_id: None,
            failures: Failures::default(),
            proven: Failures::default(),
            told: false,
            said: BTreeMap::new(),
            walked: None,
            noted: BTreeSet::new(),
            wedge: Wedge::default(),
            started: Instant::now(),
            heal_failures: BTreeMap::new(),
            unhealable: BTreeSet::new(),
            unwritten: BTreeMap::new(),
            swept: None,
        }
    }

    /// Watches until told to end; with `once` for one poll.
    #[must_use]
    pub fn run(mut self) -> Exit {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            self.server.look_again(&self.request.data_directory, &self.request.watch.connection);
            self.poll();
            if self.request.once && self.backup.is_none() || self.told || self.wait() {
                break;
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        // A backup that runs ends here, with its workers.
        self.backup = None;
        tracing::info!("the watcher ends");
        Exit::Success
    }

    /// Waits for the next poll, and looks after the backup meanwhile. True when told to end.
    fn wait(&mut self) -> bool {
        let interval =
            if self.memory.last_full_at.is_some() { self.request.watch.poll } else { self.request.watch.initial_poll };
        // A poll without a pause would be a busy loop.
        let until = Instant::now() + interval.duration().max(BACKUP_CHECK);
        let longest = if self.backup.is_some() { BACKUP_CHECK } else { WATCHDOG_CHECK };
        loop {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            let left = until.saturating_duration_since(Instant::now());
            let slice = if self.request.once { longest } else { longest.min(left) };
            if self.signals.wait(slice) {
                return true;
            }
            let ended = self.backup.is_some() && self.backup_ended();
            if ended && self.request.once {
                self.write_metrics(true);
                return true;
            }
            if left <= slice && !self.request.once {
                return false;
            }
        }
    }

    /// Reads pgBackRest's configuration and opens the ledger anew: both may have become another's since the last poll.
    ///
    /// # Errors
    /// When there is no ledger to be had: without it no gap is known.
    fn open_files(&mut self) -> Result<(), LedgerError> {
        let request = &self.request;
        let client = request.common.client(&request.environment, request.data_directory.path());
        self.ledger = Some(push::open_ledger(&request.common, &request.data_directory)?);
        self.client = Arc::new(client);
        Ok(())
    }

    /// The node and the repositories that this poll works with.
    fn place(&self) -> Place {
        let control = self.request.data_directory.control();
        Place { control_inode: control.map(|control| control.inode), repositories: self.client.identities() }
    }

    fn schedule(&self) -> Schedule {
        let watch = &self.request.watch;
        Schedule {
            full: watch.intervals.full.get(),
            diff: watch.intervals.diff.get(),
            verify: watch.verify.get(),
            grace: watch.grace.get(),
            backoff: watch.backoff.map(crate::settings::Seconds::get),
            gap_diff: watch.gap_backup == crate::settings::GapBackup::Diff,
            heartbeat: watch.heartbeat,
        }
    }

    /// Says a line when it is another than the last one on its subject.
    fn say(&mut self, subject: &'static str, line: String) {
        if let Some(line) = self.news(subject, line) {
            tracing::info!("{line}");
        }
    }

    /// The same for what is not as it should be.
    fn warn(&mut self, subject: &'static str, line: String) {
        if let Some(line) = self.news(subject, line) {
            tracing::warn!("{line}");
        }
    }

    /// The line, if it is another than the last one on its subject. systemd shows it too.
    fn news(&mut self, subject: &'static str, line: String) -> Option<String> {
        if self.said.get(subject) == Some(&line) {
            return None;
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&line)]);
        self.said.insert(subject, line.clone());
        Some(line)
    }

    /// Whether we were told to end. Looks at our signals.
    fn is_told(&mut self) -> bool {
        self.told = self.told || self.signals.wait(Duration::ZERO);
        self.told
    }

    fn state_file(&self) -> std::io::Result<StateFile> {
        StateFile::read(self.request.data_directory.path())
    }

    #[expect(clippy::unused_self, reason = "the clock belongs to the watcher")]
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(0)
    }
}
