//! pgBackRest's text into a class.
//!
//! Nothing is concluded from a word that merely stands somewhere: an S3 code counts only inside a response ([`response`]), an
//! error name only in its brackets. Each repository that failed is classified by itself, then the answers are joined
//! ([`Class::join`]): several repositories can fail for different reasons (`archive-push` reports each as
//! `repoN: [ErrorName] text`, src/command/archive/push/push.c and src/command/archive/common.c, 2.45 to 2.60).

use super::codes::InstantDropCodes;
use super::{Class, RepositoryFailure, names, response};
use crate::pgbackrest::output::{self, Level};

/// What a text says of a failure. The text itself is as pgBackRest printed it, secrets included: it stays in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// Each repository's failure; one without a number where pgBackRest names none.
    pub(crate) repositories: Vec<RepositoryFailure>,
    /// pgBackRest's text, not redacted.
    pub(crate) text: String,
}

impl Diagnosis {
    /// A class that is known without a text of pgBackRest's.
    pub(crate) fn of_class(class: Class, text: String) -> Self {
        Self { repositories: vec![RepositoryFailure { repository: None, class, s3_code: None, advice: None }], text }
    }

    /// The class of the whole.
    pub(crate) fn class(&self) -> Class {
        Class::of(&self.repositories)
    }
}

/// Classifies a pgBackRest that ended with `code`, by what it printed.
#[must_use]
pub(crate) fn of_output(code: i32, printed: &str, instant: &InstantDropCodes) -> Diagnosis {
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
    // Of a PostgreSQL that it does not know pgBackRest speaks in a warning alone.
    let explain = of_level(Level::Warn).filter(|_| code == names::VERSION_NOT_SUPPORTED);
    let texts = errors.iter().copied().chain(warnings).chain(explain).map(|message| message.text.as_str());
    let text = texts.collect::<Vec<_>>().join("\n");
    Diagnosis { repositories, text: if text.is_empty() { printed.trim().to_owned() } else { text } }
}

/// Classifies an error whose text stands alone: what the async process left in the spool, or a repository's status in `info`.
#[must_use]
pub(crate) fn of_message_alone(code: i32, text: &str, instant: &InstantDropCodes) -> Diagnosis {
    Diagnosis { repositories: of_message(code, text, instant), text: text.to_owned() }
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
            let (class, advice) = names::class(&attempt);
            causes.push((class, None, advice));
        }
        causes.extend(exchanges.into_iter().map(|exchange| {
            let (class, advice) = exchange.class(instant);
            (class, exchange.code, advice)
        }));
    }
    let classes: Vec<Class> = causes.iter().map(|(class, ..)| *class).collect();
    let class = Class::join(&classes).unwrap_or(Class::Unknown);
    let advice = causes.iter().filter(|(of, ..)| *of == class).find_map(|(_, _, advice)| *advice);
    let s3_code = causes.into_iter().filter(|(of, ..)| *of == class).find_map(|(_, s3_code, _)| s3_code);
    RepositoryFailure { repository, class, s3_code, advice }
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
#[path = "tests.rs"]
mod tests;
