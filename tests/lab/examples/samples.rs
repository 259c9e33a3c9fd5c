//! Writes `samples/`: what the installed pgBackRest says, word for word, when its repository fails.
//!
//! One file a case, `COMMAND.CASE.MODE.txt`: `exit: N`, then stderr (stdout for `info`). For
//! asynchronous pushes `….spool.txt` holds the spool's error files as the worker left them. Run it
//! again (`cargo run --example samples [GROUP…]`, about five minutes) when another version of pgBackRest is installed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a tool of the laboratory: whatever goes wrong must end it"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgbackrest_guard_lab::{
    Cluster, Fault, FaultKind, Lab, Operations, Output, PgBackRest, PgBackRestBuilder, Policy, S3Server, eventually,
};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

type Group = fn(&Bench);

struct Bench {
    lab: Lab,
    s3: S3Server,
    cluster: Cluster,
    other: Cluster,
    backrest: PgBackRest,
    segments: Vec<String>,
}

fn main() {
    let bench = Bench::new();
    let groups: [(&str, Group); 9] = [
        ("refusals", Bench::refusals),
        ("faults", Bench::faults),
        ("trickles", Bench::trickles),
        ("setups", Bench::wrong_setups),
        ("files", Bench::wrong_files),
        ("two", Bench::two_repositories),
        ("queue", Bench::queue_max),
        ("stop", Bench::stop_file),
        ("gets", Bench::gets),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, group) in groups {
        if wanted.is_empty() || wanted.iter().any(|group| group == name) {
            group(&bench);
        }
    }
}

fn configured(lab: &Lab, s3: &S3Server, name: &str) -> PgBackRestBuilder {
    PgBackRest::builder(lab).name(name).repo_s3(s3, "wal", KEY, SECRET, "/repo").option("global", "io-timeout", "2")
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, SECRET);
        let postgres = Cluster::builder(&lab);
        let backrest = configured(&lab, &s3, "pgbackrest").postgres(&postgres).write();
        let cluster = postgres.archive_command("false").start();
        let other = Cluster::builder(&lab).name("other").start();
        backrest.stanza_create();
        let segments = cluster.write_wal(3);
        Self { lab, s3, cluster, other, backrest, segments }
    }

    fn refusals(&self) {
        self.s3.revoke_key(KEY);
        self.both_and_info("revoked-key");
        self.s3.restore_key(KEY);
        self.s3.delete_bucket("wal");
        self.both_and_info("deleted-bucket");
        self.s3.restore_bucket("wal");
        self.s3.set_policy(KEY, Policy::ReadOnly);
        self.both_and_info("read-only-policy");
        self.s3.set_policy(KEY, Policy::Nothing);
        self.both_and_info("nothing-policy");
        self.s3.set_policy(KEY, Policy::ReadWrite);
    }

    fn faults(&self) {
        let put_reset = Fault::new(FaultKind::ResetMidBody).on(Operations::Put);
        let cases = [
            ("status-503-slow-down", Fault::status(503, "SlowDown")),
            ("status-500-internal-error", Fault::status(500, "InternalError")),
            ("status-400-expired-token", Fault::status(400, "ExpiredToken")),
            ("refused", Fault::new(FaultKind::Refuse)),
            ("hang", Fault::new(FaultKind::Hang)),
            ("hang-put", Fault::new(FaultKind::Hang).on(Operations::Put)),
            ("reset-put", put_reset),
            ("reset-get", Fault::new(FaultKind::ResetMidBody).on(Operations::Get)),
        ];
        for (case, fault) in cases {
            self.s3.inject(fault);
            self.both_and_info(case);
            self.s3.clear_faults();
        }
    }

    fn trickles(&self) {
        let slow = |on| Fault::new(FaultKind::Trickle { bytes_per_second: 200 }).on(on);
        for (case, on) in [("trickle-get", Operations::Get), ("trickle-put", Operations::Put)] {
            self.s3.inject(slow(on));
            for mode in [&[][..], &["--archive-async"]] {
                self.forget_archive();
                self.push(&self.backrest, case, &self.segments[0], mode);
            }
            self.s3.clear_faults();
        }
    }

    /// Without this a push finds its segment archived and has nothing to put.
    fn forget_archive(&self) {
        for key in self.s3.objects("wal").iter().filter(|key| key.contains("/15-1/")) {
            self.s3.remove_object("wal", key);
        }
    }

    fn wrong_setups(&self) {
        let on_data = |builder: PgBackRestBuilder| {
            builder.pg_path(self.cluster.pgdata(), self.cluster.port(), self.cluster.socket_dir()).write()
        };
        let secret = configured(&self.lab, &self.s3, "secret").option("global", "repo1-s3-key-secret", "wrong");
        let secret = on_data(secret);
        self.both(&secret, "wrong-secret");
        save_stdout("info.wrong-secret", &secret.info());
        let stanza = on_data(configured(&self.lab, &self.s3, "stanza").stanza("nosuch"));
        self.both(&stanza, "missing-stanza");
        save_stdout("info.missing-stanza", &stanza.info());
        let name =
            on_data(configured(&self.lab, &self.s3, "name").option("global", "repo1-s3-endpoint", "nosuch.invalid"));
        self.both(&name, "unknown-host");
        let tls = configured(&self.lab, &self.s3, "tls").option(
            "global",
            "repo1-storage-ca-file",
            "/etc/ssl/certs/ca-certificates.crt",
        );
        self.both(&on_data(tls), "untrusted-certificate");
        let other = configured(&self.lab, &self.s3, "other-config");
        let other = other.pg_path(self.other.pgdata(), self.other.port(), self.other.socket_dir()).write();
        let segment = self.other.switch_wal();
        let status = self.other.pg_wal().join("archive_status");
        self.lab.write_file(status.join(format!("{segment}.ready")), "");
        self.push(&other, "mismatched-cluster", &segment, &[]);
        self.push(&other, "mismatched-cluster", &segment, &["--archive-async"]);
    }

    fn wrong_files(&self) {
        self.backrest.ok(&["archive-push", &path(&self.segments[0])]);
        self.push(&self.backrest, "duplicate-same-content", &self.segments[0], &[]);
        let file = self.cluster.pg_wal().join(&self.segments[0]);
        let content = fs::read(&file).unwrap();
        let mut changed = content.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&file, changed).unwrap();
        self.both(&self.backrest, "duplicate-other-content");
        fs::write(&file, content).unwrap();
        let missing = "0000000100000000000000FF";
        self.push(&self.backrest, "missing-wal-file", missing, &[]);
        self.lab.write_file(self.cluster.pg_wal().join("archive_status").join(format!("{missing}.ready")), "");
        self.push(&self.backrest, "missing-wal-file", missing, &["--archive-async"]);
        fs::remove_file(self.cluster.pg_wal().join("archive_status").join(format!("{missing}.ready"))).unwrap();
    }

    fn two_repositories(&self) {
        let (two, _) = self.second_repository();
        self.s3.revoke_key(KEY);
        self.push(&two, "one-of-two-revoked", &self.segments[1], &[]);
        self.push(&two, "one-of-two-revoked", &self.segments[2], &["--archive-async"]);
        save_stdout("info.one-of-two-revoked", &two.info());
        self.s3.restore_key(KEY);
    }

    fn second_repository(&self) -> (PgBackRest, PathBuf) {
        let path = self.lab.path().join("second");
        let two = configured(&self.lab, &self.s3, "two").repo_posix(&path);
        let two = two.pg_path(self.cluster.pgdata(), self.cluster.port(), self.cluster.socket_dir()).write();
        two.stanza_create();
        (two, path)
    }

    fn queue_max(&self) {
        self.s3.revoke_key(KEY);
        for mode in [vec!["--archive-push-queue-max=1MB"], vec!["--archive-push-queue-max=1MB", "--archive-async"]] {
            self.push(&self.backrest, "queue-max", &self.segments[1], &mode);
        }
        self.s3.restore_key(KEY);
    }

    fn stop_file(&self) {
        self.backrest.ok(&["stop"]);
        self.both(&self.backrest, "stop-file");
        self.backrest.ok(&["start"]);
    }

    fn gets(&self) {
        let (two, _) = self.second_repository();
        let get = |backrest: &PgBackRest, case: &str, segment: &str| {
            let target = self.lab.path().join("got");
            let output = backrest.run(&["archive-get", segment, target.to_str().unwrap()]);
            save_stderr(&format!("archive-get.{case}.sync"), &output);
        };
        get(&self.backrest, "not-found", "0000000100000000000000FE");
        self.s3.revoke_key(KEY);
        get(&self.backrest, "revoked-key", &self.segments[0]);
        get(&two, "one-of-two-revoked", "0000000100000000000000FE");
        self.s3.restore_key(KEY);
        self.s3.delete_bucket("wal");
        get(&self.backrest, "deleted-bucket", &self.segments[0]);
        self.s3.restore_bucket("wal");
        self.s3.inject(Fault::new(FaultKind::ResetMidBody).on(Operations::key_contains(&self.segments[0])));
        get(&self.backrest, "reset-mid-body", &self.segments[0]);
        self.s3.clear_faults();
    }

    fn both_and_info(&self, case: &str) {
        self.both(&self.backrest, case);
        save_stdout(&format!("info.{case}"), &self.backrest.info());
    }

    fn both(&self, backrest: &PgBackRest, case: &str) {
        self.push(backrest, case, &self.segments[0], &[]);
        self.push(backrest, case, &self.segments[0], &["--archive-async"]);
    }

    fn push(&self, backrest: &PgBackRest, case: &str, segment: &str, options: &[&str]) {
        let is_async = options.contains(&"--archive-async");
        let mode = if is_async { "async" } else { "sync" };
        let wal = path(segment);
        let mut arguments = options.to_vec();
        arguments.extend(["archive-push", &wal]);
        let output = backrest.run(&arguments);
        save_stderr(&format!("archive-push.{case}.{mode}"), &output);
        if is_async {
            self.finish_worker(backrest, case);
        }
    }

    fn finish_worker(&self, backrest: &PgBackRest, case: &str) {
        let working = || self.lab.processes().iter().any(|process| process.command.contains("archive-push:"));
        eventually("the worker ends", Duration::from_mins(5), || !working());
        let spool = backrest.spool_path().join("archive").join(backrest.stanza()).join("out");
        save(&format!("archive-push.{case}.async.spool"), &spool_text(&spool));
        if spool.exists() {
            fs::remove_dir_all(&spool).unwrap();
        }
    }
}

fn path(segment: &str) -> String {
    format!("pg_wal/{segment}")
}

fn spool_text(spool: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(spool).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    let mut text = String::new();
    for path in names {
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        writeln!(text, "== {}\n{content}", path.file_name().unwrap().to_string_lossy()).unwrap();
    }
    text
}

fn save_stderr(name: &str, output: &Output) {
    save(name, &format!("exit: {}\n{}", output.code().unwrap_or(-1), output.stderr));
}

fn save_stdout(name: &str, output: &Output) {
    save(name, &format!("exit: {}\n{}", output.code().unwrap_or(-1), output.stdout));
}

fn save(name: &str, text: &str) {
    eprintln!("{name}: {}", text.lines().take(2).collect::<Vec<_>>().join(" "));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    fs::write(folder.join(format!("{name}.txt")), text).unwrap();
}
