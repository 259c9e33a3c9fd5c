//! `run` and its watcher: when it begins, what becomes of it, and that it ends with CMD.
//!
//! CMD is a script that claims to be a server, by a pid file such as a postmaster's. The watcher asks it and gets no
//! answer, which it bears.

use super::scene::{Place, Run, Scene, places, stat};
use pgbackrest_guard_lab::{Lab, Signal};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// Becomes a "server" when told to, and ends when told to.
const SERVER: &str = r#"
until [ -e "$LAB/serve" ]; do sleep 0.05; done
printf '%s\n' $$ "$PGDATA" 1763800000 5432 /nowhere "" "1 2" "ready   " >"$PGDATA/postmaster.pid"
until [ -e "$LAB/end" ]; do sleep 0.05; done
exit 9"#;

/// A data directory, and a pgBackRest that knows it without a bucket.
fn scene(place: Place) -> (Scene, String) {
    let scene = Scene::new(place);
    let data = scene.initialised();
    let text = format!("[global]\nrepo1-path=/nowhere\n[main]\npg1-path={}\n", data.display());
    scene.lab.write_file("pgbackrest.conf", text);
    (scene, data.to_str().unwrap().to_owned())
}

fn start(scene: &Scene, data: &str) -> Run {
    let config = scene.path("pgbackrest.conf");
    let config = config.to_str().unwrap();
    let variables = [("PGDATA", data), ("PGBACKREST_CONFIG", config), ("PGHOST", "db.internal")];
    scene.start(&scene.script(SERVER), &variables)
}

fn tell(scene: &Scene, word: &str) {
    fs::write(scene.path(word), "").unwrap();
}

/// The watcher, once it is another than the one before and has asked the server.
fn watcher(run: &mut Run, before: i32, asked: usize) -> i32 {
    let mut found = 0;
    run.wait("a watcher asks the server", |run| {
        found = run.below("watch --supervised").first().copied().unwrap_or(0);
        found != 0 && found != before && run.said().matches("iteration skipped").count() >= asked
    });
    found
}

fn is_gone(pid: i32) -> bool {
    ["", "Z", "X"].contains(&stat(pid, 0).as_str())
}

#[test]
fn the_watcher_begins_with_the_server_and_is_started_again_when_it_dies() {
    for place in places() {
        let (scene, data) = scene(place);
        // Left over from a container that was killed; PID 1 lives there as here.
        scene.lab.write_file("data/postmaster.pid", "1\n/data\n1763800000\n5432\n/nowhere\n*\n1 2\nready   \n");
        let mut run = start(&scene, &data);
        run.wait("CMD runs", |run| !run.below("cmd.sh").is_empty());
        // Longer than two looks for a server.
        std::thread::sleep(std::time::Duration::from_millis(2500));
        assert!(run.below("watch").is_empty(), "{place:?}: {}", run.said());
        tell(&scene, "serve");
        let first = watcher(&mut run, 0, 1);
        assert_eq!(stat(first, 3), first.to_string(), "a session of its own");
        assert_eq!(stat(first, 2), first.to_string(), "a group of its own");
        let owner = fs::metadata(scene.path("data/PG_VERSION")).unwrap().uid();
        assert_eq!(fs::metadata(format!("/proc/{first}")).unwrap().uid(), owner, "{place:?}");

        Lab::signal(first, Signal::KILL);
        let second = watcher(&mut run, first, 2);
        Lab::signal(second, Signal::KILL);
        let third = watcher(&mut run, second, 3);
        Lab::signal(third, Signal::TERM);
        let fourth = watcher(&mut run, third, 4);
        let said = run.said();
        for line in [
            "the watcher was ended by signal 9: it is started again in 1 s",
            "the watcher was ended by signal 9: it is started again in 2 s",
            "the watcher has ended with exit code 0: it is started again in 4 s",
        ] {
            assert_eq!(said.matches(line).count(), 1, "{said}");
        }
        tell(&scene, "end");
        assert_eq!(run.status().code(), Some(9));
        assert!(is_gone(fourth), "{place:?}: {}", run.said());
        assert!(run.said().contains("the watcher ends"), "it is asked first: {}", run.said());
        let left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 4, "nothing is written without an answer: {left:?}");
    }
}

#[test]
fn a_watcher_that_does_not_react_is_killed_after_cmd() {
    let (scene, data) = scene(Place::Any);
    let mut run = start(&scene, &data);
    tell(&scene, "serve");
    let watch = watcher(&mut run, 0, 1);
    Lab::signal(watch, Signal::STOP);
    tell(&scene, "end");
    assert_eq!(run.status().code(), Some(9));
    assert!(is_gone(watch));
}

#[test]
fn a_watcher_without_anything_to_watch_is_not_started_again() {
    let (scene, data) = scene(Place::Any);
    let mut run = start(&scene, &data);
    tell(&scene, "serve");
    let watch = watcher(&mut run, 0, 1);
    scene.lab.write_file("data/.pgbackrest_invalid_bucket", "whitespace\n");
    Lab::signal(watch, Signal::TERM);
    run.wait_for("the watcher has ended: archiving is switched off");
    tell(&scene, "end");
    assert_eq!(run.status().code(), Some(9));
    assert!(!run.said().contains("started again"), "{}", run.said());
}

/// SIGKILL can't be handed on, and CMD is left to itself; its watcher is not.
#[test]
fn a_watcher_does_not_outlive_a_supervisor_that_is_killed() {
    let (scene, data) = scene(Place::Any);
    let mut run = start(&scene, &data);
    tell(&scene, "serve");
    let watch = watcher(&mut run, 0, 1);
    run.signal(Signal::KILL);
    run.wait("the watcher ends too", |_| is_gone(watch));
    tell(&scene, "end");
}
