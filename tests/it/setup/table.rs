//! Every screened variable with every kind of value: the sentinel, the log, the exit code, and what becomes of a
//! configuration from before (contract, section 9). What is accepted is shown to the real pgBackRest.

use super::scene::{SECRET, Scene};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

const T: Option<&str> = Some("unresolved-template-ref");
const W: Option<&str> = Some("whitespace");
const C: Option<&str> = Some("control-character");
const U: Option<&str> = Some("uuid-shape");
const B: Option<&str> = Some("bad-name");
const OK: Option<&str> = None;

const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const LONG_63: &str = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij123";

/// What is no bucket, and why; and what is one.
const BUCKETS: &[(&str, Option<&str>)] = &[
    ("${{bucket.BUCKET}}", T),
    ("${{ bucket.BUCKET }}", T),
    ("prefix-${{x", T),
    ("suffix}}", T),
    ("}}", T),
    ("${{\n}}", T),
    ("${{0f8fad5b-d9cb-469f-a165-70867728950e}}", T),
    (" ", W),
    ("\t", W),
    ("\n", W),
    (" bucket", W),
    ("bucket ", W),
    ("bucket\n", W),
    ("\r\nbucket", W),
    ("two words", W),
    ("a\u{b}b", W),
    ("bucket\u{a0}", W),
    ("bucket\u{2003}x", W),
    (" \u{1}", W),
    ("bucket\u{1}", C),
    ("\u{7f}bucket", C),
    ("buc\u{1b}[31mket", C),
    ("bucket\u{9b}", C),
    ("\u{8}", C),
    (UUID, U),
    ("0F8FAD5B-D9CB-469F-A165-70867728950E", U),
    ("0f8fad5b-D9CB-469f-a165-70867728950e", U),
    ("00000000-0000-0000-0000-000000000000", U),
    ("0f8fad5b-d9cb-469f-a165-70867728950", OK),
    ("0f8fad5b-d9cb-469f-a165-70867728950g", OK),
    ("0f8fad5b-d9cb-469f-a165-70867728950e-0", OK),
    ("0f8fad5bd9cb469fa16570867728950e", OK),
    ("a", B),
    ("ab", B),
    ("Bucket", B),
    ("under_score", B),
    ("-bucket", B),
    ("bucket-", B),
    (".bucket", B),
    ("bucket.", B),
    ("a..b", B),
    ("192.168.0.1", B),
    ("999.999.999.999", B),
    ("bücket", B),
    ("bucket/path", B),
    ("s3://bucket", B),
    ("$BUCKET", B),
    ("${BUCKET}", B),
    ("{{bucket", B),
    ("bucket#1", B),
    ("bucket\u{200b}", B),
    ("abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij1234", B),
    ("...", B),
    (LONG_63, OK),
    ("abc", OK),
    ("123", OK),
    ("my-bucket-1", OK),
    ("1.2.3", OK),
    ("1.2.3.4.5", OK),
    ("my.bucket", OK),
];

/// The other variables.
const OTHERS: &[(&str, &str, Option<&str>)] = &[
    ("WAL_ARCHIVE_KEY", "${{bucket.KEY}}", T),
    ("WAL_ARCHIVE_KEY", "key}}", T),
    ("WAL_ARCHIVE_KEY", "wJalrXUtnFEMI ", W),
    ("WAL_ARCHIVE_KEY", "wJalrXUtnFEMI\n", W),
    ("WAL_ARCHIVE_KEY", "\u{a0}wJalrXUtnFEMI", W),
    ("WAL_ARCHIVE_KEY", "wJalr\nrepo1-path=/x", C),
    ("WAL_ARCHIVE_KEY", "wJalr\u{0b}x", C),
    ("WAL_ARCHIVE_KEY", "with spaces in it", OK),
    ("WAL_ARCHIVE_KEY", "# = [x] ; \" ' $x ` \\", OK),
    ("WAL_ARCHIVE_SECRET", "${{bucket.SECRET}}", T),
    ("WAL_ARCHIVE_SECRET", "wJalrXUtnFEMI\t", W),
    ("WAL_ARCHIVE_SECRET", "wJalr\r\nrepo1-s3-verify-tls=n", C),
    ("WAL_ARCHIVE_SECRET", "wJalr\u{7f}", C),
    ("WAL_ARCHIVE_SECRET", "a+b/c==", OK),
    ("WAL_ARCHIVE_SECRET", "süß", OK),
    ("WAL_ARCHIVE_REGION", "${{r}}", T),
    ("WAL_ARCHIVE_REGION", "auto\n", W),
    ("WAL_ARCHIVE_REGION", "au\nto", C),
    ("WAL_ARCHIVE_REGION", "auto", OK),
    ("WAL_ARCHIVE_REGION", "eu-central-1", OK),
    ("WAL_ARCHIVE_ENDPOINT", "${{e}}", T),
    ("WAL_ARCHIVE_ENDPOINT", " 127.0.0.1:1", W),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:1\n[global]", C),
    ("WAL_ARCHIVE_ENDPOINT", "ftp://127.0.0.1", B),
    ("WAL_ARCHIVE_ENDPOINT", "https://user:wJalrXUtnFEMI@127.0.0.1", B),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:0", B),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:65536", B),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:", B),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1:1:2", B),
    ("WAL_ARCHIVE_ENDPOINT", "https://", B),
    ("WAL_ARCHIVE_ENDPOINT", "s3.example .com", B),
    ("WAL_ARCHIVE_ENDPOINT", "127.0.0.1/bucket", B),
    ("WAL_ARCHIVE_ENDPOINT", "https://127.0.0.1:1", OK),
    ("WAL_ARCHIVE_ENDPOINT", "https://127.0.0.1:1/", OK),
    ("WAL_ARCHIVE_ENDPOINT", "[::1]:1", OK),
    ("WAL_ARCHIVE_PATH", "/${{p}}", T),
    ("WAL_ARCHIVE_PATH", "/backups ", W),
    ("WAL_ARCHIVE_PATH", "/back\nups", C),
    ("WAL_ARCHIVE_PATH", "/", OK),
    ("WAL_ARCHIVE_PATH", "/a/b/", OK),
    ("WAL_ARCHIVE_PATH", "/with a space", OK),
    ("WAL_ARCHIVE_PATH", "/a%b#c", OK),
    ("WAL_ARCHIVE_S3_URI_STYLE", "${{s}}", T),
    ("WAL_ARCHIVE_S3_URI_STYLE", "path ", W),
    ("WAL_ARCHIVE_S3_URI_STYLE", "pa\u{1}th", C),
    ("WAL_ARCHIVE_S3_URI_STYLE", "path", OK),
];

/// A cluster that archives, of which a value is then changed.
fn changed(variable: &str, value: &str) -> Scene {
    let mut scene = Scene::initialised();
    scene.setup(&[]).ended(0);
    scene.put(".pgbackrest_backup_state", "last_full_at=1\n");
    scene.put("conf.d/own.conf", "work_mem = 4MB\n");
    scene.set(variable, value);
    scene
}

#[track_caller]
fn check(variable: &str, value: &str, reason: Option<&str>) {
    let scene = changed(variable, value);
    let conf = fs::read_to_string(scene.conf()).unwrap();
    let said = scene.setup(&[]).ended(0);
    let case = format!("{variable}={value:?}: {said:?}");
    assert_eq!(scene.read(".pgbackrest_invalid_bucket"), reason.map(|word| format!("{word}\n")), "{case}");
    assert_eq!(scene.read("conf.d/pgbackrest.conf").is_none(), reason.is_some(), "{case}");
    assert_eq!(scene.read(".pgbackrest_backup_state").is_none(), reason.is_some(), "{case}");
    assert!(scene.read("conf.d/own.conf").is_some(), "{case}");
    if let Some(word) = reason {
        let line = said.stderr.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{case}"));
        assert!(line.starts_with(&format!("pgbackrest-guard: {variable}")), "{case}");
        assert!(!said.stderr.contains("wJalr") && !said.stderr.contains(SECRET), "{case}");
        assert!(!said.stderr.contains('\u{1b}'), "{case}");
        assert_eq!(fs::read_to_string(scene.conf()).unwrap(), conf, "get still needs it: {case}");
    } else {
        assert!(pgbackrest_takes(&scene), "{case}");
    }
}

/// Whether pgBackRest gets as far as the network with what setup wrote. From 2.58 on it takes dots in a bucket's name.
fn pgbackrest_takes(scene: &Scene) -> bool {
    let conf = fs::read_to_string(scene.conf()).unwrap();
    let mut command = Command::new("pgbackrest");
    command.env_clear().arg(format!("--config={}", scene.conf().display()));
    command.args([
        "--stanza=main",
        "--io-timeout=0.1",
        "--log-level-console=off",
        "--log-level-stderr=warn",
        "repo-ls",
    ]);
    if conf.lines().any(|line| line.starts_with("repo1-s3-bucket=") && line.contains('.')) {
        command.arg("--no-repo1-storage-verify-tls");
    }
    let output = command.output().expect("pgbackrest is not installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    eprintln!("{stderr}");
    output.status.code() == Some(49) && !stderr.contains("WARN")
}

/// Four at a time: pgBackRest waits for a store that is not there.
fn in_parallel(cases: &[(&'static str, &'static str, Option<&'static str>)]) {
    let part = cases.len().div_ceil(4);
    std::thread::scope(|scope| {
        for part in cases.chunks(part) {
            scope.spawn(move || part.iter().for_each(|(variable, value, reason)| check(variable, value, *reason)));
        }
    });
}

#[test]
fn junk_in_the_bucket_is_told_from_a_bucket() {
    let cases: Vec<_> = BUCKETS.iter().map(|(value, reason)| ("WAL_ARCHIVE_BUCKET", *value, *reason)).collect();
    in_parallel(&cases);
}

#[test]
fn junk_in_another_variable_counts_the_same() {
    assert!(BUCKETS.len() + OTHERS.len() >= 100);
    in_parallel(OTHERS);
}

#[test]
fn a_uuid_is_a_bucket_when_that_is_said_but_capitals_are_not() {
    for (value, reason) in [(UUID, OK), ("0F8FAD5B-D9CB-469F-A165-70867728950E", B), ("${{x", T), ("abc", OK)] {
        let scene = changed("WAL_ARCHIVE_BUCKET", value).with("WAL_ARCHIVE_BUCKET_ALLOW_UUID", "1");
        scene.setup(&[]).ended(0);
        assert_eq!(scene.read(".pgbackrest_invalid_bucket"), reason.map(|word| format!("{word}\n")), "{value}");
    }
}

#[test]
fn what_is_no_text_at_all_is_refused() {
    let scene = Scene::initialised();
    for variable in ["WAL_ARCHIVE_BUCKET", "WAL_ARCHIVE_SECRET"] {
        let mut command = scene.command(&[]);
        command.env(variable, std::ffi::OsStr::from_bytes(b"abc\xff"));
        Scene::run(&mut command).ended(0).says(variable).says("bad-name");
        assert_eq!(scene.read(".pgbackrest_invalid_bucket").as_deref(), Some("bad-name\n"));
    }
}

#[test]
fn the_bucket_is_looked_at_first_and_without_it_nothing_else() {
    let scene = Scene::initialised().with("WAL_ARCHIVE_BUCKET", "a b").with("WAL_ARCHIVE_KEY", "${{x}}");
    scene.setup(&[]).ended(0).says("WAL_ARCHIVE_BUCKET").says("whitespace");
    let off = Scene::initialised().with("WAL_ARCHIVE_BUCKET", "").with("WAL_ARCHIVE_KEY", "${{x}}");
    off.setup(&[]).ended(0);
    assert_eq!(off.read(".pgbackrest_invalid_bucket"), None);
}

/// The least and the most that setup takes is no more than pgBackRest takes: 31, 32 and 37 are its refusals of options.
#[test]
fn pgbackrest_takes_the_extremes() {
    for (processes, retention) in [("1", "1"), ("999", "9999999")] {
        let variables = ["WAL_BACKUP_RETENTION_FULL", "WAL_BACKUP_RETENTION_DIFF"].map(|name| (name, retention));
        let scene = variables.into_iter().fold(Scene::initialised(), |scene, (name, value)| scene.with(name, value));
        let scene = ["ARCHIVE_PUSH", "ARCHIVE_GET", "BACKUP", "RESTORE"]
            .iter()
            .fold(scene, |scene, command| scene.with(&format!("PGBACKREST_{command}_PROCESS_MAX"), processes));
        scene.setup(&[]).ended(0);
        let conf = fs::read_to_string(scene.conf()).unwrap();
        assert_eq!(conf.matches(&format!("process-max={processes}\n")).count(), 4, "{conf}");
        assert!(conf.contains(&format!("repo1-retention-diff={retention}\n")), "{conf}");
        let segment = "000000010000000000000001";
        let push = scene.data().join("pg_wal").join(segment).display().to_string();
        for call in [
            &["archive-push", &push][..],
            &["archive-get", segment, "/nowhere/x"],
            &["backup"],
            &["expire"],
            &["restore"],
        ] {
            let mut command = Command::new("pgbackrest");
            command.env_clear().arg(format!("--config={}", scene.conf().display())).args(call);
            command.arg(format!("--lock-path={}", scene.path().join("lock").display()));
            command.args(["--stanza=main", "--io-timeout=0.1", "--log-level-console=off", "--log-level-stderr=warn"]);
            let output = command.current_dir(scene.data()).output().unwrap();
            let (code, stderr) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
            assert!(
                !matches!(code, None | Some(0 | 31 | 32 | 37)) && !stderr.contains("invalid option"),
                "{call:?} {code:?} {stderr}"
            );
        }
    }
}
