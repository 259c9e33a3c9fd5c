//! `pgbackrest-guard restore`: from a target to a cluster that was proved and stopped, or a refusal before anything is touched.
//!
//! Plan, preflight, copy, arm, replay, prove, hand over. [`crate::decide::restore`] plans; what is done is noted in one file
//! ([`state`]), and the same command goes on where it was ended. The replay runs under a server of our own: a socket in the
//! working folder, no network, no archiving, pgBackRest's spool and locks beside the copy, so that its origin, on the same
//! machine or not, notices nothing. It pauses at the target, is compared with what was asked for, and only then promoted.

mod archive;
mod arm;
mod below;
mod copy;
mod cut_off;
mod hand_over;
mod heartbeat;
mod leftover;
mod place;
mod promotion;
mod prove;
mod replay;
mod say;
mod server;
mod socket;
mod state;

use crate::checkpoint;
use crate::decide::restore::{self, Asked, Plan};
use crate::exit::Exit;
use crate::log;
use crate::pgbackrest::{Client, Failure};
use crate::settings::{CommonSettings, Environment};
use crate::signals::Signals;
pub use hand_over::{is_restored, may_archive};
pub use leftover::{Stays, end_leftover};
pub use place::working_folder;
pub use server::{PORT, isolation};
pub use socket::{make_socket, socket, unlink_socket};

use archive::Seen;
use place::{Content, Place};
use say::Said;
use server::Programs;
use state::{Folder, Remembered, Stage, State, Wanted, Way};
use std::io;
use std::path::{Path, PathBuf};

/// Characters of pgBackRest's message in a line.
const MESSAGE_LENGTH: usize = 500;
/// WAL that a replay keeps at a time, at most: what PostgreSQL has not removed yet, and what is fetched ahead.
const WAL_UNDER_WAY: u64 = 1280 << 20;

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program; the data directory is that of the origin, if there is one.
    pub common: CommonSettings,
    /// The environment.
    pub environment: Environment,
    /// Up to where, and from what.
    pub asked: Asked,
    /// The data directory to be.
    pub target: PathBuf,
    /// Whether a cluster that lies there is replaced.
    pub replace: bool,
    /// Whether nothing is done but said.
    pub dry_run: bool,
    /// Where tablespaces go, by their names.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// The folder of PostgreSQL's programs.
    pub programs: Option<PathBuf>,
    /// The folder in or below which the repository is, where only that is known.
    pub repository_below: Option<String>,
    /// Whether programs read what is said.
    pub json: bool,
    /// `checkpoint_timeout` and `max_wal_size` of the replay.
    pub tuning: [String; 2],
}

/// Why a restore has not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// Before anything was touched.
    #[error("{0}")]
    Refused(String),
    /// Nothing that the archive holds leads to the target.
    #[error("{0}")]
    NotRestorable(String),
    /// pgBackRest failed.
    #[error("{}; to do: {}", .0.shown(MESSAGE_LENGTH), .0.remedy())]
    PgBackRest(Failure),
    /// No repository can be read.
    #[error("no repository can be read: {0}")]
    Unreadable(String),
    /// A listing that is too long.
    #[error("the listing of repository {0} is too long to be read")]
    TooLong(u32),
    /// The replay failed, and would again.
    #[error("{0}")]
    Replay(String),
    /// The archive has a segment, and it is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The replay was interrupted, by whatever may be mended.
    #[error("{0}")]
    Interrupted(String),
    /// We were told to end.
    #[error("interrupted by a signal")]
    Signal,
    /// A program that can't be started.
    #[error("can't start {program}")]
    Program {
        /// Which.
        program: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A file or folder.
    #[error("can't {what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl RestoreError {
    /// The same of a restore that has not begun: whatever was in the way, nothing was touched.
    fn before_anything(self) -> Self {
        match self {
            Self::NotRestorable(_) | Self::Refused(_) | Self::Signal => self,
            Self::PgBackRest(failure) if failure.is_ours_to_end() => Self::Signal,
            other => Self::Refused(log::chain(&other)),
        }
    }

    fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { what, path: path.to_owned(), source }
    }
}

/// Restores.
#[must_use]
pub fn restore(request: &Request, signals: &Signals) -> Exit {
    let said = Said::new(request.json);
    match go(request, signals, said) {
        Ok(()) => Exit::Success,
        Err(RestoreError::Refused(why)) => {
            said.end("refused", "place", &why);
            tracing::error!("nothing was touched: {why}");
            Exit::Refused
        }
        Err(RestoreError::NotRestorable(why)) => {
            said.end("refused", "target", &why);
            tracing::error!("nothing was touched: {why}");
            Exit::Refused
        }
        Err(error) => {
            let told = matches!(&error, RestoreError::Signal)
                || matches!(&error, RestoreError::PgBackRest(failure) if failure.is_ours_to_end());
            let why = if told { "interrupted by a signal".to_owned() } else { log::chain(&error) };
            let kind = match &error {
                RestoreError::Replay(_) => "replay",
                RestoreError::Damaged(_) => "damaged",
                _ => "interrupted",
            };
            said.end("failed", kind, &why);
            let advice = if kind == "interrupted" { "; the same command resumes it" } else { "" };
            tracing::error!("{why}{advice}");
            Exit::Failed
        }
    }
}

fn go(request: &Request, signals: &Signals, said: Said) -> Result<(), RestoreError> {
    let place = Place::find(request)?;
    let wanted = wanted(request);
    let found = place.noted()?;
    place.check(request.replace, found.is_some())?;
    let below = request.repository_below.as_ref();
    let below = below.map(|base| below::below(&request.common, &request.environment, base)).transpose();
    let environment = below.map_err(RestoreError::Refused)?;
    let client = request.common.client(environment.as_ref().unwrap_or(&request.environment), Path::new("/"));
    let going_on = match found {
        Some(state) if state.wanted == wanted => going_on(request, &client, state, signals)?,
        Some(state) if !request.replace => {
            return Err(RestoreError::Refused(format!(
                "a restore of {} to {} is under way: repeat its command to resume it, or start over with --replace",
                place.target.path().display(),
                state.wanted.target
            )));
        }
        _ => None,
    };
    let (state, programs) = match going_on {
        Some(state) => {
            let programs = Programs::find(request, &state.way.version)?;
            tracing::info!("resuming the restore to {}", state.wanted.target);
            (state, programs)
        }
        None => begin(request, &place, &client, wanted, signals, said).map_err(RestoreError::before_anything)?,
    };
    if request.dry_run {
        return Ok(());
    }
    said.programs(&programs);
    let mut work =
        Work { request, place: &place, client: &client, signals, said, programs, folder: place.enter()?, state };
    work.note()?;
    checkpoint::reached("restore-planned");
    match work.finish() {
        Err(RestoreError::Replay(text)) => {
            let fingerprint = work.state.fingerprint.clone();
            work.state.failure = Some(Remembered { text: text.clone(), fingerprint });
            work.note()?;
            Err(RestoreError::Replay(text))
        }
        Ok(()) => work.folder.remove(),
        Err(error) => Err(error),
    }
}

fn wanted(request: &Request) -> Wanted {
    Wanted {
        target: request.asked.target.clone(),
        set: request.asked.set.clone(),
        repository: request.asked.repository,
        stanza: request.common.stanza.value.clone(),
        tablespaces: request.tablespaces.clone(),
    }
}

/// The state to go on from. A failure that would happen again is refused until the archive has changed.
fn going_on(
    request: &Request,
    client: &Client,
    state: State,
    signals: &Signals,
) -> Result<Option<State>, RestoreError> {
    let Some(failure) = &state.failure else { return Ok(Some(state)) };
    let seen = look(request, client, signals)?;
    if seen.fingerprint() != failure.fingerprint || request.replace {
        return Ok(None);
    }
    Err(RestoreError::Refused(format!(
        "the same restore failed before, and the archive has not changed since: {}; to try again anyway, add --replace",
        failure.text
    )))
}

fn look(request: &Request, client: &Client, signals: &Signals) -> Result<Seen, RestoreError> {
    let notes = request.common.state_dir.as_ref().map(|folder| folder.value.as_path());
    archive::look(client, request.asked.repository, notes, signals)
}

/// Plans, and refuses what can't be before a byte is written.
fn begin(
    request: &Request,
    place: &Place,
    client: &Client,
    wanted: Wanted,
    signals: &Signals,
    said: Said,
) -> Result<(State, Programs), RestoreError> {
    let seen = look(request, client, signals)?;
    let plan = restore::plan(&seen.archives, &seen.stored, &request.asked);
    let plan = plan.map_err(|refusal| RestoreError::NotRestorable(refusal.to_string()))?;
    let version = seen
        .version()
        .ok_or_else(|| RestoreError::Unreadable("pgbackrest info names no PostgreSQL version".to_owned()))?;
    let programs = Programs::find(request, version)?;
    copy::get_program(request)?;
    copy::check_tablespaces(client, &plan, request, signals)?;
    let size = seen.backup(&plan.backup, plan.repository).map_or(0, |backup| backup.info.size);
    let segment_bytes = seen.archives.first().map_or(0, |archive| archive.size.bytes());
    let wal = plan.segments.saturating_mul(segment_bytes).min(WAL_UNDER_WAY);
    let needed = size.saturating_add(wal);
    let room = place.check_space(needed)?;
    say_plan(request, place, &plan, &seen, [needed, room], said);
    let way = Way::of(&plan, segment_bytes, size, version.to_owned());
    let ours = place.content != Content::Cluster || request.replace;
    Ok((State::new(wanted, place.target.path(), way, ours, seen.fingerprint()), programs))
}

fn say_plan(request: &Request, place: &Place, plan: &Plan, seen: &Seen, space: [u64; 2], said: Said) {
    let fetched = seen.backup(&plan.backup, plan.repository).and_then(|backup| backup.info.repository.size);
    said.plan(plan, place.target.path(), fetched, space, request.dry_run);
    if plan.hole {
        tracing::warn!("WAL is missing after that: what was written later can't be restored");
    }
    if !plan.proved {
        tracing::warn!("only the replay will show whether {} is in the archive", plan.target);
    }
}

/// A restore under way.
struct Work<'w> {
    request: &'w Request,
    place: &'w Place,
    client: &'w Client,
    signals: &'w Signals,
    said: Said,
    programs: Programs,
    folder: Folder,
    state: State,
}

impl Work<'_> {
    fn note(&self) -> Result<(), RestoreError> {
        self.folder.write(&self.state)
    }

    fn done(&mut self, stage: Stage, checkpoint: &str) -> Result<(), RestoreError> {
        self.state.stage = stage;
        self.note()?;
        checkpoint::reached(checkpoint);
        Ok(())
    }

    /// Each stage that is not done yet.
    fn finish(&mut self) -> Result<(), RestoreError> {
        if self.state.stage < Stage::Copied {
            self.said.stage("copy");
            copy::copy(self)?;
            self.done(Stage::Copied, "restore-copied")?;
        }
        if self.state.stage < Stage::Armed {
            arm::arm(self)?;
            self.done(Stage::Armed, "restore-armed")?;
        }
        if self.state.stage < Stage::Proved {
            self.said.stage("replay");
            let proof = replay::replay(self)?;
            prove::compare(self, &proof)?;
            self.said.proof(&self.state, &proof);
            self.done(Stage::Proved, "restore-proved")?;
        }
        hand_over::hand_over(self)?;
        checkpoint::reached("restore-handed-over");
        self.said.finished(self.place.target.path(), &self.programs);
        Ok(())
    }
}
