//! The watcher is killed at every named checkpoint and run again: no gap closes without proof, none stays for ever, and no
//! second backup is taken for what the first one sealed.

use super::scene::{Scene, now, scene};
use pgbackrest_guard::checkpoint::OF_WATCH;
use pgbackrest_guard::ledger::gaps::GapState;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

const KILL_AT: &str = "WAL_GUARD_TEST_KILL_AT";
/// Long gone: it must be sealed.
const GONE: &str = "0000000100000000000000F0";

/// One poll that is killed there. Whether it came there.
fn killed_at(scene: &Scene, checkpoint: &str) -> bool {
    let output = scene.once_or_killed(&[(KILL_AT, checkpoint), ("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "1")]);
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{checkpoint}: {output:?}");
    eprintln!("{checkpoint}, {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    killed
}

/// What lies in the data directory and the state directory that no program should leave there.
fn litter(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".new"));
    names
}

#[test]
fn live_a_killed_watcher_goes_on_where_it_was() {
    let scene = scene();
    // Still there: it can be healed.
    let whole = scene.cluster.write_wal(3).swap_remove(0);
    let pushed = scene.lab.path().join("standin/answer/pushed");
    let at = pushed.display();
    scene.on("archive-push", &format!(": >'{at}'"));
    scene.on("repo-ls", &format!("[ ! -e '{at}' ] || echo {whole}-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst"));
    scene.backups_are_listed("7F/2000028");
    let made = scene.lab.path().join("standin/answer/made");
    let mut reached = Vec::new();
    for name in OF_WATCH {
        let before = scene.calls("backup");
        let _ = fs::remove_file(&made);
        let _ = fs::remove_file(&pushed);
        let _ = fs::remove_dir_all(scene.cluster.pgdata().join(".pgbackrest_guard"));
        scene.all_is_well().lose(&whole, now() - 100);
        scene.lose(GONE, now() - 100);
        fs::write(scene.marker(), "a loss\n").unwrap();
        let written = fs::File::options().write(true).open(scene.marker()).unwrap();
        written.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
        scene.lab.give(&scene.marker());
        // The first poll heals, the second seals.
        if killed_at(&scene, name) || killed_at(&scene, name) {
            reached.push(*name);
        }
        for _ in 0..4 {
            eprintln!("{}", scene.once(&[("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "1")]));
            std::thread::sleep(Duration::from_millis(300));
        }
        let mut states = scene.gaps();
        states.sort_by_key(|state| state.as_str());
        assert_eq!(states, [GapState::Healed, GapState::Sealed], "{name}");
        assert!(!scene.marker().exists(), "{name}");
        let backups = scene.calls("backup") - before;
        let most = if *name == "backup-begun" { 2 } else { 1 };
        assert!((1..=most).contains(&backups), "{name}: {backups} backups");
        assert_eq!(litter(scene.cluster.pgdata()), Vec::<String>::new(), "{name}");
        assert!(scene.state().contains("theirs=kept"), "{name}: {}", scene.state());
    }
    assert_eq!(reached, OF_WATCH);
}
