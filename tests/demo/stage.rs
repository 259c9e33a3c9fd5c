//! The demo's stage: the cluster, the store, the programs, and how a claim is checked.

use crate::SOON;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, PgBackRestBuilder, S3Server, within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The access key's id.
pub(crate) const KEY: &str = "AKIADEMODEMODEMO1234";
/// Its secret.
const SECRET: &str = "a-secret-that-is-never-shown";

/// Everything that runs, and the count of claims.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) backrest: PgBackRest,
    pub(crate) s3: S3Server,
    guard: PathBuf,
    pub(crate) get: PathBuf,
    pub(crate) lab: Lab,
    written: BTreeSet<String>,
    held: u32,
    failed: u32,
}

#[expect(clippy::disallowed_methods, reason = "the demo reads its own environment and writes its own files")]
impl Stage {
    /// Makes the cluster, the bucket and the stanza.
    pub(crate) fn set() -> Self {
        let lab = Lab::new();
        let push = lab.copy_program(program("pgbackrest-guard-push"));
        let guard = lab.copy_program(program("pgbackrest-guard"));
        let get = lab.copy_program(program("pgbackrest-guard-get"));
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, SECRET);
        // No checkpoint of its own accord: the demo says when PostgreSQL recycles segments.
        let postgres = Cluster::builder(&lab).setting("max_wal_size", "1GB");
        let builder = PgBackRest::builder(&lab).postgres(&postgres);
        let builder = builder.repo_s3(&s3, "wal", KEY, SECRET, "/repo").archive_async(true);
        // A thousand small files are then one request.
        let builder = builder.option("global", "repo1-bundle", "y");
        let backrest = builder.write();
        let command = format!("{} --pgbackrest-config={} %p", push.display(), backrest.config_file().display());
        println!("\narchive_command = 'pgbackrest-guard-push %p'");
        println!("A new cluster with segments of 1 MiB, an S3 server over TLS, pgBackRest with archive-async=y:");
        println!("all in {}, which is removed at the end.", lab.path().display());
        let cluster = postgres.archive_command(&command).start();
        cluster.sql("CREATE TABLE t (n int)");
        backrest.stanza_create();
        Self { cluster, backrest, s3, guard, get, lab, written: BTreeSet::new(), held: 0, failed: 0 }
    }

    /// Adds the demo's repository to another configuration.
    pub(crate) fn repository(&self, builder: PgBackRestBuilder) -> PgBackRestBuilder {
        builder.repo_s3(&self.s3, "wal", KEY, SECRET, "/repo")
    }

    /// Prints a heading.
    #[expect(clippy::unused_self, reason = "the stage speaks")]
    pub(crate) fn heading(&self, text: &str) {
        println!("\n{text}\n{}", "=".repeat(text.len()));
    }

    /// Prints a claim and whether it holds.
    pub(crate) fn check(&mut self, claim: &str, holds: bool) {
        println!("  {} {claim}", if holds { "ok    " } else { "FAILED" });
        *if holds { &mut self.held } else { &mut self.failed } += 1;
    }

    /// Whether a claim did not hold.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed > 0
    }

    /// The closing words.
    pub(crate) fn verdict(&self) -> String {
        match self.failed {
            0 => format!("All {} claims hold", self.held),
            failed => format!("{failed} of {} claims do NOT hold", failed + self.held),
        }
    }

    /// Fills segments and says so; their names.
    pub(crate) fn write(&mut self, what: &str, segments: usize) -> Vec<String> {
        let names = self.cluster.write_wal(segments);
        self.written.extend(names.iter().cloned());
        let ends = names.first().zip(names.last()).map(|(first, last)| format!("{first} to {last}"));
        println!("PostgreSQL writes {what}: {}", ends.unwrap_or_default());
        names
    }

    /// Inserts rows, each in a transaction.
    pub(crate) fn insert(&self, rows: usize) {
        self.cluster.sql(&"INSERT INTO t VALUES (1);\n".repeat(rows));
    }

    /// A commit in a segment that is archived: `status` then knows the time up to which can be restored.
    pub(crate) fn commit_and_archive(&self) {
        self.insert(1);
        self.cluster.sql("SELECT pg_switch_wal()");
        self.nothing_waits(SOON);
    }

    /// The rows in the table.
    pub(crate) fn rows(&self) -> u64 {
        self.cluster.sql("SELECT count(*) FROM t").parse().unwrap_or(0)
    }

    /// Whether no file waits for archiving, now or soon.
    pub(crate) fn nothing_waits(&self, timeout: Duration) -> bool {
        within(timeout, || self.cluster.ready().is_empty())
    }

    /// Whether every one of the files waits for archiving, now or soon.
    pub(crate) fn wait_all_ready(&self, names: &[String], timeout: Duration) -> bool {
        within(timeout, || {
            let ready = self.cluster.ready();
            names.iter().all(|name| ready.contains(name))
        })
    }

    /// Whether the archiver's count of failures passes a number soon.
    pub(crate) fn fails_more_than(&self, count: u64, timeout: Duration) -> bool {
        within(timeout, || self.cluster.failed_count() > count)
    }

    /// Whether the repository holds all of these.
    pub(crate) fn are_in_repository(&self, names: &[String]) -> bool {
        let archived = self.backrest.archived(1);
        names.iter().all(|name| archived.contains(name))
    }

    /// Whether the repository holds none of these.
    pub(crate) fn none_in_repository(&self, names: &[String]) -> bool {
        let archived = self.backrest.archived(1);
        names.iter().all(|name| !archived.contains(name))
    }

    /// Compares what was written with the repository and the ledger.
    pub(crate) fn account_for_everything(&mut self) {
        self.heading("5. Every segment that PostgreSQL counts as archived");
        let (archived, status) = (self.backrest.archived(1), self.status());
        let stored = self.written.iter().filter(|name| archived.contains(*name)).count();
        let lost = self.written.iter().filter(|name| status.is_in_a_gap(name)).count();
        let both = self.written.iter().filter(|name| archived.contains(*name) && status.is_in_a_gap(name)).count();
        println!("written {}, in the repository {stored}, on record as lost {lost}", self.written.len());
        let accounted = both == 0 && stored + lost == self.written.len();
        self.check("each is either in the repository or on record as lost", accounted);
    }

    /// Prints what a person sees: the verdict, its reasons, and these sections.
    pub(crate) fn show_status(&self, sections: &[&str]) {
        println!("\n  $ pgbackrest-guard status");
        let text = self.ask("text");
        let blocks = text.split("\n\n").enumerate();
        let shown = blocks.filter(|(at, block)| *at == 0 || sections.iter().any(|name| block.starts_with(name)));
        for (_, block) in shown {
            block.lines().for_each(|line| println!("  | {}", cropped(line)));
            println!("  |");
        }
        println!();
    }

    /// Keeps what a person sees now, as a page and as text, where `make pictures` asks for it.
    pub(crate) fn keep_pictures(&self) {
        let Some(folder) = std::env::var_os("PGBACKREST_GUARD_PICTURES").map(PathBuf::from) else { return };
        self.commit_and_archive();
        self.watch();
        for (form, name) in [("html", "status.html"), ("text", "status.txt")] {
            if let Err(error) = std::fs::write(folder.join(name), self.ask(form)) {
                println!("{name} can't be kept in {}: {error}", folder.display());
            }
        }
    }

    /// What a script sees.
    pub(crate) fn status(&self) -> Status {
        let text = self.ask("json");
        Status(serde_json::from_str(&text).unwrap_or_default())
    }

    fn ask(&self, form: &str) -> String {
        let mut command = self.lab.command(&self.guard);
        command.arg("status").arg(format!("--output={form}")).arg("--pgdata").arg(self.cluster.pgdata());
        command.arg("--pgbackrest-config").arg(self.backrest.config_file());
        match command.output() {
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            Err(error) => format!("pgbackrest-guard can't be started: {error}"),
        }
    }

    /// One poll of the watcher; prints what it says.
    pub(crate) fn watch(&self) {
        println!("\n  $ pgbackrest-guard watch --once");
        let mut command = self.lab.command(&self.guard);
        command.args(["watch", "--once", "--pgdata"]).arg(self.cluster.pgdata());
        command.arg("--pgbackrest-config").arg(self.backrest.config_file());
        command.env("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "0");
        let said = command.output().map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        let said = said.unwrap_or_else(|error| format!("pgbackrest-guard can't be started: {error}"));
        said.lines().for_each(|line| println!("  | {}", cropped(line)));
    }

    /// A restore drill. Whether it has passed.
    pub(crate) fn drill(&self) -> bool {
        println!("\n  $ pgbackrest-guard drill");
        let mut command = self.lab.command(&self.guard);
        command.args(["drill", "--pgdata"]).arg(self.cluster.pgdata());
        command.arg("--pgbackrest-config").arg(self.backrest.config_file());
        let Ok(output) = command.output() else { return false };
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines().for_each(|line| println!("  | {}", cropped(line)));
        output.status.success()
    }

    /// How many backups the repository holds.
    pub(crate) fn backups(&self) -> usize {
        self.backrest.info().stdout.matches("\"label\"").count()
    }

    /// Whether the marker of a gap lies in the data directory.
    pub(crate) fn is_marked(&self) -> bool {
        self.cluster.pgdata().join(".pgbackrest_gap_pending").exists()
    }

    /// Prints the first line of the server's log that is asked for.
    pub(crate) fn show_log(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let log = self.cluster.log();
        if let Some(line) = log.lines().find(|line| wanted(line)) {
            println!("\n  In the server's log, {what}:\n  | {line}");
        }
    }
}

/// What `status --output=json` says.
pub(crate) struct Status(Value);

/// A gap, as far as the demo looks at it.
pub(crate) struct Gap {
    pub(crate) class: String,
    pub(crate) state: String,
    first: String,
    last: String,
}

impl Status {
    /// Whether a text stands at a place.
    pub(crate) fn pointer_is(&self, pointer: &str, text: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_str) == Some(text)
    }

    /// The number at a place.
    pub(crate) fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer).and_then(Value::as_u64)
    }

    /// The gaps.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let text = |gap: &Value, key: &str| gap.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let gaps = self.0.get("gaps").and_then(Value::as_array).into_iter().flatten();
        let of = |gap: &Value| Gap {
            class: text(gap, "class"),
            state: text(gap, "state"),
            first: text(gap, "first"),
            last: text(gap, "last"),
        };
        gaps.map(of).collect()
    }

    /// Whether a segment is on record as lost.
    pub(crate) fn is_in_a_gap(&self, name: &str) -> bool {
        self.gaps().iter().any(|gap| gap.first.as_str() <= name && name <= gap.last.as_str())
    }
}

/// A line that fits a terminal: pgBackRest's messages hold the store's whole answer.
fn cropped(line: &str) -> String {
    let most = 114;
    let end = if line.chars().count() > most { "..." } else { "" };
    line.chars().take(most).chain(end.chars()).collect()
}

/// A program that was built beside this one.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).map(|folder| folder.join(name)).unwrap_or_default()
}
