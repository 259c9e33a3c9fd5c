//! `run` in a container's order, with everything real: an empty volume, initdb, a temporary server, the hook, the server,
//! and its first backup; a stop; a start with a watcher that dies in the middle of a backup; a start with junk.

use crate::run::scene::{Place, Run, Scene, arguments, environment, places, stat};
use pgbackrest_guard_lab::{Fault, FaultKind, Lab, PgBackRest, S3Server, Signal, postgres_programs, program_on_path};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
pub(crate) const BUCKET: &str = "wal-archive";

/// Everything that lasts from one container to the next.
pub(crate) struct Volume {
    pub(crate) scene: Scene,
    pub(crate) s3: S3Server,
}

impl Volume {
    pub(crate) fn new(place: Place) -> Self {
        let scene = Scene::new(place);
        let s3 = S3Server::start(&scene.lab);
        s3.create_bucket(BUCKET);
        s3.add_key(KEY, SECRET);
        for folder in ["bin", "hooks", "lock", "log", "etc"] {
            scene.lab.folder(folder);
        }
        let file = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let hook = scene.lab.copy_program(file("packaging/docker/initdb-hook.sh"));
        fs::rename(hook, scene.path("hooks/zz-pgbackrest-guard.sh")).unwrap();
        scene.lab.copy_program(file("tests/it/run/entrypoint.sh"));
        // The real pgBackRest, and a note of the environment it was called in.
        let spy = scene.lab.write_file(
            "bin/pgbackrest",
            format!("#!/bin/sh\nenv >>\"$LAB/log/environment\"\nexec {} \"$@\"\n", pgbackrest()),
        );
        fs::set_permissions(spy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        scene.lab.write_file("log/environment", "");
        Self { scene, s3 }
    }

    /// A container on the volume.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Run {
        let scene = &self.scene;
        let at = |name: &str| scene.path(name).to_str().unwrap().to_owned();
        let mut command = scene.command();
        command.arg("--").arg(scene.path("bin/entrypoint.sh")).arg("postgres");
        let path = format!("{}:{}:{}", at("bin"), postgres_programs().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("PGDATA", at("data")).env("POSTGRES_USER", "app");
        for (name, value) in [("CONFIG", "etc/pgbackrest.conf"), ("LOCK_PATH", "lock"), ("LOG_PATH", "log")] {
            command.env(format!("PGBACKREST_{name}"), at(value));
        }
        command.env("PGBACKREST_REPO1_STORAGE_CA_FILE", self.s3.ca_file());
        command.envs([
            ("WAL_ARCHIVE_BUCKET", BUCKET),
            ("WAL_ARCHIVE_ENDPOINT", &format!("https://{}:{}", self.s3.host(), self.s3.port())),
            ("WAL_ARCHIVE_REGION", "us-east-1"),
            ("WAL_ARCHIVE_KEY", KEY),
            ("WAL_ARCHIVE_SECRET", SECRET),
            // Where clients find the server, which is nothing to the programs beside it.
            ("PGHOST", "db.internal"),
            ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1"),
            ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"),
            ("WAL_FREE_RESERVE_MB", "0"),
        ]);
        scene.start_command(command.envs(variables.iter().copied()))
    }

    /// Statements, as the image's superuser.
    pub(crate) fn sql(&self, statements: &str) -> String {
        let mut psql = self.scene.lab.command(postgres_programs().join("psql"));
        psql.args(["-XAtq", "-h"]).arg(self.scene.lab.path()).args(["-U", "app", "-d", "postgres", "-c", statements]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What the repository holds.
    fn repository(&self) -> PgBackRest {
        let path = fs::read_to_string(self.scene.path("data/.pgbackrest_repo_path")).unwrap();
        assert!(path.starts_with("/pgbackrest/cluster-"), "{path}");
        let builder =
            PgBackRest::builder(&self.scene.lab).pg_path(&self.scene.path("data"), 5432, self.scene.lab.path());
        builder.repo_s3(&self.s3, BUCKET, KEY, SECRET, path.trim()).write()
    }

    /// Fills a segment, and waits until it is in the repository.
    pub(crate) fn archives(&self, run: &mut Run) {
        self.sql("create table if not exists t as select 1; insert into t select generate_series(1, 1000)");
        let segment = self.sql("select pg_walfile_name(pg_switch_wal())");
        let repository = self.repository();
        run.wait("the segment is archived", |_| repository.archived(1).contains(&segment));
    }

    /// Docker's stop: the server's own fast shutdown, and nothing is left behind.
    pub(crate) fn stops(&self, mut run: Run, code: i32) {
        run.signal(Signal::INT);
        assert_eq!(run.status().code(), Some(code), "{}", run.said());
        // pgBackRest's worker is nobody's child, and ends by itself where no namespace ends it.
        run.wait("nothing is left", |_| self.scene.lab.processes().is_empty());
        assert!(!run.said().contains(SECRET), "{}", run.said());
    }
}

/// The server that CMD has become.
fn postmaster(run: &Run) -> i32 {
    *run.below("postgres").iter().find(|pid| stat(**pid, 1) == run.pid.to_string()).unwrap()
}

fn names(environment: &[String]) -> Vec<&str> {
    environment.iter().map(|pair| pair.split('=').next().unwrap_or_default()).collect()
}

#[test]
fn live_run_from_an_empty_volume_to_a_junk_bucket() {
    let volume = Volume::new(places()[0]);
    first_start(&volume);
    second_start(&volume);
    start_with_junk(&volume);
}

/// Container engines send SIGKILL ten seconds after SIGTERM; the server's next start would be a crash recovery.
#[test]
fn live_run_stops_in_time_while_the_store_hangs() {
    let volume = Volume::new(places()[0]);
    let mut run = volume.start(&[]);
    run.wait_for("backup --type=full completed");
    volume.archives(&mut run);
    volume.s3.inject(Fault::new(FaultKind::Hang));
    volume.s3.forget_requests();
    volume.sql("insert into t select 1; select pg_switch_wal()");
    run.wait("a request hangs", |_| !volume.s3.requests().is_empty());
    let begun = Instant::now();
    run.signal(Signal::INT);
    assert_eq!(run.status().code(), Some(0), "{}", run.said());
    let took = begun.elapsed();
    eprintln!("the stop took {took:?}");
    assert!(took < Duration::from_secs(10), "took {took:?}\n{}", run.said());
    assert!(!run.said().contains("dropping"), "{}", run.said());
    volume.s3.clear_faults();
    let mut next = volume.start(&[]);
    next.wait_for("watching a primary");
    assert!(!next.said().contains("was not properly shut down"), "{}", next.said());
    volume.archives(&mut next);
    volume.stops(next, 0);
}

/// The real one, behind the spy.
fn pgbackrest() -> String {
    program_on_path("pgbackrest").display().to_string()
}

fn first_start(volume: &Volume) {
    let mut run = volume.start(&[]);
    run.wait_for("init process complete");
    let said = run.said();
    assert!(said.contains("before initdb: []"), "{said}");
    assert!(said.contains("running zz-pgbackrest-guard.sh, beside [.pgbackrest*]"), "no watcher yet: {said}");
    assert!(!said.contains("iteration skipped"), "{said}");
    run.wait_for("backup --type=full completed");
    volume.archives(&mut run);
    assert_eq!(volume.repository().info().stdout.matches("\"label\"").count(), 1);

    let watch = run.below("watch --supervised")[0];
    let (watching, serving) = (environment(watch), environment(postmaster(&run)));
    assert!(serving.contains(&"PGHOST=db.internal".to_owned()), "{serving:?}");
    assert!(!names(&watching).contains(&"PGHOST") && !watching.join(" ").contains(SECRET), "{watching:?}");
    let called = fs::read_to_string(volume.scene.path("log/environment")).unwrap();
    // There is no role `postgres` here: the backup above was taken as the image's superuser.
    let configured = fs::read_to_string(volume.scene.path("etc/pgbackrest.conf")).unwrap();
    assert!(configured.contains("\npg1-user=app\n"), "{configured}");
    let strange = |line: &&str| {
        let name = line.split('=').next().unwrap();
        name.starts_with("PG") && !name.starts_with("PGBACKREST_") || name.starts_with("WAL_ARCHIVE_")
    };
    assert_eq!(called.lines().find(strange), None, "for pgBackRest");
    volume.stops(run, 0);
    assert!(fs::read_dir(volume.scene.path("data")).unwrap().count() > 10);
}

/// A backup that hangs, a watcher that is killed in the middle of it, and a stop.
fn second_start(volume: &Volume) {
    let mut run = volume.start(&[("WAL_BACKUP_FULL_INTERVAL_SECONDS", "5")]);
    run.wait_for("watching a primary");
    let serving = environment(postmaster(&run));
    assert!(!names(&serving).iter().any(|name| name.starts_with("WAL_ARCHIVE_")), "{serving:?}");
    volume.archives(&mut run);
    let program = pgbackrest();
    let is_backup = |command: &str| command.starts_with(&program) && command.contains(" backup");
    let backup = || {
        let processes = volume.scene.lab.processes().into_iter().filter(|process| is_backup(&process.command));
        processes.map(|process| process.pid).collect::<Vec<_>>()
    };
    // Before it begins, a walk of the listing would hang and hold it up.
    run.wait("a backup runs", |_| !backup().is_empty());
    volume.s3.inject(Fault::new(FaultKind::Hang));
    let (watch, running) = (run.below("watch --supervised")[0], backup());
    Lab::signal(watch, Signal::KILL);
    run.wait_for("the watcher was ended by signal 9");
    run.wait("its backup has ended with it", |_| !running.iter().any(|pid| is_backup(&arguments(*pid))));
    volume.s3.clear_faults();
    run.wait("another watcher takes over", |run| run.below("watch --supervised").iter().any(|pid| *pid != watch));
    volume.archives(&mut run);
    volume.stops(run, 0);
}

fn start_with_junk(volume: &Volume) {
    let mut run = volume.start(&[("WAL_ARCHIVE_BUCKET", "${{bucket.BUCKET}}")]);
    run.wait_for("database system is ready to accept connections");
    let serving = environment(postmaster(&run));
    let reason = "PGBACKREST_BUCKET_INVALID_REASON=unresolved-template-ref".to_owned();
    assert!(serving.contains(&reason), "{serving:?}");
    assert!(!names(&serving).iter().any(|name| name.starts_with("WAL_ARCHIVE_")), "{serving:?}");
    run.wait("the server answers", |_| volume.scene.path("data/postmaster.pid").exists());
    assert_eq!(volume.sql("show archive_mode"), "off");
    assert!(run.below("watch --supervised").is_empty());
    volume.stops(run, 0);
}
