//! PostgreSQL's own files: the first page of a segment, its commits and heartbeats, a timeline's history.

use pgbackrest_guard::wal::commits::{PAGE, newest};
use pgbackrest_guard::wal::heartbeats::{self, Stretch};
use pgbackrest_guard::wal::{LongPageHeader, Lsn, PageTimeline, SegmentName, SegmentSize, Timeline};
use pgbackrest_guard::wal::{parents, parse_history};

/// Where the segment of a test begins.
const START: u64 = 0x0300_0000;

pub(super) fn page(bytes: &[u8]) {
    let Ok(header) = LongPageHeader::parse(bytes) else { return };
    let mut again = [0; LongPageHeader::BYTES];
    again[2..4].copy_from_slice(&2_u16.to_ne_bytes());
    again[4..8].copy_from_slice(&header.timeline.0.to_ne_bytes());
    again[8..16].copy_from_slice(&header.page_address.to_ne_bytes());
    again[24..32].copy_from_slice(&header.system_id.to_ne_bytes());
    let size = u32::try_from(header.segment_size.bytes()).expect("a segment size is a number of 32 bits");
    again[32..36].copy_from_slice(&size.to_ne_bytes());
    assert_eq!(LongPageHeader::parse(&again), Ok(header));

    let number = header.page_address / header.segment_size.bytes();
    let Some(name) = SegmentName::from_number(header.timeline, number, header.segment_size) else { return };
    let is_its_own = header.is_of(name, header.system_id, PageTimeline::Named);
    assert_eq!(is_its_own, header.page_address % header.segment_size.bytes() == 0, "{name}");
    assert!(!header.is_of(name, header.system_id ^ 1, PageTimeline::UpToNamed), "another cluster's");
    if let Some(next) = SegmentName::from_number(header.timeline, number + 1, header.segment_size) {
        assert!(!header.is_of(next, header.system_id, PageTimeline::UpToNamed), "another segment's");
    }
}

/// The input is what stands on the last two pages of a segment, half on each; only its headers' addresses are right.
pub(super) fn commits(bytes: &[u8]) {
    let size = SegmentSize::try_from(1 << 20).expect("a size");
    let last = size.bytes() / PAGE as u64 - 1;
    let mut page = two_pages(bytes, size);
    let Some(end) = newest(START, size, 2, &mut page) else { return };
    let pages = START + (last - 1) * PAGE as u64..START + size.bytes();
    assert!(pages.contains(&end.lsn) && end.lsn % 8 == 0, "{end:?}");
}

/// The same input, in which the newest heartbeat is looked for.
pub(super) fn heartbeats(bytes: &[u8]) {
    let size = SegmentSize::try_from(1 << 20).expect("a size");
    let mut page = two_pages(bytes, size);
    let mut found = |before| heartbeats::newest(Stretch { start: START, size, before, most: 2 }, &mut page);
    let newest = found(u64::MAX);
    assert_eq!(found(START + size.bytes()), newest, "everything in the segment counts");
    assert_eq!(found(START), None, "nothing before it does");
}

/// The last two pages of a segment, half of the input on each; only their headers' addresses are right.
fn two_pages(bytes: &[u8], size: SegmentSize) -> impl FnMut(u64) -> Option<Box<[u8; PAGE]>> + '_ {
    let last = size.bytes() / PAGE as u64 - 1;
    let (first_half, second_half) = bytes.split_at(bytes.len() / 2);
    move |number| {
        let mut page = Box::new([0; PAGE]);
        let content = if number == last { second_half } else { first_half };
        for (to, from) in page.iter_mut().zip(content) {
            *to = *from;
        }
        let address = START + number * PAGE as u64;
        page[8..16].copy_from_slice(&address.to_ne_bytes());
        Some(page)
    }
}

pub(super) fn history(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = |(timeline, left): &(Timeline, Lsn)| format!("{}\t{left}\tas read\n", timeline.0);
    let read = parse_history(&text);
    assert_eq!(parse_history(&read.iter().map(line).collect::<String>()), read);
    for (child, (parent, _)) in parents(&text, 7) {
        assert!(parent < child, "{parent} is no parent of {child}");
    }
}
