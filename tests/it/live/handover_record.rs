//! Live: the record of losses survives a hand-over, and what it claims is looked up in the archive by the next primary.

use super::handover::standby;
use super::scene::{KEY, Live, Mode, SOON, ledger_of, names_in};
use pgbackrest_guard::ledger::gaps::{Cause, GapState, Loss};
use pgbackrest_guard::ledger::state::{Identity, Place};
use pgbackrest_guard::ledger::{DEFERRED, Ledger};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::Cluster;
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Command};

const HISTORY: &str = "00000002.history";

/// `pgbackrest-guard` on one node, by the configuration of that node.
fn guard(live: &Live, node: &Cluster, words: &[&str]) -> Command {
    let name = node.pgdata().file_name().unwrap().to_string_lossy().into_owned();
    let name = if name == "second" { format!("pgbackrest-of-{name}") } else { "pgbackrest".to_owned() };
    let program = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let mut command = live.lab.command(program);
    command.args(words).arg("--pgdata").arg(node.pgdata());
    command.env("PGBACKREST_CONFIG", live.lab.path().join(name).join("pgbackrest.conf"));
    command.env("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "0").env("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "1");
    command.env("WAL_FREE_RESERVE_MB", "0").env("WAL_DROP_THRESHOLD_MB", "500");
    command
}

/// One poll of a node's watcher; what it said.
#[track_caller]
fn watch(live: &Live, node: &Cluster) -> String {
    let output = guard(live, node, &["watch", "--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

fn status(live: &Live, node: &Cluster) -> Value {
    let output = guard(live, node, &["status", "--output=json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn states(node: &Cluster) -> Vec<GapState> {
    ledger_of(node.pgdata()).unwrap().gaps.iter().map(|gap| gap.state).collect()
}

#[test]
fn what_the_archive_has_is_healed_without_a_push() {
    let live = Live::of(Mode::Sync).start();
    let names = live.write_acknowledged(3);
    live.backrest.backup("full");
    // As a push leaves it that was killed after the upload, and the next of which gave the segment up.
    let folder = live.postgres.pgdata().join(".pgbackrest_guard");
    let state = ledger_of(live.postgres.pgdata()).unwrap();
    let (ledger, ..) = Ledger::open(&folder, state.identity, Place::default(), 1).unwrap();
    let segment = names[1].parse().unwrap();
    let size = live.postgres.segment_bytes().try_into().unwrap();
    let loss =
        Loss { segment, partial: false, class: Class::Denied, cause: Cause::DropThreshold, s3_code: None, at: 1 };
    let recorded = ledger.update(|state| {
        state.segment_size = Some(size);
        state.gaps.record(&loss, size);
    });
    assert!(recorded.unwrap().gaps.any_open());
    let said = watch(&live, &live.postgres);
    assert!(said.contains("1 WAL file on record as lost is in the archive"), "{said}");
    assert_eq!(states(&live.postgres), [GapState::Healed], "{said}");
    assert!(!said.contains("every repository has it now") && !said.contains("running pgbackrest backup"), "{said}");
}

#[test]
fn a_ledger_that_came_with_a_clone_is_held_against_the_archive_by_the_next_primary() {
    // Cloning makes a checkpoint, which would recycle what is lost.
    let live = Live::of(Mode::Sync).setting("wal_keep_size", "64").start();
    live.write_acknowledged(2);
    live.backrest.backup("full");
    live.s3.revoke_key(KEY);
    live.write_acknowledged(2);
    assert_eq!(states(&live.postgres), [GapState::Open]);
    let second = standby(&live, &live.postgres, "second");
    live.s3.restore_key(KEY);
    let said = watch(&live, &live.postgres);
    assert_eq!(states(&live.postgres), [GapState::Healed], "{said}");

    assert_eq!(states(&second), [GapState::Open], "the clone's ledger is as it was");
    let report = status(&live, &second);
    assert_eq!(report["verdict"], "ok", "{report}");
    assert!(report["reasons"].to_string().contains("the ledger came from another node"), "{report}");
    second.promote();
    let written = second.write_wal(2);
    second.wait_archived(written.last().unwrap(), SOON);
    assert!(!second.log().contains("ledger"), "no push sets it aside:\n{}", second.log());
    let said = watch(&live, &second);
    assert_eq!(states(&second), [GapState::Healed], "{said}");
    assert!(said.contains("the ledger is valid here too: the data directory"), "{said}");
    let report = status(&live, &second);
    assert!(!report["reasons"].to_string().contains("came from another node"), "{report}");
}

#[test]
fn a_history_whose_copy_went_with_a_rewind_is_pushed_from_pg_wal() {
    let live = Live::of(Mode::Sync).start();
    live.write_acknowledged(2);
    // Before: a backup on timeline 2 would store that timeline's history itself.
    live.backrest.backup("full");
    let second = standby(&live, &live.postgres, "second");
    live.s3.revoke_key(KEY);
    second.promote();
    second.wait_until("all is acknowledged", SOON, || second.ready().is_empty());
    let state_dir = second.pgdata().join(".pgbackrest_guard");
    assert_eq!(names_in(&state_dir.join(DEFERRED)).into_iter().collect::<Vec<_>>(), [HISTORY]);
    // pg_rewind removes what the source does not have, and brings the source's ledger (filemap.c).
    std::fs::remove_dir_all(state_dir.join(DEFERRED)).unwrap();
    live.s3.restore_key(KEY);
    let written = second.write_wal(1);
    second.wait_archived(written.last().unwrap(), SOON);
    assert!(!live.archived().contains(HISTORY));
    let said = watch(&live, &second);
    assert!(live.archived().contains(HISTORY), "{said}");
    assert!(said.contains("00000002.history is stored: no repository had it"), "{said}");
}

#[test]
fn a_typo_in_the_configuration_forgets_nothing() {
    let live = Live::of(Mode::Sync).start();
    live.write_acknowledged(1);
    live.s3.revoke_key(KEY);
    live.write_acknowledged(2);
    live.s3.restore_key(KEY);
    let config = live.backrest.config_file();
    let right = std::fs::read_to_string(&config).unwrap();
    let wrong =
        [right.replace("repo1-path=/repo", "repo1-path=/rep"), String::new(), right.replace("[main]", "[mian]")];
    for text in wrong {
        std::fs::write(&config, &text).unwrap();
        let before = live.postgres.failed_count();
        live.write(1);
        live.wait_for_failures(before + 1);
        assert_eq!(states(&live.postgres), [GapState::Open], "{text}");
        std::fs::write(&config, &right).unwrap();
        live.drain();
    }
    assert_eq!(states(&live.postgres), [GapState::Open]);
    let aside = names_in(&live.postgres.pgdata().join(".pgbackrest_guard"));
    assert!(!aside.iter().any(|name| name.contains("aside")), "{aside:?}");
    assert_eq!(
        ledger_of(live.postgres.pgdata()).unwrap().identity,
        Identity { system_id: Some(live.postgres.system_identifier()) }
    );
}

/// A process that ends with its test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_went_to_another_repository_for_a_while_is_missed_by_the_watcher_that_runs() {
    let live = Live::of(Mode::Sync).start();
    let config = live.backrest.config_file();
    let right = std::fs::read_to_string(&config).unwrap();
    let elsewhere = right.replace("repo1-path=/repo", "repo1-path=/elsewhere");
    assert_ne!(elsewhere, right);
    // The other repository is whole before the watcher can see it: else it would wait out an inconclusive answer.
    std::fs::write(&config, &elsewhere).unwrap();
    live.backrest.stanza_create();
    live.backrest.backup("full");
    std::fs::write(&config, &right).unwrap();
    live.backrest.backup("full");
    let log = live.lab.path().join("watcher.log");
    let mut watcher = guard(&live, &live.postgres, &["watch"]);
    watcher.env("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1").stderr(File::create(&log).unwrap());
    let _watcher = Ended(watcher.spawn().unwrap());
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    // Not in mid-poll: an answer of one repository would be held against the listing of the other, and waited out.
    let seen = live.postgres.pgdata().join(".pgbackrest_guard/catalog");
    let is_walked = || std::fs::read_to_string(&seen).is_ok_and(|text| text.contains("\"up_to\":\""));
    live.wait("the catalog is asked, and the listing walked", || said().contains("it is adopted") && is_walked());
    std::fs::write(&config, &elsewhere).unwrap();
    let names = live.write_acknowledged(3);
    live.wait("the ledger is held against the other repository", || {
        said().contains("it was compared with the archive")
    });
    std::fs::write(&config, &right).unwrap();
    assert!(!live.archived().contains(&names[0]), "it went to the other repository");
    live.wait("the files come back from pg_wal", || names.iter().all(|name| live.archived().contains(name)));
    assert!(said().contains("are missing in every repository that was walked"), "{}", said());
}
