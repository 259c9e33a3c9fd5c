//! The note of the catalog: what it keeps, what it forgets, and which backups are usable.

use super::*;

fn entry(label: &str, needs: &[&str]) -> Entry {
    let segment = "000000010000000000000002".parse().ok();
    Entry {
        label: label.to_owned(),
        kind: if needs.is_empty() { "full" } else { "diff" }.to_owned(),
        repository: 1,
        start: segment,
        stop: segment,
        stop_lsn: Some(Lsn(0x0200_0100)),
        started_at: 10,
        ended_at: 20,
        damaged: false,
        needs: needs.iter().map(|label| (*label).to_owned()).collect(),
    }
}

#[test]
fn a_backup_is_usable_only_with_all_that_it_needs() {
    let mut known = Known { at: 1, backups: vec![entry("F", &[]), entry("FD", &["F"])], archives: Vec::new() };
    let unusable = |known: &Known| known.backups.iter().map(|entry| known.unusable(entry)).collect::<Vec<_>>();
    assert_eq!(unusable(&known), [None, None]);
    known.backups[0].repository = 2;
    assert_eq!(unusable(&known), [None, Some("a backup that it needs is missing")], "in another repository");
    known.backups[0].repository = 1;
    known.backups[0].damaged = true;
    assert_eq!(unusable(&known), [Some("pages of it are damaged"), Some("a backup that it needs is damaged")]);
    known.backups[0] = Entry { stop: None, ..entry("F", &[]) };
    assert_eq!(unusable(&known)[0], Some("it names no WAL"));
    assert_eq!((known.newest(true), known.newest(false)), (Some(20), Some(20)));
}

#[test]
fn an_inconclusive_answer_keeps_what_is_known_and_since_when() {
    let inconclusive =
        info::CatalogAnswer::Inconclusive { why: "no answer".to_owned(), doubt: info::Doubt::Unreadable };
    let mut record = Record { known: Some(Known::default()), ..Record::default() };
    record.note(&inconclusive, None, 7, 100);
    record.note(&inconclusive, None, 7, 200);
    let check = record.check.clone().unwrap();
    assert_eq!((check.finding, check.at, check.inconclusive_since), (Finding::Inconclusive, 200, Some(100)));
    assert_eq!((check.detail.as_deref(), record.known.is_some()), (Some("no answer"), true));
    record.note(&info::CatalogAnswer::Absent, None, 7, 300);
    assert_eq!(record.check.as_ref().map(|check| check.inconclusive_since), Some(None));
    assert!(record.forget_absence() && !record.forget_absence() && record.check.is_none());
}

#[test]
fn a_record_is_read_back_and_its_commits_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Record::read(folder.path()).unwrap(), None);
    let mut record = Record::default();
    for number in 0..600_u64 {
        let segment = SegmentName::from_number(crate::wal::Timeline(1), number, crate::wal::SegmentSize::DEFAULT);
        let commit = SeenCommit { segment: segment.unwrap(), lsn: number, at: 1 };
        assert!(record.note_commit(commit) && !record.note_commit(commit));
    }
    assert_eq!(record.commits.len(), COMMITS_KEPT);
    record.write(folder.path()).unwrap();
    assert_eq!(Record::read(folder.path()).unwrap(), Some(record));
    durable::publish(&folder.path().join(FILE_NAME), b"{\"check\":").unwrap();
    assert!(Record::read(folder.path()).is_err());
}
