//! Changed samples for everything that reads what others have written: no input may end a program, and what is said of one
//! must hold.
//!
//! Mutation without a look at the code's coverage, in a build that checks arithmetic: `make fuzz` looks, at the same readers
//! from the same samples (`tests/fuzz/src/readers/`). Bytes are flipped, cut, doubled, put in from a dictionary and taken from
//! another sample of the same reader.

use super::random::Random;
use super::readers::{READERS, SECRET, samples};
use std::path::Path;

/// What is put in.
const WORDS: [&str; 24] = [
    "\0",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{2028}",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "=",
    "#",
    "-",
    "/",
    "18446744073709551615",
    "-1",
    "FFFFFFFF",
    "00000001000000000000000A",
    ".history",
    ".partial",
    "<Error><Code>",
    "</Code></Error>",
    "null",
    SECRET,
];

/// Reads so many changed samples by each reader, and fewer by those that take their time. How many executions there were.
pub(crate) fn read_changed(each: u64, seed: u64) -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut executions = 0;
    for reader in &READERS {
        let samples = samples(reader, root);
        let mut random = Random::new(seed);
        let count = each / cost(reader.name);
        for _ in 0..count {
            (reader.read)(&changed(&samples, &mut random));
        }
        eprintln!("{:<13} {count:>9} executions", reader.name);
        executions += count;
    }
    executions
}

/// One execution costs so many of another's.
fn cost(name: &str) -> u64 {
    match name {
        "failure" | "ledger" | "redaction" | "settings" | "settings-file" => 10,
        "commits" | "info" | "ini" | "listing" | "state" => 2,
        _ => 1,
    }
}

fn changed(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let place = |random: &mut Random, length: usize| usize::try_from(random.below(length as u64 + 1)).unwrap_or(0);
    let choose = |random: &mut Random| {
        let at = place(random, samples.len() - 1);
        samples.get(at).cloned().unwrap_or_default()
    };
    let mut bytes = choose(random);
    for _ in 0..=random.below(4) {
        let (from, to) = (place(random, bytes.len()), place(random, bytes.len()));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 64));
        match random.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let part: Vec<u8> = bytes.get(from..to).unwrap_or_default().to_vec();
                drop(bytes.splice(from..from, part));
            }
            2 => drop(bytes.splice(from..from, random.pick(&WORDS).bytes())),
            3 => {
                let other = choose(random);
                let start = place(random, other.len());
                drop(bytes.splice(from..to, other.into_iter().skip(start).take(80)));
            }
            4 => bytes.truncate(to),
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte = u8::try_from(random.below(256)).unwrap_or(0);
                }
            }
        }
    }
    bytes
}
