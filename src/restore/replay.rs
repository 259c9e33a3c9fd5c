//! The replay: a server on the copy, watched until it stands at its target, and then promoted.
//!
//! At a target PostgreSQL pauses (`recovery_target_action=pause`), takes reading connections, and says in its log where it
//! stopped. Without a target it promotes itself at the end of the archive. Where it is started again after a kill it goes on
//! from its last restart point, and one that was promoted already just starts.

use super::leftover::{Stays, end_leftover};
use super::server::{self, Server};
use super::socket::socket;
use super::state::{Reached, Stage};
use super::{RestoreError, Work, cut_off, heartbeat, promotion};
use crate::checkpoint::{self, patience};
use crate::postgres::{Postgres, Recovery, ServerError};
use crate::settings::{Connection, role};
use crate::wal::{Lsn, SegmentName, SegmentSize, Timeline, parse_history};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Between two looks at the server.
const INTERVAL: Duration = Duration::from_millis(200);
/// A promotion that was asked for is under way: PostgreSQL 13 goes on to call itself paused until it is over.
const PROMOTION: Duration = Duration::from_secs(30);
/// How long a server that is up may know none of our roles, or not answer.
const STRANGE: Duration = Duration::from_mins(2);

/// What the replay came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// The timeline that was left at the end.
    pub(super) timeline: u32,
    /// Where.
    pub(super) position: Lsn,
    /// The timeline that the copy is on now.
    pub(super) new_timeline: u32,
    /// The newest heartbeat that was replayed, in microseconds since 1970.
    pub(super) last_heartbeat: Option<i64>,
    /// Indexes whose collation had another version in the origin's libraries, by database; `None` where nobody can tell.
    pub(super) to_rebuild: Option<Vec<String>>,
}

/// What is found when a server is looked at.
enum Found {
    /// It goes on.
    Nothing,
    /// It stands at its target.
    AtTarget(Recovery),
    /// It has been promoted.
    Promoted(Recovery),
    /// It needs other settings.
    Settings(BTreeMap<String, String>),
    /// It is up and lets none of our roles in, or says nothing.
    Stranger(String),
}

/// Replays, promotes and stops.
pub(super) fn replay(work: &mut Work<'_>) -> Result<Proof, RestoreError> {
    end_left(work)?;
    promotion::begin_again(work)?;
    let mut raised = BTreeMap::new();
    let mut server = Server::start(work, &raised)?;
    let mut progress = work.said.progress("replayed", work.state.way.segments);
    let (mut strange_since, mut asked_at) = (None, None::<Instant>);
    loop {
        let segment = server::segment_under_way(server.pid()).and_then(|name| number(work, &name));
        if let Some(number) = segment {
            progress.at(number);
        }
        let found = look(work, &mut server)?;
        if !matches!(found, Found::Stranger(_)) {
            strange_since = None;
        }
        match found {
            Found::Nothing => {}
            Found::Stranger(why) => {
                if strange_since.get_or_insert_with(Instant::now).elapsed() > patience(STRANGE) {
                    return Err(stranger(work, &why));
                }
            }
            Found::Settings(needed) => {
                server.stop();
                raised.extend(needed);
                tracing::info!("the origin had raised some settings by then; replaying with {raised:?}");
                server = Server::start(work, &raised)?;
            }
            Found::AtTarget(_) if asked_at.is_some_and(|asked_at| asked_at.elapsed() < PROMOTION) => {}
            Found::AtTarget(recovery) => {
                note(work, &server, &recovery)?;
                let promoted = ask_all(work).and_then(|postgres| postgres.promote());
                promoted.map_err(|error| RestoreError::Interrupted(error.to_string()))?;
                asked_at = Some(Instant::now());
            }
            Found::Promoted(recovery) => {
                note(work, &server, &recovery)?;
                let to_rebuild = to_rebuild(work);
                server.stop();
                return proof(work, to_rebuild);
            }
        }
        if work.signals.wait(INTERVAL) {
            server.stop();
            return Err(RestoreError::Signal);
        }
    }
}

/// How many segments lie between the first one and this one.
fn number(work: &Work<'_>, name: &str) -> Option<u64> {
    let size = SegmentSize::try_from(work.state.way.segment_bytes).ok()?;
    let name: SegmentName = name.parse().ok()?;
    name.number(size).checked_sub(work.state.way.first.number(size))
}

/// Notes once where the replay has stopped.
fn note(work: &mut Work<'_>, server: &Server, recovery: &Recovery) -> Result<(), RestoreError> {
    if work.state.stage >= Stage::Reached {
        return Ok(());
    }
    work.state.reached = Reached { words: stopped(&server.log()), last_commit: recovery.last_commit };
    work.done(Stage::Reached, "restore-reached")
}

/// PostgreSQL's words on where it stopped.
fn stopped(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("recovery stopping "))?;
    line.split_once("LOG:").map(|(_, words)| words.trim().to_owned())
}

fn look(work: &Work<'_>, server: &mut Server) -> Result<Found, RestoreError> {
    if server.has_ended() {
        return Err(ended(work, &server.log()));
    }
    let recovery = match ask(work).and_then(|postgres| postgres.recovery()) {
        Ok(recovery) => recovery,
        // Until it is consistent it lets nobody in: that takes as long as it takes.
        Err(ServerError::NotUp(_) | ServerError::MustEnd) => return Ok(Found::Nothing),
        Err(strange) => return Ok(Found::Stranger(strange.to_string())),
    };
    if !recovery.under_way {
        return Ok(Found::Promoted(recovery));
    }
    if recovery.paused && work.state.stage < Stage::Reached {
        let log = server.log();
        if stopped(&log).is_some() {
            return Ok(Found::AtTarget(recovery));
        }
        let needed = too_low(&log);
        return Ok(if needed.is_empty() { Found::Nothing } else { Found::Settings(needed) });
    }
    // Killed between the target and the promotion.
    Ok(if recovery.paused && stopped(&server.log()).is_some() { Found::AtTarget(recovery) } else { Found::Nothing })
}

/// Settings that the replay finds to be too low, and what they must be (`CheckRequiredParameterValues`).
fn too_low(log: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (before, after) =
            line.split_once(" is a lower setting than on the primary server, where its value was ")?;
        let (words, _) = before.rsplit_once(" = ")?;
        let name = words.rsplit([' ', '\t']).next()?;
        Some((name.to_owned(), after.trim().trim_end_matches('.').to_owned()))
    };
    log.lines().filter_map(line).collect()
}

/// Why a server has ended, by its log.
fn ended(work: &Work<'_>, log: &str) -> RestoreError {
    let fatal = log.lines().rev().find(|line| ["FATAL:", "PANIC:"].iter().any(|word| line.contains(word)));
    let words = fatal.and_then(|line| line.split_once("] ")).map_or("it gives no reason", |(_, words)| words.trim());
    let target = &work.state.wanted.target;
    if words.contains("before configured recovery target was reached") {
        return cut_off::before(work);
    }
    if words.contains("before consistent recovery point") {
        return RestoreError::Replay(format!(
            "{target} is before the end of the backup {}; name an older one with --set",
            work.state.way.backup
        ));
    }
    if words.contains("could not restore file") {
        return cut_off::by_a_file(work, words);
    }
    let log = server::log_path(work.folder.path());
    RestoreError::Interrupted(format!("the replay server ended: {words}; see {}", log.display()))
}

/// Ends what a killed restore has left.
fn end_left(work: &Work<'_>) -> Result<(), RestoreError> {
    let sockets = [socket(&work.place.folder)];
    let ended = end_leftover(&work.place.target, &sockets, &mut |pause| work.signals.wait(pause));
    ended.map_err(|stays| match stays {
        Stays::Signal => RestoreError::Signal,
        Stays::Hangs { .. } | Stays::PidFile { .. } => RestoreError::Interrupted(stays.to_string()),
    })
}

/// The roles that the copy may know.
fn roles(work: &Work<'_>) -> Vec<String> {
    let configured = work.client.config().and_then(|config| config.option("backup", "pg1-user"));
    role::likely(&work.request.environment, configured)
}

fn variable(work: &Work<'_>, name: &str) -> Option<String> {
    work.request.environment.get(name).and_then(|value| value.to_str()).map(str::to_owned)
}

/// The server of the replay, as a role.
fn server_as(work: &Work<'_>, role: String) -> Postgres {
    let host = Some(socket(work.folder.path()));
    let database = variable(work, "POSTGRES_DB");
    let connection = Connection { host, port: Some(server::PORT), user: Some(role), database };
    Postgres::of(&work.place.target, &connection).within(Duration::from_secs(30))
}

/// The same as one who may promote it, and enter every database. Whoever gets in is let in as any role (`server::isolation`).
fn ask_all(work: &Work<'_>) -> Result<Postgres, ServerError> {
    let postgres = ask(work)?;
    Ok(postgres.superuser()?.map_or(postgres, |role| server_as(work, role)))
}

/// The server of the replay, by the first role that it knows.
fn ask(work: &Work<'_>) -> Result<Postgres, ServerError> {
    let mut last = ServerError::MustEnd;
    for role in roles(work) {
        let postgres = server_as(work, role);
        match postgres.recovery() {
            Ok(_) => return Ok(postgres),
            // Another role changes nothing.
            Err(error @ (ServerError::NotUp(_) | ServerError::TimeLimit(_))) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A server that is up, and that we can't get to know anything of.
fn stranger(work: &Work<'_>, why: &str) -> RestoreError {
    RestoreError::Interrupted(format!(
        "the replay server runs, but accepts none of the roles {}: {why}; set PGUSER to a role that the origin had; \
         see {}",
        roles(work).join(", "),
        server::log_path(work.folder.path()).display()
    ))
}

/// Indexes that are to be rebuilt, in every database; `None` where one could not be asked.
fn to_rebuild(work: &Work<'_>) -> Option<Vec<String>> {
    let asked = ask_all(work).and_then(|postgres| {
        let mut all = Vec::new();
        for database in postgres.databases()? {
            all.extend(postgres.in_database(&database).indexes_to_rebuild()?);
        }
        Ok(all)
    });
    asked.inspect_err(|error| tracing::warn!("collation versions could not be compared: {error}")).ok()
}

/// What the newest history of the copy and its `pg_control` tell.
fn proof(work: &Work<'_>, to_rebuild: Option<Vec<String>>) -> Result<Proof, RestoreError> {
    let target = &work.place.target;
    let unreadable = || RestoreError::Interrupted("the copy's pg_control can't be read".to_owned());
    let new_timeline = target.control().ok_or_else(unreadable)?.timeline;
    let path = target.pg_wal().join(format!("{new_timeline:08X}.history"));
    let text = fs::read_to_string(&path).map_err(|error| RestoreError::file("read", &path, error))?;
    let history = parse_history(&text);
    let (timeline, position) = history.last().copied().ok_or_else(unreadable)?;
    let line: Vec<Timeline> = history.iter().map(|(timeline, _)| *timeline).chain([Timeline(new_timeline)]).collect();
    let size = SegmentSize::try_from(work.state.way.segment_bytes).ok();
    let last_heartbeat = size.and_then(|size| heartbeat::newest(target, &line, size, position));
    checkpoint::reached("restore-stopped");
    Ok(Proof { timeline: timeline.0, position, new_timeline, last_heartbeat, to_rebuild })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_too_low_are_read_from_the_log() {
        let log = "2026 [1] WARNING:  hot standby is not possible because of insufficient parameter settings\n\
                   2026 [1] DETAIL:  max_connections = 20 is a lower setting than on the primary server, where its value was 50.\n";
        assert_eq!(too_low(log), BTreeMap::from([("max_connections".to_owned(), "50".to_owned())]));
        assert!(too_low("nothing").is_empty());
    }

    #[test]
    fn where_it_stopped_is_read_from_the_log() {
        let log =
            "a\n2026 [7] LOG:  recovery stopping before commit of transaction 9, time 2026\n2026 [7] LOG:  pausing\n";
        assert_eq!(stopped(log).as_deref(), Some("recovery stopping before commit of transaction 9, time 2026"));
        assert_eq!(stopped("x"), None);
    }
}
