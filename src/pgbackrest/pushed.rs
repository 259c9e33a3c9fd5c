//! What a push that pgBackRest called a success came to: exit 0 does not say that the file was stored just now, or at all.

use super::output::{self, Skipped};

/// A push that pgBackRest called a success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The files that it acknowledged without storing them.
    pub dropped: Vec<Skipped>,
    /// Whether it has left a file as it is in a repository, because one of that name and checksum was there already. It has
    /// compared names, not contents (`archivePushFile`, src/command/archive/push/file.c, 2.45 to 2.59.1).
    pub existed: bool,
}

impl Pushed {
    /// What a successful push printed.
    pub(super) fn by(text: &str) -> Self {
        Self { dropped: output::skipped(text), existed: output::existed(text) }
    }
}
