//! The copy: `pgbackrest restore`, watched, and what of it may be there already.

use super::place::{Content, Place};
use super::{Request, RestoreError, Work};
use crate::checkpoint;
use crate::decide::restore::{Plan, Target};
use crate::durable;
use crate::log::Level;
use crate::pgbackrest::client::Restoring;
use crate::pgbackrest::progress::moved;
use crate::pgbackrest::{Client, Failure, Interruption, Watch};
use crate::signals::Signals;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a question may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How long none of pgBackRest's processes may move a byte. Its own limits on a request are shorter.
const PATIENCE: Duration = Duration::from_mins(20);

/// pgBackRest's code for a lock that another process holds.
const LOCKED: i32 = 50;
/// How long it is waited for one that a killed restore has left, and how often it is tried.
const LEFTOVER: Duration = Duration::from_mins(20);
const BETWEEN: Duration = Duration::from_millis(500);

/// Copies the backup. What is there of it stays.
pub(super) fn copy(work: &mut Work<'_>) -> Result<(), RestoreError> {
    let target = work.place.target.path();
    let way = &work.state.way;
    let (kind, text) = work.state.wanted.target.words();
    let restore_command = restore_command(work)?;
    let mut restoring = Restoring {
        backup: &way.backup,
        repository: way.repository,
        to: target,
        kind,
        target: text,
        timeline: (work.state.wanted.target != Target::Immediate).then_some(way.timeline),
        delta: false,
        tablespaces: &work.state.wanted.tablespaces,
        restore_command: &restore_command,
        own: work.folder.path(),
    };
    if !work.client.end_left_restore(work.folder.path()) {
        return Err(RestoreError::Interrupted(format!(
            "a pgBackRest of an earlier run is still copying into {} and could not be ended: end it yourself",
            target.display()
        )));
    }
    let until = Instant::now() + LEFTOVER;
    loop {
        let place = Place::find(work.request)?;
        if place.content == Content::Other && work.state.ours {
            clear(target)?;
        }
        durable::create_private_folder(target).map_err(|error| RestoreError::file("create", target, error))?;
        restoring.delta = matches!(place.content, Content::Cluster | Content::HalfACopy);
        match restored(work, &restoring) {
            // The lock is this restore's own, from 2.56 on: a pgBackRest that was started in this moment still copies the same. What
            // it has copied meanwhile is looked at again.
            Err(failure) if failure.code() == Some(LOCKED) && Instant::now() < until => {
                if work.signals.wait(BETWEEN) {
                    return Err(RestoreError::Signal);
                }
            }
            other => return other.map_err(RestoreError::PgBackRest),
        }
    }
}

/// One call of `pgbackrest restore`, watched.
fn restored(work: &Work<'_>, restoring: &Restoring<'_>) -> Result<(), Failure> {
    let mut progress = work.said.progress("copied", work.state.way.size);
    let (mut bytes, mut since) = (0, Instant::now());
    let watch = Watch::by(move |group| {
        checkpoint::reached("restore-copying");
        let now = moved(group);
        progress.at(now.written);
        if now.read + now.written != bytes {
            (bytes, since) = (now.read + now.written, Instant::now());
        }
        (since.elapsed() > PATIENCE).then_some(Interruption::Stall)
    });
    work.client.restore(restoring, watch.and_signals(work.signals))
}

/// `pgbackrest-guard-get`, with what it can't find in the environment that the server of the replay has.
pub(super) fn restore_command(work: &Work<'_>) -> Result<String, RestoreError> {
    let get = get_program(work.request)?;
    let common = &work.request.common;
    let mut words = vec![plain(&get)?, format!("--stanza={}", plain(Path::new(&common.stanza.value))?)];
    words.push(format!("--repo={}", work.state.way.repository));
    words.push(format!("--pgbackrest={}", plain(&common.pgbackrest.value)?));
    if let Some(config) = &common.pgbackrest_config {
        words.push(format!("--pgbackrest-config={}", plain(&config.value)?));
    }
    // Its words on the archive's end are a part of the proof (cut_off.rs).
    let is_debug = common.log_level.value == Level::Debug;
    words.push(format!("--log-level={}", if is_debug { "debug" } else { "info" }));
    Ok(format!("{} %f \"%p\"", words.join(" ")))
}

/// `pgbackrest-guard-get`, beside this program or on `PATH`.
pub(super) fn get_program(request: &Request) -> Result<PathBuf, RestoreError> {
    const NAME: &str = "pgbackrest-guard-get";
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(NAME));
    let path = request.environment.get("PATH").map(OsString::as_os_str).unwrap_or_default();
    let on_path = std::env::split_paths(path).map(|folder| folder.join(NAME));
    beside.into_iter().chain(on_path).find(|path| path.is_file()).ok_or_else(|| {
        RestoreError::Refused(format!(
            "{NAME}, which fetches the WAL, is neither beside this program nor on PATH; install it"
        ))
    })
}

/// A path that means the same to a shell, to PostgreSQL's configuration and to pgBackRest.
fn plain(path: &Path) -> Result<String, RestoreError> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:=,".contains(c);
    let text = path.to_str().filter(|text| text.chars().all(is_plain));
    text.map(str::to_owned).ok_or_else(|| {
        let shown = path.display().to_string();
        RestoreError::Refused(format!("'{}' can't be used in a restore_command", shown.escape_debug()))
    })
}

/// Removes what lies in a folder.
fn clear(folder: &Path) -> Result<(), RestoreError> {
    let failed = |error| RestoreError::file("empty", folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        removed.map_err(failed)?;
    }
    Ok(())
}

/// Refuses where a tablespace would go to a folder that holds something: most likely it is the origin's.
pub(super) fn check_tablespaces(
    client: &Client,
    plan: &Plan,
    request: &Request,
    signals: &Signals,
) -> Result<(), RestoreError> {
    let watch = Watch::within(LIMIT).and_signals(signals);
    let tablespaces = client.tablespaces(plan.repository, &plan.backup, watch).map_err(RestoreError::PgBackRest)?;
    let known = |name: &str| tablespaces.iter().any(|one| one.name == name);
    if let Some((unknown, _)) = request.tablespaces.iter().find(|(name, _)| !known(name)) {
        let names: Vec<&str> = tablespaces.iter().map(|one| one.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(RestoreError::Refused(format!(
            "the backup {} has no tablespace {unknown}; it has: {names}",
            plan.backup
        )));
    }
    for tablespace in &tablespaces {
        let mapped = request.tablespaces.iter().find(|(name, _)| *name == tablespace.name);
        let to = mapped.map_or_else(|| PathBuf::from(&tablespace.destination), |(_, to)| to.clone());
        let taken = fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_some());
        if taken && !request.replace {
            return Err(RestoreError::Refused(format!(
                "the tablespace {} would go to {}, which is not empty; name another folder with \
                 --tablespace-map={}=DIR",
                tablespace.name,
                to.display(),
                tablespace.name
            )));
        }
    }
    Ok(())
}
