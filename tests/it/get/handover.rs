//! How get answers while a cluster changes hands: promotions, the new timeline's history, a silent repository.

use super::standin::{Get, Mode, SEGMENT};
use std::fs;
use std::time::Duration;

const WORDS: [&str; 2] = [SEGMENT, "pg_wal/RECOVERYXLOG"];
const HISTORY: [&str; 2] = ["00000002.history", "pg_wal/RECOVERYHISTORY"];
/// A pgBackRest that hears nothing: it reads nothing, and does not heed SIGTERM either.
const SILENT: &str = "trap '' TERM; : >\"$root/up\"; sleep 60 & wait; sleep 60";
/// Below this nobody has waited for a time limit or for patience.
const SHORT: Duration = Duration::from_secs(12);
/// Below this a call was ended for a promotion: 2 s, and what a busy machine needs to begin and to end.
const PROMOTED: Duration = Duration::from_secs(4);

#[test]
fn the_first_timeline_has_no_history_and_nobody_is_asked() {
    for mode in Mode::ALL {
        let case = Get::new("00000001.history", mode).does("exit 103");
        case.status_of(&["00000001.history", "pg_wal/RECOVERYHISTORY"], 1).calls(0).left(false);
    }
}

#[test]
fn a_request_for_a_promotion_ends_the_call_that_runs() {
    let running = Get::new("promoted meanwhile", Mode::Standby).does(SILENT).start(&WORDS);
    running.wait_for("up", "");
    fs::write(running.case.data().join("promote"), "").unwrap();
    let done = running.end().left(false).has("exit 82, a promotion does not wait for the archive");
    let done = done.has("pgBackRest was ended: a promotion does not wait for it");
    done.check(done.code == Some(82) && done.took < PROMOTED, "82, soon");
    // The next calls of that promotion are short too, and there is one attempt each.
    let again = done.case.does(SILENT).start(&WORDS).end().left(false);
    again.check(again.code == Some(82) && again.took < PROMOTED, "82, soon");
    again.check(again.called().lines().count() == 2, "one attempt");
}

#[test]
fn a_promote_file_that_cannot_be_read_counts() {
    let case = Get::new("a link to nowhere", Mode::Standby).does("exit 103");
    std::os::unix::fs::symlink("/nowhere", case.data().join("promote")).unwrap();
    case.status(103).calls(1).has("a promotion does not wait");
}

#[test]
fn a_call_that_asks_twice_has_one_time_for_both() {
    let script = format!("case \"$*\" in *--no-archive-async*) {SILENT};; esac\nsleep 1; absent");
    let case = Get::new("two repositories", Mode::Standby).conf("archive-async=y").conf("repo2-path=/r").does(&script);
    fs::write(case.data().join("promote"), "").unwrap();
    let done = case.status(82).calls(2).has("a promotion does not wait");
    done.check(done.took < Duration::from_millis(2_800), "2 s for both, and not for each");
}

#[test]
fn a_history_is_not_answered_by_254_where_no_data_directory_is_known() {
    let case = Get::new("nowhere", Mode::Neither).directory("/").does("exit 103");
    let target = case.root().join("RECOVERYHISTORY");
    let words = ["00000002.history", target.to_str().unwrap()];
    case.env("WAL_GET_RETRY_SECONDS", "600").status_of(&words, 103).has("goes on without it");
}

#[test]
fn a_recovery_does_not_heed_a_promote_file() {
    let case = Get::new("recovery.signal", Mode::OneShot).env("WAL_GET_RETRY_SECONDS", "60");
    fs::write(case.data().join("promote"), "").unwrap();
    case.does("[ $call = 2 ] && absent; exit 103").status(1).calls(2);
}

#[test]
fn a_standby_does_not_wait_for_a_silent_repository_twice() {
    let first = Get::new("silent", Mode::Standby).does(SILENT).start(&WORDS).end().left(false);
    let first = first.has("heard nothing from the repository").has("exit 82, the standby goes on");
    first.check(first.code == Some(82) && first.took < Duration::from_mins(1), "82, long before the time limit");
    first.check(first.called().lines().count() == 1, "one attempt");
    let first_took = first.took;
    let note = first.case.data().join(".pgbackrest_guard/get-silent");
    first.check(note.is_file(), "a note");
    let second = first.case.does(SILENT).start(&WORDS).end().left(false);
    second.check(second.took < first_took, "a shorter call");
    // However long ago that was, until one succeeds; now and then it gets a little more time.
    let long_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    fs::File::open(&note).unwrap().set_modified(long_ago).unwrap();
    let second = second.case.does(SILENT).start(&WORDS).end().left(false).has("heard nothing from the repository");
    second.check(second.took < first_took, "a shorter call");
    let age = fs::metadata(&note).unwrap().modified().unwrap().elapsed().unwrap();
    second.check(age < Duration::from_mins(1), "a note of now");
    // A slow download is no silence, and a success ends it.
    let slow = "for n in 1 2 3 4; do head -c 1048576 /dev/zero >>/dev/null; sleep 1; done; head -c 1048576 /dev/zero >\"$target\"";
    let third = second.case.does(slow).status(0).left(true);
    third.check(!note.exists(), "no note");
}

#[test]
fn a_new_timelines_history_is_never_answered_by_254() {
    let kept = |name, script: &str| {
        let case = Get::new(name, Mode::Neither).env("WAL_GET_RETRY_SECONDS", "600").does(script);
        fs::write(case.data().join("pg_wal/00000002.history"), "1\t0/3000000\tx\n").unwrap();
        case
    };
    for (name, script, code) in [("denied", "exit 103", 103), ("hanging", SILENT, 82), ("a wrapper", "exit 1", 125)] {
        let done = kept(name, script).status_of(&HISTORY, code).calls(1).has("PostgreSQL takes the copy in pg_wal");
        done.check(done.took < SHORT, "soon");
    }
    let missing = Get::new("not in pg_wal", Mode::Neither).env("WAL_GET_RETRY_SECONDS", "600").does("exit 103");
    let done = missing.status_of(&HISTORY, 103).left(false).has("goes on without it");
    done.check(done.called().lines().count() > 1, "several attempts");
    let answers = Get::new("it answers again", Mode::Neither).does("[ $call = 1 ] && exit 103; echo x >\"$target\"");
    answers.status_of(&HISTORY, 0).calls(2).has("is restored: the repository answers again");
    let empty = Get::new("0 bytes", Mode::Standby).does(":>\"$target\"");
    empty.status_of(&HISTORY, 42).has("the file is not whole");
}

#[test]
fn a_bucket_that_is_gone_is_no_missing_stanza() {
    let says = "case \"$*\" in *' info '*)
        cat <<'JSON'
[{\"name\":\"main\",\"repo\":[{\"key\":1,\"status\":{\"code\":99,\"message\":\"[ProtocolError] HTTP request failed with 404 (Not Found):\\n*** Response Content ***:\\n<Error><Code>NoSuchBucket</Code></Error>\"}}]}]
JSON
        exit 0;; esac
    cat >&2 <<'WARNING'
WARN: repo1: [FileMissingError] unable to load info file '/repo/archive/main/archive.info' or '/repo/archive/main/archive.info.copy':
      FileMissingError: unable to open missing file '/repo/archive/main/archive.info' for read
WARNING
    echo 'ERROR: [103]: unable to find a valid repository' >&2; exit 103";
    let done = Get::new("gone", Mode::OneShot).does(says).status(254).has("class gone (NoSuchBucket)");
    done.lacks("stanza-create").lacks("nothing is lost").has("what the repository held may be lost");
    let missing = says.replace("NoSuchBucket", "NoSuchKey");
    Get::new("missing", Mode::OneShot).does(&missing).status(254).has("class stanza-missing").has("stanza-create");
}

#[test]
fn a_signal_while_info_is_asked_ends_it() {
    let says = "case \"$*\" in *' info '*) : >\"$root/up\"; sleep 60 & wait;; esac
    cat >&2 <<'WARNING'
WARN: repo1: [FileMissingError] unable to load info file '/repo/archive/main/archive.info' or '/repo/archive/main/archive.info.copy':
      FileMissingError: unable to open missing file '/repo/archive/main/archive.info' for read
WARNING
    echo 'ERROR: [103]: unable to find a valid repository' >&2; exit 103";
    for patience in ["0", "600"] {
        let case = Get::new(&format!("patience {patience}"), Mode::OneShot).env("WAL_GET_RETRY_SECONDS", patience);
        let running = case.does(says).start(&WORDS);
        running.wait_for("up", "");
        running.signal("TERM");
        let done = running.end().left(false).has("interrupted after").lacks("exit 254");
        done.check(done.code == Some(143) && done.took < SHORT, "143, soon");
    }
}
