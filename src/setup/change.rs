//! The changes that setup makes: planned as plain data, shown by `--dry-run`, or made.
//!
//! A change that changes nothing is left out, so that a second run touches no file, not even its times. Files are
//! written beside their place and renamed, and belong to the server's user also when setup runs as root.

use super::SetupError;
use crate::durable::{self, Owner};
use rustix::fs::Access;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A folder is there, with this mode if setup makes it.
    Folder(PathBuf, u32),
    /// A folder is there, with exactly this mode.
    FolderOfMode(PathBuf, u32),
    /// A file holds exactly this text, with this mode.
    Text(PathBuf, String, u32),
    /// A file holds exactly this, in whatever encoding; mode and owner stay as they are.
    Edited(PathBuf, Vec<u8>),
    /// There is no such file.
    Gone(PathBuf),
}

impl Change {
    /// What it is about.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(path, _)
            | Self::FolderOfMode(path, _)
            | Self::Text(path, ..)
            | Self::Edited(path, _)
            | Self::Gone(path) => path,
        }
    }

    /// Whether everything is so already.
    pub(super) fn is_made(&self, owner: Option<Owner>) -> bool {
        let metadata = fs::metadata(self.path());
        let mode_is = |mode: u32| metadata.as_ref().is_ok_and(|file| file.mode() & 0o7777 == mode);
        let owner_is = owner.is_none_or(|owner| metadata.as_ref().is_ok_and(|file| Owner::of(file) == owner));
        match self {
            Self::Folder(path, _) => path.is_dir(),
            // Whoever made a link of it has the folder to look after; root must not change what a link leads to.
            Self::FolderOfMode(path, mode) => path.is_dir() && (path.is_symlink() || mode_is(*mode) && owner_is),
            Self::Text(path, text, mode) => holds(path, text.as_bytes()) && mode_is(*mode) && owner_is,
            Self::Edited(path, text) => holds(path, text),
            Self::Gone(path) => fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
        }
    }

    /// Makes it.
    pub(super) fn make(&self, owner: Option<Owner>) -> Result<(), SetupError> {
        let made = match self {
            Self::Folder(path, mode) => create_folder(path, *mode, owner),
            Self::FolderOfMode(path, mode) => create_folder(path, *mode, owner)
                .and_then(|()| fs::set_permissions(path, Permissions::from_mode(*mode)))
                .and_then(|()| owner.map_or(Ok(()), |owner| owner.give(path))),
            Self::Text(path, text, mode) => durable::replace(path, text.as_bytes(), *mode, owner),
            Self::Edited(path, text) => edit(path, text),
            Self::Gone(path) => durable::remove(path),
        };
        made.map_err(|source| SetupError::Change { what: self.in_words(), path: self.path().to_owned(), source })
    }

    /// What would keep it from being made, as far as rights tell: a file is written beside its place and renamed.
    pub(super) fn obstacle(&self) -> Option<SetupError> {
        let folder = self.path().parent()?.ancestors().find(|folder| folder.exists())?;
        let refused = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some(SetupError::Change { what: self.in_words(), path: self.path().to_owned(), source: refused.into() })
    }

    fn in_words(&self) -> &'static str {
        match self {
            Self::Folder(..) | Self::FolderOfMode(..) => "make the folder",
            Self::Text(..) | Self::Edited(..) => "write",
            Self::Gone(_) => "remove",
        }
    }

    /// What was done, for the log.
    pub(super) fn done(&self) -> &'static str {
        match self {
            Self::Folder(..) | Self::FolderOfMode(..) => "made the folder",
            Self::Text(..) | Self::Edited(..) => "wrote",
            Self::Gone(_) => "removed",
        }
    }
}

fn holds(path: &Path, text: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == text)
}

fn create_folder(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        DirBuilder::new().recursive(true).create(above)?;
    }
    DirBuilder::new().mode(mode).create(path)?;
    if let Some(owner) = owner {
        owner.give(path)?;
    }
    path.parent().map_or(Ok(()), durable::sync_folder)
}

/// Replaces the text of somebody else's file, behind a link if it is one.
fn edit(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = path.canonicalize()?;
    let metadata = fs::metadata(&file)?;
    let root = rustix::process::geteuid().is_root();
    durable::replace(&file, text, metadata.mode() & 0o7777, root.then(|| Owner::of(&metadata)))
}
