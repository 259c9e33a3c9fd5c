//! `restore` and `drill` with PostgreSQL's programs of another version, with one of them missing, and with a role that is no
//! superuser.

use super::drill::{archived as drillable, command, drill, stage};
use super::drill_finds::unverified;
use super::restore::{Copy, archived, backed_up, clock, commit};
use super::watch::{Scene, scene};
use pgbackrest_guard_lab::postgres_programs;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

/// A folder of PostgreSQL's programs without some of them.
fn programs_without(scene: &Scene, name: &str, missing: &[&str]) -> PathBuf {
    let folder = scene.lab.folder(name);
    for entry in fs::read_dir(postgres_programs()).unwrap().flatten() {
        if !missing.iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    folder
}

fn major(scene: &Scene) -> u32 {
    scene.cluster.sql("SELECT current_setting('server_version_num')::int / 10000").parse().unwrap()
}

/// R8: what is installed is of another major version, or a part of it is missing: refused before the first byte.
#[test]
fn live_restore_refuses_programs_of_another_version_and_missing_ones() {
    let scene = backed_up();
    commit(&scene.cluster, 1);
    archived(&scene);
    let major = major(&scene);
    // All that is asked of it is its version.
    let other = programs_without(&scene, "other", &["postgres"]);
    let postgres = scene
        .lab
        .write_file(other.join("postgres"), format!("#!/bin/sh\necho 'postgres (PostgreSQL) {}.1'\n", major + 1));
    fs::set_permissions(&postgres, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = Copy::of(&scene, "copy");
    let bin = |folder: &PathBuf| format!("--postgres-bin={}", folder.display());
    let words = format!("the backup is from PostgreSQL {major}, whose programs are not in {}", other.display());
    copy.refused(&["latest", &bin(&other)], &["nothing was touched", &words, "--postgres-bin"]);
    let without = programs_without(&scene, "without", &["pg_controldata"]);
    let words = format!("{} has no pg_controldata", without.display());
    copy.refused(&["latest", &bin(&without)], &["nothing was touched", &words, "install", "--postgres-bin"]);
    assert!(!copy.path().exists() && !copy.folder().exists());
    // A drill needs the same, and shows nothing without.
    unverified(&drill(&scene, &[&bin(&without)], 3), "restore", "has no pg_controldata");
}

/// What a drill looks through a copy with is no part of the copy: where it is missing, nothing is shown to be broken.
#[test]
fn live_drill_without_a_program_is_not_failed() {
    let scene = scene();
    drillable(&scene);
    let without = programs_without(&scene, "without", &["pg_dump", "pg_dumpall"]);
    // It looks where it lies itself, through links.
    fs::copy(postgres_programs().join("pg_dumpall"), without.join("pg_dumpall")).unwrap();
    let record = drill(&scene, &[&format!("--postgres-bin={}", without.display())], 3);
    unverified(&record, "read", "pg_dump");
    // PostgreSQL 13 has no such program.
    if postgres_programs().join("pg_amcheck").exists() {
        assert_eq!(stage(&record, "amcheck")["verdict"], "passed", "{record}");
    }
}

/// As pgBackRest's own may be: one with the rights that a backup needs.
#[test]
fn live_restore_and_drill_as_a_role_that_is_no_superuser() {
    let scene = backed_up();
    scene.cluster.sql("CREATE ROLE plain LOGIN; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC");
    commit(&scene.cluster, 1);
    let time = clock(&scene.cluster);
    commit(&scene.cluster, 2);
    archived(&scene);
    let copy = Copy::of(&scene, "copy").with("PGUSER", "plain").with("WAL_GUARD_TEST_PATIENCE_SECONDS", "5");
    let said = copy.restored(&["--to", &time]);
    assert_eq!(copy.rows(), "1", "{said}");
    let output = command(&scene, "drill", &["--json"]).env("PGUSER", "plain").output().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["verdict"], "passed", "{record}");
}

/// A socket's path may have 107 bytes (unix(7)); that of a data directory may be any number longer.
#[test]
fn live_restore_and_drill_where_the_path_of_a_socket_would_be_too_long() {
    let scene = scene();
    drillable(&scene);
    scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let long = "l".repeat(100);
    let copy = Copy::of(&scene, &long);
    copy.restored(&["latest"]);
    assert!(copy.path().join("PG_VERSION").exists() && !copy.folder().exists());
    let folder = scene.lab.path().join("d".repeat(100));
    let output = command(&scene, "drill", &["--json"]).env("WAL_DRILL_DIR", &folder).output().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["verdict"], "passed", "{record}");
    assert!(!folder.exists());
    let left = fs::read_dir("/tmp").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let left: Vec<PathBuf> = left.filter(|to| to.starts_with(scene.lab.path())).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "links to its sockets");
}
