//! Settings, arguments and other input of push, right and wrong (contract, section 2), and its log.

use super::outcome::PREFIX;
use super::standin::{Case, SEGMENT};
use pgbackrest_guard::log::Fields;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

#[test]
fn a_bad_value_costs_one_warning() {
    let numbers =
        ["08", "-1", "+1", "5gb", "1.5", "1e3", " 1", "1 ", "0x10", "8796093022209", "99999999999999999999", "one"];
    let names = [
        "WAL_DROP_THRESHOLD_MB",
        "WAL_FREE_RESERVE_MB",
        "WAL_PUSH_TIMEOUT_SECONDS",
        "WAL_INSTANT_DROP_AFTER_SECONDS",
        "WAL_OVERFLOW_MAX_MB",
    ];
    let mut table: Vec<(&str, &str)> = names.iter().flat_map(|name| numbers.map(|value| (*name, value))).collect();
    table.extend([
        ("WAL_PUSH_TIMEOUT_SECONDS", "0"),
        ("WAL_DROP_MEASURE", "pgwal"),
        ("WAL_INSTANT_DROP_CODES", "No Such"),
        ("WAL_INSTANT_DROP_CODES", "none,NoSuchBucket"),
        ("WAL_INSTANT_DROP_CODES", ",,"),
        ("WAL_GUARD_FAST_PATH", "yes"),
        ("WAL_GUARD_LOG", "loud"),
        ("WAL_GUARD_LOG_FORMAT", "xml"),
        ("WAL_GUARD_STATE_DIR", "relative"),
        ("WAL_OVERFLOW_DIR", "relative"),
        ("PGBACKREST_STANZA", "../x"),
        ("PGBACKREST_STANZA", "a/b"),
        ("PGDATA", "relative"),
        ("PGDATA", "/nowhere/at/all"),
    ]);
    for (name, value) in table {
        let outcome = Case::new(&format!("{name}={value}")).env(name, value).status(0).stored().calls(1);
        outcome.lines_with("", 1).stderr_has(&format!("{PREFIX}{name}='{value}'")).stderr_has("the default is used");
    }
}

#[test]
fn a_bad_value_means_the_default_and_never_zero() {
    let failing = |name: &str| Case::new(name).exits(49).backlog(60);
    failing("threshold").env("WAL_DROP_THRESHOLD_MB", "08").status(49).kept("unavailable");
    failing("reserve").env("WAL_DROP_THRESHOLD_MB", "-1").status(49).kept("unavailable");
    failing("stanza").env("PGBACKREST_STANZA", "..").status(49).stderr_has("PGBACKREST_STANZA='..'");
    let empty = failing("empty is unset").env("WAL_DROP_THRESHOLD_MB", "").env("WAL_DROP_MEASURE", "");
    empty.env("PGDATA", "").env("WAL_GUARD_LOG", "").status(49).kept("unavailable").lines_with("", 1);
}

#[test]
fn bytes_that_are_no_text_are_a_bad_value() {
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let all =
        ["WAL_DROP_THRESHOLD_MB", "WAL_DROP_MEASURE", "WAL_GUARD_LOG", "PGBACKREST_STANZA", "WAL_INSTANT_DROP_CODES"];
    for name in all {
        Case::new(name).env(name, odd).status(0).stored().lines_with(name, 1).lines_with("", 1);
    }
    Case::new("a bucket").env("WAL_ARCHIVE_BUCKET", odd).status(0).stored().calls(1);
    Case::new("a newline").env("WAL_DROP_MEASURE", "a\nb\u{1b}").status(0).lines_with("", 1).only_own_lines();
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    let flags = [
        "--drop-threshold=08",
        "--drop-threshold=5gb",
        "--drop-threshold=-1",
        "--drop-threshold=",
        "--free-reserve=x",
        "--timeout=0",
        "--timeout=1.5",
        "--drop-measure=all",
        "--instant-drop=",
        "--instant-drop=a b",
        "--instant-drop-after=-1",
        "--no-fast-path=1",
        "--log-level=loud",
        "--log-format=xml",
        "--stanza=../x",
        "--stanza=",
        "--pgdata=/nowhere/at/all",
        "--state-dir=",
        "--config=",
        "--nonsense",
        "--non\nsense",
        "--non\n\nsense",
        "-x",
        "extra",
    ];
    for flag in flags {
        let outcome = Case::new(flag).flag(flag).status(2).calls(0).only_own_lines().lines_with("", 1);
        outcome.check(!outcome.case.data().join(".pgbackrest_guard").exists(), "nothing made");
    }
    Case::new("no file").argument("").status(2).calls(0).only_own_lines().lines_with("", 1);
    let odd = OsStr::from_bytes(b"--stanza=\xff");
    Case::new("bytes that are no text").flag(odd).status(2).calls(0).only_own_lines().lines_with("", 1);
    Case::new("twice").flag("--timeout=1").flag("--timeout=2").status(2).calls(0).lines_with("", 1);
}

#[test]
fn help_and_version() {
    let help = Case::new("--help").argument("").flag("--help").status(0).calls(0).stderr_is("");
    for word in ["--drop-threshold", "WAL_DROP_THRESHOLD_MB", "--no-fast-path", "WAL_PATH", "PGDATA", "archive_command"]
    {
        help.check(help.stdout.contains(word), word);
    }
    let short = Case::new("-h").argument("").flag("-h").status(0);
    short.check(short.stdout.lines().count() <= 50, "one screen");
    let version = Case::new("--version").argument("").flag("--version").status(0);
    version
        .check(version.stdout == format!("pgbackrest-guard-push {}\n", env!("CARGO_PKG_VERSION")), "name and version");
    Case::new("--help, stdout closed").argument("").flag("--help").redirected(">&-").status(0);
}

#[test]
fn flag_before_environment_before_file() {
    let failing = |name: &str| Case::new(name).exits(49).backlog(100).unset("WAL_DROP_THRESHOLD_MB");
    let file = "wal_drop_threshold_mb = 100\n";
    failing("the file").settings(file).status(0).lost("unavailable", "drop-threshold");
    failing("a text in the file").settings("wal_drop_threshold_mb = '100'\n").status(0);
    failing("environment over file").settings(file).env("WAL_DROP_THRESHOLD_MB", "101").status(49).kept("unavailable");
    let flag =
        failing("flag over both").settings(file).env("WAL_DROP_THRESHOLD_MB", "100").flag("--drop-threshold=101");
    flag.status(49).kept("unavailable");
    failing("empty over file").settings(file).env("WAL_DROP_THRESHOLD_MB", "").status(0);
    let named = failing("named by the flag").env("WAL_GUARD_CONFIG", "/nowhere/at/all");
    fs::write(named.root().join("other.toml"), file).unwrap();
    let path = format!("--config={}", named.root().join("other.toml").display());
    named.flag(path).status(0).lost("unavailable", "drop-threshold").stderr_lacks("/nowhere");
}

#[test]
fn a_bad_settings_file_costs_a_warning() {
    let texts = [
        ("no TOML", "wal_drop_threshold_mb = = 1\n"),
        ("a bad value", "wal_drop_threshold_mb = -1\n"),
        ("a fraction", "wal_drop_threshold_mb = 1.5\n"),
        ("a list", "wal_drop_threshold_mb = [1]\n"),
        ("no setting", "wal_drop_threshold = 1\n"),
        ("capitals", "WAL_DROP_THRESHOLD_MB = 1\n"),
        ("a table", "[push]\nwal_drop_threshold_mb = 1\n"),
    ];
    for (name, text) in texts {
        let case = Case::new(name).settings(text).unset("WAL_DROP_THRESHOLD_MB").exits(49).backlog(50);
        case.status(49).kept("unavailable").only_own_lines().lines_with("", 2);
    }
    for line in ["wal_drop_threshold_mb = 08", "wal_drop_threshold_mb = 5gb", "wal_drop_threshold_mb ="] {
        let text = format!("wal_drop_measure = 'pg_wal'\n{line}\nwal_guard_log_format = 'text' # a comment\n");
        let case = Case::new(line).settings(&text).unset("WAL_DROP_THRESHOLD_MB").exits(49).backlog(50);
        let outcome = case.wal("000000010000000000000004", 800 << 20).status(0);
        outcome.lost("unavailable", "drop-threshold").stderr_has(line).lines_with("", 2);
    }
    let secret = Case::new("a secret").settings("wal_archive_secret = sEcReT\"\n").status(0);
    secret.stderr_has("wal_archive_secret").stderr_lacks("sEcReT");
    Case::new("no text").with(|root| fs::write(root.join("guard.toml"), b"\xff").unwrap()).status(0).lines_with("", 1);
    Case::new("missing, though named").env("WAL_GUARD_CONFIG", "/nowhere/at/all").status(0).lines_with("", 1);
    Case::new("a folder").env("WAL_GUARD_CONFIG", "/").status(0).stored().lines_with("", 1);
}

#[test]
fn the_data_directory_is_found_or_nothing_is_made() {
    let by_variable = Case::new("PGDATA");
    let data = by_variable.data();
    by_variable.env("PGDATA", &data).directory("/").status(0).stored().calls(1);
    let by_flag = Case::new("--pgdata");
    let flag = format!("--pgdata={}", by_flag.data().display());
    by_flag.flag(flag).env("PGDATA", "/nowhere").directory("/").status(0).stored().stderr_is("");
    let in_file = Case::new("in the file");
    let text = format!("pgdata = '{}'\n", in_file.data().display());
    in_file.settings(&text).directory("/").status(0).stored().calls(1);

    // A PGDATA that a shell has left from another cluster: nothing of that one may be pushed or acknowledged.
    let other = Case::new("PGDATA of another cluster");
    let elsewhere = other.root().join("elsewhere");
    fs::create_dir_all(elsewhere.join("pg_wal")).unwrap();
    fs::write(elsewhere.join("PG_VERSION"), "15\n").unwrap();
    let outcome = other.env("PGDATA", &elsewhere).status(0).stored().calls(1).lines_with("is not where the file is", 1);
    outcome.holds(&elsewhere, &["PG_VERSION", "pg_wal"]);

    let none = Case::new("no PG_VERSION").with(|root| fs::remove_file(root.join("data/PG_VERSION")).unwrap());
    let outcome = none.status(2).calls(0).only_own_lines().lines_with("", 1);
    let data = outcome.case.data();
    outcome.holds(&data, &["pg_wal"]);
    let named = Case::new("PGDATA without PG_VERSION");
    let empty = named.root().join("empty");
    fs::create_dir(&empty).unwrap();
    let outcome = named.env("PGDATA", &empty).directory(&empty).status(2).calls(0).lines_with("PGDATA=", 1);
    outcome.holds(&empty, &[]);
}

#[test]
fn closed_streams_are_no_trouble() {
    for redirections in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full"] {
        let says = "WARN: something\n";
        Case::new(redirections).redirected(redirections).says(says).status(0).stored().calls(1);
        let failing = Case::new(redirections).redirected(redirections).says(says).exits(49);
        failing.backlog(500).status(0).ledger("lost", |state| state.push.dropped_count == 1).marker(true);
        Case::new(redirections).redirected(redirections).flag("--nonsense").status(2);
    }
}

#[test]
fn the_log_says_who_speaks() {
    let noisy = |name: &str| Case::new(name).env("WAL_DROP_MEASURE", "x\ny").exits(49).backlog(500);
    noisy("text").status(0).only_own_lines().lines_with("", 2);
    let outcome = noisy("json").env("WAL_GUARD_LOG_FORMAT", "json").status(0);
    let lines: Vec<serde_json::Value> =
        outcome.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    outcome.check(lines.len() == 2 && outcome.stderr.lines().count() == 2, "two JSON objects");
    let word = |at: usize, key: &str| lines[at][key].as_str().unwrap_or_default().to_owned();
    outcome.check(word(0, "level") == "warn" && word(1, "level") == "error", "their levels");
    outcome.check(word(1, "message").starts_with(&format!("dropping {SEGMENT}")), "the message");
    outcome.check(word(1, "program") == "pgbackrest-guard-push" && !word(1, "timestamp").is_empty(), "who and when");
    let fields = ["segment", "class", "code", "cause", "gap", "bytes"].map(|field| lines[1][field].clone());
    let expected = json!([SEGMENT, "unavailable", 49, "drop-threshold", 1, 500 << 20]);
    outcome.check(json!(fields) == expected, &format!("{fields:?}"));
    // What is not known is left out, and nothing stands there but what is documented.
    let known: BTreeSet<&str> = ["timestamp", "level", "program", "message"].into_iter().chain(Fields::NAMES).collect();
    let unknown = |line: &serde_json::Value| line.as_object().unwrap().keys().any(|key| !known.contains(key.as_str()));
    outcome.check(!lines.iter().any(unknown) && lines[1].get("s3_code").is_none(), "only fields that are documented");
    outcome.check(lines[0].as_object().unwrap().len() == 4, "a warning about a setting has no fields");
    noisy("flag").flag("--log-format=json").status(0).stderr_has("{\"");
    noisy("only errors").env("WAL_GUARD_LOG", "error").status(0).lines_with("", 1).stderr_has("dropping");
    Case::new("retries are warnings").flag("--log-level=error").exits(49).status(49).stderr_is("");
    let debug = Case::new("debug asks for more").flag("--log-level=debug").status(0);
    debug.check(debug.answer("archive-push", "calls").contains("--log-level-stderr=detail"), "detail");
}
