//! A file that has no name on disk, and goes with the process.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

pub(super) struct Scratch {
    file: OwnedFd,
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let file = memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a file in memory");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Self { file, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn set_length(&self, length: u64) {
        ftruncate(&self.file, length).expect("another length");
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) {
        assert_eq!(pwrite(&self.file, bytes, at), Ok(bytes.len()));
    }

    /// So many bytes; fewer where it ends before.
    pub(super) fn read(&self, length: usize, at: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = pread(&self.file, &mut bytes, at).expect("bytes");
        bytes.truncate(read);
        bytes
    }
}
