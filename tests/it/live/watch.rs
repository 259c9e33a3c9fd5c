//! The watcher with real programs: the first full backup, healing, sealing, and a catalog that is not believed blindly.

use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, ClusterBuilder, Lab, PgBackRest, PgBackRestBuilder, S3Server};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
pub(crate) const WAIT: Duration = Duration::from_mins(1);

pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) s3: S3Server,
    pub(crate) backrest: PgBackRest,
    pub(crate) cluster: Cluster,
    pub(crate) guard: PathBuf,
}

/// A cluster that archives through the guard; no stanza yet.
pub(crate) fn scene() -> Scene {
    scene_with(|backrest| backrest, |postgres| postgres)
}

/// The same, with pgBackRest and PostgreSQL set up further.
pub(crate) fn scene_with(
    backrest: impl FnOnce(PgBackRestBuilder) -> PgBackRestBuilder,
    postgres: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
) -> Scene {
    let (with_backrest, with_postgres) = (backrest, postgres);
    let lab = Lab::new();
    let s3 = S3Server::start(&lab);
    s3.create_bucket("wal");
    s3.add_key(KEY, SECRET);
    let builder = with_postgres(Cluster::builder(&lab));
    let backrest = PgBackRest::builder(&lab).postgres(&builder).repo_s3(&s3, "wal", KEY, SECRET, "/repo");
    // Without it each of a thousand small files is a request.
    let backrest = backrest.option("global", "repo1-bundle", "y");
    let backrest = with_backrest(backrest).write();
    let push = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
    let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let command = format!("PGBACKREST_CONFIG={} {} %p", backrest.config_file().display(), push.display());
    let cluster = builder.archive_command(&command).start();
    Scene { lab, s3, backrest, cluster, guard }
}

impl Scene {
    /// One poll of the watcher, with these variables.
    pub(crate) fn watch_once(&self, variables: &[(&str, &str)]) -> String {
        self.watch_once_at(&self.cluster, variables)
    }

    /// The watcher of a cluster, not started.
    pub(crate) fn watcher(&self, cluster: &Cluster, variables: &[(&str, &str)]) -> Command {
        let mut command = self.lab.command(&self.guard);
        command.args(["watch", "--pgdata"]).arg(cluster.pgdata());
        command.env("PGBACKREST_CONFIG", self.backrest.config_file());
        command.env("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "0");
        command.env("PGUSER", cluster.sql("select current_user").trim());
        command.envs(variables.iter().copied());
        command
    }

    /// The same at another cluster.
    pub(crate) fn watch_once_at(&self, cluster: &Cluster, variables: &[(&str, &str)]) -> String {
        let mut command = self.watcher(cluster, variables);
        let command = command.arg("--once");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success(), "{status}: {said}");
        eprintln!("{said}");
        said
    }

    pub(crate) fn states(&self) -> Vec<(GapState, u64)> {
        let state = Ledger::peek(&self.cluster.pgdata().join(".pgbackrest_guard")).unwrap().unwrap();
        let size = state.segment_size();
        state.gaps.iter().map(|gap| (gap.state, gap.segments(size))).collect()
    }

    pub(crate) fn backups(&self) -> usize {
        self.backrest.info().stdout.matches("\"label\"").count()
    }
}

#[test]
fn live_watch_takes_the_first_full_and_verifies_it() {
    let scene = scene();
    let said = scene.watch_once(&[]);
    assert!(said.contains("stanza-create completed") && said.contains("backup --type=full completed"), "{said}");
    assert_eq!(scene.backups(), 1);
    let said = scene.watch_once(&[("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")]);
    assert!(said.contains("catalog verified"), "{said}");
    scene.s3.revoke_key(KEY);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")]);
    assert!(said.contains("catalog check inconclusive") && said.contains("InvalidAccessKeyId"), "{said}");
    assert_eq!(scene.backups(), 0, "the revoked key hides it");
    scene.s3.restore_key(KEY);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")]);
    assert!(said.contains("catalog verified"), "{said}");
    assert_eq!(scene.backups(), 1);
}

/// `-c port=`, `PGPORT` or another default folder: what the configuration says is not where the server listens.
#[test]
fn live_watch_backs_a_server_up_that_listens_elsewhere_than_configured() {
    let elsewhere = |backrest: PgBackRestBuilder| {
        let backrest = backrest.option("main", "pg1-port", "1");
        backrest.option("main", "pg1-socket-path", "/nonexistent")
    };
    let scene = scene_with(elsewhere, |postgres| postgres);
    let said = scene.watch_once(&[]);
    assert!(said.contains("stanza-create completed") && said.contains("backup --type=full completed"), "{said}");
    assert_eq!(scene.backups(), 1);
}

#[test]
fn live_watch_heals_what_still_lies_in_pg_wal_without_a_backup() {
    let scene = scene();
    scene.watch_once(&[]);
    scene.s3.revoke_key(KEY);
    let lost = scene.cluster.write_wal(3);
    scene.cluster.wait_archived(lost.last().unwrap(), WAIT);
    assert_eq!(scene.states(), [(GapState::Open, 3)]);
    scene.s3.restore_key(KEY);
    let after = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(after.last().unwrap(), WAIT);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[]);
    assert!(said.contains("3 files are healed"), "{said}");
    assert_eq!(scene.states(), [(GapState::Healed, 3)]);
    assert_eq!(scene.backups(), 1);
    assert!(lost.iter().all(|name| scene.backrest.archived(1).contains(name)));
    let said = scene.watch_once(&[]);
    assert!(!scene.cluster.pgdata().join(".pgbackrest_gap_pending").exists(), "{said}");
}

#[test]
fn live_watch_seals_what_is_lost_for_good_by_a_backup() {
    let scene = scene();
    scene.watch_once(&[]);
    scene.s3.revoke_key(KEY);
    let lost = scene.cluster.write_wal(3);
    scene.cluster.wait_archived(lost.last().unwrap(), WAIT);
    scene.s3.restore_key(KEY);
    let after = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(after.last().unwrap(), WAIT);
    // What a checkpoint does to a segment that nobody needs any more.
    for name in &lost {
        let _ = std::fs::remove_file(scene.cluster.pg_wal().join(name));
    }
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[("WAL_BACKUP_GAP_TYPE", "diff")]);
    assert!(said.contains("backup --type=diff completed"), "{said}");
    assert_eq!(scene.states(), [(GapState::Sealed, 3)]);
    let said = scene.watch_once(&[]);
    assert!(!scene.cluster.pgdata().join(".pgbackrest_gap_pending").exists(), "{said}");
    assert_eq!(scene.backups(), 2);
}
