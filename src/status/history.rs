//! How timelines began: the history files in `pg_wal`.
//!
//! A history that still waits for archiving is not where a recovery finds it.

use crate::data_directory::DataDirectory;
use crate::decide::windows::Switch;
use crate::epoch;
use crate::ledger::DEFERRED;
use crate::ledger::state::State;
use crate::wal::{WalFile, parents};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The longest history that is read; a thousand timelines fit.
const LONGEST: u64 = 256 << 10;

/// How each timeline began whose history is archived, by its number.
pub(super) fn switches(directory: &DataDirectory, state_dir: &Path, state: &State) -> BTreeMap<u32, Switch> {
    let mut switches = BTreeMap::new();
    for entry in fs::read_dir(directory.pg_wal()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(WalFile::History(timeline)) = name.parse::<WalFile>() else { continue };
        let waits = directory.archive_status().join(format!("{name}.ready")).exists();
        let Ok(file) = entry.metadata() else { continue };
        let is_deferred = state_dir.join(DEFERRED).join(&name).exists() || state.kept_files.contains(&name);
        if waits || is_deferred || file.len() > LONGEST {
            continue;
        }
        let text = fs::read(entry.path()).unwrap_or_default();
        // It is written at the switch, or fetched later.
        let at = file.modified().ok().and_then(epoch::seconds);
        let own = parents(&String::from_utf8_lossy(&text), timeline.0);
        for (child, (parent, lsn)) in own {
            let known = switches.entry(child).or_insert(Switch { parent, lsn, at: None });
            if child == timeline.0 {
                known.at = at;
            }
        }
    }
    switches
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for PostgreSQL")]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_waits_is_not_in_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        fs::create_dir_all(directory.archive_status()).unwrap();
        for timeline in 2..=4 {
            let name = format!("0000000{timeline}.history");
            fs::write(directory.pg_wal().join(name), format!("{}\t0/5000000\tx\n", timeline - 1)).unwrap();
        }
        fs::write(directory.archive_status().join("00000003.history.ready"), "").unwrap();
        let deferred = folder.path().join("state/deferred");
        fs::create_dir_all(&deferred).unwrap();
        fs::write(deferred.join("00000004.history"), "").unwrap();
        let found = switches(&directory, &folder.path().join("state"), &State::default());
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [2]);
        assert!(found[&2].at.is_some());
    }
}
