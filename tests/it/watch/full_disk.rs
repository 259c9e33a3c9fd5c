//! The watcher on a disk without a byte left: its stamps stay what they were, and nothing is concluded from that.

use super::scene::{SOON, now, scene_in};
use pgbackrest_guard_lab::{Disk, Lab};

#[test]
fn live_stamps_survive_a_full_disk() {
    let lab = Lab::new();
    let data = lab.folder("data");
    let Some(disk) = Disk::mount(&data, 128) else { return };
    lab.give(&data);
    let scene = scene_in(lab);
    let full_at = now() - 90_000;
    scene.info(0, Some("false")).backup("", "20261123-010000F", "7F/2000028");
    scene.stamps(&format!("last_full_at={full_at}\nlast_diff_at={}\ntheirs=kept\n", now())).once(&[]);
    let kept = scene.state();
    assert!(kept.contains("guard_system_id=") && kept.contains(&format!("last_full_at={full_at}")), "{kept}");
    // What PostgreSQL wants to write meanwhile fits into the segments that it has.
    disk.fill();
    let before = scene.calls("backup");
    let watcher = scene.start(&[("WAL_BACKUP_FULL_INTERVAL_SECONDS", "3600"), ("WAL_HEARTBEAT_DISABLED", "1")]);
    watcher.wait_for(".pgbackrest_backup_state can't be written: No space left on device");
    watcher.wait_for("backup --type=full completed");
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(scene.calls("backup") - before, 1, "what can't be written is remembered: {}", watcher.said());
    assert_eq!(scene.state(), kept, "whole, and as it was");
    disk.empty();
    let is_written = || !scene.state().contains(&format!("last_full_at={full_at}"));
    scene.cluster.wait_until("the stamps are written", SOON, is_written);
    let said = watcher.end();
    assert_eq!(scene.calls("backup") - before, 1, "{said}");
    assert!(scene.state().contains("last_full_at=") && scene.state().contains("theirs=kept"), "{}", scene.state());
}
