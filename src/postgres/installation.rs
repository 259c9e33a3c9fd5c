//! What `check` asks the server, and the one thing that it changes there.

use super::{Postgres, ServerError};
use crate::decide::check::ServerSettings;

/// What the server says of its installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// `server_version`, as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// Whether it is recovering: a standby, or not there yet.
    pub in_recovery: bool,
    /// Its settings.
    pub settings: ServerSettings,
}

/// Every role may see these (seen on PostgreSQL 15: an empty one is empty); `archive_library` has no row before 15.
const INSTALLATION: &str = "select current_setting('server_version'), pg_is_in_recovery(), \
     (select coalesce(max(setting), '') from pg_settings where name = 'archive_mode'), \
     (select coalesce(max(setting), '') from pg_settings where name = 'archive_command'), \
     (select coalesce(max(setting), '') from pg_settings where name = 'archive_library'), \
     (select coalesce(max(setting), '') from pg_settings where name = 'restore_command')";

impl Postgres {
    /// What the server says of its installation.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn installation(&self) -> Result<Installation, ServerError> {
        self.within_limit(&mut || false, |client| {
            let row = client.query_one(INSTALLATION, &[])?;
            Ok(Installation {
                version: row.get(0),
                in_recovery: row.get(1),
                settings: ServerSettings {
                    mode: row.get(2),
                    command: row.get(3),
                    library: row.get(4),
                    restore_command: row.get(5),
                },
            })
        })
    }

    /// Ends the WAL segment that is being written, after a record of ours so that there is something in it. Its name.
    ///
    /// # Errors
    /// When the server does not answer in time, or the role may not do it.
    pub fn switch_segment(&self) -> Result<String, ServerError> {
        self.within_limit(&mut || false, |client| {
            let written = "select pg_walfile_name(pg_logical_emit_message(false, 'pgbackrest_guard_check', ''))";
            let name: String = client.query_one(written, &[])?.get(0);
            client.query_one("select pg_switch_wal()::text", &[])?;
            Ok(name)
        })
    }
}
