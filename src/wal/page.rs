//! The header of a segment's first page.
//!
//! `XLogLongPageHeaderData` (`access/xlog_internal.h`, PostgreSQL 13 to 18): the standard header of 24 bytes (magic,
//! flags, timeline, page address, remaining length), then the system identifier, the segment size and the block
//! size, in the machine's byte order. The layout has not changed since PostgreSQL 11; the magic number changes with
//! each major version, so it is not checked.

use super::{SegmentName, SegmentSize, Timeline};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// `XLP_LONG_HEADER` in the flags of a segment's first page.
const LONG_HEADER_FLAG: u16 = 0x0002;

/// What the first page of a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongPageHeader {
    /// The timeline on which the page was written.
    pub timeline: Timeline,
    /// The LSN of the page's first byte.
    pub page_address: u64,
    /// The cluster's system identifier.
    pub system_id: u64,
    /// The cluster's segment size.
    pub segment_size: SegmentSize,
}

/// Bytes that are no first page of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no WAL page header")]
pub struct PageHeaderError;

impl LongPageHeader {
    /// Bytes that have to be read from the start of a segment.
    pub const BYTES: usize = 40;

    /// Reads the header out of the first bytes of a segment.
    ///
    /// # Errors
    /// When the bytes are too few, the long-header flag is not set, or the segment size is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, PageHeaderError> {
        if u16::from_ne_bytes(field(bytes, 2)?) & LONG_HEADER_FLAG == 0 {
            return Err(PageHeaderError);
        }
        let segment_size = u64::from(u32::from_ne_bytes(field(bytes, 32)?));
        Ok(Self {
            timeline: Timeline(u32::from_ne_bytes(field(bytes, 4)?)),
            page_address: u64::from_ne_bytes(field(bytes, 8)?),
            system_id: u64::from_ne_bytes(field(bytes, 24)?),
            segment_size: segment_size.try_into().map_err(|_| PageHeaderError)?,
        })
    }

    /// Reads the header of a file; `None` where it has none.
    #[must_use]
    pub fn of_file(file: &File) -> Option<Self> {
        let mut first = [0; Self::BYTES];
        file.read_exact_at(&mut first, 0).ok()?;
        Self::parse(&first).ok()
    }

    /// Whether it is the header of this segment of this cluster. A name alone proves nothing: PostgreSQL renames old
    /// segments to be written anew (xlog.c, `RemoveOldXlogFiles`), and their content stays until then.
    #[must_use]
    pub fn is_of(&self, segment: SegmentName, system_id: u64, timeline: PageTimeline) -> bool {
        let size = self.segment_size;
        self.system_id == system_id
            && timeline.allows(self.timeline, segment.timeline())
            && Some(self.page_address) == segment.number(size).checked_mul(size.bytes())
    }
}

/// Which timeline the first page of a segment may name, held against the segment's name.
///
/// A promotion copies the segment in which it leaves the old timeline, and names the copy after the new one (xlog.c,
/// `XLogInitNewTimeline`): where the switch lies behind the first page, that page keeps the old timeline for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageTimeline {
    /// The name's, or an older one: right wherever whole segments of a cluster are to be known.
    UpToNamed,
    /// The name's alone: where a doubtful segment may be left to somebody who checks more.
    Named,
}

impl PageTimeline {
    fn allows(self, page: Timeline, name: Timeline) -> bool {
        match self {
            Self::UpToNamed => page <= name,
            Self::Named => page == name,
        }
    }
}

/// The segment's size, if a file is this segment of this cluster, whole: by its length and its first page.
#[must_use]
pub fn whole_segment(file: &File, segment: SegmentName, system_id: u64, timeline: PageTimeline) -> Option<SegmentSize> {
    let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let header = LongPageHeader::of_file(file)?;
    let size = header.segment_size;
    (found.len() == size.bytes() && header.is_of(segment, system_id, timeline)).then_some(size)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], PageHeaderError> {
    bytes.get(at..at + N).and_then(|field| field.try_into().ok()).ok_or(PageHeaderError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(flags: u16, segment_bytes: u32) -> Vec<u8> {
        let mut page = vec![0; 8192];
        page[2..4].copy_from_slice(&flags.to_ne_bytes());
        page[4..8].copy_from_slice(&3_u32.to_ne_bytes());
        page[8..16].copy_from_slice(&0x0200_0000_u64.to_ne_bytes());
        page[24..32].copy_from_slice(&7_000_000_000_000_000_001_u64.to_ne_bytes());
        page[32..36].copy_from_slice(&segment_bytes.to_ne_bytes());
        page
    }

    #[test]
    fn a_first_page_names_its_segment() {
        let header = LongPageHeader::parse(&page(0x0006, 1 << 24)).unwrap();
        assert_eq!(header.timeline, Timeline(3));
        assert_eq!(header.page_address, 0x0200_0000);
        assert_eq!(header.system_id, 7_000_000_000_000_000_001);
        assert_eq!(header.segment_size, SegmentSize::DEFAULT);
    }

    #[test]
    fn a_file_is_the_segment_that_its_length_and_its_first_page_say() {
        const SYSTEM: u64 = 7_000_000_000_000_000_001;
        let mut content = page(0x0006, 1 << 20);
        content.resize(1 << 20, 0);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &content).unwrap();
        let size = SegmentSize::try_from(1 << 20).unwrap();
        let is = |timeline, number, system, rule| {
            let name = SegmentName::from_number(Timeline(timeline), number, size).unwrap();
            whole_segment(&file, name, system, rule) == Some(size)
        };
        assert!(is(3, 32, SYSTEM, PageTimeline::Named) && is(3, 32, SYSTEM, PageTimeline::UpToNamed));
        assert!(!is(4, 32, SYSTEM, PageTimeline::Named) && is(4, 32, SYSTEM, PageTimeline::UpToNamed));
        assert!(!is(2, 32, SYSTEM, PageTimeline::UpToNamed), "a newer timeline than the name's");
        assert!(!is(3, 33, SYSTEM, PageTimeline::Named) && !is(3, 32, SYSTEM + 1, PageTimeline::Named));
        file.set_len((1 << 20) - 1).unwrap();
        assert!(!is(3, 32, SYSTEM, PageTimeline::Named), "cut off");
    }

    #[test]
    fn other_bytes_do_not() {
        assert!(LongPageHeader::parse(&[]).is_err());
        assert!(LongPageHeader::parse(&page(0, 1 << 24)).is_err());
        assert!(LongPageHeader::parse(&page(2, 0)).is_err());
        assert!(LongPageHeader::parse(page(2, 1 << 24).get(..35).unwrap()).is_err());
    }
}
