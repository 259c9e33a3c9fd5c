//! When a file is given up, and what becomes of it (contract, section 4, steps 6 and 7).

use super::classes::{LAYOUTS, Layout, command_error, http, sample};
use super::standin::{Case, MIB, SEGMENT};
use std::fs;

const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";

/// A push that fails, with so many MiB waiting.
fn failing(name: &str, backlog: u64) -> Case {
    let case = Case::new(name).says(REFUSED).exits(49);
    if backlog > 1 { case.backlog(backlog) } else { case }
}

/// A push whose key is gone.
fn gone(name: &str) -> Case {
    Case::new(name).says(command_error(&[(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))])).exits(104)
}

fn make_gone_older(case: &Case, seconds: i64) {
    let folder = case.data().join(".pgbackrest_guard");
    let state = pgbackrest_guard::ledger::Ledger::peek(&folder).unwrap().unwrap();
    let (ledger, ..) = pgbackrest_guard::ledger::Ledger::open(
        &folder,
        state.identity,
        pgbackrest_guard::ledger::state::Place::default(),
        0,
    )
    .unwrap();
    ledger
        .update(|state| {
            let from = state.push.gone_from.as_mut().unwrap();
            // By the wall clock: the machine may not be up for so long.
            (from.at, from.boot) = (from.at - seconds, None);
        })
        .unwrap();
}

#[test]
fn instant_drop_goes_by_its_codes() {
    gone("by default").status(0).lost("gone", "instant-drop");
    gone("none").env("WAL_INSTANT_DROP_CODES", "none").status(104).kept("denied");
    gone("none by flag").flag("--instant-drop=none").status(104).kept("denied");
    gone("other codes").env("WAL_INSTANT_DROP_CODES", "NoSuchBucket,AccountProblem").status(104).kept("denied");
    let account = command_error(&[(1, "ProtocolError", &http(403, "AccountProblem"))]);
    let case = Case::new("a code of the user's").says(account).exits(104);
    case.env("WAL_INSTANT_DROP_CODES", "NoSuchBucket, AccountProblem").status(0).lost("gone", "instant-drop");
    gone("none, at the threshold")
        .env("WAL_INSTANT_DROP_CODES", "none")
        .backlog(500)
        .status(0)
        .lost("denied", "drop-threshold");
}

#[test]
fn instant_drop_can_wait() {
    let patient = |name: &str| gone(name).env("WAL_INSTANT_DROP_AFTER_SECONDS", "3600");
    let first = patient("patience").status(104).kept("gone").again();
    make_gone_older(&first, 3599 - 60);
    let second = first.status(104).kept("gone").again();
    make_gone_older(&second, 120);
    second.status(0).lost("gone", "instant-drop");

    let first = patient("a success in between").status(104).kept("gone").again();
    make_gone_older(&first, 7200);
    let works = first.works().status(0).stderr_has("archiving works again").again();
    let text = command_error(&[(1, "ProtocolError", &http(403, "InvalidAccessKeyId"))]);
    works.says(text).exits(104).status(104).ledger("no loss", |state| state.push.dropped_count == 0);

    patient("at the threshold it does not wait").backlog(500).status(0).lost("gone", "drop-threshold");
    gone("by flag").flag("--instant-drop-after=3600").status(104).kept("gone");
}

#[test]
fn the_threshold_is_on_the_backlog() {
    failing("below", 499).status(49).kept("unavailable").stderr_has("backlog 499 MiB, threshold 500 MiB");
    failing("equal", 500).status(0).lost("unavailable", "drop-threshold");
    failing("above", 600).status(0).lost("unavailable", "drop-threshold");
    failing("zero", 1).env("WAL_DROP_THRESHOLD_MB", "0").status(0).lost("unavailable", "drop-threshold");
    failing("zero by flag", 1).flag("--drop-threshold=0").status(0).lost("unavailable", "drop-threshold");
    failing("the smallest", 1).env("WAL_DROP_THRESHOLD_MB", "1").status(0).lost("unavailable", "drop-threshold");
    failing("not by bytes", 1).wal(SEGMENT, MIB - 1).env("WAL_DROP_THRESHOLD_MB", "1").status(49).kept("unavailable");
    Case::new("a success").backlog(5000).status(0).stored().stderr_is("");
}

#[test]
fn by_default_the_threshold_is_at_least_64_mib() {
    let by_default = |name: &str, backlog| failing(name, backlog).unset("WAL_DROP_THRESHOLD_MB");
    by_default("below 64 MiB", 63).status(49).kept("unavailable");
    by_default("500 MiB is enough everywhere", 500).status(0).lost("unavailable", "drop-threshold");
}

#[test]
fn what_no_longer_waits_is_no_backlog() {
    let case = failing("recycled and kept segments", 1).wal("000000010000000000000004", 900 * MIB);
    let case = case.write("pg_wal/archive_status/000000010000000000000004.done", "");
    case.wal("0000000100000000000000FF", 900 * MIB).status(49).kept("unavailable").stderr_has("backlog 1 MiB");
    let orphan = failing("an orphan .ready", 1).waiting("000000010000000000000099");
    orphan.status(49).kept("unavailable").stderr_has("backlog 1 MiB");
}

#[test]
fn everything_counts_where_it_must() {
    let kept = |name: &str| failing(name, 1).wal("000000010000000000000004", 499 * MIB);
    kept("by the measure").env("WAL_DROP_MEASURE", "pg_wal").status(0).lost("unavailable", "drop-threshold");
    kept("by the flag").flag("--drop-measure=pg_wal").status(0).lost("unavailable", "drop-threshold");
    kept("flag over variable")
        .env("WAL_DROP_MEASURE", "pg_wal")
        .flag("--drop-measure=backlog")
        .status(49)
        .kept("unavailable");
    let ready = format!("data/pg_wal/archive_status/{SEGMENT}.ready");
    let untold = kept("no .ready at all").with(|root| fs::remove_file(root.join(&ready)).unwrap());
    untold.status(0).lost("unavailable", "drop-threshold").stderr_has("backlog 500 MiB");
}

#[test]
fn pg_wal_may_be_a_link() {
    let elsewhere = |root: &std::path::Path| {
        fs::rename(root.join("data/pg_wal"), root.join("wal")).unwrap();
        std::os::unix::fs::symlink(root.join("wal"), root.join("data/pg_wal")).unwrap();
    };
    failing("a link, below", 499).with(elsewhere).status(49).kept("unavailable").stderr_has("backlog 499 MiB");
    failing("a link, at it", 500).with(elsewhere).status(0).lost("unavailable", "drop-threshold");
}

#[test]
fn short_space_counts_only_where_dropping_helps() {
    // No volume has 8 EiB free: space is always under this reserve.
    let short = |name: &str, backlog| failing(name, backlog).env("WAL_FREE_RESERVE_MB", "8796093022208");
    short("63 MiB wait", 63).status(49).kept("unavailable");
    short("64 MiB wait", 64).status(0).lost("unavailable", "free-reserve");
    short("the threshold comes first", 500).status(0).lost("unavailable", "drop-threshold");
    failing("by flag", 64).flag("--free-reserve=8796093022208").status(0).lost("unavailable", "free-reserve");
    failing("enough space", 64).env("WAL_FREE_RESERVE_MB", "1").status(49).kept("unavailable");
    Case::new("a success on a short disk").backlog(64).env("WAL_FREE_RESERVE_MB", "8796093022208").status(0).stored();
}

#[test]
fn a_partial_segment_is_lost_like_a_segment() {
    let name = format!("{SEGMENT}.partial");
    let outcome = failing("a .partial", 500).pushes(&name).status(0);
    outcome.stderr_has(&format!("dropping {name}")).marker(true).deferred(&[]).ledger("a partial gap", |state| {
        state.push.dropped_count == 1 && state.gaps.open().all(|gap| gap.partial && gap.first.to_string() == SEGMENT)
    });
}

#[test]
fn a_history_or_backup_file_is_deferred_byte_for_byte() {
    for name in ["00000002.history", "000000010000000000000005.00000028.backup"] {
        let content: Vec<u8> = (0..=255).chain([0, 10, 13]).collect();
        let outcome = failing(name, 500).pushes(name).write(&format!("pg_wal/{name}"), &content).status(0);
        let outcome = outcome.deferred(&[name]).marker(false).stderr_has(&format!("deferring {name}"));
        let copy = outcome.case.data().join(".pgbackrest_guard/deferred").join(name);
        outcome.check(fs::read(copy).unwrap() == content, "the same bytes");
        outcome.ledger("no loss", |state| state.push.dropped_count == 0 && state.push.failed_count == 1);
        failing(name, 1).pushes(name).status(49).kept("unavailable");
        let gone_file = failing(name, 500).argument(format!("pg_wal/{name}"));
        gone_file.status(49).stderr_has("not dropped").marker(false).deferred(&[]);
    }
}

#[test]
fn the_overflow_folder_takes_segments_while_it_has_room() {
    let with = |name: &str, most: &str| {
        let case = failing(name, 500);
        let folder = case.root().join("overflow");
        case.env("WAL_OVERFLOW_DIR", &folder).env("WAL_OVERFLOW_MAX_MB", most)
    };
    let outcome = with("room", "1").status(0).marker(false).stderr_has("nothing is lost").stderr_has(SEGMENT);
    let folder = outcome.case.root().join("overflow");
    let outcome = outcome.holds(&folder, &[SEGMENT]).ledger("overflowed", |state| {
        state.push.overflowed_count == 1 && state.push.dropped_count == 0 && state.push.failed_count == 1
    });
    let same =
        fs::read(folder.join(SEGMENT)).unwrap() == fs::read(outcome.case.data().join("pg_wal").join(SEGMENT)).unwrap();
    outcome.check(same, "the same bytes");
    let next = "000000010000000000000006";
    let outcome = outcome.again().pushes(next).status(0).lost_file(next, "unavailable", "drop-threshold");
    outcome.holds(&folder, &[SEGMENT]).stderr_has("WAL_OVERFLOW_MAX_MB is reached");

    with("no room at all", "0").status(0).lost("unavailable", "drop-threshold");
    let short = with("the volume of pg_wal is short of space", "9").env("WAL_FREE_RESERVE_MB", "8796093022208");
    short.status(0).lost("unavailable", "drop-threshold").stderr_has("short of space");
    with("relative", "9")
        .env("WAL_OVERFLOW_DIR", "overflow")
        .status(0)
        .lost("unavailable", "drop-threshold")
        .lines_with("WAL_OVERFLOW_DIR", 1);
    let file = with("a file", "9").with(|root| fs::write(root.join("overflow"), "").unwrap());
    file.status(0).lost("unavailable", "drop-threshold");
    let other = with("another file of that name", "9").with(|root| {
        fs::create_dir(root.join("overflow")).unwrap();
        fs::write(root.join("overflow").join(SEGMENT), "x").unwrap();
    });
    other.status(0).lost("unavailable", "drop-threshold");
    let short = with("the volume that is short of space", "9").env("WAL_FREE_RESERVE_MB", "8796093022208");
    short.env("WAL_DROP_THRESHOLD_MB", "501").status(0).lost("unavailable", "free-reserve");
    let history = with("a .history", "9").pushes("00000002.history").status(0).deferred(&["00000002.history"]);
    history.marker(false);
}

#[test]
fn what_pgbackrest_dropped_is_recorded() {
    for name in ["queue-max.sync", "queue-max.async"] {
        for layout in LAYOUTS {
            let (code, text) = sample(&format!("archive-push.{name}"));
            let text = text.replace("000000010000000000000007", SEGMENT);
            let case = Case::new(&format!("{name} {layout:?}")).logs(layout, &text).exits(code);
            case.status(0).lost("unavailable", "archive-push-queue-max").calls(1);
        }
    }
    let dropped = |name: &str| format!("WARN: dropped WAL file '{name}' because archive queue exceeded 1.5GB\n");
    for name in ["00000002.history", "000000010000000000000005.00000028.backup"] {
        let case = Case::new(name).pushes(name).says(dropped(name));
        case.status(0).deferred(&[name]).marker(false).stderr_has("deferring");
    }
    let said = Case::new("what is said").says(dropped(SEGMENT)).status(0);
    for word in ["dropping", "class unavailable", "archive-push-queue-max", "backlog 1 MiB", "threshold 500", "free "] {
        said.check(said.stderr.contains(word), word);
    }
    let other = "WARN: dropped WAL file '000000010000000000000005' for another reason\n";
    Case::new("another warning").says(other).status(0).stored();
    let info = format!("INFO: dropped WAL file '{SEGMENT}' because archive queue exceeded 1MB\n");
    Case::new("no warning").says(info).status(0).stored();
    let glued = Case::new("after an unfinished line").says("unfinished").logs(Layout::Stdout, &dropped(SEGMENT));
    glued.status(0).lost("unavailable", "archive-push-queue-max");
}

#[test]
fn what_somebody_skipped_is_recorded() {
    let texts = ["WAL segment", "WAL file"].map(|what| {
        format!("WARN: {what} '{SEGMENT}' was not pushed due to error [104] and was manually skipped: x\n")
    });
    for (text, layout) in texts.iter().zip(LAYOUTS) {
        Case::new(text).logs(layout, text).status(0).lost("unknown", "manually-skipped");
    }
}

/// A case whose state directory can't be made, whoever runs the test.
fn without_a_ledger(case: Case) -> Case {
    let folder = case.root().join("guard.toml/state");
    case.env("WAL_GUARD_STATE_DIR", folder)
}

#[test]
fn what_can_not_be_recorded_is_not_given_up() {
    let case = without_a_ledger(failing("at the threshold", 500));
    case.status(49).marker(false).stderr_has("nothing can be recorded").stderr_has("is not dropped");
    without_a_ledger(gone("gone")).status(104).marker(false).stderr_has("is not dropped");
    without_a_ledger(failing("below it", 2)).status(49).marker(false);
    without_a_ledger(Case::new("a success")).status(0).stderr_has("nothing can be recorded");
    let dropped = format!("WARN: dropped WAL file '{SEGMENT}' because archive queue exceeded 1MB\n");
    let outcome = without_a_ledger(Case::new("dropped by pgBackRest").says(dropped)).run();
    let code = outcome.status.code();
    outcome.check(code.is_some_and(|code| (1..=125).contains(&code)), "1 to 125");
    let history = without_a_ledger(failing("a .history", 500).pushes("00000002.history"));
    history.status(49).stderr_has("is not dropped");
    let file = failing("a state directory that is a file", 500).write(".pgbackrest_guard", "x");
    file.status(49).marker(false).stderr_has("is not dropped");
}

#[test]
fn under_the_reserve_it_is_given_up_without_a_record() {
    let short = |case: Case| without_a_ledger(case).env("WAL_FREE_RESERVE_MB", "8796093022208");
    let unrecorded = short(failing("at the threshold", 500)).status(0).stderr_has("could NOT be recorded");
    unrecorded.stderr_has(SEGMENT).marker(true);
    short(failing("for space alone", 64)).status(0).stderr_has("could NOT be recorded");
    short(failing("too little waits", 63)).status(49).stderr_lacks("dropping");
    let history = short(failing("a .history", 500).pushes("00000002.history"));
    history.status(0).stderr_has("could NOT be kept").marker(false);
}

#[test]
fn what_overflowed_is_not_lost_even_without_a_ledger() {
    let case = without_a_ledger(failing("overflow without a ledger", 500));
    let folder = case.root().join("overflow");
    let outcome = case.env("WAL_OVERFLOW_DIR", &folder).status(0).marker(false).stderr_has("nothing is lost");
    outcome.holds(&folder, &[SEGMENT]);
}

#[test]
fn a_ledger_that_another_program_holds_is_waited_for_and_not_done_without() {
    let hold = |case: Case, seconds: u32| {
        let lock = case.data().join(".pgbackrest_guard/ledger.lock");
        case.does(format!("flock '{}' sleep {seconds} >/dev/null 2>&1 & sleep 0.5", lock.display()))
    };
    let first = failing("held for a moment", 1).status(49).again().works().says(REFUSED).exits(49).backlog(500);
    hold(first, 2).status(0).lost("unavailable", "drop-threshold");
    let first = failing("held for long", 1).status(49).again().works().says(REFUSED).exits(49).backlog(500);
    hold(first, 30).status(49).marker(false).stderr_has("has been locked").stderr_has("is not dropped");
}

#[test]
fn the_marker_is_a_courtesy_and_the_ledger_is_the_record() {
    let case = failing("no marker possible", 500).write(".pgbackrest_gap_pending/x", "");
    case.status(0).lost("unavailable", "drop-threshold").lines_with("the loss is in the ledger", 1);
}

#[test]
fn a_backlog_that_can_not_be_measured_is_no_reason() {
    let moved = |root: &std::path::Path| fs::rename(root.join("data/pg_wal"), root.join("data/moved")).unwrap();
    let unknown = failing("no pg_wal", 500).with(moved).status(49).kept("unavailable");
    unknown.stderr_has("can't measure the WAL").stderr_has("backlog unknown");
    let zero = failing("no pg_wal, threshold 0", 500).with(moved).env("WAL_DROP_THRESHOLD_MB", "0");
    zero.status(0).lost("unavailable", "drop-threshold");
}
