//! Where values come from, and the one rule by which they are chosen.

use super::declaration::{Declaration, Declared};
use crate::bad_value::BadValue;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

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

    /// Every setting that the environment or the file sets: the variable, the value as it may be shown, and its origin.
    #[must_use]
    pub fn set(&self) -> Vec<(&'static str, String, Origin)> {
        let set = super::table::all().filter_map(|setting| {
            let (text, origin) = self.text(setting.variable)?;
            Some((setting.variable, shown(setting, text), origin))
        });
        set.collect()
    }

    /// The value of a setting whose default is a constant.
    pub(super) fn value<T>(&mut self, declared: &Declared<T>, flag: Option<T>) -> Setting<T> {
        self.optional(declared, flag).unwrap_or_else(|| Setting::default_of(declared.constant()))
    }

    /// The value of a setting that can be unset.
    pub(super) fn optional<T>(&mut self, declared: &Declared<T>, flag: Option<T>) -> Option<Setting<T>> {
        self.checked(declared, flag, |_| Ok(()))
    }

    /// The same, where a value is good only if `check` agrees. A flag has been checked before.
    pub(super) fn checked<T>(
        &mut self,
        declared: &Declared<T>,
        flag: Option<T>,
        check: impl FnOnce(&T) -> Result<(), BadValue>,
    ) -> Option<Setting<T>> {
        if let Some(value) = flag {
            return Some(Setting { value, origin: Origin::Flag });
        }
        let (text, origin) = self.text(declared.declaration.variable)?;
        match declared.parse(text).and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => Some(Setting { value, origin }),
            Err(bad) => {
                let warning = replaced(&declared.declaration, text, origin, bad);
                self.warnings.push(warning);
                None
            }
        }
    }

    /// The text of a setting that is set, whatever it means.
    pub(super) fn raw<T>(&self, declared: &Declared<T>) -> Option<OsString> {
        self.text(declared.declaration.variable).map(|(text, _)| text.clone())
    }

    /// Whether a variable is there and empty, in the environment or, where it has none, in the file.
    pub(super) fn is_set_to_nothing<T>(&self, declared: &Declared<T>) -> bool {
        let name = declared.declaration.variable;
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

/// A value as it may be shown.
fn shown(setting: &Declaration, text: &OsStr) -> String {
    if setting.secret { "…".to_owned() } else { text.to_string_lossy().escape_debug().to_string() }
}

/// A bad value, and what is used instead of it.
fn replaced(setting: &Declaration, text: &OsStr, origin: Origin, bad: BadValue) -> Warning {
    let name = setting.variable;
    let shown = shown(setting, text);
    let place = if origin == Origin::File { " in the settings file" } else { "" };
    let default = setting.default.words();
    Warning(format!("{name}='{shown}'{place}: {bad}; the default is used instead: {default}"))
}
