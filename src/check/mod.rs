//! `pgbackrest-guard check`: whether this installation archives, shown from end to end.
//!
//! It looks at the programs, the rights, pgBackRest, the server's settings and the stanza; then has the server end the WAL
//! segment that it writes, waits until that is archived, finds it in each repository's listing, fetches it back and holds it
//! against what lies in `pg_wal`. That one segment switch is all that it changes. Each step is a finding on one line; a step
//! that an earlier one makes pointless is skipped and says why. What a finding comes to is decided in `decide/check.rs`; here
//! things are looked at.

mod archive;
mod programs;

pub use programs::version as program_version;

use crate::clusters;
use crate::data_directory::DataDirectory;
use crate::decide::check::{self, Finding, Watcher};
use crate::ledger::Ledger;
use crate::pgbackrest::Client;
use crate::postgres::Postgres;
use crate::presence;
use crate::settings::{CommonSettings, Connection, Environment};
use std::path::PathBuf;
use std::time::Duration;

/// What a check goes by.
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// How to reach the server.
    pub connection: Connection,
    /// The environment.
    pub environment: Environment,
    /// The data directory.
    pub directory: DataDirectory,
    /// Why the user who runs us can't stand for the server's own; `None` where it is the same user.
    pub foreign: Option<String>,
    /// How long the segment may take to be archived.
    pub limit: Duration,
    /// The folder that this program lies in, where its siblings are looked for first.
    pub beside: Option<PathBuf>,
}

/// What a check comes to.
pub struct Checked {
    /// The findings, in their order.
    pub findings: Vec<Finding>,
    /// Whether a WAL segment was switched.
    pub switched: bool,
}

impl Request {
    fn client(&self) -> Client {
        self.common.client(&self.environment, self.directory.path())
    }
}

/// Checks, and hands each finding out as soon as it is there.
pub fn check(request: &Request, say: &mut dyn FnMut(&Finding)) -> Checked {
    let mut findings = Vec::new();
    let mut found = |finding: Finding| {
        say(&finding);
        let passed = !finding.has_failed();
        findings.push(finding);
        passed
    };
    let client = request.client();
    found(programs::ours(request.beside.as_deref()));
    let mut well = found(owner(request));
    well &= found(programs::pgbackrest(&client));
    well &= found(switched_on(request));
    found(watcher(request));
    let mut switched = false;
    let server = Postgres::of(&request.directory, &request.connection);
    match server.installation() {
        Ok(seen) => {
            let role = if seen.in_recovery { "a standby" } else { "a primary" };
            found(Finding::ok("PostgreSQL", format!("{}, {role}", seen.version)));
            well &= found(check::archiving(&seen.settings));
            found(check::restoring(&seen.settings));
            let archives = archive::stanza(&client, &request.directory);
            well &= found(archives.0);
            if seen.in_recovery {
                found(Finding::skipped("segment", "a standby writes no WAL: run this on the primary"));
            } else if well {
                for finding in archive::segment(request, &client, &server, &archives.1, &mut switched) {
                    found(finding);
                }
            } else {
                found(Finding::skipped("segment", "no segment is switched before the steps above pass"));
            }
        }
        Err(error) => {
            let detail = crate::log::chain(&error);
            let to_do = "start it, or say where it listens with PGHOST, PGPORT and PGUSER";
            found(Finding::failed("PostgreSQL", detail, to_do));
            found(archive::stanza(&client, &request.directory).0);
            found(Finding::skipped("segment", "no server answers"));
        }
    }
    Checked { findings, switched }
}

/// Whether we are who PostgreSQL is, and may write our record.
fn owner(request: &Request) -> Finding {
    const STEP: &str = "user";
    if let Some(why) = &request.foreign {
        return Finding::failed(STEP, why.clone(), "run it as the owner of the data directory");
    }
    let path = request.directory.path().display();
    let Some(folder) = &request.common.state_dir else { return Finding::ok(STEP, format!("owns {path}")) };
    let folder = &folder.value;
    if folder.is_dir() && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
        let to_do = format!("chown {} to the owner of {path}", folder.display());
        return Finding::failed(STEP, format!("{} can't be written", folder.display()), to_do);
    }
    match Ledger::peek(folder) {
        Ok(_) => Finding::ok(STEP, format!("owns {path}")),
        Err(error) => {
            let to_do = format!("check the volume of {}; the next push repairs what it can", folder.display());
            Finding::failed(STEP, crate::log::chain(&error), to_do)
        }
    }
}

/// Whether a watcher of this cluster runs.
fn watcher(request: &Request) -> Finding {
    let folder = request.common.state_dir.as_ref().map(|folder| folder.value.as_path());
    let seen = match folder {
        Some(folder) if presence::is_watched(folder) => Watcher::Runs,
        Some(folder) if presence::was_watched(folder) => Watcher::HasRun,
        _ => Watcher::Never,
    };
    check::watcher(seen, clusters::unit_of(&request.environment, request.directory.path()).as_deref())
}

/// Whether somebody has switched archiving off.
fn switched_on(request: &Request) -> Finding {
    const STEP: &str = "archiving";
    if request.common.archiving_off {
        let to_do = "set WAL_ARCHIVE_BUCKET to a bucket, and run pgbackrest-guard setup";
        return Finding::failed(STEP, "is switched off: WAL_ARCHIVE_BUCKET is empty", to_do);
    }
    match request.directory.invalid_bucket() {
        Some(why) => {
            let detail = format!("is switched off: the bucket's name was refused ({why})");
            Finding::failed(STEP, detail, "correct WAL_ARCHIVE_BUCKET, and run pgbackrest-guard setup")
        }
        None => Finding::ok(STEP, "is switched on"),
    }
}
