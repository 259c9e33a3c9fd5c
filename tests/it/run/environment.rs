//! `run` before CMD: what setup came to, and what CMD finds in its environment.

use super::scene::{Place, Scene, places};
use std::fs;
use std::path::Path;

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
const VALID: [(&str, &str); 5] = [
    ("WAL_ARCHIVE_BUCKET", "wal-archive"),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:1"),
    ("WAL_ARCHIVE_REGION", "us-east-1"),
    ("WAL_ARCHIVE_KEY", "AKIAIOSFODNN7EXAMPLE"),
    ("WAL_ARCHIVE_SECRET", SECRET),
];

/// What `run -- env` prints, sorted, of the variables that matter; and what is said besides.
fn environment_of_cmd(scene: &Scene, variables: &[(&str, &str)]) -> (Vec<String>, String) {
    let (data, config) = (scene.path("data"), scene.path("etc/pgbackrest.conf"));
    let mut all: Vec<(&str, &str)> = VALID.to_vec();
    all.extend([("PGDATA", data.to_str().unwrap()), ("PGBACKREST_CONFIG", config.to_str().unwrap())]);
    all.extend([("PGHOST", "db.internal"), ("PGPORT", "6543")]);
    all.extend(variables);
    let (said, code) = scene.output("env".as_ref(), &all);
    assert_eq!(code, Some(0), "{said}");
    let is_ours = |line: &&str| line.starts_with("WAL_ARCHIVE_") || line.starts_with("PGBACKREST_BUCKET");
    let mut found: Vec<String> = said.lines().filter(is_ours).map(str::to_owned).collect();
    found.sort();
    assert!(said.contains("PGHOST=db.internal\n") && said.contains("PGPORT=6543\n"), "CMD keeps them: {said}");
    (found, said)
}

/// Without a cluster, and with one.
fn phases() -> [(bool, Scene); 2] {
    let [fresh, existing] = [Scene::new(Place::Any), Scene::new(Place::Any)];
    existing.initialised();
    [(true, fresh), (false, existing)]
}

#[test]
fn valid_settings_reach_cmd_only_where_the_hook_needs_them() {
    for (is_fresh, scene) in phases() {
        let (found, said) = environment_of_cmd(&scene, &[]);
        assert_eq!(found.len(), if is_fresh { 5 } else { 0 }, "{said}");
        assert_eq!(said.contains(SECRET), is_fresh, "{said}");
        assert_eq!(scene.path("data").exists(), !is_fresh, "nothing is made before initdb");
        assert_eq!(scene.path("data/conf.d/pgbackrest.conf").exists(), !is_fresh);
        assert!(fs::read_to_string(scene.path("etc/pgbackrest.conf")).unwrap().contains(SECRET));
    }
}

#[test]
fn junk_never_reaches_cmd_and_its_reason_does() {
    for (is_fresh, scene) in phases() {
        for (name, value, reason) in [
            ("WAL_ARCHIVE_BUCKET", "${{bucket.BUCKET}}", "unresolved-template-ref"),
            ("WAL_ARCHIVE_BUCKET", "wal archive", "whitespace"),
            ("WAL_ARCHIVE_BUCKET", "123e4567-e89b-12d3-a456-426614174000", "uuid-shape"),
            ("WAL_ARCHIVE_BUCKET", "X", "bad-name"),
            ("WAL_ARCHIVE_SECRET", "a\nrepo1-path=/b", "control-character"),
        ] {
            let (found, said) = environment_of_cmd(&scene, &[(name, value)]);
            assert_eq!(found, [format!("PGBACKREST_BUCKET_INVALID_REASON={reason}")], "{said}");
            assert!(said.contains(name) && said.contains("is refused"), "{said}");
            let sentinel = fs::read_to_string(scene.path("data/.pgbackrest_invalid_bucket")).ok();
            assert_eq!(sentinel, (!is_fresh).then(|| format!("{reason}\n")));
        }
    }
}

#[test]
fn push_can_see_that_archiving_is_switched_off() {
    for (_, scene) in phases() {
        let (found, said) = environment_of_cmd(&scene, &[("WAL_ARCHIVE_BUCKET", "")]);
        assert_eq!(found, ["WAL_ARCHIVE_BUCKET="], "{said}");
    }
}

/// A folder that setup can't make or write to, and what is said of it.
fn fails_at(scene: &Scene, words: &[&str]) {
    let data = scene.initialised();
    scene.lab.folder("data/conf.d");
    let stale = scene.lab.write_file("data/conf.d/pgbackrest.conf", "archive_mode = on\n");
    let own = scene.lab.write_file("data/conf.d/own.conf", "work_mem = 1\n");
    let stamps = scene.lab.write_file("data/.pgbackrest_backup_state", "last_full_at=1\ntheirs=kept\n");
    let config = scene.path("etc/pgbackrest.conf");
    let mut variables = VALID.to_vec();
    variables.extend([("PGDATA", data.to_str().unwrap()), ("PGBACKREST_CONFIG", config.to_str().unwrap())]);
    let (said, code) = scene.output(&scene.script("env\nexit 3"), &variables);
    assert_eq!(code, Some(3), "CMD is started all the same: {said}");
    let errors: Vec<_> = said.lines().filter(|line| line.contains("setup failed")).collect();
    let [line] = errors.as_slice() else { panic!("{said}") };
    for word in words.iter().chain(&["archiving is switched off until the next start"]) {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!said.contains("WAL_ARCHIVE_") && !said.contains(SECRET), "{said}");
    assert!(!stale.exists() && own.exists() && stamps.exists(), "{said}");
}

#[test]
fn a_setup_that_fails_leaves_the_server_to_start_without_archiving() {
    let scene = Scene::new(Place::Any);
    scene.lab.write_file("etc", "no folder");
    fails_at(&scene, &["can't", "etc"]);
    if !places().contains(&Place::First) {
        return;
    }
    let mount = |options: &str| format!("mount -t tmpfs -o {options} tmpfs \"$LAB/etc\"");
    for (prelude, words) in [
        (mount("ro"), ["can't write", "Read-only file system"]),
        (mount("size=4k") + "; head -c 4096 /dev/zero >\"$LAB/etc/full\"", ["can't write", "No space left"]),
    ] {
        let scene = Scene::new(Place::First).first(&prelude);
        scene.lab.folder("etc");
        fails_at(&scene, &words);
    }
}

#[test]
fn without_a_data_directory_cmd_runs_and_nothing_is_wrong_unless_archiving_was_wanted() {
    let scene = Scene::new(Place::Any);
    let program = Path::new("true");
    assert_eq!(scene.output(program, &[]), (String::new(), Some(0)));
    let (said, code) = scene.output(program, &[("WAL_GUARD_LOG", "loud"), ("WAL_GUARD_CONFIG", "/nowhere")]);
    assert!(code == Some(0) && said.contains("WAL_GUARD_LOG='loud'") && said.contains("/nowhere"), "{said}");
    let (said, code) = scene.output(program, &VALID);
    assert!(code == Some(0) && said.contains("setup failed") && said.contains("no data directory"), "{said}");
}

/// Without a bucket setup only takes the sentinel away; that this fails is no reason to touch an operator's archiving.
#[test]
fn a_setup_that_fails_leaves_an_operators_own_archiving() {
    let scene = Scene::new(Place::Any);
    let data = scene.initialised();
    scene.lab.folder("data/.pgbackrest_invalid_bucket");
    scene.lab.write_file("data/.pgbackrest_invalid_bucket/no file", "");
    scene.lab.folder("data/conf.d");
    let own = scene.lab.write_file("data/conf.d/pgbackrest.conf", "archive_mode = on\n");
    let (said, code) = scene.output(Path::new("true"), &[("PGDATA", data.to_str().unwrap())]);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    assert!(said.contains("setup failed") && said.contains(".pgbackrest_invalid_bucket"), "{said}");
    assert!(own.exists());
}
