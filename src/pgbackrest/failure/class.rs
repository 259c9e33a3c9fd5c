//! What kind of failure stands between a WAL file and its repository, and what a person can do about it.

use crate::word;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// What kind of failure stands between a WAL file and its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "&'static str")]
pub enum Class {
    /// The bucket or the key no longer exists.
    Gone,
    /// The store answers, and refuses.
    Denied,
    /// The repository can be read and holds no stanza.
    StanzaMissing,
    /// The store can't be reached or can't serve.
    Unavailable,
    /// The repository belongs to another cluster, or holds the same name with other content.
    Mismatch,
    /// This machine's files, locks or processes.
    Local,
    /// pgBackRest's configuration.
    Config,
    /// None of the above.
    Unknown,
    /// One that a newer version has recorded, by its word.
    Newer(&'static str),
}

impl From<Class> for &'static str {
    fn from(class: Class) -> Self {
        class.as_str()
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::known(&word).unwrap_or_else(|| Self::newer(word::kept(&word))))
    }
}

impl Class {
    fn known(word: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|class| class.as_str() == word)
    }

    /// A class by a word that was kept: of too many words none is kept but `unknown`, which is one of ours.
    fn newer(kept: &'static str) -> Self {
        Self::known(kept).unwrap_or(Self::Newer(kept))
    }

    /// Every class of this version, the one first that most needs a person.
    pub const KNOWN: [Self; 8] = [
        Self::Mismatch,
        Self::Config,
        Self::Denied,
        Self::StanzaMissing,
        Self::Gone,
        Self::Local,
        Self::Unavailable,
        Self::Unknown,
    ];

    /// The class's name in logs, in the ledger and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Denied => "denied",
            Self::StanzaMissing => "stanza-missing",
            Self::Unavailable => "unavailable",
            Self::Mismatch => "mismatch",
            Self::Local => "local",
            Self::Config => "config",
            Self::Unknown => "unknown",
            Self::Newer(word) => word,
        }
    }

    /// What a person can do about it, for the end of a line.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Gone => "recreate the bucket or configure a valid access key",
            Self::Denied => "grant the key its permissions; check its secret and this machine's clock",
            Self::StanzaMissing => "pgbackrest stanza-create, if this repository is the right one",
            Self::Unavailable => "nothing, if the store comes back; otherwise check the store and the network",
            Self::Mismatch => "find out which cluster the repository belongs to, and delete nothing",
            Self::Local => "check this machine's space and permissions; after a pgbackrest stop, run pgbackrest start",
            Self::Config => "correct pgBackRest's configuration",
            Self::Unknown | Self::Newer(_) => "read pgBackRest's message",
        }
    }

    /// The class of several repositories' failures together.
    #[must_use]
    pub fn of(failures: &[super::RepositoryFailure]) -> Self {
        let classes: Vec<Self> = failures.iter().map(|failure| failure.class).collect();
        Self::join(&classes).unwrap_or(Self::Unknown)
    }

    /// The class of several failures together: the one that most needs a person, and `Gone` only if all are.
    #[must_use]
    pub fn join(classes: &[Self]) -> Option<Self> {
        let all_gone = classes.iter().all(|class| *class == Self::Gone);
        Self::KNOWN.into_iter().find(|class| classes.contains(class) && (all_gone || *class != Self::Gone))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_could_not_be_kept_is_the_class_unknown() {
        assert_eq!(Class::newer("unknown"), Class::Unknown);
        assert_eq!(Class::newer("paused"), Class::Newer("paused"));
    }
}
