//! pgBackRest's configuration, read as pgBackRest reads it.
//!
//! Which files: `cfgFileLoad` (src/config/parse.c, 2.45 and 2.59). Unless told otherwise
//! `/etc/pgbackrest/pgbackrest.conf`, or `/etc/pgbackrest.conf` where that is missing, and then
//! `/etc/pgbackrest/conf.d/*.conf` in the order of their names; with `--config` that file alone.
//! Grammar: `iniLoad` (src/common/ini.c): a line is trimmed, `#` at its start makes it a comment, the first `=`
//! parts key from value; there are no quotes, escapes or trailing comments, so a general INI reader would misread it.
//! Precedence of one option: environment, `[stanza:command]`, `[stanza]`, `[global:command]`, `[global]`.
//!
//! This reader takes what it needs and skips what it does not understand: judging the file is pgBackRest's work.

use super::options;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder in which pgBackRest looks for its configuration, unless told otherwise.
const DEFAULT_FOLDER: &str = "/etc/pgbackrest";
/// The file that versions before 2.02 used, still read where the newer one is missing.
const OLD_DEFAULT_FILE: &str = "/etc/pgbackrest.conf";

/// Options that say which configuration is read and of whom a call is.
const OF_THE_CALL: [&str; 5] = ["config", "config-include-path", "config-path", "repo", "stanza"];

/// `lock-path` where it is not set.
const DEFAULT_LOCK_PATH: &str = "/tmp/pgbackrest";

/// The options in force, from the configuration files and the environment.
#[derive(Debug, Clone, Default)]
pub struct Config {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    environment: BTreeMap<String, String>,
    stanza: String,
}

/// A configuration file that is there and can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read pgBackRest's configuration {path}")]
pub struct ConfigError {
    path: PathBuf,
    source: io::Error,
}

impl Config {
    /// Reads the configuration for `stanza` in the environment that pgBackRest will be given.
    ///
    /// # Errors
    /// When a file exists and can't be read, or an explicitly named one is missing.
    pub fn load<'e>(
        stanza: &str,
        environment: impl Iterator<Item = (&'e OsStr, &'e OsStr)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::of_texts(stanza, environment, &[]);
        for text in config.files()? {
            config.read(&text);
        }
        Ok(config)
    }

    /// The same with these texts for the files.
    #[must_use]
    pub fn of_texts<'e>(
        stanza: &str,
        environment: impl Iterator<Item = (&'e OsStr, &'e OsStr)>,
        texts: &[&str],
    ) -> Self {
        let option = |(name, value): (&OsStr, &OsStr)| {
            Some((options::of_variable(name.to_str()?)?, value.to_string_lossy().into_owned()))
        };
        let environment = environment.filter_map(option).collect();
        let mut config = Self { sections: BTreeMap::new(), environment, stanza: stanza.to_owned() };
        for text in texts {
            config.read(text);
        }
        config
    }

    /// The value that pgBackRest uses for `option` in `command`, if it is set anywhere.
    #[must_use]
    pub fn option(&self, command: &str, option: &str) -> Option<&str> {
        let in_section = |section: &str| self.sections.get(section).and_then(|keys| keys.get(option));
        self.environment
            .get(option)
            .or_else(|| in_section(&format!("{}:{command}", self.stanza)))
            .or_else(|| in_section(&self.stanza))
            .or_else(|| in_section(&format!("global:{command}")))
            .or_else(|| in_section("global"))
            .map(String::as_str)
    }

    /// Whether a boolean option is on (`y`).
    #[must_use]
    pub fn is_on(&self, command: &str, option: &str) -> bool {
        self.option(command, option) == Some("y")
    }

    /// Where a command's lock and stop files lie.
    #[must_use]
    pub fn lock_path(&self, command: &str) -> PathBuf {
        PathBuf::from(self.option(command, "lock-path").unwrap_or(DEFAULT_LOCK_PATH))
    }

    /// The numbers of the configured repositories; where none has an option, `[1]`, which has defaults.
    #[must_use]
    pub fn repositories(&self) -> Vec<u32> {
        let numbers = self.named_repositories();
        if numbers.is_empty() { vec![1] } else { numbers }
    }

    /// Whether an option of any repository is set.
    #[must_use]
    pub fn names_a_repository(&self) -> bool {
        !self.named_repositories().is_empty()
    }

    fn named_repositories(&self) -> Vec<u32> {
        let number = |option: &str| {
            let digits = option.strip_prefix("repo")?.split('-').next()?;
            digits.parse::<u32>().ok()
        };
        let concerns = |section: &&String| {
            let name = section.split(':').next();
            name == Some("global") || name == Some(self.stanza.as_str())
        };
        let ours = self.sections.iter().filter(|(section, _)| concerns(section));
        let keys = ours.flat_map(|(_, options)| options.keys()).chain(self.environment.keys());
        let mut numbers: Vec<u32> = keys.filter_map(|option| number(option)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The repository to which a backup goes if it lies on another host (`repo1-host`, once `backup-host`).
    #[must_use]
    pub fn remote_repository(&self) -> Option<u32> {
        let repository = self.repositories().into_iter().min()?;
        let old = if repository == 1 { self.option("backup", "backup-host") } else { None };
        let host = self.option("backup", &format!("repo{repository}-host")).or(old);
        host.filter(|host| !host.is_empty()).map(|_| repository)
    }

    /// Every option in force for a command as a variable, but for those of other repositories than these, and those that say
    /// where a configuration lies: what a call without any configuration file needs.
    #[must_use]
    pub fn as_variables(&self, command: &str, repositories: &[u32]) -> Vec<(OsString, OsString)> {
        let in_section = |section: &str| self.sections.get(section).into_iter().flat_map(BTreeMap::keys).cloned();
        let sections = ["global", self.stanza.as_str()].into_iter();
        let sections = sections.flat_map(|name| [name.to_owned(), format!("{name}:{command}")]);
        let mut names: Vec<String> = sections.flat_map(|section| in_section(&section).collect::<Vec<_>>()).collect();
        names.extend(self.environment.keys().cloned());
        names.sort_unstable();
        names.dedup();
        let is_meant = |name: &String| {
            let elsewhere = options::repository(name).is_some_and(|key| !repositories.contains(&key));
            options::is_known(name) && !elsewhere && !OF_THE_CALL.contains(&name.as_str())
        };
        let set = names.iter().filter(|name| is_meant(name)).filter_map(|name| {
            let value = self.option(command, name).filter(|value| !value.is_empty())?;
            Some((options::variable(name).into(), value.into()))
        });
        set.collect()
    }

    /// For how many backups of a kind a repository keeps WAL; `None` where that is not a matter of their count, or WAL never
    /// expires.
    #[must_use]
    pub fn retention_of_wal(&self, repository: u32) -> Option<(&'static [&'static str], usize)> {
        let option = |name: &str| self.option("expire", &format!("repo{repository}-retention-{name}"));
        let kinds: &[&str] = match option("archive-type") {
            None | Some("full") => &["full"],
            Some("diff") => &["full", "diff"],
            Some("incr") => &["full", "diff", "incr"],
            Some(_) => return None,
        };
        let by_count = option("full-type").is_none_or(|kind| kind == "count");
        let own = match option("archive-type") {
            None | Some("full") => option("full").filter(|_| by_count),
            Some("diff") => option("diff"),
            Some(_) => None,
        };
        Some((kinds, option("archive").or(own)?.parse().ok()?))
    }

    /// Every secret value that stands in the configuration or the environment, in any section.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let all = self.sections.values().flatten().chain(&self.environment);
        all.filter(|(option, value)| options::is_secret(option) && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// What is configured, for a person: the files' sections as they were joined, then the environment; no secret's value.
    #[must_use]
    pub fn shown(&self) -> String {
        let line = |(option, value): (&String, &String)| {
            let value = if options::is_secret(option) { "(set, not shown)" } else { value };
            format!("{option} = {value}\n")
        };
        let mut text = String::new();
        for (section, options) in &self.sections {
            text.extend(["[", section, "]\n"]);
            text.extend(options.iter().map(line));
        }
        if !self.environment.is_empty() {
            text += "# by the environment\n";
            text.extend(self.environment.iter().map(line));
        }
        text
    }

    /// The texts of the files, in the order pgBackRest joins them.
    fn files(&self) -> Result<Vec<String>, ConfigError> {
        let set = |option: &str| self.environment.get(option).map(PathBuf::from);
        let folder = set("config-path").unwrap_or_else(|| PathBuf::from(DEFAULT_FOLDER));
        let (file, include) = (set("config"), set("config-include-path"));
        let mut texts = Vec::new();
        match &file {
            Some(path) => texts.push(read_file(path)?),
            None => texts.extend(default_file(&folder)?),
        }
        if file.is_none() || include.is_some() {
            for path in included(&include.unwrap_or_else(|| folder.join("conf.d")))? {
                texts.push(read_file(&path)?);
            }
        }
        Ok(texts)
    }

    fn read(&mut self, text: &str) {
        let mut section = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                let keys = self.sections.entry(section.clone()).or_default();
                let (key, value) = (key.trim(), value.trim());
                let before = keys.get(key).filter(|_| options::is_list(key));
                let value = before.map_or_else(|| value.to_owned(), |before| format!("{before}:{value}"));
                keys.insert(key.to_owned(), value);
            }
        }
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let bytes = fs::read(path).map_err(|source| ConfigError { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn default_file(folder: &Path) -> Result<Option<String>, ConfigError> {
    let mut candidates = vec![folder.join("pgbackrest.conf")];
    if folder == Path::new(DEFAULT_FOLDER) {
        candidates.push(PathBuf::from(OLD_DEFAULT_FILE));
    }
    for path in candidates {
        match fs::read(&path) {
            Ok(bytes) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if is_missing(&error) => {}
            Err(source) => return Err(ConfigError { path, source }),
        }
    }
    Ok(None)
}

/// The `*.conf` files of the include folder, by name.
fn included(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgbackrest.conf");
        fs::write(&path, file).unwrap();
        let mut environment: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        environment.push(("PGBACKREST_CONFIG".into(), path.into()));
        Config::load("main", environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))).unwrap()
    }

    #[test]
    fn what_is_shown_names_every_option_and_no_secret() {
        let file = "[global]\nrepo1-s3-key=topsecret\nrepo1-s3-bucket=b\n[main]\npg1-path=/p\n";
        let config = load(file, &[("PGBACKREST_REPO1_CIPHER_PASS", "hidden")]);
        let shown = config.shown();
        assert!(
            shown.contains("[global]\nrepo1-s3-bucket = b\nrepo1-s3-key = (set, not shown)\n[main]\npg1-path = /p\n"),
            "{shown}"
        );
        assert!(shown.contains("repo1-cipher-pass = (set, not shown)"), "{shown}");
        assert!(!shown.contains("topsecret") && !shown.contains("hidden"), "{shown}");
        assert!(config.names_a_repository() && !load("[main]\npg1-path=/p\n", &[]).names_a_repository());
        assert_eq!(load("[main]\npg1-path=/p\n", &[]).repositories(), [1]);
    }

    #[test]
    fn the_nearest_section_wins_and_the_environment_over_all() {
        let file = "[global]\nspool-path=/a\n[global:archive-push]\nspool-path=/b\n";
        assert_eq!(load(file, &[]).option("archive-push", "spool-path"), Some("/b"));
        assert_eq!(load(file, &[]).option("archive-get", "spool-path"), Some("/a"));
        let file = format!("{file}[main]\nspool-path=/c\n[other]\nspool-path=/x\n");
        assert_eq!(load(&file, &[]).option("archive-push", "spool-path"), Some("/c"));
        let file = format!("{file}[main:archive-push]\nspool-path = /d = e # f \n");
        assert_eq!(load(&file, &[]).option("archive-push", "spool-path"), Some("/d = e # f"));
        let environment = [("PGBACKREST_SPOOL_PATH", "/g")];
        assert_eq!(load(&file, &environment).option("archive-push", "spool-path"), Some("/g"));
    }

    #[test]
    fn comments_and_lines_without_a_key_are_skipped() {
        let config = load("\u{feff}\n# [main]\n[global]\n#archive-async=n\nnonsense\n archive-async = y\n", &[]);
        assert!(config.is_on("archive-push", "archive-async"));
    }

    #[test]
    fn repositories_are_counted_by_their_options() {
        assert_eq!(load("", &[]).repositories(), [1]);
        let environment = [("PGBACKREST_REPO3_PATH", "/r")];
        assert_eq!(load("[global]\nrepo2-type=s3\n", &environment).repositories(), [2, 3]);
        assert_eq!(load("[other]\nrepo2-type=s3\n[main:backup]\nrepo4-path=/r\n", &[]).repositories(), [4]);
    }

    #[test]
    fn what_is_in_force_becomes_variables_without_the_other_repositories() {
        let file = "[global]\nrepo1-path=/a\nrepo2-path=/b\nrepo2-s3-key=k\nrepo1-storage-tag=a=1\nrepo1-storage-tag=b=2\n\
                    stranger=1\nspool-path=\n[global:archive-push]\nprocess-max=3\n[global:backup]\nprocess-max=9\n\
                    [main]\npg1-path=/d\n[other]\npg1-path=/o\n";
        let config = load(file, &[("PGBACKREST_REPO1_PATH", "/c"), ("PGBACKREST_REPO2_PATH", "/x")]);
        let of = |repositories: &[u32]| {
            let text = |text: OsString| text.into_string().unwrap();
            let variables = config.as_variables("archive-push", repositories).into_iter();
            variables.map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>()
        };
        let both = ["PGBACKREST_PG1_PATH=/d", "PGBACKREST_PROCESS_MAX=3"];
        let first = ["PGBACKREST_REPO1_PATH=/c", "PGBACKREST_REPO1_STORAGE_TAG=a=1:b=2"];
        assert_eq!(of(&[1]), [both, first].concat());
        assert_eq!(of(&[2]), [both, ["PGBACKREST_REPO2_PATH=/x", "PGBACKREST_REPO2_S3_KEY=k"]].concat());
    }

    #[test]
    fn a_repository_on_another_host_is_seen_where_a_backup_would_go() {
        assert_eq!(load("[global]\nrepo1-path=/r\n", &[]).remote_repository(), None);
        assert_eq!(load("[global]\nrepo1-host=backup\n", &[]).remote_repository(), Some(1));
        assert_eq!(load("[global]\nrepo1-path=/r\nrepo2-host=backup\n", &[]).remote_repository(), None);
        assert_eq!(load("[main]\nrepo2-host=backup\n", &[]).remote_repository(), Some(2));
        assert_eq!(load("[global]\nbackup-host=backup\nrepo1-path=/r\n", &[]).remote_repository(), Some(1));
    }

    #[test]
    fn wal_is_kept_for_as_many_backups_as_pgbackrest_takes_it_to_be() {
        let kept = |lines: &str| load(&format!("[global]\n{lines}"), &[]).retention_of_wal(1);
        let (full, diff): (&[&str], &[&str]) = (&["full"], &["full", "diff"]);
        assert_eq!(kept(""), None, "then nothing expires");
        assert_eq!(kept("repo1-retention-full=2\n"), Some((full, 2)));
        assert_eq!(kept("repo1-retention-full=2\nrepo1-retention-archive=1\n"), Some((full, 1)));
        assert_eq!(kept("repo1-retention-full=9\nrepo1-retention-full-type=time\n"), None, "days");
        assert_eq!(kept("repo1-retention-archive-type=diff\nrepo1-retention-diff=3\n"), Some((diff, 3)));
        assert_eq!(kept("repo1-retention-archive-type=incr\nrepo1-retention-full=3\n"), None);
        assert_eq!(kept("repo2-retention-full=2\n"), None, "another repository's");
    }

    #[test]
    fn secrets_are_found_in_every_section() {
        let config = load("[global]\nrepo1-s3-key=k1\n[main]\nrepo1-s3-key-secret=k2\nrepo1-s3-bucket=b\n", &[]);
        assert_eq!(config.secrets().collect::<Vec<_>>(), ["k1", "k2"]);
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let environment = [(OsString::from("PGBACKREST_CONFIG"), OsString::from("/nowhere/at/all.conf"))];
        let pairs = environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        assert!(Config::load("main", pairs).is_err());
    }
}
