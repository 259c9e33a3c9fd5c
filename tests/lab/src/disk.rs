//! A small disk that can be filled to its last byte: a tmpfs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted tmpfs, unmounted again whatever happens.
pub struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

impl Disk {
    /// Mounts a tmpfs of so many MiB; `None`, and a line, without the right to.
    pub fn mount(folder: &Path, mebibytes: u64) -> Option<Self> {
        let options = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("skipped: a tmpfs can't be mounted here (root and CAP_SYS_ADMIN are needed)");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes until there is no room for another byte.
    pub fn fill(&self) {
        self.try_fill();
        assert!(fs::write(self.0.join("probe"), "x").is_err(), "the disk must be full");
        let _ = fs::remove_file(self.0.join("probe"));
    }

    /// The same where others write and remove files meanwhile, so that some bytes may be free again.
    pub fn try_fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.0.join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![b'x'; size];
            while filler.write_all(&block).is_ok() {}
        }
    }

    /// Takes away what [`Disk::fill`] wrote.
    pub fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    /// Whether what [`Disk::fill`] wrote is there.
    pub fn is_filled(&self) -> bool {
        self.0.join("filler").exists()
    }
}

/// Lazily: a file that is still open must not keep the mount.
pub(crate) fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(folder).stderr(Stdio::null()).status();
}
