//! The ledger's file, through whatever happens to a file: writes, writes that a kill cut off, bytes that changed, zeroes, a cut, a
//! repair. The input says what happens; a model says what must be read.
//!
//! What was written and not touched since is read back, and nothing else is: of a slot that something happened to nothing is
//! claimed. (A checksum of 32 bits can be hit by bytes that were made for it.)

use super::scratch::Scratch;
use pgbackrest_guard::ledger::slots::{Contents, FILE_BYTES, Record, Slots};

const SLOTS: usize = 4;
const SLOT_BYTES: u64 = FILE_BYTES / SLOTS as u64;
const HEADER_BYTES: usize = 32;
/// Each costs system calls.
const MOST_STEPS: usize = 12;

/// What is known of a slot.
#[derive(Clone, PartialEq)]
enum Known {
    Nothing,
    Holds(Record),
    Touched,
}

struct Model {
    slots: [Known; SLOTS],
    length: u64,
}

/// The rest of the input.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// So many bytes as the next one says, if there are so many.
    fn bytes(&mut self) -> &'i [u8] {
        let length = usize::from(self.byte().unwrap_or_default()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn slot(&mut self) -> usize {
        usize::from(self.byte().unwrap_or_default()) % SLOTS
    }
}

pub(super) fn ledger(bytes: &[u8]) {
    thread_local!(static FILE: Scratch = Scratch::new());
    FILE.with(|file| {
        file.set_length(0);
        file.set_length(FILE_BYTES);
        let mut model = Model { slots: [const { Known::Nothing }; SLOTS], length: FILE_BYTES };
        model.write(file, Record { sequence: 1, payload: b"{}".to_vec() });
        let mut input = Input(bytes);
        for _ in 0..MOST_STEPS {
            let Some(step) = input.byte() else { break };
            model.step(step % 6, &mut input, file);
            model.check(&read(file));
        }
    });
}

fn open(file: &Scratch) -> Slots {
    Slots::open(file.path(), true).expect("a file that can be opened")
}

fn read(file: &Scratch) -> Contents {
    open(file).read().expect("a file that can be read")
}

fn place(sequence: u64) -> usize {
    usize::try_from((sequence - 1) % SLOTS as u64).unwrap_or(0)
}

fn start(slot: usize) -> u64 {
    slot as u64 * SLOT_BYTES
}

impl Model {
    fn step(&mut self, step: u8, input: &mut Input<'_>, file: &Scratch) {
        match step {
            0 => self.next(input.bytes(), file, usize::MAX),
            1 => {
                let cut = usize::from(input.byte().unwrap_or_default());
                self.next(input.bytes(), file, cut);
            }
            2 => {
                let (slot, at) = (input.slot(), u64::from(input.byte().unwrap_or_default()));
                self.touch(slot, input.bytes(), at, file);
            }
            3 => self.touch(input.slot(), &[0; 512], 0, file),
            4 => self.cut(u64::from(input.byte().unwrap_or_default()) << 13, file),
            _ => self.repair(file),
        }
    }

    fn write(&mut self, file: &Scratch, record: Record) {
        open(file).write(record.sequence, &record.payload).expect("room");
        let slot = place(record.sequence);
        self.length = self.length.max(start(slot) + (HEADER_BYTES + record.payload.len()) as u64);
        if let Some(known) = self.slots.get_mut(slot) {
            *known = Known::Holds(record);
        }
    }

    /// The next record, as a writer makes it; of its bytes only so many come to the file.
    fn next(&mut self, payload: &[u8], file: &Scratch, cut: usize) {
        let newest = read(file).records.first().map(|newest| newest.sequence);
        let Some(sequence) = newest.and_then(|newest| newest.checked_add(1)) else { return };
        let (slot, whole) = (place(sequence), HEADER_BYTES + payload.len());
        let mut before = file.read(whole, start(slot));
        before.resize(whole, 0);
        self.write(file, Record { sequence, payload: payload.to_vec() });
        if let Some(lacking) = before.get(cut..).filter(|lacking| !lacking.is_empty()) {
            self.touch(slot, lacking, cut as u64, file);
        } else {
            let newest = read(file).records.into_iter().next();
            assert_eq!(newest, Some(Record { sequence, payload: payload.to_vec() }), "what was written last");
        }
    }

    fn touch(&mut self, slot: usize, bytes: &[u8], at: u64, file: &Scratch) {
        if bytes.is_empty() {
            return;
        }
        file.write(bytes, start(slot) + at);
        self.length = self.length.max(start(slot) + at + bytes.len() as u64);
        if let Some(known) = self.slots.get_mut(slot) {
            *known = Known::Touched;
        }
    }

    fn cut(&mut self, length: u64, file: &Scratch) {
        if length >= self.length {
            return;
        }
        file.set_length(length);
        self.length = length;
        for (slot, known) in self.slots.iter_mut().enumerate() {
            let whole = |record: &Record| start(slot) + (HEADER_BYTES + record.payload.len()) as u64;
            if !matches!(known, Known::Holds(record) if whole(record) <= length) && *known != Known::Nothing {
                *known = Known::Touched;
            }
        }
    }

    fn repair(&mut self, file: &Scratch) {
        let mut slots = open(file);
        let contents = slots.read().expect("a file that can be read");
        let Some(newest) = contents.records.first() else { return };
        slots.repair(&contents, newest).expect("room");
        for (slot, known) in self.slots.iter_mut().enumerate() {
            if contents.damaged.contains(&(slot as u64)) {
                *known = Known::Holds(newest.clone());
            }
        }
        self.length = FILE_BYTES.max(self.length);
        let after = read(file);
        assert!(!after.is_damaged(), "repaired, and still damaged: {after:?}");
        assert_eq!(after.records.first(), Some(newest), "a repair changes nothing");
    }

    /// What is read is what is known, but for what was touched.
    fn check(&self, contents: &Contents) {
        assert!(contents.records.is_sorted_by_key(|record| std::cmp::Reverse(record.sequence)));
        let mut others = contents.records.clone();
        for known in &self.slots {
            let Known::Holds(record) = known else { continue };
            let at = others.iter().position(|other| other == record);
            let at = at.unwrap_or_else(|| panic!("lost: {record:?}; read: {contents:?}"));
            others.remove(at);
        }
        let touched = self.slots.iter().filter(|known| **known == Known::Touched).count();
        assert!(others.len() <= touched, "never written: {others:?}");
    }
}
