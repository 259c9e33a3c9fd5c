//! The server of the replay: PostgreSQL's programs, and one of them started on the copy.
//!
//! Its configuration is none of the copy's: everything that reaches outside is on the command line, which wins over
//! `postgresql.auto.conf` (guc.c, PostgreSQL 13 to 18). Settings that a hot standby needs at least as high as its primary had
//! them come from `pg_control` (xlogrecovery.c, `CheckRequiredParameterValues`).

use super::socket::{make_socket, socket};
use super::{Request, RestoreError, Work, copy, heartbeat};
use crate::data_directory::DataDirectory;
use crate::durable;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The port of the socket; there is no other.
pub const PORT: u16 = 5432;
/// How much of the log is looked at, from its end.
const LOG_BYTES: u64 = 1 << 20;
/// How long a server may take to stop before it is said again.
const STOP: Duration = Duration::from_mins(10);
/// `pg_controldata`'s words for settings, and the settings.
const REQUIRED: [(&str, &str); 7] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
    ("track_commit_timestamp setting", "track_commit_timestamp"),
    ("wal_level setting", "wal_level"),
];
/// What keeps the replay to itself.
const ISOLATED: [&str; 24] = [
    "archive_mode=off",
    "archive_command=",
    "archive_cleanup_command=",
    "recovery_end_command=",
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "logging_collector=off",
    "log_destination=stderr",
    "log_line_prefix=%m [%p] ",
    "log_timezone=UTC",
    "lc_messages=C",
    "ssl=off",
    "hot_standby=on",
    "primary_conninfo=",
    "primary_slot_name=",
    "synchronous_standby_names=",
    "shared_preload_libraries=",
    "session_preload_libraries=",
    "local_preload_libraries=",
    "max_logical_replication_workers=0",
    "autovacuum=off",
    "huge_pages=try",
    "shared_buffers=128MB",
    "jit=off",
];

/// The programs that are started.
const NEEDED: [&str; 2] = ["postgres", "pg_controldata"];

/// The programs of one version of PostgreSQL.
#[derive(Debug)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Finds those of a major version: where they are named, else where the origin's server was started from, where
    /// packages put them, and on `PATH`.
    pub(super) fn find(request: &Request, version: &str) -> Result<Self, RestoreError> {
        let named = request.programs.as_deref();
        let origin = request.common.pgdata.as_ref().map(|pgdata| DataDirectory::new(pgdata.value.clone()));
        let origin = origin.and_then(|origin| origin.program_folder());
        let path = request.environment.get("PATH").map(OsString::as_os_str).unwrap_or_default();
        let usual = [
            format!("/usr/lib/postgresql/{version}/bin"),
            format!("/usr/pgsql-{version}/bin"),
            "/usr/local/bin".to_owned(),
            "/usr/local/pgsql/bin".to_owned(),
            "/usr/bin".to_owned(),
        ];
        let usual = origin.into_iter().chain(usual.into_iter().map(PathBuf::from)).chain(std::env::split_paths(path));
        let mut folders: Vec<PathBuf> = named.map_or_else(|| usual.collect(), |named| vec![named.to_owned()]);
        let mut seen = BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        let fits = |folder: &PathBuf| major(&folder.join("postgres")).as_deref() == Some(version);
        let found: Vec<&PathBuf> = folders.iter().filter(|folder| fits(folder)).collect();
        if let Some(whole) = found.iter().find(|folder| missing(folder).is_none()) {
            return Ok(Self((*whole).clone()));
        }
        let part = found.first().and_then(|folder| Some((folder, missing(folder)?)));
        Err(part.map_or_else(
            || {
                let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                RestoreError::Refused(format!(
                    "the backup is from PostgreSQL {version}, whose programs are not in {}; install them, or name \
                     their folder with --postgres-bin",
                    places.join(", ")
                ))
            },
            |(folder, name)| {
                RestoreError::Refused(format!(
                    "{} has no {name}, which a restore needs too; install the complete server package of PostgreSQL \
                     {version}, or name another folder with --postgres-bin",
                    folder.display()
                ))
            },
        ))
    }

    /// What their server calls its version: `15.18 (Debian 15.18-1)`.
    pub(super) fn version(&self) -> Option<String> {
        version(&self.path("postgres"))
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The path of one.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// What a folder lacks of the programs that a restore starts.
fn missing(folder: &Path) -> Option<&'static str> {
    NEEDED.into_iter().find(|name| rustix::fs::access(folder.join(name), rustix::fs::Access::EXEC_OK).is_err())
}

/// A program's output.
fn output(program: &Path, argument: &OsStr) -> io::Result<Output> {
    #[expect(clippy::disallowed_methods, reason = "PostgreSQL's programs are not pgBackRest")]
    let mut command = Command::new(program);
    command.arg(argument).env("LC_ALL", "C").stdin(Stdio::null()).output()
}

fn version(postgres: &Path) -> Option<String> {
    let output = output(postgres, OsStr::new("--version")).ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().strip_prefix("postgres (PostgreSQL) ").map(str::to_owned)
}

fn major(postgres: &Path) -> Option<String> {
    Some(version(postgres)?.chars().take_while(char::is_ascii_digit).collect())
}

/// The settings that keep a server to itself, as `NAME=VALUE`, and the files in `folder` that they name.
///
/// # Errors
/// When those can't be written.
pub fn isolation(folder: &Path) -> io::Result<Vec<OsString>> {
    make_socket(folder)?;
    let [config, hba, ident] = ["replay.conf", "pg_hba.conf", "pg_ident.conf"].map(|name| folder.join(name));
    for (path, text) in [(&config, ""), (&hba, "local all all trust\n"), (&ident, "")] {
        durable::replace(path, text.as_bytes(), 0o600, None)?;
    }
    let paths = [
        ("config_file", config),
        ("hba_file", hba),
        ("ident_file", ident),
        ("unix_socket_directories", socket(folder)),
        ("external_pid_file", folder.join("postmaster.pid")),
    ];
    let named = paths.into_iter().map(|(name, path)| {
        let mut option = OsString::from(format!("{name}="));
        option.push(path);
        option
    });
    let port = OsString::from(format!("port={PORT}"));
    Ok(ISOLATED.iter().map(OsString::from).chain(named).chain([port]).collect())
}

/// A server that replays.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    /// Where its log began.
    from: u64,
}

impl Server {
    /// Starts it. `raised`: settings that the replay has found to be too low.
    pub(super) fn start(work: &Work<'_>, raised: &BTreeMap<String, String>) -> Result<Self, RestoreError> {
        let folder = work.folder.path();
        let log = log_path(folder);
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.map_err(|error| RestoreError::file("open", &log, error))?;
        let from = file.metadata().map_or(0, |file| file.len());
        let errors = file.try_clone().map_err(|error| RestoreError::file("open", &log, error))?;
        let mut settings = required(work)?;
        settings.extend(raised.clone());
        let isolated = isolation(folder).map_err(|error| RestoreError::file("write to", folder, error))?;
        let mut options: Vec<OsString> = isolated;
        options.extend(settings.iter().map(|(name, value)| format!("{name}={value}").into()));
        options.extend(own(work)?.into_iter().map(OsString::from));
        let program = work.programs.path("postgres");
        #[expect(clippy::disallowed_methods, reason = "PostgreSQL is not pgBackRest")]
        let mut command = Command::new(&program);
        command.arg("-D").arg(work.place.target.path());
        for option in options {
            command.arg("-c").arg(option);
        }
        command.env_clear().envs(environment(work)).stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = command.spawn().map_err(|source| RestoreError::Program { program, source })?;
        Ok(Self { child, log, from })
    }

    /// The postmaster's number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written since it was started, or the end of that.
    pub(super) fn log(&self) -> String {
        log_from(&self.log, self.from)
    }

    /// Stops it and waits: sessions end, a checkpoint is written.
    pub(super) fn stop(&mut self) {
        signal(self.child.id(), Signal::INT);
        let until = Instant::now() + STOP;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        if !self.has_ended() {
            signal(self.child.id(), Signal::QUIT);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Server {
    /// Whatever has gone wrong, no server of ours is left behind.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.stop();
        }
    }
}

/// The log in a working folder.
pub(super) fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// What stands in a log behind a position, or the end of that.
pub(super) fn log_from(log: &Path, from: u64) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(LOG_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// What `pg_controldata` says of the copy.
pub(super) fn control_data(work: &Work<'_>) -> Result<String, RestoreError> {
    let (program, target) = (work.programs.path("pg_controldata"), work.place.target.path());
    let output = output(&program, target.as_os_str());
    let output = output.map_err(|source| RestoreError::Program { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(RestoreError::Interrupted(format!("{} can't read {}: {words}", program.display(), target.display())))
}

/// What the copy needs at least.
fn required(work: &Work<'_>) -> Result<BTreeMap<String, String>, RestoreError> {
    let text = control_data(work)?;
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (_, setting) = REQUIRED.iter().find(|(words, _)| *words == name.trim())?;
        Some(((*setting).to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Settings of this replay.
fn own(work: &Work<'_>) -> Result<Vec<String>, RestoreError> {
    let [checkpoint_timeout, max_wal_size] = &work.request.tuning;
    Ok(vec![
        format!("restore_command={}", copy::restore_command(work)?),
        format!("recovery_target_timeline={}", work.state.way.timeline),
        "recovery_target_action=pause".to_owned(),
        format!("checkpoint_timeout={checkpoint_timeout}"),
        format!("max_wal_size={max_wal_size}"),
        format!("wal_keep_size={}MB", heartbeat::KEPT_MIB),
    ])
}

/// The environment of the server, and with it of pgBackRest: a spool, locks and prefetching of its own.
fn environment(work: &Work<'_>) -> Vec<(OsString, OsString)> {
    let folder = work.folder.path();
    let own = [
        ("PGBACKREST_SPOOL_PATH", folder.join("spool").into_os_string()),
        ("PGBACKREST_LOCK_PATH", folder.join("lock").into_os_string()),
        ("PGBACKREST_LOG_PATH", folder.join("log").into_os_string()),
        ("PGBACKREST_ARCHIVE_ASYNC", "y".into()),
        ("PGBACKREST_ARCHIVE_GET_QUEUE_MAX", "128MiB".into()),
        ("PGBACKREST_PROCESS_MAX", "4".into()),
    ];
    let is_own = |name: &OsString| own.iter().any(|(other, _)| name == other);
    let mut all = work.client.environment();
    all.retain(|(name, _)| !is_own(name));
    all.extend(own.map(|(name, value)| (name.into(), value)));
    all
}

/// The process that replays, by what it calls itself: `postgres: startup recovering 0000…` (startup.c).
pub(super) fn segment_under_way(postmaster: u32) -> Option<String> {
    let children = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let parent: u32 = fields.split(' ').nth(1)?.parse().ok()?;
        (parent == postmaster).then_some(pid)
    });
    children.into_iter().find_map(|pid| {
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let (_, name) = title.trim_end_matches(['\0', ' ']).split_once("startup recovering ")?;
        Some(name.chars().take_while(char::is_ascii_hexdigit).collect())
    })
}
