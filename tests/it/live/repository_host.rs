//! Live: the repository is on another host, which is reached by SSH and takes the backups itself, as by cron.
//!
//! OpenSSH's server is real and listens on loopback. Up to 2.54 pgBackRest refuses `backup` on the database host (72), so the
//! watcher finds out by itself that others take them; from 2.55 on it is told.

use super::scene::{SOON, ledger_of};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, SshServer};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A cluster that archives to a repository host, and that host.
struct Hosts {
    lab: Lab,
    ssh: SshServer,
    /// pgBackRest on the repository host.
    repository: PgBackRest,
    /// pgBackRest beside the cluster.
    database: PgBackRest,
    cluster: Cluster,
    guard: PathBuf,
    get: PathBuf,
}

impl Hosts {
    fn new() -> Self {
        let lab = Lab::new();
        let ssh = SshServer::start(&lab);
        let builder = Cluster::builder(&lab);
        let (at_repository, at_database) = (lab.path().join("repository"), lab.path().join("database"));
        let repository = PgBackRest::builder(&lab).name("repository").postgres(&builder);
        let repository = repository.repo_posix(&lab.path().join("store"));
        let repository = ssh.reached_by(repository, "pg1", &at_database.join("pgbackrest.conf")).write();
        let database = PgBackRest::builder(&lab).name("database").postgres(&builder);
        let database = ssh.reached_by(database, "repo1", &at_repository.join("pgbackrest.conf")).write();
        let push = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
        let get = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        let config = database.config_file();
        let command = format!("PGBACKREST_CONFIG={} {} %p", config.display(), push.display());
        let cluster = builder.archive_command(&command).start();
        repository.stanza_create();
        Self { lab, ssh, repository, database, cluster, guard, get }
    }

    /// Whether pgBackRest takes no backup on the database host.
    fn is_refused_here(&self) -> bool {
        // Without an option: newer ones refuse any here.
        let version = self.lab.command("pgbackrest").arg("version").output().unwrap().stdout;
        let version = String::from_utf8_lossy(&version).into_owned();
        let minor = version.trim().rsplit("2.").next().and_then(|minor| minor.split('.').next()?.parse::<u32>().ok());
        minor.expect("pgBackRest 2.N") < 55
    }

    fn program(&self, program: &PathBuf) -> Command {
        let mut command = self.lab.command(program);
        command.env("PGBACKREST_CONFIG", self.database.config_file()).env("PGDATA", self.cluster.pgdata());
        command.env("PGUSER", "postgres").env("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "0");
        command.env("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0").env("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1");
        if !self.is_refused_here() {
            command.env("WAL_BACKUP_TAKEN_BY", "others");
        }
        command
    }

    /// One poll of the watcher, which is due to check the catalog.
    fn watch_once(&self) -> String {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let Output { status, stdout, stderr } = self.program(&self.guard).args(["watch", "--once"]).output().unwrap();
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success(), "{status}: {said}");
        eprintln!("{said}");
        assert!(!said.contains("running pgbackrest backup"), "{said}");
        said
    }

    /// One poll of a watcher that nobody has told who takes the backups, with one that is overdue.
    fn watch_once_untold(&self) -> String {
        let mut command = self.program(&self.guard);
        command.env_remove("WAL_BACKUP_TAKEN_BY").env("WAL_BACKUP_FULL_INTERVAL_SECONDS", "1");
        let Output { stderr, .. } = command.args(["watch", "--once"]).output().unwrap();
        String::from_utf8_lossy(&stderr).into_owned()
    }

    fn report(&self) -> serde_json::Value {
        let output = self.program(&self.guard).args(["status", "--output=json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Writes segments and waits until PostgreSQL was told of all that they are archived.
    #[track_caller]
    fn write_acknowledged(&self, segments: usize) -> Vec<String> {
        let names = self.cluster.write_wal(segments);
        self.cluster.wait_until("nothing waits for archiving", SOON, || self.cluster.ready().is_empty());
        names
    }

    /// Fetches a segment by guard-get, as a recovery would: the exit code and the file.
    fn fetch(&self, name: &str) -> (Option<i32>, Option<Vec<u8>>) {
        let target = self.lab.path().join("fetched");
        let _ = fs::remove_file(&target);
        let mut command = self.program(&self.get);
        command.env("WAL_GET_RETRY_SECONDS", "0").env("WAL_GET_TIMEOUT_SECONDS", "3");
        let output = command.arg(name).arg(&target).output().unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), fs::read(target).ok())
    }

    fn states(&self) -> Vec<(GapState, u64)> {
        let state = ledger_of(self.cluster.pgdata()).unwrap();
        let size = state.segment_size();
        let mut gaps: Vec<_> = state.gaps.iter().collect();
        gaps.sort_by_key(|gap| gap.first);
        gaps.iter().map(|gap| (gap.state, gap.segments(size))).collect()
    }

    #[track_caller]
    fn last_class(&self) -> Option<Class> {
        ledger_of(self.cluster.pgdata())?.push.last_failure.map(|failure| failure.class)
    }
}

#[test]
fn a_repository_hosts_backups_are_adopted_and_none_is_taken_beside_them() {
    let hosts = Hosts::new();
    let first = hosts.write_acknowledged(2);
    assert!(hosts.repository.archived(1).is_superset(&first.iter().cloned().collect()));
    let said = hosts.watch_once();
    if hosts.is_refused_here() {
        let bare = hosts.database.run(&["backup"]);
        assert_eq!(bare.code(), Some(72), "{}", bare.stderr);
        assert_eq!(said.matches("no backup is taken here: repository 1 is on another host").count(), 1, "{said}");
    }
    assert!(said.contains("nothing can be restored: it takes a full backup, by whoever takes them"), "{said}");
    let report = hosts.report();
    assert_eq!(report["verdict"], "critical", "{report}");
    let reason = report["reasons"][0].as_str().unwrap();
    assert!(reason.contains("no full backup is on record (others take the backups: "), "{reason}");
    // Cron, on the repository host.
    hosts.repository.backup("full");
    let said = hosts.watch_once();
    assert!(said.contains("the catalog has one: it is adopted"), "{said}");
    hosts.repository.backup("full");
    let said = hosts.watch_once();
    assert!(said.contains("in the catalog ended at") && said.contains("others took it"), "{said}");
    let report = hosts.report();
    assert_eq!(report["verdict"], "ok", "{report}");
    assert_eq!(report["windows"].as_array().map(Vec::len), Some(1), "{report}");
    let said = hosts.watch_once_untold();
    if hosts.is_refused_here() {
        let waits = said.contains("a full backup is overdue by the configured intervals");
        assert!(waits && !said.contains("running pgbackrest backup"), "{said}");
    } else {
        assert!(said.contains("backup --type=full completed"), "{said}");
    }
}

#[test]
fn what_is_lost_while_the_host_is_down_is_healed_or_sealed_by_its_next_backup() {
    let mut hosts = Hosts::new();
    hosts.repository.backup("full");
    let before = hosts.write_acknowledged(1);
    hosts.watch_once();
    hosts.ssh.end();
    let waiting = hosts.cluster.write_wal(1);
    hosts.cluster.wait_until("a push fails", SOON, || hosts.cluster.failed_count() > 0);
    assert_eq!((hosts.last_class(), hosts.states()), (Some(Class::Unavailable), Vec::new()));
    // Not "absent": recovery must not end here.
    assert_eq!(hosts.fetch(&before[0]).0, Some(254));
    let command = hosts.cluster.sql("show archive_command");
    hosts.cluster.reload_with("archive_command", &format!("WAL_DROP_THRESHOLD_MB=0 {}", command.trim()));
    let lost = [waiting, hosts.write_acknowledged(1)].concat();
    assert_eq!(hosts.states(), [(GapState::Open, 2)]);
    let said = hosts.watch_once();
    assert!(said.contains("inconclusive") || said.contains("can't be asked"), "{said}");
    hosts.ssh.resume();
    hosts.cluster.reload_with("archive_command", command.trim());
    let kept = fs::read(hosts.cluster.pg_wal().join(&lost[0])).unwrap();
    // What a checkpoint does to a segment that nobody needs any more.
    fs::remove_file(hosts.cluster.pg_wal().join(&lost[1])).unwrap();
    hosts.write_acknowledged(1);
    let said = hosts.watch_once();
    assert!(said.contains("is healed"), "{said}");
    let said = hosts.watch_once();
    assert!(said.contains("a gap can't be healed and waits for a full backup, by whoever takes them"), "{said}");
    assert_eq!(hosts.states(), [(GapState::Healed, 1), (GapState::Open, 1)]);
    assert_eq!(hosts.fetch(&lost[0]), (Some(0), Some(kept)));
    hosts.repository.backup("full");
    hosts.watch_once();
    assert_eq!(hosts.states(), [(GapState::Healed, 1), (GapState::Sealed, 1)]);
}

#[test]
fn a_host_that_hangs_or_has_another_key_loses_nothing() {
    let mut hosts = Hosts::new();
    hosts.repository.backup("full");
    let before = hosts.write_acknowledged(1);
    hosts.watch_once();
    let command = hosts.cluster.sql("show archive_command");
    hosts.cluster.reload_with("archive_command", &format!("WAL_PUSH_TIMEOUT_SECONDS=3 {}", command.trim()));
    hosts.ssh.freeze();
    let mut waiting = hosts.cluster.write_wal(1);
    hosts.cluster.wait_until("a push is ended", SOON, || hosts.cluster.failed_count() > 0);
    assert_eq!(hosts.last_class(), Some(Class::Unavailable));
    assert_eq!(hosts.fetch(&before[0]).0, Some(254));
    hosts.ssh.thaw();
    waiting.extend(hosts.write_acknowledged(1));
    hosts.ssh.change_key(true);
    let failed = hosts.cluster.failed_count();
    waiting.extend(hosts.cluster.write_wal(1));
    hosts.cluster.wait_until("a push is refused", SOON, || hosts.cluster.failed_count() > failed);
    assert_eq!(hosts.last_class(), Some(Class::Denied), "{}", hosts.cluster.log());
    assert_eq!(hosts.fetch(&before[0]).0, Some(254));
    let report = hosts.report();
    assert!(
        report["push"]["last_failure"]["message"].as_str().unwrap().contains("Host key verification failed"),
        "{report}"
    );
    assert_eq!(report["verdict"], "warning", "{report}");
    hosts.watch_once();
    hosts.ssh.change_key(false);
    waiting.extend(hosts.write_acknowledged(1));
    let archived = hosts.repository.archived(1);
    assert!(waiting.iter().all(|name| archived.contains(name)), "{waiting:?} {archived:?}");
    assert_eq!(hosts.states(), []);
}
