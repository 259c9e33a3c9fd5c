//! The prose of the pages is at most 100 columns wide, so that a change to it shows as the lines that it changes.
//!
//! Tables, code, comments and HTML can't be broken, and neither can a word.

use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS: usize = 100;

/// Whether a line has no place to break it: one word, behind the mark of a list or alone.
fn is_one_word(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let is_mark = matches!(first, "-" | "*" | "+") || first.trim_end_matches('.').parse::<u32>().is_ok();
    words.count() <= usize::from(is_mark)
}

/// The lines of prose that are too wide, by their numbers.
fn too_wide(page: &str) -> Vec<usize> {
    let (mut fenced, mut indented, mut was_blank) = (false, false, true);
    let mut wide = Vec::new();
    for (at, line) in page.lines().enumerate() {
        let text = line.trim_start();
        let is_fence = text.starts_with("```");
        indented = line.starts_with("    ") && (indented || was_blank);
        was_blank = text.is_empty();
        let is_prose = !fenced && !is_fence && !indented && !text.starts_with(['|', '<']);
        fenced ^= is_fence;
        if is_prose && line.chars().count() > COLUMNS && !is_one_word(text) {
            wide.push(at + 1);
        }
    }
    wide
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn the_prose_of_the_pages_is_at_most_100_columns_wide() {
    let pages = pages();
    assert!(pages.len() > 30, "{pages:?}");
    let wide = pages.iter().map(|page| (page, too_wide(&fs::read_to_string(page).unwrap())));
    let wide: Vec<_> = wide.filter(|(_, lines)| !lines.is_empty()).collect();
    assert!(wide.is_empty(), "lines over {COLUMNS} columns: {wide:#?}");
}

#[test]
fn wide_prose_is_found_and_what_can_not_be_broken_is_left() {
    let wide = "é ".repeat(COLUMNS);
    let prose = [String::new(), "- ".into(), "  ".into(), "# ".into(), "> ".into(), "a\n    ".into(), "12. ".into()];
    for start in prose {
        assert_eq!(too_wide(&format!("{start}{wide}")).len(), 1, "{start}");
    }
    let url = format!("https://{}", "x".repeat(COLUMNS));
    for kept in [
        format!("```text\n{wide}\n```"),
        format!("- a\n  ```sh\n  {wide}\n  ```"),
        format!("a\n\n    b\n    {wide}"),
        format!("| {wide} |"),
        format!("<!-- {wide} -->"),
        format!("- {url}"),
        url,
        "é".repeat(COLUMNS),
    ] {
        assert_eq!(too_wide(&kept), [0_usize; 0], "{kept}");
    }
}
