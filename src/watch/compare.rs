//! Comparing: what a repository has under a file's name is fetched and held against the file, byte by byte.
//!
//! pgBackRest compares names, and the checksum in a name is that of what it read before it copied. A process that still held
//! a segment when PostgreSQL recycled it has stored other bytes under the old name; two servers that archive to one stanza
//! give one name to two segments. So where a file was there already, nothing is closed and no copy is deleted before its
//! content was seen.

use super::calls::{Archive, MESSAGE_LENGTH};
use super::cluster::Cluster;
use super::listed::Listed;
use super::not_healed::NotHealed;
use crate::epoch;
use crate::log::Fields;
use crate::pgbackrest::Fetched;
use crate::wal::WalFile;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::Path;

/// Under this name a file is fetched to be compared.
const FETCHED: &str = "fetched";

/// Shows that every repository that lists a file has the same content as `path`.
pub(super) fn holds_the_same(
    cluster: &Cluster,
    archives: &[Archive],
    listed: &Listed,
    (file, path): (&WalFile, &Path),
) -> Result<(), NotHealed> {
    let to = cluster.copies().join(FETCHED);
    for archive in archives {
        let Some(there) = listed.path(file, archive.repository) else { continue };
        let _ = fs::remove_file(&to);
        let fetched = cluster.fetch(file, &to, archive.repository);
        let same = match fetched {
            Fetched::Delivered => is_same(path, &to),
            Fetched::Absent => Err(io::Error::other("it is listed, and pgBackRest does not find it")),
            Fetched::Unclear { failure, .. } => Err(io::Error::other(failure.shown(MESSAGE_LENGTH))),
        };
        let _ = fs::remove_file(&to);
        let why =
            |error| NotHealed::Local(format!("what repository {} has can't be compared: {error}", archive.repository));
        if !same.map_err(why)? {
            return Err(NotHealed::Differs { repository: archive.repository, there: there.to_owned() });
        }
    }
    Ok(())
}

/// Whether two files have the same bytes.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut bytes =
        BufReader::with_capacity(1 << 16, one).bytes().zip(BufReader::with_capacity(1 << 16, other).bytes());
    bytes.try_fold(true, |same, (one, other)| Ok(same && one? == other?))
}

/// Notes in the ledger that a repository holds other content under a file's name. What became of that, in words.
pub(super) fn note_in_ledger(cluster: &Cluster, file: &WalFile) -> String {
    let now = epoch::now();
    let mut is_new = false;
    let recorded = cluster.ledger.update(|state| {
        let size = cluster.primary.segment_size.unwrap_or_else(|| state.segment_size());
        state.segment_size = Some(size);
        is_new = state.gaps.differs(file, now, size);
    });
    if is_new {
        let text = format!("{}: the archive holds other content under {file}\n", jiff::Timestamp::now());
        let _ = crate::durable::write_marker(&cluster.directory().gap_marker(), &text);
    }
    match recorded {
        Err(error) => format!("that could not be recorded: {}", crate::log::chain(&error)),
        Ok(_) if file.losable().is_none() => "it is left where it is".to_owned(),
        Ok(_) => "a gap is recorded".to_owned(),
    }
}

/// The same, said with what to do. `kept` says where the right content is.
pub(super) fn note_differs(cluster: &Cluster, file: &WalFile, (repository, there): (u32, &str), kept: &Path) {
    let gap = note_in_ledger(cluster, file);
    let fields = Fields { repository: Some(repository), ..Fields::about(file) };
    fields.error(&format!(
        "repository {repository} holds other content under the name {file}, and {gap}. No restore can get past it. To \
         do: find out who else archives to this stanza; then remove {there} from the repository's storage, and the \
         watcher pushes the right file, which is at {}",
        kept.display()
    ));
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_when_every_byte_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let long = vec![7_u8; 200_000];
        let mut other = long.clone();
        other[199_999] = 8;
        for (name, bytes) in
            [("long", &long), ("again", &long), ("other", &other), ("short", &long[..199_999].to_vec())]
        {
            fs::write(path(name), bytes).unwrap();
        }
        let same = |one: &str, other: &str| is_same(&path(one), &path(other)).unwrap();
        assert!(same("long", "again") && !same("long", "other") && !same("long", "short"));
        assert!(is_same(&path("long"), &path("nowhere")).is_err());
    }
}
