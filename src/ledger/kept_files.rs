//! Small files in the ledger's own room, where none can be made beside it.
//!
//! On a full disk a `.history` or `.backup` file can't be copied, and neither may it be lost nor hold up the archiver for
//! good. It is a few hundred bytes, and the ledger was allocated in full when it was made.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most bytes of content that are kept: some thirty promotions' files, or the history of two hundred timelines.
const MOST: usize = 16 << 10;

/// Files by their names, each byte of the content as two hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptFiles(BTreeMap<String, String>);

impl KeptFiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a file of that name is kept.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Keeps a file, in the place of an earlier one of that name. False where there is no room for it.
    pub fn insert(&mut self, name: &str, content: &[u8]) -> bool {
        let others = self.0.iter().filter(|(other, _)| *other != name);
        let taken: usize = others.map(|(other, digits)| other.len() + digits.len() / 2).sum();
        if taken + name.len() + content.len() > MOST {
            return false;
        }
        let mut digits = String::with_capacity(content.len() * 2);
        for byte in content {
            // Writing into a string can't fail.
            let _ = write!(digits, "{byte:02x}");
        }
        self.0.insert(name.to_owned(), digits);
        true
    }

    /// A file's content; `None` where there is no such file, or it can't be read.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let digits = self.0.get(name)?.as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        digits.chunks(2).map(byte).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Forgets those of these names.
    pub(super) fn forget(&mut self, names: &[String]) {
        self.0.retain(|name, _| !names.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_and_room_is_bounded() {
        let mut kept = KeptFiles::default();
        let content: Vec<u8> = (0..=255).collect();
        assert!(kept.insert("00000002.history", &content));
        assert_eq!(kept.content("00000002.history"), Some(content));
        assert!(!kept.insert("00000003.history", &vec![b'x'; MOST - 256]));
        assert!(kept.insert("00000002.history", b"") && kept.insert("00000003.history", &vec![b'x'; MOST - 256]));
        assert_eq!((kept.len(), kept.content("00000002.history")), (2, Some(Vec::new())));
        assert_eq!(kept.content("00000004.history"), None);
    }
}
