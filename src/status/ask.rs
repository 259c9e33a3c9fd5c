//! `--repo`: the repository's catalog, asked now. It is judged as `watch` judges it.

use super::server::{self, Asking};
use crate::data_directory::DataDirectory;
use crate::pgbackrest::info::{Catalog, Doubt, Stanza};
use crate::pgbackrest::output;
use crate::pgbackrest::run::{self, Ended, Ending, Watch};
use crate::session::Session;
use crate::settings::{CommonSettings, Connection};
use std::ffi::OsStr;
use std::time::{Duration, Instant};

/// How long the catalog may take to answer.
const LIMIT: Duration = Duration::from_mins(1);
/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// Characters of pgBackRest's message.
const MESSAGE_LENGTH: usize = 500;

/// What the repository answered.
#[derive(Debug)]
pub struct Answer {
    /// What may be concluded from it.
    pub catalog: Catalog,
    /// What it was concluded from.
    pub stanza: Option<Stanza>,
}

#[derive(Debug, Clone, Copy)]
struct TooLate;

/// Asks the repository for the backups of the cluster in the data directory, and the server meanwhile.
#[must_use]
pub fn ask(session: &Session, common: &CommonSettings, connection: &Connection) -> (Answer, Asking) {
    let asking = Asking::Yes(connection.clone());
    let Some(pgdata) = &common.pgdata else { return (repository(session, common), asking) };
    let directory = DataDirectory::new(pgdata.value.clone());
    std::thread::scope(|scope| {
        let server = scope.spawn(|| server::ask(&asking, &directory));
        let answer = repository(session, common);
        let heard = server.join().map_or(Asking::No, Asking::Done);
        (answer, heard)
    })
}

fn repository(session: &Session, common: &CommonSettings) -> Answer {
    let stanza = &common.stanza.value;
    let control = common.pgdata.as_ref().and_then(|pgdata| DataDirectory::new(pgdata.value.clone()).control());
    let system_id = control.map(|control| control.system_id);
    let (catalog, stanza) = match (info(session, stanza), &session.config, system_id) {
        (Ok(stanza), Some(config), Some(system_id)) => {
            (stanza.catalog(system_id, &config.repositories()), Some(stanza))
        }
        (Ok(_), None, _) => (inconclusive("pgBackRest's configuration can't be read".to_owned()), None),
        (Ok(_), _, None) => (inconclusive("the cluster's system identifier is unknown".to_owned()), None),
        (Err(why), _, _) => (inconclusive(why), None),
    };
    match catalog {
        Catalog::Inconclusive { why, doubt } => {
            let why = session.redactor.redact(why.as_bytes()).one_line(MESSAGE_LENGTH);
            Answer { catalog: Catalog::Inconclusive { why, doubt }, stanza }
        }
        catalog => Answer { catalog, stanza },
    }
}

fn info(session: &Session, stanza: &str) -> Result<Stanza, String> {
    let started = Instant::now();
    let mut check = |_| (started.elapsed() >= LIMIT).then_some(TooLate);
    let watch = Watch {
        check: &mut check,
        interval: INTERVAL,
        on_signal: TooLate,
        keep: 16 * run::KEPT_BYTES,
        grace: run::GRACE,
    };
    let command = session.caller.command(["info", "--output=json"].map(OsStr::new));
    let ended = run::run(command, None, watch);
    match ended.ending {
        Ending::Exited(0) => {
            Stanza::parse(&ended.stdout, stanza).ok_or_else(|| "the answer of pgbackrest info can't be read".to_owned())
        }
        _ => Err(why(&ended)),
    }
}

fn why(ended: &Ended<TooLate>) -> String {
    let said = output::errors(&String::from_utf8_lossy(&ended.stderr));
    match &ended.ending {
        Ending::Exited(code) => format!("pgbackrest info failed: pgBackRest {code}: {said}"),
        Ending::Signaled(signal) => format!("pgbackrest info was ended by signal {signal}"),
        Ending::Stopped(TooLate) => format!("no answer within {} s", LIMIT.as_secs()),
        Ending::NotStarted(error) => format!("pgBackRest can't be started: {error}"),
    }
}

fn inconclusive(why: String) -> Catalog {
    Catalog::Inconclusive { why, doubt: Doubt::Dark }
}
