//! Containers of the image, and what lasts from one to the next: a folder as their volume, and the store.

use crate::engine::{Engine, text};
use pgbackrest_guard_lab::{Lab, S3Server, within};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const BUCKET: &str = "wal-archive";
pub(crate) const KEY: &str = "AKIAIMAGETEST";
pub(crate) const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYIMAGETEST";
/// More than any step takes on a slow machine.
const SOON: Duration = Duration::from_mins(4);

/// What lasts.
pub(crate) struct Scene<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) lab: Lab,
    pub(crate) s3: S3Server,
    pub(crate) volume: PathBuf,
    port: u16,
}

/// How a container is started.
#[derive(Default)]
pub(crate) struct Options<'o> {
    /// Variables; those of the store come from the scene unless they are named here.
    pub(crate) variables: Vec<(&'o str, String)>,
    /// Variables of the store that are not set.
    pub(crate) without: Vec<&'o str>,
    /// More arguments for `run`.
    pub(crate) run: Vec<&'o str>,
    /// Where the volume is mounted, if not where the image has it.
    pub(crate) mount: Option<&'o str>,
}

impl<'e> Scene<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket(BUCKET);
        s3.add_key(KEY, SECRET);
        let volume = lab.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let ca = lab.path().join("ca-of-store.pem");
        fs::copy(s3.ca_file(), &ca).unwrap();
        fs::set_permissions(&ca, fs::Permissions::from_mode(0o644)).unwrap();
        Self { engine, lab, s3, volume, port: Lab::free_tcp_port() }
    }

    /// Gives the volume to a user, as who starts a container by `--user` has to.
    pub(crate) fn give_volume(&self, uid: u32) {
        chown(&self.volume, Some(uid), Some(uid)).unwrap();
    }

    /// A container with the settings of the scene.
    pub(crate) fn start(&self) -> Container<'_> {
        self.start_with(&Options::default())
    }

    /// A container with one variable more.
    pub(crate) fn start_where(&self, name: &str, value: &str) -> Container<'_> {
        self.start_with(&Options { variables: vec![(name, value.to_owned())], ..Options::default() })
    }

    pub(crate) fn start_with(&self, options: &Options<'_>) -> Container<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("guard-image-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mount = options.mount.unwrap_or(self.engine.mount());
        let mut arguments: Vec<String> =
            ["run", "--detach", "--network", "host", "--name", &name].map(str::to_owned).to_vec();
        arguments.extend(self.engine.run_arguments().iter().cloned());
        arguments.extend(["-v".to_owned(), format!("{}:{mount}", self.volume.display())]);
        arguments
            .extend(["-v".to_owned(), format!("{}:/ca.pem:ro", self.lab.path().join("ca-of-store.pem").display())]);
        let store = format!("https://{}:{}", self.s3.host(), self.s3.port());
        let usual = [
            ("WAL_ARCHIVE_BUCKET", BUCKET.to_owned()),
            ("WAL_ARCHIVE_ENDPOINT", store),
            ("WAL_ARCHIVE_REGION", "us-east-1".to_owned()),
            ("WAL_ARCHIVE_KEY", KEY.to_owned()),
            ("WAL_ARCHIVE_SECRET", SECRET.to_owned()),
            ("PGBACKREST_REPO1_STORAGE_CA_FILE", "/ca.pem".to_owned()),
            ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1".to_owned()),
            ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1".to_owned()),
            ("WAL_FREE_RESERVE_MB", "0".to_owned()),
            ("POSTGRES_PASSWORD", "image-test".to_owned()),
            ("POSTGRES_INITDB_ARGS", "--wal-segsize=1".to_owned()),
            ("PGPORT", self.port.to_string()),
        ];
        let named =
            |name: &str| options.without.contains(&name) || options.variables.iter().any(|(other, _)| *other == name);
        let usual = usual.iter().filter(|(name, _)| !named(name));
        for (name, value) in usual.chain(&options.variables) {
            arguments.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
        arguments.extend(options.run.iter().map(|argument| (*argument).to_owned()));
        let container = Container { scene: self, name };
        arguments.extend([self.engine.image.clone(), "postgres".to_owned()]);
        arguments.extend(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"].map(str::to_owned));
        self.engine.ok(&arguments);
        container
    }
}

/// One that was started; removed at the end whatever happens.
pub(crate) struct Container<'s> {
    scene: &'s Scene<'s>,
    name: String,
}

impl Container<'_> {
    fn engine(&self, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        text(&self.scene.engine.command(&arguments).output().unwrap())
    }

    /// What `run` and the server have said.
    pub(crate) fn log(&self) -> String {
        self.engine(&["logs", &self.name])
    }

    /// Runs a program in it; what it wrote.
    pub(crate) fn exec(&self, arguments: &[&str]) -> String {
        self.engine(&[&["exec", &self.name], arguments].concat())
    }

    /// Statements as the superuser.
    pub(crate) fn sql(&self, role: &str, statements: &str) -> String {
        self.exec(&["psql", "-XAtq", "-U", role, "-d", "postgres", "-c", statements]).trim().to_owned()
    }

    /// A field of the report.
    pub(crate) fn status(&self, pointer: &str) -> Value {
        let report = self.exec(&["pgbackrest-guard", "status", "--output=json"]);
        let begin = report.find('{').unwrap_or_default();
        let report: Value = serde_json::from_str(report.get(begin..).unwrap_or_default()).unwrap_or_default();
        report.pointer(pointer).cloned().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let held = within(SOON, || condition(self));
        assert!(held, "never: {what}\n{}\n{}", self.log(), self.exec(&["pgbackrest-guard", "status"]));
    }

    /// Waits until the server takes connections, behind the first start's temporary one.
    #[track_caller]
    pub(crate) fn is_up(&self, role: &str) {
        self.wait("the server is up", |container| {
            let log = container.log();
            let is_through = log.contains("init process complete") || log.contains("Skipping initialization");
            is_through && container.sql(role, "select 1") == "1"
        });
    }

    /// Waits for a full backup on record and a report without a complaint.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        self.wait("a full backup", |container| container.status("/backups/last_full_at").is_string());
        self.wait("status says ok", |container| container.status("/verdict") == "ok");
    }

    /// Fills a segment, and waits until the store has it.
    #[track_caller]
    pub(crate) fn archives(&self, role: &str) -> String {
        self.archives_to(role, BUCKET)
    }

    #[track_caller]
    pub(crate) fn archives_to(&self, role: &str, bucket: &str) -> String {
        self.sql(role, "create table if not exists t (n int); insert into t select generate_series(1, 1000)");
        let segment = self.sql(role, "select pg_walfile_name(pg_switch_wal())");
        assert_eq!(segment.len(), 24, "{segment}");
        self.wait("the segment is in the store", |container| {
            container.scene.s3.objects(bucket).iter().any(|object| object.contains(&segment))
        });
        segment
    }

    /// The engine's stop; the container's code, and how long it took.
    pub(crate) fn stop(&self) -> (String, Duration) {
        let began = Instant::now();
        self.engine(&["stop", &self.name]);
        let took = began.elapsed();
        (self.engine(&["inspect", "--format", "{{.State.ExitCode}}", &self.name]).trim().to_owned(), took)
    }

    /// Waits for its own end; its code.
    #[track_caller]
    pub(crate) fn ended(&self) -> String {
        let state = |what: &str| self.engine(&["inspect", "--format", &format!("{{{{.State.{what}}}}}"), &self.name]);
        self.wait("it ends", |_| state("Running").trim() == "false");
        state("ExitCode").trim().to_owned()
    }

    /// Starts the same container again.
    pub(crate) fn again(&self) {
        self.engine(&["start", &self.name]);
    }

    /// SIGKILL to PID 1, and with it to everything.
    pub(crate) fn kill(&self) {
        self.engine(&["kill", "--signal", "KILL", &self.name]);
        self.ended();
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.engine(&["rm", "--force", "--volumes", &self.name]);
    }
}
