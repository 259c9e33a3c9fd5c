//! The settings file: TOML, each key a variable's name in lower case.

use super::sources::Warning;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use toml::Value;

/// Characters of a wrong line that a warning shows.
const LONGEST_SHOWN: usize = 200;

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
        Err(_) => line_by_line(&text, path),
    }
}

/// A file that is no TOML as a whole: one wrong line (`= 08`, `= 5gb`) costs no more than itself.
fn line_by_line(text: &str, path: &Path) -> (BTreeMap<String, OsString>, Vec<Warning>) {
    let (mut values, mut warnings) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        match line.parse::<toml::Table>() {
            Ok(table) => {
                let (more, wrong) = self::values(table, path);
                values.extend(more);
                warnings.extend(wrong);
            }
            Err(error) => warnings.push(ignored(path, &format!("has a line {} ({})", shown(line), one_line(&error)))),
        }
    }
    (values, warnings)
}

/// A line that can be shown: without its value where that is a key or a secret.
fn shown(line: &str) -> String {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let secret = key.to_ascii_lowercase().contains("key") || key.to_ascii_lowercase().contains("secret");
    let shown = if secret || key.is_empty() { key } else { line.trim() };
    let cut: String = shown.chars().take(LONGEST_SHOWN).collect();
    format!("'{}'", cut.escape_debug())
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
            // No setting is one: it is refused where it is read, by its name and with its value.
            Value::Float(number) => number.to_string(),
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                let what = format!("{key} is not a string, a number, true or false: it is ignored");
                warnings.push(Warning(format!("the settings file {}: {what}", path.display())));
                continue;
            }
        };
        if super::table::may_stand_in_file(&name) && key == name.to_ascii_lowercase() {
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
