//! `pgbackrest-guard run -- CMD…`: setup, then CMD and the watcher under one small supervisor.
//!
//! Made to be PID 1 of a container, and good for anything else that starts a server. It ends as CMD ends. What happens
//! meanwhile is turned into events, [`crate::decide::supervisor`] says what follows, and that is done here. Orphans come to
//! us and not to the server, because a postmaster that finds children it did not start takes them for crashed backends
//! (postmaster.c, `reaper`).

mod environment;
mod processes;
mod recover;
mod restoring;
mod server;
mod signals;
mod start;
mod terminal;

pub use signals::Signals;

use crate::data_directory::DataDirectory;
use crate::decide::supervisor::{Action, Ending, Event, Stop, Supervision};
use crate::exit::Exit;
use crate::log;
use crate::pgbackrest::Client;
use crate::settings::{CommonFlags, RecoverSettings};
use crate::setup::{self, Archiving, EnvironmentChange, SetupError};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group};
use server::Lookout;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// CMD.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The flags that were typed, for the watcher.
    pub flags: CommonFlags,
    /// What setup is asked for.
    pub setup: setup::Request,
    /// What is restored before.
    pub recover: RecoverSettings,
}

/// What setup has come to.
struct Plan {
    /// Whether there is something to watch.
    archiving: bool,
    /// How CMD's environment differs from ours.
    change: EnvironmentChange,
}

/// Sets up, starts CMD, and stays until it has ended.
#[must_use]
pub fn run(mut request: Request, mut signals: Signals) -> Exit {
    // PID 1 needs nothing for it.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let is_restored = match recover::recover(&request.recover, &request.setup, &mut signals) {
        Ok(is_restored) => is_restored,
        Err(error) => {
            tracing::error!("{error}");
            return error.exit();
        }
    };
    let pgdata = request.setup.common.pgdata.as_ref().map(|pgdata| pgdata.value.clone());
    let volume_was_empty = pgdata.as_deref().is_some_and(|pgdata| !DataDirectory::is_one(pgdata));
    let lookout = pgdata.map(|pgdata| Lookout::new(DataDirectory::new(pgdata)));
    let plan = set_up(&mut request.setup, volume_was_empty);
    let environment = &request.setup.environment;
    let command = match start::command(&request.program, &request.arguments, &plan.change, environment) {
        Ok(command) => command,
        Err(error) => {
            tracing::error!("{}", log::chain(&error));
            return Exit::Command(error.code());
        }
    };
    let supervision = Supervision::new(plan.archiving && lookout.is_some(), volume_was_empty);
    let (watch, began) = (None, Instant::now());
    Supervisor { request, signals, plan, is_restored, lookout, command, watch, supervision, began }.stay()
}

/// A setup that fails is no reason not to start the server: archiving is then switched off.
fn set_up(request: &mut setup::Request, volume_was_empty: bool) -> Plan {
    let judged = setup::judge(request);
    let result = setup::prepare(request);
    let done = result.is_ok().then_some(&judged.archiving);
    let change = environment::for_command(done, &judged.environment, volume_was_empty, &request.environment);
    let archiving = match (result, &judged.archiving) {
        (Ok(_), Archiving::On) => true,
        (Ok(_), Archiving::Unset) => {
            client(request).config().is_some_and(|config| config.option("backup", "pg1-path").is_some())
        }
        (Ok(_), Archiving::SwitchedOff | Archiving::Invalid { .. })
        | (Err(SetupError::NoDataDirectory), Archiving::Unset) => false,
        // What there is, is an operator's own.
        (Err(error), Archiving::Unset) => {
            tracing::error!("setup failed, there will be no watcher until the next start: {}", log::chain(&error));
            false
        }
        (Err(error), _) => {
            tracing::error!("setup failed, archiving is switched off until the next start: {}", log::chain(&error));
            take_away(request);
            false
        }
    };
    Plan { archiving, change }
}

/// What an earlier start has configured does not fit the settings any more.
fn take_away(request: &setup::Request) {
    if request.common.pgdata.is_none() {
        return;
    }
    if let Err(error) = setup::withdraw(request) {
        tracing::error!("archiving can't be switched off either: {}", log::chain(&error));
    }
}

/// pgBackRest's configuration as the watcher will find it.
fn client(request: &setup::Request) -> Client {
    request.common.client(&request.environment, Path::new("/"))
}

/// CMD and the watcher.
struct Supervisor {
    request: Request,
    signals: Signals,
    plan: Plan,
    /// Whether the cluster was restored in this start.
    is_restored: bool,
    lookout: Option<Lookout>,
    command: Pid,
    watch: Option<Pid>,
    supervision: Supervision,
    began: Instant,
}

/// What became of an action.
enum Done {
    /// It is done.
    Nothing,
    /// It had a result.
    Event(Event),
    /// There is nothing more to do: the code to end with.
    Finished(u8),
}

impl Supervisor {
    fn stay(mut self) -> Exit {
        loop {
            let longest = self.supervision.due().map(|due| due.saturating_sub(self.began.elapsed()));
            let arrived = self.signals.wait(longest);
            let signals = arrived.into_iter().filter(|signal| *signal != Signal::CHILD).map(Event::Signal);
            // A signal is handed on before CMD's number can have become another process's.
            for event in signals.chain([Event::Tick]) {
                if let Some(code) = self.react(event) {
                    return Exit::Command(code);
                }
            }
            while let Some((pid, status)) = child() {
                let code = self.child_changed(pid, status).and_then(|event| self.react(event));
                if let Some(code) = code {
                    return Exit::Command(code);
                }
            }
        }
    }

    /// Does what follows from an event. Some: the code to end with.
    fn react(&mut self, event: Event) -> Option<u8> {
        let mut event = event;
        loop {
            let action = self.supervision.on(event, self.began.elapsed())?;
            match self.act(action) {
                Done::Nothing => return None,
                Done::Event(next) => event = next,
                Done::Finished(code) => return Some(code),
            }
        }
    }

    fn act(&mut self, action: Action) -> Done {
        match action {
            Action::Forward(signal) => drop(kill_process(self.command, signal)),
            Action::Continue => self.go_on(),
            Action::StopToo => {
                // Returns when a shell lets us go on.
                let _ = kill_process(rustix::process::getpid(), Signal::STOP);
                self.go_on();
            }
            Action::Look => {
                return Done::Event(Event::Looked(self.lookout.as_ref().and_then(|at| at.server(self.command))));
            }
            Action::SayTemporary => tracing::info!(
                "a server answers in the background, and only this machine: it is taken for the temporary one of a \
                 first start, and the watcher waits for the next"
            ),
            Action::StartWatch => return self.start_watch().map_or(Done::Nothing, Done::Event),
            Action::SayPause(ending, pause) => say_pause(ending, pause),
            Action::SaySwitchedOff => tracing::info!("the watcher has ended: archiving is switched off"),
            Action::TerminateWatch => {
                self.watch.map(|watch| kill_process(watch, Signal::TERM));
            }
            Action::KillWatch => {
                self.watch.map(|watch| kill_process(watch, Signal::KILL));
            }
            Action::Finish(code) => {
                terminal::take_back_from(self.command);
                return Done::Finished(code);
            }
        }
        Done::Nothing
    }

    fn go_on(&self) {
        terminal::give_to(self.command);
        // What is typed while CMD is stopped for reading a terminal that it is only now given would be discarded.
        let is_to_stop = processes::stop_is_pending(self.command);
        let _ = kill_process_group(self.command, Signal::CONT);
        if is_to_stop {
            let _ = kill_process_group(self.command, Signal::TSTP);
        }
    }

    fn start_watch(&mut self) -> Option<Event> {
        let lookout = self.lookout.as_ref()?;
        let setup = &self.request.setup;
        let own = environment::for_watch(&setup.environment);
        match start::watch(&self.request.flags, [&self.plan.change, &own], (lookout.directory(), self.is_restored)) {
            Ok(pid) => {
                self.watch = Some(pid);
                None
            }
            Err(error) => {
                tracing::error!("can't start the watcher: {error}");
                Some(Event::WatchEnded { ending: None, switched_off: false })
            }
        }
    }

    /// What the end or a stop of a child means; an orphan's means nothing.
    fn child_changed(&mut self, pid: Pid, status: WaitStatus) -> Option<Event> {
        if pid == self.command {
            return Some(match status.stopping_signal() {
                Some(signal) => Event::CommandStopped(Stop {
                    signal,
                    foreground: terminal::foreground(pid),
                    has_shell: terminal::has_shell(),
                }),
                None => Event::CommandEnded(ending(status)),
            });
        }
        if Some(pid) != self.watch || status.stopped() {
            return None;
        }
        self.watch = None;
        end_session(pid);
        let directory = self.lookout.as_ref().map(Lookout::directory);
        let is_refused = directory.is_some_and(|directory| directory.invalid_bucket().is_some());
        let switched_off = is_refused || self.request.setup.common.archiving_off;
        Some(Event::WatchEnded { ending: Some(ending(status)), switched_off })
    }
}

/// A child that has ended or was stopped.
fn child() -> Option<(Pid, WaitStatus)> {
    rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED).ok().flatten()
}

fn ending(status: WaitStatus) -> Ending {
    let signal = status.terminating_signal().map(Ending::Signaled);
    signal.unwrap_or_else(|| Ending::Exited(status.exit_status().unwrap_or_default()))
}

/// Ends what the watcher has left behind: a backup's processes, which lie in its session.
fn end_session(session: Pid) {
    // One may start another before it is ended.
    for _ in 0..3 {
        for pid in processes::in_session(session) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn say_pause(ending: Option<Ending>, pause: Duration) {
    let how = match ending {
        Some(Ending::Exited(code)) => format!("has ended with exit code {code}"),
        Some(Ending::Signaled(signal)) => format!("was ended by signal {signal}"),
        None => "does not run".to_owned(),
    };
    tracing::warn!("the watcher {how}: it is started again in {} s", pause.as_secs());
}
