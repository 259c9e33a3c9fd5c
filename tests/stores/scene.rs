//! A cluster that archives to one store, and what each of our programs says of it while something is wrong there.

use crate::servers::{Kind, Store};
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, Process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// More than any step takes on a slow machine.
const SOON: Duration = Duration::from_mins(3);

/// What was seen while a fault lasted.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) class: String,
    pub(crate) code: String,
    pub(crate) decision: String,
    pub(crate) advice: String,
    pub(crate) catalog: String,
    pub(crate) verdict: String,
    /// What pgBackRest said, for who reads the run.
    pub(crate) message: String,
}

pub(crate) struct Scene {
    pub(crate) store: Store,
    lab: Lab,
    backrest: PgBackRest,
    cluster: Cluster,
    push: PathBuf,
    get: PathBuf,
    guard: PathBuf,
    written: BTreeSet<String>,
    given_up: BTreeSet<String>,
}

impl Scene {
    /// A stanza, a table of a thousand rows, a full backup taken by the watcher, and archived WAL behind it.
    pub(crate) fn start(kind: Kind, tools: &Path, pgbackrest: &Path) -> Self {
        let lab = Lab::new();
        let path = std::env::var("PATH").unwrap();
        lab.export("PATH", &format!("{}:{path}", pgbackrest.display()));
        let store = Store::start(&lab, kind, tools);
        let builder = Cluster::builder(&lab);
        let backrest = PgBackRest::builder(&lab).postgres(&builder).option("global", "io-timeout", "2");
        let backrest = store.configure(backrest).write();
        let copy = |name| lab.copy_program(name);
        let push = copy(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        let get = copy(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        let guard = copy(env!("CARGO_BIN_EXE_pgbackrest-guard"));
        let cluster = builder.archive_command("").start();
        let (written, given_up) = (BTreeSet::new(), BTreeSet::new());
        let mut scene = Self { store, lab, backrest, cluster, push, get, guard, written, given_up };
        scene.backrest.stanza_create();
        scene.archive(&[]);
        scene.cluster.sql("create table kept as select generate_series(1, 1000) as n");
        scene.written.extend(scene.cluster.write_wal(2));
        scene.drained();
        let said = scene.watch_once();
        assert!(said.contains("backup --type=full completed"), "{said}");
        scene.cluster.sql("insert into kept select generate_series(1001, 1500)");
        scene.written.extend(scene.cluster.write_wal(2));
        scene.drained();
        scene
    }

    /// Restores the newest state, WAL fetched by guard-get, and counts what is in it.
    pub(crate) fn restore(&self) {
        let (config, get) = (self.backrest.config_file(), self.get.display());
        let fetch = format!("PGBACKREST_CONFIG={} {get} %f \"%p\"", config.display());
        let copy = Cluster::builder(&self.lab).name("restored").no_archiving();
        let copy = self.backrest.restore(copy, &[&format!("--recovery-option=restore_command={fetch}")]);
        copy.start().unwrap_or_else(|log| panic!("what was restored does not start:\n{log}"));
        let recovered = || copy.try_sql("select pg_is_in_recovery()").is_ok_and(|answer| answer == "f");
        copy.wait_until("the copy is open", SOON, recovered);
        assert_eq!(copy.sql("select count(*) from kept"), "1500");
    }

    /// Gives the archiver its command, with more variables.
    fn archive(&self, more: &[(&str, &str)]) {
        let mut command = format!("PGBACKREST_CONFIG={} ", self.backrest.config_file().display());
        let own = [
            ("WAL_FREE_RESERVE_MB", "0"),
            ("WAL_DROP_THRESHOLD_MB", "500"),
            ("WAL_DROP_AFTER_SECONDS", "0"),
            ("WAL_PUSH_TIMEOUT_SECONDS", "20"),
        ];
        for (name, value) in own.iter().chain(more) {
            command.extend([name, "=", value, " "]);
        }
        self.cluster.reload_with("archive_command", &format!("{command} exec {} %p", self.push.display()));
    }

    fn drained(&self) {
        self.cluster.wait_until("nothing waits for archiving", SOON, || self.cluster.ready().is_empty());
    }

    /// What a segment meets while a fault lasts, and then the watcher and status.
    pub(crate) fn meet(&mut self, more: &[(&str, &str)]) -> Seen {
        self.archive(more);
        let failures = self.report()["push"]["failed_count"].as_u64().unwrap_or(0);
        let names = self.cluster.write_wal(1);
        self.written.extend(names.iter().cloned());
        let has_failed = || self.report()["push"]["failed_count"].as_u64().unwrap_or(0) > failures;
        self.cluster.wait_until("a push has failed", SOON, has_failed);
        self.watch_once();
        let report = self.report();
        let failure = &report["push"]["last_failure"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let is_open = |gap: &&Value| gap["state"] == "open";
        let gaps: Vec<&Value> =
            report["gaps"].as_array().map(|gaps| gaps.iter().filter(is_open).collect()).unwrap_or_default();
        if !gaps.is_empty() {
            self.given_up.extend(names);
        }
        let log = self.cluster.log();
        let advice =
            log.lines().rfind(|line| line.starts_with("pgbackrest-guard-push: ") && line.contains("; to do: "));
        Seen {
            class: word(&failure["class"]),
            code: word(&failure["s3_code"]),
            decision: if gaps.is_empty() { "kept, tried again" } else { "dropped, on record" }.to_owned(),
            advice: advice
                .and_then(|line| line.split_once("; to do: "))
                .map_or(String::new(), |(_, what)| what.to_owned()),
            catalog: word(&report["catalog"]["state"]),
            verdict: word(&report["verdict"]),
            message: word(&failure["message"]),
        }
    }

    /// After the fault: everything goes into the store, and a key of the configuration is as it was.
    pub(crate) fn recovers(&self) {
        self.archive(&[]);
        self.drained();
    }

    /// Writes another value of an option of repository 1; returns the text that it replaces.
    pub(crate) fn reconfigure(&self, key: &str, value: &str) -> String {
        let file = self.backrest.config_file();
        let text = fs::read_to_string(&file).unwrap();
        let begin = format!("repo1-{key}=");
        let lines =
            text.lines().map(|line| if line.starts_with(&begin) { format!("{begin}{value}") } else { line.to_owned() });
        let changed: Vec<String> = lines.collect();
        fs::write(file, changed.join("\n") + "\n").unwrap();
        text
    }

    /// Puts a configuration back.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.backrest.config_file(), text).unwrap();
    }

    /// That every segment that was written, but for those given up, is in the store: fetched, and byte for byte the same as
    /// in `pg_wal` where it is still there.
    pub(crate) fn everything_is_stored(&self) {
        let target = self.lab.path().join("fetched");
        for name in self.written.difference(&self.given_up) {
            fs::remove_file(&target).unwrap_or_default();
            let output =
                self.program(&self.get).env("WAL_GET_RETRY_SECONDS", "0").arg(name).arg(&target).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            let own = fs::read(self.cluster.pg_wal().join(name));
            assert!(own.is_err() || own.unwrap() == fs::read(&target).unwrap(), "{name} has other bytes");
        }
    }

    fn program(&self, program: &Path) -> Command {
        let mut command = self.lab.command(program);
        command.env("PGBACKREST_CONFIG", self.backrest.config_file()).env("PGDATA", self.cluster.pgdata());
        command.env("PGHOST", self.cluster.socket_dir()).env("PGPORT", self.cluster.port().to_string());
        command.env("PGUSER", "postgres").env("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0");
        command.env("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1");
        command
    }

    /// One poll of a watcher whose look at the catalog is due.
    fn watch_once(&self) -> String {
        std::thread::sleep(Duration::from_millis(1_100));
        let output = self.program(&self.guard).args(["watch", "--once"]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn report(&self) -> Value {
        let output = self.program(&self.guard).args(["status", "--output=json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is left of pgBackRest when all is done.
    pub(crate) fn left_behind(&self) -> Vec<Process> {
        self.lab.processes().into_iter().filter(|process| process.command.starts_with("pgbackrest ")).collect()
    }
}
