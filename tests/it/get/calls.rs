//! How get is called and how it calls: arguments, settings, places, signals, the fast path.

use super::standin::{Get, Mode, SEGMENT, SEGMENT_BYTES, SYSTEM, make_data_directory};
use std::fs;
use std::path::Path;
use std::time::Duration;

#[test]
fn wrong_arguments_never_look_like_the_end_of_the_archive() {
    let wrong: [&[&str]; 12] = [
        &[],
        &[SEGMENT],
        &["RECOVERYXLOG", "pg_wal/RECOVERYXLOG"],
        &["00000001000000000000000g", "pg_wal/RECOVERYXLOG"],
        &["", "pg_wal/RECOVERYXLOG"],
        &["--retry", "5gb", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--timeout", "0", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--pgdata", "/nowhere", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--nonsense", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--repo", "0", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--repo", "two", SEGMENT, "pg_wal/RECOVERYXLOG"],
        &["--repo", "257", SEGMENT, "pg_wal/RECOVERYXLOG"],
    ];
    for mode in Mode::ALL {
        for words in wrong {
            let case = Get::new(&format!("{words:?}"), mode);
            case.status_of(words, mode.usage())
                .calls(0)
                .left(false)
                .only_own_lines()
                .has("see pgbackrest-guard-get --help");
        }
    }
    for mode in [Mode::OneShot, Mode::Standby] {
        let other = if mode == Mode::Standby { Mode::OneShot } else { Mode::Standby };
        let case = Get::new("PGDATA names another cluster", mode);
        let root = case.root();
        make_data_directory(&root.join("other"), other);
        case.env("PGDATA", root.join("other")).status_of(&[SEGMENT], mode.usage());
    }
}

#[test]
fn help_and_version_are_answered() {
    for flag in ["--help", "-h", "--version"] {
        Get::new(flag, Mode::OneShot).status_of(&[flag], 0).calls(0);
    }
}

#[test]
fn bad_settings_are_told_and_replaced() {
    let bad = [
        ("WAL_GET_RETRY_SECONDS", "5gb"),
        ("WAL_GET_RETRY_SECONDS", "-1"),
        ("WAL_GET_TIMEOUT_SECONDS", "0"),
        ("WAL_GUARD_FAST_PATH", "perhaps"),
        ("WAL_GUARD_LOG", "loud"),
        ("PGBACKREST_STANZA", "../x"),
        ("PGBACKREST_REPO", "2nd"),
    ];
    for (name, value) in bad {
        let done = Get::new(name, Mode::OneShot).env(name, value).status(0).left(true).only_own_lines();
        let lines = done.stderr.lines().filter(|line| line.contains(name)).count();
        done.check(lines == 1, "one line about it");
        done.has(&format!("{name}='{value}'")).has("the default is used instead");
    }
}

#[test]
fn archiving_that_is_switched_off_has_nothing_to_do_with_get() {
    let off = Get::new("an empty bucket", Mode::OneShot).env("WAL_ARCHIVE_BUCKET", "");
    off.status(0).left(true).calls(1);
    let refused = Get::new("a refused bucket", Mode::OneShot);
    refused
        .with(|root| fs::write(root.join("data/.pgbackrest_invalid_bucket"), "bad-name\n").unwrap())
        .status(0)
        .calls(1);
}

#[test]
fn pgbackrest_is_called_in_one_way() {
    let case = Get::new("the call", Mode::OneShot).env("PGHOST", "stray").env("PGBACKREST_FOO", "stray");
    let done = case.status(0).left(true);
    let called = done.called();
    let beside = format!("{}.pgbackrest-guard.", done.case.target().display());
    let head = format!(
        "--stanza=main --log-level-console=off --log-level-stderr=info --archive-missing-retry archive-get {SEGMENT} {beside}"
    );
    done.check(called.starts_with(&head), &format!("{head}, not {called}"));
    let environment = fs::read_to_string(done.case.root().join("environment")).unwrap();
    done.check(!environment.contains("stray"), "a clean environment");
}

#[test]
fn the_recovering_data_directory_is_named_to_pgbackrest_where_its_configuration_names_another() {
    for (name, conf) in [("another", "pg1-path=/var/lib/postgresql/15/main"), ("none", "")] {
        let case = Get::new(name, Mode::OneShot).without_conf("pg1-path").conf(conf);
        let done = case.status(0).left(true);
        let expected = format!(" --pg1-path={} --archive-missing-retry archive-get ", done.case.data().display());
        done.check(done.called().contains(&expected), &expected);
    }
    let link = Get::new("a link to it", Mode::OneShot).without_conf("pg1-path");
    let path = link.root().join("link");
    std::os::unix::fs::symlink(link.data(), &path).unwrap();
    let done = link.conf(&format!("pg1-path={}", path.display())).status(0).left(true);
    done.check(!done.called().contains("--pg1-path"), "no --pg1-path");
}

#[test]
fn the_file_goes_where_it_was_asked_for_and_the_mode_is_that_places() {
    let other = |case: Get, mode| {
        let path = case.root().join("other");
        fs::create_dir_all(path.join("pg_wal")).unwrap();
        make_data_directory(&path, mode);
        case.env("PGDATA", path)
    };
    let case = other(Get::new("PGDATA of another cluster", Mode::OneShot), Mode::Standby);
    let done = case.status(0).left(true);
    done.check(!done.case.root().join("other/pg_wal/RECOVERYXLOG").exists(), "nothing in the other cluster");
    other(Get::new("a recovery beside a standby", Mode::OneShot), Mode::Standby).does("exit 103").status(254);
    other(Get::new("a standby beside a recovery", Mode::Standby), Mode::OneShot).does("exit 103").status(103);

    for (mode, expected) in [(Mode::Standby, 103), (Mode::Neither, 254)] {
        let rewind = Get::new("pg_rewind runs anywhere", mode).directory("/");
        let target = rewind.target();
        let words = [SEGMENT, target.to_str().unwrap()];
        let done = rewind.status_of(&words, 0).left(true);
        done.case.does("exit 103").status_of(&words, expected);
    }
    let beside = Get::new("pg_rewind beside its cluster", Mode::Neither);
    let root = beside.root();
    beside.directory(root).status_of(&[SEGMENT, "data/pg_wal/RECOVERYXLOG"], 0).left(true);
}

#[test]
fn signals_end_it_while_pgbackrest_runs_and_while_it_waits() {
    for mode in [Mode::OneShot, Mode::Standby] {
        for signal in ["TERM", "INT", "QUIT"] {
            let case = Get::new(&format!("{signal} while it runs"), mode);
            let running = case.does("head -c 9 /dev/zero >\"$target\"; : >\"$root/up\"; sleep 60");
            let running = running.start(&[SEGMENT, "pg_wal/RECOVERYXLOG"]);
            running.wait_for("up", "");
            running.signal(signal);
            let done = running.end().left(false).has("interrupted after");
            done.check(done.code == Some(143) && done.took < Duration::from_secs(30), "143, soon");
        }
    }
    for signal in ["TERM", "INT", "QUIT"] {
        let case = Get::new(&format!("{signal} while it waits"), Mode::OneShot).env("WAL_GET_RETRY_SECONDS", "600");
        let running = case.does("[ $call -lt 4 ] || absent; exit 103").start(&[SEGMENT, "pg_wal/RECOVERYXLOG"]);
        running.wait_for("stderr", "the repository could not be queried");
        running.signal(signal);
        let done = running.end().left(false).has("interrupted after");
        done.check(done.code == Some(143), "143");
    }
}

#[test]
fn a_kill_leaves_no_short_target_and_the_next_get_cleans_up() {
    let case = Get::new("kill -9", Mode::OneShot);
    let running = case
        .does("head -c 9 /dev/zero >\"$target\"; : >\"$root/up\"; sleep 1")
        .start(&[SEGMENT, "pg_wal/RECOVERYXLOG"]);
    running.wait_for("up", "");
    running.signal("KILL");
    let done = running.end();
    done.check(!done.case.target().exists(), "no target");
    done.case.does(&format!("head -c {SEGMENT_BYTES} /dev/zero >\"$target\"")).status(0).left(true);
}

/// The first page of the segment with this number, as this cluster writes it, in a file of a segment's length.
fn segment_file(number: u64, system: u64, timeline: u32) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_BYTES];
    bytes[2] = 2;
    bytes[4..8].copy_from_slice(&timeline.to_ne_bytes());
    bytes[8..16].copy_from_slice(&(number << 20).to_ne_bytes());
    bytes[24..32].copy_from_slice(&system.to_ne_bytes());
    bytes[32..36].copy_from_slice(&(1_u32 << 20).to_ne_bytes());
    bytes
}

/// Six segments lie in the spool, and more than half of the queue is left when one is taken.
fn prefetched(name: &str) -> Get {
    let case = Get::new(name, Mode::OneShot).conf("archive-async=y").conf("archive-get-queue-max=8MiB");
    case.with(|root| {
        for number in 5..=10 {
            let path = root.join(format!("spool/archive/main/in/0000000100000000{number:08X}"));
            fs::write(path, segment_file(number, SYSTEM, 1)).unwrap();
        }
    })
}

#[test]
fn what_lies_in_the_spool_is_taken_without_pgbackrest() {
    let done = prefetched("the fast path").status(0).left(true).calls(0);
    done.check(done.stderr.is_empty(), "nothing on stderr");
    let spooled = done.case.root().join(format!("spool/archive/main/in/{SEGMENT}"));
    done.check(!spooled.exists(), "the segment moved out of the spool");
}

#[test]
fn what_is_not_surely_right_in_the_spool_is_left_to_pgbackrest() {
    fn spooled(root: &Path) -> std::path::PathBuf {
        root.join(format!("spool/archive/main/in/{SEGMENT}"))
    }
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 9] = [
        ("junk", |root| fs::write(spooled(root), vec![0; SEGMENT_BYTES]).unwrap()),
        ("short", |root| fs::write(spooled(root), &segment_file(5, SYSTEM, 1)[..1000]).unwrap()),
        ("another segment", |root| fs::write(spooled(root), segment_file(6, SYSTEM, 1)).unwrap()),
        ("another timeline", |root| fs::write(spooled(root), segment_file(5, SYSTEM, 2)).unwrap()),
        ("another cluster", |root| fs::write(spooled(root), segment_file(5, 8, 1)).unwrap()),
        ("a warning beside it", |root| fs::write(spooled(root).with_extension("ok"), "0\nrepo1: [x] y").unwrap()),
        ("a stop file", |root| fs::write(root.join("lock/main.stop"), "").unwrap()),
        ("no pg_control", |root| fs::remove_file(root.join("data/global/pg_control")).unwrap()),
        ("less than half of the queue", |root| {
            for number in 7..=10 {
                fs::remove_file(root.join(format!("spool/archive/main/in/0000000100000000{number:08X}"))).unwrap();
            }
        }),
    ];
    for (name, spoil) in spoils {
        prefetched(name).with(spoil).status(0).left(true).calls(1);
    }
    prefetched("switched off").flag("--no-fast-path").status(0).calls(1);
    prefetched("switched off by the environment").env("WAL_GUARD_FAST_PATH", "0").status(0).calls(1);
    prefetched("async is off").without_conf("archive-async").status(0).calls(1);
    let history = prefetched("a history file").does("echo x >\"$target\"");
    history.status_of(&["00000002.history", "pg_wal/RECOVERYHISTORY"], 0).calls(1);
}

#[test]
fn lines_can_be_json() {
    let case = Get::new("json", Mode::OneShot).env("WAL_GUARD_LOG_FORMAT", "json").does("absent");
    case.status(1).has("\"program\":\"pgbackrest-guard-get\"").has("is in no repository").has("\"segment\":\"0000");
    let silent = Get::new("json of a failure", Mode::OneShot).env("WAL_GUARD_LOG_FORMAT", "json").flag("--retry=0");
    let silent = silent.does("echo 'WARN: repo2: [HostConnectError] unable to connect to x' >&2; exit 103").status(254);
    silent.has("\"class\":\"unavailable\"").has("\"code\":103").has("\"repository\":2").has("\"seconds\":0");
}

#[test]
fn nothing_clean_follows_from_what_is_cut_off_or_speaks_of_one_repository() {
    let cut = Get::new("a warning behind 300 kB", Mode::OneShot).flag("--retry=0");
    let script =
        "head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo 'WARN: repo1: [ProtocolError] x' >&2; absent";
    cut.does(script).status(254).left(false);
}

#[test]
fn one_repository_is_asked_where_a_person_says_so() {
    let asked = |case: Get, expected: &str| {
        let done = case.does("test -z \"$PGBACKREST_REPO\" || exit 49; absent").status(1);
        done.check(done.called().contains(expected), expected);
    };
    let two = |name| Get::new(name, Mode::OneShot).conf("repo2-type=s3");
    asked(two("--repo").flag("--repo=2"), " --repo=2 --archive-missing-retry archive-get ");
    asked(two("PGBACKREST_REPO").env("PGBACKREST_REPO", "2"), " --repo=2 --archive-missing-retry archive-get ");
    asked(two("the flag wins").env("PGBACKREST_REPO", "2").flag("--repo=1"), " --repo=1 --archive-missing-retry ");
    let all = two("all").does("absent").status(1);
    all.check(!all.called().contains("--repo"), "no --repo");
    let failing = "echo 'WARN: repo1: [ProtocolError] HTTP request failed with 403 (Forbidden)' >&2; absent";
    let hint = "--repo 2 or PGBACKREST_REPO=2 asks repository 2 alone";
    two("repository 1 fails").does(failing).status(254).has(", repository 1: ").has(hint);
    let unknown = two("there is no such repository").flag("--repo=9");
    let script = "echo \"ERROR: [032]: key '9' is not valid for 'repo' option\" >&2; exit 32";
    unknown.does(script).status(254).has("class config").has("key '9' is not valid").lacks("asks repository");
}

#[test]
fn a_wrong_argument_does_not_stop_a_standby_that_is_elsewhere() {
    let case = Get::new("the target tells", Mode::Standby).directory("/");
    let target = case.data().join("pg_wal/RECOVERYXLOG");
    case.status_of(&["no-wal-file", &target.to_string_lossy()], 2).calls(0);
}

#[test]
fn what_the_async_process_calls_absent_is_asked_again_where_there_are_several_repositories() {
    let script = "case \"$*\" in *--no-archive-async*)
        echo 'WARN: repo1: [PathOpenError] unable to list file info for path' >&2; absent;; esac
        echo \"INFO: unable to find $file in the archive asynchronously\" >&2; exit 1";
    let case = |name| Get::new(name, Mode::OneShot).conf("archive-async=y").does(script);
    case("two repositories").conf("repo2-path=/r").status(254).calls(2).has("PathOpenError");
    case("one repository").status(1).calls(1);
    case("one of two").conf("repo2-path=/r").flag("--repo=2").status(1).calls(1);
}
