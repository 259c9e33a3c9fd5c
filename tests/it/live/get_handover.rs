//! After every 254 a start goes on recovering, and where it would not there is no 254; one repository is enough where a
//! person says so.

use super::get::{KEY, LONG, Origin, ROWS, Wanted, assert_complete, rows, wait_log};
use super::get_ends::promoted_and_archiving;
use pgbackrest_guard_lab::{Cluster, Fault, Operations, PgBackRest, Request, StopMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The server has stopped with 254, and a start with the repository back recovers everything.
#[track_caller]
fn stops_and_goes_on(origin: &Origin, copy: &Cluster, what: &str) {
    assert!(copy.wait_stopped(LONG), "{what}: still runs:\n{}", copy.log());
    let log = copy.log();
    assert!(log.contains("exit 254 stops the server") && log.contains("nothing is lost"), "{what}: {log}");
    assert!(copy.pgdata().join("recovery.signal").exists(), "{what}: no recovery.signal");
    origin.s3.clear_faults();
    copy.start_recovery();
    assert!(copy.wait_promoted(LONG), "{what}: {}", copy.log());
    assert_eq!(rows(copy), ROWS, "{what}: {}", copy.log());
    assert!(copy.log().contains("selected new timeline ID: 2"), "{what}: {}", copy.log());
}

#[test]
fn a_start_after_each_254_goes_on_recovering() {
    let origin = Origin::new();
    let impatient = |name| origin.restore(Wanted { guard: Some("--retry 1"), ..Wanted::new(name) });
    let places = [
        ("first", origin.segments[0].clone()),
        ("last", origin.segments[ROWS - 1].clone()),
        ("end", "00000002.history".to_owned()),
    ];
    for (name, key) in places {
        let copy = impatient(name);
        // The probe for the next timeline is made at the start too: there it is let through.
        let seen = AtomicUsize::new(0);
        let from = usize::from(name == "end");
        let concerns = move |request: &Request| {
            (request.key.contains(&key) || request.query.contains(&key)) && seen.fetch_add(1, Ordering::SeqCst) >= from
        };
        origin.s3.inject(Fault::status(403, "AccessDenied").on(Operations::Matching(Arc::new(concerns))));
        copy.start_recovery();
        stops_and_goes_on(&origin, &copy, name);
        copy.stop(StopMode::Immediate);
    }
}

#[test]
fn the_parents_history_is_never_answered_by_254_and_the_ancestry_is_kept() {
    let origin = Origin::new();
    let second = promoted_and_archiving(&origin, "second");
    second.sql("INSERT INTO t VALUES (100)");
    let last = second.switch_wal();
    second.wait_archived(&last, LONG);
    second.wait_archived("00000002.history", LONG);
    second.stop(StopMode::Fast);
    let copy = origin.restore(Wanted { guard: Some("--retry 600"), ..Wanted::new("third") });
    // The probe for timeline 3 is made at the start and at the end; then no signal file is left.
    let probes = Arc::new(AtomicUsize::new(0));
    let concerns = move |request: &Request| {
        if request.key.contains("00000003.history") {
            probes.fetch_add(1, Ordering::SeqCst);
        }
        probes.load(Ordering::SeqCst) >= 2 && !request.key.contains("00000003.history")
    };
    origin.s3.inject(Fault::status(503, "SlowDown").on(Operations::Matching(Arc::new(concerns))));
    copy.start_recovery();
    assert!(copy.wait_promoted(LONG), "{}", copy.log());
    assert_eq!(rows(&copy), ROWS + 1, "{}", copy.log());
    let log = copy.log();
    assert!(log.contains("PostgreSQL takes the copy in pg_wal") && !log.contains("exit 254"), "{log}");
    let history = std::fs::read_to_string(copy.pg_wal().join("00000003.history")).unwrap();
    assert!(history.starts_with("1\t") && history.contains("\n2\t"), "{history}");
    origin.s3.clear_faults();
}

/// A repository in a folder that holds the origin's whole archive and backups.
fn mirrored(origin: &Origin, name: &str) -> std::path::PathBuf {
    let folder = origin.lab.path().join(name);
    for key in origin.s3.objects("wal") {
        let path = folder.join(key.strip_prefix("repo/").unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, origin.s3.object_bytes("wal", &key)).unwrap();
    }
    let mut give = std::process::Command::new("chmod");
    assert!(give.args(["-R", "a+rwX"]).arg(&folder).status().unwrap().success());
    folder
}

fn two_repositories(
    origin: &Origin,
    copy: &pgbackrest_guard_lab::ClusterBuilder,
    name: &str,
    ahead: bool,
) -> PgBackRest {
    let folder = mirrored(origin, &format!("mirror-{name}"));
    let backrest = PgBackRest::builder(&origin.lab).name(&format!("store-{name}")).postgres(copy);
    let backrest = backrest.archive_async(ahead).option("global", "io-timeout", "1");
    let backrest = backrest.repo_s3(&origin.s3, "wal", KEY, "secret", "/repo").option("global", "repo1-bundle", "y");
    backrest.repo_posix(&folder).option("global", "repo2-bundle", "y").write()
}

#[test]
fn one_repository_restores_everything_where_a_person_says_that_it_is_enough() {
    let origin = Origin::new();
    for (name, flags) in [("waits", "--retry 600"), ("enough", "--retry 600 --repo 2")] {
        let copy = Cluster::builder(&origin.lab).name(name);
        let backrest = two_repositories(&origin, &copy, name, false);
        origin.s3.revoke_key(KEY);
        let wanted = Wanted { guard: Some(flags), options: &["--repo=2"], ..Wanted::new(name) };
        let copy = origin.restore_by(&backrest, copy, wanted);
        copy.start_recovery();
        if name == "waits" {
            wait_log(&copy, "the repository could not be queried: class gone (InvalidAccessKeyId), repository 1: ");
            wait_log(&copy, "--repo 2 or PGBACKREST_REPO=2 asks repository 2 alone, and its answer is then enough");
            copy.stop(StopMode::Fast);
        } else {
            assert_complete(&copy);
        }
        origin.s3.restore_key(KEY);
    }
}

#[test]
fn a_segment_whose_folder_can_not_be_listed_is_not_absent() {
    let origin = Origin::new();
    for (name, ahead) in [("listed", false), ("listed-ahead", true)] {
        let copy = Cluster::builder(&origin.lab).name(name);
        let backrest = two_repositories(&origin, &copy, name, ahead);
        let copy = origin.restore_by(&backrest, copy, Wanted::new(name));
        // Repository 2 lacks the newest segments, and repository 1 loads its archive.info but can't list them.
        let folder = origin.lab.path().join(format!("mirror-{name}"));
        let late = |path: &str| origin.segments.iter().skip(5).any(|segment| path.contains(segment));
        for path in backrest.files(2).iter().filter(|path| late(path)) {
            std::fs::remove_file(folder.join(path)).unwrap();
        }
        origin.s3.inject(Fault::status(403, "AccessDenied").on(Operations::List));
        copy.start_recovery();
        wait_log(&copy, &format!("{}: the repository could not be queried: class denied", origin.segments[5]));
        assert!(!copy.log().contains("to PostgreSQL the archive ends"), "{}", copy.log());
        origin.s3.clear_faults();
        assert_complete(&copy);
        copy.stop(StopMode::Immediate);
    }
}
