//! Where a restore goes, and whether it may: everything that is looked at before the first byte.

use super::socket::socket;
use super::state::{Folder, State};
use super::{Request, RestoreError, leftover};
use crate::data_directory::DataDirectory;
use crate::space::{self, Volume};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The data directory to be, and the folder beside it that the restore works in.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) target: DataDirectory,
    pub(super) folder: PathBuf,
    /// Whether that folder lies beside the data directory, and not in a state directory.
    is_beside: bool,
    pub(super) content: Content,
}

/// What lies in the data directory to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing, or it does not exist.
    Nothing,
    /// A cluster.
    Cluster,
    /// A copy that was cut off: pgBackRest's manifest is there, `pg_control`, which it puts in place last, is not.
    HalfACopy,
    /// Something else.
    Other,
}

impl Place {
    /// Looks around.
    pub(super) fn find(request: &Request) -> Result<Self, RestoreError> {
        let target = without_links(&request.target);
        if target.file_name().is_none() {
            return Err(RestoreError::Refused("/ is not a data directory".to_owned()));
        }
        let beside = target.parent().unwrap_or(Path::new("/"));
        // A mounted volume's parent is often root's. One that is not there yet is made in what is.
        let there = beside.ancestors().find(|path| path.exists()).unwrap_or(beside);
        let can_be_written = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
        let set = request.common.state_dir.as_ref().map(|folder| folder.value.as_path());
        // Not the default, which lies in the data directory: neither in the copy nor in its origin.
        let pgdata = request.common.pgdata.as_ref().map(|pgdata| pgdata.value.as_path());
        let in_data = |folder: &Path| folder.parent().is_some_and(|parent| parent == target || Some(parent) == pgdata);
        let set = set.filter(|folder| !can_be_written && !in_data(folder));
        let parent = set.unwrap_or(beside);
        let content = content(&target).map_err(|error| RestoreError::file("read", &target, error))?;
        let (folder, is_beside) = (working_folder(parent, &target), set.is_none());
        Ok(Self { folder, is_beside, content, target: DataDirectory::new(target) })
    }

    /// What an earlier run has noted in the working folder. In a state directory two data directories of one name share it.
    pub(super) fn noted(&self) -> Result<Option<State>, RestoreError> {
        let found = Folder::read(&self.folder)?;
        match found.as_ref().and_then(|state| state.data.as_deref()) {
            Some(other) if !self.is_beside && other != self.target.path() => Err(refused(format!(
                "{} belongs to a restore of {} that is under way; repeat that command, or name another folder with \
                 --state-dir",
                self.folder.display(),
                other.display()
            ))),
            _ => Ok(found),
        }
    }

    /// Refuses what no restore may touch; `under_way`: what lies there is this restore's own.
    pub(super) fn check(&self, replace: bool, under_way: bool) -> Result<(), RestoreError> {
        let path = self.target.path().display();
        if rustix::process::geteuid().is_root() {
            return Err(refused(
                "PostgreSQL does not run as root; run this as the server's user: sudo -u postgres …".into(),
            ));
        }
        if self.target.foreign_owner().is_some() {
            return Err(refused(format!("{path} belongs to another user; run this as that user: sudo -u USER …")));
        }
        if self.foreign_server_runs(under_way) {
            return Err(refused(format!("a server runs on {path}; stop it, or name another directory with --target")));
        }
        if let Some(closed) = closed(self.target.path()) {
            return Err(refused(format!(
                "this user can't write to {}; have {path} created for it, or name another directory with --target",
                closed.display()
            )));
        }
        if under_way {
            return Ok(());
        }
        match self.content {
            Content::Nothing | Content::HalfACopy => Ok(()),
            Content::Cluster if replace => Ok(()),
            Content::Cluster => Err(refused(format!(
                "{path} holds a cluster; name another directory with --target, or add --replace to replace it: what \
                 was written there and not archived is then lost"
            ))),
            Content::Other => Err(refused(format!(
                "{path} is not empty and holds no cluster; empty it, or name another directory with --target"
            ))),
        }
    }

    /// Whether a server runs there that this restore has not started: only its own listens in its working folder.
    fn foreign_server_runs(&self, under_way: bool) -> bool {
        if under_way && leftover::listening(&self.target, &[socket(&self.folder)]).is_some() {
            return false;
        }
        self.target.server_runs()
    }

    /// Refuses where the copy and the WAL under way would not fit.
    pub(super) fn check_space(&self, needed: u64) -> Result<u64, RestoreError> {
        let target = self.target.path();
        let there = target.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let replaced = if self.content == Content::Nothing { 0 } else { space::everything(target).unwrap_or(0) };
        let Some(free) = Volume::of(there).free else { return Ok(0) };
        let room = free.saturating_add(replaced);
        if room < needed {
            return Err(refused(format!(
                "the restore needs {} at {}, but there is only room for {}; free some, or name another directory \
                 with --target",
                crate::sizes::shown(needed),
                target.display(),
                crate::sizes::shown(room)
            )));
        }
        Ok(room)
    }

    /// Makes the working folder, or enters it again.
    pub(super) fn enter(&self) -> Result<Folder, RestoreError> {
        Folder::open(&self.folder).map_err(|error| match error {
            RestoreError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => refused(format!(
                "can't create {}, where the restore records what it has done; name a writable folder with --state-dir",
                self.folder.display()
            )),
            error => error,
        })
    }
}

/// A path without links, and the same whether it is there yet or not.
fn without_links(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|there| Some((there, fs::canonicalize(there).ok()?)));
    let joined = there.and_then(|(there, real)| Some((path.strip_prefix(there).ok()?, real)));
    joined.map_or_else(|| path.to_owned(), |(rest, real)| real.join(rest).components().collect())
}

/// The folder that a restore of a data directory works in.
#[must_use]
pub fn working_folder(parent: &Path, target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    parent.join(format!(".{name}.pgbackrest-guard-restore"))
}

/// The directory, or the nearest one above it that exists, where this user may write nothing.
fn closed(target: &Path) -> Option<&Path> {
    let there = target.ancestors().find(|path| path.exists())?;
    let may = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    may.is_err().then_some(there)
}

fn refused(why: String) -> RestoreError {
    RestoreError::Refused(why)
}

fn content(path: &Path) -> io::Result<Content> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        Err(error) => return Err(error),
    };
    if entries.next().is_none() {
        return Ok(Content::Nothing);
    }
    Ok(if path.join("global/pg_control").exists() {
        Content::Cluster
    } else if path.join("backup.manifest").exists() {
        Content::HalfACopy
    } else if DataDirectory::is_one(path) {
        Content::Cluster
    } else {
        Content::Other
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_has_one_name_before_and_after_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(real.join("volume")).unwrap();
        symlink(real.join("volume"), real.join("link")).unwrap();
        let (by_link, expected) = (real.join("link/15/main"), real.join("volume/15/main"));
        assert_eq!(without_links(&by_link), expected);
        fs::create_dir_all(&by_link).unwrap();
        assert_eq!(without_links(&by_link), expected);
        assert_eq!(without_links(&real.join("link/15/main/")), expected);
        assert_eq!(without_links(Path::new("/nowhere/at/all")), Path::new("/nowhere/at/all"));
    }
}
