//! The settings file: TOML, each key a variable's name in lower case.

use super::sources::Warning;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use toml::Value;

/// What a missing file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nobody asked for it.
    IsUsual,
    /// Somebody named it.
    IsWorthAWarning,
}

/// The file's values as texts, by the variable's name; what can't be read becomes a warning.
pub(super) fn read(path: &Path, missing: Missing) -> (BTreeMap<String, OsString>, Vec<Warning>) {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::IsUsual => {
            return (BTreeMap::new(), Vec::new());
        }
        Err(error) => return (BTreeMap::new(), vec![ignored(path, &format!("can't be read ({error})"))]),
    };
    match text.parse::<toml::Table>() {
        Ok(table) => values(table, path),
        Err(error) => (BTreeMap::new(), vec![ignored(path, &format!("is no TOML ({})", one_line(&error)))]),
    }
}

fn values(table: toml::Table, path: &Path) -> (BTreeMap<String, OsString>, Vec<Warning>) {
    let mut values = BTreeMap::new();
    let mut warnings = Vec::new();
    for (key, value) in table {
        let name = key.to_ascii_uppercase();
        let text = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(switch) => switch.to_string(),
            Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                let what = format!("{key} is neither a string, a whole number nor a switch: it is ignored");
                warnings.push(Warning(format!("the settings file {}: {what}", path.display())));
                continue;
            }
        };
        if super::sources::is_variable(&name) && key == name.to_ascii_lowercase() {
            values.insert(name, OsString::from(text));
        } else {
            let what = format!("there is no setting {key}: it is ignored");
            warnings.push(Warning(format!("the settings file {}: {what}", path.display())));
        }
    }
    (values, warnings)
}

fn ignored(path: &Path, what: &str) -> Warning {
    Warning(format!("the settings file {} {what}: it is ignored", path.display()))
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}
