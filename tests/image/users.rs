//! Who a container runs as, what it may write to, and secrets that lie in files.

use crate::container::{KEY, Options, SECRET, Scene};
use crate::engine::Engine;
use crate::say;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

pub(crate) fn others(engine: &Engine) {
    for uid in [999, 1000] {
        let scene = Scene::new(engine);
        scene.give_volume(uid);
        let user = format!("{uid}:{uid}");
        let container = scene.start_with(&Options { run: vec!["--user", &user], ..Options::default() });
        container.is_well();
        container.archives("postgres");
        say(&format!("as --user {user}: a full backup, status says ok"));
        container.stop();
    }
}

pub(crate) fn read_only(engine: &Engine) {
    let scene = Scene::new(engine);
    let folders = ["/tmp", "/var/run/postgresql", "/etc/pgbackrest", "/var/log/pgbackrest"];
    let mut run = vec!["--read-only"];
    run.extend(folders.iter().flat_map(|folder| ["--tmpfs", folder]));
    let variables = vec![("PGDATA", "/srv/postgres/main".to_owned())];
    let container = scene.start_with(&Options { variables, run, mount: Some("/srv/postgres"), ..Options::default() });
    container.is_well();
    container.archives("postgres");
    assert!(scene.volume.join("main/PG_VERSION").exists());
    say("with a read-only root, four folders in memory and a PGDATA elsewhere: a full backup, status says ok");
}

pub(crate) fn files(engine: &Engine) {
    let scene = Scene::new(engine);
    let folder = scene.lab.path().join("secrets");
    fs::create_dir(&folder).unwrap();
    // As engines lay secrets in: for root alone.
    for (name, text) in [("key", KEY), ("secret", SECRET), ("user", "alice"), ("password", "image-test")] {
        fs::write(folder.join(name), format!("{text}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o400)).unwrap();
    }
    // The hook and `docker exec` may run as somebody else than root; this one is no secret.
    fs::set_permissions(folder.join("user"), fs::Permissions::from_mode(0o444)).unwrap();
    let mount = format!("{}:/run/secrets:ro", folder.display());
    let file = |name: &str| format!("/run/secrets/{name}");
    let variables = vec![
        ("WAL_ARCHIVE_KEY_FILE", file("key")),
        ("WAL_ARCHIVE_SECRET_FILE", file("secret")),
        ("POSTGRES_USER_FILE", file("user")),
        ("POSTGRES_PASSWORD_FILE", file("password")),
    ];
    let options = Options {
        variables,
        without: vec!["WAL_ARCHIVE_KEY", "WAL_ARCHIVE_SECRET", "POSTGRES_PASSWORD"],
        run: vec!["-v", &mount],
        ..Options::default()
    };
    let container = scene.start_with(&options);
    container.is_well();
    container.archives("alice");
    let seen = container.exec(&["sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"]);
    assert!(
        !seen.contains(SECRET) && !container.log().contains(SECRET),
        "the secret is in an environment or in the log"
    );
    // pgBackRest 2.60 refuses root (31).
    let info = container.exec(&["gosu", "postgres", "pgbackrest", "--stanza=main", "info"]);
    assert!(info.contains("full backup"), "{info}\n{}", container.log());
    say("keys, user and password in files: a full backup, status says ok, no secret in any environment");
    container.stop();
    container.again();
    container.archives("alice");
    say("started again: the same");
    container.stop();
    drop(container);
    // Under another role's name than its own, a user without rights in the container does as well.
    let variables = vec![("POSTGRES_USER", "alice".to_owned())];
    let plain = scene.start_with(&Options { variables, ..Options::default() });
    plain.archives("alice");
    plain.is_well();
    say("POSTGRES_USER=alice: docker exec … status asks as alice, and says ok");
}
