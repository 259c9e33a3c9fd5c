//! What a restore asks of pgBackRest: everything that a repository lists, a small file out of it, a backup's tablespaces, and
//! `restore` itself.
//!
//! `restore` with `archive-async` removes the stanza's whole spool (src/command/restore/restore.c, 2.45 to 2.60), which on the
//! origin's machine is the one that its archiver works with; so it is always given a spool of its own. `repo-get` decrypts and
//! does not decompress (src/command/repo/get.c); a history is stored as it is.

use super::{ANSWER_BYTES, Client, NoListing, PRINTED_BYTES};
use crate::pgbackrest::failure::Failure;
use crate::pgbackrest::info::Tablespace;
use crate::pgbackrest::watch::Watch;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What is kept of a listing of a whole archive: three million names.
const LISTING_BYTES: usize = 256 << 20;

/// A restore.
#[derive(Debug, Clone)]
pub struct Restoring<'r> {
    /// The backup's label.
    pub backup: &'r str,
    /// The repository that holds it.
    pub repository: u32,
    /// The data directory to be.
    pub to: &'r Path,
    /// `--type`: `time`, `lsn`, `xid`, `name`, `immediate` or `default`.
    pub kind: &'r str,
    /// `--target`.
    pub target: Option<String>,
    /// `--target-timeline`; refused with `immediate`.
    pub timeline: Option<u32>,
    /// Whether files that are there already, and are the backup's, stay.
    pub delta: bool,
    /// Where tablespaces go, by their names.
    pub tablespaces: &'r [(String, PathBuf)],
    /// `restore_command`.
    pub restore_command: &'r str,
    /// A folder for pgBackRest's locks and logs.
    pub own: &'r Path,
}

/// A file of a listing.
#[derive(Debug, Deserialize)]
struct Listed {
    time: Option<i64>,
}

impl Client {
    /// The names below a folder of a repository, a line each, with the folders between.
    ///
    /// # Errors
    /// When it can't be had whole.
    pub fn list_below(&self, repository: u32, folder: &str, mut watch: Watch<'_>) -> Result<String, NoListing> {
        let repository = format!("--repo={repository}");
        let arguments = ["repo-ls", repository.as_str(), "--recurse", folder].map(OsStr::new);
        let ended = self.succeeded(self.caller.verbosity(), &arguments, LISTING_BYTES, &mut watch);
        let ended = ended.map_err(NoListing::Failed)?;
        if ended.cut { Err(NoListing::TooLong) } else { Ok(String::from_utf8_lossy(&ended.stdout).into_owned()) }
    }

    /// When each file of a folder was stored, in seconds since 1970.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn stored_at(
        &self,
        repository: u32,
        folder: &str,
        mut watch: Watch<'_>,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let repository = format!("--repo={repository}");
        let arguments = ["repo-ls", repository.as_str(), "--output=json", folder].map(OsStr::new);
        let ended = self.succeeded(self.caller.verbosity(), &arguments, ANSWER_BYTES, &mut watch)?;
        let files: BTreeMap<String, Listed> = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        Ok(files.into_iter().filter_map(|(name, file)| Some((name, file.time?))).collect())
    }

    /// A small file of a repository, as it is stored.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn read(&self, repository: u32, file: &str, mut watch: Watch<'_>) -> Result<Vec<u8>, Failure> {
        let repository = format!("--repo={repository}");
        let arguments = ["repo-get", repository.as_str(), file].map(OsStr::new);
        let ended = self.succeeded(self.caller.verbosity(), &arguments, PRINTED_BYTES, &mut watch)?;
        Ok(ended.stdout)
    }

    /// The tablespaces in a backup.
    ///
    /// # Errors
    /// When they can't be had.
    pub fn tablespaces(&self, repository: u32, backup: &str, mut watch: Watch<'_>) -> Result<Vec<Tablespace>, Failure> {
        let (repository, set) = (format!("--repo={repository}"), format!("--set={backup}"));
        let arguments = [repository.as_str(), set.as_str(), "info", "--output=json"].map(OsStr::new);
        let ended = self.succeeded(self.caller.verbosity(), &arguments, ANSWER_BYTES, &mut watch)?;
        let stanza = crate::pgbackrest::info::Stanza::parse(&ended.stdout, self.stanza());
        let backups = stanza.map(|stanza| stanza.backup).unwrap_or_default();
        Ok(backups.into_iter().filter(|one| one.label == backup).filter_map(|one| one.tablespace).flatten().collect())
    }

    /// `restore`. The data directory is written, nothing is started.
    ///
    /// # Errors
    /// When it fails; a later call with `delta` goes on with what is there.
    pub fn restore(&self, restoring: &Restoring<'_>, mut watch: Watch<'_>) -> Result<(), Failure> {
        let arguments = arguments(restoring);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        self.succeeded(self.caller.verbosity(), &arguments, PRINTED_BYTES, &mut watch).map(drop)
    }

    /// The environment in which pgBackRest is called.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        self.caller.environment().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn arguments(restoring: &Restoring<'_>) -> Vec<OsString> {
    let path = |flag: &str, path: &Path| {
        let mut argument = OsString::from(flag);
        argument.push(path);
        argument
    };
    let mut arguments = vec![
        format!("--repo={}", restoring.repository).into(),
        format!("--set={}", restoring.backup).into(),
        format!("--type={}", restoring.kind).into(),
        path("--pg1-path=", restoring.to),
        path("--lock-path=", &restoring.own.join("lock")),
        path("--log-path=", &restoring.own.join("log")),
        path("--spool-path=", &restoring.own.join("spool")),
        "--archive-mode=off".into(),
        format!("--recovery-option=restore_command={}", restoring.restore_command).into(),
    ];
    if let Some(target) = &restoring.target {
        arguments.push(format!("--target={target}").into());
    }
    if restoring.kind != "default" {
        arguments.push("--target-action=pause".into());
    }
    arguments.extend(restoring.timeline.map(|timeline| format!("--target-timeline={timeline}").into()));
    arguments.extend(restoring.delta.then(|| "--delta".into()));
    for (name, to) in restoring.tablespaces {
        arguments.push(path(&format!("--tablespace-map={name}="), to));
    }
    arguments.push("restore".into());
    arguments
}
