//! The machine: the package on it, and a cluster that postgresql-common makes.

use pgbackrest_guard_lab::{Lab, PgBackRest, within};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The settings file.
pub(crate) const SETTINGS: &str = "/etc/pgbackrest-guard.toml";
/// Where Debian's servers put their sockets.
pub(crate) const SOCKETS: &str = "/var/run/postgresql";
/// The cluster's name: nobody else has one of it.
const NAME: &str = "guardtest";

/// Says what holds.
pub(crate) fn say(what: &str) {
    println!("  ok     {what}");
}

/// Runs a program to its end; panics with what it wrote when it fails.
pub(crate) fn ok(program: &str, arguments: &[&str]) -> String {
    works(program, arguments).unwrap_or_else(|| panic!("{program} is not installed"))
}

/// The same; `None` where there is no such program.
pub(crate) fn works(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program} {arguments:?} ended with {}:\n{text}", output.status);
    Some(text)
}

/// The package, purged at the end whatever happens.
pub(crate) struct Package {
    pub(crate) file: String,
}

impl Package {
    /// Installs it.
    pub(crate) fn install(file: &Path) -> Self {
        let package = Self { file: file.display().to_string() };
        package.install_again();
        package
    }

    /// Installs it over itself, keeping a changed settings file.
    pub(crate) fn install_again(&self) {
        ok("dpkg", &["--force-confold", "--install", &self.file]);
    }

    /// Removes all but the configuration; what was said.
    pub(crate) fn remove(&self) -> String {
        let said = ok("dpkg", &["--remove", "pgbackrest-guard"]);
        println!("  …      {} is removed", self.file);
        said
    }

    /// Removes everything.
    pub(crate) fn purge(self) {
        drop(self);
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        ok("dpkg", &["--purge", "pgbackrest-guard"]);
    }
}

/// A cluster of postgresql-common, dropped at the end whatever happens.
pub(crate) struct Cluster {
    lab: Lab,
    version: String,
    pub(crate) pgdata: PathBuf,
    pub(crate) port: u16,
}

impl Cluster {
    /// Makes it, archiving as docs/quick-start.md says.
    pub(crate) fn create(lab: &Lab) -> Self {
        let version = newest();
        let pgdata = Path::new("/var/lib/postgresql").join(&version).join(NAME);
        assert!(!pgdata.exists(), "{} is left from another run: pg_dropcluster it", pgdata.display());
        let port = Lab::free_tcp_port();
        let cluster = Self { lab: lab.clone(), version, pgdata, port };
        let text = port.to_string();
        ok("pg_createcluster", &["--port", &text, &cluster.version, NAME, "--", "--wal-segsize=1"]);
        let settings = "archive_mode = on\narchive_command = 'pgbackrest-guard-push %p'\nfsync = off\n";
        fs::write(cluster.settings_file(), settings).unwrap();
        cluster
    }

    fn configuration(&self) -> PathBuf {
        Path::new("/etc/postgresql").join(&self.version).join(NAME)
    }

    /// The file that switches archiving on.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.configuration().join("conf.d/archive.conf")
    }

    fn server_log(&self) -> PathBuf {
        Path::new("/var/log/postgresql").join(format!("postgresql-{}-{NAME}.log", self.version))
    }

    /// The name of the service's instance.
    pub(crate) fn instance(&self) -> String {
        format!("{}-{NAME}", self.version)
    }

    /// Writes what the server and the service both read.
    pub(crate) fn environment(&self, backrest: &PgBackRest) {
        let config = backrest.config_file();
        let text = format!(
            "PGBACKREST_CONFIG = '{}'\nWAL_FREE_RESERVE_MB = '0'\nWAL_BACKUP_POLL_INTERVAL_SECONDS = '1'\n\
             WAL_BACKUP_INITIAL_POLL_SECONDS = '1'\nWAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS = '2'\n",
            config.display()
        );
        fs::write(self.environment_file(), text).unwrap();
    }

    /// postgresql-common's file of the server's environment.
    pub(crate) fn environment_file(&self) -> PathBuf {
        self.configuration().join("environment")
    }

    /// Starts the server, also where systemd does not run.
    pub(crate) fn start(&self) {
        ok("pg_ctlcluster", &["--skip-systemctl-redirect", &self.version, NAME, "start"]);
    }

    fn sql(&self, statements: &str) -> String {
        let mut psql = self.lab.command("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", SOCKETS, "-p"]);
        let output = psql.arg(self.port.to_string()).args(["-U", "postgres", "-c", statements]).output().unwrap();
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Fills segments, and waits until the archiver is through with all of them.
    pub(crate) fn write_and_archive(&self, segments: usize) {
        for _ in 0..segments {
            self.sql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 500000))");
            self.sql("SELECT pg_switch_wal()");
        }
        let waits = || fs::read_dir(self.pgdata.join("pg_wal/archive_status")).unwrap().flatten();
        let is_ready = |entry: fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "ready");
        assert!(within(crate::SOON, || !waits().any(is_ready)), "WAL still waits: {}", self.status("/push"));
    }

    /// A field of the installed program's report.
    pub(crate) fn status(&self, pointer: &str) -> Value {
        let mut status = self.lab.command("/usr/bin/pgbackrest-guard");
        let output = status.args(["status", "--output=json", "--pgdata"]).arg(&self.pgdata).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report.pointer(pointer).cloned().unwrap_or_default()
    }

    /// Drops it.
    pub(crate) fn drop(self) {
        drop(self);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.server_log()).unwrap_or_default());
        }
        // A file that is not postgresql-common's would keep the folder.
        fs::remove_file(self.settings_file()).unwrap_or_default();
        ok("pg_dropcluster", &["--stop", &self.version, NAME]);
    }
}

/// The newest version of PostgreSQL that is installed.
fn newest() -> String {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed").flatten();
    let versions = folders.filter_map(|entry| entry.file_name().into_string().ok());
    versions.max_by_key(|version| version.parse::<u32>().unwrap_or(0)).expect("PostgreSQL is not installed")
}
