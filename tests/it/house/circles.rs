//! No circle among the files of a folder: each is read after those that it needs, and never needs one that needs it.
//!
//! A file and the folder that bears its name are one. What a folder's own page (`mod.rs`, or the file beside the folder) gives
//! out counts as taken from the file where it stands; the page itself may know its files, and they it.

use super::tidy::{Source, outside};
use std::collections::{BTreeMap, BTreeSet};

/// The path of a module, from the crate's root.
type Module = Vec<String>;
/// For each folder: its files, and which of the others each of them needs.
type Folders = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

fn module(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// A text from one of its characters on.
fn behind(text: &str, at: usize) -> &str {
    text.get(at..).unwrap()
}

/// The names that begin the paths behind a `::`: one, or those of a list in braces.
fn names(rest: &str) -> Vec<Vec<String>> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else {
        let mut path = Vec::new();
        let mut rest = rest;
        loop {
            let name = word(rest);
            if name.is_empty() {
                break;
            }
            rest = behind(rest, name.len());
            path.push(name);
            let Some(more) = rest.strip_prefix("::") else { return vec![path] };
            rest = more;
        }
        let nested = if rest.starts_with('{') { names(rest) } else { vec![Vec::new()] };
        return nested.into_iter().map(|last| [path.clone(), last].concat()).collect();
    };
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                found.extend(names(behind(list, start).get(..at - start).unwrap().trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// The paths that a file's code names from the crate's root, `super` resolved.
fn named(source: &Source) -> Vec<Module> {
    let (code, own) = (source.code(), module(&source.path));
    let mut found = Vec::new();
    let is_start = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    for (word, base) in [("crate::", Vec::new()), ("super::", own[..own.len() - 1].to_vec()), ("self::", own.clone())] {
        for (at, _) in code.match_indices(word).filter(|(at, _)| is_start(code.get(..*at).unwrap())) {
            let (mut base, mut rest) = (base.clone(), behind(&code, at + word.len()));
            while let Some(above) = rest.strip_prefix("super::") {
                (rest, _) = (above, base.pop());
            }
            found.extend(names(rest).into_iter().map(|path| [base.clone(), path].concat()));
        }
    }
    found
}

/// What a page gives out from its files: `use file::Name`, in any form.
fn given_out(source: &Source) -> BTreeMap<String, String> {
    let code = source.code();
    let uses = code.match_indices("use ").map(|(at, _)| names(behind(&code, at + 4)));
    let pairs = uses.flatten().filter(|path| path.len() > 1 && !["crate", "super"].contains(&path[0].as_str()));
    pairs.filter_map(|path| Some((path.last()?.clone(), path.first()?.clone()))).collect()
}

fn folders(sources: &[Source]) -> Folders {
    let mut folders = Folders::new();
    for source in sources {
        let mut path = module(&source.path);
        while let Some(name) = path.pop() {
            folders.entry(path.clone()).or_default().entry(name).or_default();
        }
    }
    let pages: BTreeMap<Module, BTreeMap<String, String>> =
        sources.iter().map(|source| (module(&source.path), given_out(source))).collect();
    for source in sources {
        let own = module(&source.path);
        for path in named(source) {
            // The lowest folder that both are in.
            let shared = own.iter().zip(&path).take_while(|(one, other)| one == other).count();
            let (Some(from), Some(to)) = (own.get(shared), path.get(shared)) else { continue };
            let folder = own[..shared].to_vec();
            let given = pages.get(&folder).and_then(|page| page.get(to)).unwrap_or(to).clone();
            let Some(files) = folders.get_mut(&folder).filter(|files| files.contains_key(&given)) else { continue };
            if given != *from {
                files.entry(from.clone()).or_default().insert(given);
            }
        }
    }
    folders
}

/// What is left of a folder when whatever needs nothing that is left is taken away, again and again.
fn circles(mut files: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    while let Some(floor) = files.iter().find(|(_, needs)| needs.is_empty()).map(|(file, _)| file.clone()) {
        files.remove(&floor);
        for needs in files.values_mut() {
            needs.remove(&floor);
        }
    }
    files
}

#[test]
fn no_file_needs_one_of_its_folder_that_needs_it() {
    let folders = folders(&outside(&["src/bin", "src/lib.rs"]));
    let needed: usize = folders.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum();
    assert!(folders.len() > 15 && needed > 300, "{} folders, {needed} needs: {folders:?}", folders.len());
    let round: Vec<_> = folders.into_iter().map(|(folder, files)| (folder, circles(files))).collect();
    let round: Vec<_> = round.into_iter().filter(|(_, files)| !files.is_empty()).collect();
    assert!(round.is_empty(), "in a circle, or above one: {round:#?}");
}

#[test]
fn a_circle_is_found_in_every_form_of_a_path() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let page = source("src/room/mod.rs", "mod a;\nmod b;\nuse b::{self, Thing};\n");
    let a = |text: &str| [source("src/room/a.rs", text), source("src/room/b.rs", "use super::{a::{Other, c}, d};\n")];
    for text in [
        "use super::b;\n",
        "use super::Thing;\n",
        "use crate::room::b::Thing;\n",
        "fn f() { super::b::g() }\n",
        "use super::{b::Thing};\n",
        "use crate::{epoch, room::{b}};\n",
    ] {
        let mut all = a(text).to_vec();
        all.push(page.clone());
        let round = circles(folders(&all).remove(&vec!["room".to_owned()]).unwrap());
        assert_eq!(round.keys().collect::<Vec<_>>(), ["a", "b"], "{text}");
    }
    let mut all = a("use crate::b;\n// use super::b;\nuse other::super_b::b;\n").to_vec();
    all.push(page);
    assert!(circles(folders(&all).remove(&vec!["room".to_owned()]).unwrap()).is_empty());
}
