//! First contact: the program without an argument, and what a problem report collects.

use crate::push::standin::Case;
use std::fs;
use std::path::Path;
use std::process::Command;

const SECRETS: [&str; 4] = ["s3cr3t-of-pgbackrest", "s3cr3t-of-setup", "pass-in-a-file", "pass-in-an-address"];

/// The program in an environment of these variables alone, on a machine without Debian's clusters.
fn guard(case: &Case, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    command.env_clear().env("PG_CLUSTER_CONF_ROOT", case.root()).env("WAL_GUARD_CONFIG", "/dev/null");
    command.current_dir(case.root()).envs(variables.iter().copied());
    command
}

#[track_caller]
fn said(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn configuration(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn alone_it_says_what_to_do_next_in_six_lines_at_most() {
    let case = Case::new("alone").control(42);
    let nothing = configuration(&case.root().join("nothing.conf"), "[main]\npg1-path=/x\n");
    let one = configuration(&case.root().join("one.conf"), "[global]\nrepo1-path=/x\n");
    let data = case.data().to_str().unwrap().to_owned();
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[], "no PostgreSQL data directory was found"),
        (&[("PGDATA", "/nowhere")], "no PostgreSQL data directory was found"),
        (&[("PGDATA", &data), ("PGBACKREST_CONFIG", &nothing)], "pgBackRest has no repository configured"),
        (&[("PGDATA", &data), ("PGBACKREST_CONFIG", "/nowhere.conf")], "pgBackRest's configuration can't be read"),
        (&[("PGDATA", &data), ("PGBACKREST_CONFIG", &one)], "PostgreSQL is not running"),
    ];
    for (variables, words) in table {
        let text = said(&mut guard(&case, variables), 0);
        assert!(text.contains(&format!("\nnow:  {words}\nnext: ")), "{text}");
        assert!(text.lines().count() <= 6 && text.ends_with("help: pgbackrest-guard --help\n"), "{text}");
    }
    let usage = guard(&case, &[]).arg("--version=1").output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "a wrong argument stays one");
}

#[test]
fn a_problem_report_holds_what_helps_and_no_secret() {
    let case = Case::new("report").control(42).exits(49).backlog(500);
    let outcome = case.status(0).lost("unavailable", "drop-threshold");
    let case = &outcome.case;
    let file = format!("[global]\nrepo1-s3-key-secret={}\nrepo1-s3-bucket=the-bucket\n", SECRETS[2]);
    let file = configuration(&case.root().join("secret.conf"), &file);
    let log = case.data().join("server.log");
    fs::write(&log, format!("LOG: archive command failed: {}\nLOG: nothing of ours\n", SECRETS[0])).unwrap();
    fs::write(case.data().join("current_logfiles"), format!("stderr {}\n", log.display())).unwrap();
    let address = format!("https://user:{}@store:9000", SECRETS[3]);
    let data = case.data();
    let variables = [
        ("PGDATA", data.to_str().unwrap()),
        ("PGBACKREST_CONFIG", file.as_str()),
        ("PGBACKREST_REPO1_S3_KEY", SECRETS[0]),
        ("WAL_ARCHIVE_SECRET", SECRETS[1]),
        ("WAL_ARCHIVE_ENDPOINT", address.as_str()),
        ("WAL_DROP_THRESHOLD_MB", "700"),
    ];
    let text = said(guard(case, &variables).args(["status", "--report"]), 0);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let version = concat!("pgbackrest-guard ", env!("CARGO_PKG_VERSION"));
    for words in [
        version,
        "WAL_DROP_THRESHOLD_MB=700 (environment)",
        "WAL_ARCHIVE_SECRET=… (environment)",
        "WAL_ARCHIVE_ENDPOINT=https://user:<redacted>@store:9000",
        "repo1-s3-bucket = the-bucket",
        "repo1-s3-key-secret = (set, not shown)",
        "\"verdict\": \"critical\"",
        "\"cause\": \"drop-threshold\"",
        "LOG: archive command failed: <redacted>",
        "it is not running",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("nothing of ours"), "{text}");
    said(guard(case, &variables).args(["status", "--report", "--gaps"]), 2);
}
