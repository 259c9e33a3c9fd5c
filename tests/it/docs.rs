//! docs/configuration.md and the code name the same settings.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use pgbackrest_guard::settings::table;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Whether a text is a variable's name.
fn is_variable(text: &str) -> bool {
    let legal = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    legal && ["WAL_", "PG", "POSTGRES_"].iter().any(|prefix| text.starts_with(prefix))
}

/// The text between every pair of `mark` on a line.
fn between(line: &str, mark: char) -> impl Iterator<Item = &str> {
    line.split(mark).skip(1).step_by(2)
}

/// The variables that are declared.
fn declared() -> BTreeSet<String> {
    table::all().map(|setting| setting.variable.to_owned()).collect()
}

/// The variables that have a row in a table of the page.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(page).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    // A row's first two cells are its flag, if its program has flags, and its variable.
    let heads = rows.flat_map(|row| row.split('|').skip(1).take(2));
    heads.flat_map(|cell| between(cell, '`')).filter(|text| is_variable(text)).map(str::to_owned).collect()
}

#[test]
fn every_setting_has_its_row_and_every_row_its_setting() {
    let (declared, documented) = (declared(), documented());
    let undocumented: Vec<_> = declared.difference(&documented).collect();
    assert!(undocumented.is_empty(), "docs/configuration.md has no row for {undocumented:?}");
    let unknown: Vec<_> = documented.difference(&declared).collect();
    assert!(unknown.is_empty(), "no setting is {unknown:?}, which docs/configuration.md has");
}

#[test]
fn every_flag_has_its_row() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(page).unwrap();
    for program in [env!("CARGO_BIN_EXE_pgbackrest-guard-push"), env!("CARGO_BIN_EXE_pgbackrest-guard-get")] {
        let help = std::process::Command::new(program).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        let flags: Vec<_> = flags.map(|flag| format!("| `--{}`", flag.split(' ').next().unwrap())).collect();
        assert!(flags.len() > 10, "{help}");
        let undocumented: Vec<_> = flags.iter().filter(|flag| !text.contains(flag.as_str())).collect();
        assert!(undocumented.is_empty(), "docs/configuration.md has no row for {undocumented:?} of {program}");
    }
}
