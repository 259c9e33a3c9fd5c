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

/// A unit that is left running or enabled when its file is gone fails at every boot.
#[test]
fn a_removal_stops_and_disables_every_unit() {
    for (units, stops, disables) in [
        ("packaging/systemd", "packaging/debian/prerm", "packaging/debian/postrm"),
        ("packaging/rpm", "packaging/rpm/pre-uninstall.sh", "packaging/rpm/post-uninstall.sh"),
    ] {
        let (stops, disables) = [stops, disables].map(|path| fs::read_to_string(in_repository(path)).unwrap()).into();
        let files = fs::read_dir(in_repository(units)).unwrap().map(|entry| entry.unwrap().path());
        let is_unit = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "service" || kind == "timer");
        for path in files.filter(is_unit) {
            let name = path.file_name().unwrap().to_string_lossy().replace('@', "@*");
            assert!(stops.contains(&format!("'{name}'")), "{units}: nobody stops {name}");
            let text = fs::read_to_string(&path).unwrap();
            if let Some(target) = text.lines().find_map(|line| line.strip_prefix("WantedBy=")) {
                let link = format!("/etc/systemd/system/{target}.wants/{name}");
                assert!(disables.contains(&link), "{units}: nobody removes {link}");
            }
        }
    }
}
