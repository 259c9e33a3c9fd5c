//! Live: what `check` says of an installation that works, and of what is wrong with others.

use super::scene::{KEY, Live, Mode};
use pgbackrest_guard_lab::{Fault, Operation, Operations, StopMode};
use std::process::Output;

/// Runs `check` on the cluster, as the user that everything runs as.
fn check(live: &Live, more: &[&str]) -> (Option<i32>, String) {
    for program in [env!("CARGO_BIN_EXE_pgbackrest-guard-get"), env!("CARGO_BIN_EXE_pgbackrest-guard-push")] {
        live.lab.copy_program(program);
    }
    let guard = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let mut command = live.lab.command(&guard);
    command.arg("check").arg("--pgdata").arg(live.postgres.pgdata()).args(more);
    command.env("PGBACKREST_CONFIG", live.backrest.config_file()).env("PGUSER", "postgres");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(!said.contains("secret") || !said.contains(KEY), "{said}");
    (status.code(), said)
}

/// Of segments.
fn uploads() -> Operations {
    Operations::of(Operation::Put, "/0000000100000000/")
}

/// The line of a step.
#[track_caller]
fn line<'s>(said: &'s str, step: &str) -> &'s str {
    let is_it = |line: &&str| line.split_whitespace().nth(1) == Some(step);
    said.lines().find(is_it).unwrap_or_else(|| panic!("no step {step}: {said}"))
}

fn follows_one_segment(mode: Mode) {
    let live = Live::of(mode).second_repository().start();
    let before = live.postgres.current_segment();
    let (code, said) = check(&live, &[]);
    assert_eq!(code, Some(0), "{said}");
    for step in ["programs", "user", "pgBackRest", "archiving", "PostgreSQL", "archive_command", "stanza", "segment"] {
        assert!(line(&said, step).starts_with("ok "), "{step}: {said}");
    }
    assert!(line(&said, "restore_command").starts_with("note "), "{said}");
    assert!(line(&said, "watcher").starts_with("note ") && line(&said, "watcher").contains("never run"), "{said}");
    assert!(line(&said, "segment").contains(&before), "{said}");
    for repository in ["repository 1", "repository 2"] {
        assert!(said.contains(&format!("{repository} lists it")), "{said}");
        assert!(said.contains(&format!("from {repository}, and it is the same")), "{said}");
    }
    assert!(said.contains("One WAL segment was switched; nothing else was changed."), "{said}");
    assert!(live.archived().contains(&before));
    assert_eq!(live.postgres.failed_count(), 0);
}

#[test]
fn an_installation_that_works_is_followed_to_the_end_sync() {
    follows_one_segment(Mode::Sync);
}

#[test]
fn an_installation_that_works_is_followed_to_the_end_async() {
    follows_one_segment(Mode::Async);
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_switched() {
    let live = Live::of(Mode::Sync).without_stanza().start();
    let before = live.postgres.current_segment();
    let (code, said) = check(&live, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(line(&said, "stanza").starts_with("failed "), "{said}");
    assert!(line(&said, "segment").starts_with("skipped "), "{said}");
    live.backrest.stanza_create();
    live.postgres.reload_with("archive_command", "cp %p /dev/null");
    let (code, said) = check(&live, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(line(&said, "archive_command").contains("cp %p"), "{said}");
    assert!(said.contains("to do: ALTER SYSTEM SET archive_command = 'pgbackrest-guard-push %p'"), "{said}");
    assert!(said.contains("Nothing was changed."), "{said}");
    assert_eq!(live.postgres.current_segment(), before);
    live.postgres.stop(StopMode::Fast);
    let (code, said) = check(&live, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(line(&said, "PostgreSQL").starts_with("failed "), "{said}");
    assert!(line(&said, "stanza").starts_with("ok "), "the repository was asked all the same: {said}");
}

/// What the program says without an argument.
fn alone(live: &Live) -> String {
    let guard = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let mut command = live.lab.command(&guard);
    command.env("PGDATA", live.postgres.pgdata()).env("PGBACKREST_CONFIG", live.backrest.config_file());
    let output = command.env("PGUSER", "postgres").env("WAL_GUARD_CONFIG", "/dev/null").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_next_step_follows_the_machine() {
    let live = Live::of(Mode::Sync).start();
    let said = alone(&live);
    assert!(said.contains("no watcher runs"), "{said}");
    live.postgres.reload_with("archive_command", "cp %p /dev/null");
    let said = alone(&live);
    assert!(said.contains("now:  archive_command is 'cp %p /dev/null'"), "{said}");
    assert!(said.contains("next: ALTER SYSTEM SET archive_command = 'pgbackrest-guard-push %p'"), "{said}");
    live.postgres.stop(StopMode::Fast);
    assert!(alone(&live).contains("PostgreSQL is not running"));
}

#[test]
fn a_segment_that_does_not_arrive_is_no_success() {
    let live = Live::of(Mode::Sync).start();
    live.s3.inject(Fault::status(503, "SlowDown").on(uploads()));
    let (code, said) = check(&live, &["--timeout=3"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(line(&said, "segment").contains("was not archived within 3 s; the last push failed: "), "{said}");
    live.s3.clear_faults();
    // The key is gone: the segment is given up, which PostgreSQL takes for archived.
    live.drain();
    live.s3.inject(Fault::status(403, "InvalidAccessKeyId").on(uploads()));
    let (code, said) = check(&live, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(line(&said, "segment").contains("was dropped and recorded as lost"), "{said}");
}
