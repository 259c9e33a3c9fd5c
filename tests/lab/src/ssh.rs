//! The real OpenSSH server on a port of its own, for a repository on another host.
//!
//! It runs as the laboratory's user, who is the only one that can log in: without root's rights sshd changes no user and
//! asks no shadow file. Keys, configuration and log lie in the laboratory; nothing of the machine's own server is read.

use std::fs::{self, OpenOptions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;

use crate::{Lab, PgBackRestBuilder, program_on_path, wait};

const START: Duration = Duration::from_secs(20);

/// sshd insists on its absolute path; Debian puts it outside of an ordinary user's `PATH`.
const SSHD: &str = "/usr/sbin/sshd";

/// An OpenSSH server, running or not; it ends when this is dropped.
pub struct SshServer {
    lab: Lab,
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl SshServer {
    /// Makes the keys and starts the server.
    pub fn start(lab: &Lab) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let mut server = Self { lab: lab.clone(), folder: lab.folder("ssh"), port: Lab::free_tcp_port(), server: None };
        server.make_key("host");
        server.make_key("client");
        fs::copy(server.path("client.pub"), server.path("authorized_keys")).unwrap();
        let host_key = fs::read_to_string(server.path("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{} {host_key}", server.port);
        lab.write_file(server.path("known_hosts"), known);
        lab.write_file(server.path("sshd_config"), server.server_configuration());
        lab.write_file(server.path("ssh_config"), server.client_configuration());
        let client = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", server.path("ssh_config").display());
        let client = lab.write_file(server.path("ssh"), client);
        fs::set_permissions(client, fs::Permissions::from_mode(0o755)).unwrap();
        server.resume();
        server
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An `ssh` that knows the server's key, has one that it takes, and never asks; for pgBackRest's `cmd-ssh`.
    pub fn client(&self) -> PathBuf {
        self.path("ssh")
    }

    /// The one user who can log in.
    pub fn user(&self) -> String {
        let own = || std::env::var("USER").expect("the name of the user in USER");
        self.lab.user().map_or_else(own, str::to_owned)
    }

    /// Lets pgBackRest reach the other side of `role` (`repo1` or `pg1`) by this server, with that side's configuration.
    pub fn reached_by(&self, builder: PgBackRestBuilder, role: &str, configuration: &Path) -> PgBackRestBuilder {
        let section = if role.starts_with("pg") { "STANZA" } else { "global" };
        let option = |builder: PgBackRestBuilder, key: &str, value: &str| {
            builder.option(section, &format!("{role}-host{key}"), value)
        };
        let builder = option(builder, "", "127.0.0.1");
        let builder = option(builder, "-port", &self.port.to_string());
        let builder = option(builder, "-user", &self.user());
        let builder = option(builder, "-config", &configuration.display().to_string());
        let builder = option(builder, "-cmd", &program_on_path("pgbackrest").display().to_string());
        builder.option("global", "cmd-ssh", &self.client().display().to_string())
    }

    /// Starts it again.
    pub fn resume(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.path("sshd.log")).unwrap();
        let mut command = self.lab.command(SSHD);
        command.args(["-D", "-e", "-f"]).arg(self.path("sshd_config"));
        self.server = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let listens = wait::within(START, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(listens, "sshd does not listen:\n{}", self.log());
    }

    /// Ends it with every session, as when the host goes down: what connects is refused.
    pub fn end(&mut self) {
        // A session is a process of its own; pgBackRest's ends when its stream does.
        for process in self.lab.processes().iter().filter(|process| process.command.starts_with("sshd: ")) {
            Lab::signal(process.pid, Signal::KILL);
        }
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Holds it still: what connects hears nothing, as from a host that hangs.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Gives it another key, which no client knows. False: its old one again.
    pub fn change_key(&mut self, changed: bool) {
        if changed {
            fs::rename(self.path("host"), self.path("host.known")).unwrap();
            fs::remove_file(self.path("host.pub")).unwrap();
            self.make_key("host");
        } else {
            fs::rename(self.path("host.known"), self.path("host")).unwrap();
        }
        self.end();
        self.resume();
    }

    /// Takes the one user's key no longer. False: again.
    pub fn refuse_login(&self, refused: bool) {
        let (key, nobody) = (self.path("client.pub"), self.path("host.pub"));
        fs::copy(if refused { nobody } else { key }, self.path("authorized_keys")).unwrap();
    }

    /// A client's side of a connection: its private key, its public key, and the file of hosts that it knows.
    pub fn client_files(&self) -> [PathBuf; 3] {
        ["client", "client.pub", "known_hosts"].map(|name| self.path(name))
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let server = self.server.as_ref().expect("a running server");
        Lab::signal(i32::try_from(server.id()).unwrap(), signal);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make_key(&self, name: &str) {
        let mut command = self.lab.command("ssh-keygen");
        let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name)).status();
        assert!(made.unwrap().success(), "ssh-keygen makes no key");
    }

    fn server_configuration(&self) -> String {
        let (host, keys) = (self.path("host"), self.path("authorized_keys"));
        let (host, keys) = (host.display(), keys.display());
        format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {host}\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
            self.port
        )
    }

    fn client_configuration(&self) -> String {
        let (key, known) = (self.path("client"), self.path("known_hosts"));
        format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\nBatchMode yes\n",
            key.display(),
            known.display()
        )
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.end();
    }
}
