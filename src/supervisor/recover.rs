//! Before CMD: a restore on a volume without a cluster, where one was asked for.
//!
//! `pgbackrest-guard restore` does it, as a child of ours and as the user who owns the data directory. pgBackRest's
//! configuration for the source is a file of its own beside the data directory, because the environment wins over a
//! configuration file and must name the source nowhere; it goes when the restore is done, and the keys with it. Then the
//! cluster gets a repository path that is not its origin's, and may archive.

use super::restoring::Restoring;
use super::signals::Signals;
use super::start;
use crate::checkpoint;
use crate::data_directory::DataDirectory;
use crate::decide::recover::{Asked, FROM, Recovery, Volume, recovery};
use crate::durable::{self, Owner};
use crate::epoch;
use crate::exit::Exit;
use crate::restore::{self, working_folder};
use crate::settings::RecoverSettings;
use crate::settings::secret::FILES;
use crate::setup::{self, Archiving};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, geteuid, kill_process, waitpid};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether the restore has ended.
const INTERVAL: Duration = Duration::from_millis(100);
/// The configuration's name.
const FILE_NAME: &str = "source.conf";
/// The source's folder unless it is set, as the scripts had it.
const DEFAULT_PATH: &str = "/pgbackrest";

/// Why CMD is not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRecovered {
    /// What was asked for can't be understood, or is not there.
    #[error("the requested restore was not done, so CMD is not started: {0}")]
    Refused(String),
    /// The restore has failed; it has said why.
    #[error("the requested restore ended with {0}, so CMD is not started; the next start resumes it")]
    Failed(String),
    /// The restore has refused it; it has said why.
    #[error(
        "the requested restore ended with exit code {0}, so CMD is not started: nothing was touched, and the next \
         start tries the same again"
    )]
    NotBegun(i32),
    /// A signal has ended it.
    #[error("interrupted by a signal: the next start resumes the restore")]
    Signal(Signal),
    /// A file or folder.
    #[error("the requested restore was not done, so CMD is not started: can't {what} {path}: {source}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl NotRecovered {
    /// How `run` ends.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Signal(signal) => Exit::Command(u8::try_from(128 + signal.as_raw()).unwrap_or(1)),
            Self::Refused(_) | Self::Failed(_) | Self::NotBegun(_) | Self::File { .. } => Exit::Failed,
        }
    }

    fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { what, path: path.to_owned(), source }
    }
}

/// Restores, if that was asked for and the volume has no cluster. True where it did.
pub(super) fn recover(
    settings: &RecoverSettings,
    request: &setup::Request,
    signals: &mut Signals,
) -> Result<bool, NotRecovered> {
    let Some(pgdata) = request.common.pgdata.as_ref().map(|pgdata| pgdata.value.clone()) else {
        return match recovery(&asked(settings), Volume::Empty) {
            Ok(Recovery::Restore(_)) => Err(NotRecovered::Refused("no data directory: set PGDATA".to_owned())),
            other => other.map(|_| false).map_err(NotRecovered::Refused),
        };
    };
    let own = Own::of(&pgdata);
    let volume = own.volume(&pgdata);
    if volume == Volume::Cluster
        && own.config().exists()
        && let Err(error) = own.remove()
    {
        tracing::warn!("can't remove what an earlier restore left behind, including the source's keys: {error}");
    }
    match recovery(&asked(settings), volume) {
        Err(why) => Err(NotRecovered::Refused(format!("{}: {why}", pgdata.display()))),
        Ok(Recovery::None) => Ok(false),
        Ok(Recovery::Ignored) => {
            tracing::info!("{} holds a cluster: the restore variables have no effect here", pgdata.display());
            Ok(false)
        }
        Ok(Recovery::Restore(_)) if settings.trouble.is_some() => {
            Err(NotRecovered::Refused(settings.trouble.as_ref().map(ToString::to_string).unwrap_or_default()))
        }
        Ok(Recovery::Restore(target)) => {
            own.make(&pgdata, settings, &request.common.stanza.value)?;
            let base = text(settings.from[5].as_deref()).unwrap_or(DEFAULT_PATH);
            let restoring = Restoring {
                target: &target,
                to: &pgdata,
                config: &own.config(),
                base,
                state_dir: &own.folder,
                common: &request.common,
                environment: &request.environment,
                user: own.user,
            };
            let child =
                start::restore(&restoring).map_err(|error| NotRecovered::file("start", Path::new("restore"), error))?;
            wait(child, signals, &|| own.volume(&pgdata) == Volume::Restored)?;
            own.finish(request, &pgdata)?;
            Ok(true)
        }
        Ok(Recovery::HandOver) => {
            tracing::info!("{} was restored by an earlier start: completing the hand-over", pgdata.display());
            own.finish(request, &pgdata)?;
            Ok(true)
        }
    }
}

fn asked(settings: &RecoverSettings) -> Asked<'_> {
    Asked {
        from: settings.from.each_ref().map(Option::as_deref),
        targets: settings.targets.each_ref().map(Option::as_deref),
        scripts: settings.scripts.each_ref().map(Option::as_deref),
        allow_uuid: settings.allow_uuid,
    }
}

fn text(value: Option<&OsStr>) -> Option<&str> {
    value.and_then(OsStr::to_str)
}

/// Waits for the restore, and hands on what would end us. `is_done` tells from the disk what became of one whose status
/// another has taken.
fn wait(child: Pid, signals: &mut Signals, is_done: &dyn Fn() -> bool) -> Result<(), NotRecovered> {
    let mut told = None;
    loop {
        for signal in signals.wait(Some(INTERVAL)) {
            if [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal) {
                told = Some(signal);
                let _ = kill_process(child, Signal::TERM);
            }
        }
        let status = match waitpid(Some(child), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => status,
            Err(Errno::CHILD) if is_done() => return Ok(()),
            Err(Errno::CHILD) => {
                return Err(
                    told.map_or_else(|| NotRecovered::Failed("an unknown code".to_owned()), NotRecovered::Signal)
                );
            }
            Ok(None) | Err(_) => continue,
        };
        return match (status.exit_status(), told) {
            (Some(0), _) => Ok(()),
            (_, Some(signal)) => Err(NotRecovered::Signal(signal)),
            (Some(code @ (2 | 3)), None) => Err(NotRecovered::NotBegun(code)),
            (_, None) => Err(NotRecovered::Failed(words(status))),
        };
    }
}

fn words(status: WaitStatus) -> String {
    status.exit_status().map_or_else(
        || format!("signal {}", status.terminating_signal().unwrap_or_default()),
        |code| format!("exit code {code}"),
    )
}

/// What lies beside the data directory while it is restored.
struct Own {
    folder: PathBuf,
    /// Who the server will be; `None` where that is us.
    user: Option<(u32, u32)>,
}

impl Own {
    fn of(pgdata: &Path) -> Self {
        let name = pgdata.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parent = pgdata.parent().unwrap_or(Path::new("/"));
        Self { folder: parent.join(format!(".{name}.pgbackrest-guard")), user: user(pgdata) }
    }

    fn config(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    /// What lies in the data directory. A restore is under way where its state is noted, or half a copy is there. It has come
    /// to its end, and we have not, where our configuration is still there and the restore's state is not.
    fn volume(&self, pgdata: &Path) -> Volume {
        let half = pgdata.join("backup.manifest").exists() && !pgdata.join("global/pg_control").exists();
        let beside = pgdata.parent().unwrap_or(Path::new("/"));
        let mut parents = [beside, &self.folder].into_iter();
        if half || parents.any(|parent| working_folder(parent, pgdata).join("state.json").exists()) {
            Volume::UnderWay
        } else if !DataDirectory::is_one(pgdata) {
            Volume::Empty
        } else if restore::is_restored(pgdata) {
            if self.config().exists() { Volume::Restored } else { Volume::Copy }
        } else if self.is_cut_off(pgdata) {
            Volume::CutOff
        } else if pgdata.join("recovery.signal").exists() {
            Volume::Recovering
        } else {
            Volume::Cluster
        }
    }

    /// Whether a copy of ours has not been handed over: its recovery's settings, which name our configuration, still stand in
    /// `postgresql.auto.conf`. Where its promotion was cut off `recovery.signal` is gone already.
    fn is_cut_off(&self, pgdata: &Path) -> bool {
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let ours = format!("{folder}/{FILE_NAME}");
        let text = fs::read_to_string(pgdata.join("postgresql.auto.conf")).unwrap_or_default();
        text.lines().any(|line| line.trim_start().starts_with("restore_command") && line.contains(&ours))
    }

    /// What comes after the restore, in an order in which it can be done again: our configuration, which has the keys of the
    /// source, goes last.
    fn finish(&self, request: &setup::Request, pgdata: &Path) -> Result<(), NotRecovered> {
        checkpoint::reached("run-restored");
        hand_over(request, pgdata, self.user)?;
        checkpoint::reached("run-handed-over");
        self.remove()
    }

    /// Makes the data directory and the folder for the server's user, and writes pgBackRest's configuration for the source.
    fn make(&self, pgdata: &Path, settings: &RecoverSettings, stanza: &str) -> Result<(), NotRecovered> {
        for folder in [pgdata, &self.folder] {
            let made = !folder.exists();
            fs::create_dir_all(folder).map_err(|error| NotRecovered::file("create", folder, error))?;
            if made || is_roots_and_empty(folder) {
                self.give(folder, 0o700)?;
            }
        }
        let config = self.config();
        let text = config_text(settings, stanza, pgdata);
        let owner = fs::metadata(&self.folder).map(|folder| Owner::of(&folder)).ok().filter(|_| self.user.is_some());
        let written = durable::replace(&config, text.as_bytes(), 0o600, owner);
        written.map_err(|error| NotRecovered::file("write", &config, error))
    }

    fn give(&self, path: &Path, mode: u32) -> Result<(), NotRecovered> {
        let failed = |error| NotRecovered::file("set the owner and mode of", path, error);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        let Some((uid, gid)) = self.user else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(failed)
    }

    fn remove(&self) -> Result<(), NotRecovered> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(NotRecovered::file("remove", &self.folder, error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether it is as a new volume is where it is mounted.
fn is_roots_and_empty(folder: &Path) -> bool {
    let is_roots = fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0);
    is_roots && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Who the server will be: the data directory's owner, else `postgres`; `None` where that is us.
fn user(pgdata: &Path) -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let owner = fs::metadata(pgdata).ok().map(|folder| (folder.uid(), folder.gid())).filter(|(uid, _)| *uid != 0);
    owner.or_else(|| {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// pgBackRest's configuration for the source.
fn config_text(settings: &RecoverSettings, stanza: &str, pgdata: &Path) -> String {
    let [bucket, endpoint, region, key, secret, path, style] =
        settings.from.each_ref().map(|value| text(value.as_deref()));
    let region = region.unwrap_or("us-east-1");
    let endpoint = endpoint.map_or_else(|| format!("s3.{region}.amazonaws.com"), str::to_owned);
    let mut text =
        "# Written by pgbackrest-guard run for a restore, and removed after it.\n[global]\nrepo1-type=s3\n".to_owned();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={value}");
    };
    line("repo1-s3-bucket", bucket.unwrap_or_default());
    line("repo1-s3-endpoint", &endpoint);
    line("repo1-s3-region", region);
    match (key, secret) {
        (Some(key), Some(secret)) => {
            line("repo1-s3-key", key);
            line("repo1-s3-key-secret", secret);
        }
        _ => line("repo1-s3-key-type", "auto"),
    }
    line("repo1-s3-uri-style", style.unwrap_or("path"));
    line("repo1-path", path.unwrap_or(DEFAULT_PATH));
    let processes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(32);
    line("process-max", &processes.to_string());
    line(&format!("\n[{stanza}]\npg1-path"), &pgdata.display().to_string());
    text
}

/// Gives the restored cluster a repository path of its own, and lets it archive, where it shall.
fn hand_over(request: &setup::Request, pgdata: &Path, user: Option<(u32, u32)>) -> Result<(), NotRecovered> {
    if setup::judge(request).archiving != Archiving::On {
        tracing::info!("the restored cluster archives nothing: WAL_ARCHIVE_BUCKET names no bucket");
        return Ok(());
    }
    let control = DataDirectory::new(pgdata.to_owned()).control();
    let id = control.map(|control| control.system_id);
    let id = id.ok_or_else(|| NotRecovered::Refused("the restored pg_control can't be read".to_owned()))?;
    let noted = pgdata.join(".pgbackrest_repo_path");
    let line = format!("{}/cluster-{id}-{}\n", request.setup.repository_base, epoch::now());
    let owner = fs::metadata(pgdata).map(|folder| Owner::of(&folder)).ok().filter(|_| user.is_some());
    durable::replace(&noted, line.as_bytes(), 0o640, owner)
        .map_err(|error| NotRecovered::file("write", &noted, error))?;
    checkpoint::reached("run-path-noted");
    let auto = pgdata.join("postgresql.auto.conf");
    restore::may_archive(&auto).map_err(|error| NotRecovered::file("change", &auto, error))?;
    tracing::info!("the restored cluster archives to a path of its own: {}", line.trim_end());
    Ok(())
}

/// The variables that name the source, which CMD has no business with.
pub(super) fn secrets() -> impl Iterator<Item = &'static str> {
    FROM.into_iter().chain(FILES.into_iter().filter(|name| name.starts_with("WAL_RECOVER_")))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own processes")]
mod tests {
    use super::*;

    #[test]
    fn a_restore_whose_status_somebody_else_has_taken_is_judged_by_the_disk() {
        let mut signals = Signals::take().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        child.wait().unwrap();
        wait(pid, &mut signals, &|| true).unwrap();
        let lost = wait(pid, &mut signals, &|| false).unwrap_err();
        assert!(lost.to_string().contains("restore ended with an unknown code"), "{lost}");
    }
}
