//! What the repositories list of a few files: the proof that a push has arrived, and what was there before.

use super::calls::Archive;
use super::cluster::Cluster;
use crate::pgbackrest::NoListing;
use crate::wal::{WalFile, listed};
use std::collections::{BTreeMap, BTreeSet};

/// The names under which each repository lists some files.
#[derive(Debug, Default)]
pub(super) struct Listed(BTreeMap<WalFile, BTreeMap<u32, String>>);

impl Listed {
    /// Asks every repository, a folder a call.
    pub(super) fn of<'f>(
        cluster: &Cluster,
        archives: &[Archive],
        files: impl Iterator<Item = &'f WalFile>,
    ) -> Result<Self, NoListing> {
        let files: BTreeSet<WalFile> = files.copied().collect();
        let folders: BTreeSet<Option<String>> = files.iter().map(folder).collect();
        let stanza = cluster.client.stanza();
        let mut all = Self::default();
        for archive in archives {
            for folder in &folders {
                let path =
                    folder.as_ref().map_or_else(|| archive.path(stanza), |folder| archive.folder(stanza, folder));
                for line in cluster.list(archive.repository, &path)?.lines() {
                    let Some(file) = listed(line).filter(|file| files.contains(file)) else { continue };
                    all.0.entry(file).or_default().insert(archive.repository, format!("{path}/{line}"));
                }
            }
        }
        Ok(all)
    }

    /// The path under which a repository lists a file.
    pub(super) fn path(&self, file: &WalFile, repository: u32) -> Option<&str> {
        self.0.get(file)?.get(&repository).map(String::as_str)
    }

    /// The first repository that does not list a file.
    pub(super) fn lacking(&self, file: &WalFile, archives: &[Archive]) -> Option<u32> {
        archives.iter().map(|archive| archive.repository).find(|repository| self.path(file, *repository).is_none())
    }

    /// Whether any repository lists a file.
    pub(super) fn shows(&self, file: &WalFile) -> bool {
        self.0.contains_key(file)
    }
}

/// The folder of the archive in which a file lies; a history lies right in it.
fn folder(file: &WalFile) -> Option<String> {
    match file {
        WalFile::History(_) => None,
        other => other.to_string().get(..16).map(str::to_owned),
    }
}
