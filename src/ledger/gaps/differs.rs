//! A segment whose name a repository has, with other content.
//!
//! pgBackRest stores a segment under the checksum that it read first, and compares names from then on; and two servers that
//! archive to one stanza give one name to two segments. The name in a listing is no proof there: such a segment is lost until
//! its content was compared, whatever had made it a gap before.

use super::{Cause, Gap, GapState, Gaps, Loss};
use crate::pgbackrest::Class;
use crate::wal::{SegmentName, SegmentSize, WalFile};

impl Gap {
    /// Whether the name of its files in a listing says nothing: another's content has been found under it, or pgBackRest has
    /// refused to store it because of that.
    #[must_use]
    pub fn name_proves_nothing(&self) -> bool {
        self.cause == Cause::ContentDiffers || self.class == Class::Mismatch
    }
}

impl Gaps {
    /// Notes that a repository holds other content under a file's name. False when that is on record already, or the file is
    /// known to be lost for good.
    pub fn differs(&mut self, file: &WalFile, at: i64, size: SegmentSize) -> bool {
        let Some((segment, partial)) = file.losable() else { return false };
        let held = |gap: &Gap| gap.state == GapState::Open && gap.holds(segment, partial, size);
        match self.gaps.iter().position(held) {
            Some(index) => self.blame(index, segment, size),
            None if self.is_sealed(segment, partial, size) => false,
            None => {
                let (class, cause) = (Class::Mismatch, Cause::ContentDiffers);
                self.record(&Loss { segment, partial, class, cause, s3_code: None, at }, size)
            }
        }
    }

    /// Gives one segment of an open gap this cause.
    fn blame(&mut self, index: usize, segment: SegmentName, size: SegmentSize) -> bool {
        if self.gaps.get(index).is_none_or(|gap| gap.cause == Cause::ContentDiffers) {
            return false;
        }
        let one = self.take_out(index, segment, size);
        self.gaps.push(Gap { class: Class::Mismatch, cause: Cause::ContentDiffers, s3_code: None, ..one });
        self.tidy(size);
        true
    }

    fn is_sealed(&self, segment: SegmentName, partial: bool, size: SegmentSize) -> bool {
        self.gaps.iter().any(|gap| gap.state == GapState::Sealed && gap.holds(segment, partial, size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BackupStart, LossesBefore};
    use super::*;
    use crate::wal::Timeline;

    const SIZE: SegmentSize = SegmentSize::DEFAULT;

    fn segment(number: u64) -> SegmentName {
        SegmentName::from_number(Timeline(1), number, SIZE).unwrap()
    }

    fn lost(numbers: std::ops::RangeInclusive<u64>) -> Gaps {
        let mut gaps = Gaps::default();
        for number in numbers {
            let (class, cause) = (Class::Denied, Cause::DropThreshold);
            gaps.record(&Loss { segment: segment(number), partial: false, class, cause, s3_code: None, at: 5 }, SIZE);
        }
        gaps
    }

    fn seen(gaps: &Gaps) -> Vec<(u64, u64, GapState, Cause)> {
        let mut seen: Vec<_> =
            gaps.iter().map(|gap| (gap.first.number(SIZE), gap.last.number(SIZE), gap.state, gap.cause)).collect();
        seen.sort_by_key(|gap| gap.0);
        seen
    }

    #[test]
    fn a_segment_of_a_gap_gets_a_cause_of_its_own_and_the_rest_keeps_its() {
        let mut gaps = lost(3..=6);
        assert!(gaps.differs(&WalFile::Segment(segment(4)), 9, SIZE));
        let drop = Cause::DropThreshold;
        let expected =
            [(3, 3, GapState::Open, drop), (4, 4, GapState::Open, Cause::ContentDiffers), (5, 6, GapState::Open, drop)];
        assert_eq!(seen(&gaps), expected);
        assert!(!gaps.differs(&WalFile::Segment(segment(4)), 10, SIZE), "it is on record");
        let by_name: Vec<bool> = gaps.iter().map(Gap::name_proves_nothing).collect();
        assert_eq!(by_name.iter().filter(|nothing| **nothing).count(), 1);
        assert!(gaps.heal(&WalFile::Segment(segment(4)), 11, SIZE), "the right one was stored after all");
        assert_eq!(seen(&gaps).get(1), Some(&(4, 4, GapState::Healed, Cause::ContentDiffers)));
    }

    #[test]
    fn one_that_was_in_no_gap_opens_one_and_a_sealed_one_stays_sealed() {
        let mut gaps = Gaps::default();
        assert!(gaps.differs(&WalFile::Segment(segment(7)), 9, SIZE));
        let newest = gaps.open().next().map(|gap| (gap.class, gap.cause, gap.opened_at));
        assert_eq!(newest, Some((Class::Mismatch, Cause::ContentDiffers, 9)));
        // A backup of the catalog that began before it was found, but after its place in the WAL.
        let backup = BackupStart { label: "b".to_owned(), timeline: Timeline(1), lsn: 9 * SIZE.bytes() };
        assert_eq!(gaps.seal(&backup, LossesBefore::StartedAt(8), 20, SIZE), 1);
        assert!(!gaps.differs(&WalFile::Segment(segment(7)), 30, SIZE));
        assert_eq!(seen(&gaps), [(7, 7, GapState::Sealed, Cause::ContentDiffers)]);
        assert!(!gaps.differs(&"00000002.history".parse().unwrap(), 30, SIZE));
    }

    #[test]
    fn a_program_that_does_not_know_the_word_keeps_it() {
        let mut gaps = Gaps::default();
        gaps.differs(&WalFile::Segment(segment(7)), 9, SIZE);
        let text = serde_json::to_string(&gaps).unwrap();
        assert!(text.contains("\"content differs\""), "{text}");
        let older = text.replace("content differs", "some other word");
        let kept: Gaps = serde_json::from_str(&older).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), older);
    }
}
