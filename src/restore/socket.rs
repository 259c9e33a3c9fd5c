//! The socket of a server on a copy: in a folder that nobody else enters, beside the copy.
//!
//! A socket's path may have 107 bytes (`sun_path` of unix(7) without its closing zero), a data directory's any number. Where it
//! would be too long, the server and we go by a link of a short name. Who may connect is decided by the folder that it leads to.

use crate::durable;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The longest path of a socket.
const LONGEST: usize = 107;
/// The socket's name, with the port that every server of ours has.
const NAME: &str = ".s.PGSQL.5432";

/// The folder of the socket of a server that works in `folder`.
#[must_use]
pub fn socket(folder: &Path) -> PathBuf {
    let real = real(folder);
    if real.join(NAME).as_os_str().len() <= LONGEST {
        return real;
    }
    PathBuf::from(format!("/tmp/.pgbackrest-guard-{:08x}", crc32fast::hash(real.as_os_str().as_bytes())))
}

/// Makes it, and the link to it where it needs one.
///
/// # Errors
/// When it can't be made, or something else has the link's name.
pub fn make_socket(folder: &Path) -> io::Result<()> {
    let (real, socket) = (real(folder), socket(folder));
    durable::create_private_folder(&real)?;
    if socket == real || leads_to(&socket, &real) {
        return Ok(());
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", socket.display()));
    symlink(&real, &socket).map_err(named)
}

/// Removes the link, if there is one; the folder stays.
///
/// # Errors
/// When it can't be removed.
pub fn unlink_socket(folder: &Path) -> io::Result<()> {
    let (real, socket) = (real(folder), socket(folder));
    if socket != real && leads_to(&socket, &real) { fs::remove_file(&socket) } else { Ok(()) }
}

fn real(folder: &Path) -> PathBuf {
    folder.join(OsStr::new("socket"))
}

fn leads_to(link: &Path, to: &Path) -> bool {
    fs::read_link(link).is_ok_and(|there| there == to)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_path_needs_a_link() {
        let folder = tempfile::tempdir().unwrap();
        make_socket(folder.path()).unwrap();
        assert_eq!(socket(folder.path()), folder.path().join("socket"));
        let fits = LONGEST - "/socket/".len() - NAME.len() - 1;
        for (length, is_linked) in [(fits, false), (fits + 1, true)] {
            assert_eq!(socket(Path::new(&format!("/{}", "x".repeat(length)))).starts_with("/tmp"), is_linked);
        }

        let long = folder.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let link = socket(&long);
        for _ in 0..2 {
            make_socket(&long).unwrap();
            assert_eq!(fs::canonicalize(&link).unwrap(), fs::canonicalize(long.join("socket")).unwrap());
        }
        unlink_socket(&long).unwrap();
        unlink_socket(&long).unwrap();
        assert!(link.symlink_metadata().is_err() && long.join("socket").is_dir());
        // What is not ours stays.
        fs::write(&link, "x").unwrap();
        let why = make_socket(&long).unwrap_err();
        assert!(why.to_string().contains(link.to_str().unwrap()), "{why}");
        unlink_socket(&long).unwrap();
        assert!(link.exists());
        fs::remove_file(link).unwrap();
    }
}
