//! The newest commit of a segment that still lies in `pg_wal`.

use crate::wal::commits::{self, End, PAGE};
use crate::wal::{LongPageHeader, PageTimeline, SegmentName, SegmentSize};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The most pages that are looked at in one segment: the whole of one of 16 MiB, the end of a larger one.
const MOST_PAGES: usize = 2048;

/// The newest commit of an archived segment; `None` when there is none in it, or it is no longer there.
#[must_use]
pub fn newest_commit(pg_wal: &Path, segment: SegmentName, size: SegmentSize, system_id: u64) -> Option<End> {
    let file = File::open(pg_wal.join(segment.to_string())).ok()?;
    let header = LongPageHeader::of_file(&file)?;
    let start = segment.number(size).checked_mul(size.bytes())?;
    // A recycled file has another segment's content.
    let is_itself = header.segment_size == size && header.is_of(segment, system_id, PageTimeline::UpToNamed);
    let mut page = |number: u64| {
        let mut page = Box::new([0; PAGE]);
        file.read_exact_at(page.as_mut_slice(), number * PAGE as u64).ok()?;
        Some(page)
    };
    if is_itself { commits::newest(start, size, MOST_PAGES, &mut page) } else { None }
}
