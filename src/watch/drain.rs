//! A batch of files that are pushed again together, and what became of each.
//!
//! A lost segment often still lies in `pg_wal` until a checkpoint recycles it under another name (xlog.c,
//! `RemoveOldXlogFiles`), and PostgreSQL may do so while it is being read: so it is copied first, and the copy counts only if
//! afterwards the file still has its name and its first page still says that it is itself. What is kept in a folder of ours
//! nobody changes, and a link is enough. A few files are pushed one by one, more of them by one process
//! ([`crate::pgbackrest::drain`]). Each counts as stored when pgBackRest has said so without a drop, every repository lists
//! it, and what had been there under its name before has the same content.

use super::calls::{Archive, MESSAGE_LENGTH, NotStored};
use super::candidates::{Candidate, Place, is_itself};
use super::cluster::Cluster;
use super::compare::holds_the_same;
use super::listed::Listed;
use super::not_healed::NotHealed;
use crate::checkpoint;
use crate::decide::heal::Trouble;
use crate::durable;
use crate::pgbackrest::{Drain, Failure, Fetched, Pushed};
use crate::wal::WalFile;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The folder of a batch, in that of the copies.
const MANY: &str = "many";
/// So many files are pushed one by one.
pub(super) const FEW: usize = 3;

/// A file and what became of it.
pub(super) type Outcome = (Candidate, Result<(), NotHealed>);

/// Pushes a batch. What had no turn is not among the outcomes.
pub(super) fn push_batch(
    cluster: &Cluster,
    batch: Vec<Candidate>,
    archives: &[Archive],
) -> Result<Vec<Outcome>, NotHealed> {
    let local = |error: io::Error| NotHealed::Local(format!("files can't be made ready to be pushed: {error}"));
    let folder = cluster.copies();
    durable::create_private_folder(&folder).map_err(local)?;
    let drain = cluster.client.begin_drain(&folder.join(MANY), cluster.directory().path()).map_err(local)?;
    // Another watcher of this cluster is at it.
    let Some(drain) = drain else { return Ok(Vec::new()) };
    let (mut outcomes, mut ready) = (Vec::new(), Vec::new());
    for candidate in batch {
        match provide(cluster, &drain, &candidate) {
            Ok(()) => ready.push(candidate),
            Err(why) => outcomes.push((candidate, Err(why))),
        }
    }
    checkpoint::reached("repair-copied");
    let list = |ready: &[Candidate]| {
        let files = ready.iter().map(|candidate| &candidate.file);
        Listed::of(cluster, archives, files).map_err(NotStored::NoListing)
    };
    let before = if cluster.client.says_what_existed() { Listed::default() } else { list(&ready)? };
    let mut pushed = push(cluster, &drain, &ready);
    let after = list(&ready)?;
    for candidate in ready {
        let file = candidate.file;
        let Some(answer) = pushed.remove(&file.to_string()) else { continue };
        let copy = drain.copies().join(file.to_string());
        let proof = proof(answer, &after, &file, archives).and_then(|existed| {
            let existed = existed || before.shows(&file);
            if existed { holds_the_same(cluster, archives, &after, (&file, &copy)) } else { Ok(()) }
        });
        outcomes.push((candidate, proof));
    }
    Ok(outcomes)
}

/// Pushes what is ready: by one process, or one by one. What had no turn is left out.
fn push(cluster: &Cluster, drain: &Drain, ready: &[Candidate]) -> BTreeMap<String, Result<Pushed, Failure>> {
    let names: Vec<String> = ready.iter().map(|candidate| candidate.file.to_string()).collect();
    if names.len() > FEW {
        let drained = cluster.drain(drain, &names);
        if !drained.files.is_empty() {
            return drained.files;
        }
        if let Some(why) = drained.failure {
            tracing::debug!("not pushed together: {}", why.shown(MESSAGE_LENGTH));
        }
    }
    let mut pushed = BTreeMap::new();
    for name in names {
        if cluster.must_end() {
            break;
        }
        let answer = cluster.push(&drain.copies().join(&name));
        let stops = answer
            .as_ref()
            .is_err_and(|failure| !failure.code().is_some_and(|code| Trouble::Code(code).is_about_the_file()));
        pushed.insert(name, answer);
        if stops {
            break;
        }
    }
    pushed
}

/// Whether a file is proven to be stored; true where pgBackRest says that it was there already.
fn proof(
    answer: Result<Pushed, Failure>,
    after: &Listed,
    file: &WalFile,
    archives: &[Archive],
) -> Result<bool, NotHealed> {
    let answer = answer.map_err(NotStored::Failed)?;
    if !answer.dropped.is_empty() {
        return Err(NotStored::Dropped.into());
    }
    if archives.is_empty() {
        return Err(NotStored::NoArchive.into());
    }
    after.lacking(file, archives).map_or(Ok(answer.existed), |repository| Err(NotStored::NotListed(repository).into()))
}

/// Puts a file into the drain and marks it: a link to what nobody changes, or a copy.
fn provide(cluster: &Cluster, drain: &Drain, candidate: &Candidate) -> Result<(), NotHealed> {
    let failed = |error: io::Error| NotHealed::Local(format!("can't copy it: {error}"));
    let name = candidate.file.to_string();
    let copy = drain.copies().join(&name);
    match candidate.place {
        Place::Saved => {
            let path = std::path::absolute(&candidate.path).map_err(failed)?;
            std::os::unix::fs::symlink(path, &copy).map_err(failed)?;
        }
        Place::PgWal => copy_from(cluster, &candidate.path, &candidate.file, &copy)?,
        Place::Repository(key) => fetch_from(cluster, key, &candidate.file, &copy)?,
    }
    drain.mark(&name).map_err(failed)
}

/// What a repository has, fetched for those that are owed it, and known to be the file it is named after.
fn fetch_from(cluster: &Cluster, repository: u32, file: &WalFile, copy: &Path) -> Result<(), NotHealed> {
    let why = match cluster.fetch(file, copy, repository) {
        Fetched::Delivered if file.losable().is_some_and(|(segment, _)| is_itself(cluster, segment, copy)) => {
            return Ok(());
        }
        Fetched::Delivered => "it is not the segment that its name says".to_owned(),
        Fetched::Absent => "it is no longer there".to_owned(),
        Fetched::Unclear { failure, .. } => failure.shown(MESSAGE_LENGTH),
    };
    let _ = fs::remove_file(copy);
    Err(NotHealed::Local(format!("it can't be fetched from repository {repository}: {why}")))
}

/// A copy that PostgreSQL can't recycle, and that is known to be the file it is named after.
fn copy_from(cluster: &Cluster, path: &Path, file: &WalFile, copy: &Path) -> Result<(), NotHealed> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => NotHealed::Recycled,
        _ => NotHealed::Local(format!("can't copy it: {error}")),
    };
    let mut source = File::open(path).map_err(failed)?;
    let inode = source.metadata().map_err(failed)?.ino();
    durable::copy_for_now(&mut source, copy).map_err(failed)?;
    let unchanged = path.metadata().is_ok_and(|metadata| metadata.ino() == inode);
    if unchanged && file.losable().is_some_and(|(segment, _)| is_itself(cluster, segment, copy)) {
        return Ok(());
    }
    let _ = fs::remove_file(copy);
    Err(NotHealed::Recycled)
}
