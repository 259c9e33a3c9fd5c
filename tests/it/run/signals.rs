//! `run` as a process: signals, orphans, and how it ends.

use super::scene::{Place, Run, SOON, Scene, children, places, stat};
use pgbackrest_guard_lab::{Signal, within};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Says each signal's name when it comes; ends when told to by a file.
const TALKATIVE: &str = r#"
for name in TERM INT QUIT HUP USR1 USR2; do trap "echo got $name" $name; done
echo up
until [ -e "$LAB/end" ]; do sleep 0.05; done
exit 9"#;

fn count(run: &Run, words: &str) -> usize {
    run.said().lines().filter(|line| *line == words).count()
}

#[test]
fn each_signal_is_handed_on_once() {
    for place in places() {
        let scene = Scene::new(place);
        let mut run = scene.start(&scene.script(TALKATIVE), &[]);
        run.wait_for("up\n");
        let signals = [
            (Signal::TERM, "got TERM"),
            (Signal::INT, "got INT"),
            (Signal::QUIT, "got QUIT"),
            (Signal::HUP, "got HUP"),
            (Signal::USR1, "got USR1"),
            (Signal::USR2, "got USR2"),
        ];
        for round in 1..=2 {
            for (signal, words) in signals {
                run.signal(signal);
                run.wait(words, |run| count(run, words) >= round);
            }
        }
        fs::write(scene.lab.path().join("end"), "").unwrap();
        assert_eq!(run.status().code(), Some(9), "{place:?}");
        for (_, words) in signals {
            assert_eq!(count(&run, words), 2, "{place:?}: {}", run.said());
        }
    }
}

#[test]
fn it_ends_as_cmd_ends() {
    for place in places() {
        let scene = Scene::new(place);
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -9 $$", 137),
            ("kill -TERM $$", 143),
            ("kill -USR1 $$", 138),
        ] {
            let (said, ended) = scene.output(&scene.script(script), &[]);
            assert_eq!(ended, Some(code), "{place:?}: {script}\n{said}");
        }
    }
}

#[test]
fn what_can_not_be_started_ends_as_in_a_shell() {
    let scene = Scene::new(Place::Any);
    let folder = scene.lab.path();
    let plain = scene.lab.write_file("plain", "");
    let script = scene.script("");
    fs::write(&script, "echo \"a shell's: $*\"; exit 3\n").unwrap();
    for (program, code, words) in [
        ("/nowhere/program", 127, "can't start /nowhere/program: No such file"),
        ("no-such-program", 127, "can't start no-such-program: no such program on PATH"),
        (plain.to_str().unwrap(), 126, "Permission denied"),
        (folder.to_str().unwrap(), 126, "Permission denied"),
        (script.to_str().unwrap(), 3, "a shell's:"),
        ("true", 0, ""),
    ] {
        let (said, ended) = scene.output(program.as_ref(), &[]);
        assert_eq!(ended, Some(code), "{program}\n{said}");
        assert!(said.contains(words) && said.lines().count() <= 1, "{said}");
    }
    for wrong in [&[][..], &["--"], &["true"], &["--", ""], &["--nonsense", "--", "true"]] {
        let mut run = scene.start_command(scene.command().args(wrong));
        assert_eq!(run.status().code(), Some(2), "{wrong:?}: {}", run.said());
        assert_eq!(run.said().lines().count(), 1, "{}", run.said());
    }
}

#[test]
fn a_cmd_that_ignores_sigterm_is_waited_for() {
    for place in places() {
        let scene = Scene::new(place);
        let script = scene.script("trap '' TERM; echo up; until [ -e \"$LAB/end\" ]; do sleep 0.05; done; exit 5");
        let mut run = scene.start(&script, &[]);
        run.wait_for("up\n");
        run.signal(Signal::TERM);
        run.signal(Signal::TERM);
        let is_over = |run: &mut Run| run.pid == 0 || stat(run.pid, 0).is_empty();
        assert!(!within(std::time::Duration::from_millis(500), || is_over(&mut run)), "{}", run.said());
        fs::write(scene.lab.path().join("end"), "").unwrap();
        assert_eq!(run.status().code(), Some(5));
    }
}

/// The settings file is a pipe that nobody has written to yet: `run` is still reading its settings.
#[test]
fn a_signal_before_cmd_is_started_is_not_lost() {
    let scene = Scene::new(Place::Any);
    let pipe = scene.lab.path().join("settings");
    assert!(Command::new("mkfifo").arg("-m").arg("666").arg(&pipe).status().unwrap().success());
    let script = scene.script("trap 'echo got TERM; exit 4' TERM\nuntil [ -e \"$LAB/end\" ]; do sleep 0.05; done");
    let mut run = scene.start(&script, &[("WAL_GUARD_CONFIG", pipe.to_str().unwrap())]);
    run.wait("SIGTERM is caught", |run| {
        let status = fs::read_to_string(format!("/proc/{}/status", run.pid)).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap_or("0");
        u64::from_str_radix(caught, 16).unwrap() >> 14 & 1 == 1
    });
    run.signal(Signal::TERM);
    assert_eq!(run.said(), "");
    fs::write(&pipe, "").unwrap();
    let code = run.status().code();
    // CMD may have it before it has set its trap.
    assert!([Some(4), Some(143)].contains(&code), "{code:?} {}", run.said());
}

#[test]
fn orphans_are_reaped() {
    for place in places() {
        let scene = Scene::new(place);
        // Each is left behind by a shell that ends at once.
        let script = "for i in 1 2 3 4 5 6 7 8; do sh -c 'until [ -e \"$LAB/go\" ]; do sleep 0.05; done &'; done\n\
                      until [ -e \"$LAB/end\" ]; do sleep 0.05; done";
        let mut run = scene.start(&scene.script(script), &[]);
        run.wait("the orphans come to it", |run| children(run.pid).len() == 9);
        fs::write(scene.lab.path().join("go"), "").unwrap();
        run.wait("no zombie is left", |run| children(run.pid).len() == 1);
        fs::write(scene.lab.path().join("end"), "").unwrap();
        assert_eq!(run.status().code(), Some(0));
    }
}

/// What started it may have blocked or ignored signals.
#[test]
fn signals_are_heard_whatever_was_inherited() {
    let scene = Scene::new(Place::Any);
    let script = scene.script(TALKATIVE);
    let mut command = scene.lab.command("env");
    command
        .args(["--block-signal=TERM,CHLD", "--ignore-signal=CHLD,HUP"])
        .arg(scene.lab.path().join("bin/pgbackrest-guard"));
    let mut run = scene.start_command(command.args(["run", "--"]).arg(&script).env("LAB", scene.lab.path()));
    run.wait_for("up\n");
    run.signal(Signal::TERM);
    run.wait_for("got TERM");
    run.signal(Signal::HUP);
    run.wait_for("got HUP");
    fs::write(scene.lab.path().join("end"), "").unwrap();
    assert_eq!(run.status().code(), Some(9));
}

/// A line typed at a terminal: `^C` is what the terminal makes SIGINT of.
#[test]
fn a_terminals_interrupt_reaches_cmd_once() {
    let scene = Scene::new(Place::Any);
    let script = scene.script(
        "trap 'echo got INT' INT\nread line\necho \"read $line\"\n\
         until [ -e \"$LAB/end\" ]; do sleep 0.05; done\nexit 6",
    );
    let guard = scene.lab.path().join("bin/pgbackrest-guard");
    let log = scene.lab.path().join("typescript");
    // The shell around it reads the terminal afterwards, which only works if it was given back.
    let line = format!("{} run -- {}; echo code $?; read after; echo after $after", guard.display(), script.display());
    let mut command = scene.lab.command("script");
    command.args(["--quiet", "--flush", "--command", &line]).arg(&log).env("LAB", scene.lab.path());
    command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default().replace('\r', "");
    let wait = |words: &str| assert!(within(SOON, || said().contains(words)), "{words}: {}", said());
    keyboard.write_all(b"first\n").unwrap();
    wait("read first");
    keyboard.write_all(b"\x03").unwrap();
    wait("got INT");
    fs::write(scene.lab.path().join("end"), "").unwrap();
    wait("code 6");
    keyboard.write_all(b"second\n").unwrap();
    wait("after second");
    drop(keyboard);
    assert!(within(SOON, || child.try_wait().unwrap().is_some()));
    assert_eq!(said().lines().filter(|line| line.contains("got INT")).count(), 1, "{}", said());
}

/// Ctrl-Z, as a shell with job control sees it.
#[test]
fn a_stopped_cmd_gives_the_terminal_back_and_goes_on_with_it() {
    let scene = Scene::new(Place::Any);
    let script = scene.script("echo up\nread line\necho \"read $line\"");
    let guard = scene.lab.path().join("bin/pgbackrest-guard");
    let log = scene.lab.path().join("typescript");
    let mut command = scene.lab.command("script");
    command.args(["--quiet", "--flush", "--command", "bash --norc --noprofile -i"]).arg(&log);
    let mut child = command
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut typed = |keys: &str, shown: &str| {
        keyboard.write_all(keys.as_bytes()).unwrap();
        let said = || fs::read_to_string(&log).unwrap_or_default().replace('\r', "");
        assert!(within(SOON, || said().contains(shown)), "{shown}: {}", said());
    };
    typed(&format!("{} run -- {}\n", guard.display(), script.display()), "up\n");
    typed("\x1a", "Stopped");
    typed("echo the shell $((1 + 1))\n", "the shell 2");
    typed("fg\n", "cmd.sh\n");
    typed("typed later\n", "read typed later");
    typed("echo code $((7 + $?))\n", "code 7");
    // In a pipe it is given the terminal when it reads from it.
    typed(&format!("{} run -- {} | sed 's/^/piped /'\n", guard.display(), script.display()), "| sed");
    typed("something\n", "piped read something");
    typed("exit\n", "exit");
    drop(keyboard);
    assert!(within(SOON, || child.try_wait().unwrap().is_some()));
}

#[test]
fn every_task_tells_its_version_and_its_help() {
    for task in ["run", "setup", "status", "watch", "check", "restore"] {
        for (flag, words) in [("--version", env!("CARGO_PKG_VERSION")), ("--help", "Usage:"), ("-h", "Usage:")] {
            let output = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard")).args([task, flag]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains(words), "{task} {flag}: {said}");
            assert!(flag != "-h" || said.lines().count() <= 24, "more than a screen: {said}");
        }
    }
}
