//! A metrics file that can't be written. PostgreSQL is real.

use super::scene::scene;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn live_a_metrics_folder_that_is_missing_or_not_ours_costs_a_line() {
    let scene = scene();
    scene.info(2, None).backup("", "20261123-010000F", "7F/2000028");
    let closed = scene.lab.folder("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let closed = format!("{}/", closed.display());
    for (at, folder) in ["/nonexistent/", &closed].into_iter().enumerate() {
        let said = scene.once(&[("WAL_GUARD_METRICS_FILE", folder), ("WAL_BACKUP_FULL_INTERVAL_SECONDS", "1")]);
        let line = format!("WAL_GUARD_METRICS_FILE {folder}pgbackrest_guard_");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
        assert!(said.contains("can't be written: ") && said.contains("to do: make the folder"), "{said}");
        assert!(at > 0 || said.contains("backup --type=full completed"), "the rest goes on: {said}");
    }
}
