//! Precedence, bad values, and the data directory.

use super::push::PushFlags;
use super::sources::Origin;
use super::*;
use std::collections::BTreeMap;

#[expect(clippy::disallowed_methods, reason = "a test's own files")]
fn resolve(variables: &[(&str, &str)], file: &str, flags: PushFlags) -> (PushSettings, CommonSettings, Vec<Warning>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    std::fs::write(&path, file).unwrap();
    let mut sources = sources(Some(&path), variables.iter().copied().collect());
    let push = PushSettings::resolve(flags, &mut sources);
    let common = CommonSettings::resolve(CommonFlags::default(), None, &mut sources);
    (push, common, sources.warnings().to_vec())
}

#[test]
fn flag_environment_file_default_in_this_order() {
    let threshold = |push: &PushSettings| push.drop_threshold.as_ref().map(|t| (t.value.bytes() >> 20, t.origin));
    let variable = [("WAL_DROP_THRESHOLD_MB", "7")];
    let flags = || PushFlags { drop_threshold: Some(Mebibytes::new(9)), ..PushFlags::default() };
    let file = "wal_drop_threshold_mb = 8";
    assert_eq!(threshold(&resolve(&variable, file, flags()).0), Some((9, Origin::Flag)));
    assert_eq!(threshold(&resolve(&variable, file, PushFlags::default()).0), Some((7, Origin::Environment)));
    let empty = [("WAL_DROP_THRESHOLD_MB", "")];
    assert_eq!(threshold(&resolve(&empty, file, PushFlags::default()).0), Some((8, Origin::File)));
    assert_eq!(threshold(&resolve(&[], "", PushFlags::default()).0), None);
}

#[test]
fn a_bad_value_costs_one_warning_and_the_default_is_used() {
    for (name, value) in [
        ("WAL_PUSH_TIMEOUT_SECONDS", "0"),
        ("WAL_PUSH_TIMEOUT_SECONDS", "08"),
        ("WAL_DROP_MEASURE", "spool"),
        ("WAL_INSTANT_DROP_CODES", "a b"),
        ("WAL_GUARD_FAST_PATH", "yes"),
        ("WAL_OVERFLOW_DIR", "relative"),
        ("WAL_GUARD_LOG", "loud"),
        ("PGBACKREST_STANZA", "../main"),
        ("PGDATA", "/nowhere"),
    ] {
        let (push, common, warnings) = resolve(&[(name, value)], "", PushFlags::default());
        assert_eq!(warnings.len(), 1, "{name}={value}: {warnings:?}");
        assert!(warnings[0].0.contains(name) && warnings[0].0.contains(value), "{warnings:?}");
        assert_eq!((push.timeout.value.get(), common.stanza.value.as_str()), (120, "main"));
    }
}

#[test]
fn a_file_that_is_not_understood_is_ignored_with_a_warning() {
    for file in ["wal_drop_threshold_mb = ", "wal_drop_treshold_mb = 5", "wal_drop_threshold_mb = 1.5", "[wal]\nx = 1"]
    {
        let (push, _, warnings) = resolve(&[], file, PushFlags::default());
        assert_eq!((push.drop_threshold, warnings.len()), (None, 1), "{file}");
    }
    let missing = sources(Some(Path::new("/nowhere/guard.toml")), Environment::default());
    assert_eq!(missing.warnings().len(), 1);
}

#[test]
fn an_empty_bucket_switches_archiving_off_and_an_unset_one_does_not() {
    let off = |variables: &[(&str, &str)], file| resolve(variables, file, PushFlags::default()).1.archiving_off;
    assert!(off(&[("WAL_ARCHIVE_BUCKET", "")], ""));
    assert!(off(&[], "wal_archive_bucket = ''"));
    assert!(!off(&[], ""));
    assert!(!off(&[("WAL_ARCHIVE_BUCKET", "b")], "wal_archive_bucket = ''"));
}

#[test]
fn a_declared_setting_that_is_set_changes_what_some_program_goes_by() {
    let resolved = |variables: &[(&str, &str)]| {
        let mut sources = Sources::new(variables.iter().copied().collect(), BTreeMap::new(), Vec::new(), None);
        let common = CommonSettings::resolve_as_named(CommonFlags::default(), None, &mut sources);
        let push = PushSettings::resolve(PushFlags::default(), &mut sources);
        let get = GetSettings::resolve(GetFlags::default(), &mut sources);
        let (watch, setup) = (WatchSettings::resolve(&mut sources), SetupSettings::resolve(&mut sources));
        let restore = (
            RestoreSettings::resolve(None, &mut sources),
            ClusterSettings::resolve(&mut sources),
            DrillSettings::resolve(None, &mut sources),
        );
        format!("{common:?} {push:?} {get:?} {watch:?} {setup:?} {restore:?} {:?}", sources.warnings())
    };
    // What an overflow folder may hold means something only where there is one.
    let folder = ("WAL_OVERFLOW_DIR", "/overflow");
    let unset = resolved(&[folder]);
    for setting in table::all().filter(|setting| setting.in_file) {
        let value = if setting.example.is_empty() { "x" } else { setting.example };
        let set = resolved(&[folder, (setting.variable, value)]);
        assert_ne!(set, unset, "nobody reads {}", setting.variable);
        assert!(set.ends_with(" []"), "{set}");
    }
}
