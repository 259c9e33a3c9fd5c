//! guard-get beside the one-shot recovery of one repository: standbys, two repositories, shutdowns, `pg_rewind -c`.

use super::get::{KEY, LONG, Origin, ROWS, Wanted, assert_complete, rows, wait_log};
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, Operation, Operations, PgBackRest, StopMode, within};
use std::time::Duration;

/// What a shutdown may take: 5 s, and as much again for a busy machine, twice.
const SHUTDOWN: Duration = Duration::from_secs(15);

fn standby(origin: &Origin, name: &str, asynchronous: bool, streams: bool) -> Cluster {
    let conninfo = format!("--recovery-option=primary_conninfo={}", origin.cluster.conninfo());
    let options = ["--type=standby", conninfo.as_str()];
    let options = options.get(..if streams { 2 } else { 1 }).unwrap();
    origin.restore(Wanted { asynchronous, options, ..Wanted::new(name) })
}

#[test]
fn a_standby_streams_while_the_repository_is_gone() {
    let origin = Origin::new();
    for (name, asynchronous) in [("streams", false), ("streams-ahead", true)] {
        let copy = standby(&origin, name, asynchronous, true);
        let outage = origin.denied_at(&origin.segments[5], &copy);
        wait_log(&copy, "the standby goes on and will ask again");
        wait_log(&copy, "started streaming WAL from primary");
        let before: usize = origin.cluster.sql("SELECT count(*) FROM t").parse().unwrap();
        origin.cluster.sql("INSERT INTO t VALUES (77)");
        copy.wait_until("the new row", LONG, || copy.try_sql("SELECT count(*) FROM t") == Ok((before + 1).to_string()));
        let log = copy.log();
        assert!(!log.contains("FATAL:  could not restore") && !log.contains("exit 254"), "{log}");
        outage.end(&origin);
        copy.promote();
        assert_eq!(rows(&copy), before + 1);
    }
}

#[test]
fn a_standby_without_a_primary_survives_an_outage_on_the_archive_alone() {
    let origin = Origin::new();
    for (name, asynchronous) in [("archive", false), ("archive-ahead", true)] {
        let copy = standby(&origin, name, asynchronous, false);
        let outage = origin.denied_at(&origin.segments[5], &copy);
        wait_log(&copy, "the standby goes on and will ask again");
        outage.end(&origin);
        let all = || copy.try_sql("SELECT count(*) FROM t WHERE n < 99") == Ok(ROWS.to_string());
        copy.wait_until("all rows", LONG, all);
        assert_eq!(copy.sql("SELECT pg_is_in_recovery()"), "t");
    }
}

#[test]
fn a_standby_falls_back_to_the_archive_when_its_primary_is_gone() {
    let origin = Origin::new();
    let copy = standby(&origin, "fallback", true, true);
    copy.start_recovery();
    wait_log(&copy, "started streaming WAL from primary");
    copy.stop(StopMode::Fast);
    origin.cluster.sql("INSERT INTO t VALUES (55)");
    let last = origin.cluster.switch_wal();
    origin.cluster.wait_archived(&last, LONG);
    origin.cluster.stop(StopMode::Fast);
    copy.start_recovery();
    let all = || copy.try_sql("SELECT count(*) FROM t") == Ok((ROWS + 1).to_string());
    copy.wait_until("the row that only the archive has", LONG, all);
}

#[test]
fn a_file_that_only_the_unreachable_repository_has_is_not_absent() {
    let origin = Origin::new();
    let at = &origin.segments[5];
    for (name, asynchronous) in [("two", false), ("two-ahead", true)] {
        let folder = origin.lab.path().join(format!("repo-{name}"));
        let copy = Cluster::builder(&origin.lab).name(name);
        let backrest = PgBackRest::builder(&origin.lab).name(&format!("store-{name}")).postgres(&copy);
        let backrest = backrest.archive_async(asynchronous).option("global", "io-timeout", "1");
        let backrest =
            backrest.repo_s3(&origin.s3, "wal", KEY, "secret", "/repo").option("global", "repo1-bundle", "y");
        let backrest = backrest.repo_posix(&folder).write();
        copy_archive_until(&origin, &folder, 5);
        let copy = origin.restore_by(&backrest, copy, Wanted::new(name));
        let outage = origin.denied_at(at, &copy);
        wait_log(&copy, &format!("{at}: the repository could not be queried: class denied (AccessDenied)"));
        assert!(!copy.log().contains(&format!("{at} is in no repository")), "{}", copy.log());
        outage.end(&origin);
        assert_complete(&copy);
    }
}

/// A second repository that lacks everything from the row on.
fn copy_archive_until(origin: &Origin, folder: &std::path::Path, row: usize) {
    let objects = origin.s3.objects("wal");
    let is_late = |key: &str| origin.segments.iter().skip(row).any(|segment| key.contains(segment));
    for key in objects.iter().filter(|key| key.starts_with("repo/archive/") && !is_late(key)) {
        let path = folder.join(key.strip_prefix("repo/").unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, origin.s3.object_bytes("wal", key)).unwrap();
    }
    let mut give = std::process::Command::new("chmod");
    assert!(give.args(["-R", "a+rwX"]).arg(folder).status().unwrap().success());
}

#[test]
fn a_shutdown_while_guard_get_waits_is_quick() {
    let origin = Origin::new();
    let hang = Fault::new(FaultKind::Hang).on(Operations::of(Operation::Get, &origin.segments[5]));
    let cases = [
        ("fast", StopMode::Fast, false, false),
        ("immediate", StopMode::Immediate, false, false),
        ("fast-ahead", StopMode::Fast, true, false),
        ("fast-hang", StopMode::Fast, false, true),
        ("immediate-hang", StopMode::Immediate, false, true),
    ];
    for (name, mode, asynchronous, hangs) in cases {
        let copy = origin.restore(Wanted { asynchronous, ..Wanted::new(name) });
        let outage = if hangs {
            let outage = origin.outage_at(&origin.segments[5], hang.clone());
            copy.start_recovery();
            outage.wait_met(&copy);
            outage
        } else {
            let outage = origin.denied_at(&origin.segments[5], &copy);
            wait_log(&copy, "the repository could not be queried");
            outage
        };
        let took = copy.stop(mode);
        assert!(took < SHUTDOWN, "{name} took {took:?}");
        assert!(!copy.log().contains("selected new timeline ID"), "{}", copy.log());
        let waits = || origin.lab.processes().iter().any(|process| process.command.contains("pgbackrest-guard-get "));
        assert!(within(SHUTDOWN, || !waits()), "{name}: {:?}", origin.lab.processes());
        outage.end(&origin);
        copy.start_recovery();
        assert_complete(&copy);
        copy.stop(StopMode::Immediate);
    }
}

#[test]
fn a_copy_beside_its_origin_needs_no_configuration_of_its_own() {
    let origin = Origin::new();
    let copy = Cluster::builder(&origin.lab).name("beside");
    let backrest = PgBackRest::builder(&origin.lab).name("shared").pg_path(
        origin.cluster.pgdata(),
        origin.cluster.port(),
        origin.cluster.socket_dir(),
    );
    let backrest = backrest.repo_s3(&origin.s3, "wal", KEY, "secret", "/repo").option("global", "repo1-bundle", "y");
    let copy = origin.restore_by(&backrest.write(), copy, Wanted::new("beside"));
    origin.cluster.stop(StopMode::Fast);
    std::fs::remove_dir_all(origin.cluster.pgdata()).unwrap();
    copy.start_recovery();
    assert_complete(&copy);
    assert!(!copy.log().contains("the repository could not be queried"), "{}", copy.log());
}
