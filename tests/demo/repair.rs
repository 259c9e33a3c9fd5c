//! The demo's act of the watcher: a gap that can be healed costs no backup, one that can't be is sealed by one, and a restore
//! proves it.

use crate::SOON;
use crate::stage::{KEY, Stage};
use pgbackrest_guard_lab::Cluster;

/// The watcher heals what step 2 lost, then seals what is lost for good.
pub(crate) fn heal_and_seal(stage: &mut Stage, lost: &[String]) {
    stage.heading("6. The watcher repairs the gap of step 2: the lost segments are still in pg_wal");
    println!("(for the demo, its grace time of five minutes after the last failure is set to 0)\n");
    let backups = stage.backups();
    stage.watch();
    stage.check("the gap is healed", states(stage) == ["healed"]);
    stage.check("every segment of step 2 is in the repository after all", stage.are_in_repository(lost));
    stage.check("no backup was needed", stage.backups() == backups);
    stage.check("the marker of a gap is gone", !stage.is_marked());

    stage.heading("7. Another gap, and PostgreSQL recycles the lost segments before the key is back");
    stage.commit_and_archive();
    // It polls every minute otherwise, and notes the newest commit in the archive.
    stage.watch();
    println!();
    stage.s3.revoke_key(KEY);
    let gone = stage.write("three segments of WAL and three rows", 3);
    stage.insert(3);
    stage.check("they are dropped, on record", stage.nothing_waits(SOON));
    stage.s3.restore_key(KEY);
    // Two checkpoints: the first still needs the segment in which the one before it lies.
    for _ in 0..2 {
        stage.write("one more", 1);
        stage.cluster.sql("CHECKPOINT");
    }
    stage.nothing_waits(SOON);
    let there = |name: &String| stage.cluster.pg_wal().join(name).exists();
    stage.check("the lost segments are no longer in pg_wal", !gone.iter().any(there));
    stage.watch();
    stage.check("the gap is sealed by a backup", states(stage).contains(&"sealed".to_owned()));
    stage.check("it was one backup", stage.backups() == backups + 1);
    stage.check("the marker of a gap is gone", !stage.is_marked());
    stage.show_status(&["Gaps"]);
    stage.insert(2);
    for name in stage.write("one more segment and two rows", 1) {
        stage.cluster.wait_archived(&name, SOON);
    }
    let copy = stage.backrest.restore(Cluster::builder(&stage.lab).name("proof").no_archiving(), &[]);
    let restored = copy.start().is_ok() && copy.wait_promoted(SOON);
    stage.check("the cluster is restored from the newest backup", restored);
    let rows = stage.rows();
    let same = restored && copy.sql("SELECT count(*) FROM t").parse() == Ok(rows);
    stage.check(&format!("the copy has all {rows} rows"), same);
}

fn states(stage: &Stage) -> Vec<String> {
    stage.status().gaps().into_iter().map(|gap| gap.state).collect()
}
