//! Questions to a server that recovers, or has just done so.

use super::{Postgres, ServerError};
use crate::wal::Lsn;
use postgres::error::SqlState;

/// How far a recovery has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whether it goes on.
    pub under_way: bool,
    /// Whether it stands still: at its target, or because somebody asked for that.
    pub paused: bool,
    /// Up to where WAL is replayed, or written.
    pub position: Option<Lsn>,
    /// The newest commit that was replayed, in microseconds since 1970.
    pub last_commit: Option<i64>,
}

// CASE: each of the functions fails in the other state (xlogfuncs.c).
const RECOVERY: &str = "select pg_is_in_recovery(), case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end, \
     (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text, \
     (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint";

/// Indexes of the database whose collation had another version when they were built (`pg_collation.h`). The database's own
/// collation, 100 in `pg_index.indcollation`, has its version in `pg_database` from PostgreSQL 15 on.
const INDEXES: &str = "with changed as (select oid, quote_ident(collname) as name, collversion as built, \
     pg_collation_actual_version(oid) as here from pg_collation OWN) \
     select current_database() || '.' || i.indexrelid::regclass::text || ' (' || c.name || ' ' || c.built || ', here ' || c.here || ')' \
     from pg_index i join changed c on c.oid = any (i.indcollation) where c.built <> c.here order by 1";
const OWN_COLLATION: &str = "union all select 100, 'the database''s collation', datcollversion, \
     pg_database_collation_actual_version(oid) from pg_database where datname = current_database()";

/// A superuser that can log in; the role that asks, if it is one.
const SUPERUSER: &str = "select rolname::text from pg_roles where rolsuper and rolcanlogin \
     order by rolname = current_user desc, oid limit 1";

/// The databases that can be connected to.
const DATABASES: &str = "select datname::text from pg_database where datallowconn order by 1";

impl Postgres {
    /// How far the recovery has come.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn recovery(&self) -> Result<Recovery, ServerError> {
        self.within_limit(&mut || false, |client| {
            let row = client.query_one(RECOVERY, &[])?;
            let position: Option<String> = row.get(2);
            Ok(Recovery {
                under_way: row.get(0),
                paused: row.get(1),
                position: position.and_then(|position| position.parse().ok()),
                last_commit: row.get(3),
            })
        })
    }

    /// A superuser of the server's that can log in; `None` where there is none.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn superuser(&self) -> Result<Option<String>, ServerError> {
        self.within_limit(&mut || false, |client| Ok(client.query_opt(SUPERUSER, &[])?.map(|row| row.get(0))))
    }

    /// Asks for a promotion, and waits for nothing. Where one has ended meanwhile there is nothing to ask for.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn promote(&self) -> Result<(), ServerError> {
        self.within_limit(&mut || false, |client| match client.query_one("select pg_promote(false)", &[]) {
            // "recovery is not in progress" (xlogfuncs.c, `pg_promote`).
            Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Ok(()),
            answer => answer.map(drop),
        })
    }

    /// The databases that can be connected to.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn databases(&self) -> Result<Vec<String>, ServerError> {
        self.within_limit(&mut || false, |client| {
            Ok(client.query(DATABASES, &[])?.iter().map(|row| row.get(0)).collect())
        })
    }

    /// Indexes of the database that were built with another version of their collation than this machine's libraries have.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn indexes_to_rebuild(&self) -> Result<Vec<String>, ServerError> {
        self.within_limit(&mut || false, |client| {
            let version: i32 = client.query_one("select current_setting('server_version_num')::int", &[])?.get(0);
            let indexes = INDEXES.replace("OWN", if version >= 150_000 { OWN_COLLATION } else { "" });
            Ok(client.query(&indexes, &[])?.iter().map(|row| row.get(0)).collect())
        })
    }
}
