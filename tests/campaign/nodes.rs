//! Another node: a standby that takes over, and the old primary, which is rewound and follows it.
//!
//! Each has its own pgBackRest, spool, guard and watcher. Replication is not synchronous: what the old primary answered and the
//! new one does not have is lost to no archive, and nobody is held to it. What the old one's ledger knew goes with the rewind,
//! which lays the new primary's files over it; what is missing on the line of timelines must stand in the new one's.

use super::workload::Workload;
use super::world::World;
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard::wal::{SegmentName, parse_history};
use pgbackrest_guard_lab::{Cluster, PgBackRest, StopMode, postgres_programs};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long a promotion may take, on a machine that is busy with other things.
const PROMOTION: Duration = Duration::from_secs(20);
/// How long a rewind may take.
const REWIND: Duration = Duration::from_mins(2);

/// How long a standby may take to stream again.
const CATCH_UP: Duration = Duration::from_secs(8);

/// A server with its pgBackRest.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) backrest: PgBackRest,
}

/// What became of the nodes.
#[derive(Default)]
pub(crate) struct Nodes {
    /// The primary that was, until it is rewound.
    fallen: Option<Node>,
    /// What the ledgers of fallen ones said.
    pub(crate) ledgers: Vec<State>,
    /// What they had not archived when they fell.
    pub(crate) waiting: BTreeSet<String>,
    /// How many were rewound, and how many copied again because that failed.
    pub(crate) rewound: [usize; 2],
    pub(crate) longest_promotion: Duration,
    pub(crate) longest_stop: Duration,
}

impl Nodes {
    /// The primary crashes, or is stopped with an even number, and the standby takes over. Whether there was one that could.
    pub(crate) fn fail_over(&mut self, number: u32, world: &mut World, workload: &Workload) -> bool {
        let Some(standby) = world.standby.take() else { return false };
        // One that lacks WAL which is nowhere any more is copied again, as whoever runs it would.
        let is_ready = streams(world, Duration::ZERO) || follows_again(world, &standby) && streams(world, CATCH_UP);
        if !is_ready {
            world.standby = Some(standby);
            return false;
        }
        if number.is_multiple_of(2) {
            self.longest_stop = self.longest_stop.max(world.cluster.stop(StopMode::Fast));
        } else {
            world.cluster.stop(StopMode::Immediate);
        }
        let began = Instant::now();
        standby.cluster.promote();
        self.longest_promotion = self.longest_promotion.max(began.elapsed());
        let Node { cluster, backrest } = standby;
        let cluster = std::mem::replace(&mut world.cluster, cluster);
        let backrest = std::mem::replace(&mut world.backrest, backrest);
        self.waiting.extend(cluster.ready());
        self.fallen = Some(Node { cluster, backrest });
        forget_what_was_not_replicated(world, workload);
        workload.follow(world.primary());
        true
    }

    /// The old primary follows the new one, if that one runs.
    pub(crate) fn rewind(&mut self, world: &mut World) {
        if world.cluster.try_sql("SELECT 1").is_err() {
            return;
        }
        let Some(node) = self.fallen.take() else { return };
        let state = Ledger::peek(&World::state_dir_of(&world.lab, world.profile, node.cluster.pgdata()));
        self.ledgers.push(state.ok().flatten().unwrap_or_default());
        let well = rewound(world, &node);
        self.rewound[usize::from(!well)] += 1;
        if well {
            follow(world, &node);
        } else {
            follows_again(world, &node);
        }
        world.standby = Some(node);
    }

    /// What is wrong with them.
    pub(crate) fn violations(&self) -> Option<String> {
        let longest = self.longest_promotion;
        (longest > PROMOTION).then(|| format!("a promotion took {longest:?}"))
    }
}

/// A row that was answered and is not on the new primary may be in a restore, or not.
fn forget_what_was_not_replicated(world: &World, workload: &Workload) {
    let there = super::claims::rows_of(&world.cluster).unwrap_or_default();
    for row in &mut workload.seen().rows {
        if !there.contains(&row.number) {
            row.answered = None;
        }
    }
}

fn rewound(world: &World, node: &Node) -> bool {
    let log = world.lab.path().join("rewind.log");
    let log = OpenOptions::new().create(true).append(true).open(log).expect("the rewind's log");
    let mut rewind = world.lab.command(postgres_programs().join("pg_rewind"));
    rewind.arg("--target-pgdata").arg(node.cluster.pgdata()).arg("--source-server").arg(world.cluster.conninfo());
    rewind.args(["--restore-target-wal", "--no-sync"]).stdout(Stdio::null()).stderr(log);
    let (mut child, until) = (rewind.spawn().expect("pg_rewind"), Instant::now() + REWIND);
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Whether the standby streams, within a time.
fn streams(world: &World, limit: Duration) -> bool {
    const STREAMING: &str = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    let until = Instant::now() + limit;
    loop {
        let is_so = world.cluster.try_sql(STREAMING).as_deref() == Ok("1");
        if is_so || Instant::now() > until {
            return is_so;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A copy of the primary in a node's place, as `pg_basebackup` makes it.
fn follows_again(world: &mut World, node: &Node) -> bool {
    if world.cluster.try_sql("SELECT 1").is_err() {
        return false;
    }
    if node.cluster.is_running() {
        node.cluster.stop(StopMode::Immediate);
    }
    // Nobody watches a data directory that is being removed.
    let watched = !world.watchers.is_empty();
    world.watchers.drain(..).for_each(World::stop_watcher);
    let pgdata = node.cluster.pgdata();
    let _ = fs::remove_dir_all(pgdata);
    let mut copy = world.lab.command(postgres_programs().join("pg_basebackup"));
    copy.arg("--pgdata").arg(pgdata).arg(format!("--dbname={}", world.cluster.conninfo()));
    let output = copy.args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"]).output();
    let copied = output.is_ok_and(|output| output.status.success());
    if copied {
        follow(world, node);
    }
    if watched {
        world.start_watcher();
    }
    copied
}

/// Starts a node as a standby of the primary.
fn follow(world: &World, node: &Node) {
    let pgdata = node.cluster.pgdata();
    let quoted = |text: String| text.replace('\'', "''");
    let lines = format!(
        "\narchive_command = '{}'\nrestore_command = '{}'\nprimary_conninfo = '{}'\n",
        quoted(world.archive_command(&node.backrest, pgdata)),
        quoted(world.follow_command(&node.backrest)),
        quoted(world.cluster.conninfo())
    );
    append(&pgdata.join("postgresql.auto.conf"), &lines);
    let signal = pgdata.join("standby.signal");
    fs::write(&signal, "").expect("standby.signal");
    world.lab.give(&signal);
    node.cluster.start_recovery();
}

fn append(file: &std::path::Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(file).expect("the server's configuration");
    file.write_all(text.as_bytes()).expect("the server's configuration");
}

/// Whether a segment is on the server's line of timelines: what was written after it was left is on none.
pub(crate) fn is_on_the_line(world: &World, name: &str) -> bool {
    let (Ok(segment), Ok(own)) = (name.parse::<SegmentName>(), world.cluster.current_segment().parse::<SegmentName>())
    else {
        return true;
    };
    let size = world.ledger().segment_size();
    let file = format!("{:08X}.history", own.timeline().0);
    let text = fs::read_to_string(world.cluster.pg_wal().join(file)).unwrap_or_default();
    let left = parse_history(&text).into_iter().find(|(timeline, _)| *timeline == segment.timeline());
    segment.timeline() == own.timeline() || left.is_some_and(|(_, at)| segment.number(size) < at.0 / size.bytes())
}
