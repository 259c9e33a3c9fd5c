//! The holes of a restore, which docs/restore.md lists by numbers: each has a test that names its number.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), found);
        } else if entry.path().extension().is_some_and(|name| name == "rs") {
            found.push(entry.path());
        }
    }
}

/// The numbers behind an `R` that come before `end`.
fn numbers(text: &str, begin: &str, end: char) -> BTreeSet<u32> {
    let number = |part: &str| part.split_once(end).and_then(|(number, _)| number.parse().ok());
    text.split(begin).skip(1).filter_map(number).collect()
}

#[test]
fn each_hole_of_a_restore_has_a_test_that_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/restore.md")).unwrap();
    let listed = numbers(&page, "\n| R", ' ');
    let mut files = Vec::new();
    for folder in ["src", "tests/it"] {
        sources(&root.join(folder), &mut files);
    }
    let comments = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().filter(|line| line.trim_start().starts_with("///")).map(str::to_owned).collect::<Vec<_>>()
    });
    let named: BTreeSet<u32> = comments.flat_map(|line| numbers(&line, " R", ':')).collect();
    assert!(listed.len() >= 13, "{listed:?}");
    assert_eq!(named, listed);
}
