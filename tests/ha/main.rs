//! `make ha-test`: three nodes under the real Patroni, with etcd, a watcher on every node and a repository that fails.
//!
//! Everything is real: Patroni out of its virtual environment, Debian's etcd, PostgreSQL, pgBackRest, and the S3 server
//! of the laboratory. All of it listens on loopback, lives in the laboratory's folder and ends with the run. Patroni's
//! file is the one that docs/patroni.md shows. Words on the command line choose the scenarios whose names contain them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod checks;
mod failover;
mod node;
mod peace;
mod repaired;
mod scene;
mod table;
mod tools;

use failover::Outage;
use scene::Run;
use table::Table;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let run = Run::new();
    let mut table = Table::of(wanted);
    table.scenario("peace", |table| peace::all(&run, table));
    for outage in Outage::ALL {
        for bare in [false, true] {
            let with = if bare { "bare archive-get" } else { "guard-get" };
            let name = format!("failover, repository {}, {with}", outage.name());
            table.scenario(&name, |table| failover::failover(&run, table, &name, outage, bare));
        }
    }
    table.scenario("key revoked, failover, key back (healed)", |table| repaired::repaired(&run, table, false));
    table.scenario("key revoked, failover, key back (sealed)", |table| repaired::repaired(&run, table, true));
    table.scenario("restart of all, repository hanging", |table| failover::restart_of_all(&run, table));
    let holds = table.print(&run.tools.versions(&run.lab));
    drop(run);
    assert!(holds, "not everything holds: see above");
}
