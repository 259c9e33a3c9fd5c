//! The watcher with real programs: what is missing, what was kept, and who takes over.

use super::handover_record::Ended;
use super::watch::{KEY, SECRET, WAIT, scene};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, StopMode};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const VERIFY_NOW: (&str, &str) = ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1");
const A_SECOND: Duration = Duration::from_millis(1100);

#[test]
fn live_watch_believes_the_catalog_and_not_a_stamp() {
    let scene = scene();
    scene.backrest.stanza_create();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let state = scene.cluster.pgdata().join(".pgbackrest_backup_state");
    fs::write(&state, format!("last_full_at={now}\nlast_diff_at={now}\n")).unwrap();
    scene.lab.give(&state);
    let said = scene.watch_once(&[]);
    assert!(said.contains("catalog shows no full backup despite local state"), "{said}");
    assert!(said.contains("backup --type=full completed"), "{said}");
    assert_eq!(scene.backups(), 1);
    // A bucket that is empty is no proof: it may be the wrong one.
    for object in scene.s3.objects("wal") {
        scene.s3.remove_object("wal", &object);
    }
    sleep(A_SECOND);
    let said = scene.watch_once(&[VERIFY_NOW]);
    assert!(said.contains("catalog check inconclusive") && !said.contains("running"), "{said}");
    assert!(fs::read_to_string(&state).unwrap().contains("last_full_at="));
}

#[test]
fn live_watch_finds_a_silent_hole_and_seals_it() {
    let scene = scene();
    scene.watch_once(&[]);
    let written = scene.cluster.write_wal(3);
    scene.cluster.wait_archived(written.last().unwrap(), WAIT);
    sleep(A_SECOND);
    let said = scene.watch_once(&[VERIFY_NOW]);
    assert!(said.contains("catalog verified") && !said.contains("missing"), "nothing is: {said}");
    let hole = &written[1];
    let object = scene.s3.objects("wal").into_iter().find(|object| object.contains(hole.as_str())).unwrap();
    scene.s3.remove_object("wal", &object);
    let _ = fs::remove_file(scene.cluster.pg_wal().join(hole));
    sleep(A_SECOND);
    let said = scene.watch_once(&[VERIFY_NOW]);
    assert!(said.contains("1 WAL segment is missing in every repository that was walked"), "{said}");
    assert_eq!(scene.states(), [(GapState::Open, 1)]);
    sleep(A_SECOND);
    let said = scene.watch_once(&[]);
    assert!(said.contains("backup --type=full completed") && said.contains("cleared gap marker"), "{said}");
    assert_eq!(scene.states(), [(GapState::Sealed, 1)]);
    sleep(A_SECOND);
    let said = scene.watch_once(&[VERIFY_NOW]);
    assert!(!said.contains("missing") && !said.contains("running"), "{said}");
}

#[test]
fn live_watch_pushes_what_was_kept_and_deletes_it_after_proof() {
    let scene = scene();
    scene.watch_once(&[]);
    let overflow = scene.lab.folder("overflow");
    let command = scene.cluster.sql("show archive_command");
    let command = format!("WAL_OVERFLOW_DIR={} {}", overflow.display(), command.trim());
    scene.cluster.reload_with("archive_command", &command);
    scene.s3.revoke_key(KEY);
    let kept = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(kept.last().unwrap(), WAIT);
    let deferred = scene.cluster.pgdata().join(".pgbackrest_guard/deferred");
    let _ = fs::create_dir(&deferred);
    scene.lab.give(&deferred);
    fs::write(deferred.join("00000002.history"), "1\t0/5000000\tno recovery target specified\n").unwrap();
    scene.lab.give(&deferred.join("00000002.history"));
    let variables = [("WAL_OVERFLOW_DIR", overflow.to_str().unwrap())];
    sleep(A_SECOND);
    let said = scene.watch_once(&variables);
    assert!(said.contains("nothing can be healed now") || said.contains("could not be pushed"), "{said}");
    assert_eq!(fs::read_dir(&overflow).unwrap().count(), 2, "{said}");
    scene.s3.restore_key(KEY);
    let said = scene.watch_once(&variables);
    assert_eq!(said.matches("is stored: it was kept in").count(), 3, "{said}");
    assert!(fs::read_dir(&overflow).unwrap().next().is_none() && fs::read_dir(&deferred).unwrap().next().is_none());
    let stored = scene.backrest.archived(1);
    assert!(kept.iter().all(|name| stored.contains(name)) && stored.contains("00000002.history"), "{stored:?}");
    assert_eq!((scene.backups(), scene.states().len()), (1, 0));
}

#[test]
fn live_watch_takes_over_after_a_promotion_without_a_full() {
    let scene = scene();
    scene.watch_once(&[]);
    scene.cluster.sql("CREATE TABLE t (n int)");
    // It keeps what it received across the checkpoint of its promotion.
    let standby = Cluster::builder(&scene.lab).name("standby").setting("wal_keep_size", "64");
    let own = PgBackRest::builder(&scene.lab).name("of-standby").postgres(&standby);
    let own = own.repo_s3(&scene.s3, "wal", KEY, SECRET, "/repo").write();
    let (old, config) = (scene.backrest.config_file(), own.config_file());
    let command = scene.cluster.sql("SHOW archive_command").replace(old.to_str().unwrap(), config.to_str().unwrap());
    let standby = standby.archive_command(&command).standby_of(&scene.cluster);
    standby.start().unwrap_or_else(|log| panic!("the standby does not start:\n{log}"));
    let own = ("PGBACKREST_CONFIG", config.to_str().unwrap());
    let said = scene.watch_once_at(&standby, &[own]);
    assert!(said.contains("iteration skipped: this server is a standby"), "{said}");
    // The old primary gives its last two segments up, and nobody is left who knows; the standby has them.
    scene.s3.revoke_key(KEY);
    let lost = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(lost.last().unwrap(), WAIT);
    scene.s3.restore_key(KEY);
    scene.cluster.sql("INSERT INTO t VALUES (1)");
    let follows = || standby.try_sql("SELECT count(*) FROM t").is_ok_and(|count| count == "1");
    standby.wait_until("the standby follows", WAIT, follows);
    scene.cluster.kill();
    standby.promote();
    assert!(standby.wait_promoted(WAIT));
    // The old timeline's last segment is archived as far as it goes: that is no hole.
    standby.wait_until("the partial segment is archived", WAIT, || standby.last_archived_wal().ends_with(".partial"));
    let said = scene.watch_once_at(&standby, &[own]);
    assert!(said.contains("catalog verified") && !said.contains("running pgbackrest backup"), "{said}");
    assert!(
        said.contains("2 WAL segments are missing in every repository that was walked"),
        "up to the switch, and no more: {said}"
    );
    let said = scene.watch_once_at(&standby, &[own]);
    assert!(said.contains("2 files are healed"), "{said}");
    let written = standby.write_wal(2);
    standby.wait_archived(written.last().unwrap(), WAIT);
    sleep(A_SECOND);
    let said = scene.watch_once_at(&standby, &[VERIFY_NOW, own]);
    assert!(said.contains("catalog verified") && !said.contains("missing in"), "{said}");
    assert_eq!(scene.backups(), 1);
}

#[test]
fn live_two_watchers_take_one_full() {
    let scene = scene();
    let metrics = scene.lab.folder("metrics").join("guard.prom");
    let variables = [("WAL_GUARD_METRICS_FILE", metrics.to_str().unwrap())];
    scene.backrest.stanza_create();
    let said = std::thread::scope(|scope| {
        let other = scope.spawn(|| scene.watch_once(&[]));
        let one = scene.watch_once(&variables);
        one + &other.join().unwrap()
    });
    assert_eq!(scene.backups(), 1, "{said}");
    let text = fs::read_to_string(metrics).unwrap();
    assert!(
        text.contains("\npgbackrest_guard_up{stanza=\"main\",cluster=\"data\"} 1\n") && !text.contains("NaN"),
        "{text}"
    );
    let is_metric = |line: &str| {
        let mut words = line.split(' ');
        words.next().is_some_and(|name| name.starts_with("pgbackrest_guard_"))
            && words.next().is_some_and(|value| value.parse::<f64>().is_ok())
    };
    assert!(text.lines().all(|line| line.starts_with("# ") || is_metric(line)), "{text}");
}

/// One request to the watcher; what it answered.
fn asked(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn live_watch_serves_its_metrics_and_writes_a_file_a_cluster() {
    let scene = scene();
    let (port, folder) = (Lab::free_tcp_port(), scene.lab.folder("metrics"));
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (address, path) = (format!("127.0.0.1:{port}"), format!("{}/", folder.display()));
    let variables = [
        ("WAL_GUARD_METRICS_LISTEN", address.as_str()),
        ("WAL_GUARD_METRICS_FILE", path.as_str()),
        ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"),
        ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1"),
    ];
    let log = scene.lab.path().join("watch.log");
    let mut watcher = scene.watcher(&scene.cluster, &variables);
    let _watcher = Ended(watcher.stderr(File::create(&log).unwrap()).spawn().unwrap());
    let said = |words: &str| fs::read_to_string(&log).unwrap_or_default().contains(words);
    scene.cluster.wait_until("it says that the port is in use", WAIT, || said("can't be served at"));
    drop(taken);
    scene.cluster.wait_until("it is served", WAIT, || asked(port, "/healthz").is_some());
    assert!(asked(port, "/healthz").unwrap().starts_with("HTTP/1.1 200 "));
    let metrics = asked(port, "/metrics").unwrap();
    for name in ["up", "postgresql_up"] {
        let line = format!("\npgbackrest_guard_{name}{{stanza=\"main\",cluster=\"data\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    let file = folder.join("pgbackrest_guard_main_data.prom");
    scene.cluster.wait_until("the file is there", WAIT, || file.exists());
    scene.cluster.stop(StopMode::Fast);
    let down = "\npgbackrest_guard_postgresql_up{stanza=\"main\",cluster=\"data\"} 0\n";
    scene
        .cluster
        .wait_until("the server is down", WAIT, || asked(port, "/metrics").is_some_and(|text| text.contains(down)));
    assert!(said("metrics are served at http://127.0.0.1:"));
}
