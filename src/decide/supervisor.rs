//! What the supervisor of `run` does when something happens: CMD ended, the watcher ended, a signal came, a server was seen.
//!
//! Time is what has passed since the supervisor began.

use rustix::process::Signal;
use std::time::Duration;

/// How often a server is looked for.
pub const LOOK: Duration = Duration::from_secs(1);
/// How long the watcher has after SIGTERM. It needs five seconds at most, with a backup that has to end.
const WATCH_GRACE: Duration = Duration::from_secs(6);
/// How long it has after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// The longest pause before a dead watcher is started again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A watcher that lived for so long was well; its end is not one of a row.
const WELL: Duration = Duration::from_mins(1);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Ending {
    /// The code that a shell shows for it: 128 and the signal's number for a death by signal.
    #[must_use]
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

/// A server that says of itself that it takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Whether it is CMD itself, or a process that CMD or its children look after. A server that `pg_ctl` has put into
    /// the background is not.
    pub is_commands: bool,
    /// Whether other machines can reach it.
    pub listens: bool,
    /// Whether it was started after its configuration for archiving was written.
    pub knows_configuration: bool,
}

/// Whether the watcher may begin beside this server.
///
/// On a volume that was empty when we started, the official image's entrypoint first starts a temporary server, for the
/// scripts in `docker-entrypoint-initdb.d`: in the background, for this machine alone, before archiving is configured.
/// It is no server to watch.
#[must_use]
pub fn may_be_watched(server: Server, volume_was_empty: bool) -> bool {
    !volume_was_empty || server.is_commands || server.listens || server.knows_configuration
}

/// Which process group has the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreground {
    /// CMD's.
    Command,
    /// The supervisor's own.
    Supervisor,
    /// Another, or there is no terminal.
    Other,
}

/// CMD has been stopped, as by Ctrl-Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The signal's number, as in `kill -l`.
    pub signal: i32,
    /// Who has the terminal.
    pub foreground: Foreground,
    /// Whether a shell may be waiting for the terminal. There is none above the first process of a session.
    pub has_shell: bool,
}

/// What the supervisor is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal for CMD came.
    Signal(Signal),
    /// CMD ended.
    CommandEnded(Ending),
    /// CMD was stopped.
    CommandStopped(Stop),
    /// The watcher ended; `None`: it could not be started.
    WatchEnded {
        /// How it ended.
        ending: Option<Ending>,
        /// Whether archiving is switched off by now.
        switched_off: bool,
    },
    /// A server was looked for.
    Looked(Option<Server>),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Hand the signal to CMD.
    Forward(Signal),
    /// Let CMD go on; with the terminal, if it is ours.
    Continue,
    /// Stop as well, so that the shell gets its terminal back; then let CMD go on.
    StopToo,
    /// Look for a server.
    Look,
    /// Say that a server is taken for the temporary one.
    SayTemporary,
    /// Start the watcher.
    StartWatch,
    /// Say how the watcher has ended and will be started again after a pause.
    SayPause(Option<Ending>, Duration),
    /// Say that there is nothing to watch any more.
    SaySwitchedOff,
    /// Ask the watcher to end.
    TerminateWatch,
    /// End the watcher and all that it started.
    KillWatch,
    /// End with this code.
    Finish(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// There is nothing to watch.
    Off,
    /// No server answers yet.
    Waits { look_at: Duration },
    /// It runs.
    Runs { since: Duration },
    /// It died, and is started again.
    Pauses { until: Duration },
    /// It was asked to end.
    Ends { until: Duration },
    /// It was made to end; where even that takes long, nobody waits for it.
    Killed { until: Duration },
}

/// What the supervisor knows.
#[derive(Debug)]
pub struct Supervision {
    watch: Watch,
    volume_was_empty: bool,
    /// Whether a server has been taken for the temporary one.
    passed_over: bool,
    ended: Option<Ending>,
    /// How often in a row the watcher died young.
    deaths: u32,
}

impl Supervision {
    /// CMD has just been started.
    #[must_use]
    pub fn new(archiving: bool, volume_was_empty: bool) -> Self {
        let watch = if archiving { Watch::Waits { look_at: Duration::ZERO } } else { Watch::Off };
        Self { watch, volume_was_empty, passed_over: false, ended: None, deaths: 0 }
    }

    /// When something is to be done although nothing happens.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        match self.watch {
            Watch::Off | Watch::Runs { .. } => None,
            Watch::Waits { look_at } => Some(look_at),
            Watch::Pauses { until } | Watch::Ends { until } | Watch::Killed { until } => Some(until),
        }
    }

    /// What follows from an event.
    #[must_use]
    pub fn on(&mut self, event: Event, now: Duration) -> Option<Action> {
        match event {
            Event::Signal(signal) => self.ended.is_none().then_some(Action::Forward(signal)),
            Event::CommandStopped(stop) => after_stop(stop),
            Event::CommandEnded(ending) => Some(self.command_ended(ending, now)),
            Event::WatchEnded { ending, switched_off } => Some(self.watch_ended(ending, switched_off, now)),
            Event::Looked(server) => self.looked(server, now),
            Event::Tick => self.tick(now),
        }
    }

    fn command_ended(&mut self, ending: Ending, now: Duration) -> Action {
        self.ended = Some(ending);
        if let Watch::Runs { .. } = self.watch {
            self.watch = Watch::Ends { until: now + WATCH_GRACE };
            return Action::TerminateWatch;
        }
        Action::Finish(ending.code())
    }

    fn watch_ended(&mut self, ending: Option<Ending>, switched_off: bool, now: Duration) -> Action {
        if let Some(ending) = self.ended {
            return Action::Finish(ending.code());
        }
        if switched_off && ending == Some(Ending::Exited(0)) {
            self.watch = Watch::Off;
            return Action::SaySwitchedOff;
        }
        if matches!(self.watch, Watch::Runs { since } if now.saturating_sub(since) >= WELL) {
            self.deaths = 0;
        }
        let pause = Duration::from_secs(1 << self.deaths.min(6)).min(LONGEST_PAUSE);
        self.deaths += 1;
        self.watch = Watch::Pauses { until: now + pause };
        Action::SayPause(ending, pause)
    }

    fn looked(&mut self, server: Option<Server>, now: Duration) -> Option<Action> {
        let Watch::Waits { .. } = self.watch else { return None };
        self.watch = Watch::Waits { look_at: now + LOOK };
        if may_be_watched(server?, self.volume_was_empty) {
            self.watch = Watch::Runs { since: now };
            return Some(Action::StartWatch);
        }
        let is_news = !std::mem::replace(&mut self.passed_over, true);
        is_news.then_some(Action::SayTemporary)
    }

    fn tick(&mut self, now: Duration) -> Option<Action> {
        match self.watch {
            Watch::Waits { look_at } if now >= look_at => Some(Action::Look),
            Watch::Pauses { until } if now >= until => {
                self.watch = Watch::Runs { since: now };
                Some(Action::StartWatch)
            }
            Watch::Ends { until } if now >= until => {
                self.watch = Watch::Killed { until: now + KILL_GRACE };
                Some(Action::KillWatch)
            }
            Watch::Killed { until } if now >= until => self.ended.map(|ending| Action::Finish(ending.code())),
            _ => None,
        }
    }
}

/// CMD that reads a terminal before it was given it goes on with it; Ctrl-Z stops us too where a shell is above us, and
/// is of no effect where none is: nobody could take it back. SIGSTOP is somebody's wish.
fn after_stop(stop: Stop) -> Option<Action> {
    let is_wish = stop.signal == Signal::STOP.as_raw();
    let is_access = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&stop.signal);
    match stop.foreground {
        _ if is_wish => None,
        Foreground::Command | Foreground::Supervisor if is_access => Some(Action::Continue),
        _ if stop.has_shell => Some(Action::StopToo),
        _ => Some(Action::Continue),
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
