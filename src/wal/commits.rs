//! The newest commit in a segment, and when it was.
//!
//! A commit or an abort (resource manager 1, `access/xact.h`) has its time in the first 8 bytes of its main data, in
//! microseconds since 2000. A recovery to a time stops before either. Only whole segments are given to this: nothing in
//! them is being written.

use super::SegmentSize;
pub use super::records::PAGE;
use super::records::{self, Record, Stretch, field};

/// `RM_XACT_ID`.
const TRANSACTIONS: u8 = 1;
/// Commit, abort, and both of a prepared transaction, under `XLOG_XACT_OPMASK`.
const ENDS: [u8; 4] = [0x00, 0x20, 0x30, 0x40];
const OPERATION: u8 = 0x70;
/// Seconds from 1970 to 2000.
const EPOCH: i64 = 946_684_800;

/// A commit or an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Where its record begins.
    pub lsn: u64,
    /// The last whole second before it, since 1970: a recovery to that second stops before it.
    pub before: i64,
}

/// Finds the newest commit or abort whose record lies whole in the segment that begins at `start`.
///
/// `page` gives a page by its number, `None` where it can't be read; at most `most` pages are asked for.
pub fn newest(
    start: u64,
    size: SegmentSize,
    most: usize,
    page: &mut dyn FnMut(u64) -> Option<Box<[u8; PAGE]>>,
) -> Option<End> {
    let stretch = Stretch { start, size, before: u64::MAX, most };
    records::newest(stretch, page, &time_of).map(|(lsn, before)| End { lsn, before })
}

/// The last whole second before a commit or an abort, if the record is one.
fn time_of(record: &Record<'_>) -> Option<i64> {
    if record.manager != TRANSACTIONS || !ENDS.contains(&(record.info & OPERATION)) {
        return None;
    }
    let microseconds = i64::from_ne_bytes(field(record.data, 0)?);
    microseconds.checked_sub(1)?.div_euclid(1_000_000).checked_add(EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::made::{START, page, record, segment, size};

    fn commit(second: i64) -> Vec<u8> {
        record(TRANSACTIONS, 0x80, &[], &((second - EPOCH) * 1_000_000 + 5).to_ne_bytes())
    }

    fn found(bytes: &[u8]) -> Option<i64> {
        newest(START, size(), usize::MAX, &mut |number| page(bytes, number)).map(|end| end.before)
    }

    #[test]
    fn the_newest_commit_is_found_wherever_its_record_lies() {
        let other = |length: usize| record(10, 0, &[], &vec![7; length.min(200)]);
        // Every place of a page's end inside the record, and of the record behind a long one.
        for filler in 0..120 {
            let mut records = vec![commit(1_000_000_000)];
            records.extend(std::iter::repeat_n(other(200), 34));
            records.push(other(filler));
            records.push(commit(1_700_000_000));
            records.push(other(3));
            assert_eq!(found(&segment(&records)), Some(1_700_000_000), "{filler}");
        }
    }

    #[test]
    fn aborts_and_prepared_transactions_count_and_other_records_do_not() {
        let time = (1_600_000_000_i64 - EPOCH) * 1_000_000 + 1;
        for (manager, info, expected) in [
            (TRANSACTIONS, 0x20, Some(1_600_000_000)),
            (TRANSACTIONS, 0x30, Some(1_600_000_000)),
            (TRANSACTIONS, 0xC0, Some(1_600_000_000)),
            (TRANSACTIONS, 0x10, None),
            (TRANSACTIONS, 0x50, None),
            (0, 0x00, None),
        ] {
            assert_eq!(found(&segment(&[record(manager, info, &[], &time.to_ne_bytes())])), expected, "{info:x}");
        }
        let origin = record(TRANSACTIONS, 0, &[253, 1, 0, 252, 1, 2, 3, 4], &time.to_ne_bytes());
        assert_eq!(found(&segment(&[origin])), Some(1_600_000_000));
        let at_a_whole_second = (1_600_000_000_i64 - EPOCH) * 1_000_000;
        let exactly = record(TRANSACTIONS, 0, &[], &at_a_whole_second.to_ne_bytes());
        assert_eq!(found(&segment(&[exactly])), Some(1_599_999_999), "a recovery to its own second would go past it");
    }

    #[test]
    fn a_record_that_goes_on_in_the_next_segment_does_not_count() {
        let mut records = vec![commit(1_600_000_000)];
        // 208 bytes each, up to shortly before the end.
        records.extend(std::iter::repeat_n(record(10, 0, &[], &[7; 180]), ((1 << 20) - 127 * 24 - 40) / 208 - 3));
        let whole = segment(&records).iter().rposition(|byte| *byte != 0).unwrap();
        let mut last = record(TRANSACTIONS, 0, &[], &[1; 8]);
        last[..4].copy_from_slice(&u32::try_from((1 << 20) - whole + 100).unwrap().to_ne_bytes());
        records.push(last);
        assert_eq!(found(&segment(&records)), Some(1_600_000_000));
    }

    #[test]
    fn what_is_no_wal_holds_none() {
        assert_eq!(found(&vec![0; 1 << 20]), None);
        assert_eq!(found(&vec![0xFF; 1 << 20]), None);
        assert_eq!(found(&[]), None);
    }
}
