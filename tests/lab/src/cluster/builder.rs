//! Making a cluster: by initdb, by `pg_basebackup`, or around a data directory that pgBackRest restored.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Cluster;
use super::process::{postgres_program, run};
use crate::Lab;

const MIB: u64 = 1024 * 1024;

/// A cluster to be: its folder and port are known before it exists.
#[must_use]
pub struct ClusterBuilder {
    lab: Lab,
    name: String,
    port: u16,
    tcp: bool,
    segment_mib: u64,
    settings: Vec<(String, String)>,
}

impl ClusterBuilder {
    pub(super) fn new(lab: &Lab) -> Self {
        let port = lab.socket_port();
        let settings = Vec::new();
        Self { lab: lab.clone(), name: "data".to_owned(), port, tcp: false, segment_mib: 1, settings }
    }

    /// The name of its folder in the laboratory, `data` unless said otherwise.
    pub fn name(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The size of a WAL segment in MiB, 1 unless said otherwise. A restored cluster has its own.
    pub fn segment_mib(self, segment_mib: u64) -> Self {
        Self { segment_mib, ..self }
    }

    /// A line of the configuration; the last one counts.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Switches archiving on with this command. Without it archiving is off.
    pub fn archive_command(self, command: &str) -> Self {
        self.setting("archive_mode", "on").setting("archive_command", command)
    }

    /// Says that archiving is off, also in a restored cluster whose origin archives.
    pub fn no_archiving(self) -> Self {
        self.setting("archive_mode", "off")
    }

    /// Lets it listen on a TCP port of 127.0.0.1 too.
    pub fn tcp(self) -> Self {
        Self { port: Lab::free_tcp_port(), tcp: true, ..self }
    }

    /// Where its data directory is or will be.
    pub fn pgdata(&self) -> PathBuf {
        self.lab.path().join(&self.name)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.lab.path()
    }

    /// Makes a new cluster by initdb and starts it.
    pub fn start(self) -> Cluster {
        let cluster = self.create();
        cluster.start().unwrap_or_else(|log| panic!("a new cluster does not start:\n{log}"));
        cluster
    }

    /// Makes a new cluster by initdb without starting it.
    pub fn create(self) -> Cluster {
        let mut initdb = self.lab.command(postgres_program("initdb"));
        initdb.arg("--pgdata").arg(self.pgdata()).arg(format!("--wal-segsize={}", self.segment_mib));
        run(initdb.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8"]));
        let mut text = self.basics();
        text.push_str(&self.settings_text());
        append(&self.pgdata().join("postgresql.conf"), &text);
        self.cluster()
    }

    /// Makes a streaming standby by `pg_basebackup`, not started. Settings made here win over the primary's.
    pub fn standby_of(self, primary: &Cluster) -> Cluster {
        let mut copy = self.lab.command(postgres_program("pg_basebackup"));
        copy.arg("--pgdata").arg(self.pgdata()).arg(format!("--dbname={}", primary.conninfo()));
        run(copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"]));
        // What it wrote has every option of its own libpq, and an older server's walreceiver may not know them all
        // (`sslnegotiation`, from libpq 17 on).
        let conninfo = format!("primary_conninfo = '{}'\n", primary.conninfo());
        append(&self.pgdata().join("postgresql.auto.conf"), &conninfo);
        self.adopt()
    }

    /// Takes a data directory that something else has put at [`ClusterBuilder::pgdata`], such as
    /// `pgbackrest restore`. Settings made here win over all that it brought along.
    pub fn adopt(self) -> Cluster {
        append(&self.pgdata().join("postgresql.auto.conf"), &self.settings_text());
        self.cluster()
    }

    /// Makes the empty folder for a restore.
    pub(crate) fn empty_folder(&self) -> PathBuf {
        let folder = self.lab.folder(&self.name);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn cluster(self) -> Cluster {
        let segment_bytes = segment_bytes(&self.pgdata());
        let pgdata = self.pgdata();
        let Self { lab, name, port, tcp, .. } = self;
        Cluster { lab, name, pgdata, port, tcp, segment_bytes, server: Mutex::new(None) }
    }

    /// Small, fast and quiet: no fsync, a WAL of at most 20 segments, no autovacuum.
    fn basics(&self) -> String {
        let (least, most) = (2 * self.segment_mib, 20 * self.segment_mib);
        format!(
            "\nfsync = off\nshared_buffers = 8MB\nmax_connections = 20\nautovacuum = off\njit = off\n\
             wal_level = replica\nmin_wal_size = {least}MB\nmax_wal_size = {most}MB\nhot_standby = on\n\
             log_line_prefix = '%m [%p] '\nlog_checkpoints = off\nwal_retrieve_retry_interval = 200ms\n"
        )
    }

    fn settings_text(&self) -> String {
        let mut text = String::from("\n");
        for (name, value) in &self.settings {
            writeln!(text, "{name} = '{}'", value.replace('\'', "''")).unwrap();
        }
        text
    }
}

fn append(file: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// `xlog_seg_size` of `pg_control`, at offset 228 from `PostgreSQL` 13 to 18 (`catalog/pg_control.h`).
fn segment_bytes(pgdata: &Path) -> u64 {
    let control = fs::read(pgdata.join("global/pg_control")).unwrap();
    let bytes = u64::from(u32::from_ne_bytes(control.get(228..232).unwrap().try_into().unwrap()));
    assert!(bytes.is_power_of_two() && bytes >= MIB, "pg_control gives a segment size of {bytes}");
    bytes
}
