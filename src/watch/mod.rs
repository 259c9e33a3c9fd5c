//! `pgbackrest-guard watch`: base backups, a catalog that is checked, gaps healed or sealed.
//!
//! Each poll tells the same story, in [`Watcher::poll`]:
//!
//! 1. **Ask** the server who it is. Only a primary of this data directory is watched; on every other node the watcher waits,
//!    and takes over within one poll after a promotion. What is watched is a [`Cluster`]: the primary's facts, the ledger and
//!    pgBackRest, opened anew each time.
//! 2. **Observe**: stamps, ledger, marker, what can be pushed again, PostgreSQL's counts, into plain values.
//! 3. **Decide** ([`crate::decide::watch`]): a list of actions. Every condition is there; no part asks itself whether it is
//!    its turn.
//! 4. **Act**: each action is the work of one part, and a part owns what it remembers from poll to poll:
//!    the [`CatalogKeeper`] asks the catalog and notes for `status` what it saw; the [`Prover`] walks the archive's listing
//!    and shows what is missing; the [`Healer`] pushes again what still exists; the [`BackupRunner`] has one backup beside
//!    the loop, and seals gaps by it. [`Stamps`] are what outlives the process.
//! 5. **Wait**, and take up the backup's end meanwhile. A signal ends the wait, the call or the query that is under way.
//!
//! What is said is what changes ([`tools::ChangeLog`]), not what is so on every poll.

mod act;
mod backup_runner;
mod backup_thread;
mod calls;
mod candidates;
mod catalog_keeper;
mod cluster;
mod compare;
mod drain;
mod driller;
mod healer;
mod leftovers;
mod listed;
mod look_up;
mod marker;
mod metrics;
mod not_healed;
mod observe;
mod others;
mod prover;
mod seal;
mod serve;
mod space;
mod stamps;
mod tools;
mod walk;
mod wedge;

use crate::data_directory::DataDirectory;
use crate::decide::watch::{Action, decide};
use crate::exit::Exit;
use crate::log;
use crate::postgres::{Postgres, Server};
use crate::presence::Presence;
use crate::settings::{CommonSettings, Environment, WatchSettings};
use crate::signals::Signals;
use backup_runner::BackupRunner;
use catalog_keeper::CatalogKeeper;
use cluster::{Cluster, NotWatched};
use driller::Driller;
use healer::Healer;
use leftovers::Leftovers;
use metrics::Metrics;
use others::Regime;
use prover::Prover;
use stamps::Stamps;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tools::{ChangeLog, Shutdown, Tools};
use wedge::WorkerWatch;

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
    /// Whether a missing stanza is created though the cluster has archived before.
    pub create_stanza: bool,
}

/// A watcher at work.
pub struct Watcher {
    tools: Rc<Tools>,
    server: Postgres,
    /// As of the last poll on a primary: a backup that was begun there ends there.
    cluster: Option<Rc<Cluster>>,
    stamps: Stamps,
    catalog: CatalogKeeper,
    prover: Prover,
    healer: Healer,
    regime: Regime,
    backup: BackupRunner,
    driller: Driller,
    worker: WorkerWatch,
    leftovers: Leftovers,
    metrics: Metrics,
    /// That this watcher runs, for `status`.
    presence: Option<Presence>,
}

impl Watcher {
    /// A watcher that has touched nothing yet.
    #[must_use]
    pub fn new(request: Request, signals: Signals) -> Self {
        Self {
            server: Postgres::of(&request.data_directory, &request.watch.connection),
            tools: Rc::new(Tools { request, shutdown: Shutdown::by(signals), log: ChangeLog::default() }),
            cluster: None,
            stamps: Stamps::default(),
            catalog: CatalogKeeper::default(),
            prover: Prover::default(),
            healer: Healer::default(),
            regime: Regime::default(),
            backup: BackupRunner::default(),
            driller: Driller::default(),
            worker: WorkerWatch::new(),
            leftovers: Leftovers::default(),
            metrics: Metrics::default(),
            presence: None,
        }
    }

    /// Watches until told to end; with `once` for one poll.
    #[must_use]
    pub fn run(mut self) -> Exit {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            self.poll();
            if self.tools.request.once && !self.backup.runs() || self.wait() {
                break;
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.backup.end();
        tracing::info!("the watcher ends");
        Exit::Success
    }

    /// Asks, observes, decides and acts, once; then writes the metrics.
    fn poll(&mut self) {
        self.take_up_backup();
        self.healer.goes_on = false;
        let tools = Rc::clone(&self.tools);
        self.server.look_again(&tools.request.data_directory, &tools.request.watch.connection);
        let server = self.server.ask(&mut || tools.shutdown.is_requested());
        let answers = server.is_ok();
        self.show_presence();
        match server {
            Ok(server) => self.watch(server),
            Err(error) => tools.log.info("iteration", &format!("iteration skipped: {}", log::chain(&error))),
        }
        self.metrics.after_poll(&tools, answers);
    }

    /// Lets `status` know that a watcher runs, as soon as there is a state directory.
    fn show_presence(&mut self) {
        let tools = &self.tools;
        let Some(folder) = tools.request.common.state_dir.as_ref().filter(|folder| folder.value.is_dir()) else {
            return;
        };
        if self.presence.as_ref().is_some_and(|presence| presence.is_in(&folder.value)) {
            return;
        }
        match Presence::hold(&folder.value) {
            Ok(presence) => self.presence = Some(presence),
            Err(error) => {
                let line = format!("status can't see that this watcher runs: {}: {error}", folder.value.display());
                tools.log.warn("presence", &line);
            }
        }
    }

    fn watch(&mut self, server: Server) {
        let log = &Rc::clone(&self.tools).log;
        match self.open(server) {
            Ok(cluster) => {
                log.info("iteration", "watching a primary");
                self.act(&cluster);
            }
            Err(why) if why.is_trouble() => log.warn("iteration", &format!("iteration skipped: {why}")),
            Err(why) => log.info("iteration", &format!("iteration skipped: {why}")),
        }
    }

    /// Opens what there is of the cluster, and takes over its stamps.
    fn open(&mut self, server: Server) -> Result<Rc<Cluster>, NotWatched> {
        let cluster = Rc::new(Cluster::open(&self.tools, server)?);
        self.show_presence();
        self.cluster = Some(Rc::clone(&cluster));
        if self.stamps.read(&cluster)? {
            // They were another cluster's, and so is all that is remembered.
            (self.catalog, self.prover, self.healer, self.regime) = Default::default();
            self.backup.forget();
        }
        Ok(cluster)
    }

    fn act(&mut self, cluster: &Cluster) {
        self.regime.look(cluster);
        space::free(cluster, &self.server);
        self.leftovers.sweep(cluster);
        self.worker.look(cluster);
        // What push has healed by itself costs no backup.
        marker::clear_explained(cluster);
        let state = cluster.state().unwrap_or_default();
        self.catalog.note_commits(cluster, &state);
        let mut candidates = self.healer.candidates(cluster, &state);
        let seen = self.observe(cluster, &state, &candidates);
        for action in decide(&seen, &self.memory(), &self.schedule()) {
            if cluster.must_end() {
                return;
            }
            match action {
                Action::Heartbeat => self.heartbeat(),
                Action::AskCatalog => self.ask_catalog(cluster),
                Action::ProveContinuity => self.prover.prove(cluster, &mut self.stamps),
                Action::Heal => {
                    self.healer.heal(cluster, std::mem::take(&mut candidates));
                    if self.healer.healed {
                        self.prover.walk_again();
                    }
                }
                Action::LookUp => self.look_up(cluster),
                Action::Backup(kind, reason) | Action::Wait(kind, reason) => self.begin_backup(cluster, kind, reason),
            }
        }
        marker::clear_explained(cluster);
        let may_drill = !self.tools.request.once && !self.backup.runs() && !cluster.backup_is_locked();
        self.driller.look(cluster, may_drill && self.stamps.last_full_at.is_some());
    }

    /// Waits for the next poll, and looks after the backup meanwhile. True when the watcher is to end.
    fn wait(&mut self) -> bool {
        let Request { watch, once, .. } = &Rc::clone(&self.tools).request;
        let interval = if self.stamps.last_full_at.is_some() { watch.poll } else { watch.initial_poll };
        // What is being healed does not wait. A poll without a pause would be a busy loop.
        let interval = if self.healer.goes_on { Duration::ZERO } else { interval.duration() };
        let until = Instant::now() + interval.max(BACKUP_CHECK);
        let longest = if self.backup.runs() { BACKUP_CHECK } else { WATCHDOG_CHECK };
        loop {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            let left = until.saturating_duration_since(Instant::now());
            let slice = if *once { longest } else { longest.min(left) };
            if self.tools.shutdown.wait(slice) {
                return true;
            }
            let ended = self.take_up_backup();
            if ended && *once {
                self.metrics.after_poll(&Rc::clone(&self.tools), true);
                return true;
            }
            if left <= slice && !*once {
                return false;
            }
        }
    }
}
