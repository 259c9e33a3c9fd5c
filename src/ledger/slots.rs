//! The ledger's file: four numbered, checksummed slots, written in turn.
//!
//! The newest valid slot is the truth. A change is written twice, as two records, into the slots after it, which hold the
//! oldest ones: so a kill, a torn page or a full disk in the middle leaves the change before it, and a byte that is damaged
//! later leaves the other copy. The file is allocated in full when it is made: writing a slot later needs no space.
//!
//! A slot is a header of 32 bytes, little-endian — magic (8), sequence (8), length of the payload (4), CRC-32 of the
//! payload (4), reserved (4), CRC-32 of the header so far (4) — and the payload. Sequences begin at 1; record `n` lies
//! in slot `(n - 1) % 4`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Slots in a file.
const SLOTS: u64 = 4;
/// Bytes of a slot, header and payload.
const SLOT_BYTES: u64 = 512 * 1024;
/// Bytes of the file.
pub const FILE_BYTES: u64 = SLOTS * SLOT_BYTES;
const HEADER_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"PGBRGLD1";
/// Read in one go: most records are shorter than this.
const FIRST_READ: usize = 8 * 1024;

/// The slots of an open file.
#[derive(Debug)]
pub struct Slots {
    file: File,
    length: u64,
}

/// One valid record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub sequence: u64,
    /// What was written.
    pub payload: Vec<u8>,
}

/// Everything that the file holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The valid records, newest first.
    pub records: Vec<Record>,
    /// Slots that hold neither a valid record nor nothing.
    pub damaged: Vec<u64>,
    /// Whether the file is shorter than it was made.
    pub truncated: bool,
}

impl Contents {
    /// Whether anything is not as it was written.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.truncated || !self.damaged.is_empty()
    }
}

enum Slot {
    Empty,
    Valid(Record),
    Damaged,
}

impl Slots {
    /// Makes a new file at `path`, mode 0600, allocated in full and holding record 1.
    ///
    /// # Errors
    /// What the system says, `StorageFull` among it.
    pub fn create(path: &Path, payload: &[u8]) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        allocate(&file)?;
        let slots = Self { file, length: FILE_BYTES };
        slots.write(1, payload)?;
        slots.file.sync_all()?;
        Ok(slots)
    }

    /// Opens an existing file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, writable: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(writable).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Reads all slots.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self) -> io::Result<Contents> {
        let mut contents = Contents { truncated: self.length < FILE_BYTES, ..Contents::default() };
        let mut empty = Vec::new();
        for index in 0..SLOTS {
            match self.slot(index)? {
                Slot::Empty => empty.push(index),
                Slot::Valid(record) => contents.records.push(record),
                Slot::Damaged => contents.damaged.push(index),
            }
        }
        contents.records.sort_by_key(|record| std::cmp::Reverse(record.sequence));
        let written = contents.records.first().map_or(0, |newest| newest.sequence);
        // A slot that was written and now is all zeroes has lost its record.
        contents.damaged.extend(empty.into_iter().filter(|index| *index < written));
        Ok(contents)
    }

    /// Writes what follows upon record `newest`, and a copy of it; not yet durable.
    ///
    /// # Errors
    /// As [`Slots::write`].
    pub fn append(&self, newest: u64, payload: &[u8]) -> io::Result<()> {
        self.write(newest + 1, payload)?;
        self.write(newest + 2, payload)
    }

    /// Writes record `sequence` into its slot; not yet durable.
    ///
    /// # Errors
    /// What the system says; `FileTooLarge` when the payload does not fit.
    pub fn write(&self, sequence: u64, payload: &[u8]) -> io::Result<()> {
        let mut slot = header(sequence, payload).ok_or(io::ErrorKind::FileTooLarge)?.to_vec();
        slot.extend_from_slice(payload);
        self.file.write_all_at(&slot, place(sequence) * SLOT_BYTES)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Gives the file its full length back and puts `record` into the damaged slots, under its own number.
    ///
    /// # Errors
    /// What the system says.
    pub fn repair(&mut self, contents: &Contents, record: &Record) -> io::Result<()> {
        if contents.truncated {
            allocate(&self.file)?;
            self.length = FILE_BYTES;
        }
        let copy = header(record.sequence, &record.payload).ok_or(io::ErrorKind::FileTooLarge)?;
        for index in &contents.damaged {
            let mut slot = copy.to_vec();
            slot.extend_from_slice(&record.payload);
            self.file.write_all_at(&slot, index * SLOT_BYTES)?;
        }
        self.file.sync_all()
    }

    fn slot(&self, index: u64) -> io::Result<Slot> {
        let mut bytes = vec![0; FIRST_READ];
        let start = index * SLOT_BYTES;
        let read = read_at_most(&self.file, &mut bytes, start)?;
        bytes.truncate(read);
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(if bytes.is_empty() { Slot::Empty } else { Slot::Damaged });
        };
        let Some((sequence, length, checksum)) = parse(head) else {
            let untouched = head.iter().all(|byte| *byte == 0);
            return Ok(if untouched { Slot::Empty } else { Slot::Damaged });
        };
        if HEADER_BYTES + length > bytes.len() {
            bytes.resize(HEADER_BYTES + length, 0);
            let read = read_at_most(&self.file, &mut bytes, start)?;
            bytes.truncate(read);
        }
        let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + length).map(<[u8]>::to_vec);
        let valid = payload.filter(|payload| crc32fast::hash(payload) == checksum);
        Ok(valid.map_or(Slot::Damaged, |payload| Slot::Valid(Record { sequence, payload })))
    }
}

/// The slot of a record.
fn place(sequence: u64) -> u64 {
    sequence.wrapping_sub(1) % SLOTS
}

fn header(sequence: u64, payload: &[u8]) -> Option<[u8; HEADER_BYTES]> {
    let length = u32::try_from(payload.len()).ok()?;
    if u64::from(length) > SLOT_BYTES - HEADER_BYTES as u64 {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.try_into().ok()
}

/// Sequence, length and the payload's checksum, if the header is one.
fn parse(head: &[u8; HEADER_BYTES]) -> Option<(u64, usize, u32)> {
    let word = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if !head.starts_with(&MAGIC) || crc32fast::hash(head.get(..28)?) != word(28)? {
        return None;
    }
    let sequence = u64::from_le_bytes(head.get(8..16)?.try_into().ok()?);
    let length = usize::try_from(word(16)?).ok()?;
    (length as u64 <= SLOT_BYTES - HEADER_BYTES as u64).then_some((sequence, length, word(20)?))
}

/// Writes zeroes where the file does not reach yet. Blocks that are only reserved (see `posix_fallocate(3)`) need new metadata when
/// they are first written, which a full disk may not have.
fn allocate(file: &File) -> io::Result<()> {
    let zeroes = vec![0; 64 * 1024];
    let mut at = file.metadata()?.len();
    while at < FILE_BYTES {
        let left = usize::try_from(FILE_BYTES - at).unwrap_or(usize::MAX).min(zeroes.len());
        file.write_all_at(zeroes.get(..left).unwrap_or_default(), at)?;
        at += left as u64;
    }
    Ok(())
}

fn read_at_most(file: &File, buffer: &mut [u8], start: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn written(count: u64) -> (TempDir, PathBuf, Slots) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let slots = Slots::create(&path, b"record 1").unwrap();
        for sequence in 2..=count {
            slots.write(sequence, format!("record {sequence}").as_bytes()).unwrap();
        }
        (folder, path, slots)
    }

    fn sequences(contents: &Contents) -> Vec<u64> {
        contents.records.iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn the_newest_four_records_are_kept_and_the_file_is_allocated() {
        use std::os::unix::fs::MetadataExt as _;
        let (_folder, path, slots) = written(6);
        assert_eq!(sequences(&slots.read().unwrap()), [6, 5, 4, 3]);
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.len(), FILE_BYTES);
        assert!(metadata.blocks() * 512 >= FILE_BYTES, "{} blocks", metadata.blocks());
    }

    #[test]
    fn a_payload_longer_than_the_first_read_comes_back_whole() {
        let (_folder, _path, slots) = written(1);
        let payload: Vec<u8> = (0..500_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        slots.write(2, &payload).unwrap();
        assert_eq!(slots.read().unwrap().records.first().map(|record| record.payload.clone()), Some(payload));
        assert!(slots.write(3, &vec![0; 600_000]).is_err());
    }

    #[test]
    fn a_truncated_file_keeps_its_whole_slots_and_grows_again() {
        let (_folder, path, _slots) = written(3);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(SLOT_BYTES + 7).unwrap();
        let mut slots = Slots::open(&path, true).unwrap();
        let contents = slots.read().unwrap();
        assert!(contents.is_damaged());
        assert_eq!(sequences(&contents), [1]);
        slots.repair(&contents, &contents.records[0].clone()).unwrap();
        let repaired = Slots::open(&path, false).unwrap().read().unwrap();
        assert!(!repaired.is_damaged(), "{repaired:?}");
        assert_eq!(path.metadata().unwrap().len(), FILE_BYTES);
    }

    #[test]
    fn a_slot_that_lost_its_bytes_is_damage_and_an_unused_one_is_not() {
        let (_folder, _path, slots) = written(3);
        assert!(!slots.read().unwrap().is_damaged());
        slots.file.write_all_at(&[0; 512], 0).unwrap();
        assert_eq!(slots.read().unwrap().damaged, [0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_flipped_bit_costs_at_most_one_record(count in 1_u64..9, at in 0..FILE_BYTES, bit in 0..8_u32) {
            let (_folder, _path, slots) = written(count);
            // Half of the flips hit a slot's start, where the record lies.
            let at = if bit % 2 == 0 { at } else { at / SLOT_BYTES * SLOT_BYTES + at % 48 };
            let before = sequences(&slots.read().unwrap());
            let mut byte = [0];
            slots.file.read_exact_at(&mut byte, at).unwrap();
            slots.file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            let after = sequences(&slots.read().unwrap());
            prop_assert!(after.iter().all(|sequence| before.contains(sequence)));
            prop_assert!(after.len() + 1 >= before.len());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let (_folder, path, slots) = written(2);
            slots.file.write_all_at(&bytes, 0).unwrap();
            let _ = Slots::open(&path, false).unwrap().read().unwrap();
        }
    }
}
