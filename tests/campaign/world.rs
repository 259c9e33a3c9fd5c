//! The laboratory of one campaign: a cluster that archives by push, its repositories, its watchers.

use super::clock::{self, Clock};
use super::nodes::Node;
use super::schedule::{Profile, Small};
use super::workload::Primary;
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard_lab::{Cluster, Disk, Lab, PgBackRest, PgBackRestBuilder, S3Server, Signal};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// The key of repository 1.
pub(crate) const KEY: &str = "AKIACAMPAIGN";
/// Its secret, which must be nowhere.
pub(crate) const SECRET: &str = "sEcReTofTHEcampaign0123456789";
/// The bucket of repository 1.
pub(crate) const BUCKET: &str = "wal";

/// The state directory, where it is not in the data directory.
const STATE: &str = "state";

/// All of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) backrest: PgBackRest,
    pub(crate) s3: S3Server,
    /// A server that follows, with its own pgBackRest.
    pub(crate) standby: Option<Node>,
    /// The small disk, where there is one and it could be mounted.
    pub(crate) disk: Option<Disk>,
    /// The programs' clock, where it can be set.
    pub(crate) clock: Option<Clock>,
    pub(crate) lab: Lab,
    pub(crate) profile: Profile,
    pub(crate) watchers: Vec<Child>,
    programs: Programs,
}

/// The programs under test, where the laboratory's user can run them.
struct Programs {
    guard: PathBuf,
    push: PathBuf,
    get: PathBuf,
}

impl World {
    /// A cluster with a first full backup in each repository, and a watcher.
    pub(crate) fn new(profile: Profile) -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket(BUCKET);
        s3.add_key(KEY, SECRET);
        let postgres = Cluster::builder(&lab);
        let backrest = PgBackRest::builder(&lab).postgres(&postgres).archive_async(profile.asynchronous);
        let mut backrest = repositories(backrest, &lab, &s3, profile);
        if profile.queue_max {
            backrest = backrest.option("global", "archive-push-queue-max", "6MB");
        }
        let backrest = backrest.write();
        let disk = small_disk(&lab, profile.small, &postgres.pgdata(), &backrest);
        let programs = Programs {
            push: lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push")),
            get: lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get")),
            guard: lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard")),
        };
        let clock = profile.clock.then(|| Clock::of(&lab)).flatten();
        let command = archive_command(&lab, profile, clock.as_ref(), &programs.push, &backrest, &postgres.pgdata());
        let follow = follow_command(&programs.get, &backrest);
        // What a rewind needs, and what a standby that was away must still find.
        let postgres = postgres.setting("wal_log_hints", "on").setting("max_wal_senders", "4");
        let cluster = postgres.archive_command(&command).setting("restore_command", &follow).start();
        let standby = None;
        let mut world =
            Self { cluster, backrest, s3, standby, disk, clock, lab, profile, watchers: Vec::new(), programs };
        world.start_watcher();
        world.wait("the first backup", Duration::from_mins(2), |world| {
            world.repositories().all(|key| world.labels(key).iter().any(|label| label.ends_with('F')))
        });
        if profile.standby {
            world.add_standby();
        }
        world
    }

    /// A server that streams, with its own watcher.
    fn add_standby(&mut self) {
        let builder = Cluster::builder(&self.lab).name("other");
        let backrest = self.config_for(&builder, "store-other");
        let (archive, follow) = (self.archive_command(&backrest, &builder.pgdata()), self.follow_command(&backrest));
        let builder = builder.archive_command(&archive).setting("restore_command", &follow);
        let cluster = builder.standby_of(&self.cluster);
        cluster.start().unwrap_or_else(|log| panic!("the standby does not start:\n{log}"));
        self.standby = Some(Node { cluster, backrest });
        self.start_watchers();
    }

    /// The numbers of the repositories.
    pub(crate) fn repositories(&self) -> std::ops::RangeInclusive<u8> {
        1..=1 + u8::from(self.profile.second)
    }

    /// Where the second repository lies.
    pub(crate) fn second(&self) -> PathBuf {
        self.folder(2)
    }

    /// A configuration for another cluster and the same repositories.
    pub(crate) fn config_for(&self, cluster: &pgbackrest_guard_lab::ClusterBuilder, name: &str) -> PgBackRest {
        let backrest = PgBackRest::builder(&self.lab).name(name).postgres(cluster);
        let backrest = backrest.archive_async(self.profile.asynchronous);
        let mut backrest = repositories(backrest, &self.lab, &self.s3, self.profile);
        if self.profile.queue_max {
            backrest = backrest.option("global", "archive-push-queue-max", "6MB");
        }
        backrest.write()
    }

    /// The `archive_command` of a node.
    pub(crate) fn archive_command(&self, backrest: &PgBackRest, pgdata: &Path) -> String {
        archive_command(&self.lab, self.profile, self.clock.as_ref(), &self.programs.push, backrest, pgdata)
    }

    /// The `restore_command` of a node that follows, or is rewound.
    pub(crate) fn follow_command(&self, backrest: &PgBackRest) -> String {
        follow_command(&self.programs.get, backrest)
    }

    /// A `restore_command` that asks one repository alone, as `status --at` prints it.
    pub(crate) fn restore_command(&self, backrest: &PgBackRest, repository: u8) -> String {
        let (config, get) = (backrest.config_file(), &self.programs.get);
        format!("PGBACKREST_CONFIG={} {} --repo={repository} %f \"%p\"", config.display(), get.display())
    }

    /// Where the commits go.
    pub(crate) fn primary(&self) -> Primary {
        Primary { conninfo: self.cluster.conninfo(), pg_wal: self.cluster.pg_wal() }
    }

    /// The folder of a repository that lies in one.
    pub(crate) fn folder(&self, repository: u8) -> PathBuf {
        self.lab.path().join(if repository == 1 { "first" } else { "second" })
    }

    /// Starts one more watcher of the primary.
    pub(crate) fn start_watcher(&mut self) {
        let watcher = self.watcher(&self.cluster, &self.backrest).spawn().expect("a watcher");
        self.watchers.push(watcher);
    }

    /// Starts the watchers again, one for each node.
    pub(crate) fn start_watchers(&mut self) {
        self.watchers.drain(..).for_each(Self::stop_watcher);
        self.start_watcher();
        if let Some(Node { cluster, backrest }) = &self.standby {
            let watcher = self.watcher(cluster, backrest).spawn().expect("a watcher");
            self.watchers.push(watcher);
        }
    }

    /// `watch`, as a node is set up.
    fn watcher(&self, cluster: &Cluster, backrest: &PgBackRest) -> Command {
        let log = OpenOptions::new().create(true).append(true).open(self.watch_log()).expect("the watcher's log");
        let mut watch = self.guard_of(cluster, backrest);
        watch.args(["watch", "--pgdata"]).arg(cluster.pgdata());
        let seconds = [
            ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"),
            ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1"),
            ("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "1"),
            ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "5"),
            ("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "2"),
            ("WAL_BACKUP_DIFF_INTERVAL_SECONDS", if self.profile.diffs { "15" } else { "0" }),
            ("WAL_BACKUP_GAP_TYPE", if self.profile.gap_by_diff { "diff" } else { "full" }),
        ];
        watch.envs(seconds).stderr(log.try_clone().expect("a log")).stdout(log);
        watch
    }

    /// The program, in the primary's environment.
    pub(crate) fn guard(&self) -> Command {
        self.guard_of(&self.cluster, &self.backrest)
    }

    fn guard_of(&self, cluster: &Cluster, backrest: &PgBackRest) -> Command {
        let mut command = self.lab.command(&self.programs.guard);
        command.env("PGBACKREST_CONFIG", backrest.config_file()).env("PGUSER", "postgres");
        command.env("WAL_FREE_RESERVE_MB", "0").env("WAL_DROP_THRESHOLD_MB", "500");
        if self.profile.overflow {
            command.env("WAL_OVERFLOW_DIR", overflow_of(&self.lab, cluster.pgdata()));
        }
        if self.profile.small == Small::State {
            command.env("WAL_GUARD_STATE_DIR", self.state_dir());
        }
        command.envs(self.clock.iter().flat_map(Clock::variables));
        command
    }

    /// Runs `status`.
    pub(crate) fn status(&self, arguments: &[&str]) -> Output {
        let mut status = self.guard();
        status.args(["status", "--output=json"]).args(arguments).arg("--pgdata").arg(self.cluster.pgdata());
        status.output().expect("status runs")
    }

    /// Drills once, and keeps nothing.
    pub(crate) fn drill(&self) -> Output {
        let mut drill = self.guard();
        drill.args(["drill", "--json", "--pgdata"]).arg(self.cluster.pgdata());
        drill.env("WAL_DRILL_DIR", self.lab.path().join("drill-again")).env("WAL_GET_RETRY_SECONDS", "3");
        drill.output().expect("a drill")
    }

    /// What the watchers have said.
    pub(crate) fn watch_log(&self) -> PathBuf {
        self.lab.path().join("watch.log")
    }

    /// The overflow folder.
    pub(crate) fn overflow(&self) -> PathBuf {
        overflow_of(&self.lab, self.cluster.pgdata())
    }

    /// The state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        Self::state_dir_of(&self.lab, self.profile, self.cluster.pgdata())
    }

    /// That of a node.
    pub(crate) fn state_dir_of(lab: &Lab, profile: Profile, pgdata: &Path) -> PathBuf {
        match profile.small {
            Small::State => lab.path().join(STATE),
            _ => pgdata.join(".pgbackrest_guard"),
        }
    }

    /// The ledger; none before the first push.
    pub(crate) fn ledger(&self) -> State {
        Ledger::peek(&self.state_dir()).ok().flatten().unwrap_or_default()
    }

    /// The labels of the backups in a repository, past keys and policies.
    pub(crate) fn labels(&self, repository: u8) -> Vec<String> {
        let files = self.backrest.files(repository);
        let manifests =
            files.iter().filter_map(|path| path.strip_prefix("backup/main/")?.strip_suffix("/backup.manifest"));
        manifests.filter(|label| !label.contains('/')).map(str::to_owned).collect()
    }

    /// The processes of this laboratory whose arguments hold `text`.
    pub(crate) fn pids(&self, text: &str) -> Vec<i32> {
        let processes = self.lab.processes();
        processes.into_iter().filter(|process| process.command.contains(text)).map(|process| process.pid).collect()
    }

    /// Starts the server, once what is left of the one before is gone, and waits until it takes connections.
    pub(crate) fn start_server(&self) {
        let until = Instant::now() + Duration::from_mins(1);
        // One that a full disk has ended may just be on its way out.
        while !self.cluster.is_running() || !self.cluster.wait_ready(Duration::from_secs(30)) {
            if !self.cluster.is_running()
                && let Err(log) = self.cluster.start()
            {
                assert!(Instant::now() < until, "the server does not start:\n{log}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// Ends a watcher as its manager does.
    pub(crate) fn stop_watcher(mut watcher: Child) {
        if let Ok(pid) = i32::try_from(watcher.id()) {
            Lab::signal(pid, Signal::TERM);
        }
        let until = Instant::now() + Duration::from_secs(15);
        while matches!(watcher.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = watcher.kill();
        let _ = watcher.wait();
    }

    /// Waits for something that must come.
    pub(crate) fn wait(&self, what: &str, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let until = Instant::now() + limit;
        while !condition(self) {
            let said = fs::read_to_string(self.watch_log()).unwrap_or_default();
            assert!(Instant::now() < until, "{what}: not within {limit:?}\n{said}\n{}", self.cluster.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for World {
    /// What hangs would hold up the end.
    fn drop(&mut self) {
        self.s3.clear_faults();
        for mut watcher in self.watchers.drain(..) {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        if self.clock.is_some() {
            clock::clear_shared_memory();
        }
    }
}

/// The overflow folder of a node.
fn overflow_of(lab: &Lab, pgdata: &Path) -> PathBuf {
    let node = pgdata.file_name().unwrap_or_default().to_string_lossy().into_owned();
    lab.folder(format!("overflow-{node}"))
}

/// A `restore_command` that asks every repository, and gives an outage a few seconds.
fn follow_command(get: &Path, backrest: &PgBackRest) -> String {
    let config = backrest.config_file();
    format!("PGBACKREST_CONFIG={} WAL_GET_RETRY_SECONDS=5 {} %f \"%p\"", config.display(), get.display())
}

/// Mounts the small disk, before anything lies on it.
fn small_disk(lab: &Lab, small: Small, pgdata: &Path, backrest: &PgBackRest) -> Option<Disk> {
    let (folder, mebibytes) = match small {
        Small::Nothing => return None,
        Small::State => (lab.folder(STATE), 8),
        Small::Data => (lab.folder(pgdata.strip_prefix(lab.path()).expect("a folder of the laboratory")), 192),
        Small::Spool => (backrest.spool_path(), 4),
    };
    let disk = Disk::mount(&folder, mebibytes);
    lab.give(&folder);
    disk
}

fn archive_command(
    lab: &Lab,
    profile: Profile,
    clock: Option<&Clock>,
    push: &Path,
    backrest: &PgBackRest,
    pgdata: &Path,
) -> String {
    let mut command = format!(
        "WAL_FREE_RESERVE_MB=0 WAL_DROP_THRESHOLD_MB={} WAL_DROP_AFTER_SECONDS={} PGBACKREST_CONFIG={}",
        profile.threshold,
        profile.after,
        backrest.config_file().display()
    );
    if profile.overflow {
        let _ = write!(command, " WAL_OVERFLOW_DIR={}", overflow_of(lab, pgdata).display());
    }
    if profile.small == Small::State {
        let _ = write!(command, " WAL_GUARD_STATE_DIR={}", lab.path().join(STATE).display());
    }
    for (name, value) in clock.iter().flat_map(|clock| clock.variables()) {
        let _ = write!(command, " {name}={value}");
    }
    format!("{command} exec {} %p", push.display())
}

fn repositories(backrest: PgBackRestBuilder, lab: &Lab, s3: &S3Server, profile: Profile) -> PgBackRestBuilder {
    let backrest = if profile.folders {
        backrest.repo_posix(&lab.path().join("first"))
    } else {
        backrest.repo_s3(s3, BUCKET, KEY, SECRET, "/repo")
    };
    // Nothing is compressed: what is stored can be held against what was written.
    let backrest = backrest.option("global", "compress-type", "none");
    let backrest = backrest.option("global", "repo1-bundle", "y").option("global", "io-timeout", "1");
    if profile.second {
        backrest.repo_posix(&lab.path().join("second")).option("global", "repo2-bundle", "y")
    } else {
        backrest
    }
}

/// The names of the files in a folder; none where it does not exist.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
