//! The server's word, asked for within two seconds.

use crate::data_directory::DataDirectory;
use crate::decide::status::ServerFacts;
use crate::log;
use crate::postgres::{Archiver, Postgres, ServerError};
use crate::settings::Connection;
use std::time::Duration;

/// How long the server may take: one that hangs accepts a connection and then says nothing.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether the server is asked.
#[derive(Debug, Clone)]
pub enum Asking {
    /// In this way, if it runs.
    Yes(Connection),
    /// Not: it was found not to answer.
    No,
    /// Not again: this was heard.
    Done(Heard),
}

/// What was heard.
#[derive(Debug, Clone)]
pub enum Heard {
    /// It does not run.
    Down,
    /// It runs and does not answer, for this reason.
    Silent(String),
    /// It runs and does not let us in, for this reason.
    Refused(String),
    /// Its answer.
    Answer(Archiver),
}

/// Asks the server of a data directory.
pub(super) fn ask(asking: &Asking, directory: &DataDirectory) -> Heard {
    match asking {
        Asking::Done(heard) => heard.clone(),
        _ if !directory.server_runs() => Heard::Down,
        Asking::No => Heard::Silent("PostgreSQL does not answer".to_owned()),
        Asking::Yes(connection) => match Postgres::of(directory, connection).within(LIMIT).archiver() {
            Ok(archiver) => Heard::Answer(archiver),
            Err(error @ ServerError::Refused { .. }) => Heard::Refused(log::chain(&error)),
            Err(error) => Heard::Silent(log::chain(&error)),
        },
    }
}

impl Heard {
    /// The answer, if there is one.
    pub(super) fn archiver(&self) -> Option<&Archiver> {
        if let Self::Answer(archiver) = self { Some(archiver) } else { None }
    }

    /// Whether it answers.
    pub(super) fn answers(&self) -> bool {
        matches!(self, Self::Answer(_))
    }

    /// What the verdict rests on.
    pub(super) fn facts(&self) -> ServerFacts {
        match self {
            Self::Down => ServerFacts::Down,
            Self::Silent(why) => ServerFacts::Silent(why.clone()),
            Self::Refused(why) => ServerFacts::Refused(why.clone()),
            Self::Answer(archiver) => {
                ServerFacts::Answers { archives: archiver.archives, always: archiver.archives_always }
            }
        }
    }
}
