//! The supervisor, event by event.

use super::*;
use proptest::prelude::*;

const SERVER: Server = Server { is_commands: true, listens: false, knows_configuration: false };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn died(code: i32) -> Event {
    Event::WatchEnded { ending: Some(Ending::Exited(code)), switched_off: false }
}

/// CMD and a watcher at work since the first second.
fn watching() -> Supervision {
    let mut supervision = Supervision::new(true, false);
    assert_eq!(supervision.on(Event::Looked(Some(SERVER)), at(1)), Some(Action::StartWatch));
    supervision
}

#[test]
fn a_shells_codes() {
    for (ending, code) in [
        (Ending::Exited(0), 0),
        (Ending::Exited(7), 7),
        (Ending::Exited(255), 255),
        (Ending::Signaled(9), 137),
        (Ending::Signaled(15), 143),
        (Ending::Signaled(64), 192),
    ] {
        assert_eq!(ending.code(), code);
    }
}

#[test]
fn the_watcher_waits_for_a_server() {
    let mut supervision = Supervision::new(true, true);
    assert_eq!(supervision.due(), Some(at(0)));
    assert_eq!(supervision.on(Event::Tick, at(0)), Some(Action::Look));
    assert_eq!(supervision.on(Event::Looked(None), at(0)), None);
    assert_eq!((supervision.due(), supervision.on(Event::Tick, at(0))), (Some(at(1)), None));
    let temporary = Server { is_commands: false, ..SERVER };
    assert_eq!(supervision.on(Event::Looked(Some(temporary)), at(1)), Some(Action::SayTemporary));
    assert_eq!(supervision.on(Event::Looked(Some(temporary)), at(2)), None, "said once");
    assert_eq!(supervision.due(), Some(at(3)));
    assert_eq!(supervision.on(Event::Looked(Some(SERVER)), at(3)), Some(Action::StartWatch));
    assert_eq!(supervision.due(), None);
    assert_eq!(supervision.on(Event::Looked(Some(SERVER)), at(4)), None, "only one");
}

#[test]
fn only_the_temporary_server_of_a_first_boot_is_passed_over() {
    let servers = [false, true].into_iter().flat_map(|is_commands| {
        [(false, false), (true, false), (false, true), (true, true)].map(|(listens, knows_configuration)| Server {
            is_commands,
            listens,
            knows_configuration,
        })
    });
    for server in servers {
        let is_temporary = !server.is_commands && !server.listens && !server.knows_configuration;
        assert_eq!(may_be_watched(server, true), !is_temporary, "{server:?}");
        assert!(may_be_watched(server, false), "{server:?}");
    }
}

#[test]
fn without_archiving_there_is_no_watcher() {
    let mut supervision = Supervision::new(false, false);
    assert_eq!((supervision.due(), supervision.on(Event::Tick, at(9))), (None, None));
    assert_eq!(supervision.on(Event::Looked(Some(SERVER)), at(9)), None);
    assert_eq!(supervision.on(Event::CommandEnded(Ending::Exited(3)), at(9)), Some(Action::Finish(3)));
}

#[test]
fn a_dead_watcher_is_started_again_after_growing_pauses() {
    let mut supervision = watching();
    let mut now = 1;
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let ending = Some(Ending::Exited(1));
        assert_eq!(supervision.on(died(1), at(now)), Some(Action::SayPause(ending, at(pause))));
        assert_eq!(supervision.on(Event::Tick, at(now + pause - 1)), None);
        now += pause;
        assert_eq!(supervision.due(), Some(at(now)));
        assert_eq!(supervision.on(Event::Tick, at(now)), Some(Action::StartWatch));
    }
    // One that could not be started is dead too.
    let nothing = Event::WatchEnded { ending: None, switched_off: false };
    assert_eq!(supervision.on(nothing, at(now)), Some(Action::SayPause(None, at(60))));
    assert_eq!(supervision.on(Event::Tick, at(now + 60)), Some(Action::StartWatch));
    // One that lived for a minute begins a new row.
    let ending = Some(Ending::Exited(1));
    assert_eq!(supervision.on(died(1), at(now + 120)), Some(Action::SayPause(ending, at(1))));
}

#[test]
fn a_watcher_that_has_nothing_to_watch_is_left_alone() {
    for (code, switched_off, stays_away) in [(0, true, true), (0, false, false), (1, true, false)] {
        let mut supervision = watching();
        let event = Event::WatchEnded { ending: Some(Ending::Exited(code)), switched_off };
        assert_eq!(supervision.on(event, at(5)) == Some(Action::SaySwitchedOff), stays_away);
        assert_eq!(supervision.due().is_none(), stays_away);
    }
}

#[test]
fn the_watcher_ends_after_command_and_the_code_is_commands() {
    let mut supervision = watching();
    let killed = Event::CommandEnded(Ending::Signaled(9));
    assert_eq!(supervision.on(killed, at(5)), Some(Action::TerminateWatch));
    assert_eq!(supervision.on(Event::Signal(Signal::TERM), at(5)), None, "there is nobody to hand it to");
    assert_eq!((supervision.on(Event::Tick, at(10)), supervision.due()), (None, Some(at(11))));
    assert_eq!(supervision.on(Event::Tick, at(11)), Some(Action::KillWatch));
    assert_eq!(supervision.on(Event::Tick, at(12)), None);
    assert_eq!(supervision.on(died(0), at(12)), Some(Action::Finish(137)));
    // Where not even SIGKILL helps.
    assert_eq!(supervision.on(Event::Tick, at(13)), Some(Action::Finish(137)));
}

#[test]
fn nobody_waits_for_a_watcher_that_does_not_run() {
    let mut pausing = watching();
    let _ = pausing.on(died(1), at(2));
    let mut waiting = Supervision::new(true, false);
    for supervision in [&mut pausing, &mut waiting] {
        assert_eq!(supervision.on(Event::CommandEnded(Ending::Exited(0)), at(2)), Some(Action::Finish(0)));
    }
}

#[test]
fn a_stopped_command_goes_on_unless_somebody_wants_it() {
    let (stop, tstp, ttin, ttou) = (Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU);
    for (signal, foreground, has_shell, action) in [
        (stop, Foreground::Command, true, None),
        (stop, Foreground::Other, false, None),
        (tstp, Foreground::Command, true, Some(Action::StopToo)),
        (tstp, Foreground::Command, false, Some(Action::Continue)),
        (ttin, Foreground::Command, true, Some(Action::Continue)),
        (ttou, Foreground::Supervisor, true, Some(Action::Continue)),
        (ttin, Foreground::Other, true, Some(Action::StopToo)),
    ] {
        let event = Event::CommandStopped(Stop { signal: signal.as_raw(), foreground, has_shell });
        assert_eq!(watching().on(event, at(2)), action, "{signal:?} {foreground:?} {has_shell}");
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Signal(Signal::TERM)),
        any::<bool>().prop_map(|is_there| Event::Looked(is_there.then_some(SERVER))),
        (0..3, any::<bool>())
            .prop_map(|(code, switched_off)| Event::WatchEnded { ending: Some(Ending::Exited(code)), switched_off }),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever has happened: once CMD has ended, waiting alone leads to its code, and soon.
    #[test]
    fn it_always_ends_with_commands_code(events in prop::collection::vec((event(), 0_u64..90), 0..40), code in 0..256) {
        let mut supervision = Supervision::new(true, false);
        let mut now = 0;
        for (event, later) in events {
            now += later;
            let action = supervision.on(event, at(now));
            prop_assert!(!matches!(action, Some(Action::Finish(_))), "CMD runs");
        }
        let ended = Event::CommandEnded(Ending::Exited(code));
        let mut action = supervision.on(ended, at(now));
        let mut left = 10;
        while !matches!(action, Some(Action::Finish(_))) {
            prop_assert!(left > 0);
            left -= 1;
            now = supervision.due().map_or(now, |due| due.as_secs());
            action = supervision.on(Event::Tick, at(now));
        }
        prop_assert_eq!(action, Some(Action::Finish(u8::try_from(code).unwrap())));
    }
}
