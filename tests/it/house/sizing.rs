//! The table of docs/sizing.md says what its formula gives.

use std::fs;
use std::path::Path;

fn mebibytes(cell: &str) -> u64 {
    cell.trim().strip_suffix(" MiB").unwrap_or_else(|| panic!("{cell:?}")).parse().unwrap()
}

/// Whole minutes, hours from two on, days from two on, rounded down.
fn words(minutes: u64) -> String {
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

#[test]
fn the_table_of_outages_follows_from_its_formula() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sizing.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(" MiB"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let (head, body) = rows.split_first().unwrap();
    assert!(head.len() >= 5 && body.len() >= 5, "{rows:?}");
    for row in body {
        let rate = mebibytes(row[0]);
        let expected: Vec<String> = head[1..].iter().map(|threshold| words(mebibytes(threshold) * 60 / rate)).collect();
        assert_eq!(row[1..], expected, "{rate} MiB an hour");
    }
}
