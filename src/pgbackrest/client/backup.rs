//! The verbs that make and expire backups. They connect to the server, or need it.

use super::{Client, PRINTED_BYTES};
use crate::pgbackrest::call::Verbosity;
use crate::pgbackrest::failure::Failure;
use crate::pgbackrest::local_server::LocalServer;
use crate::pgbackrest::output::{self, MadeBackup};
use crate::pgbackrest::watch::Watch;
use std::ffi::{OsStr, OsString};

impl Client {
    /// `stanza-create` for a server.
    ///
    /// # Errors
    /// When it fails.
    pub fn create_stanza(&self, server: &LocalServer, mut watch: Watch<'_>) -> Result<(), Failure> {
        let flags = self.server_flags(server, "stanza-create");
        let arguments = with_flags(&["stanza-create"], &flags);
        self.succeeded(self.caller.verbosity(), &arguments, PRINTED_BYTES, &mut watch).map(drop)
    }

    /// `backup` of a server, without the expiry behind it, into one repository; `None`: into the only one. What was made;
    /// `None` where its lines do not say.
    ///
    /// # Errors
    /// When it fails.
    pub fn backup(
        &self,
        kind: &str,
        repository: Option<u32>,
        server: &LocalServer,
        mut watch: Watch<'_>,
    ) -> Result<Option<MadeBackup>, Failure> {
        let kind = format!("--type={kind}");
        let mut flags = self.server_flags(server, "backup");
        flags.extend(repository.map(|key| format!("--repo={key}").into()));
        let arguments = with_flags(&["backup", "--no-expire-auto", kind.as_str()], &flags);
        let ended = self.succeeded(Verbosity::Info, &arguments, PRINTED_BYTES, &mut watch)?;
        Ok(output::made_backup(&output::joined(&ended.stderr, &ended.stdout)))
    }

    /// `expire`.
    ///
    /// # Errors
    /// When it fails.
    pub fn expire(&self, mut watch: Watch<'_>) -> Result<(), Failure> {
        self.succeeded(self.caller.verbosity(), &[OsStr::new("expire")], PRINTED_BYTES, &mut watch).map(drop)
    }

    fn server_flags(&self, server: &LocalServer, command: &str) -> Vec<OsString> {
        self.config.as_ref().map(|config| server.flags(config, command)).unwrap_or_default()
    }
}

fn with_flags<'a>(arguments: &[&'a str], flags: &'a [OsString]) -> Vec<&'a OsStr> {
    let arguments = arguments.iter().map(|argument| OsStr::new(*argument));
    arguments.chain(flags.iter().map(OsString::as_os_str)).collect()
}
