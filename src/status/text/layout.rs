//! Lines of a terminal: flowing text, rows, colours.

use crate::verdict::Verdict;
use std::fmt::Write as _;

/// The narrowest terminal that lines are laid out for.
const NARROWEST: usize = 40;
/// The widest: longer lines are hard to follow.
const WIDEST: usize = 300;
/// Columns of a row's name.
const NAME: usize = 15;

/// How the text is to look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    width: usize,
    /// Whether only ASCII is used.
    pub(super) ascii: bool,
    colour: bool,
}

impl Style {
    /// For a terminal of so many columns.
    #[must_use]
    pub fn new(columns: usize, ascii: bool, colour: bool) -> Self {
        Self { width: columns.clamp(NARROWEST, WIDEST), ascii, colour }
    }

    /// Columns.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Text in a verdict's colour.
    pub(super) fn judged(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Ok => "1;32",
            Verdict::Warning => "1;33",
            Verdict::Critical => "1;31",
            Verdict::Unknown => "1;35",
        };
        self.painted(code, text)
    }

    /// A heading.
    pub(super) fn heading(&self, text: &str) -> String {
        self.painted("1", text)
    }

    /// Text in a colour of ECMA-48.
    pub(super) fn painted(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Writes `text`, broken between words; its first line begins with `first`, the others with `rest` blanks.
pub(super) fn flow(out: &mut String, style: &Style, first: &str, rest: usize, text: &str) {
    let (mut line, mut used) = (first.to_owned(), first.chars().count());
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !is_empty && used + 1 + length > style.width {
            let _ = writeln!(out, "{}", line.trim_end());
            (line, used, is_empty) = (" ".repeat(rest), rest, true);
        }
        if !is_empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
        is_empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// Writes a named row.
pub(super) fn row(out: &mut String, style: &Style, name: &str, value: &str) {
    flow(out, style, &format!("  {name:<NAME$} "), NAME + 3, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_and_lines_short() {
        let style = Style::new(0, true, false);
        let mut out = String::new();
        flow(&mut out, &style, "  ", 4, "one two three four five six seven eight nine ten");
        assert_eq!(out, "  one two three four five six seven\n    eight nine ten\n");
        out.clear();
        flow(&mut out, &style, "  name ", 7, &format!("{} x", "y".repeat(60)));
        assert_eq!(out, format!("  name {}\n       x\n", "y".repeat(60)), "a long word is not broken");
    }

    #[test]
    fn colours_are_only_there_where_they_are_wanted() {
        assert_eq!(Style::new(80, true, false).judged(Verdict::Ok, "OK"), "OK");
        assert_eq!(Style::new(80, true, true).judged(Verdict::Ok, "OK"), "\u{1b}[1;32mOK\u{1b}[0m");
    }
}
