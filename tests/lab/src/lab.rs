//! One test's folder, the user its programs run as, and the end of all of them.
//!
//! `initdb`, `postgres` and newer pgBackRest refuse to run as root, so root drops to `postgres` (or
//! `nobody`). pgBackRest's asynchronous workers detach from everything (double fork, own session,
//! fork.c:forkDetach), so they are found by the folder in their command line or environment.
//!
//! A test that is killed drops nothing. Its lock on the folder's `owner` file goes with it, though,
//! so the next laboratory knows the folder as abandoned and clears it away.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const OWNER: &str = "owner";

/// A test's own folder under `/tmp`, and the unprivileged user that all programs run as.
///
/// Clones share the folder; it goes, with every process that still names it, when the last clone
/// does. `LAB_KEEP=1` in the environment keeps it for a look afterwards.
#[derive(Clone)]
pub struct Lab {
    inner: Arc<Inner>,
}

struct Inner {
    folder: TempDir,
    user: Option<User>,
    next_port: AtomicU16,
    /// Variables of every program.
    exports: Mutex<Vec<(String, String)>>,
    /// Locked for as long as the laboratory lives.
    _owner: File,
}

struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// A process that belongs to a laboratory.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: i32,
    /// Its arguments, joined by spaces.
    pub command: String,
}

impl Lab {
    /// Makes the folder and chooses the user.
    #[expect(clippy::new_without_default, reason = "a folder on disk is not a default value")]
    pub fn new() -> Self {
        clear_abandoned();
        let mut folder = tempfile::Builder::new().prefix("lab.").tempdir_in("/tmp").unwrap();
        folder.disable_cleanup(std::env::var_os("LAB_KEEP").is_some());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owner = File::create(folder.path().join(OWNER)).unwrap();
        owner.lock().unwrap();
        let user = rustix::process::geteuid().is_root().then(unprivileged_user);
        let next_port = AtomicU16::new(5432);
        let lab = Self { inner: Arc::new(Inner { folder, user, next_port, exports: Mutex::default(), _owner: owner }) };
        lab.give(lab.path());
        lab
    }

    /// The laboratory's folder.
    pub fn path(&self) -> &Path {
        self.inner.folder.path()
    }

    /// The name of the unprivileged user; `None` when the test itself is not root.
    pub fn user(&self) -> Option<&str> {
        self.inner.user.as_ref().map(|user| user.name.as_str())
    }

    /// A command that runs as the unprivileged user in the laboratory's folder, with stdin from
    /// `/dev/null` and without any `PG*` variable (which includes `PGBACKREST_*`).
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.path()).stdin(Stdio::null());
        command.env("HOME", self.path()).env("LC_ALL", "C.UTF-8");
        if let Some(user) = &self.inner.user {
            command.env("USER", &user.name).uid(user.uid).gid(user.gid);
        }
        let exports = self.inner.exports.lock().unwrap_or_else(PoisonError::into_inner);
        command.envs(exports.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sets a variable for every program that is started from now on, a cluster's server among them.
    pub fn export(&self, name: &str, value: &str) {
        let mut exports = self.inner.exports.lock().unwrap_or_else(PoisonError::into_inner);
        exports.push((name.to_owned(), value.to_owned()));
    }

    /// Copies a program into the laboratory's `bin`, where the unprivileged user can execute it.
    pub fn copy_program(&self, program: impl AsRef<Path>) -> PathBuf {
        let program = program.as_ref();
        let copy = self.folder("bin").join(program.file_name().unwrap());
        // `cp`, not fs::copy: a descriptor open for writing would leak into a fork of another
        // test's thread, and executing the copy would then fail with "text file busy".
        // A copy that still runs is not written over: another takes its name.
        let status = Command::new("cp").args(["--remove-destination", "--"]).arg(program).arg(&copy).status().unwrap();
        assert!(status.success(), "cannot copy {} to {}", program.display(), copy.display());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }

    /// Makes a folder (with its parents) that belongs to the unprivileged user.
    pub fn folder(&self, relative: impl AsRef<Path>) -> PathBuf {
        let mut path = self.path().to_owned();
        for part in relative.as_ref() {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                self.give(&path);
            }
        }
        path
    }

    /// Writes a file that belongs to the unprivileged user.
    pub fn write_file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        fs::write(&path, content).unwrap();
        self.give(&path);
        path
    }

    /// Gives a file or folder to the unprivileged user; nothing to do when the test is not root.
    pub fn give(&self, path: &Path) {
        if let Some(user) = &self.inner.user {
            chown(path, Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    /// A number for a cluster's port; with Unix sockets only it need be unique in this folder only.
    pub fn socket_port(&self) -> u16 {
        self.inner.next_port.fetch_add(1, Ordering::Relaxed)
    }

    /// A TCP port of 127.0.0.1 that was free a moment ago.
    pub fn free_tcp_port() -> u16 {
        TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
    }

    /// Every running process that names the laboratory's folder in its command line or environment,
    /// except the test itself.
    pub fn processes(&self) -> Vec<Process> {
        processes_naming(self.path())
    }

    /// Sends a signal to a process of this laboratory; one that has already ended is no error.
    pub fn signal(pid: i32, signal: Signal) {
        match kill_process(Pid::from_raw(pid).unwrap(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("cannot signal process {pid}: {error}"),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        end_processes(self.folder.path());
        if std::env::var_os("LAB_KEEP").is_some() {
            fs::remove_file(self.folder.path().join(OWNER)).unwrap_or_default();
        }
    }
}

fn end_processes(folder: &Path) {
    crate::wait::within(Duration::from_secs(5), || {
        let left = processes_naming(folder);
        for process in &left {
            Lab::signal(process.pid, Signal::KILL);
        }
        left.is_empty()
    });
}

/// Ends what is left of laboratories whose tests were killed. Two tests may do so at once.
fn clear_abandoned() {
    for entry in fs::read_dir("/tmp").unwrap().flatten() {
        let folder = entry.path();
        let is_lab = entry.file_name().as_bytes().starts_with(b"lab.");
        let Some(owner) = is_lab.then(|| File::open(folder.join(OWNER)).ok()).flatten() else { continue };
        // A laboratory in the making may not have locked its file yet; leave young ones alone.
        if old(&owner) && owner.try_lock().is_ok() {
            end_processes(&folder);
            for disk in mounted_below(&folder) {
                crate::disk::unmount(&disk);
            }
            fs::remove_dir_all(&folder).unwrap_or_default();
        }
    }
}

/// Where something is mounted in a folder; the names of laboratories and their folders have no blanks.
fn mounted_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

fn old(file: &File) -> bool {
    let age = file.metadata().ok().and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_mins(1))
}

fn processes_naming(folder: &Path) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own)
        .filter_map(|pid| process_naming(pid, folder).ok().flatten())
        .collect()
}

/// A process that ends meanwhile, and a zombie, have neither a command line nor an environment.
fn process_naming(pid: i32, folder: &Path) -> io::Result<Option<Process>> {
    let command = fs::read(format!("/proc/{pid}/cmdline"))?;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let needle = folder.as_os_str().as_bytes();
    if !contains(&command, needle) && !contains(&environment, needle) {
        return Ok(None);
    }
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    Ok(Some(Process { pid, command }))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Where a program lies on this process's `PATH`, for what is started with another one.
pub fn program_on_path(name: &str) -> PathBuf {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", name]).output().unwrap();
    PathBuf::from(String::from_utf8_lossy(&found.stdout).trim())
}

fn unprivileged_user() -> User {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let find = |wanted: &str| passwd.lines().find_map(|line| parse_user(line, wanted));
    find("postgres").or_else(|| find("nobody")).expect("neither user postgres nor nobody in /etc/passwd")
}

fn parse_user(line: &str, wanted: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|&name| name == wanted)?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { name, uid, gid })
}
