//! Draining: many copies of WAL files, pushed by one pgBackRest.
//!
//! A call of `archive-push` for each file costs a process, a connection and a read of `archive.info` each. The async process
//! pushes whatever a folder marks as ready (`cmdArchivePushAsync`, src/command/archive/push/push.c, 2.45 to 2.59.1), several
//! at once, so the copies are laid out as in a data directory: `pg_wal` with the copies, `pg_wal/archive_status` with a
//! `.ready` for each, and `global` as a link to the real one, because pgBackRest holds `pg_control` against the stanza. It
//! gets a spool and a lock folder there too: neither the archiver's process nor its status files are in the way. It is started
//! as pgBackRest itself starts it (`archiveAsyncExec`, src/command/archive/common.c), but stays our child, so that it can
//! be watched and ended. `archive-push-queue-max` is taken away: what is drained waits in no queue.

use super::call::Verbosity;
use super::client::Client;
use super::failure::diagnosis;
use super::failure::{End, Failure};
use super::pushed::Pushed;
use super::run::Ending;
use super::spool;
use super::watch::Watch;
use super::{holders, locks, output};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// At least so many files are pushed at a time.
const PROCESSES: u32 = 2;
/// What is kept of what the process prints: a warning for each file at most.
const PRINTED_BYTES: usize = 1 << 20;

/// A folder of copies that are pushed together. It is removed with this value.
#[derive(Debug)]
pub struct Drain {
    root: PathBuf,
    /// Held as long as this lives; the file is never removed.
    _lock: File,
}

impl Drain {
    /// Where the copies are put, or links to what nobody changes.
    #[must_use]
    pub fn copies(&self) -> PathBuf {
        self.root.join("pg_wal")
    }

    /// Marks a file as ready to be pushed.
    ///
    /// # Errors
    /// What the system says.
    pub fn mark(&self, name: &str) -> io::Result<()> {
        File::create(self.status().join(format!("{name}.ready"))).map(drop)
    }

    fn status(&self) -> PathBuf {
        self.copies().join("archive_status")
    }

    fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn out(&self, stanza: &str) -> PathBuf {
        self.spool().join("archive").join(stanza).join("out")
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What became of the files of a drain.
#[derive(Debug, Default)]
pub struct Drained {
    /// By its name, what pgBackRest said of each file that had its turn.
    pub files: BTreeMap<String, Result<Pushed, Failure>>,
    /// Why not all had.
    pub failure: Option<Failure>,
}

impl Client {
    /// Makes the folder of a drain, empty. `None`: another watcher drains it.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin_drain(&self, root: &Path, data_directory: &Path) -> io::Result<Option<Drain>> {
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
        let lock = lock.open(root.with_extension("lock"))?;
        match fs2::FileExt::try_lock_exclusive(&lock) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        }
        let drain = Drain { root: root.to_owned(), _lock: lock };
        // A watcher that was killed has left its process behind.
        if let Some(worker) = locks::worker(&drain.locks(), self.stanza()) {
            let _ = holders::end(&[worker.pid], worker.pid == worker.group);
        }
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for folder in [drain.status(), drain.out(self.stanza()), drain.locks()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let data_directory = fs::canonicalize(data_directory)?;
        std::os::unix::fs::symlink(data_directory.join("global"), root.join("global"))?;
        Ok(Some(drain))
    }

    /// Pushes what is marked in a drain, by one process. A stop file forbids it as it forbids every push.
    #[must_use]
    pub fn drain(&self, drain: &Drain, names: &[String], mut watch: Watch<'_>) -> Drained {
        if self.is_stopped() {
            let failure = self.local_failure("a stop file forbids pushing (pgbackrest start removes it)", 62);
            return Drained { files: BTreeMap::new(), failure: Some(failure) };
        }
        let arguments = self.drain_arguments(drain);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let ended = self.call(Verbosity::Warn, &arguments, PRINTED_BYTES, &mut watch);
        let out = drain.out(self.stanza());
        let files: BTreeMap<_, _> =
            names.iter().filter_map(|name| Some((name.clone(), self.status(&out, name)?))).collect();
        let global = spool::read_error(&out.join("global.error")).map(|error| self.spooled(error.code, &error.text));
        let by_itself = matches!(ended.ending, Ending::Exited(0));
        let failure = global.or_else(|| {
            let text = output::joined(&ended.stderr, &ended.stdout);
            (!by_itself).then(|| self.failure(&ended, &text, watch.limit))
        });
        Drained { files, failure }
    }

    fn drain_arguments(&self, drain: &Drain) -> Vec<OsString> {
        let path = |option: &str, path: &Path| {
            let mut argument = OsString::from(format!("--{option}="));
            argument.push(path);
            argument
        };
        let configured = self.config().and_then(|config| config.option("archive-push", "process-max")?.parse().ok());
        let processes = configured.unwrap_or(1).max(PROCESSES);
        vec![
            path("pg1-path", &drain.root),
            path("spool-path", &drain.spool()),
            path("lock-path", &drain.locks()),
            "--archive-async".into(),
            "--reset-archive-push-queue-max".into(),
            format!("--process-max={processes}").into(),
            "archive-push:async".into(),
            drain.copies().into_os_string(),
        ]
    }

    /// What the spool says of a file; `None`: it had no turn.
    fn status(&self, out: &Path, name: &str) -> Option<Result<Pushed, Failure>> {
        if let Some(error) = spool::read_error(&out.join(format!("{name}.error"))) {
            return Some(Err(self.spooled(error.code, &error.text)));
        }
        // Empty, or `0` and the warnings, without their level.
        let text = spool::read_start(&out.join(format!("{name}.ok")))?;
        let warnings = text.split_once('\n').map_or("", |(_, warnings)| warnings);
        Some(Ok(Pushed::by(&format!("WARN: {warnings}"))))
    }

    fn spooled(&self, code: i32, text: &str) -> Failure {
        Failure::new(diagnosis::of_message_alone(code, text, self.instant()), End::Exited(code), self.redactor())
    }
}
