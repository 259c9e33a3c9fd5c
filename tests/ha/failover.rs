//! A failover while the repository can't be asked, by guard-get and by bare pgBackRest; and a start of all nodes.

use crate::checks::all_holds;
use crate::node::Node;
use crate::scene::{KEY, LONG, Run, Scene};
use crate::table::Table;
use pgbackrest_guard_lab::{Fault, FaultKind, eventually};
use std::time::{Duration, Instant};

/// What the repository does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It works.
    Well,
    /// It refuses every connection.
    Refused,
    /// It takes requests and never answers; pgBackRest gives up after 2 s each.
    Hanging,
    /// The same with pgBackRest's own default, an `io-timeout` of 60 s.
    HangingLong,
    /// Its key is revoked.
    Revoked,
}

impl Outage {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Well, Self::Refused, Self::Hanging, Self::HangingLong, Self::Revoked];

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Refused => "refused",
            Self::Hanging => "hanging (io-timeout 2 s)",
            Self::HangingLong => "hanging (io-timeout 60 s)",
            Self::Revoked => "revoked",
        }
    }

    fn io_timeout(self) -> u32 {
        if self == Self::HangingLong { 60 } else { 2 }
    }

    /// Begins.
    pub(crate) fn begin(self, scene: &Scene<'_>) {
        match self {
            Self::Well => {}
            Self::Refused => drop(scene.s3.inject(Fault::new(FaultKind::Refuse))),
            Self::Hanging | Self::HangingLong => drop(scene.s3.inject(Fault::new(FaultKind::Hang))),
            Self::Revoked => scene.s3.revoke_key(KEY),
        }
    }

    /// Ends whatever it was.
    pub(crate) fn end(scene: &Scene<'_>) {
        scene.s3.clear_faults();
        scene.s3.restore_key(KEY);
    }
}

/// The leader is killed while the repository is in this state; once it has been promoted the repository is well again and
/// the old leader comes back.
pub(crate) fn failover(run: &Run, table: &mut Table, name: &str, outage: Outage, bare: bool) {
    let scene = Scene::started(run, bare, outage.io_timeout());
    scene.commit(3);
    outage.begin(&scene);
    scene.commit(3);
    let leader = scene.primary();
    leader.diverge();
    let begin = Instant::now();
    leader.kill();
    let promoted = scene.wait_writable(begin, &leader.name);
    let (primary, took) = match promoted {
        Ok(promoted) => promoted,
        Err(why) if bare => return table.measured(name, why),
        Err(why) => {
            let log: String = scene.nodes.iter().map(Node::telling).collect();
            return table.failed(name, &format!("{why}\n{log}"));
        }
    };
    let figures = format!("takes writes after {took:.1} s ({})", primary.promotion());
    std::thread::sleep(Duration::from_secs(3));
    scene.assert_rows();
    Outage::end(&scene);
    let begin = Instant::now();
    leader.start();
    leader.watch();
    scene.wait_streaming();
    let back = begin.elapsed().as_secs_f64();
    let holds = all_holds(&scene);
    table.measured(name, format!("{figures}; the old leader streams after {back:.1} s; {holds}"));
}

/// All nodes are stopped and started while the repository hangs.
pub(crate) fn restart_of_all(run: &Run, table: &mut Table) {
    let scene = Scene::started(run, false, 2);
    scene.commit(3);
    Outage::Hanging.begin(&scene);
    scene.commit(3);
    let begin = Instant::now();
    scene.nodes.iter().for_each(Node::request_stop);
    eventually("all have stopped", LONG, || scene.nodes.iter().all(Node::has_stopped));
    let stopped = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for node in &scene.nodes {
        node.start();
        node.watch();
    }
    let (_, took) = scene.wait_writable(begin, "").unwrap_or_else(|why| panic!("{why}"));
    scene.wait_streaming();
    let whole = begin.elapsed().as_secs_f64();
    scene.assert_rows();
    Outage::end(&scene);
    let figures = format!("stopped in {stopped:.1} s, takes writes after {took:.1} s, all stream after {whole:.1} s");
    table.measured("restart of all, repository hanging", format!("{figures}; {}", all_holds(&scene)));
}
