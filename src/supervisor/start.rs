//! Starts the two programs: CMD, and our own `watch`.

use super::restoring::{Restoring, is_foreign};
use super::terminal;
use crate::data_directory::DataDirectory;
use crate::settings::{CommonFlags, Environment};
use crate::setup::EnvironmentChange;
use rustix::io::Errno;
use rustix::process::{Pid, geteuid};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why CMD does not run.
#[derive(Debug, thiserror::Error)]
#[error("can't start {}", program.to_string_lossy())]
pub(super) struct NotStarted {
    program: OsString,
    source: io::Error,
}

impl NotStarted {
    /// The code that a shell ends with: 127 when there is no such program, else 126.
    pub(super) fn code(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// Starts CMD in a process group of its own, with the terminal if that is ours to give. Looked for on `PATH`, as execvp(3) does.
pub(super) fn command(
    program: &OsStr,
    arguments: &[OsString],
    change: &EnvironmentChange,
    environment: &Environment,
) -> Result<Pid, NotStarted> {
    let failed = match spawn_command(program, arguments, change) {
        Ok(pid) => return Ok(pid),
        Err(error) => error,
    };
    let started = match on_path(program, environment) {
        // A folder on PATH that must not be read would have it "permission denied".
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no such program on PATH")),
        // A script without `#!` is the shell's (execvp(3)).
        Some(path) if failed.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let arguments = [&[OsString::from(path)], arguments].concat();
            spawn_command(OsStr::new("/bin/sh"), &arguments, change)
        }
        Some(_) => Err(failed),
    };
    started.map_err(|source| NotStarted { program: program.to_owned(), source })
}

fn spawn_command(program: &OsStr, arguments: &[OsString], change: &EnvironmentChange) -> io::Result<Pid> {
    #[expect(clippy::disallowed_methods, reason = "CMD is not pgBackRest")]
    let mut command = Command::new(program);
    changed(command.args(arguments), change).process_group(0);
    let pid = spawned(&mut command)?;
    terminal::begin_with(pid);
    Ok(pid)
}

/// Starts the watcher, as the user who owns the data directory: what it writes there, push must be able to write too.
/// It makes itself a session of its own.
pub(super) fn watch(
    flags: &CommonFlags,
    changes: [&EnvironmentChange; 2],
    (directory, is_restored): (&DataDirectory, bool),
) -> io::Result<Pid> {
    #[expect(clippy::disallowed_methods, reason = "the watcher is not pgBackRest")]
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["watch", "--supervised"]).args(typed(flags)).stdin(Stdio::null());
    if is_restored {
        // It archives into a folder of its own from now on.
        command.arg("--create-stanza");
    }
    for change in changes {
        changed(&mut command, change);
    }
    let owner = fs::metadata(directory.path().join("PG_VERSION"))?;
    if geteuid().is_root() && owner.uid() != 0 {
        command.uid(owner.uid()).gid(owner.gid()).env_remove("HOME");
    }
    spawned(&mut command)
}

/// Starts `restore`, in a process group of its own.
pub(super) fn restore(restoring: &Restoring<'_>) -> io::Result<Pid> {
    #[expect(clippy::disallowed_methods, reason = "the restore is not pgBackRest")]
    let mut command = Command::new(std::env::current_exe()?);
    command.args(restoring.arguments()).stdin(Stdio::null()).process_group(0).env_clear();
    command.envs(restoring.environment.iter().filter(|(name, _)| !is_foreign(name)));
    if let Some((uid, gid)) = restoring.user {
        command.uid(uid).gid(gid).env_remove("HOME").current_dir("/");
    }
    spawned(&mut command)
}

fn changed<'c>(command: &'c mut Command, change: &EnvironmentChange) -> &'c mut Command {
    for name in &change.unset {
        command.env_remove(name);
    }
    command.envs(change.export.iter().map(|(name, value)| (name, value)))
}

/// Starts it and forgets std's handle: every child is waited for in one place.
fn spawned(command: &mut Command) -> io::Result<Pid> {
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or(io::ErrorKind::InvalidData.into())
}

/// The flags as they were typed for us.
fn typed(flags: &CommonFlags) -> Vec<OsString> {
    let path = |path: &Option<PathBuf>| path.clone().map(OsString::from);
    let given = [
        ("--config", path(&flags.config)),
        ("--pgdata", path(&flags.pgdata)),
        ("--stanza", flags.stanza.clone().map(OsString::from)),
        ("--pgbackrest-config", path(&flags.pgbackrest_config)),
        ("--pgbackrest", path(&flags.pgbackrest)),
        ("--state-dir", path(&flags.state_dir)),
        ("--log-level", flags.log_level.map(|level| level.as_str().into())),
        ("--log-format", flags.log_format.map(|format| format.as_str().into())),
    ];
    let pairs = given.into_iter().filter_map(|(name, value)| Some([OsString::from(name), value?]));
    pairs.flatten().collect()
}

/// Where a program lies: a path as it stands, a name on `PATH`.
fn on_path(program: &OsStr, environment: &Environment) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    let path = environment.path("PATH").unwrap_or_default();
    let mut folders = path.as_os_str().as_bytes().split(|byte| *byte == b':').map(OsStr::from_bytes);
    folders.find_map(|folder| Some(Path::new(folder).join(program)).filter(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Format, Level};

    #[test]
    fn the_watcher_is_given_every_flag() {
        let flags = CommonFlags {
            config: Some("/c".into()),
            pgdata: Some("/d".into()),
            stanza: Some("s".to_owned()),
            pgbackrest_config: Some("/p".into()),
            pgbackrest: Some("b".into()),
            state_dir: Some("/t".into()),
            log_level: Some(Level::Warn),
            log_format: Some(Format::Json),
        };
        let typed = typed(&flags).join(OsStr::new(" "));
        let expected = "--config /c --pgdata /d --stanza s --pgbackrest-config /p --pgbackrest b --state-dir /t \
                        --log-level warn --log-format json";
        assert_eq!(typed, expected);
        assert!(super::typed(&CommonFlags::default()).is_empty());
    }
}
