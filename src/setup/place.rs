//! Where setup finds itself: the phase, the owner of what it writes, the paths.

use super::{Request, SetupError};
use crate::data_directory::{DataDirectory, STATE_FOLDER};
use crate::durable::Owner;
use crate::pgbackrest::config::Config;
use crate::settings::Origin;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where pgBackRest looks for its configuration.
const DEFAULT_CONFIG: &str = "/etc/pgbackrest/pgbackrest.conf";
/// The program that `archive_command` starts.
const PUSH: &str = "pgbackrest-guard-push";
/// Folders that are on every `PATH`.
const USUAL_FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];
/// Options of pgBackRest that say where its configuration lies.
const CONFIG_VARIABLES: [&str; 2] = ["PGBACKREST_CONFIG_PATH", "PGBACKREST_CONFIG_INCLUDE_PATH"];

/// The data directory and what belongs to it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) data: DataDirectory,
    /// Whether initdb has been here. Where it has not, nothing may be made in the data directory.
    pub(super) initialised: bool,
    /// Who gets what is written; `None` when we are not root and everything is ours anyway.
    pub(super) owner: Option<Owner>,
    /// The mode of folders in the data directory, which is initdb's choice.
    pub(super) folder_mode: u32,
    /// pgBackRest's configuration file.
    pub(super) pgbackrest_conf: PathBuf,
}

impl Place {
    /// Looks around.
    pub(super) fn find(request: &Request) -> Result<Self, SetupError> {
        let pgdata = request.common.pgdata.as_ref().ok_or(SetupError::NoDataDirectory)?;
        let pgdata: PathBuf = pgdata.value.components().collect();
        Ok(Self {
            initialised: DataDirectory::is_one(&pgdata),
            owner: owner(&pgdata),
            folder_mode: fs::metadata(&pgdata).map_or(0o700, |folder| folder.mode() & 0o777),
            pgbackrest_conf: pgbackrest_conf(request),
            data: DataDirectory::new(pgdata),
        })
    }

    /// `conf.d/pgbackrest.conf`.
    pub(super) fn server_conf(&self) -> PathBuf {
        self.in_data("conf.d/pgbackrest.conf")
    }

    /// A path in the data directory.
    pub(super) fn in_data(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// What is there of the data directory, or above it.
    pub(super) fn nearest(&self) -> &Path {
        self.data.path().ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
    }

    /// Whether pgBackRest's configuration would lie in the data directory, by whatever path.
    pub(super) fn holds_pgbackrest_conf(&self) -> bool {
        let (data, conf) = (self.data.path(), &self.pgbackrest_conf);
        let there = conf.ancestors().find_map(|path| path.canonicalize().ok());
        let real = data.canonicalize().ok();
        conf.starts_with(data) || real.zip(there).is_some_and(|(data, there)| there.starts_with(data))
    }

    /// How many repositories pgBackRest's files name. Those that only variables name are nothing that setup could overwrite.
    pub(super) fn repositories(&self, request: &Request) -> usize {
        let file = (OsString::from("PGBACKREST_CONFIG"), self.pgbackrest_conf.clone().into_os_string());
        let named = file_is_named(request).then_some(&file);
        let named = named.map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let environment = request.environment.iter().filter(|(name, _)| is_config_variable(name)).chain(named);
        Config::load(&request.common.stanza.value, environment).map_or(1, |config| config.repositories().len())
    }

    /// `archive_command`'s program: by its name where every `PATH` finds it, else by the path beside our own.
    pub(super) fn push_program() -> PathBuf {
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PUSH)).filter(|path| path.is_file());
        let usual =
            |path: &PathBuf| path.parent().is_some_and(|folder| USUAL_FOLDERS.iter().any(|usual| folder == *usual));
        beside.filter(|path| !usual(path)).unwrap_or_else(|| PathBuf::from(PUSH))
    }

    /// The flags without which push would find other settings than setup: the server's environment may be another.
    pub(super) fn push_flags(&self, request: &Request) -> Result<Vec<(&'static str, String)>, SetupError> {
        let common = &request.common;
        let is_set = |origin: Origin| matches!(origin, Origin::Flag | Origin::Environment);
        let mut flags = Vec::new();
        if let Some(file) = &request.setup.settings_file {
            flags.push(("--config", plain(&std::path::absolute(file).unwrap_or_else(|_| file.clone()))?));
        }
        if is_set(common.stanza.origin) {
            flags.push(("--stanza", common.stanza.value.clone()));
        }
        if common.pgbackrest_config.as_ref().is_some_and(|config| is_set(config.origin)) {
            flags.push(("--pgbackrest-config", plain(&self.pgbackrest_conf)?));
        }
        if is_set(common.pgbackrest.origin) {
            flags.push(("--pgbackrest", plain(&common.pgbackrest.value)?));
        }
        if let Some(folder) = self.foreign_state_dir(request) {
            flags.push(("--state-dir", plain(folder)?));
        }
        Ok(flags)
    }

    /// The state directory, where it is not the usual one.
    pub(super) fn foreign_state_dir<'r>(&self, request: &'r Request) -> Option<&'r Path> {
        let folder = &request.common.state_dir.as_ref()?.value;
        let usual: PathBuf = self.in_data(STATE_FOLDER);
        let same = folder.components().eq(usual.components());
        (!same).then_some(folder.as_path())
    }
}

/// A path as a text that may stand in a configuration file.
pub(super) fn plain(path: &Path) -> Result<String, SetupError> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| SetupError::OddPath(path.to_owned()))
}

fn pgbackrest_conf(request: &Request) -> PathBuf {
    let named = request.common.pgbackrest_config.as_ref().map(|setting| setting.value.clone());
    let folder = request.environment.path("PGBACKREST_CONFIG_PATH");
    let in_folder = || folder.map(|folder| folder.join("pgbackrest.conf"));
    let path = named.or_else(in_folder).unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
    std::path::absolute(&path).unwrap_or(path)
}

fn file_is_named(request: &Request) -> bool {
    request.common.pgbackrest_config.is_some()
}

fn is_config_variable(name: &OsStr) -> bool {
    CONFIG_VARIABLES.iter().any(|variable| name == *variable)
}

/// The server's user: the owner of the data directory; before initdb that may still be root, who can't run a server.
fn owner(pgdata: &Path) -> Option<Owner> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let of = |path: &Path| fs::metadata(path).ok().map(|file| Owner::of(&file)).filter(|owner| owner.uid != 0);
    let folder = of(pgdata);
    // An entrypoint may change the folder's user and not its group; what initdb has made in it has the server's own.
    let made = of(&pgdata.join("PG_VERSION")).filter(|made| folder.is_some_and(|folder| folder.uid == made.uid));
    made.or(folder).or_else(|| user_in(&fs::read_to_string("/etc/passwd").unwrap_or_default(), "postgres"))
}

/// A user in the text of `/etc/passwd`.
fn user_in(passwd: &str, name: &str) -> Option<Owner> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|field| field.parse().ok());
    let user = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some(Owner { uid: number(&user, 2)?, gid: number(&user, 3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:1:2::/:\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(user_in(passwd, "postgres"), Some(Owner { uid: 101, gid: 104 }));
        assert_eq!(user_in(passwd, "nobody"), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    fn the_group_is_that_of_what_initdb_has_made() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let give = |path: &Path, gid| std::os::unix::fs::chown(path, Some(70_000), Some(gid)).unwrap();
        give(folder.path(), 0);
        assert_eq!(owner(folder.path()), Some(Owner { uid: 70_000, gid: 0 }));
        let version = folder.path().join("PG_VERSION");
        fs::write(&version, "15\n").unwrap();
        give(&version, 70_001);
        assert_eq!(owner(folder.path()), Some(Owner { uid: 70_000, gid: 70_001 }));
    }
}
