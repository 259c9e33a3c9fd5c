//! What the live tests share: a cluster that archives by `pgbackrest-guard-push`, and the one question that counts.
//!
//! Nothing stands in for anything: PostgreSQL runs the program, the program runs pgBackRest, pgBackRest talks TLS to
//! the laboratory's S3 server. Whatever went wrong on the way, every file that PostgreSQL was told to forget must be
//! found again ([`Live::every_acknowledged_segment_is_accounted_for`]).

use pgbackrest_guard::ledger::gaps::{Cause, Gap};
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard::ledger::{DEFERRED, Ledger};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::WalFile;
use pgbackrest_guard_lab::{Cluster, ClusterBuilder, Disk, Lab, Output, PgBackRest, PgBackRestBuilder, S3Server};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The key of repository 1.
pub(crate) const KEY: &str = "AKIALABONE";
/// The bucket of repository 1.
pub(crate) const BUCKET: &str = "one";
/// The key of repository 2.
pub(crate) const SECOND_KEY: &str = "AKIALABTWO";
/// The bucket of repository 2.
pub(crate) const SECOND_BUCKET: &str = "two";
/// In the command line of every push.
pub(crate) const PROGRAM: &str = "bin/pgbackrest-guard-push";
/// How long anything may take that should be quick, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(25);

/// `archive-async`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Off.
    Sync,
    /// On.
    Async,
}

/// A cluster, its pgBackRest and its repositories, as they are to be.
#[must_use]
pub(crate) struct Setup {
    lab: Lab,
    s3: S3Server,
    postgres: ClusterBuilder,
    backrest: PgBackRestBuilder,
    environment: Vec<(String, String)>,
    repositories: u8,
    stanza: bool,
    wal_elsewhere: bool,
    volume: Option<Disk>,
}

/// A cluster that archives.
pub(crate) struct Live {
    pub(crate) postgres: Cluster,
    _volume: Option<Disk>,
    pub(crate) backrest: PgBackRest,
    pub(crate) s3: S3Server,
    pub(crate) lab: Lab,
    guard: PathBuf,
    environment: Vec<(String, String)>,
    repositories: u8,
    written: RefCell<BTreeSet<String>>,
}

impl Setup {
    /// The laboratory's folder.
    pub(crate) fn lab_path(&self) -> &Path {
        self.lab.path()
    }

    /// An environment variable of `archive_command`.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A global option of pgBackRest.
    pub(crate) fn option(self, name: &str, value: &str) -> Self {
        Self { backrest: self.backrest.option("global", name, value), ..self }
    }

    /// A setting of PostgreSQL.
    pub(crate) fn setting(self, name: &str, value: &str) -> Self {
        Self { postgres: self.postgres.setting(name, value), ..self }
    }

    /// The size of a WAL segment in MiB, 1 unless said otherwise.
    pub(crate) fn segment_mib(self, mib: u64) -> Self {
        Self { postgres: self.postgres.segment_mib(mib), ..self }
    }

    /// A second repository, in a bucket with a key of its own.
    pub(crate) fn second_repository(self) -> Self {
        self.s3.create_bucket(SECOND_BUCKET);
        self.s3.add_key(SECOND_KEY, "secret");
        let backrest = self.backrest.repo_s3(&self.s3, SECOND_BUCKET, SECOND_KEY, "secret", "/repo");
        Self { backrest, repositories: 2, ..self }
    }

    /// Leaves `stanza-create` out.
    pub(crate) fn without_stanza(self) -> Self {
        Self { stanza: false, ..self }
    }

    /// Makes `pg_wal` a symbolic link, as `initdb --waldir` does.
    pub(crate) fn wal_elsewhere(self) -> Self {
        Self { wal_elsewhere: true, ..self }
    }

    /// Puts the data directory on a tmpfs of so many MiB; `None`, and a line, without the right to mount one.
    pub(crate) fn on_a_volume(self, mebibytes: u64) -> Option<Self> {
        let folder = self.lab.folder("data");
        let volume = Disk::mount(&folder, mebibytes)?;
        self.lab.give(&folder);
        Some(Self { postgres: self.postgres.name("data"), volume: Some(volume), ..self })
    }

    /// Starts it all. The archiver has no command until the stanza is there, so that nothing has failed yet.
    pub(crate) fn start(self) -> Live {
        let backrest = self.backrest.postgres(&self.postgres).write();
        let postgres = self.postgres.archive_command("").create();
        if self.wal_elsewhere {
            let elsewhere = self.lab.path().join("wal");
            fs::rename(postgres.pg_wal(), &elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, postgres.pg_wal()).unwrap();
        }
        postgres.start().unwrap_or_else(|log| panic!("the cluster does not start:\n{log}"));
        if self.stanza {
            backrest.stanza_create();
        }
        let guard = self.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        let Self { lab, s3, environment, repositories, volume, .. } = self;
        let written = RefCell::default();
        let live = Live { postgres, _volume: volume, backrest, s3, lab, guard, environment, repositories, written };
        live.reconfigure(&[]);
        live
    }
}

impl Live {
    /// One cluster with one repository. Impatient, and blind to how full the machine's disk happens to be.
    pub(crate) fn of(mode: Mode) -> Setup {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket(BUCKET);
        s3.add_key(KEY, "secret");
        let backrest = repository_one(PgBackRest::builder(&lab), &s3);
        let backrest = backrest.archive_async(mode == Mode::Async).option("global", "io-timeout", "1");
        let postgres = Cluster::builder(&lab);
        let environment = Vec::new();
        let setup = Setup {
            lab,
            s3,
            postgres,
            backrest,
            environment,
            repositories: 1,
            stanza: true,
            wal_elsewhere: false,
            volume: None,
        };
        setup.env("WAL_FREE_RESERVE_MB", "0").env("WAL_DROP_THRESHOLD_MB", "500").env("WAL_DROP_AFTER_SECONDS", "0")
    }

    /// Adds repository 1 to another cluster's pgBackRest.
    pub(crate) fn repository_one(&self, backrest: PgBackRestBuilder) -> PgBackRestBuilder {
        repository_one(backrest, &self.s3)
    }

    /// The `archive_command` with more variables; of two of a name the later counts.
    pub(crate) fn archive_command(&self, backrest: &PgBackRest, more: &[(&str, &str)]) -> String {
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<String> =
            own.chain(more.iter().copied()).map(|(name, value)| format!("{name}={value}")).collect();
        let (guard, config, stanza) = (self.guard.display(), backrest.config_file(), backrest.stanza());
        let config = config.display();
        format!("{} exec {guard} --pgbackrest-config={config} --stanza={stanza} %p", variables.join(" "))
    }

    /// Runs the `archive_command` by hand for a file below the data directory, with more variables.
    pub(crate) fn push(&self, path: &str, more: &[(&str, &str)]) -> Output {
        let command = self.archive_command(&self.backrest, more).replace("%p", path);
        let output =
            self.lab.command("sh").arg("-c").arg(command).current_dir(self.postgres.pgdata()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Gives the archiver its command, with more variables.
    pub(crate) fn reconfigure(&self, more: &[(&str, &str)]) {
        self.postgres.reload_with("archive_command", &self.archive_command(&self.backrest, more));
    }

    /// Fills segments and remembers their names.
    pub(crate) fn write(&self, segments: usize) -> Vec<String> {
        let names = self.postgres.write_wal(segments);
        self.written.borrow_mut().extend(names.iter().cloned());
        names
    }

    /// Fills segments, and waits until PostgreSQL has been told of all that they are archived.
    #[track_caller]
    pub(crate) fn write_acknowledged(&self, segments: usize) -> Vec<String> {
        let names = self.write(segments);
        self.wait_for_no_backlog();
        names
    }

    /// Waits until no file waits for the archiver.
    #[track_caller]
    pub(crate) fn wait_for_no_backlog(&self) {
        self.wait("nothing waits for archiving", || {
            self.postgres.wake_archiver();
            self.postgres.ready().is_empty()
        });
    }

    /// Waits for the same without new WAL, which would raise the backlog while an older push still decides: a reload
    /// wakes the archiver too. Also takes every variable of the test's own away.
    #[track_caller]
    pub(crate) fn drain(&self) {
        self.reconfigure(&[]);
        self.wait_for_no_backlog();
    }

    /// Waits until pushes have failed at least so often in PostgreSQL's eyes.
    #[track_caller]
    pub(crate) fn wait_for_failures(&self, count: u64) {
        self.wait("pushes fail", || {
            self.postgres.wake_archiver();
            self.postgres.failed_count() >= count
        });
    }

    /// Waits; on failure panics with the server's log, which holds all that the program said.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        self.postgres.wait_until(what, SOON, condition);
    }

    /// The ledger.
    pub(crate) fn state(&self) -> State {
        ledger_of(self.postgres.pgdata()).expect("a ledger")
    }

    /// The gaps that are open.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.state().gaps.open().cloned().collect()
    }

    /// The class of the last failure.
    pub(crate) fn last_class(&self) -> Option<Class> {
        self.state().push.last_failure.map(|failure| failure.class)
    }

    /// The names in repository 1.
    pub(crate) fn archived(&self) -> BTreeSet<String> {
        self.backrest.archived(1)
    }

    /// Whether the marker of a gap lies in the data directory.
    pub(crate) fn is_marked(&self) -> bool {
        self.postgres.pgdata().join(".pgbackrest_gap_pending").exists()
    }

    /// That one gap is open, and holds these segments and no other.
    #[track_caller]
    pub(crate) fn assert_one_gap(&self, names: &[String], class: Class, cause: Cause) {
        let gaps = self.gaps();
        let [gap] = gaps.as_slice() else { panic!("not one gap: {gaps:#?}") };
        let (first, last) = (names.first().unwrap(), names.last().unwrap());
        assert_eq!((&gap.first.to_string(), &gap.last.to_string()), (first, last), "{gap:#?}");
        assert_eq!((gap.class, gap.cause), (class, cause), "{gap:#?}");
        assert!(self.is_marked());
    }

    /// That nothing was given up, and these segments still wait.
    #[track_caller]
    pub(crate) fn assert_kept(&self, names: &[String]) {
        assert_eq!(self.gaps(), []);
        assert!(!self.is_marked());
        let ready: BTreeSet<String> = self.postgres.ready().into_iter().collect();
        let missing: Vec<_> = names.iter().filter(|name| !ready.contains(*name)).collect();
        assert!(missing.is_empty(), "no longer waiting: {missing:?}\n{}", self.postgres.log());
    }

    /// That all these segments are in repository 1.
    #[track_caller]
    pub(crate) fn assert_archived(&self, names: &[String]) {
        let archived = self.archived();
        let missing: Vec<_> = names.iter().filter(|name| !archived.contains(*name)).collect();
        assert!(missing.is_empty(), "not in the repository: {missing:?}\n{}", self.postgres.log());
    }

    /// The processes of this laboratory whose arguments hold `text`.
    pub(crate) fn pids(&self, text: &str) -> Vec<i32> {
        let processes = self.lab.processes();
        processes.into_iter().filter(|process| process.command.contains(text)).map(|process| process.pid).collect()
    }

    /// Every file that PostgreSQL takes for archived is in every repository, in the overflow folder, deferred, or in
    /// an open gap.
    #[track_caller]
    pub(crate) fn every_acknowledged_segment_is_accounted_for(&self) {
        // What waits is read first: a file that is acknowledged later is looked for too, but need not be found.
        let ready: BTreeSet<String> = self.postgres.ready().into_iter().collect();
        let mut acknowledged: BTreeSet<String> = self.written.borrow().difference(&ready).cloned().collect();
        acknowledged.extend(self.postgres.done());
        self.are_accounted_for(&self.postgres, &acknowledged);
    }

    /// The same for these files of any cluster that archives to the same repositories.
    #[track_caller]
    pub(crate) fn are_accounted_for(&self, cluster: &Cluster, acknowledged: &BTreeSet<String>) {
        let stored: Vec<_> = (1..=self.repositories).map(|repository| self.backrest.archived(repository)).collect();
        let aside =
            [cluster.pgdata().join(".pgbackrest_guard").join(DEFERRED), self.overflow()].map(|path| names_in(&path));
        let state = ledger_of(cluster.pgdata()).unwrap_or_default();
        let is_recorded = |name: &str| {
            let lost = name.parse::<WalFile>().unwrap().losable();
            lost.is_some_and(|(segment, part)| state.gaps.open_gap_of(segment, part, state.segment_size()).is_some())
        };
        let is_found = |name: &&String| {
            stored.iter().all(|names| names.contains(*name))
                || aside.iter().any(|names| names.contains(*name))
                || is_recorded(name)
        };
        let lost: Vec<_> = acknowledged.iter().filter(|name| !is_found(name)).collect();
        assert!(!acknowledged.is_empty(), "nothing has been archived");
        assert!(
            lost.is_empty(),
            "acknowledged and nowhere: {lost:?}\nin the repositories: {stored:#?}\naside: {aside:?}\n{:#?}\n{}",
            state.gaps,
            cluster.log()
        );
    }

    /// The overflow folder; it exists only where a test sets it.
    pub(crate) fn overflow(&self) -> PathBuf {
        self.lab.path().join("overflow")
    }
}

impl Drop for Live {
    /// What hangs would hold up the end.
    fn drop(&mut self) {
        self.s3.clear_faults();
    }
}

fn repository_one(backrest: PgBackRestBuilder, s3: &S3Server) -> PgBackRestBuilder {
    backrest.repo_s3(s3, BUCKET, KEY, "secret", "/repo")
}

/// The ledger of a data directory; `None` where there is none.
pub(crate) fn ledger_of(pgdata: &Path) -> Option<State> {
    Ledger::peek(&pgdata.join(".pgbackrest_guard")).unwrap()
}

/// The names of the files in a folder; none where it does not exist.
pub(crate) fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
