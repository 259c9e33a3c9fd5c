//! The outputs as a user gets them: the program on a real data directory, with a real ledger.

use super::exposition::parse;
use crate::push::outcome::Outcome;
use crate::push::standin::Case;
use pgbackrest_guard_lab::{Lab, Signal};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Another user's number.
const NOBODY: u32 = 65_534;

/// Two lost segments that are neighbours.
fn lost(name: &str) -> Outcome {
    let case = Case::new(name).control(42).exits(49).backlog(500);
    let outcome = case.status(0).lost("unavailable", "drop-threshold");
    outcome.again().pushes("000000010000000000000006").status(0)
}

fn command(outcome: &Outcome, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.args(["status", "--config=/dev/null"]).args(arguments).env_clear().env("PGDATA", outcome.case.data());
    command
}

/// Runs status; its exit code must be `code`. What it printed, then what it said.
#[track_caller]
fn status(outcome: &Outcome, arguments: &[&str], code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = command(outcome, arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{arguments:?}\n{stdout}{stderr}");
    (stdout, stderr)
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&status(outcome, &["--output=json"], 0).0).unwrap()
}

#[test]
fn an_acknowledged_gap_stays_listed_and_leaves_the_verdict_until_more_is_lost() {
    let outcome = lost("acknowledged");
    let before = json(&outcome);
    outcome.check(before["reasons"].to_string().contains("2 WAL segments are missing"), "an open gap");
    outcome.check(before["gaps"][0].get("acknowledged").is_none(), "no field without a word");
    let (said, _) = status(&outcome, &["--acknowledge=1", "--reason=load test"], 0);
    outcome.check(said.contains("000000010000000000000005 to 000000010000000000000006 (2 segments)"), &said);
    let after = json(&outcome);
    let gap = &after["gaps"][0];
    outcome.check(gap["state"] == "open" && gap["acknowledged"]["reason"] == "load test", &gap.to_string());
    outcome.check(!after["reasons"].to_string().contains("missing in"), &after["reasons"].to_string());
    let marker = outcome.case.data().join(".pgbackrest_gap_pending");
    outcome.check(marker.exists(), "the marker is the watcher's to remove");
    let (list, _) = status(&outcome, &["--gaps"], 0);
    outcome.check(list.contains("Gap 1: open, acknowledged") && list.contains(": load test"), &list);
    let metrics = parse(&status(&outcome, &["--output=prometheus"], 0).0).unwrap();
    let value = |name: &str| metrics[&format!("pgbackrest_guard_{name}")].samples[0].value;
    outcome.check((value("open_gaps"), value("acknowledged_gaps")) == (0.0, 1.0), "counted apart");
    let outcome = outcome.again().pushes("000000010000000000000007").status(0);
    let more = json(&outcome);
    outcome.check(more["gaps"].as_array().unwrap().len() == 2, "a later loss is a gap of its own");
    outcome.check(more["verdict"] == "critical" && more["reasons"].to_string().contains("1 WAL segment is"), "again");
}

#[test]
fn what_can_not_be_acknowledged_is_refused_on_one_line() {
    let outcome = lost("refused");
    let ledger = || fs::read(outcome.case.data().join(".pgbackrest_guard/ledger")).unwrap();
    let before = ledger();
    let long = format!("--reason={}", "x".repeat(201));
    let table: [(&[&str], i32, &str); 8] = [
        (&["--acknowledge=9", "--reason=x"], 1, "the ledger knows no gap 9"),
        (&["--acknowledge=1"], 2, "--reason"),
        (&["--acknowledge=1", "--reason= "], 2, "say why"),
        (&["--acknowledge=1", "--reason=a\nb"], 2, "control character"),
        (&["--acknowledge=1", &long], 2, "longer than 200 bytes"),
        (&["--acknowledge=one", "--reason=x"], 2, "--acknowledge"),
        (&["--reason=x"], 2, "--acknowledge"),
        (&["--acknowledge=1", "--reason=x", "--output=json"], 2, "--output"),
    ];
    for (arguments, code, words) in table {
        let (stdout, stderr) = status(&outcome, arguments, code);
        assert!(stdout.is_empty() && stderr.contains(words) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
    assert!(ledger() == before, "nothing was written");
    let control = outcome.case.data().join("global/pg_control");
    let control = fs::OpenOptions::new().write(true).open(control).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&control, &9_u64.to_ne_bytes(), 0).unwrap();
    let (_, stderr) = status(&outcome, &["--acknowledge=1", "--reason=x"], 1);
    assert!(stderr.contains("is another cluster's") && ledger() == before, "{stderr}");
    fs::remove_dir_all(outcome.case.data().join(".pgbackrest_guard")).unwrap();
    let (_, stderr) = status(&outcome, &["--acknowledge=1", "--reason=x"], 1);
    assert!(stderr.contains("there is no ledger in"), "{stderr}");
    assert!(!outcome.case.data().join(".pgbackrest_guard").exists(), "nothing is made");
}

#[test]
fn root_leaves_the_ledger_to_its_owner() {
    let outcome = lost("owner");
    let folder = outcome.case.data().join(".pgbackrest_guard");
    if chown(&folder, Some(NOBODY), Some(NOBODY)).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    chown(folder.join("ledger"), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::remove_file(folder.join("ledger.lock")).unwrap();
    status(&outcome, &["--acknowledge=1", "--reason=x"], 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{}", entry.path().display());
        assert_eq!(metadata.mode() & 0o777, 0o600, "{}", entry.path().display());
    }
    assert!(folder.join("ledger.lock").exists());
}

#[test]
fn nagios_gets_its_line_and_its_code() {
    let outcome = lost("nagios");
    let (line, _) = status(&outcome, &["--output=nagios"], 2);
    assert!(line.starts_with("PGBACKREST_GUARD CRITICAL - ") && line.lines().count() == 1, "{line}");
    assert!(line.contains(" missing_segments=2;;0;0 ") && line.contains(" push_failed=2c;;;0 "), "{line}");
    let (line, _) = status(&outcome, &["--output=nagios", "--pgdata=/nowhere"], 3);
    assert_eq!(line, "PGBACKREST_GUARD UNKNOWN - the data directory is missing or can't be read\n");
    let mut off = command(&outcome, &["--output=nagios"]);
    assert_eq!(off.env("WAL_ARCHIVE_BUCKET", "").output().unwrap().status.code(), Some(0));
    fs::write(outcome.case.data().join(".pgbackrest_invalid_bucket"), "bad|name\n").unwrap();
    let (line, _) = status(&outcome, &["--output=nagios"], 2);
    assert!(line.matches('|').count() == 1 && line.contains("bad/name"), "{line}");
}

#[test]
fn a_report_goes_into_a_file_whole_or_not_at_all() {
    let outcome = lost("file");
    let folder = outcome.case.root().join("reports");
    fs::create_dir(&folder).unwrap();
    let page = folder.join("page.html");
    fs::write(&page, "the old one").unwrap();
    // Where a killed program has left its half, or somebody else a link.
    std::os::unix::fs::symlink(outcome.case.root().join("guard.toml"), folder.join("page.html.new")).unwrap();
    let to = format!("--to={}", page.display());
    let (stdout, _) = status(&outcome, &["--output=html", &to], 0);
    let text = fs::read_to_string(&page).unwrap();
    assert!(stdout.is_empty() && text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>\n"), "{text}");
    assert_eq!(fs::read_to_string(outcome.case.root().join("guard.toml")).unwrap(), "");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    let printed = status(&outcome, &["--output=html"], 0).0;
    let without_time = |page: &str| page.split_once("<footer>").unwrap().0.len();
    assert_eq!(without_time(&printed), without_time(&text), "the same on stdout");
    for nowhere in [folder.join("missing/page.html"), folder.clone(), "/dev/null".into()] {
        let (_, stderr) = status(&outcome, &["--output=html", &format!("--to={}", nowhere.display())], 1);
        assert!(stderr.contains(&nowhere.display().to_string()) && stderr.lines().count() == 1, "{stderr}");
    }
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
}

#[test]
fn forms_that_do_not_go_together_are_a_wrong_command_line() {
    let outcome = lost("together");
    for arguments in [["--gaps", "--output=html"], ["--watch", "--output=json"], ["--watch", "--to=x"]] {
        let (stdout, stderr) = status(&outcome, &arguments, 2);
        assert!(stdout.is_empty() && stderr.lines().count() == 1, "{stderr}");
    }
}

/// A child that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `file` holds `text` so often.
#[track_caller]
fn wait_for(file: &Path, text: &str, times: usize) -> String {
    let started = std::time::Instant::now();
    loop {
        let held = fs::read_to_string(file).unwrap_or_default();
        if held.matches(text).count() >= times {
            return held;
        }
        assert!(
            started.elapsed() < std::time::Duration::from_mins(1),
            "never {times} times {text:?}, but {} bytes",
            held.len()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_watched_report_is_shown_again_until_a_signal_ends_it_with_zero() {
    let outcome = lost("watched");
    for (name, signal) in [("term", Signal::TERM), ("int", Signal::INT)] {
        let shown = outcome.case.root().join(format!("shown.{name}"));
        let mut watching = command(&outcome, &["--watch"]);
        watching.stdin(Stdio::null()).stdout(File::create(&shown).unwrap()).stderr(Stdio::null());
        let mut child = Ended(watching.spawn().unwrap());
        let blocks = wait_for(&shown, "CRITICAL ", 2);
        assert!(!blocks.contains('\u{1b}'), "no terminal, no escape: {blocks}");
        Lab::signal(i32::try_from(child.0.id()).unwrap(), signal);
        assert_eq!(child.0.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn on_a_terminal_a_watched_report_is_drawn_over_itself_and_leaves_no_trace() {
    let outcome = lost("terminal");
    let (shown, pid) = (outcome.case.root().join("shown"), outcome.case.root().join("pid"));
    // script(1) gives its child a terminal.
    let inner = format!(
        "echo $$ >'{}'; stty rows 12 cols 80; PGDATA='{}' exec '{}' status --config=/dev/null --watch",
        pid.display(),
        outcome.case.data().display(),
        env!("CARGO_BIN_EXE_pgbackrest-guard"),
    );
    let mut script = Command::new("script");
    script.args(["-q", "-f", "-e", "-c", &inner, "/dev/null"]);
    let child = script.stdin(Stdio::null()).stdout(File::create(&shown).unwrap()).stderr(Stdio::null()).spawn();
    let mut child = Ended(child.unwrap());
    wait_for(&shown, "\u{1b}[H", 2);
    let number = fs::read_to_string(&pid).unwrap();
    Lab::signal(number.trim().parse().unwrap(), Signal::TERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let all = fs::read_to_string(&shown).unwrap();
    assert!(all.starts_with("\u{1b}[?1049h") && all.trim_end().ends_with("\u{1b}[?1049l"), "{all:?}");
    for frame in all.split("\u{1b}[H").skip(1) {
        let frame = frame.split("\u{1b}[?7h").next().unwrap();
        assert!(frame.contains("CRITICAL") && frame.matches('\n').count() < 12, "{frame:?}");
        assert!(frame.contains("more below"), "what does not fit is counted: {frame:?}");
    }
}
