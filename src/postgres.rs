//! The connection to the server, and the few queries.
//!
//! Over the local socket, by the crate `postgres`. Role and database are `PGUSER` and `PGDATABASE` if set, else
//! `postgres`; where that database does not exist, `template1`, but only for the moment of a query: a session that
//! stays there makes `CREATE DATABASE` fail. Each query runs on a thread of its own, with a time limit of 5 s for it and its connection, because a
//! server that hangs accepts a connection on its socket and then says nothing.

mod installation;
mod recovery;

pub use recovery::Recovery;

use crate::data_directory::DataDirectory;
use crate::settings::Connection;
use crate::wal::{Lsn, SegmentName, SegmentSize, Timeline};
use postgres::error::SqlState;
use postgres::{Client, NoTls};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a connection and its query may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a query that runs asks whether we were told to end.
const INTERVAL: Duration = Duration::from_millis(100);
/// How many queries may hang at a time: a server that is stopped answers none, and each holds a thread.
const HANGING: usize = 3;

/// Why the server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It can't be connected to, or a query failed.
    #[error("PostgreSQL does not answer: {0}")]
    Query(String),
    /// Nothing listens there, or it is starting or stopping: it lets nobody in, whoever asks.
    #[error("PostgreSQL does not answer: {0}")]
    NotUp(String),
    /// It does not let the role in.
    #[error("PostgreSQL rejects the role {role}: {hint} ({why})")]
    Refused {
        /// As whom we came.
        role: String,
        /// What would help.
        hint: &'static str,
        /// What it answered.
        why: String,
    },
    /// We were told to end meanwhile.
    #[error("interrupted by a signal while PostgreSQL was queried")]
    MustEnd,
    /// It said nothing in time.
    #[error("PostgreSQL does not answer within {} s", .0.as_secs())]
    TimeLimit(Duration),
}

impl ServerError {
    fn of(error: &postgres::Error) -> Self {
        let text = crate::log::chain(error);
        match error.code() {
            Some(&SqlState::CANNOT_CONNECT_NOW) => Self::NotUp(text),
            None if is_io(error) => Self::NotUp(text),
            _ => Self::Query(text),
        }
    }
}

/// Whether the operating system has refused it: no socket, nobody who listens on it, or a connection that was cut.
fn is_io(error: &postgres::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// It is recovering: a standby, or not there yet.
    Recovering,
    /// It is a primary.
    Primary(Primary),
}

/// A primary's facts. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// The system identifier, made by initdb and the same on every standby.
    pub system_id: u64,
    /// Bytes of a WAL segment; `None` where the server did not say.
    pub segment_size: Option<SegmentSize>,
    /// `pg_stat_archiver`: files archived since `stats_reset`.
    pub archived_count: u64,
    /// `pg_stat_archiver`: failures since `stats_reset`.
    pub failed_count: u64,
    /// `pg_stat_archiver`: the newest file archived.
    pub last_archived_wal: Option<String>,
    /// `pg_stat_archiver`: when that was, in seconds since 1970.
    pub last_archived_at: Option<i64>,
    /// `pg_stat_archiver`: when a push last failed.
    pub last_failed_at: Option<i64>,
    /// `pg_stat_archiver`: when the counters began.
    pub stats_reset: Option<i64>,
    /// Whether a push has succeeded since the last one failed. The archiver goes in order: what had failed is archived
    /// then, or given up.
    pub caught_up: bool,
    /// The timeline that is written now.
    pub timeline: Option<Timeline>,
    /// Up to where WAL has been written.
    pub position: Option<Lsn>,
    /// Whether `archive_mode` is `always`: pgBackRest refuses to back up such a server (67).
    pub archives_always: bool,
}

/// Where the server is, and as whom to ask.
#[derive(Debug, Clone)]
pub struct Postgres {
    host: PathBuf,
    port: u16,
    user: String,
    databases: Vec<String>,
    limit: Duration,
    /// Held by every query that has not ended.
    queries: Arc<()>,
}

/// What `status` wants to know. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archiver {
    /// Whether it is recovering.
    pub in_recovery: bool,
    /// The timeline that it writes, or up to which it has come.
    pub timeline: Option<u32>,
    /// `pg_stat_archiver`: files archived since `stats_reset`.
    pub archived_count: u64,
    /// `pg_stat_archiver`: failures since `stats_reset`.
    pub failed_count: u64,
    /// `pg_stat_archiver`: the newest file archived.
    pub last_archived_wal: Option<String>,
    /// `pg_stat_archiver`: when that was, in seconds since 1970.
    pub last_archived_at: Option<i64>,
    /// Whether `archive_mode` is on and there is a command or a library; `None` where the role may not see that.
    pub archives: Option<bool>,
    /// Whether `archive_mode` is `always`: pgBackRest refuses to back up such a server (67).
    pub archives_always: bool,
}

/// The timeline of a standby: `pg_control_checkpoint` lags, the end of recovery does not.
const ARCHIVER: &str = "select pg_is_in_recovery(), case when pg_is_in_recovery() \
     then (select greatest(c.timeline_id, r.min_recovery_end_timeline) from pg_control_checkpoint() c, \
     pg_control_recovery() r)::bigint \
     else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end, \
     archived_count, failed_count, last_archived_wal, floor(extract(epoch from last_archived_time))::bigint, \
     (select case when setting = 'off' then false else (select bool_or(setting <> '') from pg_settings \
     where name in ('archive_command', 'archive_library') having bool_or(name = 'archive_command')) end from \
     pg_settings where name = 'archive_mode'), \
     coalesce(current_setting('archive_mode', true) = 'always', false) from pg_stat_archiver";

const FACTS: &str = "select (select system_identifier from pg_control_system())::text, \
     (select setting::bigint from pg_settings where name = 'wal_segment_size'), \
     archived_count, failed_count, last_archived_wal, floor(extract(epoch from last_archived_time))::bigint, \
     floor(extract(epoch from last_failed_time))::bigint, floor(extract(epoch from stats_reset))::bigint, \
     coalesce(last_archived_time > last_failed_time, last_failed_time is null), \
     pg_walfile_name(pg_current_wal_lsn()), pg_current_wal_lsn()::text, coalesce(current_setting('archive_mode', \
     true) = 'always', false) \
     from pg_stat_archiver";

/// The text is its time, which a drill reads out of the WAL that it has replayed ([`crate::wal::heartbeats`]).
const HEARTBEAT: &str = "select pg_logical_emit_message(false, 'pgbackrest_guard_heartbeat', \
     to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))";

impl Postgres {
    /// The server of a data directory: where its pid file says, unless the settings say otherwise.
    #[must_use]
    pub fn of(directory: &DataDirectory, connection: &Connection) -> Self {
        let (socket, port) = directory.socket();
        Self {
            host: connection.host.clone().or(socket).unwrap_or_else(|| PathBuf::from("/var/run/postgresql")),
            port: connection.port.or(port).unwrap_or(5432),
            user: connection.user.clone().unwrap_or_else(|| "postgres".to_owned()),
            databases: databases(connection.database.as_deref()),
            limit: LIMIT,
            queries: Arc::default(),
        }
    }

    /// Looks anew where the server is: it may have been started since, with another socket or port.
    pub fn look_again(&mut self, directory: &DataDirectory, connection: &Connection) {
        *self = Self { queries: Arc::clone(&self.queries), ..Self::of(directory, connection) };
    }

    /// The same with another time limit.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same, asked in another database.
    #[must_use]
    pub fn in_database(&self, name: &str) -> Self {
        Self { databases: vec![name.to_owned()], ..self.clone() }
    }

    /// What `status` wants to know.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn archiver(&self) -> Result<Archiver, ServerError> {
        self.within_limit(&mut || false, |client| {
            let row = client.query_one(ARCHIVER, &[])?;
            let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
            Ok(Archiver {
                in_recovery: row.get(0),
                timeline: row.get::<_, Option<i64>>(1).and_then(|timeline| timeline.try_into().ok()),
                archived_count: count(2),
                failed_count: count(3),
                last_archived_wal: row.get(4),
                last_archived_at: row.get(5),
                archives: row.get(6),
                archives_always: row.get(7),
            })
        })
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// When it does not answer in time, or before `must_end` says so.
    pub fn ask(&self, must_end: &mut dyn FnMut() -> bool) -> Result<Server, ServerError> {
        self.within_limit(must_end, |client| {
            let recovering: bool = client.query_one("select pg_is_in_recovery()", &[])?.get(0);
            if recovering {
                return Ok(Server::Recovering);
            }
            let row = client.query_one(FACTS, &[])?;
            let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
            Ok(Server::Primary(Primary {
                system_id: row.get::<_, String>(0).parse::<i64>().map_or(0, i64::cast_unsigned),
                segment_size: SegmentSize::try_from(count(1)).ok(),
                archived_count: count(2),
                failed_count: count(3),
                last_archived_wal: row.get(4),
                last_archived_at: row.get(5),
                last_failed_at: row.get(6),
                stats_reset: row.get(7),
                caught_up: row.get(8),
                timeline: row.get::<_, String>(9).parse().ok().map(SegmentName::timeline),
                position: row.get::<_, String>(10).parse().ok(),
                archives_always: row.get(11),
            }))
        })
    }

    /// Writes a WAL record that says that the cluster is alive, so that an idle cluster's archive keeps up, and when.
    ///
    /// # Errors
    /// When the server does not answer in time, or before `must_end` says so.
    pub fn heartbeat(&self, must_end: &mut dyn FnMut() -> bool) -> Result<(), ServerError> {
        self.emit(must_end, HEARTBEAT)
    }

    /// Writes a transaction, so that a recovery to a time after a backup finds a commit at which to stop.
    ///
    /// # Errors
    /// When the server does not answer in time, or before `must_end` says so.
    pub fn anchor(&self, must_end: &mut dyn FnMut() -> bool) -> Result<(), ServerError> {
        self.emit(must_end, "select pg_logical_emit_message(true, 'pgbackrest_guard_anchor', '')")
    }

    /// Asks for a checkpoint: only one frees what is archived or given up.
    ///
    /// # Errors
    /// When the server does not answer in time, or before `must_end` says so; a checkpoint that has begun goes on.
    pub fn checkpoint(&self, must_end: &mut dyn FnMut() -> bool) -> Result<(), ServerError> {
        self.within_limit(must_end, |client| client.batch_execute("checkpoint"))
    }

    fn emit(&self, must_end: &mut dyn FnMut() -> bool, statement: &'static str) -> Result<(), ServerError> {
        self.within_limit(must_end, move |client| client.query_one(statement, &[]).map(drop))
    }

    /// Runs a query on a thread of its own. One that hangs is left behind; its thread ends with the connection.
    fn within_limit<T: Send + 'static>(
        &self,
        must_end: &mut dyn FnMut() -> bool,
        query: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
    ) -> Result<T, ServerError> {
        if Arc::strong_count(&self.queries) > HANGING {
            return Err(ServerError::TimeLimit(self.limit));
        }
        let (sender, receiver) = mpsc::channel();
        let server = self.clone();
        std::thread::spawn(move || {
            let answer = server.connect().and_then(|mut client| query(&mut client));
            let _ = sender.send(answer);
        });
        let until = Instant::now() + self.limit;
        loop {
            match receiver.recv_timeout(INTERVAL) {
                Ok(answer) => return answer.map_err(|error| self.failed(&error)),
                Err(RecvTimeoutError::Timeout) if must_end() => return Err(ServerError::MustEnd),
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => return Err(ServerError::TimeLimit(self.limit)),
            }
        }
    }

    fn failed(&self, error: &postgres::Error) -> ServerError {
        let why = crate::log::chain(error);
        match refusal(error.code(), &why) {
            Some(hint) => ServerError::Refused { role: self.user.clone(), hint, why },
            None => ServerError::of(error),
        }
    }

    /// Connects to the first of the databases that exists.
    fn connect(&self) -> Result<Client, postgres::Error> {
        let is_missing = |error: &postgres::Error| error.code() == Some(&SqlState::INVALID_CATALOG_NAME);
        for database in &self.databases {
            match self.connect_to(database) {
                Err(error) if is_missing(&error) => {}
                other => return other,
            }
        }
        self.connect_to("template1")
    }

    fn connect_to(&self, database: &str) -> Result<Client, postgres::Error> {
        let mut config = postgres::Config::new();
        let host = self.host.to_string_lossy();
        config
            .host(&host)
            .port(self.port)
            .user(&self.user)
            .dbname(database)
            .application_name("pgbackrest-guard")
            .connect_timeout(self.limit)
            .tcp_user_timeout(self.limit)
            .options(&format!("-c statement_timeout={}", self.limit.as_millis()));
        config.connect(NoTls)
    }
}

/// What would help, where a role was not let in. The crate `postgres` (0.19) says "password missing" itself, without a code.
fn refusal(code: Option<&SqlState>, why: &str) -> Option<&'static str> {
    let is_password = code == Some(&SqlState::INVALID_PASSWORD) || code.is_none() && why.contains("password missing");
    if is_password {
        return Some(
            "it asks for a password, and neither pgbackrest-guard nor pgBackRest has one; let the role in over the \
             socket without one, with this line above the others in pg_hba.conf: local all ROLE peer",
        );
    }
    (code == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
        .then_some("name an existing superuser with PGUSER, and let it in over the socket in pg_hba.conf")
}

/// The databases that are tried before `template1`, in their order.
fn databases(set: Option<&str>) -> Vec<String> {
    let mut databases: Vec<String> = set.map(str::to_owned).into_iter().collect();
    if set != Some("postgres") {
        databases.push("postgres".to_owned());
    }
    databases
}
