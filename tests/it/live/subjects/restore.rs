//! `restore` beside a cluster that archives, bare and guarded.

use super::super::scene::{Live, Mode};
use super::{Known, guard, said};
use pgbackrest_guard_lab::Cluster;
use std::fs;

pub(super) const EMPTIES_THE_ORIGINS_SPOOL: Known = Known {
    what: "A restore into another folder, with `archive-async`: it empties the spool of the cluster that archives",
    seen_on: &["2.45", "2.55", "2.60"],
};

#[test]
fn a_restore_beside_a_cluster_that_archives() {
    let live = Live::of(Mode::Async).start();
    live.backrest.backup("full");
    live.write_acknowledged(2);
    let out = live.backrest.spool_path().join("archive/main/out");
    let spooled = || fs::read_dir(&out).map_or(0, |files| files.flatten().count());

    let program = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let before = spooled();
    assert!(before > 0, "an async push leaves its answer in the spool");
    let target = live.lab.path().join("guarded");
    let config = format!("--pgbackrest-config={}", live.backrest.config_file().display());
    let pgdata = live.postgres.pgdata().display().to_string();
    let target = format!("--target={}", target.display());
    let arguments = ["restore", "immediate", &target, "--pgdata", &pgdata, &config, "--stanza=main"];
    let restored = guard(&live.lab, &program, live.postgres.pgdata(), &arguments);
    assert_eq!(restored.code(), Some(0), "{}", said(&restored));
    assert_eq!(spooled(), before, "the origin's spool is left alone");

    let copy = Cluster::builder(&live.lab).name("bare").no_archiving();
    live.backrest.restore(copy, &["--type=immediate"]);
    EMPTIES_THE_ORIGINS_SPOOL.is(spooled() == 0, &format!("{} files are left in {}", spooled(), out.display()));
    live.write_acknowledged(1);
    live.every_acknowledged_segment_is_accounted_for();
}
