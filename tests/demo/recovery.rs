//! The demo's last act: the store is lost in the middle of a recovery, with bare pgBackRest and with guard-get.

use crate::SOON;
use crate::stage::Stage;
use pgbackrest_guard_lab::{Cluster, Fault, FaultId, Operations, PgBackRest, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows committed after the backup, each in a segment of its own.
const ROWS: u64 = 8;

/// An outage that begins with the first request for a segment.
struct Outage {
    fault: FaultId,
    met: Arc<AtomicBool>,
}

/// Restores a backup twice and takes the store away at the same place.
pub(crate) fn outage_in_mid_recovery(stage: &mut Stage) {
    stage.heading("8. A backup is restored, and the store is lost in the middle of the recovery");
    stage.backrest.backup("full");
    let rows_before = stage.rows();
    let row = "INSERT INTO t VALUES (2);\nSELECT pg_walfile_name(pg_switch_wal());\n";
    let rows = usize::try_from(ROWS).unwrap_or(0);
    let segments: Vec<String> = stage.cluster.sql(&row.repeat(rows)).lines().map(str::to_owned).collect();
    let (Some(at), Some(last)) = (segments.get(rows / 2), segments.last()) else { return };
    stage.cluster.wait_archived(last, SOON);
    println!("A full backup, then {ROWS} commits, all archived. The store fails from {at} on.\n");
    println!("restore_command = 'pgbackrest archive-get %f \"%p\"'");
    bare(stage, at, rows_before);
    println!("\nrestore_command = 'pgbackrest-guard-get %f \"%p\"'");
    guarded(stage, at, rows_before);
}

fn bare(stage: &mut Stage, at: &str, rows_before: u64) {
    let copy = restore(stage, "bare", None);
    let outage = begin(stage, at);
    copy.start_recovery();
    let promoted = copy.wait_promoted(SOON);
    stage.check("PostgreSQL takes the outage for the end of the archive and is promoted", promoted);
    let rows = count(&copy);
    stage.check("commits that are safely archived are missing", (rows_before..rows_before + ROWS).contains(&rows));
    println!("         {} of {ROWS} commits are there", rows.saturating_sub(rows_before));
    stage.s3.remove(outage.fault);
}

fn guarded(stage: &mut Stage, at: &str, rows_before: u64) {
    let copy = restore(stage, "guarded", Some(stage.get.display().to_string()));
    let outage = begin(stage, at);
    copy.start_recovery();
    copy.wait_until("the outage is met", SOON, || outage.met.load(Ordering::SeqCst));
    copy.wait_until("guard-get says so", SOON, || copy.log().contains("the repository could not be queried"));
    stage.check("guard-get waits, and PostgreSQL is not promoted", !copy.log().contains("selected new timeline"));
    let log = copy.log();
    if let Some(line) = log.lines().find(|line| line.contains("the repository could not be queried")) {
        println!("  | {}", line.chars().take(114).collect::<String>());
    }
    stage.s3.remove(outage.fault);
    let promoted = copy.wait_promoted(SOON);
    stage.check("the store answers again: the recovery goes on to the true end", promoted);
    let rows = count(&copy);
    stage.check("every commit is there", rows == rows_before + ROWS);
}

/// From the first request for the segment on, the store answers nothing but 503.
fn begin(stage: &Stage, segment: &str) -> Outage {
    let met = Arc::new(AtomicBool::new(false));
    let (trip, segment) = (Arc::clone(&met), segment.to_owned());
    let concerns = move |request: &Request| {
        if request.key.contains(&segment) || request.query.contains(&segment) {
            trip.store(true, Ordering::SeqCst);
        }
        trip.load(Ordering::SeqCst)
    };
    let fault = Fault::status(503, "SlowDown").on(Operations::Matching(Arc::new(concerns)));
    Outage { fault: stage.s3.inject(fault), met }
}

/// A copy of the cluster with a configuration of its own, not started. `get`: guard-get's path, or none.
fn restore(stage: &Stage, name: &str, get: Option<String>) -> Cluster {
    let copy = Cluster::builder(&stage.lab).name(name);
    let builder = PgBackRest::builder(&stage.lab).name(&format!("store-{name}")).postgres(&copy);
    let backrest = stage.repository(builder).option("global", "io-timeout", "1").write();
    let command = get.map_or_else(
        || backrest.restore_command(),
        |get| format!("{get} --pgbackrest-config {} %f \"%p\"", backrest.config_file().display()),
    );
    let option = format!("--recovery-option=restore_command={command}");
    backrest.restore(copy.no_archiving(), &[&option])
}

fn count(copy: &Cluster) -> u64 {
    copy.sql("SELECT count(*) FROM t").parse().unwrap_or(0)
}
