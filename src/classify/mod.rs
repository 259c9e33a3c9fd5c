//! Why a push failed: pgBackRest's text into a class.
//!
//! The class decides whether WAL is given up at once or kept, so nothing is concluded from a word that merely stands
//! somewhere: an S3 code counts only inside a response ([`response`]), an error name only in its brackets. Each
//! repository that failed is classified by itself, then the answers are joined ([`Class::join`]): several
//! repositories can fail for different reasons (`archive-push` reports each as `repoN: [ErrorName] text`,
//! src/command/archive/push/push.c and src/command/archive/common.c, 2.45 to 2.59).

pub mod codes;
mod names;
pub mod redact;
pub mod response;

use crate::pgbackrest::output::{self, Level};
use crate::word;
use codes::InstantDropCodes;
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
        let known = Self::KNOWN.into_iter().find(|class| class.as_str() == word);
        Ok(known.unwrap_or_else(|| Self::Newer(word::kept(&word))))
    }
}

impl Class {
    /// Every class of this version, the one first that most needs a person.
    const KNOWN: [Self; 8] = [
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
            Self::Gone => "make the bucket, or give pgBackRest a key that exists",
            Self::Denied => "give the key its rights; check its secret and this machine's clock",
            Self::StanzaMissing => "pgbackrest stanza-create, if this repository is the right one",
            Self::Unavailable => "nothing, if the store comes back; else look at the store and the network",
            Self::Mismatch => "look which cluster the repository belongs to, and delete nothing",
            Self::Local => "look at this machine: space, permissions, pgbackrest start after a stop",
            Self::Config => "correct pgBackRest's configuration",
            Self::Unknown | Self::Newer(_) => "read pgBackRest's message",
        }
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

/// One repository's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFailure {
    /// The repository's number, where pgBackRest names it.
    pub repository: Option<u32>,
    /// The class of this failure alone.
    pub class: Class,
    /// The code in the store's answer.
    pub s3_code: Option<String>,
}

/// Why a push failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Each repository's failure; one without a number where pgBackRest names none.
    pub repositories: Vec<RepositoryFailure>,
    /// pgBackRest's text, not yet redacted: it must pass [`redact::Redactor`] before it goes anywhere.
    pub text: String,
}

impl Failure {
    /// The failure of a class known without a text.
    #[must_use]
    pub fn of_class(class: Class, text: &str) -> Self {
        let repositories = vec![RepositoryFailure { repository: None, class, s3_code: None }];
        Self { repositories, text: text.to_owned() }
    }

    /// The class of the whole.
    #[must_use]
    pub fn class(&self) -> Class {
        let classes: Vec<Class> = self.repositories.iter().map(|failure| failure.class).collect();
        Class::join(&classes).unwrap_or(Class::Unknown)
    }

    /// The store's code that explains the class of the whole.
    #[must_use]
    pub fn s3_code(&self) -> Option<&str> {
        let class = self.class();
        let mut of_class = self.repositories.iter().filter(|failure| failure.class == class);
        of_class.find_map(|failure| failure.s3_code.as_deref())
    }
}

/// Classifies a pgBackRest that ended with `code`, by what it printed.
#[must_use]
pub fn of_output(code: i32, printed: &str, instant: &InstantDropCodes) -> Failure {
    let messages = output::messages(printed);
    let of_level = |level| messages.iter().filter(move |message| message.level == level);
    let errors: Vec<_> = of_level(Level::Error).collect();
    // Where the error tells no cause, the warnings before it do (`unable to find a valid repository`, sync).
    let tells = |text: &str| !blocks(text).is_empty() || !response::exchanges(text).is_empty();
    let told = errors.iter().any(|message| tells(&message.text));
    let warnings = of_level(Level::Warn).filter(|message| !told && tells(&message.text));
    let mut repositories = Vec::new();
    for message in warnings.clone().chain(errors.iter().copied()) {
        repositories.extend(of_message(message.code.unwrap_or(code), &message.text, instant));
    }
    if repositories.iter().any(|failure| failure.repository.is_some()) {
        repositories.retain(|failure| failure.repository.is_some());
    } else if warnings.clone().next().is_some() {
        // The error itself says no more than that it failed.
        repositories.retain(|failure| failure.class != Class::Unknown);
    }
    if repositories.is_empty() {
        repositories.extend(of_message(code, printed, instant));
    }
    let texts = errors.iter().copied().chain(warnings).map(|message| message.text.as_str());
    let text = texts.collect::<Vec<_>>().join("\n");
    Failure { repositories, text: if text.is_empty() { printed.trim().to_owned() } else { text } }
}

/// Classifies an error that the async process left in the spool.
#[must_use]
pub fn of_spool(code: i32, text: &str, instant: &InstantDropCodes) -> Failure {
    Failure { repositories: of_message(code, text, instant), text: text.to_owned() }
}

/// Classifies one error text, repository by repository.
fn of_message(code: i32, text: &str, instant: &InstantDropCodes) -> Vec<RepositoryFailure> {
    let blocks = blocks(text);
    if blocks.is_empty() {
        return vec![of_block(None, code, text, instant)];
    }
    blocks.into_iter().map(|(number, text)| of_block(Some(number), code, &text, instant)).collect()
}

fn of_block(repository: Option<u32>, code: i32, text: &str, instant: &InstantDropCodes) -> RepositoryFailure {
    let mut causes = Vec::new();
    for attempt in names::attempts(code, text) {
        let exchanges = response::exchanges(&attempt.text);
        if exchanges.is_empty() {
            causes.push((names::class(&attempt), None));
        }
        causes.extend(exchanges.into_iter().map(|exchange| (exchange.class(instant), exchange.code)));
    }
    let classes: Vec<Class> = causes.iter().map(|(class, _)| *class).collect();
    let class = Class::join(&classes).unwrap_or(Class::Unknown);
    let s3_code = causes.into_iter().filter(|(of, _)| *of == class).find_map(|(_, s3_code)| s3_code);
    RepositoryFailure { repository, class, s3_code }
}

/// The parts of a message that each speak of one repository: `repoN: [ErrorName] …` up to the next.
fn blocks(text: &str) -> Vec<(u32, String)> {
    let mut blocks: Vec<(u32, String)> = Vec::new();
    for line in text.lines() {
        if let Some((number, rest)) = repository_line(line) {
            blocks.push((number, rest.to_owned()));
        } else if let Some((_, block)) = blocks.last_mut() {
            block.push('\n');
            block.push_str(line);
        }
    }
    blocks
}

/// `repo1: [ProtocolError] …` into 1 and the rest; archive-get puts the file's path before the bracket.
fn repository_line(line: &str) -> Option<(u32, &str)> {
    let rest = line.trim_start().strip_prefix("repo")?;
    let (number, rest) = rest.split_once(": ")?;
    if rest.contains('[') { Some((number.parse().ok()?, rest)) } else { None }
}

#[cfg(test)]
mod tests;
