//! Files that are on the disk before anybody relies on them.
//!
//! fsync(2): a rename is durable only when the folder has been synced too.

use crate::checkpoint;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, lchown,
};
use std::path::Path;

/// Creates a folder, mode 0700, with what is missing above it. An existing one is left as it is.
///
/// # Errors
/// What the system says.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Copies what `source` yields into `folder/name`, mode 0600, by way of a temporary file, and syncs both.
///
/// # Errors
/// What the system says; the temporary file is then taken away again.
pub fn copy_into(source: &mut dyn Read, folder: &Path, name: &str) -> io::Result<()> {
    copy_in_pieces(source, folder, name, u64::MAX)
}

/// The same for a large file, synced after each `piece` bytes.
///
/// # Errors
/// As [`copy_into`].
pub fn copy_in_pieces(source: &mut dyn Read, folder: &Path, name: &str, piece: u64) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    let written = write_new(source, &temporary, piece)
        .inspect(|()| checkpoint::reached("copy-written"))
        .and_then(|()| fs::rename(&temporary, folder.join(name)))
        .and_then(|()| sync_folder(folder));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Copies a file that need not outlive this program, mode 0600.
///
/// # Errors
/// What the system says.
pub fn copy_for_now(source: &mut File, to: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(source, &mut copy).map(drop)
}

/// Replaces a file that others read, mode 0644, by way of a temporary file beside it.
///
/// # Errors
/// What the system says; the temporary file is then taken away again.
pub fn publish(path: &Path, text: &[u8]) -> io::Result<()> {
    exchange(path, text, false)
}

/// The same, on the disk before it returns. Only a file is replaced: a rename would put one in the place of a device.
///
/// # Errors
/// What the system says; what was there is then as it was.
pub fn publish_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and no plain file"));
    }
    exchange(path, text, true)?;
    path.parent().map_or(Ok(()), |folder| sync_folder(if folder == Path::new("") { Path::new(".") } else { folder }))
}

fn exchange(path: &Path, text: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = Path::new(&name);
    // A killed program's is in the way, and a link that somebody put there would be followed.
    let _ = fs::remove_file(temporary);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(temporary);
    let written = file
        .and_then(|mut file| file.write_all(text).and_then(|()| if sync { file.sync_all() } else { Ok(()) }))
        .and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    written
}

/// Who a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Owner {
    /// A file's owner.
    #[must_use]
    pub fn of(file: &Metadata) -> Self {
        Self { uid: file.uid(), gid: file.gid() }
    }

    /// Gives it what lies at `path`; a link itself, not what it points to.
    ///
    /// # Errors
    /// What the system says.
    pub fn give(self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }
}

/// Replaces a file as a whole, by way of a temporary file beside it, and syncs both. Mode and owner are right before
/// the file has its name. Where no file can be made beside it but it can be written to, it is written in place.
///
/// # Errors
/// What the system says; the temporary file is then taken away again.
pub fn replace(path: &Path, text: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = write_owned(&temporary, text, mode, owner)
        .inspect(|()| checkpoint::reached("replacement-written"))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder(folder));
    match written {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.is_file() => write_in_place(path, text),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

fn write_owned(path: &Path, text: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    // Made anew, so that a link in a folder of somebody else's leads nowhere.
    remove(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()
}

fn write_in_place(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Removes a file, durably. One that is not there is no error.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
    }
}

fn write_new(source: &mut dyn Read, path: &Path, piece: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    while io::copy(&mut source.take(piece), &mut file)? == piece {
        file.sync_data()?;
    }
    file.sync_all()
}

/// Writes a small file in place: for one whose existence is what counts, even where no byte fits on the disk.
///
/// # Errors
/// When the file can't be created. That its text does not fit is no error.
pub fn write_marker(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    let _ = file.write_all(text.as_bytes());
    let _ = file.sync_all();
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes renames and new names in a folder durable.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
