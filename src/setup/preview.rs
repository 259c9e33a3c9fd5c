//! What `--dry-run` shows: a unified diff, without secrets.

use super::change::Change;
use crate::pgbackrest::options;
use similar::TextDiff;
use std::fs;

/// Every change that would be made, as a diff; folders as comments.
pub(super) fn preview<'c>(changes: impl Iterator<Item = &'c Change>) -> String {
    changes.map(one).collect()
}

fn one(change: &Change) -> String {
    let shown = change.path().display().to_string();
    let old = fs::read(change.path()).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match change {
        Change::Folder(_, mode) | Change::FolderOfMode(_, mode) => format!("# folder {shown}, mode {mode:04o}\n"),
        Change::Text(_, new, mode) if old.as_ref() == Some(new) => format!("# owner and mode of {shown}: {mode:04o}\n"),
        Change::Text(_, new, _) => diff(&shown, old.as_deref(), Some(new)),
        Change::Edited(_, new) => diff(&shown, old.as_deref(), Some(&String::from_utf8_lossy(new))),
        Change::Gone(_) => diff(&shown, old.as_deref(), None),
    }
}

fn diff(path: &str, old: Option<&str>, new: Option<&str>) -> String {
    let name = |text: Option<&str>| if text.is_some() { path.to_owned() } else { "/dev/null".to_owned() };
    let (from, to) = (old.unwrap_or_default(), new.unwrap_or_default());
    let (shown_from, shown_to) = (redacted(from, None), redacted(to, Some(from)));
    let diff = TextDiff::from_lines(&shown_from, &shown_to);
    let mut unified = diff.unified_diff();
    let text = unified.header(&name(old), &name(new)).to_string();
    // An empty file that comes or goes has no line to show.
    if text.is_empty() { format!("--- {}\n+++ {}\n", name(old), name(new)) } else { text }
}

/// The text without the values of secret options, those in comments among them; one that differs from the `old` text's is marked as new.
fn redacted(text: &str, old: Option<&str>) -> String {
    let line = |line: &str| {
        let option = |key: &str| key.trim_start_matches(|c: char| c == '#' || c.is_whitespace()).trim_end().to_owned();
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| options::is_secret(&option(key)));
        let is_new = old.is_some_and(|old| !old.lines().any(|other| other == line));
        let mark = if is_new { "<redacted, new>" } else { "<redacted>" };
        key.map_or_else(|| format!("{line}\n"), |key| format!("{key}={mark}\n"))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_a_new_one_is_told_from_an_old() {
        let text = |secret: &str| {
            format!(
                "[global]\n# repo1-s3-token={secret}\nrepo1-s3-key={secret}\nrepo2-cipher-pass = {secret}\nrepo1-path=/a\n"
            )
        };
        let same = diff("f", Some(&text("old-secret")), Some(&(text("old-secret") + "x=1\n")));
        assert!(same.contains("+x=1") && same.contains(" repo1-s3-key=<redacted>\n"), "{same}");
        let new = diff("f", Some(&text("old-secret")), Some(&text("fresh")));
        assert!(new.contains("-repo1-s3-key=<redacted>\n") && new.contains("+repo1-s3-key=<redacted, new>\n"), "{new}");
        for diff in [same, new] {
            assert!(!diff.contains("old-secret") && !diff.contains("fresh"), "{diff}");
        }
    }

    #[test]
    fn a_file_that_goes_is_compared_with_nothing() {
        assert_eq!(diff("/f", Some("a\n"), None), "--- /f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
        assert_eq!(diff("/f", Some(""), None), "--- /f\n+++ /dev/null\n");
        assert_eq!(diff("/f", None, Some("a\n")), "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n");
    }
}
