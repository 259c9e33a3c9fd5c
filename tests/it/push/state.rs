//! The ledger of a push: made at once, written when something changes, set aside when it is somebody else's, repaired
//! when it is damaged (contract, sections 6 and 9). And what pgBackRest is given of the environment (sections 2, 6, 7).

use super::outcome::Outcome;
use super::standin::{Case, SEGMENT};
use pgbackrest_guard::ledger::slots::FILE_BYTES;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";

/// A push that loses its segment.
fn losing(name: &str) -> Case {
    Case::new(name).control(7).says(REFUSED).exits(49).backlog(500)
}

fn state_folder(outcome: &Outcome) -> std::path::PathBuf {
    outcome.case.data().join(".pgbackrest_guard")
}

#[test]
fn the_first_push_makes_the_ledger_whatever_its_outcome() {
    let cases = [
        (Case::new("stored"), 0),
        (Case::new("failed").exits(49), 49),
        (Case::new("lost").exits(49).backlog(500), 0),
        (Case::new("not started").env("PATH", "/nowhere"), 125),
        (Case::new("archiving off").env("WAL_ARCHIVE_BUCKET", ""), 0),
    ];
    for (case, status) in cases {
        let outcome = case.status(status);
        let folder = state_folder(&outcome);
        let ledger = fs::metadata(folder.join("ledger")).unwrap();
        outcome.check(ledger.len() == FILE_BYTES && ledger.blocks() * 512 >= FILE_BYTES, "a ledger allocated in full");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        outcome.check(mode(&folder) == 0o700, "mode 0700");
        outcome.check(mode(&folder.join("ledger")) == 0o600, "mode 0600");
    }
    let case = Case::new("a state directory of one's own");
    let folder = case.root().join("deep/state");
    let outcome = case.env("WAL_GUARD_STATE_DIR", &folder).status(0);
    outcome.check(folder.join("ledger").exists() && !state_folder(&outcome).exists(), "the ledger there");
}

#[test]
fn a_success_writes_nothing() {
    let outcome = Case::new("a second success").control(7).status(0);
    let old = SystemTime::now() - Duration::from_hours(1);
    let folder = state_folder(&outcome);
    for path in [folder.join("ledger"), folder.clone(), outcome.case.data()] {
        File::open(path).unwrap().set_modified(old).unwrap();
    }
    let outcome = outcome.again().status(0).stored().stderr_is("");
    for path in [folder.join("ledger"), folder, outcome.case.data()] {
        let same = fs::metadata(&path).unwrap().modified().unwrap() == old;
        outcome.check(same, &format!("{} untouched", path.display()));
    }
}

#[test]
fn a_success_ends_a_run_of_failures() {
    let case = Case::new("works again").says(REFUSED).exits(49).status(49).again().status(49).again();
    let outcome = case.works().status(0).stderr_has("archiving works again after 2 failed pushes");
    let outcome = outcome.ledger("counted", |state| {
        state.push.failed_count == 2 && state.push.consecutive_failures == 0 && state.push.gone_from.is_none()
    });
    outcome.again().status(0).stderr_is("");
}

#[test]
fn what_is_lost_twice_counts_once_and_neighbours_are_one_gap() {
    let again = losing("twice").status(0).again().status(0).lost("unavailable", "drop-threshold").again();
    let next = again.pushes("000000010000000000000006").status(0);
    let next = next.ledger("one gap of two", |state| {
        let gaps: Vec<_> = state.gaps.open().collect();
        state.push.dropped_count == 2 && gaps.len() == 1 && gaps[0].segments(state.segment_size()) == 2
    });
    let stored = next.again().works().status(0).stderr_has("no longer missing");
    stored.ledger("the first alone", |state| state.gaps.open().count() == 1).marker(true);
}

#[test]
fn pushes_at_the_same_time_lose_no_record() {
    // A restarted archiver can meet the push of the one before it. Here eight meet, on a cluster without a ledger.
    let others = (6..=12).map(|number| format!(" & \"$0\" pg_wal/0000000100000000000000{number:02X}"));
    let case = losing("eight at once").redirected(&format!("{} & wait", others.collect::<String>()));
    let outcome = case.status(0).marker(true).lines_with("recorded as lost", 8).calls(8);
    outcome.ledger("all of them", |state| {
        state.push.dropped_count == 8 && state.push.failed_count == 8 && state.gaps.open().count() == 1
    });
}

/// Makes the data directory another cluster's.
pub(super) fn becomes_cluster(case: Case, system_id: u64) -> Case {
    let path = case.data().join("global/pg_control");
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&system_id.to_ne_bytes(), 0).unwrap();
    case
}

pub(super) fn ledgers_aside(outcome: &Outcome) -> usize {
    let names = fs::read_dir(state_folder(outcome)).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with("ledger.aside-")).count()
}

#[test]
fn another_cluster_begins_afresh_and_the_first_takes_its_ledger_back() {
    let lost = losing("the system identifier").status(0);
    let outcome = becomes_cluster(lost.again(), 9).works().status(0).lines_with("another cluster's", 1);
    let outcome = outcome.ledger("nothing", |state| state.push.failed_count == 0);
    outcome.check(ledgers_aside(&outcome) == 1, "the old ledger kept");
    let outcome = outcome.again().status(0).stderr_is("");
    let back = becomes_cluster(outcome.again().pushes("000000010000000000000006"), 7).status(0);
    let back = back.lines_with("this cluster's own ledger is in use again", 1);
    back.ledger("what was lost", |state| state.gaps.open().count() == 1);
}

#[test]
fn a_configuration_that_changes_or_a_data_directory_that_moves_forgets_nothing() {
    type Change = fn(Case) -> Case;
    let changes: &[(&str, Change)] = &[
        ("the bucket", |case| case.conf("repo1-s3-bucket=other")),
        ("the endpoint", |case| case.conf("repo1-s3-endpoint=other")),
        ("the path", |case| case.conf("repo1-path=/other")),
        ("the path by setup", |case| case.write(".pgbackrest_repo_path", "/other\n")),
        ("the type", |case| case.conf("repo1-type=gcs")),
        ("the key", |case| case.conf("repo1-s3-key=OTHERKEY")),
        ("a second repository", |case| case.conf("repo2-path=/other")),
        ("the inode of pg_control", |case| {
            let folder = case.data().join("global");
            fs::copy(folder.join("pg_control"), folder.join("copy")).unwrap();
            fs::rename(folder.join("copy"), folder.join("pg_control")).unwrap();
            case
        }),
        ("an empty configuration", |case| case.env("PGBACKREST_CONFIG", "/dev/null")),
        ("no configuration", |case| case.env("PGBACKREST_CONFIG", "/nowhere/pgbackrest.conf")),
        ("no pg_control", |case| case.with(|root| fs::remove_file(root.join("data/global/pg_control")).unwrap())),
    ];
    for (name, change) in changes {
        let deferred = losing(name).pushes("00000002.history").status(0).deferred(&["00000002.history"]);
        let lost = deferred.again().pushes("000000010000000000000005").status(0);
        let outcome = change(lost.again().pushes("000000010000000000000006").works()).status(0);
        let outcome = outcome.deferred(&["00000002.history"]).stderr_lacks("ledger");
        outcome.check(ledgers_aside(&outcome) == 0, "no ledger aside");
        let before = fs::read(state_folder(&outcome).join("ledger")).unwrap();
        let outcome = outcome.again().pushes("000000010000000000000007").status(0);
        let outcome = outcome.ledger("what was lost", |state| state.gaps.open().count() == 1);
        let after = fs::read(state_folder(&outcome).join("ledger")).unwrap();
        outcome.check(before == after, "nothing written");
    }
}

#[test]
fn a_damaged_ledger_is_repaired_and_told_once() {
    type Damage = fn(&File);
    let damages: &[(&str, Damage)] = &[
        ("the newest record", |file| file.write_all_at(b"X", FILE_BYTES / 4 + 40).unwrap()),
        ("an older record", |file| file.write_all_at(b"X", 40).unwrap()),
        ("a header", |file| file.write_all_at(b"X", FILE_BYTES / 4 + 9).unwrap()),
        ("cut short", |file| file.set_len(FILE_BYTES / 4 + 10).unwrap()),
        ("zeroes", |file| file.write_all_at(&[0; 4096], 0).unwrap()),
    ];
    for (name, damage) in damages {
        let outcome = Case::new(name).says(REFUSED).exits(49).status(49);
        damage(&OpenOptions::new().write(true).open(state_folder(&outcome).join("ledger")).unwrap());
        let outcome = outcome.again().status(49).lines_with("was damaged", 1);
        outcome
            .again()
            .status(49)
            .lines_with("was damaged", 0)
            .ledger("counting", |state| state.push.failed_count >= 2);
    }
}

#[test]
fn an_unreadable_ledger_is_set_aside_and_the_marker_set() {
    let case = Case::new("nothing left").status(0).again();
    fs::write(case.data().join(".pgbackrest_guard/ledger"), vec![0x55; 5000]).unwrap();
    let outcome = case.status(0).marker(true).lines_with("earlier losses are unknown", 1);
    outcome.again().status(0).stderr_is("");
    let folder = Case::new("a folder in its place").write(".pgbackrest_guard/ledger/x", "").exits(49).backlog(500);
    folder.status(49).marker(false).stderr_has("is not dropped");
}

#[test]
fn pgbackrest_gets_a_clean_environment() {
    let case = Case::new("environment")
        .env("PGHOST", "h")
        .env("PGPASSWORD", "p")
        .env("PGSOMETHING", "p")
        .env("PGBACKREST_NONSENSE", "x")
        .env("PGBACKREST_STANZA", "other")
        .env("PGBACKREST_REPO1_S3_REGION", "r")
        .env("PGBACKREST_REPO1_PATH", "/environment")
        .env("TZ", "UTC")
        .env(OsStr::from_bytes(b"ODD\xff"), OsStr::from_bytes(b"\xfe"))
        .write(".pgbackrest_repo_path", "/by/setup\n");
    let outcome = case.status(0).stored();
    let given = outcome.answer("archive-push", "environment");
    let has = |line: &str| given.lines().any(|given| given == line);
    for line in ["TZ=UTC", "PGBACKREST_REPO1_S3_REGION=r", "PGBACKREST_REPO1_PATH=/by/setup"] {
        outcome.check(has(line), &format!("{line} in\n{given}"));
    }
    for word in ["PGHOST", "PGPASSWORD", "PGSOMETHING", "NONSENSE", "PGBACKREST_STANZA", "WAL_ARCHIVE", "/environment"]
    {
        outcome.check(!given.contains(word), &format!("no {word} in\n{given}"));
    }
    outcome.check(outcome.answer("archive-push", "calls").starts_with("--stanza=other "), "the stanza as an argument");
    let directory = outcome.answer("archive-push", "directory");
    let data = fs::canonicalize(outcome.case.data()).unwrap();
    outcome.check(Path::new(directory.trim()) == data, "the data directory to work in");
}

#[test]
fn the_repository_path_of_setup_is_taken_only_when_it_is_one() {
    for (name, content) in [("empty", ""), ("relative", "x/y\n"), ("binary", "\0\n")] {
        let case = Case::new(name).write(".pgbackrest_repo_path", content).env("PGBACKREST_REPO1_PATH", "/mine");
        let outcome = case.status(0).stored();
        let given = outcome.answer("archive-push", "environment");
        outcome.check(given.contains("PGBACKREST_REPO1_PATH=/mine\n"), &given);
    }
}

#[test]
fn an_empty_configuration_variable_is_an_unset_one() {
    let outcome = Case::new("empty").env("PGBACKREST_CONFIG", "").status(0);
    let given = outcome.answer("archive-push", "environment");
    outcome.check(!given.contains("PGBACKREST_CONFIG"), &given);
    let flag = Case::new("flag over variable").env("PGBACKREST_CONFIG", "/nowhere");
    let path = flag.root().join("pgbackrest.conf");
    let mut argument = std::ffi::OsString::from("--pgbackrest-config=");
    argument.push(&path);
    let outcome = flag.flag(argument).status(0);
    let given = outcome.answer("archive-push", "environment");
    outcome.check(given.contains(&format!("PGBACKREST_CONFIG={}\n", path.display())), &given);
}

#[test]
fn secrets_never_leave() {
    let secrets = super::standin::SECRETS.join(" ");
    let text = format!("ERROR: [039]: {secrets} AKIAIOSFODNN7EXAMPLE <AWSAccessKeyId>abc</AWSAccessKeyId>\n");
    let case = Case::new("in an error").says(&text).prints(&text).exits(39);
    case.status(39)
        .without_secrets()
        .stderr_has("<redacted>")
        .stderr_lacks("abc")
        .again()
        .backlog(500)
        .status(0)
        .without_secrets();
    let late = Case::new("in the spool").exits(82).does(format!("echo '39\n{secrets}' >\"$out/{SEGMENT}.error\""));
    late.status(82).without_secrets().ledger("redacted", |state| {
        state.push.last_failure.as_ref().is_some_and(|failure| failure.message.contains("<redacted>"))
    });
    Case::new("in a warning").says(format!("WARN: {secrets}\n")).status(0).without_secrets();
    Case::new("at level debug").flag("--log-level=debug").says(text).exits(39).backlog(500).status(0).without_secrets();
}
