//! The phases that setup finds, what it makes and takes away in each, and that a second run touches nothing.

use super::scene::{GUARD, IDENTIFIER, Scene};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

/// `ls -A`, which is what the official image's entrypoint looks at.
fn ls(scene: &Scene) -> String {
    let output = Command::new("ls").arg("-A").arg(scene.data()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn before_initdb_nothing_is_made_in_the_data_directory() {
    for value in ["wal-archive", "", "${{bucket}}", "a b"] {
        for arguments in [&[][..], &["--disable"], &["--print-env"], &["--dry-run"]] {
            let scene = Scene::new().with("WAL_ARCHIVE_BUCKET", value);
            let before = fs::metadata(scene.data()).unwrap();
            scene.setup(arguments).ended(0).tells_no_secret();
            let after = fs::metadata(scene.data()).unwrap();
            assert_eq!(ls(&scene), "", "{value} {arguments:?}");
            // A file that came and went would have changed the folder's time.
            assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()), "{value}");
            let writes = value == "wal-archive" && matches!(arguments, [] | ["--print-env"]);
            assert_eq!(scene.conf().exists(), writes, "{value} {arguments:?}");
        }
    }
}

#[test]
fn a_data_directory_that_is_missing_or_holds_something_else_is_left_alone() {
    let scene = Scene::new();
    fs::remove_dir(scene.data()).unwrap();
    scene.setup(&[]).ended(0).says("holds no cluster yet");
    assert!(!scene.data().exists() && scene.conf().exists());
    let scene = Scene::new();
    scene.put("lost+found/x", "");
    for value in ["wal-archive", "", "${{bucket}}"] {
        let junk = Scene::new().with("WAL_ARCHIVE_BUCKET", value);
        junk.put("conf.d/pgbackrest.conf", "archive_mode = on\n");
        junk.put(".pgbackrest_invalid_bucket", "whitespace\n");
        junk.setup(&[]).ended(0);
        let names = ls(&junk);
        assert_eq!(names.split_whitespace().collect::<Vec<_>>(), [".pgbackrest_invalid_bucket", "conf.d"], "{value}");
        assert!(junk.read("conf.d/pgbackrest.conf").is_some(), "{value}");
    }
}

#[test]
fn a_configuration_in_the_data_directory_waits_for_initdb() {
    let scene = Scene::new();
    let link = scene.path().join("link");
    std::os::unix::fs::symlink(scene.data(), &link).unwrap();
    for conf in [scene.data().join("etc/pgbackrest.conf"), link.join("pgbackrest.conf")] {
        let flag = format!("--pgbackrest-config={}", conf.display());
        scene.setup(&[&flag]).ended(0).says("nothing is made before initdb");
        assert_eq!(ls(&scene), "");
    }
    scene.initialise(IDENTIFIER);
    let conf = scene.data().join("etc/pgbackrest.conf");
    scene.setup(&[&format!("--pgbackrest-config={}", conf.display())]).ended(0);
    assert!(fs::read_to_string(conf).unwrap().contains("exclude=etc/pgbackrest.conf\n"), "it holds the keys");
}

#[test]
fn the_hook_finishes_what_was_begun_before_initdb() {
    let scene = Scene::new();
    scene.setup(&[]).ended(0);
    scene.initialise(IDENTIFIER);
    scene.setup(&[]).ended(0);
    let path = format!("/pgbackrest/cluster-{IDENTIFIER}");
    assert_eq!(scene.read(".pgbackrest_repo_path"), Some(format!("{path}\n")));
    let conf = fs::read_to_string(scene.conf()).unwrap();
    assert!(conf.lines().any(|line| line == format!("repo1-path={path}")), "{conf}");
    for line in ["archive-async=y", "compress-type=zst", "repo1-retention-full=4", "repo1-retention-diff=14"] {
        assert!(conf.lines().any(|other| other == line), "{line} in {conf}");
    }
    let spool = scene.data().join("pgbackrest-spool");
    assert!(conf.contains(&format!("spool-path={}\n", spool.display())) && conf.contains("exclude=pgbackrest-spool\n"));
    assert_eq!((mode(&spool), mode(&scene.conf())), (0o750, 0o640));
    let server = scene.read("conf.d/pgbackrest.conf").unwrap();
    let names: Vec<_> = server.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["archive_mode", "archive_command", "archive_timeout", "track_commit_timestamp"]);
    assert!(server.contains("pgbackrest-guard-push") && server.contains("%p'\n"), "{server}");
    let main = scene.read("postgresql.conf").unwrap();
    assert_eq!(main.lines().filter(|line| *line == "include_dir = 'conf.d'").count(), 1, "{main}");
    assert!(main.starts_with("shared_buffers = 8MB\n#archive_mode = off\n"), "{main}");
    assert_eq!(scene.read("postgresql.auto.conf").as_deref(), Some("# by ALTER SYSTEM\n"));
}

#[test]
fn the_hook_believes_a_handed_on_reason_only_when_it_can_be_one() {
    let reason = |bucket: Option<&str>, reason: &str| {
        let scene = Scene::initialised().with("PGBACKREST_BUCKET_INVALID_REASON", reason).without("WAL_ARCHIVE_BUCKET");
        let scene = bucket.into_iter().fold(scene, |scene, bucket| scene.with("WAL_ARCHIVE_BUCKET", bucket));
        scene.setup(&[]).ended(0);
        assert_eq!(scene.read("conf.d/pgbackrest.conf").is_some(), bucket == Some("wal-archive"));
        scene.read(".pgbackrest_invalid_bucket")
    };
    for word in ["unresolved-template-ref", "whitespace", "control-character", "uuid-shape", "bad-name"] {
        assert_eq!(reason(None, word), Some(format!("{word}\n")));
    }
    for word in ["", "Whitespace", "whitespace\n", "uuid-shape $(id)", "none"] {
        assert_eq!(reason(None, word), None, "{word:?}");
    }
    assert_eq!(reason(Some("wal-archive"), "whitespace"), None);
    assert_eq!(reason(Some(""), "whitespace"), None);
    assert_eq!(reason(Some("a b"), "uuid-shape").as_deref(), Some("whitespace\n"));
}

#[test]
fn a_second_run_touches_nothing() {
    for value in ["wal-archive", "", "a b"] {
        let scene = Scene::initialised();
        scene.setup(&[]).ended(0);
        let scene = scene.with("WAL_ARCHIVE_BUCKET", value);
        scene.setup(&[]).ended(0);
        let before = scene.everything();
        scene.setup(&[]).ended(0);
        scene.setup(&["--print-env"]).ended(0);
        assert_eq!(scene.setup(&["--dry-run"]).ended(0).stdout, "", "{value}");
        assert_eq!(scene.everything(), before, "{value}");
    }
    let fresh = Scene::new();
    fresh.setup(&[]).ended(0);
    let before = fresh.everything();
    fresh.setup(&[]).ended(0);
    assert_eq!(fresh.everything(), before);
}

#[test]
fn switching_off_takes_exactly_two_files() {
    let with_all = || {
        let scene = Scene::initialised();
        scene.setup(&[]).ended(0);
        for name in
            [".pgbackrest_backup_state", ".pgbackrest_gap_pending", "conf.d/own.conf", ".pgbackrest_guard/ledger"]
        {
            scene.put(name, "x\n");
        }
        scene
    };
    let gone = |scene: &Scene, before: &[String]| {
        let after = scene.names();
        before.iter().filter(|name| !after.contains(name)).cloned().collect::<Vec<_>>()
    };
    let two = ["data/.pgbackrest_backup_state", "data/conf.d/pgbackrest.conf"];
    for arguments in [&["--disable"][..], &[]] {
        let scene = with_all();
        let scene = if arguments.is_empty() { scene.with("WAL_ARCHIVE_BUCKET", "") } else { scene };
        let before = scene.names();
        let shown = scene.setup(&[arguments, &["--dry-run"]].concat()).ended(0).stdout;
        assert_eq!(shown.matches("+++ /dev/null").count(), 2, "{shown}");
        assert_eq!(scene.names(), before);
        scene.setup(arguments).ended(0);
        assert_eq!(gone(&scene, &before), two);
    }
    let junk = with_all().with("WAL_ARCHIVE_BUCKET", "a b");
    let before = junk.names();
    junk.setup(&[]).ended(0);
    assert_eq!(gone(&junk, &before), two);
    let unset = with_all().without("WAL_ARCHIVE_BUCKET");
    unset.put(".pgbackrest_invalid_bucket", "whitespace\n");
    let before = unset.names();
    unset.setup(&[]).ended(0);
    assert_eq!(gone(&unset, &before), ["data/.pgbackrest_invalid_bucket"]);
}

#[test]
fn the_noted_path_is_kept_replaced_or_adopted() {
    let own = format!("/pgbackrest/cluster-{IDENTIFIER}\n");
    let noted = |old: Option<&str>, says: &str| {
        let scene = Scene::initialised();
        old.inspect(|old| scene.put(".pgbackrest_repo_path", old));
        let conf = || fs::read_to_string(scene.conf()).unwrap();
        scene.setup(&[]).ended(0).says(says);
        let path = scene.read(".pgbackrest_repo_path").unwrap();
        assert!(conf().contains(&format!("repo1-path={path}")), "{path} {}", conf());
        path
    };
    assert_eq!(noted(None, "the repository path of this cluster is"), own);
    let moved = format!("/elsewhere/cluster-{IDENTIFIER}-1763800000\n");
    assert_eq!(noted(Some(&moved), "archiving is configured"), moved);
    assert_eq!(noted(Some("/pgbackrest/cluster-42\n"), "/pgbackrest/cluster-42 belongs to another cluster"), own);
    assert_eq!(noted(Some(""), "the repository path of this cluster is"), own);
    assert_eq!(noted(Some("relative/cluster-42\n"), "the repository path of this cluster is"), own);
    // The volume was wiped: the same bucket, another cluster.
    let scene = Scene::initialised();
    scene.setup(&[]).ended(0);
    fs::remove_dir_all(scene.data()).unwrap();
    fs::create_dir(scene.data()).unwrap();
    scene.setup(&[]).ended(0);
    scene.initialise(43);
    scene.setup(&[]).ended(0);
    assert_eq!(scene.read(".pgbackrest_repo_path").as_deref(), Some("/pgbackrest/cluster-43\n"));
}

#[test]
fn several_repositories_are_left_as_the_operator_wrote_them() {
    let scene = Scene::initialised();
    let own = "[global]\nrepo1-path=/one\nrepo2-path=/two\n[main]\npg1-path=/data\n";
    fs::create_dir(scene.path().join("etc")).unwrap();
    fs::write(scene.conf(), own).unwrap();
    let before = fs::metadata(scene.conf()).unwrap();
    scene.setup(&[]).ended(0).says("names 2 repositories");
    let after = fs::metadata(scene.conf()).unwrap();
    assert_eq!(fs::read_to_string(scene.conf()).unwrap(), own);
    assert_eq!((before.mode(), before.uid(), before.ino()), (after.mode(), after.uid(), after.ino()));
    assert!(scene.read("conf.d/pgbackrest.conf").is_some());
    assert_eq!(scene.read(".pgbackrest_repo_path"), None, "it would win over repo1-path");
    assert_eq!(scene.names().iter().filter(|name| name.starts_with("etc/")).count(), 1);
    // One repository of an operator's is replaced, and kept beside.
    fs::write(scene.conf(), "[global]\nrepo1-path=/one\n").unwrap();
    scene.setup(&[]).ended(0);
    let kept = scene.path().join("etc/pgbackrest.conf.before-setup");
    assert_eq!(fs::read_to_string(kept).unwrap(), "[global]\nrepo1-path=/one\n");
    assert!(fs::read_to_string(scene.conf()).unwrap().contains("repo1-s3-bucket=wal-archive\n"));
}

#[test]
fn the_line_goes_where_the_server_reads_it() {
    // As on Debian: the configuration lies elsewhere, and its conf.d is another folder.
    let scene = Scene::initialised();
    let etc = scene.path().join("server");
    fs::create_dir(&etc).unwrap();
    fs::remove_file(scene.data().join("postgresql.conf")).unwrap();
    fs::write(etc.join("postgresql.conf"), "port = 5433\ninclude_dir = 'conf.d'  # Debian's\n").unwrap();
    let main = etc.join("postgresql.conf").display().to_string();
    scene.give_to_postgres();
    scene.put("postmaster.opts", &format!("/usr/bin/postgres \"-D\" \"/data\" \"-c\" \"config_file={main}\"\n"));
    let said = scene.setup(&[]).ended(0);
    let text = fs::read_to_string(etc.join("postgresql.conf")).unwrap();
    assert_eq!(text, "port = 5433\ninclude_dir = 'conf.d'  # Debian's\n", "{said:?}");
    let pointer = fs::read_to_string(etc.join("conf.d/pgbackrest.conf")).unwrap();
    let file = scene.data().join("conf.d/pgbackrest.conf");
    assert!(pointer.ends_with(&format!("include_if_exists = '{}'\n", file.display())), "{pointer}");
    assert!(file.exists() && fs::read_to_string(scene.conf()).unwrap().contains("pg1-port=5433\n"));
    assert_eq!(scene.setup(&["--dry-run"]).ended(0).stdout, "");
    // However it is written, once is enough.
    for line in ["include_dir 'conf.d'", "INCLUDE_DIR=conf.d # x", "include_dir = './conf.d/'"] {
        let scene = Scene::initialised();
        scene.put("postgresql.conf", line);
        scene.setup(&[]).ended(0);
        assert_eq!(scene.read("postgresql.conf").as_deref(), Some(line));
    }
    // Root is not led to a place that is not the server's user's.
    let scene = Scene::initialised();
    scene.give_to_postgres();
    fs::create_dir(scene.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(scene.path().join("elsewhere"), scene.data().join("conf.d")).unwrap();
    if rustix::process::geteuid().is_root() {
        scene.setup(&[]).ended(1).says("conf.d is a symbolic link");
        assert!(fs::read_dir(scene.path().join("elsewhere")).unwrap().next().is_none());
    }
    // In any encoding.
    let scene = Scene::initialised();
    fs::write(scene.data().join("postgresql.conf"), b"# gr\xfc\xdfe").unwrap();
    scene.setup(&[]).ended(0);
    let bytes = fs::read(scene.data().join("postgresql.conf")).unwrap();
    assert!(bytes.starts_with(b"# gr\xfc\xdfe\n\n#") && bytes.ends_with(b"\ninclude_dir = 'conf.d'\n"));
    let scene = Scene::initialised();
    scene.put("postgresql.auto.conf", "archive_command = 'cp'\n");
    scene.setup(&[]).ended(0).says("archive_command in").says("postgresql.auto.conf overrides");
}

#[test]
fn what_setup_was_told_reaches_push() {
    let scene = Scene::initialised().without("PGBACKREST_CONFIG").with("WAL_GUARD_STATE_DIR", "/var/lib/it's 100%");
    let conf = scene.path().join("other.conf");
    scene.setup(&["--stanza=prod", "--pgbackrest-config", conf.to_str().unwrap()]).ended(0);
    let server = scene.read("conf.d/pgbackrest.conf").unwrap();
    let push = GUARD.to_owned() + "-push";
    let state = r"--state-dir=''/var/lib/it''\\''''s 100%%''";
    let command = format!("{push} --stanza=prod --pgbackrest-config={} {state} %p", conf.display());
    assert!(server.contains(&format!("archive_command = '{command}'\n")), "{server}\n{command}");
    let text = fs::read_to_string(conf).unwrap();
    assert!(text.contains("\n[prod]\npg1-path=") && !text.contains("exclude=/var"), "{text}");
}
