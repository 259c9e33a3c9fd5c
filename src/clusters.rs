//! Debian's clusters: a version and a name, as `pg_lsclusters` shows them, for a data directory.
//!
//! postgresql-common keeps a cluster's configuration in `/etc/postgresql/VERSION/NAME`, or below `PG_CLUSTER_CONF_ROOT`, and finds
//! the data directory in its `postgresql.conf`, else behind the old link `pgdata` (`PgCommon.pm`, `cluster_data_directory`,
//! postgresql-common 248).

use crate::settings::Environment;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the configurations lie unless the environment says otherwise.
const ROOT: &str = "/etc/postgresql";
/// The variable that does.
const ROOT_VARIABLE: &str = "PG_CLUSTER_CONF_ROOT";

/// A cluster of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianCluster {
    /// As `15/main`.
    pub name: String,
    /// Its data directory.
    pub data_directory: PathBuf,
}

/// Why no data directory follows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotFound {
    /// There is none of that name.
    #[error("there is no cluster {name}{}", others(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There are several.
    #[error("there are several clusters ({}): name one with --cluster, --pgdata or PGDATA", .0.join(", "))]
    Several(Vec<String>),
}

fn others(known: &[String]) -> String {
    let mut text = String::from(" on this machine");
    if !known.is_empty() {
        let _ = write!(text, "; there are: {}", known.join(", "));
    }
    text
}

/// Every cluster, by its name.
#[must_use]
pub fn all(environment: &Environment) -> Vec<DebianCluster> {
    let root = environment.path(ROOT_VARIABLE).unwrap_or_else(|| PathBuf::from(ROOT));
    let mut clusters = Vec::new();
    for (version, versions) in folders(&root) {
        let clusters_of = folders(&versions).into_iter();
        clusters.extend(clusters_of.filter_map(|(name, folder)| {
            let data_directory = data_directory(&folder)?;
            Some(DebianCluster { name: format!("{version}/{name}"), data_directory })
        }));
    }
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    clusters
}

/// The data directory of the cluster of this name.
///
/// # Errors
/// When there is none.
pub fn named(environment: &Environment, name: &str) -> Result<PathBuf, NotFound> {
    let (asked, mut known) = (name.trim_end_matches('/').replacen('-', "/", 1), all(environment));
    let is_it = |cluster: &DebianCluster| cluster.name == name || cluster.name == asked;
    match known.iter().position(is_it) {
        Some(at) => Ok(known.swap_remove(at).data_directory),
        None => Err(NotFound::Unknown { name: name.to_owned(), known: names(known) }),
    }
}

/// The data directory of the only cluster; `None` where there is none.
///
/// # Errors
/// When there are several.
pub fn only(environment: &Environment) -> Result<Option<PathBuf>, NotFound> {
    let mut known = all(environment);
    if known.len() > 1 { Err(NotFound::Several(names(known))) } else { Ok(known.pop().map(|one| one.data_directory)) }
}

/// What a data directory is called: Debian's name, else its last part.
#[must_use]
pub fn name_of(environment: &Environment, data_directory: &Path) -> String {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own = real(data_directory);
    let found = all(environment).into_iter().find(|cluster| real(&cluster.data_directory) == own);
    found.map_or_else(
        || data_directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        |cluster| cluster.name,
    )
}

/// The unit of systemd that starts a watcher for a data directory: `pgbackrest-guard@15-main` for Debian's 15/main,
/// `pgbackrest-guard@16` for PGDG's `/var/lib/pgsql/16/data` on RHEL; `None` elsewhere.
#[must_use]
pub fn unit_of(environment: &Environment, data_directory: &Path) -> Option<String> {
    let is_version = |version: &str| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let path = data_directory.to_string_lossy();
    let pgdg = path.trim_end_matches('/').strip_prefix("/var/lib/pgsql/").and_then(|rest| rest.strip_suffix("/data"));
    if let Some(version) = pgdg.filter(|version| is_version(version)) {
        return Some(format!("pgbackrest-guard@{version}"));
    }
    let name = name_of(environment, data_directory);
    let (version, cluster) = name.split_once('/')?;
    // systemd-escape's way with a dash: a dash of its own is the slash.
    Some(format!("pgbackrest-guard@{version}-{}", cluster.replace('-', "\\x2d")))
}

fn names(clusters: Vec<DebianCluster>) -> Vec<String> {
    clusters.into_iter().map(|cluster| cluster.name).collect()
}

/// The folders in a folder, by their names.
fn folders(path: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}

/// The data directory of a configuration.
fn data_directory(folder: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(folder.join("postgresql.conf")).ok();
    let set = text.and_then(|text| text.lines().filter_map(setting).next_back());
    set.map(PathBuf::from).or_else(|| fs::read_link(folder.join("pgdata")).ok())
}

/// The value of `data_directory` in a line; quotes within are doubled.
fn setting(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("data_directory")?;
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let quoted = value.strip_prefix('\'');
    let end = |value: &str| value.replace("''", "\0").find('\'').map(|_| ()).is_some();
    match quoted {
        Some(value) if end(value) => {
            let mut text = String::new();
            let mut characters = value.chars().peekable();
            while let Some(c) = characters.next() {
                if c == '\'' && characters.next_if_eq(&'\'').is_none() {
                    break;
                }
                text.push(c);
            }
            Some(text)
        }
        Some(_) => None,
        None => value.split([' ', '\t', '#']).next().filter(|value| !value.is_empty()).map(str::to_owned),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for Debian")]
mod tests {
    use super::*;

    /// Configurations with these names and lines.
    fn machine(clusters: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let root = tempfile::tempdir().unwrap();
        for (name, line) in clusters {
            let folder = root.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("postgresql.conf"), format!("# a\n{line}\nport = 5432\n")).unwrap();
        }
        let environment = [(ROOT_VARIABLE, root.path().to_str().unwrap())].into_iter().collect();
        (root, environment)
    }

    #[test]
    fn a_cluster_is_found_by_its_name_or_as_the_only_one() {
        let (_root, one) = machine(&[("15/main", "data_directory = '/srv/it''s' # x")]);
        assert_eq!(named(&one, "15/main"), Ok("/srv/it's".into()));
        assert_eq!(named(&one, "15-main"), Ok("/srv/it's".into()), "as systemd's instances are named");
        assert_eq!(only(&one), Ok(Some("/srv/it's".into())));
        let unknown = named(&one, "16/main").unwrap_err().to_string();
        assert_eq!(unknown, "there is no cluster 16/main on this machine; there are: 15/main");
        let (_root, two) = machine(&[("15/main", "data_directory '/a'"), ("16/b", "data_directory=/b")]);
        let several = only(&two).unwrap_err().to_string();
        assert_eq!(several, "there are several clusters (15/main, 16/b): name one with --cluster, --pgdata or PGDATA");
        assert_eq!(named(&two, "16/b"), Ok("/b".into()));
        let (_root, none) = machine(&[]);
        assert_eq!((only(&none), named(&none, "15/main").is_err()), (Ok(None), true));
        let (_root, broken) = machine(&[("15/main", "data_directory = 'open")]);
        assert_eq!(only(&broken), Ok(None));
    }

    #[test]
    fn a_data_directory_is_called_as_debian_calls_it_else_by_its_last_part() {
        let (_root, environment) = machine(&[("15/main", "data_directory = '/srv/pg'")]);
        assert_eq!(name_of(&environment, Path::new("/srv/pg")), "15/main");
        assert_eq!(name_of(&environment, Path::new("/var/lib/other")), "other");
    }
    #[test]
    fn the_unit_of_a_cluster_is_named_as_its_package_names_it() {
        let (_root, environment) =
            machine(&[("15/main", "data_directory = '/srv/pg'"), ("16/a-b", "data_directory = '/b'")]);
        let unit = |path: &str| unit_of(&environment, Path::new(path));
        assert_eq!(unit("/srv/pg").as_deref(), Some("pgbackrest-guard@15-main"));
        assert_eq!(unit("/b").as_deref(), Some("pgbackrest-guard@16-a\\x2db"));
        assert_eq!(unit("/var/lib/pgsql/16/data/").as_deref(), Some("pgbackrest-guard@16"));
        assert_eq!((unit("/var/lib/pgsql/data"), unit("/elsewhere")), (None, None));
    }
}
