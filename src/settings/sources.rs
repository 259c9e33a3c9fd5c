//! Where values come from, and the one rule by which they are chosen.

use super::value::BadValue;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Every variable that the file may set, by its name. Those of programs to come are added with them.
const VARIABLES: &[&str] = &[
    "PGDATA",
    "PGBACKREST_STANZA",
    "PGBACKREST_CONFIG",
    "PGBACKREST_REPO",
    "WAL_GUARD_PGBACKREST",
    "WAL_GUARD_STATE_DIR",
    "WAL_GUARD_LOG",
    "WAL_GUARD_LOG_FORMAT",
    "WAL_DROP_THRESHOLD_MB",
    "WAL_DROP_AFTER_SECONDS",
    "WAL_DROP_MEASURE",
    "WAL_FREE_RESERVE_MB",
    "WAL_PUSH_TIMEOUT_SECONDS",
    "WAL_INSTANT_DROP_CODES",
    "WAL_INSTANT_DROP_AFTER_SECONDS",
    "WAL_GUARD_FAST_PATH",
    "WAL_OVERFLOW_DIR",
    "WAL_OVERFLOW_MAX_MB",
    "WAL_GET_RETRY_SECONDS",
    "WAL_GET_TIMEOUT_SECONDS",
    "WAL_BACKUP_POLL_INTERVAL_SECONDS",
    "WAL_BACKUP_INITIAL_POLL_SECONDS",
    "WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS",
    "WAL_BACKUP_GAP_TYPE",
    "WAL_BACKUP_FULL_INTERVAL_HOURS",
    "WAL_BACKUP_FULL_INTERVAL_SECONDS",
    "WAL_BACKUP_DIFF_INTERVAL_HOURS",
    "WAL_BACKUP_DIFF_INTERVAL_SECONDS",
    "WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS",
    "WAL_BACKUP_RETRY_BACKOFF_SECONDS",
    "WAL_BACKUP_STALL_SECONDS",
    "WAL_HEARTBEAT_DISABLED",
    "WAL_GUARD_METRICS_FILE",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "WAL_ARCHIVE_BUCKET",
    "WAL_ARCHIVE_ENDPOINT",
    "WAL_ARCHIVE_REGION",
    "WAL_ARCHIVE_KEY",
    "WAL_ARCHIVE_SECRET",
    "WAL_ARCHIVE_PATH",
    "WAL_ARCHIVE_S3_URI_STYLE",
    "WAL_ARCHIVE_BUCKET_ALLOW_UUID",
    "POSTGRES_ARCHIVE_TIMEOUT",
    "WAL_BACKUP_RETENTION_FULL",
    "WAL_BACKUP_RETENTION_DIFF",
    "PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX",
    "PGBACKREST_ARCHIVE_GET_PROCESS_MAX",
    "PGBACKREST_BACKUP_PROCESS_MAX",
    "PGBACKREST_RESTORE_PROCESS_MAX",
];

/// A variable's default in words, behind a message.
fn default_of(name: &str) -> String {
    let default = match name {
        "PGDATA" => "the working directory, if it holds PG_VERSION",
        "PGBACKREST_STANZA" => "main",
        "PGBACKREST_REPO" => "all of them",
        "WAL_GUARD_STATE_DIR" => "PGDATA/.pgbackrest_guard",
        "WAL_GUARD_LOG" => "info",
        "WAL_GUARD_LOG_FORMAT" => "text",
        "WAL_DROP_THRESHOLD_MB" => "500, or 10 % of a smaller volume, at least 64 and four segments",
        "WAL_DROP_MEASURE" => "backlog",
        "WAL_FREE_RESERVE_MB" => "1024, or 5 % of a smaller volume",
        "WAL_PUSH_TIMEOUT_SECONDS" | "WAL_GET_TIMEOUT_SECONDS" => "120",
        "WAL_INSTANT_DROP_CODES" => "InvalidAccessKeyId,NoSuchBucket",
        "WAL_INSTANT_DROP_AFTER_SECONDS" | "WAL_ARCHIVE_BUCKET_ALLOW_UUID" => "0",
        "WAL_GUARD_FAST_PATH" => "1",
        "WAL_OVERFLOW_DIR" => "none",
        "WAL_OVERFLOW_MAX_MB" => "1024",
        "WAL_GET_RETRY_SECONDS" => "300",
        "WAL_ARCHIVE_PATH" => "/pgbackrest",
        "WAL_ARCHIVE_S3_URI_STYLE" => "path",
        "POSTGRES_ARCHIVE_TIMEOUT" | "WAL_DROP_AFTER_SECONDS" => "60",
        "WAL_BACKUP_RETENTION_FULL" => "4",
        "WAL_BACKUP_RETENTION_DIFF" => "14",
        _ => return String::new(),
    };
    format!(": {default}")
}

/// Whether the file may set a variable of this name.
pub(super) fn is_variable(name: &str) -> bool {
    VARIABLES.contains(&name)
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was typed.
    Flag,
    /// A variable.
    Environment,
    /// The settings file.
    File,
    /// Nobody set it.
    Default,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value that nobody set.
    pub fn default_of(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    /// Another value of the same origin.
    pub fn derived<U>(&self, derive: impl FnOnce(&T) -> U) -> Setting<U> {
        Setting { value: derive(&self.value), origin: self.origin }
    }
}

/// Something about the settings that a person should mend. Shown once, then the default is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

/// The process's environment, taken once.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// A variable that is set to something.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.0.get(OsStr::new(name)).filter(|value| !value.is_empty())
    }

    /// A variable that holds a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The environment and the file, and the warnings that reading them gave.
#[derive(Debug)]
pub struct Sources {
    environment: Environment,
    file: BTreeMap<String, OsString>,
    warnings: Vec<Warning>,
    named_file: Option<PathBuf>,
}

impl Sources {
    pub(super) fn new(
        environment: Environment,
        file: BTreeMap<String, OsString>,
        warnings: Vec<Warning>,
        named_file: Option<PathBuf>,
    ) -> Self {
        Self { environment, file, warnings, named_file }
    }

    /// The settings file, where a flag or a variable names one.
    #[must_use]
    pub fn named_file(&self) -> Option<&Path> {
        self.named_file.as_deref()
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Adds something that a person should mend.
    pub fn warn(&mut self, what: String) {
        self.warnings.push(Warning(what));
    }

    /// What a person should mend.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The value of a setting that has a default.
    pub fn value<T>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        parse: impl FnOnce(&OsString) -> Result<T, BadValue>,
        default: impl FnOnce() -> T,
    ) -> Setting<T> {
        self.optional(name, flag, parse).unwrap_or_else(|| Setting::default_of(default()))
    }

    /// The value of a setting that can be unset.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        parse: impl FnOnce(&OsString) -> Result<T, BadValue>,
    ) -> Option<Setting<T>> {
        if let Some(value) = flag {
            return Some(Setting { value, origin: Origin::Flag });
        }
        let (text, origin) = self.text(name)?;
        match parse(text) {
            Ok(value) => Some(Setting { value, origin }),
            Err(bad) => {
                let shown = text.to_string_lossy().escape_debug().to_string();
                let place = if origin == Origin::File { " in the settings file" } else { "" };
                let default = default_of(name);
                self.warnings
                    .push(Warning(format!("{name}='{shown}'{place}: {bad}; the default is used instead{default}")));
                None
            }
        }
    }

    /// Whether a variable is there and empty, in the environment or, where it has none, in the file.
    #[must_use]
    pub fn is_set_to_nothing(&self, name: &str) -> bool {
        let variable = self.environment.0.get(OsStr::new(name));
        variable.or_else(|| self.file.get(name)).is_some_and(|text| text.is_empty())
    }

    fn text(&self, name: &str) -> Option<(&OsString, Origin)> {
        let variable = self.environment.get(name).map(|text| (text, Origin::Environment));
        variable.or_else(|| {
            let text = self.file.get(name).filter(|text| !text.is_empty())?;
            Some((text, Origin::File))
        })
    }
}
