//! Three nodes, their bucket, and what is waited for.

use crate::node::{Node, Shared};
use crate::tools::{Etcd, Tools};
use pgbackrest_guard_lab::{Lab, PgBackRestBuilder, S3Server, eventually, within};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

/// The key of every node.
pub(crate) const KEY: &str = "AKIALABHA";
const BUCKET: &str = "wal";
/// More than any step takes on a slow machine.
pub(crate) const LONG: Duration = Duration::from_mins(3);
/// How long a failover may take here: Patroni's `ttl` of 20 s, and more than as much again on a busy machine.
pub(crate) const FAILOVER: Duration = Duration::from_mins(1);
/// How long one with bare pgBackRest is waited for: it is measured, not held to anything.
const BARE: Duration = Duration::from_mins(6);

/// What the whole run shares.
pub(crate) struct Run {
    pub(crate) lab: Lab,
    pub(crate) tools: Tools,
    pub(crate) etcd: Etcd,
    pub(crate) programs: std::path::PathBuf,
    scenes: Cell<u32>,
}

/// A cluster of three nodes with a bucket of its own.
pub(crate) struct Scene<'r> {
    pub(crate) run: &'r Run,
    pub(crate) s3: S3Server,
    pub(crate) nodes: Vec<Node>,
    pub(crate) name: String,
    bare: bool,
    rows: Cell<u32>,
}

impl Run {
    /// Starts etcd, and copies the programs to where the unprivileged user can execute them.
    pub(crate) fn new() -> Self {
        let (lab, tools) = (Lab::new(), Tools::find());
        let programs = [
            env!("CARGO_BIN_EXE_pgbackrest-guard-push"),
            env!("CARGO_BIN_EXE_pgbackrest-guard-get"),
            env!("CARGO_BIN_EXE_pgbackrest-guard"),
        ];
        let copies = programs.map(|program| lab.copy_program(program));
        let programs = copies.first().and_then(|copy| copy.parent()).map(Path::to_owned).unwrap();
        let etcd = Etcd::start(&lab, &tools);
        Self { lab, tools, etcd, programs, scenes: Cell::new(0) }
    }
}

impl<'r> Scene<'r> {
    /// Writes the nodes' files; starts nothing. `io_timeout` is pgBackRest's, in seconds.
    pub(crate) fn new(run: &'r Run, bare: bool, io_timeout: u32) -> Self {
        run.scenes.set(run.scenes.get() + 1);
        let name = format!("ha{}", run.scenes.get());
        let s3 = S3Server::start(&run.lab);
        s3.create_bucket(BUCKET);
        s3.add_key(KEY, "secret");
        run.lab.folder(&name);
        let Run { lab, tools, etcd, programs, .. } = run;
        let shared = Shared { lab, tools, etcd, scene: &name, programs, bare };
        let repository = |builder| in_bucket(builder, &s3, io_timeout);
        let nodes = (1..=3).map(|number| Node::new(&shared, number, repository)).collect();
        Self { run, s3, nodes, name, bare, rows: Cell::new(0) }
    }

    /// The scene's repository, for another pgBackRest.
    pub(crate) fn repository(&self, builder: PgBackRestBuilder, io_timeout: u32) -> PgBackRestBuilder {
        in_bucket(builder, &self.s3, io_timeout)
    }

    /// The first node is made by initdb and backed up by its watcher; the others by pgBackRest from that backup.
    pub(crate) fn started(run: &'r Run, bare: bool, io_timeout: u32) -> Self {
        let scene = Self::new(run, bare, io_timeout);
        scene.bootstrap();
        scene
    }

    /// Starts the first node; seconds until it takes writes, and until its watcher has taken the first full backup.
    pub(crate) fn bootstrap_first(&self) -> (f64, f64) {
        let begin = Instant::now();
        let first = self.node(0);
        first.touch_logs();
        first.start();
        eventually("the first node takes writes", LONG, || first.is_primary());
        let writes = begin.elapsed().as_secs_f64();
        first.watch();
        first.sql("CREATE TABLE t (n int, at timestamptz DEFAULT clock_timestamp())");
        let has_full = || first.log("watch.log").contains("backup --type=full completed");
        eventually("the watcher has taken the first full", LONG, has_full);
        (writes, begin.elapsed().as_secs_f64())
    }

    /// Starts the others; seconds until both stream.
    pub(crate) fn bootstrap_replicas(&self) -> f64 {
        let begin = Instant::now();
        for node in self.nodes.iter().skip(1) {
            node.touch_logs();
            node.start();
        }
        self.wait_streaming();
        let took = begin.elapsed().as_secs_f64();
        self.nodes.iter().skip(1).for_each(Node::watch);
        took
    }

    fn bootstrap(&self) {
        self.bootstrap_first();
        self.bootstrap_replicas();
    }

    /// A node by its place.
    pub(crate) fn node(&self, place: usize) -> &Node {
        self.nodes.get(place).expect("one of three nodes")
    }

    /// The node that takes writes.
    pub(crate) fn primary(&self) -> &Node {
        let mut found = None;
        eventually("a node takes writes", LONG, || {
            found = self.nodes.iter().position(Node::is_primary);
            found.is_some()
        });
        self.node(found.unwrap())
    }

    /// The timeline of a primary.
    pub(crate) fn timeline(primary: &Node) -> u32 {
        let timeline =
            primary.sql("SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int");
        timeline.parse().unwrap()
    }

    /// Waits until all other nodes stream from the primary.
    pub(crate) fn wait_streaming(&self) {
        let primary = self.primary();
        let timeline = Self::timeline(primary);
        for node in self.nodes.iter().filter(|node| node.port != primary.port) {
            let follows = || node.streams(timeline);
            eventually(&format!("{} streams from {} on timeline {timeline}", node.name, primary.name), LONG, follows);
        }
    }

    /// Commits numbered rows, each of them in a segment of its own, and waits until the standbys that stream have
    /// replayed them; how many rows there are to be from now on.
    pub(crate) fn commit(&self, rows: u32) -> u32 {
        let primary = self.primary();
        for _ in 0..rows {
            self.rows.set(self.rows.get() + 1);
            primary.sql(&format!("INSERT INTO t VALUES ({})", self.rows.get()));
            // In one call both were one transaction, and its commit would lie behind the switch.
            primary.sql("SELECT pg_switch_wal()");
        }
        let lag = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()";
        eventually("the standbys have replayed it", LONG, || primary.sql(lag) == "0");
        self.rows.get()
    }

    /// Waits until one of these nodes takes a new row; its name, and the seconds since `begin`.
    pub(crate) fn wait_writable(&self, begin: Instant, but: &str) -> Result<(&Node, f64), String> {
        let row = self.rows.get() + 1;
        let insert = format!("INSERT INTO t VALUES ({row})");
        let mut found = None;
        let patience = if self.bare { BARE } else { FAILOVER };
        within(patience, || {
            let mut others = self.nodes.iter().filter(|node| node.name != but);
            found = others.find(|node| node.is_primary() && node.ask(&insert).is_ok());
            // Not so often that it slows down what it measures.
            std::thread::sleep(Duration::from_millis(if found.is_some() { 0 } else { 80 }));
            found.is_some()
        });
        let took = begin.elapsed().as_secs_f64();
        let node = found.ok_or_else(|| format!("no node takes writes within {} s", patience.as_secs()))?;
        self.rows.set(row);
        Ok((node, took))
    }

    /// Every committed row is there.
    #[track_caller]
    pub(crate) fn assert_rows(&self) {
        let primary = self.primary();
        let rows = primary.sql("SELECT count(DISTINCT n) FROM t");
        assert_eq!(rows, self.rows.get().to_string(), "committed rows are missing on {}", primary.name);
    }

    /// `patronictl`; panics when it fails.
    pub(crate) fn patronictl(&self, arguments: &[&str]) -> String {
        let mut command = self.run.lab.command(self.run.tools.patroni("patronictl"));
        command.arg("-c").arg(self.node(0).file()).args(arguments);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "patronictl {arguments:?}: {}\n{text}", output.status);
        text
    }
}

fn in_bucket(builder: PgBackRestBuilder, s3: &S3Server, io_timeout: u32) -> PgBackRestBuilder {
    let builder = builder.repo_s3(s3, BUCKET, KEY, "secret", "/repo");
    let builder = builder.option("global", "io-timeout", &io_timeout.to_string());
    builder.option("global", "repo1-bundle", "y").option("global", "exclude", ".pgbackrest_guard")
}

impl Drop for Scene<'_> {
    /// What hangs would hold up the end.
    fn drop(&mut self) {
        self.s3.clear_faults();
    }
}
