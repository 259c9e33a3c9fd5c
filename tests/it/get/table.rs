//! How get ends, by the signal files, by how pgBackRest ended, and by what it warned of.

use super::standin::{Get, Mode, PREFIX, SEGMENT};

const SEGMENT_FILE: &str = "head -c 1048576 /dev/zero >\"$target\"";
/// pgBackRest's two layouts of a warning that a repository failed.
const WARN: &str = "echo 'WARN: repo1: [ProtocolError] HTTP request failed with 403 (Forbidden)' >&2";
const WARN_ON_STDOUT: &str = "echo '2026-11-22 10:58:13.119 P00   WARN: repo2: [HostConnectError] unable to connect'";

/// An ending of pgBackRest: what it does, and the exit of a one-shot recovery and of a standby.
type Ending = (&'static str, String, i32, i32);

fn endings() -> Vec<Ending> {
    let with = |head: &str, tail: &str| format!("{head}\n{tail}");
    let mut endings = vec![
        ("a whole file", SEGMENT_FILE.to_owned(), 0, 0),
        ("a whole file and a warning", with(SEGMENT_FILE, WARN), 0, 0),
        ("success without a file", String::new(), 254, 42),
        ("an empty file", ":>\"$target\"".to_owned(), 254, 42),
        ("a short file", "head -c 1000 /dev/zero >\"$target\"".to_owned(), 254, 42),
        ("one byte short", "head -c 1048575 /dev/zero >\"$target\"".to_owned(), 254, 42),
        ("one byte long", "head -c 1048577 /dev/zero >\"$target\"".to_owned(), 254, 42),
        ("another cluster's segment size", "head -c 2097152 /dev/zero >\"$target\"".to_owned(), 254, 42),
        ("a clean not found", "absent".to_owned(), 1, 1),
        ("not found and a file", with(SEGMENT_FILE, "absent"), 1, 1),
        (
            "not found, said as the async process says it",
            "echo \"INFO: unable to find $file in the archive asynchronously\" >&2; exit 1".to_owned(),
            1,
            1,
        ),
        (
            "not found, said on stdout",
            "echo \"2026-11-22 10:58:13.119 P00   INFO: unable to find $file in the archive\"; exit 1".to_owned(),
            1,
            1,
        ),
        ("1 without a word, as of a wrapper", "exit 1".to_owned(), 254, 125),
        ("1 and a shell's words", "echo 'sudo: a password is required' >&2; exit 1".to_owned(), 254, 125),
        (
            "another file was not found",
            "echo 'INFO: unable to find 000000010000000000000009 in the archive' >&2; exit 1".to_owned(),
            254,
            125,
        ),
        ("the words are no message", "echo \"unable to find $file in the archive\" >&2; exit 1".to_owned(), 254, 125),
        ("not found and a failed repository", with(WARN, "absent"), 254, 103),
        ("not found and a failed repository on stdout", with(WARN_ON_STDOUT, "absent"), 254, 103),
        (
            "not found and a failed repository without a newline",
            "printf 'x'; printf 'WARN: repo1: [X] y\n' >&2; absent".to_owned(),
            254,
            103,
        ),
        (
            "not found and a harmless warning",
            "echo 'WARN: configuration file contains invalid option repo1-x' >&2; absent".to_owned(),
            1,
            1,
        ),
        ("an error and a whole file", with(SEGMENT_FILE, "exit 103"), 254, 103),
        ("killed", "kill -KILL $$".to_owned(), 254, 63),
        ("killed with a whole file", with(SEGMENT_FILE, "kill -KILL $$"), 254, 63),
        ("terminated", "kill -TERM $$".to_owned(), 254, 63),
        ("crashed", "kill -SEGV $$".to_owned(), 254, 63),
    ];
    for code in [2, 25, 27, 39, 42, 49, 55, 63, 82, 101, 103, 104, 125] {
        endings.push(("an error", format!("echo 'ERROR: [{code:03}]: x' >&2; exit {code}"), 254, code));
    }
    for code in [126, 127, 130, 143, 254, 255] {
        endings.push(("a code above 125", format!("exit {code}"), 254, 125));
    }
    endings
}

#[test]
fn every_ending_in_every_mode() {
    for (name, script, one_shot, standby) in endings() {
        for mode in Mode::ALL {
            let expected = if mode.is_standby() { standby } else { one_shot };
            let asked = if mode.is_standby() && expected > 1 { 2 } else { 1 };
            let done = Get::new(&format!("{name}: {script}"), mode).does(&script).status(expected).calls(asked);
            let done = done.left(expected == 0);
            match expected {
                0 => assert!(!done.stderr.contains(PREFIX), "{}", done.stderr),
                // A standby that lives on the archive asks every few seconds.
                1 if mode.is_standby() => drop(done.lacks("is in no repository")),
                1 => drop(done.has("is in no repository: to PostgreSQL the archive ends before it")),
                254 if mode == Mode::Neither => {
                    drop(done.has("exit 254 stops the caller").has("run pg_rewind again").lacks("nothing is lost"));
                }
                254 => drop(done.has("exit 254 stops the server").has("start the server again: nothing is lost")),
                code => drop(done.has(&format!("exit {code}, the standby goes on and will ask again"))),
            }
        }
    }
}

#[test]
fn a_hang_is_ended_by_the_time_limit() {
    for mode in Mode::ALL {
        let case = Get::new("a hang", mode).env("WAL_GET_TIMEOUT_SECONDS", "1");
        let expected = if mode.is_standby() { 82 } else { 254 };
        let done =
            case.does("trap '' TERM; head -c 9 /dev/zero >\"$target\"; sleep 60 & wait; sleep 60").status(expected);
        done.left(false).has("class unavailable").has("longer than WAL_GET_TIMEOUT_SECONDS allows");
    }
}

#[test]
fn a_pgbackrest_that_cannot_be_started_is_no_answer() {
    for mode in Mode::ALL {
        for program in ["/nowhere/pgbackrest", "/etc/passwd", "/"] {
            let expected = if mode.is_standby() { 125 } else { 254 };
            let case = Get::new(program, mode).env("WAL_GUARD_PGBACKREST", program);
            case.status(expected).left(false).calls(0).only_own_lines().has("can't start ");
        }
    }
}

#[test]
fn files_that_are_no_segments() {
    let files = ["00000002.history", "000000010000000000000005.00000028.backup", "000000010000000000000005.partial"];
    for mode in Mode::ALL {
        for file in files {
            // A server without a signal file writes a new timeline's history, and must not be stopped then.
            let new_timeline = mode == Mode::Neither && file.ends_with(".history");
            let get = |script: &str, expected: i32| {
                let words = [file, "pg_wal/RECOVERYXLOG"];
                let case = Get::new(&format!("{file}: {script}"), mode).does(script);
                // Kept in `pg_wal`, so that it is asked for once.
                let kept = case.data().join("pg_wal").join(file);
                if new_timeline {
                    std::fs::write(&kept, "1\t0/3000000\tx\n").unwrap();
                }
                let done = case.status_of(&words, expected);
                if new_timeline {
                    std::fs::remove_file(kept).unwrap();
                }
                done.left(expected == 0)
            };
            let failed = |code| if mode.is_standby() || new_timeline { code } else { 254 };
            get("echo 'some text' >\"$target\"", 0);
            let absent = get("absent", 1).lacks("the archive ends");
            if !mode.is_standby() {
                absent.has(&format!("{PREFIX}{file} is in no repository"));
            }
            get(":>\"$target\"", failed(42));
            get(&format!("{WARN}; absent"), failed(103));
            get("exit 1", failed(125));
            get("exit 49", failed(49));
        }
    }
}

#[test]
fn a_recovery_asks_again_until_there_is_an_answer() {
    let patient = |name, script: &str| Get::new(name, Mode::OneShot).env("WAL_GET_RETRY_SECONDS", "60").does(script);
    let answers = "[ $call = 2 ] || exit 103";
    let done = patient("it answers", &format!("{answers}\n{SEGMENT_FILE}")).status(0).left(true).calls(2);
    let done =
        done.has(&format!("{PREFIX}{SEGMENT}: the repository could not be queried: class unknown")).only_own_lines();
    done.has("then the server is stopped").has("is restored: the repository answers again after ");
    let absent = patient("it is not there", &format!("{answers}\nabsent")).status(1).left(false).calls(2);
    absent.has("is in no repository: to PostgreSQL the archive ends before it");
    let promoted = "[ $call = 2 ] && exit 104; touch standby.signal; exit 103";
    patient("it becomes a standby", promoted).status(104).calls(2);
    let hurried = patient("patience ends", "exit 103").env("WAL_GET_RETRY_SECONDS", "1");
    let hurried = hurried.status(254).left(false).has("pgBackRest exited with 103 and said nothing");
    hurried.check(hurried.took.as_secs() >= 1 && hurried.called().lines().count() > 1, "a second of patience");
}

#[test]
fn what_pgbackrest_says_is_copied_without_secrets() {
    let says = "cat >&2 <<'X'\nWARN: repo1: [ProtocolError] HTTP request failed with 403 (Forbidden):\n      \
                *** Response Content ***:\n      <Error><Code>AccessDenied</Code><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE\
                </AWSAccessKeyId></Error> sEcReT/of+the=store\nERROR: [103]: unable to find a valid repository\nX\nexit 103";
    for mode in Mode::ALL {
        let expected = if mode.is_standby() { 103 } else { 254 };
        let done = Get::new("a secret", mode).does(says).status(expected).left(false);
        done.has("<Code>AccessDenied</Code>").has("class denied (AccessDenied)").lacks("AKIAIOSFODNN7EXAMPLE");
    }
}
