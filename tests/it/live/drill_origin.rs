//! What a drill must leave as it was: everything of its origin's.

use super::watch::{Scene, WAIT};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that is the origin's, by names, with what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The stanza's files in the repository: `.info` files, backups, WAL.
    repository: BTreeMap<String, Vec<u8>>,
    /// pgBackRest's spool, locks and logs of the cluster.
    own: BTreeMap<PathBuf, Vec<u8>>,
    /// What was archived and what waits, by `pg_wal/archive_status`.
    marks: BTreeMap<PathBuf, Vec<u8>>,
    /// The ledger, the stamps, the marker and the note of the catalog. The drill's own record is none of it.
    notes: BTreeMap<PathBuf, Vec<u8>>,
    /// What lies in the laboratory beside the origin.
    beside: Vec<String>,
}

impl Origin {
    /// Looks at it, once nothing of the archiver's is at work any more.
    pub(crate) fn of(scene: &Scene) -> Self {
        let is_at_work = || scene.lab.processes().iter().any(|process| process.command.contains("archive-push"));
        scene.cluster.wait_until("the archiver is done", WAIT, || !is_at_work());
        let pgdata = scene.cluster.pgdata();
        let is_note = |path: &Path| path.file_name().is_none_or(|name| name != "drill.json");
        let mut notes = below(&pgdata.join(".pgbackrest_guard"));
        notes.retain(|path, _| is_note(path));
        for name in [".pgbackrest_backup_state", ".pgbackrest_gap_pending"] {
            notes.extend(fs::read(pgdata.join(name)).ok().map(|bytes| (PathBuf::from(name), bytes)));
        }
        let objects = scene.s3.objects("wal").into_iter();
        let beside = fs::read_dir(scene.lab.path()).unwrap().flatten();
        let mut beside: Vec<String> = beside.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        beside.retain(|name| name != "pgbackrest-guard-drill");
        beside.sort();
        Self {
            repository: objects.map(|key| (key.clone(), scene.s3.object_bytes("wal", &key))).collect(),
            own: below(scene.backrest.config_file().parent().unwrap()),
            marks: below(&scene.cluster.pg_wal().join("archive_status")),
            notes,
            beside,
        }
    }

    /// That nothing of it has changed.
    #[track_caller]
    pub(crate) fn is_untouched(&self, scene: &Scene) {
        let now = Self::of(scene);
        assert!(self.repository.len() > 3 && !self.own.is_empty() && !self.marks.is_empty() && !self.notes.is_empty());
        let names = |origin: &Self| origin.repository.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(self));
        assert!(now.repository == self.repository, "a file in the repository has other content");
        let own = |origin: &Self| origin.own.keys().cloned().collect::<Vec<_>>();
        assert_eq!(own(&now), own(self));
        assert!(now.own == self.own, "a file of the spool, the locks or the logs has other content");
        assert_eq!(now.marks, self.marks);
        assert_eq!(now.notes.keys().collect::<Vec<_>>(), self.notes.keys().collect::<Vec<_>>());
        assert!(now.notes == self.notes, "a file of the state directory has other content");
        assert_eq!(now.beside, self.beside);
    }
}

/// Every file below a folder.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.extend(fs::read(entry.path()).ok().map(|bytes| (entry.path(), bytes)));
            }
        }
    }
    found
}
