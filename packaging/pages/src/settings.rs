//! The settings as the pages show them: the settings file and the tables of docs/configuration.md.

use pgbackrest_guard::settings::table::{Declaration, Fallback, GROUPS, Group, Kind, Program};
use std::fs;
use std::io;
use std::path::Path;

/// Where the settings file lies in the repository.
const SETTINGS_FILE: &str = "packaging/pgbackrest-guard.toml";
/// Where the page about the settings lies.
const PAGE: &str = "docs/configuration.md";
/// Columns of the settings file.
const COLUMNS: usize = 118;

/// What holds for every setting; paragraphs.
pub(crate) const ABOUT: &[&str] = &[
    "Settings of pgbackrest-guard-push, pgbackrest-guard-get and pgbackrest-guard. None is required.",
    "Each is shown with its default, or with an example if it has no fixed default. A flag on the command line takes \
     precedence over an environment variable, which takes precedence over this file. The variable's name is the key in \
     capitals. A bad value causes one warning, and the default is used. Settings here apply to every cluster on this machine; \
     for a single cluster, set the variable in /etc/postgresql/VERSION/CLUSTER/environment, which both its server and its \
     service read.",
    "Sizes are in MiB, times in seconds, unless the name says hours.",
];

/// Writes both again, in place.
#[expect(clippy::disallowed_methods, reason = "they are in version control, and made by hand")]
pub(crate) fn write(repository: &Path) -> io::Result<()> {
    fs::write(repository.join(SETTINGS_FILE), settings_file())?;
    let page = fs::read_to_string(repository.join(PAGE))?;
    fs::write(repository.join(PAGE), filled(&page))
}

/// The settings file, every setting commented.
fn settings_file() -> String {
    let about = ABOUT.iter().map(|paragraph| comment(paragraph)).collect::<Vec<_>>().join("#\n");
    about + &GROUPS.iter().map(|group| part(group)).collect::<String>()
}

fn part(group: &Group) -> String {
    let line = "-".repeat(COLUMNS.saturating_sub(7 + group.heading.len()));
    let note = if group.note.is_empty() { String::new() } else { format!("\n{}", comment(&plain(group.note))) };
    let settings = group.settings.iter().filter(|setting| setting.in_file);
    let settings = settings.map(|setting| format!("\n{}#{}\n", comment(&explained(setting, group)), shown(setting)));
    format!("\n# --- {} {line}\n{note}{}", group.heading, settings.collect::<String>())
}

/// A setting in plain words, for where its value stands beside it.
pub(crate) fn explained(setting: &Declaration, group: &Group) -> String {
    let meaning = plain(&meaning(setting, group));
    match setting.default {
        Fallback::Words(words) => format!("{meaning} Default: {words}."),
        Fallback::Value(_) | Fallback::Unset => meaning,
    }
}

/// A setting's line: its default where that is a constant, else an example.
pub(crate) fn shown(setting: &Declaration) -> String {
    let value = match setting.default {
        _ if setting.secret => "…",
        Fallback::Value(value) => value,
        Fallback::Words(_) | Fallback::Unset => setting.example,
    };
    let value = match setting.kind {
        Kind::Switch => (value == "1").to_string(),
        Kind::Mebibytes
        | Kind::Seconds
        | Kind::Hours
        | Kind::TimeLimit
        | Kind::Number { .. }
        | Kind::Repository
        | Kind::Port => value.to_owned(),
        _ => format!("\"{value}\""),
    };
    format!("{} = {value}", setting.key())
}

/// The page with every table between its markers rewritten: `<!-- settings: NAME -->` and `<!-- /settings -->`.
fn filled(page: &str) -> String {
    GROUPS.iter().fold(page.to_owned(), |page, group| {
        let (begin, end) = (format!("<!-- settings: {} -->\n", group.name), "<!-- /settings -->\n");
        let Some((before, rest)) = page.split_once(&begin) else {
            return format!("{page}\n{begin}{end}");
        };
        let after = rest.split_once(end).map_or("", |(_, after)| after);
        format!("{before}{begin}\n{}\n{end}{after}", table(group))
    })
}

/// What stands in a column.
type Cell = fn(&Declaration, &Group) -> String;

/// One row a setting; a column that nothing stands in is left out.
fn table(group: &Group) -> String {
    let columns: [(&str, Cell); 6] = [
        ("flag", |setting, _| setting.flag.map_or_else(String::new, |flag| format!("`--{flag}`"))),
        ("variable", |setting, _| format!("`{}`", setting.variable)),
        ("default", |setting, _| match setting.default {
            Fallback::Value(value) => format!("`{value}`"),
            Fallback::Words(words) => words.to_owned(),
            Fallback::Unset => "none".to_owned(),
        }),
        ("unit", |setting, _| setting.kind.unit().to_owned()),
        ("meaning", meaning),
        (
            "example",
            |setting, _| {
                if setting.example.is_empty() { String::new() } else { format!("`{}`", setting.example) }
            },
        ),
    ];
    let is_used = |cell: Cell| group.settings.iter().any(|s| !cell(s, group).is_empty());
    let columns: Vec<_> = columns.into_iter().filter(|(_, cell)| is_used(*cell)).collect();
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = row(columns.iter().map(|(name, _)| (*name).to_owned()).collect());
    let rows = group.settings.iter().map(|setting| row(columns.iter().map(|(_, cell)| cell(setting, group)).collect()));
    let text = format!("{head}{}|\n{}", "|---".repeat(columns.len()), rows.collect::<String>());
    text.replace("|  |", "| |")
}

/// What a setting means, in Markdown.
fn meaning(setting: &Declaration, group: &Group) -> String {
    let range = match setting.kind {
        Kind::TimeLimit => ", not `0`".to_owned(),
        Kind::Number { least, most, .. } => format!(", `{least}` to `{most}`"),
        Kind::Choice { words, .. } => format!(": {}", listed(words.iter().map(|word| format!("`{word}`")), "or")),
        _ => String::new(),
    };
    let note = match setting.kind {
        _ if setting.secret => "A secret.",
        Kind::AbsoluteFile | Kind::AbsoluteFolder => "An absolute path.",
        _ => "",
    };
    let head = format!("{}{range}.", setting.help);
    let sentences = [head, note.to_owned(), setting.more.to_owned(), readers(setting, group)];
    sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Who reads a setting, where those are not just the readers of its group.
fn readers(setting: &Declaration, group: &Group) -> String {
    let names = |these: &[Program], without: &[Program]| {
        let names = these.iter().filter(|program| !without.contains(program)).map(|program| program.name().to_owned());
        listed(names, "and")
    };
    let (more, fewer) = (names(setting.users, group.users), names(group.users, setting.users));
    match (more.as_str(), fewer.as_str()) {
        ("", "") => String::new(),
        (more, "") => format!("Also read by {more}."),
        ("", fewer) => format!("Not read by {fewer}."),
        (_, _) => format!("Read by {}.", names(setting.users, &[])),
    }
}

/// `a, b and c`.
fn listed(items: impl Iterator<Item = String>, word: &str) -> String {
    let items: Vec<_> = items.collect();
    match items.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} {word} {last}", before.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// The text without Markdown: no backticks, and of a link its words.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (words, after))) = rest.split_once('[').and_then(|(before, link)| {
        let (words, target) = link.split_once("](")?;
        Some((before, (words, target.split_once(')')?.1)))
    }) {
        plain.push_str(before);
        plain.push_str(words);
        rest = after;
    }
    plain.push_str(rest);
    plain.replace('`', "")
}

/// A comment, broken into lines.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_say_what_the_table_of_settings_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        for (path, made) in [(SETTINGS_FILE, settings_file()), (PAGE, filled(&page))] {
            let committed = fs::read_to_string(root.join(path)).unwrap();
            assert!(committed == made, "{path} is not what src/settings/table says: run `make pages`");
        }
    }

    #[test]
    fn a_text_without_markdown() {
        assert_eq!(plain("Run `a_b`, see [the page](page.md). [x]"), "Run a_b, see the page. [x]");
        assert_eq!(comment(&"word ".repeat(30)).lines().count(), 2);
    }
}
