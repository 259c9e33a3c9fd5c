//! PostgreSQL's configuration: where it lies, what it includes, what it sets.
//!
//! Grammar: guc-file.l, PostgreSQL 15: `name [=] value`, `#` begins a comment, a value in quotes knows `''` and
//! backslashes. `include_dir` reads the `*.conf` files of a folder by name; a relative path begins at the folder of the
//! file that names it (`AbsoluteConfigLocation`), and a folder that is missing keeps the server from starting. Read as
//! far as needed, to add one line where it is missing and to see what would win over it. What the server's command line
//! sets can't be seen here.

use crate::data_directory::DataDirectory;
use crate::durable::Owner;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How deep files may include one another (`CONF_FILE_MAX_DEPTH`).
const DEEPEST: usize = 10;
/// Where Debian keeps the configuration of its clusters, by version and name.
const DEBIAN_FOLDER: &str = "/etc/postgresql";

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct ServerConfig {
    settings: BTreeMap<String, (String, PathBuf)>,
    /// Every folder that is included.
    folders: Vec<PathBuf>,
    /// Every file that is read.
    files: Vec<PathBuf>,
}

impl ServerConfig {
    /// Reads `postgresql.conf` with what it includes, then the data directory's `postgresql.auto.conf`, which wins.
    pub(super) fn read(file: &Path, pgdata: &Path) -> Self {
        let mut config = Self::default();
        config.take(file, 0);
        config.take(&pgdata.join("postgresql.auto.conf"), 0);
        config
    }

    /// A setting's value, and the file that has the last word on it.
    pub(super) fn get(&self, name: &str) -> Option<(&str, &Path)> {
        self.settings.get(name).map(|(value, file)| (value.as_str(), file.as_path()))
    }

    /// Whether the files of a folder are read.
    pub(super) fn includes_folder(&self, folder: &Path) -> bool {
        self.folders.iter().any(|included| is_same(included, folder))
    }

    /// Whether a file is read.
    pub(super) fn includes_file(&self, file: &Path) -> bool {
        self.files.iter().any(|included| is_same(included, file))
    }

    fn take(&mut self, file: &Path, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let Ok(bytes) = fs::read(file) else { return };
        self.files.push(file.to_owned());
        let folder = file.parent().unwrap_or(Path::new("/"));
        for (name, value) in String::from_utf8_lossy(&bytes).lines().filter_map(setting) {
            match name.as_str() {
                "include" | "include_if_exists" => self.take(&folder.join(value), depth + 1),
                "include_dir" => self.take_folder(&folder.join(value), depth + 1),
                _ => drop(self.settings.insert(name, (value, file.to_owned()))),
            }
        }
    }

    fn take_folder(&mut self, folder: &Path, depth: usize) {
        self.folders.push(folder.to_owned());
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let text = name.to_string_lossy();
            if text.ends_with(".conf") && !text.starts_with('.') {
                self.take(&folder.join(&name), depth);
            }
        }
    }
}

/// The `postgresql.conf` that the server reads: the one that it was last started with, else the one in the data directory,
/// else the one below `/etc/postgresql` that names it.
///
/// The data directory is the server's user's, who must not lead root to a file that is not theirs: by a link or by what
/// stands in `postmaster.opts`. `user` is that user where we are root.
pub(super) fn locate(pgdata: &Path, user: Option<Owner>) -> Option<PathBuf> {
    let may_lead = |file: &PathBuf| user.is_none_or(|user| is_theirs(file, user) || is_debians(file));
    let is_link = |file: &Path| fs::symlink_metadata(file).is_ok_and(|file| file.is_symlink());
    let started_with = DataDirectory::new(pgdata.to_owned()).config_file_option().filter(may_lead);
    let inside = || Some(pgdata.join("postgresql.conf")).filter(|file| !is_link(file) || may_lead(file));
    started_with
        .filter(|file| file.is_file())
        .or_else(|| inside().filter(|file| file.is_file()))
        .or_else(|| debians(pgdata))
}

/// Whether a file and its folder belong to a user, behind a link if it is one.
fn is_theirs(file: &Path, user: Owner) -> bool {
    let is_owner = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.uid() == user.uid);
    let real = file.canonicalize();
    real.is_ok_and(|real| is_owner(&real) && real.parent().is_some_and(is_owner) && file.parent().is_some_and(is_owner))
}

fn is_debians(file: &Path) -> bool {
    file.canonicalize().is_ok_and(|real| real.starts_with(DEBIAN_FOLDER))
}

fn debians(pgdata: &Path) -> Option<PathBuf> {
    let folders = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let clusters = folders(Path::new(DEBIAN_FOLDER)).into_iter().flat_map(|version| folders(&version));
    let mut files = clusters.map(|cluster| cluster.join("postgresql.conf"));
    files.find(|file| {
        let config = ServerConfig::read(file, Path::new("/nonexistent"));
        config.get("data_directory").is_some_and(|(folder, _)| is_same(Path::new(folder), pgdata))
    })
}

/// Whether two paths name the same place, which need not be there.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.components().collect());
    place(one) == place(other)
}

/// One line's setting, its name in lower case.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => unquoted(quoted),
        None => rest.split(|c: char| c.is_whitespace() || c == '#').next().unwrap_or_default().to_owned(),
    };
    Some((name.to_ascii_lowercase(), value))
}

/// What stands before the closing quote (`DeescapeQuotedString`, without octal digits).
fn unquoted(text: &str) -> String {
    let mut value = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' if characters.peek() == Some(&'\'') => value.extend(characters.next()),
            '\'' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    value
}

/// A text as a value of `postgresql.conf`.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        let read = |line| setting(line).map(|(name, value)| format!("{name}|{value}"));
        for (line, expected) in [
            ("include_dir = 'conf.d'", Some("include_dir|conf.d")),
            ("  Include_Dir 'conf.d' # all of them", Some("include_dir|conf.d")),
            ("include_dir='it''s \\\\ here'", Some("include_dir|it's \\ here")),
            ("wal_level=minimal#x", Some("wal_level|minimal")),
            ("#include_dir = 'conf.d'", None),
            ("", None),
            ("my.setting = on", Some("my.setting|on")),
            ("port", Some("port|")),
        ] {
            assert_eq!(read(line).as_deref(), expected, "{line}");
        }
        assert_eq!(setting(&format!("a = {}", quoted("it's \\ '"))).unwrap().1, "it's \\ '");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    fn the_last_word_counts_and_the_automatic_file_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("conf.d")).unwrap();
        fs::write(at("postgresql.conf"), "port = 1\narchive_mode = off\ninclude_dir = './conf.d/'\ninclude 'x'")
            .unwrap();
        fs::write(at("conf.d/b.conf"), "archive_mode = on\nwal_level = 'minimal'\n").unwrap();
        fs::write(at("conf.d/.hidden.conf"), "port = 2").unwrap();
        fs::write(at("x"), "include = 'x'\nwork_mem = 1").unwrap();
        fs::write(at("postgresql.auto.conf"), "wal_level = 'replica'").unwrap();
        let config = ServerConfig::read(&at("postgresql.conf"), folder.path());
        let value = |name| config.get(name).map(|(value, _)| value);
        assert_eq!((value("port"), value("archive_mode"), value("work_mem")), (Some("1"), Some("on"), Some("1")));
        assert_eq!(config.get("wal_level"), Some(("replica", at("postgresql.auto.conf").as_path())));
        assert!(config.includes_folder(&at("conf.d")) && !config.includes_folder(&at("other")));
        assert!(config.includes_file(&at("conf.d/b.conf")) && !config.includes_file(&at("conf.d/.hidden.conf")));
        assert_eq!(locate(folder.path(), None), Some(at("postgresql.conf")));
        // Nobody is led away from the data directory by what its owner wrote there.
        fs::write(at("postmaster.opts"), "postgres \"-c\" \"config_file=/etc/passwd\"\n").unwrap();
        let stranger = Some(Owner { uid: 4_000_000, gid: 4_000_000 });
        assert_eq!(locate(folder.path(), stranger), Some(at("postgresql.conf")));
        assert_eq!(locate(folder.path(), None), Some(PathBuf::from("/etc/passwd")));
        fs::rename(at("postgresql.conf"), at("other")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("postgresql.conf")).unwrap();
        assert_eq!(locate(folder.path(), stranger), None);
    }
}
