//! `--repo`: the repository's catalog, asked now. It is judged as `watch` judges it.

use super::server::{self, Asking};
use crate::data_directory::DataDirectory;
use crate::pgbackrest::info::{CatalogAnswer, Doubt, Stanza};
use crate::pgbackrest::{Client, Watch};
use crate::settings::{CommonSettings, Connection};
use std::time::Duration;

/// How long the catalog may take to answer.
const LIMIT: Duration = Duration::from_mins(1);
/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the repository answered.
#[derive(Debug)]
pub struct Answer {
    /// What may be concluded from it.
    pub catalog: CatalogAnswer,
    /// What it was concluded from.
    pub stanza: Option<Stanza>,
}

/// Asks the repository for the backups of the cluster in the data directory, and the server meanwhile.
#[must_use]
pub fn ask(client: &Client, common: &CommonSettings, connection: &Connection) -> (Answer, Asking) {
    let asking = Asking::Yes(connection.clone());
    let Some(pgdata) = &common.pgdata else { return (repository(client, common), asking) };
    let directory = DataDirectory::new(pgdata.value.clone());
    std::thread::scope(|scope| {
        let server = scope.spawn(|| server::ask(&asking, &directory));
        let answer = repository(client, common);
        let heard = server.join().map_or(Asking::No, Asking::Done);
        (answer, heard)
    })
}

fn repository(client: &Client, common: &CommonSettings) -> Answer {
    let control = common.pgdata.as_ref().and_then(|pgdata| DataDirectory::new(pgdata.value.clone()).control());
    let Some(control) = control else {
        let why = "the cluster's system identifier is unknown".to_owned();
        return Answer { catalog: CatalogAnswer::Inconclusive { why, doubt: Doubt::Unreadable }, stanza: None };
    };
    let (catalog, stanza) = client.catalog(control.system_id, Watch::within(LIMIT).every(INTERVAL));
    Answer { catalog, stanza }
}
