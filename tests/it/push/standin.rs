//! The harness: a data directory and a stand-in pgBackRest in a temporary folder, and the real push run on them.
//!
//! A case is one chain: what is there, what pgBackRest does, [`Case::status`], what must be true then. The stand-in
//! is a link to `standin.sh`, never a file written for the case: between another thread's fork and its exec a file
//! that was open for writing can't be executed (`ETXTBSY`).

use super::outcome::Outcome;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The file that is pushed unless a case says otherwise.
pub(crate) const SEGMENT: &str = "000000010000000000000005";
/// Secrets in every case's pgBackRest configuration and environment.
pub(crate) const SECRETS: [&str; 3] = ["KEYOFTHESTORE", "sEcReT/of+the=store", "WaLaRcHiVeSeCrEt"];
/// One MiB.
pub(crate) const MIB: u64 = 1 << 20;

/// After this a run is a hang.
const LIMIT: Duration = Duration::from_secs(90);

/// One run of push, to be.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: TempDir,
    argument: OsString,
    flags: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    configuration: String,
    directory: PathBuf,
    redirections: Option<String>,
    push: Answer,
    info: Answer,
}

/// What the stand-in does for one command.
#[derive(Default)]
struct Answer {
    lines: Vec<String>,
    exit: u8,
}

impl Case {
    /// A cluster with one waiting segment of 1 MiB, and a pgBackRest that stores it.
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for path in ["data/pg_wal/archive_status", "bin", "answer", "lock", "spool/archive/main/out"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("data/PG_VERSION"), "15\n").unwrap();
        let standin = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/push/standin.sh");
        symlink(standin, root.join("bin/pgbackrest")).unwrap();
        let mut case = Self {
            name: name.to_owned(),
            argument: OsString::new(),
            flags: Vec::new(),
            environment: BTreeMap::new(),
            configuration: String::new(),
            directory: root.join("data"),
            redirections: None,
            push: Answer::default(),
            info: Answer { lines: Vec::new(), exit: 99 },
            folder,
        };
        let configuration = format!(
            "[global]\nspool-path={0}/spool\nlock-path={0}/lock\nlog-path={0}\nrepo1-type=s3\nrepo1-s3-bucket=wal\n\
             repo1-s3-key={1}\nrepo1-s3-key-secret={2}\n",
            root.display(),
            SECRETS[0],
            SECRETS[1]
        );
        case.configuration = configuration;
        case.env("PATH", format!("{}/bin:/usr/bin:/bin", root.display()))
            .env("PGBACKREST_CONFIG", root.join("pgbackrest.conf"))
            .env("WAL_GUARD_CONFIG", root.join("guard.toml"))
            .env("WAL_ARCHIVE_SECRET", SECRETS[2])
            .env("WAL_DROP_THRESHOLD_MB", "500")
            .env("WAL_DROP_AFTER_SECONDS", "0")
            .env("WAL_FREE_RESERVE_MB", "0")
            .settings("")
            .pushes(SEGMENT)
    }

    /// The temporary folder of the case.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Pushes another file, 1 MiB long and waiting.
    pub(crate) fn pushes(self, name: &str) -> Self {
        self.wal(name, MIB).waiting(name).argument(format!("pg_wal/{name}"))
    }

    /// Gives the program another `%p`, without making a file.
    pub(crate) fn argument(mut self, path: impl Into<OsString>) -> Self {
        self.argument = path.into();
        self
    }

    /// Puts a sparse file into `pg_wal`.
    pub(crate) fn wal(self, name: &str, bytes: u64) -> Self {
        File::create(self.data().join("pg_wal").join(name)).unwrap().set_len(bytes).unwrap();
        self
    }

    /// Marks a file as waiting for archiving.
    pub(crate) fn waiting(self, name: &str) -> Self {
        let path = format!("pg_wal/archive_status/{name}.ready");
        self.write(&path, "")
    }

    /// Makes the backlog so many MiB, the pushed segment among it.
    pub(crate) fn backlog(self, mebibytes: u64) -> Self {
        let name = "0000000100000000000000AA";
        self.wal(name, (mebibytes - 1) * MIB).waiting(name)
    }

    /// Writes a file in the data directory.
    pub(crate) fn write(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.data().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Changes the case's files.
    pub(crate) fn with(self, change: impl FnOnce(&Path)) -> Self {
        change(self.root());
        self
    }

    /// A `global/pg_control` of this system identifier.
    pub(crate) fn control(self, system_id: u64) -> Self {
        let mut bytes = vec![0; 8192];
        bytes[..8].copy_from_slice(&system_id.to_ne_bytes());
        self.write("global/pg_control", bytes)
    }

    /// A `postmaster.pid` that says `state`.
    pub(crate) fn postmaster(self, state: &str) -> Self {
        self.write("postmaster.pid", format!("1\n/data\n1763800000\n5432\n/tmp\nlocalhost\n 1 2\n{state}\n"))
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Takes a variable away.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Adds a flag.
    pub(crate) fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Writes the settings file.
    pub(crate) fn settings(self, text: &str) -> Self {
        fs::write(self.root().join("guard.toml"), text).unwrap();
        self
    }

    /// Adds a line to pgBackRest's configuration.
    pub(crate) fn conf(mut self, line: &str) -> Self {
        self.configuration.push_str(line);
        self.configuration.push('\n');
        self
    }

    /// Starts the program in another folder than the data directory.
    pub(crate) fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = path.into();
        self
    }

    /// Starts the program with the shell's redirections, such as `2>&-`.
    pub(crate) fn redirected(mut self, redirections: &str) -> Self {
        self.redirections = Some(redirections.to_owned());
        self
    }

    /// pgBackRest writes this to stderr.
    pub(crate) fn says(mut self, text: impl AsRef<[u8]>) -> Self {
        let file = self.text(text.as_ref());
        self.push.lines.push(format!("cat '{}' >&2", file.display()));
        self
    }

    /// pgBackRest writes this to stdout.
    pub(crate) fn prints(mut self, text: impl AsRef<[u8]>) -> Self {
        let file = self.text(text.as_ref());
        self.push.lines.push(format!("cat '{}'", file.display()));
        self
    }

    /// pgBackRest does this, in the shell's language; `$out` is the spool's folder, `$root` the case's.
    pub(crate) fn does(mut self, line: impl Into<String>) -> Self {
        self.push.lines.push(line.into());
        self
    }

    /// pgBackRest's exit code.
    pub(crate) fn exits(mut self, code: u8) -> Self {
        self.push.exit = code;
        self
    }

    /// Forgets what pgBackRest was told to do.
    pub(crate) fn works(mut self) -> Self {
        self.push = Answer::default();
        self
    }

    /// `info` answers this and exits 0.
    pub(crate) fn info(mut self, answer: impl AsRef<[u8]>) -> Self {
        let file = self.text(answer.as_ref());
        self.info = Answer { lines: vec![format!("cat '{}'", file.display())], exit: 0 };
        self
    }

    /// `info` does this.
    pub(crate) fn info_does(mut self, line: &str) -> Self {
        self.info.lines.push(line.to_owned());
        self
    }

    /// A file in the spool's folder.
    pub(crate) fn spool(self, name: &str, content: &str) -> Self {
        fs::write(self.root().join("spool/archive/main/out").join(name), content).unwrap();
        self
    }

    /// Runs the program; its exit code must be `expected`.
    pub(crate) fn status(self, expected: i32) -> Outcome {
        let outcome = self.run();
        outcome.check(outcome.status.code() == Some(expected), &format!("an exit code of {expected}"));
        outcome
    }

    /// Runs the program, however it ends.
    pub(crate) fn run(self) -> Outcome {
        let root = self.root();
        fs::write(root.join("pgbackrest.conf"), &self.configuration).unwrap();
        for (answer, command) in [(&self.push, "archive-push"), (&self.info, "info")] {
            let script = format!("{}\nexit {}\n", answer.lines.join("\n"), answer.exit);
            fs::write(root.join(format!("answer/{command}.sh")), script).unwrap();
        }
        let (stdout, stderr) = (root.join("stdout"), root.join("stderr"));
        let started = Instant::now();
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn();
        let status = self.wait(child.unwrap());
        Outcome {
            status,
            stdout: String::from_utf8_lossy(&fs::read(stdout).unwrap()).into_owned(),
            stderr: String::from_utf8_lossy(&fs::read(stderr).unwrap()).into_owned(),
            took: started.elapsed(),
            case: self,
        }
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_pgbackrest-guard-push");
        let mut command = match &self.redirections {
            None => Command::new(program),
            Some(redirections) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}"), program]);
                shell
            }
        };
        command.args(&self.flags).env_clear().envs(&self.environment).current_dir(&self.directory);
        if !self.argument.is_empty() {
            command.arg(&self.argument);
        }
        command
    }

    fn wait(&self, mut child: std::process::Child) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > LIMIT {
                child.kill().unwrap();
                panic!("{}: hangs; stderr:\n{}", self.name, fs::read_to_string(self.root().join("stderr")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A file beside the stand-in that holds this text.
    fn text(&self, text: &[u8]) -> PathBuf {
        let free = |at: &u32| !self.root().join(format!("answer/text-{at}")).exists();
        let path = self.root().join(format!("answer/text-{}", (0..1000).find(free).unwrap()));
        fs::write(&path, text).unwrap();
        path
    }
}
