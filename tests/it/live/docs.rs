//! Live: every command of docs/, run as it stands there, on a real cluster with the real pgBackRest and an S3 store.
//!
//! A page's paths are those of Debian; here they are replaced by the laboratory's. `sudo` runs what follows it as the
//! user that everything runs as, and `systemctl` knows one service: it starts the program of the packaged unit.

use crate::house::docs_blocks::{Step, scene};
use pgbackrest_guard_lab::{Cluster, Fault, FaultId, Lab, PgBackRest, Policy, S3Server, postgres_programs, within};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

const KEY: &str = "AKIADOCS";
/// More than any step takes on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// What stands for `sudo`: the tests run as the right user already.
const SUDO: &str = "#!/bin/sh\nif [ \"$1\" = -u ]; then shift 2; fi\nexec \"$@\"\n";

/// What stands for `systemctl`: the last word of a call for the guard's service decides nothing, there is one cluster.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$*" in
*enable*pgbackrest-guard@15-main | *start*pgbackrest-guard@15-main)
    pgbackrest-guard watch >"$LAB/service.log" 2>&1 &
    echo $! >"$LAB/service.pid" ;;
*disable*pgbackrest-guard@15-main | *stop*pgbackrest-guard@15-main)
    kill "$(cat "$LAB/service.pid")" ;;
*reload*postgresql@15-main)
    psql -c 'SELECT pg_reload_conf()' ;;
*)
    echo "systemctl: not known here: $*" >&2; exit 1 ;;
esac
"#;

/// A page being played.
struct Stage {
    postgres: Cluster,
    s3: S3Server,
    lab: Lab,
    bindings: Vec<(&'static str, String)>,
    outage: Option<FaultId>,
    /// What the latest block wrote.
    output: String,
}

impl Stage {
    /// A cluster that archives by bare pgBackRest, as a page finds it.
    fn set() -> Self {
        let lab = Lab::new();
        let bin = lab.folder("bin");
        lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
        for (name, text) in [("sudo", SUDO), ("systemctl", SYSTEMCTL)] {
            let path = lab.write_file(bin.join(name), text);
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, "secret");
        let postgres = Cluster::builder(&lab);
        let backrest = PgBackRest::builder(&lab).repo_s3(&s3, "wal", KEY, "secret", "/repo").postgres(&postgres);
        let backrest = backrest.option("global", "io-timeout", "1").option("global", "repo1-bundle", "y").write();
        let bindings = Self::bindings(&lab, &postgres.pgdata(), &backrest);
        let path = format!("{}:{}:{}", bin.display(), postgres_programs().display(), std::env::var("PATH").unwrap());
        let (port, data) = (postgres.port().to_string(), postgres.pgdata().display().to_string());
        let (folder, config) = (lab.path().display().to_string(), backrest.config_file().display().to_string());
        let (locks, authority) = (backrest.lock_path().display().to_string(), s3.ca_file().display().to_string());
        let variables = [
            ("PATH", path.as_str()),
            ("LAB", &folder),
            ("PGBACKREST_CONFIG", &config),
            // For the configuration that setup writes in place of the laboratory's.
            ("PGBACKREST_LOCK_PATH", &locks),
            ("PGBACKREST_LOG_LEVEL_FILE", "off"),
            ("PGBACKREST_REPO1_STORAGE_CA_FILE", &authority),
            ("WAL_FREE_RESERVE_MB", "0"),
            ("WAL_DROP_THRESHOLD_MB", "500"),
            ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"),
            ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1"),
            ("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "1"),
        ];
        for (name, value) in variables {
            lab.export(name, value);
        }
        let postgres = postgres.archive_command("").start();
        for (name, value) in [("PGHOST", folder.as_str()), ("PGPORT", &port), ("PGUSER", "postgres"), ("PGDATA", &data)]
        {
            lab.export(name, value);
        }
        backrest.stanza_create();
        postgres.reload_with("archive_command", "pgbackrest --stanza=main archive-push %p");
        Self { postgres, s3, lab, bindings, outage: None, output: String::new() }
    }

    /// The pages' paths, and what stands for them; the longer of two that begin alike comes first.
    fn bindings(lab: &Lab, pgdata: &std::path::Path, backrest: &PgBackRest) -> Vec<(&'static str, String)> {
        let in_lab = |name: &str| lab.path().join(name).display().to_string();
        let show = |path: PathBuf| path.display().to_string();
        vec![
            ("/etc/postgresql/15/main/postgresql.conf", show(pgdata.join("postgresql.conf"))),
            ("/etc/postgresql/15/main/environment", in_lab("environment")),
            ("/etc/pgbackrest-guard.toml", in_lab("pgbackrest-guard.toml")),
            ("/etc/pgbackrest.conf", show(backrest.config_file())),
            ("/var/lib/postgresql/15/main", show(pgdata.to_owned())),
            ("/var/lib/postgresql/data", show(pgdata.to_owned())),
            ("/var/lib/postgresql/drill", in_lab("drill")),
            ("/var/spool/pgbackrest", show(backrest.spool_path())),
            ("/var/run/postgresql", show(lab.path().to_owned())),
            ("/usr/lib/postgresql/15/bin", show(postgres_programs())),
        ]
    }

    fn play(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Shell(text) => self.output = self.run("sh", &["-eu"], &text),
                Step::Sql(text) => self.output = self.run("psql", &["-X", "-v", "ON_ERROR_STOP=1"], &text),
                Step::Expect(text) => self.expect(&text),
                Step::Lab(what) => self.change(&what),
            }
        }
        self.s3.clear_faults();
    }

    fn run(&self, program: &str, arguments: &[&str], text: &str) -> String {
        let bound = self.bindings.iter().fold(text.to_owned(), |text, (path, own)| text.replace(path, own));
        let file = self.lab.write_file("block", &bound);
        let mut command = self.lab.command(program);
        let output = self.lab.path().join("block.out");
        // A file, not a pipe: a service that a block starts lives on and would keep the pipe open.
        let written = std::fs::File::create(&output).unwrap();
        let script = if program == "psql" { "-f" } else { "--" };
        command.args(arguments).arg(script).arg(file).stdin(Stdio::null());
        let status = command.stdout(written.try_clone().unwrap()).stderr(written).status().unwrap();
        let output = std::fs::read_to_string(output).unwrap();
        assert!(status.success(), "{status}\n{bound}\n---\n{output}");
        output
    }

    /// The page's words, where … stands for anything.
    #[track_caller]
    fn expect(&self, text: &str) {
        let said = || format!("{}\n{}\n{}", self.output, self.postgres.log(), self.service_log());
        let holds = within(SOON, || said().lines().any(|line| is_like(line, text)));
        assert!(holds, "nowhere: {text}\n---\n{}", said());
    }

    fn service_log(&self) -> String {
        std::fs::read_to_string(self.lab.path().join("service.log")).unwrap_or_default()
    }

    fn change(&mut self, what: &str) {
        match what.split_once(' ').unwrap_or((what, "")) {
            ("guarded", _) => self.postgres.reload_with("archive_command", "pgbackrest-guard-push %p"),
            ("write", segments) => drop(self.postgres.write_wal(segments.parse().unwrap())),
            ("archived", _) => self.wait_archived(),
            ("revoke-key", _) => self.s3.revoke_key(KEY),
            ("restore-key", _) => self.s3.restore_key(KEY),
            ("read-only", _) => self.s3.set_policy(KEY, Policy::ReadOnly),
            ("read-write", _) => self.s3.set_policy(KEY, Policy::ReadWrite),
            ("outage", _) => self.outage = Some(self.s3.inject(Fault::status(503, "SlowDown"))),
            ("outage-ends", _) => self.s3.remove(self.outage.take().expect("an outage")),
            ("stop-file", _) => drop(self.run("sh", &["-eu"], "pgbackrest --stanza=main stop")),
            ("empty-bucket", _) => self.s3.create_bucket("wal"),
            // As long as the grace time, which is a second here.
            ("quiet", _) => std::thread::sleep(Duration::from_secs(3)),
            ("scripts", _) => self.become_a_volume_of_the_scripts(),
            ("row", _) => drop(self.postgres.sql("CREATE TABLE t AS SELECT 1 AS n")),
            _ => panic!("the laboratory can't {what}"),
        }
    }

    /// What the shell scripts leave in a data directory, and the variables that they are given.
    fn become_a_volume_of_the_scripts(&self) {
        let endpoint = format!("{}:{}", self.s3.host(), self.s3.port());
        let variables = [
            ("WAL_ARCHIVE_BUCKET", "wal"),
            ("WAL_ARCHIVE_ENDPOINT", endpoint.as_str()),
            ("WAL_ARCHIVE_REGION", "us-east-1"),
            ("WAL_ARCHIVE_KEY", KEY),
            ("WAL_ARCHIVE_SECRET", "secret"),
        ];
        for (name, value) in variables {
            self.lab.export(name, value);
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let pgdata = self.postgres.pgdata();
        self.lab.write_file(pgdata.join(".pgbackrest_repo_path"), "/repo\n");
        self.lab.write_file(pgdata.join(".pgbackrest_backup_state"), format!("last_full_at={now}\n"));
        self.lab.folder(pgdata.strip_prefix(self.lab.path()).unwrap().join("conf.d"));
        let wrapper = "archive_command = '/usr/local/bin/pgbackrest-wrapper %p'\n";
        self.lab.write_file(pgdata.join("conf.d/pgbackrest.conf"), wrapper);
        self.postgres.sql("ALTER SYSTEM RESET archive_command");
    }

    /// A reload wakes an archiver that waits before it tries again.
    fn wait_archived(&self) {
        self.postgres.sql("SELECT pg_reload_conf()");
        let all = || self.postgres.ready().is_empty();
        self.postgres.wait_until("everything is archived", SOON, all);
    }
}

/// Whether a line is the text; where the text has a …, whether the line holds its parts in their order. It begins with
/// the first part.
fn is_like(line: &str, text: &str) -> bool {
    if !text.contains('…') {
        return line.trim() == text;
    }
    let mut rest = line.trim();
    rest.starts_with(text.split('…').next().unwrap_or_default().trim())
        && text.split('…').map(str::trim).all(|part| match rest.split_once(part) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
}

fn play((page, name): (&str, &str)) {
    Stage::set().play(scene(page, name));
}

#[test]
fn the_quick_start() {
    play(("quick-start.md", "quick-start"));
}

#[test]
fn the_runbook() {
    play(("runbook.md", "runbook"));
}

#[test]
fn the_move_from_the_scripts() {
    play(("moving-from-postgres-ssl.md", "moving"));
}

#[test]
fn the_forms_of_status() {
    play(("status.md", "status"));
}

#[test]
fn the_restore_drill() {
    play(("restore-drill.md", "drill"));
}
