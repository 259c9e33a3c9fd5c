//! What `status` tells from a data directory's files alone (contract, section 8).

use crate::push::outcome::Outcome;
use crate::push::standin::{Case, MIB, SEGMENT};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A push that gave its segment up, with the control file of a cluster.
fn lost(name: &str) -> Outcome {
    Case::new(name).control(42).exits(49).backlog(500).status(0).lost("unavailable", "drop-threshold")
}

/// The report on a case's data directory, in one of its forms.
fn status(outcome: &Outcome, form: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.args(["status", &format!("--output={form}"), "--config=/dev/null"]).env_clear();
    let shown = command.envs(environment.iter().copied()).env("PGDATA", outcome.case.data()).output().unwrap();
    outcome.check(shown.status.code() == Some(0), "exit 0");
    String::from_utf8(shown.stdout).unwrap()
}

fn report(outcome: &Outcome, environment: &[(&str, &str)]) -> Value {
    let report = serde_json::from_str(&status(outcome, "json", environment)).unwrap();
    assert_eq!(super::schema::wrong(&super::schema::schema(), &report), Vec::<String>::new(), "{report}");
    report
}

#[test]
fn a_loss_is_listed_and_nothing_is_written() {
    let outcome = lost("a loss");
    let before = fs::read_dir(outcome.case.data()).unwrap().count();
    let report = report(&outcome, &[]);
    outcome.check(report["verdict"] == "critical" && report["gaps"][0]["first"] == SEGMENT, "an open gap");
    outcome.check(report["push"]["dropped_count"] == 1 && report["cluster"]["system_id"] == "42", "its numbers");
    outcome.check(fs::read_dir(outcome.case.data()).unwrap().count() == before, "nothing written");
}

/// What a push writes when its data directory is copied: the same ledger beside another `pg_control`.
fn copied(name: &str) -> crate::push::outcome::Outcome {
    let outcome = lost(name);
    let control = outcome.case.data().join("global/pg_control");
    fs::copy(&control, control.with_extension("new")).unwrap();
    fs::rename(control.with_extension("new"), &control).unwrap();
    outcome
}

#[test]
fn a_ledger_that_was_copied_along_is_shown_and_proves_nothing_until_it_was_looked_up() {
    let outcome = copied("copied to a primary");
    let said = report(&outcome, &[]);
    outcome.check(said["gaps"].as_array().is_some_and(|gaps| gaps.len() == 1), "the gap is shown");
    outcome.check(said["reasons"].to_string().contains("has not compared the ledger with"), &said.to_string());
    let standby = copied("copied to a standby");
    // DB_IN_ARCHIVE_RECOVERY
    let control = fs::OpenOptions::new().write(true).open(standby.case.data().join("global/pg_control")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&control, &5_u32.to_ne_bytes(), 16).unwrap();
    let said = report(&standby, &[("WAL_DROP_THRESHOLD_MB", "5000")]);
    standby.check(said["verdict"] == "ok", &said.to_string());
    standby.check(said["reasons"].to_string().contains("the ledger came from another node"), &said.to_string());
}

#[test]
fn a_ledger_of_another_cluster_says_nothing_of_this_one() {
    let outcome = lost("another cluster's");
    let control = fs::OpenOptions::new().write(true).open(outcome.case.data().join("global/pg_control")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&control, &9_u64.to_ne_bytes(), 0).unwrap();
    let report = report(&outcome, &[]);
    outcome.check(report["gaps"].is_null() && report["push"]["dropped_count"].is_null(), "unknown");
    outcome.check(report["reasons"].to_string().contains("is another cluster's"), &report.to_string());
}

#[test]
fn the_backlog_is_measured_as_push_does() {
    let outcome = lost("measure");
    let outcome = outcome.again().wal("000000010000000000000001", 100 * MIB).status(0);
    let bytes =
        |measure: &str| report(&outcome, &[("WAL_DROP_MEASURE", measure)])["archiving"]["backlog_bytes"].clone();
    outcome.check(bytes("backlog") == 500 * MIB && bytes("pg_wal") == 600 * MIB, "500 and 600 MiB");
}

#[test]
fn how_long_the_newest_archived_file_had_waited_is_measured() {
    let outcome = lost("waited");
    let wait = || status(&outcome, "prometheus", &[]).lines().find_map(|line| wait_in(line).map(str::to_owned));
    outcome.check(wait().is_none(), "nothing is archived");
    let mark = outcome.case.data().join("pg_wal/archive_status/000000010000000000000004.done");
    fs::write(&mark, "").unwrap();
    let completed = SystemTime::now() - Duration::from_mins(10);
    fs::File::options().write(true).open(mark).unwrap().set_modified(completed).unwrap();
    let waited: u64 = wait().unwrap().parse().unwrap();
    // Times of a change are read in whole seconds, and the kernel takes them from a clock that lags by a tick.
    outcome.check((598..660).contains(&waited), &format!("{waited} s"));
}

fn wait_in(line: &str) -> Option<&str> {
    line.strip_prefix("pgbackrest_guard_last_archived_wait_seconds{")?.split("} ").nth(1)
}

#[test]
fn odd_names_and_notes_do_not_steer_a_terminal() {
    let outcome = lost("odd");
    let done = outcome.case.data().join("pg_wal/archive_status");
    fs::write(done.join("000000010000000000000004.done"), "").unwrap();
    fs::write(done.join("x\u{1b}[31m.done"), "").unwrap();
    fs::write(outcome.case.data().join(".pgbackrest_invalid_bucket"), "bad\u{1b}[31m-name\n").unwrap();
    let text = status(&outcome, "text", &[]);
    outcome.check(!text.contains('\u{1b}'), &text);
    let last = report(&outcome, &[])["archiving"]["last_archived_wal"].clone();
    outcome.check(last == "000000010000000000000004", "a WAL file's name");
}

#[test]
fn a_data_directory_that_is_named_and_missing_is_reported_on_and_no_other() {
    let outcome = lost("another directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.args(["status", "--output=nagios", "--config=/dev/null"]).env_clear().env("PGDATA", "/nowhere");
    let shown = command.current_dir(outcome.case.data()).output().unwrap();
    outcome.check(shown.status.code() == Some(3), "unknown");
    outcome.check(String::from_utf8_lossy(&shown.stdout).contains("UNKNOWN"), "and said so");
}

#[test]
fn with_a_threshold_of_nothing_any_backlog_has_reached_it() {
    let outcome = lost("no threshold");
    let report = report(&outcome, &[("WAL_DROP_THRESHOLD_MB", "0")]);
    let reasons = report["reasons"].to_string();
    outcome.check(reasons.contains("has reached the threshold of 0 MiB"), &reasons);
}

/// Runs status where Debian's clusters have these data directories, and `PGDATA` is not set.
fn on_debian(outcome: &Outcome, clusters: &[(&str, &std::path::Path)], arguments: &[&str]) -> (Option<i32>, String) {
    let root = tempfile::tempdir().unwrap();
    for (name, data) in clusters {
        fs::create_dir_all(root.path().join(name)).unwrap();
        let line = format!("data_directory = '{}'\n", data.display());
        fs::write(root.path().join(name).join("postgresql.conf"), line).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.args(["status", "--config=/dev/null"]).args(arguments).env_clear();
    command.env("PG_CLUSTER_CONF_ROOT", root.path()).current_dir("/");
    let shown = command.output().unwrap();
    outcome.check(shown.status.code().is_some(), "it ends by itself");
    let said = String::from_utf8([shown.stdout, shown.stderr].concat()).unwrap();
    (shown.status.code(), said)
}

#[test]
fn a_cluster_is_named_as_debian_does_or_is_the_only_one() {
    let outcome = lost("clusters");
    let data = outcome.case.data();
    let elsewhere = std::path::Path::new("/nowhere");
    let shown = data.display().to_string();
    let json = "--output=json";
    let (code, said) = on_debian(&outcome, &[("15/main", &data)], &[json]);
    outcome.check(code == Some(0) && said.contains(&shown), &said);
    let two = [("15/main", elsewhere), ("16/other", data.as_path())];
    let (code, said) = on_debian(&outcome, &two, &[json, "--cluster=16/other"]);
    outcome.check(code == Some(0) && said.contains(&shown), &said);
    let (code, said) = on_debian(&outcome, &two, &[json]);
    let line = "there are several clusters (15/main, 16/other): name one with --cluster, --pgdata or PGDATA";
    outcome.check(code == Some(2) && said.contains(line) && said.lines().count() == 1, &said);
    let (code, said) = on_debian(&outcome, &two, &["--cluster=17/main"]);
    let line = "there is no cluster 17/main on this machine; there are: 15/main, 16/other";
    outcome.check(code == Some(2) && said.contains(line) && said.lines().count() == 1, &said);
    let (code, said) = on_debian(&outcome, &two, &["--output=prometheus", "--cluster=16/other"]);
    outcome.check(code == Some(0) && said.contains(r#"{stanza="main",cluster="16/other"}"#), &said);
    let (code, said) = on_debian(&outcome, &[], &["--output=nagios"]);
    outcome.check(code == Some(3) && said.contains("UNKNOWN"), &said);
}
