//! Setup with real programs: initdb in the order of a container's first boot, PostgreSQL on the result, segments in the
//! bucket; then the life of a volume, on, off, on, another bucket, junk, on again.

use pgbackrest_guard_lab::{Cluster, Lab, S3Server, StopMode, postgres_programs, program_on_path};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
const WAIT: Duration = Duration::from_mins(1);

struct Volume {
    lab: Lab,
    s3: S3Server,
    guard: PathBuf,
    pgbackrest: PathBuf,
    pgdata: PathBuf,
    conf: PathBuf,
}

impl Volume {
    /// An empty volume, two buckets, and a pgBackRest that is told what the test's server and store need of it.
    fn new(lab: Lab, pgdata: PathBuf, port: u16) -> Self {
        let s3 = S3Server::start(&lab);
        s3.add_key(KEY, SECRET);
        s3.create_bucket("wal-one");
        s3.create_bucket("wal-two");
        fs::create_dir(&pgdata).unwrap();
        fs::set_permissions(&pgdata, fs::Permissions::from_mode(0o700)).unwrap();
        lab.give(&pgdata);
        let path = lab.path().display().to_string();
        let script = format!(
            "#!/bin/sh\nexport PGBACKREST_REPO1_STORAGE_CA_FILE='{}' PGBACKREST_LOCK_PATH='{path}/lock'\n\
             export PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_IO_TIMEOUT=5 PGBACKREST_ARCHIVE_TIMEOUT=20\n\
             export PGBACKREST_PG1_PORT={port} PGBACKREST_PG1_SOCKET_PATH='{path}' PGBACKREST_PG1_USER=postgres\n\
             export PGBACKREST_START_FAST=y\nexec {} \"$@\"\n",
            s3.ca_file().display(),
            program_on_path("pgbackrest").display()
        );
        let pgbackrest = lab.write_file("pgbackrest", script);
        fs::set_permissions(&pgbackrest, fs::Permissions::from_mode(0o755)).unwrap();
        lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
        let conf = lab.path().join("etc/pgbackrest.conf");
        Self { lab, s3, guard, pgbackrest, pgdata, conf }
    }

    /// The guard, by the boot script (as root, where the test is root) or by the server's user.
    fn guard(&self, as_server: bool, task: &str) -> Command {
        let mut command = if as_server { self.lab.command(&self.guard) } else { Command::new(&self.guard) };
        command.arg(task).env("PGDATA", &self.pgdata).env("PGBACKREST_CONFIG", &self.conf);
        command.env("WAL_GUARD_PGBACKREST", &self.pgbackrest).env("PATH", "/usr/bin:/bin");
        command
    }

    fn setup(&self, as_server: bool, bucket: &str) -> String {
        let mut command = self.guard(as_server, "setup");
        command
            .env("WAL_ARCHIVE_BUCKET", bucket)
            .env("WAL_ARCHIVE_ENDPOINT", format!("{}:{}", self.s3.host(), self.s3.port()));
        command.env("WAL_ARCHIVE_REGION", "us-east-1").env("WAL_ARCHIVE_KEY", KEY).env("WAL_ARCHIVE_SECRET", SECRET);
        command.env("WAL_ARCHIVE_PATH", "/prod/");
        said(command.output().unwrap())
    }

    /// One poll of the watcher: the stanza, then a full backup.
    fn watch_once(&self) -> String {
        let mut command = self.guard(true, "watch");
        command.arg("--once").env("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1").env("PGUSER", "postgres");
        said(command.output().unwrap())
    }

    fn pgbackrest(&self, arguments: &[&str]) -> String {
        let mut command = self.lab.command(&self.pgbackrest);
        command.arg(format!("--config={}", self.conf.display())).arg("--stanza=main").args(arguments);
        said(command.output().unwrap())
    }

    /// Writes a segment and waits for it in the bucket.
    #[track_caller]
    fn archives(&self, cluster: &Cluster) {
        let segment = cluster.write_wal(1).remove(0);
        cluster.wait_archived(&segment, WAIT);
        let folder = self.pgbackrest(&["repo-ls", "--recurse", "archive/main"]);
        assert!(folder.contains(&segment), "{segment} in {folder}");
    }
}

#[track_caller]
fn said(output: Output) -> String {
    let Output { status, stdout, stderr } = output;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    eprintln!("{said}");
    assert!(status.success() && !said.contains(SECRET) && !said.contains(KEY), "{status}: {said}");
    said
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// The first boot: setup as root, initdb, the hook as the server's user, which may not write beside the configuration.
fn first_boot(volume: &Volume) {
    volume.setup(false, "wal-one");
    assert!(is_empty(&volume.pgdata));
    let file = fs::metadata(&volume.conf).unwrap();
    let owner = fs::metadata(&volume.pgdata).unwrap().uid();
    assert_eq!((file.mode() & 0o7777, file.uid()), (0o640, owner));
    let folder = volume.conf.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    let mut initdb = volume.lab.command(postgres_programs().join("initdb"));
    said(initdb.args(["--no-sync", "--username=postgres", "-D"]).arg(&volume.pgdata).output().unwrap());
    let automatic = fs::read(volume.pgdata.join("postgresql.auto.conf")).unwrap();
    let hook = volume.setup(true, "wal-one");
    assert!(hook.contains("archiving is configured"), "{hook}");
    assert_eq!(fs::read(volume.pgdata.join("postgresql.auto.conf")).unwrap(), automatic);
    assert!(volume.setup(false, "wal-one").contains("nothing changed"));
    fs::write(volume.pgdata.join("conf.d/own.conf"), "work_mem = '5MB'\n").unwrap();
    volume.lab.give(&volume.pgdata.join("conf.d/own.conf"));
}

#[test]
fn live_setup_serves_a_volume_through_its_life() {
    let lab = Lab::new();
    let builder = Cluster::builder(&lab);
    let volume = Volume::new(lab.clone(), builder.pgdata(), builder.port());
    first_boot(&volume);
    let cluster = builder.adopt();
    cluster.start().unwrap();
    let shown = |name: &str| cluster.sql(&format!("SHOW {name}"));
    let settings =
        || (shown("archive_mode"), shown("archive_timeout"), shown("track_commit_timestamp"), shown("work_mem"));
    let on = || ("on".to_owned(), "1min".to_owned(), "on".to_owned(), "5MB".to_owned());
    assert_eq!(settings(), on());
    let identifier = cluster.system_identifier();
    let watched = volume.watch_once();
    assert!(
        watched.contains("stanza-create completed") && watched.contains("backup --type=full completed"),
        "{watched}"
    );
    volume.archives(&cluster);
    let conf = fs::read_to_string(&volume.conf).unwrap();
    assert!(conf.contains(&format!("repo1-path=/prod/cluster-{identifier}\n")), "{conf}");
    let backup = volume.pgbackrest(&["repo-ls", "--recurse", "backup/main"]);
    assert!(backup.contains("pg_data/PG_VERSION") && !backup.contains("pgbackrest-spool"), "{backup}");
    assert!(!backup.contains(".pgbackrest_") && volume.pgdata.join(".pgbackrest_guard/ledger").exists(), "{backup}");
    assert!(volume.pgdata.join("pgbackrest-spool/archive/main/out").is_dir());

    // Off, and on again: the watcher sees what was written meanwhile and is nowhere.
    let restarted_with = |bucket: &str| {
        let said = volume.setup(false, bucket);
        cluster.restart();
        (said, shown("archive_mode"))
    };
    assert_eq!(restarted_with("").1, "off");
    cluster.write_wal(3);
    assert!(!volume.pgdata.join(".pgbackrest_backup_state").exists());
    assert_eq!((restarted_with("wal-one").1, settings()), ("on".to_owned(), on()));
    volume.archives(&cluster);
    let watched = volume.watch_once();
    assert!(watched.contains("are missing in every repository that was walked: a gap is recorded"), "{watched}");

    // Another bucket: the same path there, a stanza and a full backup of its own.
    assert_eq!(restarted_with("wal-two").1, "on");
    let watched = volume.watch_once();
    assert!(watched.contains("backup --type=full completed"), "{watched}");
    volume.archives(&cluster);

    // Junk, with which the server starts and push says so; then the bucket again.
    let (said, mode) = restarted_with("${{bucket.BUCKET}}");
    assert!(mode == "off" && said.contains("unresolved-template-ref"), "{said}");
    let mut push = volume.lab.command(volume.guard.with_file_name("pgbackrest-guard-push"));
    let push = push.current_dir(&volume.pgdata).arg("pg_wal/000000010000000000000001").output().unwrap();
    let said_by_push = String::from_utf8_lossy(&push.stderr).into_owned();
    assert!(push.status.success() && said_by_push.contains("unresolved-template-ref"), "{said_by_push}");
    assert_eq!(restarted_with("wal-two").1, "on");
    assert!(!volume.pgdata.join(".pgbackrest_invalid_bucket").exists());
    volume.archives(&cluster);
    let main = fs::read_to_string(volume.pgdata.join("postgresql.conf")).unwrap();
    assert_eq!(main.lines().filter(|line| line.starts_with("include_dir")).count(), 1);
    cluster.stop(StopMode::Fast);
    configured_elsewhere(&volume);
}

/// As on Debian: the configuration outside the data directory, which PostgreSQL itself reads as setup meant it.
fn configured_elsewhere(volume: &Volume) {
    let folder = volume.lab.folder("server");
    let main = folder.join("postgresql.conf");
    fs::remove_file(volume.pgdata.join("postgresql.conf")).unwrap();
    volume.lab.write_file(&main, "work_mem = '6MB'\n");
    let option = format!("config_file={}", main.display());
    fs::write(volume.pgdata.join("postmaster.opts"), format!("postgres \"-c\" \"{option}\"\n")).unwrap();
    let value = |name: &str| {
        let mut postgres = volume.lab.command(postgres_programs().join("postgres"));
        let output = postgres.arg("-D").arg(&volume.pgdata).args(["-c", &option, "-C", name]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(value("archive_mode"), "off");
    volume.setup(false, "wal-two");
    assert_eq!(
        (value("archive_mode"), value("archive_timeout"), value("work_mem")),
        ("on".into(), "60".into(), "6144".into())
    );
    assert!(value("archive_command").contains("/pgbackrest-guard-push "));
    volume.setup(false, "");
    assert_eq!(value("archive_mode"), "off");
    // The snippet for people who configure the server themselves says the same.
    let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/postgresql/pgbackrest-guard.conf");
    volume.lab.write_file(folder.join("conf.d/snippet.conf"), fs::read(snippet).unwrap());
    assert_eq!((value("archive_mode"), value("archive_timeout")), ("on".into(), "60".into()));
    assert_eq!(value("archive_command"), "pgbackrest-guard-push %p");
    assert_eq!(value("restore_command"), "pgbackrest-guard-get %f \"%p\"");
}
