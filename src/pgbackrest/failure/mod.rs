//! Why a call of pgBackRest failed: a class, the store's code, and a text without secrets.
//!
//! The class decides whether WAL is given up at once or kept ([`class`]); how it is read from pgBackRest's words is
//! [`diagnosis`]. A [`Failure`] is made inside the boundary to pgBackRest alone, and its text is [`Redacted`]: what pgBackRest
//! printed can't be logged or recorded otherwise.

mod advice;
mod brief;
mod class;
pub mod codes;
pub(crate) mod diagnosis;
mod names;
pub mod redact;
pub mod response;

pub use advice::Advice;
pub use brief::brief;
pub use class::Class;

use super::run::Ending;
use super::watch::Interruption;
use codes::InstantDropCodes;
use diagnosis::Diagnosis;
use redact::{Redacted, Redactor};
use std::collections::BTreeMap;

/// One repository's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFailure {
    /// The repository's number, where pgBackRest names it.
    pub repository: Option<u32>,
    /// The class of this failure alone.
    pub class: Class,
    /// The code in the store's answer.
    pub s3_code: Option<String>,
    /// What to do, where the class alone does not tell.
    pub advice: Option<Advice>,
}

/// How a pgBackRest that failed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, sent by somebody else.
    Signaled(i32),
    /// We ended it.
    Interrupted(Interruption),
    /// It was never started.
    NotStarted,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    repositories: Vec<RepositoryFailure>,
    end: End,
    text: Redacted,
}

impl Failure {
    pub(super) fn new(diagnosis: Diagnosis, end: End, redactor: &Redactor) -> Self {
        let text = redactor.redact(names::without_alarm(&diagnosis.text).as_bytes());
        Self { repositories: diagnosis.repositories, end, text }
    }

    /// Why a pgBackRest failed that ended by itself, by what it printed.
    #[must_use]
    pub fn printed(code: i32, text: &str, instant: &InstantDropCodes, redactor: &Redactor) -> Self {
        Self::new(diagnosis::of_output(code, text, instant), End::Exited(code), redactor)
    }

    /// A failure of our own on this machine, in our own words.
    pub(super) fn local(text: &str, end: End, redactor: &Redactor) -> Self {
        Self::new(Diagnosis::of_class(Class::Local, text.to_owned()), end, redactor)
    }

    /// The class of the whole.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::of(&self.repositories)
    }

    /// The store's code that explains the class of the whole.
    #[must_use]
    pub fn s3_code(&self) -> Option<&str> {
        let class = self.class();
        let mut of_class = self.repositories.iter().filter(|failure| failure.class == class);
        of_class.find_map(|failure| failure.s3_code.as_deref())
    }

    /// How pgBackRest ended.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// pgBackRest's own code, where it has one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        if let End::Exited(code) = self.end { Some(code) } else { None }
    }

    /// Whether we ended pgBackRest because we were asked to end ourselves.
    #[must_use]
    pub fn is_ours_to_end(&self) -> bool {
        self.end == End::Interrupted(Interruption::Signal)
    }

    /// What pgBackRest said, or what we say of it.
    #[must_use]
    pub fn text(&self) -> &Redacted {
        &self.text
    }

    /// Whether what was read is damaged in the store: pgBackRest got it, and can't decompress or decrypt it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        names::is_damage(&self.text.to_string())
    }

    /// What a person can do about it, for the end of a line.
    #[must_use]
    pub fn remedy(&self) -> String {
        let class = self.class();
        let mut of_class = self.repositories.iter().filter(|failure| failure.class == class);
        of_class
            .find_map(|failure| failure.advice)
            .map_or_else(|| class.remedy().to_owned(), |advice| advice.to_string())
    }

    /// `pgBackRest 103: text`, or our own words alone; the text at most `most` characters, on one line.
    #[must_use]
    pub fn shown(&self, most: usize) -> String {
        let text = self.text.one_line(most);
        self.code().map_or_else(|| text.clone(), |code| format!("pgBackRest {code}: {text}"))
    }

    /// The numbers of the repositories that failed, where pgBackRest names them.
    #[must_use]
    pub fn repositories(&self) -> Vec<u32> {
        let mut keys: Vec<u32> = self.repositories.iter().filter_map(|failed| failed.repository).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// This failure and that of other repositories: the class is of both, the words and the end are this one's.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.repositories.extend(other.repositories);
        self
    }

    /// Whether a repository seems to lack its stanza. A deleted bucket looks the same: only a listing tells.
    #[must_use]
    pub fn lacks_a_stanza(&self) -> bool {
        self.repositories.iter().any(|failed| failed.class == Class::StanzaMissing)
    }

    /// Corrects what seems to lack its stanza by what a listing of each repository said: only one that can be read lacks it.
    pub fn correct_by(&mut self, listing: &Listing) {
        for failed in self.repositories.iter_mut().filter(|failed| failed.class == Class::StanzaMissing) {
            let seen = match failed.repository {
                Some(key) => listing.failed.get(&key),
                // Which one failed is not known, so all must have.
                None => listing.failed.values().next().filter(|_| listing.failed.len() == listing.asked),
            };
            if let Some(seen) = seen {
                *failed = RepositoryFailure { repository: failed.repository, ..seen.clone() };
            }
        }
    }

    /// The same where there is no listing: nothing is known of the stanza then.
    pub fn without_a_listing(&mut self, why: &Self) {
        let class = if why.class() == Class::Unknown { Class::Unavailable } else { why.class() };
        for failed in self.repositories.iter_mut().filter(|failed| failed.class == Class::StanzaMissing) {
            failed.class = class;
        }
    }
}

/// What a listing of each repository said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The repositories that can't be read, and why.
    pub failed: BTreeMap<u32, RepositoryFailure>,
    /// How many were asked.
    pub asked: usize,
}

/// The words for a pgBackRest that did not end by itself with a code.
pub(super) fn unspoken(ending: &Ending, program: &str, limit: &str) -> Option<(Diagnosis, End)> {
    let (class, text, end) = match ending {
        Ending::Exited(_) => return None,
        Ending::Signaled(signal) => {
            (Class::Local, format!("pgBackRest was ended by signal {signal}"), End::Signaled(*signal))
        }
        Ending::Interrupted(why) => (Class::Unavailable, why.words(limit), End::Interrupted(*why)),
        Ending::NotStarted(error) => (Class::Unknown, format!("can't start {program}: {error}"), End::NotStarted),
    };
    Some((Diagnosis::of_class(class, text), end))
}
