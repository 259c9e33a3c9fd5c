//! `restore` out of a real archive: every kind of target, the refusals, and a kill at every checkpoint.

use super::watch::{KEY, Scene, WAIT, scene};
use pgbackrest_guard::checkpoint::OF_RESTORE;
use pgbackrest_guard_lab::{Cluster, PgBackRest};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

/// A target's time is a whole second; moments must lie apart.
const APART: Duration = Duration::from_millis(1100);

/// A copy to be.
struct Copy<'s> {
    scene: &'s Scene,
    name: &'s str,
    environment: Vec<(&'static str, String)>,
}

impl<'s> Copy<'s> {
    fn of(scene: &'s Scene, name: &'s str) -> Self {
        Self { scene, name, environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn path(&self) -> PathBuf {
        self.scene.lab.path().join(self.name)
    }

    fn restore(&self, arguments: &[&str]) -> Output {
        let mut command = self.scene.lab.command(&self.scene.guard);
        command.arg("restore").args(arguments).arg("--target").arg(self.path());
        command.arg("--pgdata").arg(self.scene.cluster.pgdata());
        command.env("PGBACKREST_CONFIG", self.scene.backrest.config_file()).env("WAL_GET_RETRY_SECONDS", "3");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    /// Restores, and says all that was printed.
    #[track_caller]
    fn restored(&self, arguments: &[&str]) -> String {
        let output = self.restore(arguments);
        let log = fs::read_to_string(self.folder().join("server.log")).unwrap_or_default();
        assert_eq!(output.status.code(), Some(0), "{}\n{log}", text(&output));
        text(&output)
    }

    /// That it is refused, with these words, and nothing is there.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.restore(arguments);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        for word in words {
            assert!(text(&output).contains(word), "no '{word}' in {}", text(&output));
        }
    }

    /// The working folder.
    fn folder(&self) -> PathBuf {
        self.scene.lab.path().join(format!(".{}.pgbackrest-guard-restore", self.name))
    }

    /// The copy, started by what it brought along, as a person would.
    fn start(&self) -> Cluster {
        assert!(!self.folder().exists(), "the working folder is left behind");
        let cluster = Cluster::builder(&self.scene.lab).name(self.name).adopt();
        cluster.start().unwrap_or_else(|log| panic!("the copy does not start:\n{log}"));
        cluster
    }

    /// The rows of the copy.
    fn rows(&self) -> String {
        let cluster = self.start();
        assert_eq!(cluster.sql("SELECT pg_is_in_recovery()"), "f");
        assert_eq!(cluster.sql("SHOW archive_mode"), "off");
        assert_eq!(cluster.sql("SHOW restore_command"), "");
        rows(&cluster)
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn rows(cluster: &Cluster) -> String {
    cluster.sql("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM t")
}

/// Commits a row in a segment of its own, with the clock's whole seconds well before and after it; the transaction.
fn commit(cluster: &Cluster, row: u32) -> String {
    sleep(APART);
    let xid = cluster.sql(&format!(
        "BEGIN; INSERT INTO t VALUES ({row}); SELECT txid_current(); COMMIT; SELECT pg_switch_wal() IS NULL;"
    ));
    sleep(APART);
    xid.lines().next().unwrap().to_owned()
}

fn clock(cluster: &Cluster) -> String {
    cluster.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
}

/// A full backup of a cluster with a table.
fn backed_up() -> Scene {
    let scene = scene();
    scene.cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    scene
}

fn archived(scene: &Scene) {
    let segment = scene.cluster.switch_wal();
    scene.cluster.wait_archived(&segment, WAIT);
}

#[test]
fn live_restore_to_every_kind_of_target() {
    let scene = backed_up();
    let cluster = &scene.cluster;
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
    copy.refused(&["--to-lsn", "F/0"], &["lies in no stretch", "before it: 0/"]);
    copy.refused(&["--set", "20200101-000000F"], &["there is no backup 20200101-000000F; there are: 2"]);
    assert!(!copy.path().exists() && !copy.folder().exists());
    assert_eq!(copy.restore(&["--to", "2026-11-22 10:00:00"]).status.code(), Some(2));
    let plan = text(&copy.restore(&["--to", &time, "--dry-run"]));
    assert!(plan.contains("nothing was done") && !copy.path().exists(), "{plan}");
    let early = copy.restore(&["--to", &before, "--dry-run"]);
    assert_eq!(early.status.code(), Some(0), "right behind the backup: {}", text(&early));
}
