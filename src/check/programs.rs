//! The programs: ours, and pgBackRest.

use crate::decide::check::{self, Finding, GET, PUSH};
use crate::pgbackrest::{Client, Watch};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long pgBackRest may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);
/// Characters of a message.
const SHOWN: usize = 300;

/// Whether push and get are there, in this version.
pub(super) fn ours(beside: Option<&Path>) -> Finding {
    let versions = [PUSH, GET].map(|name| (name, version(beside, name)));
    check::programs(env!("CARGO_PKG_VERSION"), &versions)
}

/// What a program of ours says that it is; looked for `beside` this program first, then on `PATH`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "our own programs are not pgBackRest")]
pub fn version(beside: Option<&Path>, name: &str) -> Option<String> {
    let path = beside.map(|folder| folder.join(name)).filter(|path| path.is_file());
    let mut command = Command::new(path.unwrap_or_else(|| name.into()));
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let said = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim().strip_prefix(name)?.trim().to_owned())
}

/// Whether pgBackRest starts, and what it is configured to do.
pub(super) fn pgbackrest(client: &Client) -> Finding {
    const STEP: &str = "pgBackRest";
    let version = match client.version(Watch::within(LIMIT)) {
        Ok(version) => version,
        Err(failure) => {
            let to_do = "install pgBackRest, or name it with WAL_GUARD_PGBACKREST";
            return Finding::failed(STEP, failure.shown(SHOWN), to_do);
        }
    };
    let Some(config) = client.config() else {
        let to_do = "correct pgbackrest.conf, or name another file with PGBACKREST_CONFIG";
        return Finding::failed(STEP, format!("{version}, and its configuration can't be read"), to_do);
    };
    let repositories: Vec<String> = config
        .repositories()
        .iter()
        .map(|key| {
            let kind = config.option("archive-push", &format!("repo{key}-type")).unwrap_or("posix");
            format!("repository {key} ({kind})")
        })
        .collect();
    Finding::ok(STEP, format!("{version}, stanza {}, {}", client.stanza(), repositories.join(", ")))
}
