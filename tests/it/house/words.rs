//! Words that a user does not see again: quaint ones, and those that took a second reading. Plain ones stand in their place
//! (fix, was, is to, again, none such, would not help, could not be queried).

use super::tidy::{Source, outside};
use std::fs;
use std::path::{Path, PathBuf};

/// Words, as whole words.
const WORDS: [&str; 7] = ["mend", "mends", "mended", "told", "shall", "anew", "whilst"];
/// Phrases, wherever they stand.
const PHRASES: [&str; 4] = ["of no use", "could not be asked", "can't be asked", "could not be told"];

/// Where pages, and what is packaged with them, lie.
const FOLDERS: [&str; 11] = [
    "docs",
    "packaging",
    "packaging/compose",
    "packaging/debian",
    "packaging/docker",
    "packaging/kubernetes",
    "packaging/monitoring",
    "packaging/pages/src",
    "packaging/postgresql",
    "packaging/rpm",
    "packaging/systemd",
];

/// The first retired word in a text.
fn retired(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    if let Some(word) = words.find(|word| WORDS.contains(word)) {
        return Some(word.to_owned());
    }
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let phrase = PHRASES.iter().find(|phrase| plain.contains(*phrase)).map(|phrase| (*phrase).to_owned());
    let is_none = || {
        plain.match_indices("is none").any(|(at, _)| !plain.get(..at).unwrap_or_default().trim_end().ends_with("there"))
    };
    phrase.or_else(|| is_none().then(|| "is none".to_owned()))
}

/// What stands between quotes in a program's text.
fn literals(code: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let code = code.replace("'\"'", "").replace("'\\\"'", "");
    let mut characters = code.chars();
    while characters.by_ref().any(|c| c == '"') {
        let mut literal = String::new();
        while let Some(c) = characters.next().filter(|c| *c != '"') {
            match c {
                // What is escaped ends no literal, and is no letter of a word.
                '\\' => literal.push(characters.next().map_or(' ', |escaped| if escaped == '"' { '"' } else { ' ' })),
                _ => literal.push(c),
            }
        }
        literals.push(literal);
    }
    literals
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "Cargo.toml", "Makefile"]
            .map(|name| root.join(name))
            .into();
    for folder in FOLDERS {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(files.filter(|path| path.is_file() && !path.ends_with("copyright")));
    }
    paths
}

#[test]
fn no_retired_word_is_said_to_a_user() {
    // A unit's or another program's own words are not ours.
    let speaks = |source: &Source| !source.path.starts_with("src/bin/");
    for source in outside(&[]).into_iter().filter(speaks) {
        for literal in literals(&source.code()) {
            assert_eq!(retired(&literal), None, "{}: \"{literal}\"", source.path);
        }
    }
    // The help of the command lines comes from doc comments.
    for source in outside(&[]).into_iter().filter(|source| source.path.starts_with("src/cli/")) {
        for line in source.text.lines().filter_map(|line| line.trim_start().strip_prefix("/// ")) {
            assert_eq!(retired(line), None, "{}: {line}", source.path);
        }
    }
}

#[test]
fn no_retired_word_stands_in_the_pages() {
    for path in pages() {
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            assert_eq!(retired(line), None, "{}: {line}", path.display());
        }
    }
}

#[test]
fn retired_words_are_found_as_words_and_in_literals_alone() {
    assert_eq!(retired("We recommend it; there is none."), None);
    assert_eq!(retired("It was Told so").as_deref(), Some("told"));
    assert_eq!(retired("a name that  is none").as_deref(), Some("is none"));
    let code = "let told = '\"'; say(\"one \\\"two\\\" three\"); let mend = \"four \\\n    five\";";
    assert_eq!(literals(code), ["one \"two\" three", "four      five"]);
}
