//! The records of a segment, from the newest one back.
//!
//! A page of WAL begins with a header of 24 bytes, the segment's first with one of 40 (`access/xlog_internal.h`, PostgreSQL
//! 13 to 18): flags at 2, its own address at 8, at 16 how many bytes of a record that began earlier follow. Records lie
//! on 8-byte boundaries and go on across pages (`access/xlogrecord.h`): length at 0, info at 16, resource manager at 17,
//! then after 24 bytes the headers of their parts, then the main data.
//!
//! Because each page says where its first record begins, the pages are read from the last one back, and usually few of
//! them. Only what nobody writes to any more is given to this.

use super::SegmentSize;

/// Bytes of a page; other sizes need a PostgreSQL that was built so, and are not read.
pub const PAGE: usize = 8192;
/// The header of a record.
const HEADER: usize = 24;
/// What is looked at of a record: its header, the headers of its parts, and its first data.
const LOOKED_AT: usize = HEADER + 128;

/// A segment, as far as it counts.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Where the segment begins.
    pub start: u64,
    /// How long a segment is.
    pub size: SegmentSize,
    /// Records from here on don't count.
    pub before: u64,
    /// The most pages that are looked at.
    pub most: usize,
}

/// A record, as far as it is looked at.
pub(super) struct Record<'r> {
    /// Its resource manager.
    pub(super) manager: u8,
    /// What it is, to that.
    pub(super) info: u8,
    /// The beginning of its main data.
    pub(super) data: &'r [u8],
}

/// Finds the newest record that lies whole in the segment and is what `what` looks for, and where it begins.
///
/// `page` gives a page by its number, `None` where it can't be read.
pub(super) fn newest<T>(
    stretch: Stretch,
    page: &mut dyn FnMut(u64) -> Option<Box<[u8; PAGE]>>,
    what: &dyn Fn(&Record<'_>) -> Option<T>,
) -> Option<(u64, T)> {
    let Stretch { start, size, before, most } = stretch;
    let pages = before.min(start.saturating_add(size.bytes())).saturating_sub(start).div_ceil(PAGE as u64);
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
        let looked_at = Page { bytes: bytes.as_slice(), address, after: &after, left };
        if let Some(found) = looked_at.newest(&header, before, what) {
            return Some(found);
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

/// A page, and what follows it.
struct Page<'p> {
    bytes: &'p [u8],
    address: u64,
    /// The beginning of the next page's data.
    after: &'p [u8],
    /// How many bytes of the segment follow this page.
    left: u64,
}

impl Page<'_> {
    /// The newest record that begins on it, before `before`, and is what is looked for.
    fn newest<T>(&self, header: &Header, before: u64, what: &dyn Fn(&Record<'_>) -> Option<T>) -> Option<(u64, T)> {
        let mut at = header.length.checked_add(aligned(header.continued)?)?;
        let mut newest = None;
        while let Some(length) =
            field(self.bytes, at).map(u32::from_ne_bytes).and_then(|length| usize::try_from(length).ok())
        {
            let lsn = self.address + at as u64;
            if length < HEADER || lsn >= before {
                break;
            }
            let bytes = self.bytes.get(at..).unwrap_or_default().iter().chain(self.after);
            let bytes: Vec<u8> = bytes.take(length.min(LOOKED_AT)).copied().collect();
            let room = (PAGE - at) as u64 + self.left / PAGE as u64 * (PAGE - 24) as u64;
            if let Some(found) = record(&bytes).and_then(|record| what(&record)).filter(|_| length as u64 <= room) {
                newest = Some((lsn, found));
            }
            at = at.checked_add(aligned(length)?)?;
        }
        newest
    }
}

/// A record without parts that belong to a relation.
fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let (info, manager) = (*bytes.get(16)?, *bytes.get(17)?);
    let mut at = HEADER;
    loop {
        // `XLR_BLOCK_ID_*`: an origin, a top-level transaction, then the main data's length, long or short.
        match bytes.get(at)? {
            253 => at += 3,
            252 => at += 5,
            254 => break at += 5,
            255 => break at += 2,
            _ => return None,
        }
    }
    Some(Record { manager, info, data: bytes.get(at..)? })
}

/// The next multiple of 8 (`MAXALIGN`).
fn aligned(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(8)
}

/// Some bytes.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Segments that were made for a test.
#[cfg(test)]
pub(crate) mod made {
    use super::{HEADER, PAGE};
    use crate::wal::SegmentSize;

    pub(crate) const START: u64 = 5 << 20;

    pub(crate) fn size() -> SegmentSize {
        SegmentSize::try_from(1 << 20).unwrap()
    }

    /// A record whose main data are these bytes.
    pub(crate) fn record(manager: u8, info: u8, parts: &[u8], data: &[u8]) -> Vec<u8> {
        let mut record = vec![0; HEADER];
        record.extend(parts);
        record.extend([255, u8::try_from(data.len()).unwrap()]);
        record.extend(data);
        let length = u32::try_from(record.len()).unwrap();
        record[..4].copy_from_slice(&length.to_ne_bytes());
        (record[16], record[17]) = (info, manager);
        record
    }

    /// A segment of these records, one after the other; what follows is zero.
    pub(crate) fn segment(records: &[Vec<u8>]) -> Vec<u8> {
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

    /// A page of a segment.
    pub(crate) fn page(bytes: &[u8], number: u64) -> Option<Box<[u8; PAGE]>> {
        let at = usize::try_from(number).unwrap() * PAGE;
        bytes.get(at..at + PAGE).and_then(|page| <[u8; PAGE]>::try_from(page).ok()).map(Box::new)
    }
}
