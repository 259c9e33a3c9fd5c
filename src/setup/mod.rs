//! Setup: archiving switched on or off by a handful of settings, junk among them caught before it costs data.
//!
//! [`prepare`] finds the phase by itself: before initdb (nothing may be created in the data directory then, because
//! initdb and `pgbackrest restore` refuse one that is not empty), in the initdb hook, or on an existing cluster.

mod change;
mod place;
mod plan;
mod preview;
mod render;
mod say;
mod server_config;

use crate::checkpoint;
use crate::decide::setup::{ENDPOINT, Reason, screen};
use crate::pgbackrest::version::Version;
use crate::settings::{CommonSettings, Environment, SecretTrouble, SetupSettings};
use change::Change;
use place::Place;
use std::io;
use std::path::PathBuf;

/// The variable that carries the reason from the phase before initdb to the hook.
pub const REASON_VARIABLE: &str = "PGBACKREST_BUCKET_INVALID_REASON";
/// The variable of the bucket.
pub const BUCKET_VARIABLE: &str = "WAL_ARCHIVE_BUCKET";
/// The variables that say how to get at the bucket. With the bucket's they are what the server's environment must not have
/// when one of the values is junk.
pub const ACCESS_VARIABLES: [&str; 6] = [
    "WAL_ARCHIVE_KEY",
    "WAL_ARCHIVE_SECRET",
    "WAL_ARCHIVE_REGION",
    "WAL_ARCHIVE_ENDPOINT",
    "WAL_ARCHIVE_KEY_FILE",
    "WAL_ARCHIVE_SECRET_FILE",
];

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The common settings, by [`CommonSettings::resolve_as_named`]: the data directory may be empty or missing.
    pub common: CommonSettings,
    /// Those of setup.
    pub setup: SetupSettings,
    /// The environment.
    pub environment: Environment,
    /// What shall be done.
    pub mode: Mode,
}

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Archiving is taken away, whatever the settings say.
    pub disable: bool,
    /// Nothing is changed; what would change is printed on stdout.
    pub dry_run: bool,
}

impl Mode {
    /// Does what the settings say.
    pub const APPLY: Self = Self { disable: false, dry_run: false };
}

/// What setup came to.
#[derive(Debug)]
pub struct Prepared {
    /// Whether there is archiving.
    pub archiving: Archiving,
    /// How the environment of what is started next differs from ours.
    pub environment: EnvironmentChange,
    /// What `--dry-run` shows: a unified diff without secrets; empty when nothing would change.
    pub preview: String,
}

/// Whether there is archiving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archiving {
    /// It is configured; before initdb as far as it can be.
    On,
    /// By an empty bucket or by `--disable`.
    SwitchedOff,
    /// By junk in a variable.
    Invalid {
        /// The variable; its value may be a secret.
        variable: &'static str,
        /// What is wrong with it.
        reason: Reason,
    },
    /// No bucket is named: pgBackRest's own configuration decides.
    Unset,
}

impl EnvironmentChange {
    /// As lines for a shell to evaluate.
    #[must_use]
    pub fn shell_lines(&self) -> String {
        let unset = self.unset.iter().map(|name| format!("unset {name}\n"));
        let export = self.export.iter().map(|(name, value)| format!("export {name}={}\n", render::shell_word(value)));
        unset.chain(export).collect()
    }
}

/// What an environment must lose, then gain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentChange {
    /// Variables to take away.
    pub unset: Vec<&'static str>,
    /// Variables to set.
    pub export: Vec<(&'static str, String)>,
}

/// Setup could not do its work. What it had not changed yet is left as it was found.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nothing names a data directory.
    #[error("no data directory: name one with PGDATA or --pgdata")]
    NoDataDirectory,
    /// A cluster without an identity.
    #[error("can't read the cluster's system identifier from {0}")]
    NoIdentifier(PathBuf),
    /// A server without a configuration.
    #[error(
        "can't find the postgresql.conf of {0}: neither in it, nor in its postmaster.opts, nor below /etc/postgresql"
    )]
    NoServerConfig(PathBuf),
    /// A name that no configuration file can hold.
    #[error("{} is not plain text (UTF-8, without control characters)", .0.display().to_string().escape_debug())]
    OddPath(PathBuf),
    /// A folder that its owner may have turned into a way for root.
    #[error("{0} is a symbolic link, which root does not follow there: run setup as the server's user")]
    Link(PathBuf),
    /// One half of the credentials.
    #[error("{0} is not set, though its other half is: set both, or neither for the machine's own role")]
    HalfAKey(&'static str),
    /// A secret that can't be had.
    #[error(transparent)]
    Secret(SecretTrouble),
    /// The installed pgBackRest can't.
    #[error(
        "WAL_ARCHIVE_ENDPOINT begins with http://, but pgBackRest {0} does not speak plain HTTP to a store: use \
         https, or pgBackRest {later} or newer",
        later = Version::HTTP_AND_DOTS
    )]
    PlainHttp(Version),
    /// PostgreSQL refuses to start with `archive_mode` and this.
    #[error("wal_level is {0} in {1}: PostgreSQL would not start with archiving; set it to replica")]
    WalLevel(String, PathBuf),
    /// A file or folder that can't be changed.
    #[error("can't {what} {path}")]
    Change {
        /// What was being done.
        what: &'static str,
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

/// Does the setup for the phase that it finds. Never ends the process; logs what it did.
///
/// # Errors
/// When a file can't be written; the server can be started all the same. [`judge`] still tells what its environment
/// must lose.
pub fn prepare(request: &Request) -> Result<Prepared, SetupError> {
    let prepared = judge(request);
    say::verdict(request, &prepared.archiving);
    if request.common.pgdata.is_none() && prepared.archiving != Archiving::On {
        return Ok(prepared);
    }
    let place = Place::find(request)?;
    let plan::Plan { changes, path } = match plan::changes(request, &prepared.archiving, &place) {
        Ok(plan) => plan,
        Err(error) => return Err(withdrawn(error, request, &place)),
    };
    if prepared.archiving == Archiving::On && place.repositories(request) < 2 {
        say::hints(request);
    }
    say::repository_path(path.as_ref());
    let open = |change: &&Change| !change.is_made(place.owner);
    if request.mode.dry_run {
        let preview = preview::preview(changes.iter().filter(open));
        return Ok(Prepared { preview, ..prepared });
    }
    let mut made = 0;
    // Asked one by one, because a change may wait for the one before it.
    for change in &changes {
        if !change.is_made(place.owner) {
            change.make(place.owner)?;
            checkpoint::reached("setup-change-made");
            tracing::info!("{} {}", change.done(), change.path().display());
            made += 1;
        }
    }
    say::outcome(request, &prepared.archiving, &place, made);
    Ok(prepared)
}

/// Takes archiving out of the server's configuration and touches nothing else: for a boot that goes on without it.
///
/// # Errors
/// When that can't be done.
pub fn withdraw(request: &Request) -> Result<(), SetupError> {
    let stale = Change::Gone(Place::find(request)?.server_conf());
    if !stale.is_made(None) {
        stale.make(None)?;
        tracing::info!("removed {}", stale.path().display());
    }
    Ok(())
}

/// What would keep setup from its work, as far as that can be seen without doing it. Touches nothing.
#[must_use]
pub fn obstacle(request: &Request) -> Option<SetupError> {
    let archiving = judge(request).archiving;
    let planned = Place::find(request).and_then(|place| {
        let plan = plan::changes(request, &archiving, &place)?;
        plan.changes.iter().filter(|change| !change.is_made(place.owner)).find_map(Change::obstacle).map_or(Ok(()), Err)
    });
    planned.err()
}

/// What the settings ask for, and what follows for the environment. Touches nothing.
#[must_use]
pub fn judge(request: &Request) -> Prepared {
    let archiving = wanted(request);
    let environment = environment_change(&archiving, &request.environment);
    Prepared { archiving, environment, preview: String::new() }
}

/// A server must not be left with a configuration that it does not start with.
fn withdrawn(error: SetupError, request: &Request, place: &Place) -> SetupError {
    let stale = Change::Gone(place.server_conf());
    if matches!(error, SetupError::WalLevel(..)) && !request.mode.dry_run && !stale.is_made(None) {
        match stale.make(None) {
            Ok(()) => tracing::warn!("removed {}, with which the server would not start", stale.path().display()),
            Err(other) => return other,
        }
    }
    error
}

/// What the settings ask for.
fn wanted(request: &Request) -> Archiving {
    let setup = &request.setup;
    if request.mode.disable || request.common.archiving_off {
        return Archiving::SwitchedOff;
    }
    let Some(bucket) = &setup.bucket else { return unset_or_refused_before(&request.environment) };
    let others = [
        (ENDPOINT, setup.endpoint.as_ref()),
        ("WAL_ARCHIVE_REGION", setup.region.as_ref()),
        ("WAL_ARCHIVE_KEY", setup.key.value.as_ref()),
        ("WAL_ARCHIVE_SECRET", setup.secret.value.as_ref()),
        ("WAL_ARCHIVE_PATH", setup.path.as_ref()),
        ("WAL_ARCHIVE_S3_URI_STYLE", setup.uri_style.as_ref()),
    ];
    match screen(bucket, setup.allow_uuid, &others) {
        Ok(()) => Archiving::On,
        Err((variable, reason)) => Archiving::Invalid { variable, reason },
    }
}

/// Without a bucket: the phase before may have refused one, and handed the reason on.
fn unset_or_refused_before(environment: &Environment) -> Archiving {
    let handed_on = environment.get(REASON_VARIABLE).and_then(|text| text.to_str()?.parse().ok());
    handed_on.map_or(Archiving::Unset, |reason| Archiving::Invalid { variable: REASON_VARIABLE, reason })
}

fn environment_change(archiving: &Archiving, environment: &Environment) -> EnvironmentChange {
    match archiving {
        Archiving::Invalid { reason, .. } => EnvironmentChange {
            unset: [BUCKET_VARIABLE].into_iter().chain(ACCESS_VARIABLES).collect(),
            export: vec![(REASON_VARIABLE, reason.word().to_owned())],
        },
        // What an earlier boot left there is no reason any more.
        Archiving::On | Archiving::SwitchedOff | Archiving::Unset => EnvironmentChange {
            unset: if environment.get(REASON_VARIABLE).is_some() { vec![REASON_VARIABLE] } else { Vec::new() },
            export: Vec::new(),
        },
    }
}
