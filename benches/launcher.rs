//! Starts programs as the server does, and times them.
//!
//! A process that changes its child's user has to fork, and of the milliseconds of `/bin/true` started so most are the fork's:
//! 1.75 of 1.96 ms in one run, where the archiver's own way takes 0.6. So this program starts itself once as the unprivileged
//! user, and that one starts what is measured by `posix_spawn`, as `system(3)` does for the archiver (pgarch.c).

use pgbackrest_guard_lab::Lab;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const ARGUMENT: &str = "--launch";

/// The process that starts what is measured.
pub(crate) struct Launcher {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Launcher {
    /// Starts it in a folder.
    pub(crate) fn new(lab: &Lab, folder: &Path) -> Self {
        let own = lab.copy_program(std::env::current_exe().unwrap());
        let mut command = lab.command(own);
        let mut child =
            command.arg(ARGUMENT).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, asks, answers }
    }

    /// How long a program took, by its words, which hold no space. It must succeed.
    pub(crate) fn time(&mut self, words: &str) -> Duration {
        writeln!(self.asks, "{words}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        Duration::from_nanos(answer.trim().parse().unwrap_or_else(|_| panic!("{words}: {answer}")))
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this is that process: then it has answered all there was to answer.
pub(crate) fn served() -> bool {
    if std::env::args().nth(1).as_deref() != Some(ARGUMENT) {
        return false;
    }
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status();
        let took = start.elapsed();
        match status {
            Ok(status) if status.success() => println!("{}", took.as_nanos()),
            ended => println!("{ended:?}"),
        }
    }
    true
}
