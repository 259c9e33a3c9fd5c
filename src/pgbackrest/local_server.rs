//! Where the server of this machine listens, for the commands that connect to it.
//!
//! `stanza-create` and `backup` connect by `pgN-port` and `pgN-socket-path`, else by port 5432 in libpq's default folder, and
//! fail with 56 ("unable to find primary cluster") where the server was started with another (`-c port=`, `PGPORT`, a
//! build whose default folder differs from that of pgBackRest's libpq). What `postmaster.pid` says is so in any case. As whom
//! they connect, libpq guesses by the user's name; where that guess is known to be wrong, the role is named too.

use super::config::Config;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The most PostgreSQL hosts that pgBackRest knows (src/config/config.h, 2.45: 256; 8 before 2.33).
const MOST: u32 = 256;

/// A server of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalServer {
    /// Its data directory.
    pub data_directory: PathBuf,
    /// The folder of its socket.
    pub socket: Option<PathBuf>,
    /// Its port.
    pub port: Option<u16>,
    /// The role, where libpq would take a wrong one.
    pub role: Option<String>,
}

impl LocalServer {
    /// The flags that say so for `command`; none where the configuration does not have this server on this machine.
    pub(super) fn flags(&self, config: &Config, command: &str) -> Vec<OsString> {
        let option = |number: u32, name: &str| config.option(command, &format!("pg{number}-{name}"));
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let own = real(&self.data_directory);
        let is_own = |number: &u32| option(*number, "path").is_some_and(|path| real(Path::new(path)) == own);
        let Some(number) = (1..=MOST).find(is_own).filter(|number| option(*number, "host").is_none()) else {
            return Vec::new();
        };
        let socket = self.socket.iter().map(|folder| {
            let mut flag = OsString::from(format!("--pg{number}-socket-path="));
            flag.push(folder);
            flag
        });
        let port = self.port.map(|port| format!("--pg{number}-port={port}").into());
        // What an operator has written is meant.
        let role = self.role.as_ref().filter(|_| option(number, "user").is_none());
        socket.chain(port).chain(role.map(|role| format!("--pg{number}-user={role}").into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn flags(environment: &[(&str, &str)]) -> Vec<String> {
        let server = LocalServer {
            data_directory: "/srv/pg/main".into(),
            socket: Some("/run/pg".into()),
            port: Some(5433),
            role: Some("app".to_owned()),
        };
        let none = ("PGBACKREST_CONFIG_PATH", "/nonexistent");
        let variables = environment.iter().chain([&none]).map(|(name, value)| (OsStr::new(*name), OsStr::new(*value)));
        let config = Config::load("main", variables).unwrap();
        server.flags(&config, "backup").into_iter().map(|flag| flag.into_string().unwrap()).collect()
    }

    #[test]
    fn only_a_server_that_is_configured_here_is_named() {
        let own = ("PGBACKREST_PG1_PATH", "/srv/pg/main");
        assert_eq!(flags(&[own]), ["--pg1-socket-path=/run/pg", "--pg1-port=5433", "--pg1-user=app"]);
        let named = [own, ("PGBACKREST_PG1_USER", "backup")];
        assert_eq!(flags(&named), ["--pg1-socket-path=/run/pg", "--pg1-port=5433"], "a role that is configured stays");
        let second = [("PGBACKREST_PG1_PATH", "/srv/pg/other"), ("PGBACKREST_PG2_PATH", "/srv/pg/main")];
        assert_eq!(flags(&second), ["--pg2-socket-path=/run/pg", "--pg2-port=5433", "--pg2-user=app"]);
        assert_eq!(flags(&[("PGBACKREST_PG1_PATH", "/srv/pg/other")]), Vec::<String>::new());
        assert_eq!(flags(&[own, ("PGBACKREST_PG1_HOST", "db")]), Vec::<String>::new());
    }
}
