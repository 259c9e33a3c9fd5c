//! A restore on an empty volume, asked for by variables.

use crate::container::{BUCKET, KEY, Options, SECRET, Scene};
use crate::engine::Engine;
use crate::say;
use std::fs;

pub(crate) fn restore(engine: &Engine) {
    let scene = Scene::new(engine);
    let origin = scene.start();
    origin.is_well();
    // Each by itself: what is sent in one go is one transaction.
    origin.sql("postgres", "create table kept as select 42 as n");
    origin.sql("postgres", "select pg_create_restore_point('before')");
    origin.sql("postgres", "drop table kept");
    origin.archives("postgres");
    origin.stop();
    drop(origin);

    // The folder above the data directory lasts too, so that a restore that was cut off goes on.
    fs::rename(&scene.volume, scene.lab.path().join("lost")).unwrap();
    fs::create_dir(&scene.volume).unwrap();
    let store = format!("https://{}:{}", scene.s3.host(), scene.s3.port());
    let variables = vec![
        ("WAL_RECOVER_FROM_BUCKET", BUCKET.to_owned()),
        ("WAL_RECOVER_FROM_ENDPOINT", store),
        ("WAL_RECOVER_FROM_REGION", "us-east-1".to_owned()),
        ("WAL_RECOVER_FROM_KEY", KEY.to_owned()),
        ("WAL_RECOVER_FROM_SECRET", SECRET.to_owned()),
        ("WAL_RECOVER_TARGET_NAME", "before".to_owned()),
        ("PGDATA", "/var/lib/postgresql/volume/data".to_owned()),
    ];
    let mount = Some("/var/lib/postgresql/volume");
    let wrong = Options {
        variables: variables.iter().filter(|(name, _)| *name != "WAL_RECOVER_TARGET_NAME").cloned().collect(),
        mount,
        ..Options::default()
    };
    let refused = scene.start_with(&wrong);
    assert_eq!(refused.ended(), "1", "{}", refused.log());
    assert!(refused.log().contains("CMD is not started"), "{}", refused.log());
    drop(refused);
    say("a restore without a target is refused, and no empty cluster is made");
    let restored = scene.start_with(&Options { variables, mount, ..Options::default() });
    restored.is_up("postgres");
    assert_eq!(restored.sql("postgres", "select n from kept"), "42", "{}", restored.log());
    restored.is_well();
    restored.archives("postgres");
    say("restored to a named point on an empty volume; it archives to a path of its own");
}
