//! A push to some of the repositories, for where others are dead.
//!
//! `archive-push` takes no `--repo`, and no option takes a configured repository away (`--reset-repo2-path` leaves the group
//! there; src/config/parse.c, 2.45 to 2.60). But every option may come as a variable, secrets too, and `--no-config` keeps
//! pgBackRest from every file: so it is given what is in force, without the other repositories' options. Nothing is written for
//! that, and its lock, spool and queue are out of the way, because such a push is synchronous.

use super::{Client, PRINTED_BYTES, Spoken};
use crate::pgbackrest::failure::Failure;
use crate::pgbackrest::output;
use crate::pgbackrest::pushed::Pushed;
use crate::pgbackrest::run::{self, Ending};
use crate::pgbackrest::watch::Watch;
use std::ffi::OsStr;
use std::path::Path;

impl Client {
    /// `archive-push` to these repositories alone, at once. `path` is as PostgreSQL gives it, or absolute.
    #[must_use]
    pub fn push_to(&self, repositories: &[u32], path: &Path, mut watch: Watch<'_>) -> Spoken<Result<Pushed, Failure>> {
        let options = self.config.iter().flat_map(|config| config.as_variables("archive-push", repositories));
        let caller = self.caller.with_options(options.collect());
        let how =
            ["--no-config", "--no-archive-async", "--reset-archive-push-queue-max", "archive-push"].map(OsStr::new);
        let command = caller.command(self.caller.verbosity(), how.into_iter().chain([path.as_os_str()]));
        let ended = run::run(command, PRINTED_BYTES, &mut watch);
        let text = output::joined(&ended.stderr, &ended.stdout);
        let answer = match ended.ending {
            Ending::Exited(0) => Ok(Pushed::by(&text)),
            _ => Err(self.failure(&ended, &text, watch.limit)),
        };
        Spoken { printed: self.redactor.redact(text.as_bytes()), answer }
    }
}
