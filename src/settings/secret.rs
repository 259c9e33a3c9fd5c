//! A secret out of its variable, or out of the file that `…_FILE` names, as users of the official image expect of
//! `POSTGRES_PASSWORD_FILE` (docker-entrypoint.sh, `file_env`): both set is an error, newlines at the file's end are cut.

use super::declaration::Declared;
use super::{Sources, table};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// The variables that name a secret's file.
pub const FILES: [&str; 4] = [
    table::WAL_ARCHIVE_KEY_FILE.declaration.variable,
    table::WAL_ARCHIVE_SECRET_FILE.declaration.variable,
    table::WAL_RECOVER_FROM_KEY_FILE.declaration.variable,
    table::WAL_RECOVER_FROM_SECRET_FILE.declaration.variable,
];

/// A secret, or why there is none though one is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// The secret; `None` where nothing names one, and where it can't be had.
    pub value: Option<OsString>,
    /// Why it can't be had.
    pub trouble: Option<SecretTrouble>,
}

/// Why a secret can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretTrouble {
    /// Which of the two is meant?
    #[error("{0} and {0}_FILE are both set: unset one of them")]
    Both(&'static str),
    /// The file can't be read by this user.
    #[error("can't read {path}, which {variable}_FILE names: {why}")]
    Unreadable {
        /// The variable without `_FILE`.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        why: String,
    },
    /// There is nothing in it.
    #[error("{path}, which {variable}_FILE names, is empty")]
    Empty {
        /// The variable without `_FILE`.
        variable: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Whether anything names one.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.value.is_some() || self.trouble.is_some()
    }

    /// Resolves it out of both.
    pub(super) fn resolve(sources: &mut Sources, own: &Declared<OsString>, file: &Declared<PathBuf>) -> Self {
        let variable = own.declaration.variable;
        let value = sources.raw(own);
        let Some(path) = sources.optional(file, None).map(|setting| setting.value) else {
            return Self { value, trouble: None };
        };
        if value.is_some() {
            return Self { value: None, trouble: Some(SecretTrouble::Both(variable)) };
        }
        match fs::read(&path) {
            Ok(mut bytes) => {
                let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
                bytes.truncate(end);
                let value = OsString::from_vec(bytes);
                let is_empty = value.as_os_str().as_bytes().is_empty();
                let trouble = is_empty.then_some(SecretTrouble::Empty { variable, path });
                Self { value: Some(value).filter(|_| !is_empty), trouble }
            }
            Err(error) => {
                let trouble = SecretTrouble::Unreadable { variable, path, why: error.to_string() };
                Self { value: None, trouble: Some(trouble) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let environment = pairs.iter().copied().collect();
        let mut sources = Sources::new(environment, BTreeMap::new(), Vec::new(), None);
        Secret::resolve(&mut sources, &table::WAL_ARCHIVE_SECRET, &table::WAL_ARCHIVE_SECRET_FILE)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn a_file_stands_for_its_variable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let named = ("WAL_ARCHIVE_SECRET_FILE", path);
        let trouble = |pairs: &[(&str, &str)]| secret(pairs).trouble.map(|trouble| trouble.to_string());
        assert_eq!(trouble(&[named]), Some(format!("{path}, which WAL_ARCHIVE_SECRET_FILE names, is empty")));
        for (text, value) in [("s3cret", "s3cret"), ("s3cret\n\n", "s3cret"), (" a\nb \n", " a\nb ")] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(secret(&[named]), Secret { value: Some(value.into()), trouble: None });
        }
        let both = "WAL_ARCHIVE_SECRET and WAL_ARCHIVE_SECRET_FILE are both set: unset one of them";
        assert_eq!(trouble(&[named, ("WAL_ARCHIVE_SECRET", "x")]).as_deref(), Some(both));
        assert_eq!(secret(&[("WAL_ARCHIVE_SECRET", "x"), ("WAL_ARCHIVE_SECRET_FILE", "")]).value, Some("x".into()));
        let missing = trouble(&[("WAL_ARCHIVE_SECRET_FILE", "/nowhere/s")]).unwrap();
        assert!(missing.starts_with("can't read /nowhere/s, which WAL_ARCHIVE_SECRET_FILE names: "), "{missing}");
    }
}
