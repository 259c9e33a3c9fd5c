//! `make demo`: what happens to PostgreSQL when the repository fails, while it archives and while it recovers.
//!
//! A real cluster archives through `pgbackrest-guard-push` and the real pgBackRest to an S3 server over TLS in this
//! process, whose keys and policies change while everything runs. Each claim that is printed is checked; the program
//! fails when one does not hold.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod recovery;
mod repair;
mod stage;

use pgbackrest_guard_lab::Policy;
use stage::{KEY, Stage};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// More than any step takes on a slow machine.
const SOON: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let started = Instant::now();
    println!("pgbackrest-guard: what happens to PostgreSQL when its pgBackRest repository fails");
    let mut stage = Stage::set();
    healthy(&mut stage);
    let lost = key_revoked(&mut stage);
    read_only(&mut stage);
    rights_given_back(&mut stage);
    stage.account_for_everything();
    repair::heal_and_seal(&mut stage, &lost);
    recovery::outage_in_mid_recovery(&mut stage);
    drill(&mut stage);
    stage.keep_pictures();
    println!("\n{}, after {} seconds.", stage.verdict(), started.elapsed().as_secs());
    if stage.is_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn drill(stage: &mut Stage) {
    stage.heading(
        "9. Can all this really be restored? A drill restores it beside the running server and checks the copy",
    );
    stage.check("it is proved: copied, replayed, started, every index and row checked", stage.drill());
    let status = stage.status();
    stage.check("status says so", status.pointer_is("/drill/verdict", "passed"));
    let folder = stage.cluster.pgdata().with_file_name("pgbackrest-guard-drill");
    stage.check("nothing of it is left behind", !folder.exists());
}

fn healthy(stage: &mut Stage) {
    stage.heading("1. All is well");
    let written = stage.write("five segments of WAL", 5);
    stage.check("all of them are archived", stage.nothing_waits(SOON));
    stage.check("all of them are in the repository", stage.are_in_repository(&written));
    stage.watch();
    stage.check("the watcher has taken the first base backup", stage.backups() == 1);
}

fn key_revoked(stage: &mut Stage) -> Vec<String> {
    stage.heading("2. The access key is revoked (the store answers InvalidAccessKeyId)");
    println!("Bare pgBackRest would fail from now on until the disk is full and PostgreSQL stops.\n");
    let failed_before = stage.cluster.failed_count();
    let rows_before = stage.rows();
    stage.s3.revoke_key(KEY);
    let written = stage.write("twenty segments of WAL and twenty rows", 20);
    stage.insert(20);
    stage.check("PostgreSQL still accepts writes", stage.rows() == rows_before + 20);
    stage.check("nothing piles up: no segment waits in pg_wal", stage.nothing_waits(SOON));
    stage.check("PostgreSQL's archiver counts no failure", stage.cluster.failed_count() == failed_before);
    stage.check("none of the segments is in the repository", stage.none_in_repository(&written));
    stage.show_status(&["Archiving", "Push", "Gaps"]);
    let status = stage.status();
    stage.check("status calls it critical", status.pointer_is("/verdict", "critical"));
    let classes: Vec<String> = status.gaps().into_iter().map(|gap| gap.class).collect();
    stage.check("status names one gap and why: class gone", classes == ["gone"]);
    stage.check("the gap holds every segment of this step", written.iter().all(|name| status.is_in_a_gap(name)));
    stage.show_log("what push wrote about the first of them", |line| {
        line.contains("dropping") && written.iter().any(|name| line.contains(name.as_str()))
    });
    written
}

fn read_only(stage: &mut Stage) {
    stage.heading("3. The key is back, but its policy is read-only (AccessDenied)");
    println!("An administrator can fix this, so WAL is kept as long as there is room for it.\n");
    let dropped_before = stage.status().number("/push/dropped_count");
    stage.s3.restore_key(KEY);
    stage.s3.set_policy(KEY, Policy::ReadOnly);
    let failed_before = stage.cluster.failed_count();
    let written = stage.write("five segments of WAL", 5);
    stage.check("PostgreSQL's archiver counts failures", stage.fails_more_than(failed_before, SOON));
    stage.check("all five wait in pg_wal", stage.wait_all_ready(&written, SOON));
    stage.show_status(&["Archiving", "Push"]);
    let status = stage.status();
    let backlog = status.number("/archiving/backlog_bytes");
    stage.check("status shows the backlog", backlog.is_some_and(|bytes| bytes >= 5 << 20));
    let threshold = status.number("/archiving/threshold_bytes");
    stage.check("it is below the threshold", threshold.is_some() && backlog < threshold);
    stage.check("the class of the failure is denied", status.pointer_is("/push/last_failure/class", "denied"));
    let dropped = status.number("/push/dropped_count");
    stage.check("nothing more is dropped", dropped.is_some() && dropped == dropped_before);
}

fn rights_given_back(stage: &mut Stage) {
    stage.heading("4. The rights are given back");
    let waiting = stage.cluster.ready();
    stage.s3.set_policy(KEY, Policy::ReadWrite);
    let written = stage.write("one more segment of WAL", 1);
    stage.check("everything that waited is archived", stage.nothing_waits(SOON));
    stage.check(
        "all of it is in the repository",
        stage.are_in_repository(&waiting) && stage.are_in_repository(&written),
    );
    stage.show_status(&["Archiving", "Gaps"]);
    let status = stage.status();
    stage.check("the run of failures has ended", status.number("/push/consecutive_failures") == Some(0));
    stage.check("the gap of step 2 stays on record", status.gaps().len() == 1);
    println!("\nA restore can't cross the gap, unless its segments are pushed after all or a backup begins after it.");
}
