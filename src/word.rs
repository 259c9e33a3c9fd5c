//! Words of a newer version: a class or a cause that this program does not know is kept and shown as it stands.
//!
//! Such a word is part of small values that are copied and compared all over, so it is kept once and for all for the
//! process's life. A ledger holds a handful of different ones at most.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most different words that are kept; a damaged ledger may hold anything.
const MOST: usize = 256;

/// The word, for the process's life.
#[must_use]
pub fn kept(word: &str) -> &'static str {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(word) {
        return known;
    }
    if words.len() >= MOST {
        return "unknown";
    }
    let new: &'static str = Box::leak(word.to_owned().into_boxed_str());
    words.insert(new);
    new
}
