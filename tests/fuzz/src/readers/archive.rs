//! What pgBackRest says of an archive: the answer of `info`, and the listing of a folder.

use pgbackrest_guard::decide::walk;
use pgbackrest_guard::pgbackrest::info::{CatalogAnswer, Stanza};
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline, WalFile, listed};

/// The cluster of the samples.
const SYSTEM: u64 = 7_576_512_345_678_901_234;

pub(super) fn info(bytes: &[u8]) {
    let Some(stanza) = Stanza::parse(bytes, "main") else { return };
    let good: Vec<_> = stanza.good_backups(SYSTEM).collect();
    assert!(good.iter().all(|backup| backup.error != Some(true)), "a damaged backup is never good");
    match stanza.catalog(SYSTEM, &[1, 2]) {
        CatalogAnswer::Present(newest) => {
            assert!(newest.full <= newest.any && good.iter().any(|backup| backup.kind == "full"), "{newest:?}");
        }
        CatalogAnswer::Absent => {
            let empty = stanza.repo.iter().all(|repository| repository.status.code == 2);
            assert!(empty && stanza.repo.len() > 1, "absent only where every repository says so: {:?}", stanza.repo);
        }
        CatalogAnswer::Inconclusive { why, .. } => assert!(!why.is_empty()),
    }
    for key in [1, 2] {
        assert!(stanza.walk_starts(SYSTEM, key).is_sorted());
        assert!(!stanza.lacks_a_full(SYSTEM, key) || stanza.is_readable(key));
        let _ = (stanza.must_list_from(SYSTEM, key), stanza.newest_segment(SYSTEM, key));
    }
}

/// The listing of timeline 1's folders, of a cluster with segments of 16 MiB.
pub(super) fn listing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let Some(file) = listed(line) else { continue };
        assert_eq!(file.to_string().parse::<WalFile>().ok(), Some(file), "a name is what it says");
        let name = line.rsplit('/').next().unwrap_or_default();
        assert!(name.starts_with(&file.to_string()) && !name.contains(".pgbackrest.tmp"), "{line} shows {file}");
    }
    for number in walk::listed(&text, 1, SegmentSize::DEFAULT) {
        let name = SegmentName::from_number(Timeline(1), number, SegmentSize::DEFAULT);
        assert!(name.is_some_and(|name| text.contains(&name.to_string())), "{number} stands for no name in {text:?}");
    }
}
