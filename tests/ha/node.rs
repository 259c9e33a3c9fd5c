//! One node: its data directory, Patroni, its watcher, and a connection over TCP.
//!
//! Patroni's file is the one of docs/patroni.md, with this node's names and ports. On real nodes the programs find
//! `/etc/pgbackrest-guard.toml` and pgBackRest's own file; three nodes on one machine name theirs by the environment of
//! Patroni's process, which hands it on to the server (patroni/postgresql/postmaster.py 4.1.5, `start`).

use crate::tools::{Etcd, Tools, free_port};
use pgbackrest_guard_lab::{Lab, PgBackRest, PgBackRestBuilder, Signal};
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::Duration;

const PAGE: &str = include_str!("../../docs/patroni.md");

/// What all nodes of a scene share.
pub(crate) struct Shared<'s> {
    pub(crate) lab: &'s Lab,
    pub(crate) tools: &'s Tools,
    pub(crate) etcd: &'s Etcd,
    /// The scene's name: Patroni's scope, and its folder in the laboratory.
    pub(crate) scene: &'s str,
    /// The folder of the three programs.
    pub(crate) programs: &'s std::path::Path,
    /// `restore_command` is bare pgBackRest instead of guard-get.
    pub(crate) bare: bool,
}

/// A node, running or not.
pub(crate) struct Node {
    lab: Lab,
    pub(crate) name: String,
    folder: PathBuf,
    pub(crate) pgdata: PathBuf,
    pub(crate) port: u16,
    pub(crate) backrest: PgBackRest,
    guard: PathBuf,
    patroni: PathBuf,
    running: Mutex<Vec<Child>>,
}

impl Node {
    /// Writes its files; starts nothing.
    pub(crate) fn new(
        shared: &Shared<'_>,
        number: usize,
        repository: impl Fn(PgBackRestBuilder) -> PgBackRestBuilder,
    ) -> Self {
        let lab = shared.lab.clone();
        let name = format!("node{number}");
        let relative = format!("{}/{name}", shared.scene);
        let folder = lab.folder(&relative);
        let (port, pgdata) = (free_port(), folder.join("data"));
        let builder = PgBackRest::builder(&lab).name(&format!("{relative}/pgbackrest"));
        let backrest = repository(builder.pg_path(&pgdata, port, lab.path())).archive_async(true).write();
        let guard = shared.programs.join("pgbackrest-guard");
        let patroni = shared.tools.patroni("patroni");
        let node = Self { lab, name, folder, pgdata, port, backrest, guard, patroni, running: Mutex::default() };
        node.lab.write_file(node.folder.join("patroni.yml"), node.patroni_file(shared));
        node.lab.write_file(node.folder.join("guard.toml"), node.guard_file());
        node
    }

    /// The file of docs/patroni.md for this node. A text that the page no longer has fails the run.
    fn patroni_file(&self, shared: &Shared<'_>) -> String {
        let page = PAGE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let (programs, socket) = (shared.programs.display(), self.lab.path().display());
        let get = "/usr/bin/pgbackrest-guard-get %f";
        let restore = if shared.bare { "pgbackrest --stanza=main archive-get %f" } else { get };
        let quick = format!(
            "parameters:\n        fsync: 'off'\n        shared_buffers: 8MB\n        log_line_prefix: '%m [%p] '\n        \
             log_timezone: UTC\n        unix_socket_directories: {socket}"
        );
        let changes = [
            ("scope: main", format!("scope: {}", shared.scene)),
            ("name: node1", format!("name: {}", self.name)),
            ("10.0.0.1:8008", format!("127.0.0.1:{}", free_port())),
            ("10.0.0.9:2379", shared.etcd.address.clone()),
            ("10.0.0.1:5432", format!("127.0.0.1:{}", self.port)),
            ("/var/lib/postgresql/15/main", self.pgdata.display().to_string()),
            ("/usr/lib/postgresql/15/bin", shared.tools.postgres.display().to_string()),
            ("/var/lib/postgresql/patroni.pgpass", self.folder.join("pgpass").display().to_string()),
            ("archive_timeout: 60", "archive_timeout: 10".to_owned()),
            ("parameters:", quick),
            ("- data-checksums", "- data-checksums\n    - wal-segsize: '1'".to_owned()),
            (get, restore.to_owned()),
            ("/usr/bin/pgbackrest-guard", format!("{programs}/pgbackrest-guard")),
        ];
        changes.iter().fold(page.expect("a yaml block in docs/patroni.md").to_owned(), |text, (from, to)| {
            assert!(text.contains(from) || *from == "/usr/bin/pgbackrest-guard", "docs/patroni.md has no '{from}'");
            text.replace(from, to)
        })
    }

    /// Settings that make the watcher quick, and blind to how full the machine's disk is.
    fn guard_file(&self) -> String {
        format!(
            "pgbackrest_config = \"{}\"\nwal_free_reserve_mb = 0\nwal_drop_threshold_mb = 500\n\
             wal_backup_poll_interval_seconds = 1\nwal_backup_initial_poll_seconds = 1\n\
             wal_backup_gap_resolved_grace_seconds = 2\nwal_backup_catalog_verify_interval_seconds = 4\n\
             wal_backup_retry_backoff_seconds = 3\n",
            self.backrest.config_file().display()
        )
    }

    fn environment(&self, command: &mut Command) {
        command.env("WAL_GUARD_CONFIG", self.folder.join("guard.toml"));
        command.env("PGBACKREST_CONFIG", self.backrest.config_file());
        command.env("PGHOST", self.lab.path()).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
    }

    /// Patroni's file, for `patronictl`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("patroni.yml")
    }

    /// Starts Patroni.
    pub(crate) fn start(&self) {
        let mut patroni = self.lab.command(&self.patroni);
        patroni.arg(self.file());
        self.spawn(patroni, "patroni.log");
    }

    /// Starts the watcher, as its unit does: PGDATA is in the environment.
    pub(crate) fn watch(&self) {
        let mut watch = self.lab.command(&self.guard);
        watch.arg("watch").env("PGDATA", &self.pgdata);
        self.spawn(watch, "watch.log");
    }

    fn spawn(&self, mut command: Command, log: &str) {
        self.environment(&mut command);
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join(log)).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.running.lock().unwrap().push(child);
    }

    /// The server's process id; another's may be left in the file of one that was killed.
    fn postmaster(&self) -> Option<i32> {
        let pid = fs::read_to_string(self.pgdata.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "postgres").then_some(pid)
    }

    /// The machine goes dark: everything of this node is killed.
    pub(crate) fn kill(&self) {
        let mut running = std::mem::take(&mut *self.running.lock().unwrap());
        for child in &mut running {
            child.kill().unwrap_or_default();
        }
        if let Some(pid) = self.postmaster() {
            // A child that is stopped does not notice its postmaster's end, and holds the shared memory.
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            Lab::signal(pid, Signal::KILL);
            children.split_whitespace().for_each(|child| Lab::signal(child.parse().unwrap(), Signal::KILL));
        }
        for child in &mut running {
            child.wait().map(drop).unwrap_or_default();
        }
        let folder = self.folder.display().to_string();
        for process in self.lab.processes().iter().filter(|process| process.command.contains(&folder)) {
            Lab::signal(process.pid, Signal::KILL);
        }
    }

    /// Asks Patroni to end, as systemd does, and the watcher; nothing is waited for.
    pub(crate) fn request_stop(&self) {
        for child in self.running.lock().unwrap().iter() {
            Lab::signal(i32::try_from(child.id()).unwrap(), Signal::TERM);
        }
    }

    /// Whether all that was started has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        let mut running = self.running.lock().unwrap();
        running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        running.is_empty() && self.postmaster().is_none()
    }

    /// The first value of the last row.
    pub(crate) fn ask(&self, statements: &str) -> Result<String, String> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        config.connect_timeout(Duration::from_secs(2)).options("-c statement_timeout=20s");
        let mut client: Client = config.connect(NoTls).map_err(|error| format!("{error:?}"))?;
        let messages = client.simple_query(statements).map_err(|error| format!("{error:?}"))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(rows.last().unwrap_or_default())
    }

    /// The same; panics with the node's logs.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.ask(statements).unwrap_or_else(|error| panic!("{}: {statements}: {error}\n{}", self.name, self.tail(40)))
    }

    /// Writes WAL that no standby gets before the node is killed: it has to be rewound when it comes back.
    pub(crate) fn diverge(&self) {
        let stop = "SELECT pid FROM pg_stat_replication";
        let senders = self.ask(&format!("SELECT string_agg(pid::text, ' ') FROM ({stop}) AS s")).unwrap_or_default();
        for pid in senders.split_whitespace() {
            Lab::signal(pid.parse().unwrap(), Signal::STOP);
        }
        self.sql("SELECT pg_logical_emit_message(true, 'lab', repeat('x', 100000))");
    }

    /// How long its promotion took: from Patroni's decision, which PostgreSQL notices only between two calls of
    /// `restore_command`, to the first connection that may write.
    pub(crate) fn promotion(&self) -> String {
        let log = self.log("patroni.log");
        let time = |text: &str| log.lines().rfind(|line| line.contains(text)).and_then(seconds_of_day);
        let decided = time("promoted self to leader").or_else(|| time("Promoting"));
        let took = decided.zip(time("database system is ready to accept connections"));
        took.map_or("not promoted".to_owned(), |(decided, done)| format!("{:.1} s of them promotion", done - decided))
    }

    /// The lines of its log that tell why it is not promoted.
    pub(crate) fn telling(&self) -> String {
        let words = [
            "promote request",
            "FATAL:  could not restore",
            "pgbackrest-guard-get",
            "archive recovery complete",
            "selected new",
        ];
        let log = self.log("patroni.log");
        let lines = log.lines().filter(|line| words.iter().any(|word| line.contains(word)));
        let short = |line: &str| line.chars().take(260).collect::<String>();
        let lines: Vec<String> = lines.map(|line| format!("         {}: {}\n", self.name, short(line))).collect();
        lines.into_iter().rev().take(8).rev().collect()
    }

    /// Whether it takes writes.
    pub(crate) fn is_primary(&self) -> bool {
        self.ask("SELECT pg_is_in_recovery()").is_ok_and(|answer| answer == "f")
    }

    /// Whether it streams from a server of this timeline.
    pub(crate) fn streams(&self, timeline: u32) -> bool {
        let received = "SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        self.ask(received).is_ok_and(|answer| answer == timeline.to_string())
    }

    /// A file of its folder, whole.
    pub(crate) fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The ends of its logs.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let part = |name: &str| {
            let log = self.log(name);
            let last: Vec<&str> = log.lines().rev().take(lines).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            format!("--- {}/{name}\n{}\n", self.folder.display(), last.join("\n"))
        };
        ["patroni.log", "watch.log"].map(part).concat()
    }

    /// Runs `pgbackrest-guard` for this node; its exit code and what it wrote.
    pub(crate) fn guard(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut guard = self.lab.command(&self.guard);
        guard.args(arguments).arg("--pgdata").arg(&self.pgdata);
        self.environment(&mut guard);
        let output = guard.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), text)
    }

    /// A field of `status --output=json`.
    pub(crate) fn status(&self, pointer: &str) -> serde_json::Value {
        let (_, text) = self.guard(&["status", "--output=json"]);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        report.pointer(pointer).cloned().unwrap_or_default()
    }

    /// Makes the log files belong to the run's user, which `LAB_KEEP=1` leaves behind.
    pub(crate) fn touch_logs(&self) {
        for name in ["patroni.log", "watch.log"] {
            File::create(self.folder.join(name)).unwrap();
            self.lab.give(&self.folder.join(name));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail(60));
        }
        self.kill();
    }
}

/// The time of day of a line of PostgreSQL's log, `2026-11-25 18:10:01.123 UTC [123] LOG: …`, or of Patroni's, with a
/// comma before the milliseconds.
fn seconds_of_day(line: &str) -> Option<f64> {
    let line = line.replace(',', ".");
    let mut parts = line.split_whitespace().nth(1)?.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}
