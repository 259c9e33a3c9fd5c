//! Which path in the repository belongs to a cluster.
//!
//! `<WAL_ARCHIVE_PATH>/cluster-<system identifier>`: a wiped volume with the same bucket is another cluster and gets a
//! path of its own, so both histories stay readable. A noted path is kept while it belongs to this cluster, whatever
//! `WAL_ARCHIVE_PATH` says by now, because its history lies there.

/// What a path's last part begins with.
const PREFIX: &str = "cluster-";

/// What becomes of the noted path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryPath {
    /// It is this cluster's.
    Kept(String),
    /// None was noted: this one is taken.
    Adopted(String),
    /// It was another cluster's, as after `pg_upgrade` or a new initdb.
    Replaced {
        /// The one that is taken.
        path: String,
        /// The other cluster's.
        old: String,
    },
}

impl RepositoryPath {
    /// The path in force.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Kept(path) | Self::Adopted(path) | Self::Replaced { path, .. } => path,
        }
    }
}

/// Decides it. `base` is `WAL_ARCHIVE_PATH`, absolute, without a slash at its end.
#[must_use]
pub fn repository_path(base: &str, system_id: u64, noted: Option<&str>) -> RepositoryPath {
    let own = format!("{base}/{PREFIX}{system_id}");
    match noted.map(|path| (path, identifier(path))) {
        None => RepositoryPath::Adopted(own),
        // A path that names no cluster was chosen by a person.
        Some((path, None)) => RepositoryPath::Kept(path.to_owned()),
        Some((path, Some(digits))) if digits == system_id.to_string() => RepositoryPath::Kept(path.to_owned()),
        Some((path, Some(_))) => RepositoryPath::Replaced { path: own, old: path.to_owned() },
    }
}

/// The system identifier in a path; the scripts appended `-<seconds>` when they moved an archive.
fn identifier(path: &str) -> Option<&str> {
    let rest = path.split('/').rev().find_map(|part| part.strip_prefix(PREFIX))?;
    let digits = rest.split('-').next()?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_while_it_is_this_clusters() {
        for noted in ["/a/cluster-7", "/b/cluster-7-1763800000", "/a/cluster-7/deeper", "/chosen", "/a/cluster-x"] {
            assert_eq!(repository_path("/a", 7, Some(noted)), RepositoryPath::Kept(noted.to_owned()));
        }
        assert_eq!(repository_path("/a", 7, None), RepositoryPath::Adopted("/a/cluster-7".to_owned()));
        for old in ["/a/cluster-77", "/a/cluster-8", "/a/cluster-8-7", "/a/cluster-07"] {
            let replaced = RepositoryPath::Replaced { path: "/a/cluster-7".to_owned(), old: old.to_owned() };
            assert_eq!(repository_path("/a", 7, Some(old)), replaced, "{old}");
        }
    }
}
