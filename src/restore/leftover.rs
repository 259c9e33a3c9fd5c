//! A server that a killed restore or drill has left on its copy, and its end.
//!
//! Its pid file names a number and the folder of its socket. After a kill or a boot the number may be another process's, and
//! that one is not touched: a postmaster stands in its data directory (miscinit.c, `ChangeToDataDir`).

use crate::checkpoint::patience;
use crate::data_directory::{DataDirectory, Postmaster};
use crate::durable;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long it may take to stop cleanly.
const CLEANLY: Duration = Duration::from_mins(10);
/// How long it may take then, where it was asked to end at once.
const AT_ONCE: Duration = Duration::from_mins(2);
/// How long a server may take until its pid file names its socket.
const NAMING: Duration = Duration::from_secs(1);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Why it is still there.
#[derive(Debug, thiserror::Error)]
pub enum Stays {
    /// It does not end.
    #[error(
        "process {pid}, the server that an earlier run left running on {}, does not end; it may hang on its disk, or \
         be suspended: end it (kill -9 {pid}), then repeat the command", data.display()
    )]
    Hangs {
        /// Its number.
        pid: i32,
        /// Its data directory.
        data: PathBuf,
    },
    /// We were told to end meanwhile.
    #[error("interrupted by a signal")]
    Signal,
    /// Its pid file, which names no server any more, can't be removed.
    #[error("can't remove the pid file in {}: {source}", data.display())]
    PidFile {
        /// The data directory.
        data: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

/// Ends the server on a copy, if its socket lies in one of these folders; one that somebody else has started is not ours to
/// end. `wait` returns true where we must end.
///
/// # Errors
/// Where it stays.
pub fn end_leftover(
    data: &DataDirectory,
    sockets: &[PathBuf],
    wait: &mut dyn FnMut(Duration) -> bool,
) -> Result<(), Stays> {
    let began = Instant::now();
    let (cleanly, at_once) = (patience(CLEANLY), patience(AT_ONCE));
    while let Some(left) = listening(data, sockets) {
        let path = || data.path().to_owned();
        if !stands_in(left.pid, data) {
            let removed = durable::remove(&path().join("postmaster.pid"));
            return removed.map_err(|source| Stays::PidFile { data: path(), source });
        }
        let signal = match began.elapsed() {
            passed if passed < cleanly => Signal::INT,
            passed if passed < cleanly + at_once => Signal::QUIT,
            _ => return Err(Stays::Hangs { pid: left.pid, data: path() }),
        };
        let _ = Pid::from_raw(left.pid).map(|pid| kill_process(pid, signal));
        if wait(INTERVAL) {
            return Err(Stays::Signal);
        }
    }
    Ok(())
}

/// The server on a copy whose socket lies in one of these folders. Its number and its socket come from one look at its pid
/// file, which may be gone at the next; a server that has just been started is given the time to name its socket.
pub(super) fn listening(data: &DataDirectory, sockets: &[PathBuf]) -> Option<Postmaster> {
    let until = Instant::now() + NAMING;
    loop {
        let found = data.postmaster()?;
        match &found.socket {
            Some(folder) => return sockets.contains(folder).then_some(found),
            None if Instant::now() >= until => return None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Whether a process's working directory is that data directory. Where that can't be read it is taken to be.
fn stands_in(pid: i32, data: &DataDirectory) -> bool {
    let (Ok(there), Ok(data)) = (fs::read_link(format!("/proc/{pid}/cwd")), fs::canonicalize(data.path())) else {
        return true;
    };
    there == data
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files and processes")]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_has_got_the_number_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        let socket = folder.path().join("socket");
        let pid_file = folder.path().join("postmaster.pid");
        let text =
            format!("{}\n{}\n1\n5432\n{}\n\n0 0\nready\n", stranger.id(), folder.path().display(), socket.display());
        fs::write(&pid_file, &text).unwrap();
        let data = DataDirectory::new(folder.path().to_owned());
        let mut wait = |_| panic!("nothing is waited for");
        // Somebody else's server, by its socket.
        end_leftover(&data, &[folder.path().join("other")], &mut wait).unwrap();
        assert!(pid_file.exists());
        end_leftover(&data, &[socket], &mut wait).unwrap();
        assert!(!pid_file.exists());
        assert!(matches!(stranger.try_wait(), Ok(None)), "it was ended");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_server_that_has_just_been_started_is_given_the_time_to_name_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let pid_file = folder.path().join("postmaster.pid");
        let text = |socket: &str| format!("{}\n{}\n1\n5432\n{socket}\n", std::process::id(), folder.path().display());
        fs::write(&pid_file, text("")).unwrap();
        let data = DataDirectory::new(folder.path().to_owned());
        let named = text(&socket.display().to_string());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                fs::write(folder.path().join("new"), named).unwrap();
                fs::rename(folder.path().join("new"), &pid_file).unwrap();
            });
            let found = listening(&data, std::slice::from_ref(&socket)).map(|found| found.pid);
            assert_eq!(found, i32::try_from(std::process::id()).ok());
        });
        // One that names none is nobody's, and one that is gone isn't waited for.
        fs::write(&pid_file, text("")).unwrap();
        assert_eq!(listening(&data, std::slice::from_ref(&socket)), None);
        fs::remove_file(&pid_file).unwrap();
        assert_eq!(listening(&data, &[socket]), None);
    }
}
