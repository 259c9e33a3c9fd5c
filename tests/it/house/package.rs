//! What the package carries says the same as the code.

use pgbackrest_guard::settings::{self, CommonFlags, CommonSettings, Environment, GetFlags, GetSettings, Seconds};
use pgbackrest_guard::settings::{PushFlags, PushSettings, SetupSettings, WatchSettings};
use std::fs;
use std::path::{Path, PathBuf};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The lines of the settings file that are settings, without their `#`.
fn commented_settings() -> Vec<String> {
    let text = fs::read_to_string(in_repository("packaging/pgbackrest-guard.toml")).unwrap();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "every setting is commented");
    text.lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_settings_file_is_good_when_everything_is_uncommented() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, commented_settings().join("\n")).unwrap();
    let mut sources = settings::sources(Some(&file), Environment::default());
    let flags = CommonFlags { pgdata: Some(folder.path().to_owned()), ..CommonFlags::default() };
    let common = CommonSettings::resolve(flags, None, &mut sources);
    let push = PushSettings::resolve(PushFlags::default(), &mut sources);
    let get = GetSettings::resolve(GetFlags::default(), &mut sources);
    let watch = WatchSettings::resolve(&mut sources);
    let _setup = SetupSettings::resolve(&mut sources);
    assert_eq!(sources.warnings(), []);
    assert_eq!(common.pgbackrest_config.unwrap().value, Path::new("/etc/pgbackrest.conf"));
    assert_eq!(push.overflow.unwrap().folder, Path::new("/mnt/spare/wal"));
    assert_eq!(get.retry.value, Seconds::new(300));
    assert!(watch.metrics.is_some() && watch.heartbeat);
}

#[test]
fn the_packages_changelog_begins_with_this_version() {
    let text = fs::read_to_string(in_repository("packaging/debian/changelog")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.starts_with(&format!("pgbackrest-guard ({version}-1) ")), "{text}");
}
