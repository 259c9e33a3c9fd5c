//! What has to change, as plain data, for the phase that setup finds.

use super::change::Change;
use super::place::{Place, plain};
use super::render::{self, HEADER, Keys, Machine, Processes, Repository};
use super::server_config::{self, ServerConfig, quoted};
use super::{Archiving, Request, SetupError};
use crate::backup_state;
use crate::data_directory::STATE_FOLDER;
use crate::decide::repository_path::{RepositoryPath, repository_path};
use crate::ledger::Ledger;
use crate::pgbackrest::Watch;
use crate::pgbackrest::version::Version;
use crate::settings::{SecretTrouble, SetupSettings, role};
use crate::space::Volume;
use rustix::process::geteuid;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The mode of every file that setup writes.
const FILE_MODE: u32 = 0o640;
/// The mode of the spool, and of a folder made for pgBackRest's configuration.
const FOLDER_MODE: u32 = 0o750;

/// How long pgBackRest may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// What setup will do.
#[derive(Debug)]
pub(super) struct Plan {
    /// What has to change.
    pub(super) changes: Vec<Change>,
    /// Where the repository is, when archiving is switched on.
    pub(super) path: Option<RepositoryPath>,
}

/// What has to change, in the order in which it is safe.
///
/// `conf.d/pgbackrest.conf` is last when archiving is switched on, and first when it is switched off: a setup that fails
/// half-way never leaves a server that archives without a repository. The sentinel goes before archiving comes: while it is there, push
/// acknowledges segments without storing them.
pub(super) fn changes(request: &Request, archiving: &Archiving, place: &Place) -> Result<Plan, SetupError> {
    let sentinel = place.in_data(".pgbackrest_invalid_bucket");
    let folder = place.in_data("conf.d");
    if place.owner.is_some() && *archiving != Archiving::Unset && folder.is_symlink() {
        return Err(SetupError::Link(folder));
    }
    let changes = match archiving {
        Archiving::On if place.initialised => return switched_on(request, place, sentinel),
        Archiving::On if place.repositories(request) > 1 || place.holds_pgbackrest_conf() => Vec::new(),
        Archiving::On => backrest_conf(request, place, &request.setup.repository_base)?,
        _ if !place.initialised => Vec::new(),
        Archiving::Unset => vec![Change::Gone(sentinel)],
        Archiving::SwitchedOff if request.mode.disable => switched_off(place).to_vec(),
        Archiving::SwitchedOff => [switched_off(place).as_slice(), &[Change::Gone(sentinel)]].concat(),
        Archiving::Invalid { reason, .. } => {
            let reason = Change::Text(sentinel, format!("{reason}\n"), FILE_MODE);
            [switched_off(place).as_slice(), &[reason]].concat()
        }
    };
    Ok(Plan { changes, path: None })
}

fn switched_off(place: &Place) -> [Change; 2] {
    [Change::Gone(place.server_conf()), Change::Gone(place.in_data(backup_state::FILE_NAME))]
}

fn switched_on(request: &Request, place: &Place, sentinel: PathBuf) -> Result<Plan, SetupError> {
    let control = place.data.control().ok_or_else(|| SetupError::NoIdentifier(place.in_data("global/pg_control")))?;
    let noted = place.data.repository_path();
    let path = repository_path(&request.setup.repository_base, control.system_id, noted.as_deref());
    let several = place.repositories(request) > 1;
    let mut changes = Vec::new();
    if !several {
        changes = backrest_conf(request, place, path.path())?;
        changes.push(Change::FolderOfMode(place.in_data(render::SPOOL), FOLDER_MODE));
    }
    // A repository that the operator wrote has a path already; only one that is another cluster's must not stay.
    if !several || matches!(path, RepositoryPath::Replaced { .. }) {
        changes.push(Change::Text(place.in_data(".pgbackrest_repo_path"), format!("{}\n", path.path()), FILE_MODE));
    }
    changes.push(Change::Gone(sentinel));
    if !several && is_another_repository(request, place, path.path()) {
        // A person means another bucket: its catalog begins empty, and the stamps of the old one would be waited for.
        changes.push(Change::Gone(place.in_data(backup_state::FILE_NAME)));
    }
    changes.extend(server_conf(request, place)?);
    Ok(Plan { changes, path: Some(path).filter(|path| !several || matches!(path, RepositoryPath::Replaced { .. })) })
}

/// Whether the watcher last worked with another repository than the settings name now: the ledger says so, which lies on
/// the volume, as a container's configuration does not.
fn is_another_repository(request: &Request, place: &Place, path: &str) -> bool {
    let folder = request.common.state_dir.as_ref().map(|folder| folder.value.clone());
    let folder = folder.unwrap_or_else(|| place.in_data(STATE_FOLDER));
    let checked = Ledger::peek(&folder).ok().flatten().and_then(|state| state.checked?.repositories);
    let setup = &request.setup;
    let bucket = text(setup.bucket.as_ref()).unwrap_or_default();
    let known = checked.and_then(|repositories| repositories.into_iter().next());
    known.is_some_and(|known| known.bucket != bucket || known.path != path || known.endpoint != endpoint(setup))
}

fn endpoint(setup: &SetupSettings) -> String {
    let region = text(setup.region.as_ref()).unwrap_or("us-east-1");
    text(setup.endpoint.as_ref()).map_or_else(|| format!("s3.{region}.amazonaws.com"), str::to_owned)
}

/// pgBackRest's configuration; an operator's own is kept beside it.
fn backrest_conf(request: &Request, place: &Place, path: &str) -> Result<Vec<Change>, SetupError> {
    let file = &place.pgbackrest_conf;
    let old = match fs::read_to_string(file) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(SetupError::Change { what: "read", path: file.clone(), source: error });
        }
        read => read.unwrap_or_default(),
    };
    let mut changes = Vec::new();
    if let Some(folder) = file.parent() {
        changes.push(Change::Folder(folder.to_owned(), FOLDER_MODE));
    }
    let mut kept = file.clone().into_os_string();
    kept.push(".before-setup");
    if !old.trim().is_empty() && !old.starts_with(HEADER) {
        changes.push(Change::Text(kept.into(), old, FILE_MODE));
    }
    changes.push(Change::Text(file.clone(), conf_text(request, place, path)?, FILE_MODE));
    Ok(changes)
}

fn conf_text(request: &Request, place: &Place, path: &str) -> Result<String, SetupError> {
    let setup = &request.setup;
    let region = text(setup.region.as_ref()).unwrap_or("us-east-1");
    let repository = Repository {
        bucket: text(setup.bucket.as_ref()).unwrap_or_default(),
        endpoint: endpoint(setup),
        region,
        keys: keys(request, place)?,
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        uri_style: if setup.host_style { "host" } else { "path" },
        retention_full: setup.retention_full,
        retention_diff: setup.retention_diff,
    };
    check_version(request, &repository)?;
    let pgdata = plain(place.data.path())?;
    let server =
        server_config::locate(place.data.path(), place.owner).map(|file| ServerConfig::read(&file, place.data.path()));
    let setting = |name| server.as_ref().and_then(|server| server.get(name)).map(|(value, _)| value);
    let socket = setting("unix_socket_directories").and_then(|folders| folders.split(',').next()).map(str::trim);
    let own = place.foreign_state_dir(request).into_iter().chain([place.pgbackrest_conf.as_path()]);
    let own = own.filter_map(|path| path.strip_prefix(place.data.path()).ok()?.to_str()).collect();
    let uid = place.owner.map_or_else(|| geteuid().as_raw(), |owner| owner.uid);
    let role = role::for_pgbackrest(&request.environment, uid);
    let machine = Machine {
        stanza: &request.common.stanza.value,
        pgdata: &pgdata,
        excluded: own,
        port: setting("port").filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && *port != "5432"),
        socket: socket.filter(|folder| folder.starts_with('/') && !folder.contains(char::is_control)),
        role: role.as_deref().filter(|role| !role.contains(char::is_control) && role.trim() == *role),
        queue_limit: render::queue_limit(Volume::of(place.nearest()).total),
        processes: Processes::new(cpus(), &setup.processes),
    };
    Ok(render::pgbackrest_conf(&repository, &machine))
}

/// The CPUs that are granted: the control group's quota (`cpu.max`, in version 1 `cpu.cfs_quota_us`), the affinity, else
/// the machine's.
fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().try_into().unwrap_or(1))
}

fn keys<'r>(request: &'r Request, place: &Place) -> Result<Keys<'r>, SetupError> {
    let [key, secret] = [&request.setup.key, &request.setup.secret];
    if let Some(trouble) = key.trouble.as_ref().or(secret.trouble.as_ref()) {
        return kept_keys(trouble, place).ok_or_else(|| SetupError::Secret(trouble.clone()));
    }
    let elsewhere = ["PGBACKREST_REPO1_S3_KEY", "PGBACKREST_REPO1_S3_KEY_TYPE"];
    match (text(key.value.as_ref()), text(secret.value.as_ref())) {
        (Some(key), Some(secret)) => Ok(Keys::Pair(key.into(), secret.into())),
        (Some(_), None) => Err(SetupError::HalfAKey("WAL_ARCHIVE_SECRET")),
        (None, Some(_)) => Err(SetupError::HalfAKey("WAL_ARCHIVE_KEY")),
        (None, None) if elsewhere.iter().any(|name| request.environment.get(name).is_some()) => Ok(Keys::Elsewhere),
        (None, None) => Ok(Keys::Role),
    }
}

/// The keys in pgBackRest's configuration, where a file with one is for root alone: the initdb hook runs as the server's user,
/// and root has written that configuration out of the same file a moment ago.
fn kept_keys(trouble: &SecretTrouble, place: &Place) -> Option<Keys<'static>> {
    let SecretTrouble::Unreadable { .. } = trouble else { return None };
    let text = fs::read_to_string(&place.pgbackrest_conf).ok().filter(|text| text.starts_with(HEADER))?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.to_owned().into());
    let pair = value("repo1-s3-key=").zip(value("repo1-s3-key-secret="))?;
    tracing::info!("{trouble}; the keys in {} are kept", place.pgbackrest_conf.display());
    Some(Keys::Pair(pair.0, pair.1))
}

/// Refuses what the installed pgBackRest can't do at all. It is asked only when that matters.
fn check_version(request: &Request, repository: &Repository<'_>) -> Result<(), SetupError> {
    let http = repository.endpoint.starts_with("http://");
    let verify = request.environment.get("PGBACKREST_REPO1_STORAGE_VERIFY_TLS").is_none_or(|value| value != "n");
    let dots = verify && repository.bucket.contains('.');
    if !http && !dots {
        return Ok(());
    }
    let client = request.common.client(&request.environment, Path::new("/"));
    let version = match client.version(Watch::within(VERSION_LIMIT)) {
        Ok(version) => version,
        Err(failure) => {
            tracing::warn!("can't ask {} for its version: {}", client.program().display(), failure.shown(200));
            return Ok(());
        }
    };
    if http && version < Version::HTTP_AND_DOTS {
        return Err(SetupError::PlainHttp(version));
    }
    if dots && (version < Version::HTTP_AND_DOTS || request.setup.host_style) {
        tracing::warn!(
            "WAL_ARCHIVE_BUCKET has a dot in its name, which pgBackRest {version} refuses (it takes one from {} on, with \
             WAL_ARCHIVE_S3_URI_STYLE=path): every push will fail unless PGBACKREST_REPO1_STORAGE_VERIFY_TLS is n",
            Version::HTTP_AND_DOTS
        );
    }
    Ok(())
}

/// PostgreSQL's part: the settings in the data directory's `conf.d`, and one line that has them read.
fn server_conf(request: &Request, place: &Place) -> Result<Vec<Change>, SetupError> {
    let pgdata = place.data.path();
    let main =
        server_config::locate(pgdata, place.owner).ok_or_else(|| SetupError::NoServerConfig(pgdata.to_owned()))?;
    let server = ServerConfig::read(&main, pgdata);
    if let Some((level, file)) = server.get("wal_level").filter(|(level, _)| level.eq_ignore_ascii_case("minimal")) {
        return Err(SetupError::WalLevel(level.to_owned(), file.to_owned()));
    }
    let command = render::archive_command(&Place::push_program(), &place.push_flags(request)?);
    let (folder, file) = (place.in_data("conf.d"), place.server_conf());
    let mut changes = vec![
        Change::Folder(folder.clone(), place.folder_mode),
        Change::Text(file.clone(), render::server_conf(&command, request.setup.archive_timeout.get()), FILE_MODE),
    ];
    if server.includes_folder(&folder) {
        return Ok(changes);
    }
    // The line means a folder beside the file it stands in. Where that is not the data directory, as on Debian, a file
    // there leads on; it may stay when archiving is switched off, because what it includes need not exist.
    let beside = main.parent().unwrap_or(Path::new("/")).join("conf.d");
    let elsewhere = beside != folder;
    if elsewhere && !server.includes_file(&file) {
        let pointer = format!("{HEADER}\ninclude_if_exists = {}\n", quoted(&plain(&file)?));
        changes.push(Change::Folder(beside.clone(), 0o755));
        changes.push(Change::Text(beside.join("pgbackrest.conf"), pointer, FILE_MODE));
    }
    if !server.includes_folder(&beside) {
        changes.push(with_include(&main)?);
    }
    Ok(changes)
}

/// `postgresql.conf` with the line at its end, so that nothing in the file wins over what is included.
fn with_include(main: &Path) -> Result<Change, SetupError> {
    let read = |source| SetupError::Change { what: "read", path: main.to_owned(), source };
    let mut bytes = fs::read(main).map_err(read)?;
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"\n# Added by pgbackrest-guard setup.\ninclude_dir = 'conf.d'\n");
    Ok(Change::Edited(main.to_owned(), bytes))
}

fn text(value: Option<&OsString>) -> Option<&str> {
    value.and_then(|value| value.to_str())
}
