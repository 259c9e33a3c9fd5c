//! The harness of `run`: the supervisor as PID 1 of a PID namespace, and as any other process.
//!
//! A PID namespace needs root and `CAP_SYS_ADMIN`. Without, only the other half is tested, and a line says so.

use pgbackrest_guard_lab::{Lab, Signal, within};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Long enough for anything that should be quick, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Where the supervisor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// PID 1 of a namespace, as root.
    First,
    /// Any process, as the laboratory's user.
    Any,
}

/// Both places, or the one that can be had here.
pub(crate) fn places() -> Vec<Place> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "true"]).stderr(Stdio::null());
    if unshare.status().is_ok_and(|status| status.success()) {
        return vec![Place::First, Place::Any];
    }
    eprintln!("not tested as PID 1: no PID namespace can be had here (root and CAP_SYS_ADMIN are needed)");
    vec![Place::Any]
}

/// A laboratory with the program.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    guard: PathBuf,
    place: Place,
    /// What a shell does in the namespace before the supervisor takes its place.
    prelude: String,
}

impl Scene {
    pub(crate) fn new(place: Place) -> Self {
        let lab = Lab::new();
        let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
        lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
        Self { lab, guard, place, prelude: String::new() }
    }

    /// Something to do in the namespace first, such as a mount that ends with it.
    pub(crate) fn first(self, prelude: &str) -> Self {
        Self { prelude: format!("set -e\n{prelude}\n"), ..self }
    }

    /// A folder of the laboratory's user, by its name there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.lab.path().join(name)
    }

    /// A data directory as far as the supervisor and setup look at it, and pgBackRest's configuration for it.
    pub(crate) fn initialised(&self) -> PathBuf {
        let data = self.lab.folder("data");
        self.lab.folder("data/global");
        let mut control = vec![0; 8192];
        control[..8].copy_from_slice(&7_711_654_820_558_158_875_u64.to_ne_bytes());
        for (name, content) in [
            ("data/global/pg_control", control),
            ("data/postgresql.conf", b"port = 1\n".to_vec()),
            ("data/PG_VERSION", b"15\n".to_vec()),
        ] {
            self.lab.write_file(name, content);
        }
        data
    }

    /// A script, to be CMD.
    pub(crate) fn script(&self, text: &str) -> PathBuf {
        let path = self.lab.write_file("cmd.sh", format!("#!/bin/sh\n{text}\n"));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        path
    }

    /// `run`, with nothing of the tests' own environment but `PATH`.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.place {
            Place::Any => self.lab.command(&self.guard),
            Place::First => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
                unshare.arg(format!("{}exec \"$0\" \"$@\"", self.prelude)).arg(&self.guard);
                unshare.current_dir(self.lab.path()).stdin(Stdio::null());
                unshare
            }
        };
        command.arg("run").env_clear().env("LC_ALL", "C.UTF-8").env("LAB", self.lab.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Starts `run -- CMD` with these variables.
    pub(crate) fn start(&self, program: &Path, variables: &[(&str, &str)]) -> Run {
        self.start_command(self.command().arg("--").arg(program).envs(variables.iter().copied()))
    }

    /// Starts what [`Scene::command`] has begun.
    pub(crate) fn start_command(&self, command: &mut Command) -> Run {
        let log = self.lab.path().join("run.log");
        let file = File::create(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let mut run = Run { child, log, pid: 0 };
        let started = i32::try_from(run.child.id()).unwrap();
        run.pid = started;
        if self.place == Place::First {
            // One that ends at once may never be seen.
            run.wait("unshare has a child", |run| {
                run.pid = children(started).first().copied().unwrap_or(0);
                run.pid != 0 || run.child.try_wait().unwrap().is_some()
            });
        }
        run
    }

    /// The output and the code of `run -- CMD`, where CMD ends by itself.
    pub(crate) fn output(&self, program: &Path, variables: &[(&str, &str)]) -> (String, Option<i32>) {
        let mut run = self.start(program, variables);
        let status = run.status();
        (run.said(), status.code())
    }
}

/// A supervisor at work.
pub(crate) struct Run {
    child: Child,
    log: PathBuf,
    /// The supervisor's number outside its namespace.
    pub(crate) pid: i32,
}

impl Run {
    /// What it and CMD have said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let held = within(SOON, || condition(self));
        assert!(held, "never: {what}\n{}", self.said());
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.wait(words, |run| run.said().contains(words));
    }

    /// Signals the supervisor.
    pub(crate) fn signal(&self, signal: Signal) {
        Lab::signal(self.pid, signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn status(&mut self) -> ExitStatus {
        let mut status = None;
        self.wait("it ends", |run| {
            status = run.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The numbers of the processes below the supervisor whose arguments hold this.
    pub(crate) fn below(&self, words: &str) -> Vec<i32> {
        let all = children(self.pid).into_iter().flat_map(|pid| [vec![pid], children(pid)].concat());
        all.filter(|pid| arguments(*pid).contains(words)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A process's arguments, with spaces between.
pub(crate) fn arguments(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// A process's environment.
pub(crate) fn environment(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect()
}

/// A field of `/proc/PID/stat` behind the name: 0 is the state, 1 the parent, 2 the group, 3 the session.
pub(crate) fn stat(pid: i32, field: usize) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(field).unwrap_or_default().to_owned()
}
