//! The fenced blocks of docs/, which are run as they stand there.
//!
//! A block that a shell or psql could run says in its first line either `run=SCENE` or `not-run="why"`. A scene's blocks are
//! run from top to bottom on a real cluster (`live/docs.rs`). What happens around them stands in comments, which a
//! reader of the rendered page does not see: `<!-- SCENE: revoke-key -->` changes the laboratory, and
//! `<!-- SCENE expects: text -->` holds the block above it to what the page claims.

use std::fs;
use std::path::{Path, PathBuf};

/// One thing of a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// For a shell.
    Shell(String),
    /// For psql.
    Sql(String),
    /// The latest block's output, or the server's log soon, contains this.
    Expect(String),
    /// A change of the laboratory, by its name.
    Lab(String),
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    language: String,
    /// What stands behind the language.
    mark: String,
    text: String,
}

enum Part {
    Block(Block),
    Comment(String),
}

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths
}

fn parts(page: &Path) -> Vec<Part> {
    let text = fs::read_to_string(page).unwrap();
    let mut lines = text.lines();
    let mut parts = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
            let inside: Vec<_> = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            let text = inside.join("\n");
            parts.push(Part::Block(Block { language: language.to_owned(), mark: mark.to_owned(), text }));
        } else if let Some(comment) = line.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            parts.push(Part::Comment(comment.to_owned()));
        }
    }
    parts
}

/// The steps of a scene, in the order of the page.
pub(crate) fn scene(page: &str, name: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let steps = parts(&path).into_iter().filter_map(|part| step(part, name));
    let steps: Vec<Step> = steps.collect();
    assert!(steps.iter().any(|step| matches!(step, Step::Shell(_))), "docs/{page} has no block of the scene {name}");
    steps
}

fn step(part: Part, scene: &str) -> Option<Step> {
    match part {
        Part::Block(block) if block.mark == format!("run={scene}") => match block.language.as_str() {
            "sql" => Some(Step::Sql(block.text)),
            _ => Some(Step::Shell(block.text)),
        },
        Part::Block(_) => None,
        Part::Comment(comment) => {
            let rest = comment.strip_prefix(scene)?;
            let change = rest.strip_prefix(": ").map(|what| Step::Lab(what.to_owned()));
            change.or_else(|| rest.strip_prefix(" expects: ").map(|text| Step::Expect(text.to_owned())))
        }
    }
}

#[test]
fn every_block_that_can_be_run_is_run_or_says_why_not() {
    let known = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/live/docs.rs")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for part in parts(&page) {
            let Part::Block(Block { language, mark, text }) = part else { continue };
            let why = mark.strip_prefix("not-run=\"").and_then(|rest| rest.strip_suffix('"'));
            if let Some(scene) = mark.strip_prefix("run=") {
                let call = format!("(\"{name}\", \"{scene}\")");
                assert!(known.contains(&call), "docs/{name}: no test plays the scene {scene}");
            } else if ["", "sh", "bash", "shell", "console", "sql"].contains(&language.as_str()) {
                assert!(
                    why.is_some_and(|why| why.len() > 10),
                    "docs/{name}: neither run nor excused: ```{language}\n{text}"
                );
            }
        }
    }
}

#[test]
fn no_command_hides_in_an_indented_block() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            let words = line.strip_prefix("    ").unwrap_or_default();
            let is_command = ["pgbackrest ", "pgbackrest-guard ", "sudo ", "psql ", "make ", "systemctl "];
            let hides = !fenced && is_command.iter().any(|start| words.starts_with(start));
            assert!(!hides, "{}: a command outside of a fenced block: {line}", page.display());
        }
    }
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut fenced = false;
    let headings = text.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// The targets of a page's links and pictures.
fn links(text: &str) -> Vec<&str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let pictures = ["src=\"", "srcset=\""].into_iter();
    let pictures = pictures.flat_map(|mark| text.split(mark).skip(1).filter_map(|rest| rest.split('"').next()));
    inline.chain(pictures).collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    for page in pages().into_iter().chain(others.map(|name| root.join(name))) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: the link to {link} leads nowhere", page.display());
            let there = anchor.is_empty() || anchors(&target).iter().any(|known| known == anchor);
            assert!(there, "{}: {link} names no heading of that page: {:?}", page.display(), anchors(&target));
        }
    }
}

/// A link out of docs/ works in the repository and is dead in the book and in the packages.
#[test]
fn links_of_the_pages_stay_in_the_book() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let out: Vec<_> = links(&text).into_iter().filter(|link| link.starts_with("../")).collect();
        assert!(out.is_empty(), "{}: {out:?} lie outside of docs/", page.display());
    }
}

#[test]
fn the_book_has_every_page() {
    let summary = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SUMMARY.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let named = summary.matches(&format!("]({name})")).count();
        assert_eq!(named, usize::from(name != "SUMMARY.md"), "docs/SUMMARY.md and {name}");
    }
}
