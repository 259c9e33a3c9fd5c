//! Live: a standby is promoted whatever the repository does, and its new timeline descends from the old one.
//!
//! While `restore_command` runs PostgreSQL notices no request for a promotion, and once it has removed `standby.signal`
//! it asks for one more history: an answer that kept it waiting, or that stopped it, would be worse than no guard at all.

use super::scene::{KEY, Live, Mode, SOON};
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, PgBackRest, StopMode};
use std::time::Duration;

/// What the repository does when the promotion is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repository {
    Well,
    Revoked,
    Refused,
    Hanging,
}

impl Repository {
    fn begin(self, live: &Live) {
        match self {
            Self::Well => {}
            Self::Revoked => live.s3.revoke_key(KEY),
            Self::Refused => drop(live.s3.inject(Fault::new(FaultKind::Refuse))),
            Self::Hanging => drop(live.s3.inject(Fault::new(FaultKind::Hang))),
        }
    }

    /// What a promotion may take: 1 s more than by bare pgBackRest, 5 s, 15 s, and what a busy machine needs.
    fn allowed(self) -> Duration {
        Duration::from_secs(match self {
            Self::Well | Self::Revoked => 10,
            Self::Refused => 15,
            Self::Hanging => 25,
        })
    }

    fn end(live: &Live) {
        live.s3.clear_faults();
        live.s3.restore_key(KEY);
    }
}

/// A standby of a cluster that fetches by guard-get, with a pgBackRest of its own and pgBackRest's usual time limits.
pub(crate) fn standby(live: &Live, primary: &Cluster, name: &str) -> Cluster {
    let standby = Cluster::builder(&live.lab).name(name);
    let backrest = PgBackRest::builder(&live.lab).name(&format!("pgbackrest-of-{name}")).postgres(&standby);
    let backrest = live.repository_one(backrest.option("global", "io-timeout", "60")).write();
    let get = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let (get, config) = (get.display(), backrest.config_file());
    let restore = format!("{get} --pgbackrest-config={} --retry=600 %f \"%p\"", config.display());
    let standby = standby.setting("restore_command", &restore);
    let standby = standby.archive_command(&live.archive_command(&backrest, &[])).standby_of(primary);
    standby.start().unwrap();
    standby
}

/// Promotes, and waits until a write succeeds.
#[track_caller]
fn promote(standby: &Cluster, repository: Repository) {
    standby.sql("SELECT pg_promote(wait => false)");
    let writes = || standby.try_sql("CREATE TABLE IF NOT EXISTS written AS SELECT 1 AS n").is_ok();
    standby.wait_until(&format!("it takes writes, the repository {repository:?}"), repository.allowed(), writes);
}

/// Commits a row and waits until the standby has it.
fn commit(primary: &Cluster, standby: &Cluster, row: usize) {
    primary.sql(&format!("CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t VALUES ({row})"));
    let count = || standby.try_sql("SELECT count(*) FROM t") == Ok(row.to_string());
    standby.wait_until("the standby follows", SOON, count);
}

/// Promotes a standby on timeline 1, then a standby of that one on timeline 2.
fn promoted_twice(repository: Repository) {
    let live = Live::of(Mode::Sync).start();
    live.write_acknowledged(2);
    let second = standby(&live, &live.postgres, "second");
    commit(&live.postgres, &second, 1);
    repository.begin(&live);
    promote(&second, repository);
    assert_eq!(second.sql("SELECT count(*) FROM t"), "1");
    assert!(!second.log().contains("could not restore file"), "{}", second.log());
    Repository::end(&live);
    live.postgres.stop(StopMode::Fast);
    second.wait_until("the second archives", SOON, || second.ready().is_empty());

    let third = standby(&live, &second, "third");
    commit(&second, &third, 2);
    repository.begin(&live);
    promote(&third, repository);
    assert_eq!(third.sql("SELECT count(*) FROM t"), "2");
    assert!(!third.log().contains("could not restore file"), "{}", third.log());
    let history = std::fs::read_to_string(third.pg_wal().join("00000003.history")).unwrap();
    let parents: Vec<_> =
        history.lines().filter_map(|line| line.split_once('\t')).map(|(timeline, _)| timeline).collect();
    assert_eq!(parents, ["1", "2"], "{history}");
    Repository::end(&live);
}

#[test]
fn a_promotion_with_a_repository_that_is_well() {
    promoted_twice(Repository::Well);
}

#[test]
fn a_promotion_with_a_revoked_key() {
    promoted_twice(Repository::Revoked);
}

#[test]
fn a_promotion_with_a_repository_that_refuses() {
    promoted_twice(Repository::Refused);
}

#[test]
fn a_promotion_with_a_repository_that_hangs() {
    promoted_twice(Repository::Hanging);
}
