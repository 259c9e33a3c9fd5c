//! The house rules that neither the compiler nor clippy keeps, read from the repository's own sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, by its path in the repository.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The text up to its unit tests, without comments.
    pub(super) fn code(&self) -> String {
        let before_tests = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The sources under these folders of the repository.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
    };
    paths.into_iter().map(read).collect()
}

/// Fails with the paths for which `is_wrong`.
fn none_of(sources: &[Source], rule: &str, is_wrong: impl Fn(&Source) -> bool) {
    assert!(!sources.is_empty(), "no sources for: {rule}");
    let wrong: Vec<_> = sources.iter().filter(|source| is_wrong(source)).map(|source| &source.path).collect();
    assert!(wrong.is_empty(), "{rule}: {wrong:?}");
}

/// The sources of `src` outside these places, and without unit tests that lie in files of their own.
pub(super) fn outside(places: &[&str]) -> Vec<Source> {
    let mut sources = sources(&["src"]);
    sources.retain(|source| !source.path.ends_with("tests.rs"));
    sources.retain(|source| !places.iter().any(|place| source.path.starts_with(place)));
    sources
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let all = sources(&["src", "tests"]);
    none_of(&all, "a file begins with //!", |source| !source.text.starts_with("//! "));
    none_of(&all, "a file has at most 400 lines", |source| source.text.lines().count() > 400);
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    let mut all = sources(&["src", "tests"]);
    all.retain(|source| source.path != "tests/it/house/tidy.rs");
    for word in ["todo!", "unimplemented!", "#[allow(", "#![allow(", "#[ignore", "TODO", "FIXME"] {
        none_of(&all, &format!("no {word}"), |source| source.text.contains(word));
    }
}

#[test]
fn decisions_know_nothing_of_the_world() {
    let mut decide = sources(&["src/decide"]);
    decide.retain(|source| !source.path.ends_with("tests.rs"));
    let world =
        ["std::fs", "std::process", "std::env", "std::io", "SystemTime", "Instant::", "time::Instant", "tracing::"];
    for word in world {
        none_of(&decide, &format!("src/decide has no {word}"), |source| source.code().contains(word));
    }
}

#[test]
fn the_world_comes_in_by_one_door_each() {
    let calls = |source: &Source| source.code().contains("Command::new");
    let starters = [
        "src/pgbackrest/call.rs",
        "src/supervisor/start.rs",
        "src/check/programs.rs",
        "src/restore/server.rs",
        "src/drill/process.rs",
        "src/watch/driller.rs",
        "src/errand.rs",
    ];
    none_of(&outside(&starters), "only these start programs", calls);
    let environment = |source: &Source| source.code().contains("env::var");
    // The checkpoint's variable is a test's switch, no setting.
    none_of(&outside(&["src/settings", "src/checkpoint.rs"]), "only settings reads the environment", environment);
    let raw = |source: &Source| source.code().contains("fs::write(");
    none_of(&outside(&[]), "nothing is written but by durable.rs", raw);
    let exits = |source: &Source| source.code().contains("process::exit");
    none_of(&outside(&["src/exit.rs"]), "only main ends the process", exits);
}

#[test]
fn pgbackrests_files_are_known_to_one_module() {
    let elsewhere = outside(&["src/pgbackrest"]);
    for word in ["global.error", "all.stop", ".stop\"", "-archive.lock", ".lock\"", "/out\"", "archive-push:async"] {
        let names = |source: &Source| source.path != "src/ledger/mod.rs" && source.code().contains(word);
        none_of(&elsewhere, &format!("only src/pgbackrest names {word}"), names);
    }
}

#[test]
fn the_state_folder_is_named_once() {
    let names = |source: &Source| source.code().contains("\".pgbackrest_guard\"");
    none_of(&outside(&["src/data_directory.rs"]), "only src/data_directory.rs names the state folder", names);
}

#[test]
fn pgbackrest_has_one_face() {
    // What it prints becomes a typed answer without secrets before anybody else sees it.
    let elsewhere = outside(&["src/pgbackrest"]);
    for word in
        ["pgbackrest::output", "pgbackrest::run", "pgbackrest::spool", "diagnosis::", "archive-push\"", "repo-ls"]
    {
        let config = |source: &Source| {
            source
                .code()
                .replace("option(\"archive-push\"", "")
                .replace("lock_path(\"archive-push\"", "")
                .contains(word)
        };
        none_of(&elsewhere, &format!("only src/pgbackrest has {word}"), config);
    }
    for module in ["ledger", "decide", "settings", "log", "push", "get", "watch", "status", "setup"] {
        let knows = |source: &Source| source.code().contains(&format!("crate::{module}::"));
        none_of(&sources(&["src/pgbackrest"]), &format!("src/pgbackrest knows nothing of {module}"), knows);
    }
}

/// A module of the top level, and those that its code names, by `crate::`.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in outside(&["src/bin", "src/lib.rs"]) {
        let room = source.path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        let code = source.code();
        let rests = code.split("crate::").skip(1);
        let names = rests.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned());
        rooms.entry(room.clone()).or_default().extend(names.filter(|name| *name != room));
    }
    let known: BTreeSet<String> = rooms.keys().cloned().collect();
    for names in rooms.values_mut() {
        names.retain(|name| known.contains(name));
    }
    rooms
}

#[test]
fn no_module_needs_one_that_needs_it() {
    let mut rooms = rooms();
    assert!(rooms.len() > 15, "{rooms:?}");
    // Take away what needs nothing that is left, floor by floor; a circle stays.
    while let Some(floor) = rooms.iter().find(|(_, needs)| needs.is_empty()).map(|(room, _)| room.clone()) {
        rooms.remove(&floor);
        for needs in rooms.values_mut() {
            needs.remove(&floor);
        }
    }
    assert!(rooms.is_empty(), "in a circle, or above one: {rooms:#?}");
}

#[test]
fn what_is_written_once_is_not_written_again() {
    for (word, place) in [
        ("pgbackrest_backup_state\"", "src/backup_state.rs"),
        ("LongPageHeader::parse", "src/wal/"),
        (".duration_since(UNIX_EPOCH).ok", "src/epoch.rs"),
    ] {
        none_of(&outside(&[place]), &format!("only {place} has {word}"), |source| source.code().contains(word));
    }
}

#[test]
fn the_watchers_parts_own_what_they_remember() {
    // A part is given what it needs; only the page and what it is split into know the whole watcher.
    let mut parts = sources(&["src/watch"]);
    parts.retain(|source| !["mod.rs", "observe.rs", "act.rs"].iter().any(|page| source.path.ends_with(page)));
    none_of(&parts, "no part of src/watch knows Watcher", |source| source.code().contains("Watcher"));
}

#[test]
fn push_talks_to_no_server() {
    let mut push = sources(&["src"]);
    push.retain(|source| source.path.starts_with("src/push") || source.path == "src/cli/push.rs");
    for word in ["postgres::", "use postgres", "std::thread", "TcpStream"] {
        none_of(&push, &format!("push has no {word}"), |source| source.code().contains(word));
    }
}

#[test]
fn a_program_is_a_few_lines() {
    none_of(&sources(&["src/bin"]), "a program has at most 8 lines", |source| source.text.lines().count() > 8);
}

#[test]
fn the_pages_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.chain(["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"].map(|page| root.join(page)));
    let ours = |name: &&str| {
        // pgBackRest's and PostgreSQL's sources are C.
        let is_ours = ["src/", "tests/", "benches/", "packaging/"].iter().any(|folder| name.starts_with(folder));
        let is_c = Path::new(name).extension().is_some_and(|extension| extension == "c" || extension == "h");
        is_ours && !is_c && !name.contains([' ', '*', '{', '<'])
    };
    let mut named = 0;
    let mut missing = Vec::new();
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for name in text.split('`').filter(ours) {
            named += 1;
            if !root.join(name).exists() {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(named > 20 && missing.is_empty(), "{named} named; missing: {missing:?}");
}
