//! A data directory for `pgbackrest-guard setup`, before initdb or after it, and what a run says and leaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system identifier of the clusters here.
pub(crate) const IDENTIFIER: u64 = 7_711_654_820_558_158_875;
pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
pub(crate) const GUARD: &str = env!("CARGO_BIN_EXE_pgbackrest-guard");

/// Variables that name a bucket.
pub(crate) const GOOD: [(&str, &str); 5] = [
    ("WAL_ARCHIVE_BUCKET", "wal-archive"),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:1"),
    ("WAL_ARCHIVE_REGION", "us-east-1"),
    ("WAL_ARCHIVE_KEY", KEY),
    ("WAL_ARCHIVE_SECRET", SECRET),
];

/// What a run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} in {self:?}");
        self
    }

    /// No secret of the variables, nor a piece of one.
    #[track_caller]
    pub(crate) fn tells_no_secret(self) -> Self {
        for secret in [KEY, SECRET, "FODNN7", "UtnFEMI"] {
            assert!(!self.stdout.contains(secret) && !self.stderr.contains(secret), "{self:?}");
        }
        self
    }
}

/// A data directory, and the environment that setup is given: nothing else than what is set here.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Scene {
    /// An empty data directory, and variables that name a bucket.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let scene = Self { folder, variables: BTreeMap::new() };
        let (data, conf) = (scene.data(), scene.conf());
        let scene = scene.with("PGDATA", data.to_str().unwrap()).with("PGBACKREST_CONFIG", conf.to_str().unwrap());
        GOOD.iter().fold(scene, |scene, (name, value)| scene.with(name, value))
    }

    /// The same after initdb.
    pub(crate) fn initialised() -> Self {
        let scene = Self::new();
        scene.initialise(IDENTIFIER);
        scene
    }

    /// What initdb leaves, as far as setup looks at it.
    pub(crate) fn initialise(&self, identifier: u64) {
        let data = self.data();
        fs::create_dir_all(data.join("global")).unwrap();
        let mut control = vec![0; 8192];
        control[..8].copy_from_slice(&identifier.to_ne_bytes());
        fs::write(data.join("global/pg_control"), control).unwrap();
        fs::write(data.join("postgresql.conf"), "shared_buffers = 8MB\n#archive_mode = off").unwrap();
        fs::write(data.join("postgresql.auto.conf"), "# by ALTER SYSTEM\n").unwrap();
        fs::write(data.join("PG_VERSION"), "15\n").unwrap();
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// pgBackRest's configuration.
    pub(crate) fn conf(&self) -> PathBuf {
        self.path().join("etc/pgbackrest.conf")
    }

    /// A text in the data directory; `None` where there is no such file.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.data().join(name)).ok()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Gives everything to the server's user, where the test is root.
    pub(crate) fn give_to_postgres(&self) {
        if rustix::process::geteuid().is_root() {
            let status = Command::new("chown").args(["-R", "postgres"]).arg(self.path()).status().unwrap();
            assert!(status.success());
        }
    }

    /// `setup`, not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(GUARD);
        command.arg("setup").args(arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(&self.variables);
        command.current_dir("/");
        command
    }

    /// Runs `setup` to its end.
    pub(crate) fn setup(&self, arguments: &[&str]) -> Said {
        Self::run(&mut self.command(arguments))
    }

    pub(crate) fn run(command: &mut Command) -> Said {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Every file and folder: its path, times, mode, owner, inode and content.
    pub(crate) fn everything(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (path, file) = (entry.path(), entry.metadata().unwrap());
                let told = [file.ino(), u64::from(file.mode()), u64::from(file.uid()), u64::from(file.gid())];
                let content = if file.is_dir() {
                    String::new()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).unwrap()).into()
                };
                let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
                let name = path.strip_prefix(self.path()).unwrap().display().to_string();
                if file.is_dir() {
                    folders.push(path);
                }
                all.insert(name, format!("{told:?} {times:?} {content}"));
            }
        }
        all
    }

    /// The names of all files and folders.
    pub(crate) fn names(&self) -> Vec<String> {
        self.everything().into_keys().collect()
    }
}
