//! What the run needs besides PostgreSQL and pgBackRest: Patroni in its virtual environment, Debian's etcd.
//!
//! `make ha-deps` puts both below the build's `target/tools`; nothing is installed for the whole machine, so no service
//! of etcd's runs before or after.

use pgbackrest_guard_lab::{Lab, eventually};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Where the programs are.
pub(crate) struct Tools {
    patroni: PathBuf,
    etcd: PathBuf,
    /// PostgreSQL's programs.
    pub(crate) postgres: PathBuf,
}

impl Tools {
    /// Looks for them.
    pub(crate) fn find() -> Self {
        let given = std::env::var_os("PGBACKREST_GUARD_TOOLS").map(PathBuf::from);
        let tools = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"));
        let (patroni, etcd) = (tools.join("patroni/bin"), tools.join("etcd/usr/bin/etcd"));
        for path in [&patroni.join("patroni"), &etcd] {
            assert!(path.exists(), "{} is missing: run `make ha-test`, which puts it there", path.display());
        }
        Self { patroni, etcd, postgres: newest_postgres() }
    }

    /// A program of Patroni's: `patroni` or `patronictl`.
    pub(crate) fn patroni(&self, program: &str) -> PathBuf {
        self.patroni.join(program)
    }

    /// Versions, for the table.
    pub(crate) fn versions(&self, lab: &Lab) -> String {
        let say = |(program, argument): (PathBuf, &str)| {
            let output = lab.command(&program).arg(argument).output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
        };
        let programs = [
            (self.patroni("patroni"), "--version"),
            (self.etcd.clone(), "--version"),
            (self.postgres.join("postgres"), "--version"),
            ("pgbackrest".into(), "version"),
        ];
        programs.map(say).join(", ")
    }
}

/// A port of 127.0.0.1 that is free, and that no outgoing connection gets before its server is started, which may be
/// minutes later: Linux takes those from 32768 on (`ip_local_port_range`).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 6000).unwrap();
    let mut ports = std::iter::repeat_with(|| 20_000 + (2 * start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    ports.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
}

fn newest_postgres() -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed").flatten();
    let versions = folders.filter(|entry| entry.path().join("bin/initdb").exists());
    let number = |name: &std::ffi::OsStr| name.to_str().and_then(|name| name.parse::<u32>().ok());
    let newest = versions.max_by_key(|entry| number(&entry.file_name())).expect("PostgreSQL is not installed");
    newest.path().join("bin")
}

/// One etcd on loopback, ended with the value.
pub(crate) struct Etcd {
    server: Child,
    /// Where clients reach it.
    pub(crate) address: String,
}

impl Etcd {
    /// Starts it in the laboratory's folder.
    pub(crate) fn start(lab: &Lab, tools: &Tools) -> Self {
        let (client, peer) = (free_port(), free_port());
        let address = format!("127.0.0.1:{client}");
        let (client, peer) = (format!("http://{address}"), format!("http://127.0.0.1:{peer}"));
        let log = File::create(lab.path().join("etcd.log")).unwrap();
        let mut etcd = lab.command(&tools.etcd);
        etcd.arg("--data-dir").arg(lab.folder("etcd")).args(["--name", "lab", "--logger", "zap"]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.arg("--initial-cluster").arg(format!("lab={peer}"));
        let server = etcd.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        eventually("etcd listens", Duration::from_secs(20), || TcpStream::connect(&address).is_ok());
        Self { server, address }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.server.kill().and_then(|()| self.server.wait()).map(drop).unwrap_or_default();
    }
}
