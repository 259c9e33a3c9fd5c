//! The newest commit in a segment, and when it was.
//!
//! A page of WAL begins with a header of 24 bytes, the segment's first with one of 40 (`access/xlog_internal.h`, PostgreSQL
//! 13 to 18): flags at 2, its own address at 8, at 16 how many bytes of a record that began earlier follow. Records lie
//! on 8-byte boundaries and go on across pages (`access/xlogrecord.h`): length at 0, info at 16, resource manager at 17,
//! then after 24 bytes the headers of their parts, then the main data. A commit or an abort (resource manager 1,
//! `access/xact.h`) has its time in the first 8 bytes of that, in microseconds since 2000. A recovery to a time stops
//! before either.
//!
//! Because each page says where its first record begins, the pages are read from the last one back, and usually few of
//! them. Only whole segments are given to this: nothing in them is being written.

use super::SegmentSize;

/// Bytes of a page; other sizes need a PostgreSQL that was built so, and are not read.
pub const PAGE: usize = 8192;
/// The header of a record.
const RECORD_HEADER: usize = 24;
/// What is looked at of a record: its header, the headers of its parts, and its first data.
const LOOKED_AT: usize = RECORD_HEADER + 32;
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
    let pages = size.bytes() / PAGE as u64;
    let mut after: Vec<u8> = Vec::new();
    for number in (0..pages).rev().take(most) {
        let bytes = page(number)?;
        let address = start + number * PAGE as u64;
        let Some(header) = Header::of(bytes.as_slice(), address) else {
            // Behind a switch of the segment there may be nothing.
            after.clear();
            continue;
        };
        let left = size.bytes() - (number + 1) * PAGE as u64;
        if let Some(end) = newest_on(bytes.as_slice(), &header, address, &after, left) {
            return Some(end);
        }
        let data = bytes.get(header.length..).unwrap_or_default();
        after = data.iter().take(LOOKED_AT).copied().collect();
    }
    None
}

/// A page's header, as far as it counts.
struct Header {
    length: usize,
    /// Bytes of a record that began on an earlier page.
    continued: usize,
}

impl Header {
    /// Reads it; `None` for a page that is not the one at this address.
    fn of(page: &[u8], address: u64) -> Option<Self> {
        let flags = u16::from_ne_bytes(field(page, 2)?);
        if u64::from_ne_bytes(field(page, 8)?) != address {
            return None;
        }
        let length = if flags & 2 == 0 { 24 } else { 40 };
        let continued = usize::try_from(u32::from_ne_bytes(field(page, 16)?)).ok()?;
        Some(Self { length, continued: if flags & 1 == 0 { 0 } else { continued } })
    }
}

/// The newest end that begins on a page. `after` is the beginning of the next page's data, `left` how many bytes of the
/// segment follow this page.
fn newest_on(page: &[u8], header: &Header, address: u64, after: &[u8], left: u64) -> Option<End> {
    let mut at = header.length.checked_add(aligned(header.continued)?)?;
    let mut newest = None;
    while let Some(length) = field(page, at).map(u32::from_ne_bytes).and_then(|length| usize::try_from(length).ok()) {
        if length < RECORD_HEADER {
            break;
        }
        let bytes = page.get(at..).unwrap_or_default().iter().chain(after);
        let record: Vec<u8> = bytes.take(length.min(LOOKED_AT)).copied().collect();
        let room = (PAGE - at) as u64 + left / PAGE as u64 * (PAGE - 24) as u64;
        if let Some(before) = time_of(&record).filter(|_| length as u64 <= room) {
            newest = Some(End { lsn: address + at as u64, before });
        }
        at = at.checked_add(aligned(length)?)?;
    }
    newest
}

/// The last whole second before a commit or an abort, if the record is one.
fn time_of(record: &[u8]) -> Option<i64> {
    let (info, manager) = (record.get(16)?, record.get(17)?);
    if *manager != TRANSACTIONS || !ENDS.contains(&(info & OPERATION)) {
        return None;
    }
    let mut at = RECORD_HEADER;
    loop {
        // `XLR_BLOCK_ID_*`: an origin, a top-level transaction, then the main data's length, long or short.
        match record.get(at)? {
            253 => at += 3,
            252 => at += 5,
            254 => break at += 5,
            255 => break at += 2,
            _ => return None,
        }
    }
    let microseconds = i64::from_ne_bytes(field(record, at)?);
    microseconds.checked_sub(1)?.div_euclid(1_000_000).checked_add(EPOCH)
}

/// The next multiple of 8 (`MAXALIGN`).
fn aligned(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(8)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 5 << 20;

    fn size() -> SegmentSize {
        SegmentSize::try_from(1 << 20).unwrap()
    }

    /// A record whose main data are these bytes.
    fn record(manager: u8, info: u8, parts: &[u8], data: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER];
        record.extend(parts);
        record.extend([255, u8::try_from(data.len()).unwrap()]);
        record.extend(data);
        let length = u32::try_from(record.len()).unwrap();
        record[..4].copy_from_slice(&length.to_ne_bytes());
        (record[16], record[17]) = (info, manager);
        record
    }

    fn commit(second: i64) -> Vec<u8> {
        record(TRANSACTIONS, 0x80, &[], &((second - EPOCH) * 1_000_000 + 5).to_ne_bytes())
    }

    /// A segment of these records, one after the other; what follows is zero.
    fn segment(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        let header = |bytes: &mut Vec<u8>, continued: usize| {
            let length = if bytes.is_empty() { 40 } else { 24 };
            let mut page = vec![0; length];
            let flags = u16::from(continued > 0) | if length == 40 { 2 } else { 0 };
            page[2..4].copy_from_slice(&flags.to_ne_bytes());
            page[8..16].copy_from_slice(&(START + bytes.len() as u64).to_ne_bytes());
            page[16..20].copy_from_slice(&u32::try_from(continued).unwrap().to_ne_bytes());
            bytes.extend(page);
        };
        for record in records {
            while !bytes.len().is_multiple_of(8) {
                bytes.push(0);
            }
            for (at, byte) in record.iter().enumerate() {
                if bytes.len().is_multiple_of(PAGE) {
                    header(&mut bytes, if at == 0 { 0 } else { record.len() - at });
                }
                bytes.push(*byte);
            }
        }
        bytes.resize(1 << 20, 0);
        bytes
    }

    fn found(bytes: &[u8]) -> Option<i64> {
        let mut page = |number: u64| {
            let at = usize::try_from(number).unwrap() * PAGE;
            bytes.get(at..at + PAGE).and_then(|page| <[u8; PAGE]>::try_from(page).ok()).map(Box::new)
        };
        newest(START, size(), usize::MAX, &mut page).map(|end| end.before)
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
