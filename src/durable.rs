//! Files that are on the disk before anybody relies on them.
//!
//! fsync(2): a rename is durable only when the folder has been synced too.

use crate::checkpoint;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
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
    let temporary = folder.join(format!(".{name}.new"));
    let written = write_new(source, &temporary)
        .inspect(|()| checkpoint::reached("copy-written"))
        .and_then(|()| fs::rename(&temporary, folder.join(name)))
        .and_then(|()| sync_folder(folder));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
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
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
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

fn write_new(source: &mut dyn Read, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::copy(source, &mut file)?;
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
