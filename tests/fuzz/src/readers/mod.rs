//! What reads the words of others, and what must hold of any bytes that it reads.
//!
//! No input may end a program, so a reader that panics has failed. Most have a property besides: what was read prints and
//! reads as the same, no secret comes through, nothing is called stored or gone without the words for it.

mod archive;
mod configuration;
mod failures;
mod record;
mod scratch;
mod slots;
mod target;
mod wal;

use std::fs;
use std::path::Path;

/// A reader under test.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Its name, which its folder of seeds bears too.
    pub name: &'static str,
    /// Reads bytes, and panics where something does not hold.
    pub read: fn(&[u8]),
}

/// Every reader.
pub const READERS: [Reader; 15] = [
    Reader { name: "bucket", read: configuration::bucket },
    Reader { name: "commits", read: wal::commits },
    Reader { name: "failure", read: failures::failure },
    Reader { name: "heartbeats", read: wal::heartbeats },
    Reader { name: "history", read: wal::history },
    Reader { name: "info", read: archive::info },
    Reader { name: "ini", read: configuration::ini },
    Reader { name: "ledger", read: slots::ledger },
    Reader { name: "listing", read: archive::listing },
    Reader { name: "page", read: wal::page },
    Reader { name: "redaction", read: failures::redaction },
    Reader { name: "settings", read: configuration::settings },
    Reader { name: "settings-file", read: configuration::settings_file },
    Reader { name: "state", read: record::state },
    Reader { name: "target", read: target::target },
];

/// A secret that must not come through.
pub const SECRET: &str = "wJalrXUtnFEMI";

/// The samples of a reader, out of the repository at `root`: its seeds, and what a real pgBackRest has said of failures.
///
/// # Panics
/// When they can't be read.
#[must_use]
pub fn samples(reader: &Reader, root: &Path) -> Vec<Vec<u8>> {
    let own = root.join("tests/fuzz/seeds").join(reader.name);
    let said = root.join("tests/lab/samples");
    let folders = if ["failure", "redaction"].contains(&reader.name) { vec![own, said] } else { vec![own] };
    let entries = |folder: &Path| fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> =
        folders.iter().flat_map(|folder| entries(folder).flatten().map(|file| file.path())).collect();
    files.sort();
    files.into_iter().map(|path| fs::read(path).expect("a sample")).collect()
}
