//! `restore` out of a real archive: every kind of target, the refusals, timelines, and a kill at every checkpoint.

use super::watch::{KEY, SECRET, Scene, WAIT, scene, scene_with};
use pgbackrest_guard::checkpoint::OF_RESTORE;
use pgbackrest_guard_lab::{
    Cluster, Fault, Lab, Operation, Operations, PgBackRest, PgBackRestBuilder, Signal, StopMode,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A target's time is a whole second; moments must lie apart.
const APART: Duration = Duration::from_millis(1100);

/// A copy to be.
pub(crate) struct Copy<'s> {
    scene: &'s Scene,
    name: &'s str,
    environment: Vec<(&'static str, String)>,
}

impl<'s> Copy<'s> {
    pub(crate) fn of(scene: &'s Scene, name: &'s str) -> Self {
        Self { scene, name, environment: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scene.lab.path().join(self.name)
    }

    pub(crate) fn restore(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.lab.command(&self.scene.guard);
        command.arg("restore").args(arguments).arg("--target").arg(self.path());
        command.arg("--pgdata").arg(self.scene.cluster.pgdata());
        command.env("PGBACKREST_CONFIG", self.scene.backrest.config_file()).env("WAL_GET_RETRY_SECONDS", "3");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Restores, and says all that was printed.
    #[track_caller]
    pub(crate) fn restored(&self, arguments: &[&str]) -> String {
        let output = self.restore(arguments);
        let log = fs::read_to_string(self.folder().join("server.log")).unwrap_or_default();
        assert_eq!(output.status.code(), Some(0), "{}\n{log}", text(&output));
        text(&output)
    }

    /// That it is refused, with these words, and nothing is there.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.restore(arguments);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        for word in words {
            assert!(text(&output).contains(word), "no '{word}' in {}", text(&output));
        }
    }

    /// The working folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.scene.lab.path().join(format!(".{}.pgbackrest-guard-restore", self.name))
    }

    /// The copy, started by what it brought along, as a person would.
    pub(crate) fn start(&self) -> Cluster {
        assert!(!self.folder().exists(), "the working folder is left behind");
        let cluster = Cluster::builder(&self.scene.lab).name(self.name).adopt();
        cluster.start().unwrap_or_else(|log| panic!("the copy does not start:\n{log}"));
        cluster
    }

    /// The rows of the copy.
    pub(crate) fn rows(&self) -> String {
        let cluster = self.start();
        assert_eq!(cluster.sql("SELECT pg_is_in_recovery()"), "f");
        assert_eq!(cluster.sql("SHOW archive_mode"), "off");
        assert_eq!(cluster.sql("SHOW restore_command"), "");
        rows(&cluster)
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn rows(cluster: &Cluster) -> String {
    cluster.sql("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM t")
}

/// Commits a row in a segment of its own, with the clock's whole seconds well before and after it; the transaction.
pub(crate) fn commit(cluster: &Cluster, row: u32) -> String {
    sleep(APART);
    let xid = cluster.sql(&format!(
        "BEGIN; INSERT INTO t VALUES ({row}); SELECT txid_current(); COMMIT; SELECT pg_switch_wal() IS NULL;"
    ));
    sleep(APART);
    xid.lines().next().unwrap().to_owned()
}

pub(crate) fn clock(cluster: &Cluster) -> String {
    cluster.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
}

/// A full backup, and a moment between two commits behind it.
pub(crate) fn between_two_commits() -> (Scene, String) {
    let scene = backed_up();
    commit(&scene.cluster, 1);
    let time = clock(&scene.cluster);
    commit(&scene.cluster, 2);
    archived(&scene);
    (scene, time)
}

/// A full backup of a cluster with a table.
pub(crate) fn backed_up() -> Scene {
    prepared(scene())
}

pub(crate) fn prepared(scene: Scene) -> Scene {
    scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    scene.cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    scene
}

pub(crate) fn archived(scene: &Scene) {
    let segment = scene.cluster.switch_wal();
    scene.cluster.wait_archived(&segment, WAIT);
}

/// R8: what lies in no window is refused, and the nearest moments are named. R10: what was reached is said beside what was
/// asked for.
#[test]
fn live_restore_to_every_kind_of_target() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    // A window begins with the first whole second behind its backup.
    sleep(APART);
    let before = clock(cluster);
    commit(cluster, 1);
    let time = clock(cluster);
    let lsn = cluster.sql("SELECT pg_current_wal_lsn()");
    let xid = commit(cluster, 2);
    cluster.sql("SELECT pg_create_restore_point('here')");
    commit(cluster, 3);
    archived(&scene);
    for (name, arguments, expected) in [
        ("time", vec!["--to", time.as_str()], "1"),
        ("lsn", vec!["--to-lsn", &lsn], "1"),
        ("xid", vec!["--to-xid", &xid], "1 2"),
        ("name", vec!["--to-name", "here"], "1 2"),
        ("latest", vec!["latest"], "1 2 3"),
        ("immediate", vec!["immediate"], ""),
    ] {
        let copy = Copy::of(&scene, name);
        let said = copy.restored(&arguments);
        assert!(said.contains("asked for") && said.contains("reached   timeline 1"), "{said}");
        assert_eq!(copy.rows(), expected, "{name}: {said}");
    }
    let copy = Copy::of(&scene, "none");
    copy.refused(&["--to", "2001-01-01T00:00:00Z"], &["older than every usable backup", "after it: 2"]);
    copy.refused(&["--to", "2099-01-01 00:00:00+00"], &["no commit after it is known", "nearest moment before it: 2"]);
    copy.refused(&["--to-lsn", "F/0"], &["the archived WAL ends before it", "before it: 0/"]);
    copy.refused(&["--set", "20200101-000000F"], &["there is no backup 20200101-000000F; there are: 2"]);
    assert!(!copy.path().exists() && !copy.folder().exists());
    assert_eq!(copy.restore(&["--to", "2026-11-22 10:00:00"]).status.code(), Some(2));
    let plan = text(&copy.restore(&["--to", &time, "--dry-run"]));
    assert!(plan.contains("nothing was done") && !copy.path().exists(), "{plan}");
    let early = copy.restore(&["--to", &before, "--dry-run"]);
    assert_eq!(early.status.code(), Some(0), "right behind the backup: {}", text(&early));
}

/// R5: each step can be done again.
#[test]
fn long_restore_killed_at_every_checkpoint_goes_on() {
    let (scene, time) = between_two_commits();
    for checkpoint in OF_RESTORE.iter().copied() {
        let killed = Copy::of(&scene, checkpoint).with("WAL_GUARD_TEST_KILL_AT", checkpoint);
        let output = killed.restore(&["--to", &time]);
        assert_eq!(output.status.code(), None, "{checkpoint}: {}", text(&output));
        let copy = Copy::of(&scene, checkpoint);
        // Another target is not what is under way, and the plain start of a half-made copy is nobody's wish.
        copy.refused(&["latest"], &["is under way"]);
        copy.restored(&["--to", &time]);
        assert_eq!(copy.rows(), "1", "{checkpoint}");
    }
}

#[test]
fn live_restore_goes_on_after_an_outage_and_a_signal() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    let first = cluster.current_segment();
    commit(cluster, 1);
    archived(&scene);
    let copy = Copy::of(&scene, "copy");
    // The archive's first segment behind the backup can't be fetched: WAL_GET_RETRY_SECONDS pass.
    scene.s3.inject(Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, &first)));
    let output = copy.restore(&["latest"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("could no longer be queried, and nothing was promoted"), "{}", text(&output));
    assert!(text(&output).contains("the same command resumes it"), "{}", text(&output));
    // The same while we are told to end.
    let patient = Copy::of(&scene, "copy").with("WAL_GET_RETRY_SECONDS", "300");
    let child = patient.command(&["latest"]).stderr(Stdio::piped()).spawn().unwrap();
    let log = copy.folder().join("server.log");
    let started = fs::metadata(&log).unwrap().len();
    cluster.wait_until("the replay waits", WAIT, || fs::metadata(&log).is_ok_and(|log| log.len() > started));
    Lab::signal(child.id().try_into().unwrap(), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("interrupted by a signal; the same command resumes it"), "{}", text(&output));
    scene.s3.clear_faults();
    copy.restored(&["latest"]);
    assert_eq!(copy.rows(), "1");
}

/// R4: a cluster, a running server and what is none of ours stay. R8: refused before the first byte. R15: what has failed
/// for good is not tried again.
#[test]
fn live_restore_refuses_what_would_destroy_something() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    commit(cluster, 1);
    archived(&scene);
    let own = Copy::of(&scene, "data");
    assert_eq!(own.path(), cluster.pgdata());
    for arguments in [&["latest"][..], &["latest", "--replace"]] {
        own.refused(arguments, &["a server runs on"]);
    }
    assert!(cluster.is_running() && !own.folder().exists());
    cluster.stop(StopMode::Fast);
    own.refused(&["latest"], &["holds a cluster", "--replace"]);
    own.refused(&["latest", "--dry-run"], &["holds a cluster", "--replace"]);
    // A restore that is under way does not end what somebody else has started on its copy.
    let taken = Copy::of(&scene, "taken").with("WAL_GUARD_TEST_KILL_AT", "restore-proved");
    assert_eq!(taken.restore(&["latest"]).status.code(), None);
    let others = Cluster::builder(&scene.lab).name("taken").adopt();
    others.start().unwrap();
    Copy::of(&scene, "taken").refused(&["latest"], &["a server runs on"]);
    assert!(others.is_running());
    let other = Copy::of(&scene, "other");
    let kept = scene.lab.write_file(scene.lab.folder("other").join("a-file"), "precious");
    other.refused(&["latest", "--replace"], &["is not empty and holds no cluster"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "precious");
    // A transaction that never was: the replay comes to the end of the archive.
    let never = Copy::of(&scene, "never");
    let output = never.restore(&["--to-xid", "99999"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("was not reached") && text(&output).contains("nothing was promoted"),
        "{}",
        text(&output)
    );
    never.refused(&["--to-xid", "99999"], &["the same restore failed before, and the archive has not changed"]);
    own.restored(&["latest", "--replace"]);
    assert!(!own.folder().exists());
    cluster.start().unwrap();
    assert_eq!(rows(cluster), "1");
}

/// R9: after a failover the line is followed that holds the moment.
#[test]
fn live_restore_follows_the_timeline_that_holds_the_moment() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    commit(cluster, 1);
    let before = clock(cluster);
    archived(&scene);
    // A standby takes over; the old primary commits what nobody follows.
    let second = Cluster::builder(&scene.lab).name("second");
    let config = PgBackRest::builder(&scene.lab).name("pgbackrest-of-second").postgres(&second);
    let config = config.repo_s3(&scene.s3, "wal", KEY, SECRET, "/repo").write();
    let push = scene.guard.with_file_name("pgbackrest-guard-push");
    let command = format!("PGBACKREST_CONFIG={} {} %p", config.config_file().display(), push.display());
    let second = second.archive_command(&command).standby_of(cluster);
    second.start().unwrap();
    second.promote();
    commit(cluster, 7);
    archived(&scene);
    commit(&second, 2);
    let after = clock(&second);
    commit(&second, 3);
    let segment = second.switch_wal();
    second.wait_archived(&segment, WAIT);
    // Both timelines hold the moment before the switch; the one that the cluster is on is followed.
    for (name, arguments, expected) in [
        ("before", vec!["--to", before.as_str()], "1"),
        ("after", vec!["--to", after.as_str()], "1 2"),
        ("latest", vec!["latest"], "1 2 3"),
    ] {
        let copy = Copy::of(&scene, name);
        let said = copy.restored(&arguments);
        assert!(said.contains("reached   timeline 2"), "{said}");
        assert_eq!(copy.rows(), expected, "{said}");
    }
}

#[test]
fn live_restore_names_the_nearest_moments_around_a_gap() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    commit(cluster, 1);
    let before = clock(cluster);
    // PostgreSQL stops at a moment only before a commit that is later.
    commit(cluster, 4);
    archived(&scene);
    scene.s3.revoke_key(KEY);
    commit(cluster, 2);
    let inside = clock(cluster);
    let lost = cluster.switch_wal();
    cluster.wait_archived(&lost, WAIT);
    scene.s3.restore_key(KEY);
    commit(cluster, 3);
    archived(&scene);
    let copy = Copy::of(&scene, "copy");
    copy.refused(&["--to", &inside], &["nearest moment before it"]);
    assert!(!copy.path().exists() && !copy.folder().exists());
    let said = copy.restored(&["--to", &before]);
    assert_eq!(copy.rows(), "1", "{said}");
}

#[test]
fn live_restore_puts_tablespaces_where_they_may_go() {
    let scene = prepared(scene_with(|backrest| backrest, |postgres| postgres));
    let cluster = &scene.cluster;
    let [origins, mapped] = ["space", "mapped"].map(|name| scene.lab.folder(name));
    cluster.sql(&format!("CREATE TABLESPACE roomy LOCATION '{}'", origins.display()));
    cluster.sql("CREATE TABLE s (n int) TABLESPACE roomy; INSERT INTO s VALUES (42)");
    // WAL on a volume of its own: a link, which the copy does not follow.
    cluster.stop(StopMode::Fast);
    let elsewhere = scene.lab.path().join("wal-volume");
    fs::rename(cluster.pg_wal(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, cluster.pg_wal()).unwrap();
    cluster.start().unwrap();
    scene.backrest.backup("full");
    archived(&scene);
    let copy = Copy::of(&scene, "copy");
    copy.refused(&["latest"], &["the tablespace roomy would go to", "is not empty", "--tablespace-map=roomy=DIR"]);
    copy.refused(&["latest", "--tablespace-map=none=/tmp/x"], &["has no tablespace none; it has: roomy"]);
    copy.restored(&["latest", &format!("--tablespace-map=roomy={}", mapped.display())]);
    assert!(copy.path().join("pg_wal").symlink_metadata().unwrap().is_dir(), "a folder of its own");
    let restored = copy.start();
    assert_eq!(restored.sql("SELECT n FROM s"), "42");
    assert_eq!(
        restored.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'roomy'"),
        mapped.display().to_string()
    );
}

#[test]
fn live_restore_takes_an_encrypted_chain_out_of_the_second_repository_when_the_first_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let two = |backrest: PgBackRestBuilder| {
        let backrest = backrest.option("global", "io-timeout", "1").repo_posix(&folder.path().join("second"));
        let backrest = backrest.option("global", "repo2-cipher-type", "aes-256-cbc");
        backrest.option("global", "repo2-cipher-pass", "passphrase").option("global", "repo2-bundle", "y")
    };
    let scene = prepared(scene_with(two, |postgres| postgres));
    let cluster = &scene.cluster;
    for (row, kind) in [(1, "full"), (2, "diff"), (3, "incr")] {
        scene.backrest.ok(&["--repo=2", &format!("--type={kind}"), "backup"]);
        commit(cluster, row);
    }
    archived(&scene);
    scene.s3.revoke_key(KEY);
    let copy = Copy::of(&scene, "copy");
    let said = copy.restored(&["latest"]);
    assert!(said.contains("repository 2"), "{said}");
    assert_eq!(copy.rows(), "1 2 3", "{said}");
    // Nothing is promised of the first one while it can't be asked.
    let first = Copy::of(&scene, "first");
    let output = first.restore(&["latest", "--repo", "1"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("nothing was touched: "), "{}", text(&output));
    assert!(!first.path().exists() && !first.folder().exists(), "{}", text(&output));
}
