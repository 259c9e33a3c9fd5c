//! Setup killed at every step: what is left never archives without a repository, and the next run finishes the work.

use super::scene::{Said, Scene};
use std::fs;

/// Runs setup, killed at this checkpoint.
fn killed_at(scene: &Scene, checkpoint: &str) -> Said {
    Scene::run(scene.command(&[]).env("WAL_GUARD_TEST_KILL_AT", checkpoint))
}

/// What is there, by name and content; the places of the two scenes apart.
fn content(scene: &Scene) -> Vec<(String, String)> {
    let files = scene.names().into_iter().filter(|name| scene.path().join(name).is_file());
    let text = |name: &str| String::from_utf8_lossy(&fs::read(scene.path().join(name)).unwrap()).into_owned();
    files.map(|name| (name.clone(), text(&name).replace(scene.path().to_str().unwrap(), "SCENE"))).collect()
}

#[test]
fn a_setup_that_is_killed_after_each_change_gets_there() {
    let straight = Scene::initialised();
    straight.setup(&[]).ended(0);
    let scene = Scene::initialised();
    scene.put(".pgbackrest_invalid_bucket", "whitespace\n");
    let mut kills = 0;
    while killed_at(&scene, "setup-change-made").code.is_none() {
        kills += 1;
        let archives = scene.read("conf.d/pgbackrest.conf").is_some();
        let ready = scene.conf().exists() && scene.read(".pgbackrest_repo_path").is_some();
        let silenced = scene.read(".pgbackrest_invalid_bucket").is_some();
        assert!(!archives || (ready && !silenced), "{:?}", scene.names());
        assert!(kills < 20, "it does not get on: {:?}", scene.names());
    }
    // Folder and file for pgBackRest, the path, the spool, the sentinel, conf.d and its file, the line.
    assert_eq!(kills, 8);
    assert_eq!(content(&scene), content(&straight));
}

#[test]
fn a_file_is_whole_or_not_there() {
    let scene = Scene::initialised();
    assert_eq!(killed_at(&scene, "replacement-written").code, None);
    assert!(!scene.conf().exists() && scene.conf().with_file_name(".pgbackrest.conf.new").exists());
    scene.setup(&[]).ended(0);
    let line = scene.data().join("postgresql.conf");
    let before = fs::read_to_string(&line).unwrap();
    // Each file once more: an older text, a kill before the new one has its name, and the next run.
    for name in
        ["etc/pgbackrest.conf", "data/.pgbackrest_repo_path", "data/conf.d/pgbackrest.conf", "data/postgresql.conf"]
    {
        let path = scene.path().join(name);
        let (right, old) = (fs::read_to_string(&path).unwrap(), "# older\n");
        fs::write(&path, old).unwrap();
        assert_eq!(killed_at(&scene, "replacement-written").code, None, "{name}");
        assert_eq!(fs::read_to_string(&path).unwrap(), old, "{name}");
        scene.setup(&[]).ended(0);
        let now = fs::read_to_string(&path).unwrap();
        assert!(now == right || (path == line && now.ends_with("include_dir = 'conf.d'\n")), "{name}: {now}");
    }
    assert!(before.ends_with("include_dir = 'conf.d'\n"));
    assert!(scene.names().iter().all(|name| !name.contains(".new")), "{:?}", scene.names());
}

#[test]
fn switching_off_begins_with_the_server() {
    let scene = Scene::initialised();
    scene.setup(&[]).ended(0);
    scene.put(".pgbackrest_backup_state", "last_full_at=1\n");
    let scene = scene.with("WAL_ARCHIVE_BUCKET", "a b");
    let seen = |scene: &Scene| {
        let there = |name: &str| scene.read(name).is_some();
        (there("conf.d/pgbackrest.conf"), there(".pgbackrest_backup_state"), there(".pgbackrest_invalid_bucket"))
    };
    for stage in [(false, true, false), (false, false, false), (false, false, true)] {
        assert_eq!(killed_at(&scene, "setup-change-made").code, None);
        assert_eq!(seen(&scene), stage);
    }
    scene.setup(&[]).ended(0);
}
