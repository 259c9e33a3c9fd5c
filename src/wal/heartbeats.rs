//! The newest heartbeat in a segment, and when it was written.
//!
//! The watcher's heartbeat is a logical message (resource manager 21, `replication/message.h`, PostgreSQL 13 to 18, of 64
//! bits): the database at 0, at 4 whether it belongs to a transaction, at 8 the length of the prefix with its closing zero, at
//! 16 the length of the text, both from 24 on. The text is the server's time; up to version 0.2 it was empty. Whatever was
//! committed before that time stands before it in the WAL.

pub use super::records::Stretch;
use super::records::{self, PAGE, Record, field};
use jiff::Timestamp;

/// What marks a message as a heartbeat.
pub const PREFIX: &str = "pgbackrest_guard_heartbeat";

/// `RM_LOGICALMSG_ID`.
const MESSAGES: u8 = 21;
/// `XLOG_LOGICAL_MESSAGE`, under `~XLR_INFO_MASK`.
const MESSAGE: u8 = 0x00;
const OPERATION: u8 = 0xF0;
/// Where the prefix begins.
const TEXTS: usize = 24;

/// When the newest heartbeat was written whose record lies whole in the segment; microseconds since 1970.
///
/// `page` gives a page by its number, `None` where it can't be read.
pub fn newest(stretch: Stretch, page: &mut dyn FnMut(u64) -> Option<Box<[u8; PAGE]>>) -> Option<i64> {
    records::newest(stretch, page, &time_of).map(|(_, at)| at)
}

/// The time of a heartbeat, if the record is one that has a time.
fn time_of(record: &Record<'_>) -> Option<i64> {
    let data = record.data;
    let length = |at| usize::try_from(u64::from_ne_bytes(field(data, at)?)).ok();
    let is_message = record.manager == MESSAGES && record.info & OPERATION == MESSAGE && *data.get(4)? == 0;
    let behind = TEXTS + PREFIX.len() + 1;
    let prefix = data.get(TEXTS..behind)?.strip_suffix(&[0])?;
    if !is_message || length(8)? != PREFIX.len() + 1 || prefix != PREFIX.as_bytes() {
        return None;
    }
    let text = data.get(behind..behind.checked_add(length(16)?)?)?;
    std::str::from_utf8(text).ok()?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// Heartbeats that were made for a test.
#[cfg(test)]
pub(crate) mod made {
    use super::{MESSAGES, PREFIX};
    use crate::wal::records::made::record;

    /// A logical message's main data.
    pub(super) fn message(prefix: &str, text: &str) -> Vec<u8> {
        let length = |text: &str, more: u64| (text.len() as u64 + more).to_ne_bytes();
        let mut data = vec![5, 0, 0, 0, 0, 0, 0, 0];
        data.extend(length(prefix, 1));
        data.extend(length(text, 0));
        data.extend([prefix.as_bytes(), &[0], text.as_bytes()].concat());
        data
    }

    /// A heartbeat's record.
    pub(crate) fn heartbeat(text: &str) -> Vec<u8> {
        record(MESSAGES, 0, &[], &message(PREFIX, text))
    }
}

#[cfg(test)]
mod tests {
    use super::made::{heartbeat, message};
    use super::*;
    use crate::wal::made::{START, page, record, segment, size};

    const TIME: &str = "2026-11-26T13:48:26.378271Z";
    const AT: i64 = 1_795_700_906_378_271;

    fn found(bytes: &[u8], before: u64) -> Option<i64> {
        let stretch = Stretch { start: START, size: size(), before, most: usize::MAX };
        newest(stretch, &mut |number| page(bytes, number))
    }

    #[test]
    fn the_newest_one_with_a_time_is_found_wherever_its_record_lies() {
        let other = |length: usize| record(10, 0, &[], &vec![7; length.min(200)]);
        for filler in 0..200 {
            let mut records = vec![heartbeat("2001-01-01T00:00:00.000000Z")];
            records.extend(std::iter::repeat_n(other(200), 34));
            records.push(other(filler));
            records.push(heartbeat(TIME));
            // As it was written up to version 0.2.
            records.extend([heartbeat(""), other(3)]);
            assert_eq!(found(&segment(&records), u64::MAX), Some(AT), "{filler}");
        }
    }

    #[test]
    fn what_was_not_replayed_does_not_count() {
        let records = [heartbeat("2001-01-01T00:00:00.000000Z"), heartbeat(TIME)];
        let second = START + 40 + (records[0].len() as u64).next_multiple_of(8);
        let bytes = segment(&records);
        assert_eq!(found(&bytes, second), Some(978_307_200_000_000));
        assert_eq!(found(&bytes, second + 1), Some(AT));
        assert_eq!(found(&bytes, START), None);
    }

    #[test]
    fn other_messages_are_none() {
        let whole = message(PREFIX, TIME);
        let with = |at: usize, byte: u8| {
            let mut data = whole.clone();
            data[at] = byte;
            record(MESSAGES, 0, &[], &data)
        };
        for other in [
            record(MESSAGES, 0, &[], &message("pgbackrest_guard_anchor", TIME)),
            record(MESSAGES, 0, &[], &message("pgbackrest_guard_heartbeats", TIME)),
            record(MESSAGES, 0x10, &[], &whole),
            record(20, 0, &[], &whole),
            heartbeat("yesterday"),
            // Of a transaction, another length of the prefix, and one of the text that goes on forever.
            with(4, 1),
            with(8, 26),
            with(23, 0xFF),
        ] {
            assert_eq!(found(&segment(&[other]), u64::MAX), None);
        }
        assert_eq!(found(&vec![0xFF; 1 << 20], u64::MAX), None);
    }
}
