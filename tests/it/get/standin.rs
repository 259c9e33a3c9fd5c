//! The harness of get: a data directory and a stand-in pgBackRest in a temporary folder, and the real get run on them.
//!
//! The stand-in is a link to `standin.sh`, never a file written for the case (`ETXTBSY`, as in `push/standin.rs`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The file that is asked for unless a case says otherwise.
pub(crate) const SEGMENT: &str = "000000010000000000000005";
/// The cluster's system identifier.
pub(crate) const SYSTEM: u64 = 7;
/// Bytes of a segment of the cluster.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;
/// What the program's own lines begin with.
pub(crate) const PREFIX: &str = "pgbackrest-guard-get: ";
const SECRET: &str = "sEcReT/of+the=store";
const LIMIT: Duration = Duration::from_secs(90);

/// Which signal files lie in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Standby,
    OneShot,
    Both,
    Neither,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Standby, Self::OneShot, Self::Both, Self::Neither];

    pub(crate) fn is_standby(self) -> bool {
        matches!(self, Self::Standby | Self::Both)
    }

    /// How a wrong argument ends: what means "stop" to a recovery would stop others for no reason.
    pub(crate) fn usage(self) -> i32 {
        if self == Self::OneShot { 254 } else { 2 }
    }
}

/// One run of get, to be.
pub(crate) struct Get {
    name: String,
    folder: TempDir,
    words: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    configuration: String,
    directory: PathBuf,
    script: String,
}

/// A run under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) case: Get,
    started: Instant,
}

/// A run that has ended.
pub(crate) struct Done {
    pub(crate) case: Get,
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Get {
    /// A cluster with segments of 1 MiB in this mode, no patience, and a pgBackRest that restores the file.
    pub(crate) fn new(name: &str, mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["data/pg_wal", "data/global", "bin", "lock", "spool/archive/main/in"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        make_data_directory(&root.join("data"), mode);
        symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/get/standin.sh"), root.join("bin/pgbackrest")).unwrap();
        let at = root.display();
        let configuration = format!(
            "[global]\nspool-path={at}/spool\nlock-path={at}/lock\nrepo1-type=s3\nrepo1-s3-key-secret={SECRET}\n\
             [main]\npg1-path={at}/data\n"
        );
        let case = Self {
            name: format!("{name}, {mode:?}"),
            folder,
            words: Vec::new(),
            environment: BTreeMap::new(),
            configuration,
            directory: root.join("data"),
            script: String::new(),
        };
        case.env("PATH", format!("{at}/bin:/usr/bin:/bin"))
            .env("PGBACKREST_CONFIG", root.join("pgbackrest.conf"))
            .env("WAL_GUARD_CONFIG", "/dev/null")
            .env("WAL_GET_RETRY_SECONDS", "0")
            .does(&format!("head -c {SEGMENT_BYTES} /dev/zero >\"$target\""))
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Where PostgreSQL wants the file.
    pub(crate) fn target(&self) -> PathBuf {
        self.data().join("pg_wal/RECOVERYXLOG")
    }

    /// What pgBackRest does instead, in the shell's language.
    pub(crate) fn does(mut self, script: &str) -> Self {
        script.clone_into(&mut self.script);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// A line for the global section of pgBackRest's configuration.
    pub(crate) fn conf(mut self, line: &str) -> Self {
        self.configuration = self.configuration.replacen("[global]\n", &format!("[global]\n{line}\n"), 1);
        self
    }

    /// Takes a line out of pgBackRest's configuration.
    pub(crate) fn without_conf(mut self, key: &str) -> Self {
        let kept = self.configuration.lines().filter(|line| !line.starts_with(key));
        self.configuration = kept.fold(String::new(), |text, line| text + line + "\n");
        self
    }

    pub(crate) fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.words.push(flag.into());
        self
    }

    pub(crate) fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = path.into();
        self
    }

    /// Changes the case's files.
    pub(crate) fn with(self, change: impl FnOnce(&Path)) -> Self {
        change(&self.root());
        self
    }

    /// Starts the program for a file and a target.
    pub(crate) fn start(self, words: &[&str]) -> Running {
        let root = self.root();
        fs::write(root.join("pgbackrest.conf"), &self.configuration).unwrap();
        fs::write(root.join("answer.sh"), &self.script).unwrap();
        // Its own clock begins after this one.
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard-get"))
            .args(&self.words)
            .args(words)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(root.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Running { child, case: self, started }
    }

    /// Gets the segment; the exit code must be `expected`.
    pub(crate) fn status(self, expected: i32) -> Done {
        self.status_of(&[SEGMENT, "pg_wal/RECOVERYXLOG"], expected)
    }

    /// The same for other words.
    pub(crate) fn status_of(self, words: &[&str], expected: i32) -> Done {
        let done = self.start(words).end();
        done.check(done.code == Some(expected), &format!("an exit code of {expected}"));
        done
    }
}

impl Running {
    /// Waits for a file of the case, or for text in a file.
    pub(crate) fn wait_for(&self, path: &str, text: &str) {
        let path = self.case.root().join(path);
        let there = || fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text));
        while !there() {
            assert!(self.started.elapsed() < LIMIT, "{}: no '{text}' in {}", self.case.name, path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn end(mut self) -> Done {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > LIMIT {
                self.child.kill().unwrap();
                panic!("{}: hangs", self.case.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let stderr = fs::read(self.case.root().join("stderr")).unwrap();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Done { code: status.code(), stderr, took: self.started.elapsed(), case: self.case }
    }
}

impl Done {
    pub(crate) fn check(&self, holds: bool, what: &str) {
        let Self { case, code, stderr, took } = self;
        assert!(holds, "case '{}': expected {what}; code {code:?} after {took:?}\n--- stderr\n{stderr}", case.name);
    }

    pub(crate) fn has(self, text: &str) -> Self {
        self.check(self.stderr.contains(text), &format!("'{text}' on stderr"));
        self
    }

    pub(crate) fn lacks(self, text: &str) -> Self {
        self.check(!self.stderr.contains(text), &format!("no '{text}' on stderr"));
        self
    }

    /// Everything on stderr is the program's own.
    pub(crate) fn only_own_lines(self) -> Self {
        self.check(self.stderr.lines().all(|line| line.starts_with(PREFIX)), "only lines of the program's own");
        self
    }

    /// How pgBackRest was called, one line a call.
    pub(crate) fn called(&self) -> String {
        fs::read_to_string(self.case.root().join("calls")).unwrap_or_default()
    }

    pub(crate) fn calls(self, count: usize) -> Self {
        let called = self.called();
        self.check(called.lines().count() == count, &format!("{count} calls of pgBackRest, not\n{called}"));
        self
    }

    /// The target is there whole, or not at all, and nothing lies beside it; no secret was told.
    pub(crate) fn left(self, restored: bool) -> Self {
        let length = fs::metadata(self.case.target()).map(|file| file.len()).ok();
        self.check(length.is_some() == restored, &format!("a target: {restored}, not {length:?}"));
        let count = fs::read_dir(self.case.data().join("pg_wal")).unwrap().count();
        self.check(count == usize::from(restored), "nothing beside the target");
        self.lacks(SECRET)
    }
}

/// A data directory with a `pg_control` whose segments have 1 MiB.
pub(crate) fn make_data_directory(path: &Path, mode: Mode) {
    fs::create_dir_all(path.join("global")).unwrap();
    fs::write(path.join("PG_VERSION"), "15\n").unwrap();
    let mut control = vec![0; 8192];
    control[..8].copy_from_slice(&SYSTEM.to_ne_bytes());
    control[208..216].copy_from_slice(&1_234_567.0_f64.to_ne_bytes());
    control[228..232].copy_from_slice(&(1_u32 << 20).to_ne_bytes());
    fs::write(path.join("global/pg_control"), control).unwrap();
    let files: &[&str] = match mode {
        Mode::Standby => &["standby.signal"],
        Mode::OneShot => &["recovery.signal"],
        Mode::Both => &["standby.signal", "recovery.signal"],
        Mode::Neither => &[],
    };
    for file in files {
        fs::write(path.join(file), "").unwrap();
    }
}
