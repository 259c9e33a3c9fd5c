//! The manual pages: one a program, one a task of `pgbackrest-guard`, and one for the settings file.

use crate::settings;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use pgbackrest_guard::settings::table::{self, Declaration, GROUPS, Program};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// What an exit code of each program means, for what `--help` has no room.
const EXIT_STATUS: &[(&str, &[(&str, &str)])] = &[
    ("pgbackrest-guard", &[("0", "Done."), ("1", "Failed."), ("2", "The command line is wrong.")]),
    (
        "pgbackrest-guard-push",
        &[
            ("0", "The file is in every repository, or it was dropped and that is on record."),
            ("2", "The command line is wrong, or the name is not a WAL file's."),
            ("63", "pgBackRest was ended, by a signal or because the server was shutting down."),
            ("82", "pgBackRest took too long."),
            (
                "1 to 125",
                "Not stored: PostgreSQL keeps the file and tries again. The code is pgBackRest's own if it has one.",
            ),
        ],
    ),
    (
        "pgbackrest-guard-get",
        &[
            ("0", "The file is restored."),
            ("1", "The file is in no repository, and every repository said so."),
            (
                "2 to 125",
                "On a standby: the repository could not be queried. The server goes on streaming and asks again.",
            ),
            ("143", "It was ended by SIGTERM."),
            ("254", "In a recovery: the repository could not be queried. The server stops instead of being promoted."),
        ],
    ),
    (
        "pgbackrest-guard-status",
        &[
            ("0", "A report was made, whatever it contains."),
            ("1", "The report could not be written."),
            ("2", "The command line is wrong."),
            ("0, 1, 2", "With --at: the moment can be restored, can't be restored, or this is not known."),
            ("0, 1, 2, 3", "With --output=nagios: ok, warning, critical, unknown."),
        ],
    ),
    (
        "pgbackrest-guard-watch",
        &[
            ("0", "SIGTERM ended it, archiving is switched off, or --once is done."),
            ("1", "Failed."),
            ("2", "The command line is wrong, or there is no data directory."),
        ],
    ),
    ("pgbackrest-guard-setup", &[("0", "Done."), ("1", "Failed."), ("2", "The command line is wrong.")]),
    (
        "pgbackrest-guard-restore",
        &[
            ("0", "Restored, proved and stopped; with --dry-run: it could be."),
            ("1", "It failed or was ended by a signal; the line says whether the same command resumes it."),
            ("2", "The command line is wrong."),
            ("3", "Refused: nothing was touched."),
        ],
    ),
    (
        "pgbackrest-guard-drill",
        &[
            ("0", "Every stage passed."),
            ("1", "A stage failed: something is not as claimed."),
            ("2", "The command line is wrong."),
            ("3", "Something could not be checked, or another drill is running."),
        ],
    ),
    (
        "pgbackrest-guard-check",
        &[
            ("0", "No step failed."),
            ("1", "A step failed: its line says what to do."),
            ("2", "The command line is wrong, or there is no data directory."),
        ],
    ),
    (
        "pgbackrest-guard-run",
        &[("any", "The exit code of the command that it ran."), ("1", "Failed."), ("2", "The command line is wrong.")],
    ),
];

/// Writes every page.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let names: Vec<String> = pages().iter().map(name_of).collect();
    for page in pages() {
        write_page(folder, page, &names)?;
    }
    settings_page().to_writer(&mut File::create(folder.join("pgbackrest-guard.toml.5"))?)
}

/// A command for every page.
fn pages() -> Vec<Command> {
    let mut pages = Vec::new();
    for mut program in crate::programs() {
        program.build();
        pages.extend(program.get_subcommands().cloned().map(|task| task.disable_version_flag(true)));
        pages.push(program);
    }
    pages
}

/// The page's name, such as pgbackrest-guard-status for a task.
fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn write_page(folder: &Path, command: Command, all: &[String]) -> io::Result<()> {
    let name = name_of(&command);
    let has_tasks = command.has_subcommands();
    let variables = variables(&command);
    let page = Man::new(command).title(name.to_uppercase()).section("1");
    let page = page.source(concat!("pgbackrest-guard ", env!("CARGO_PKG_VERSION"))).manual("pgbackrest-guard");
    let mut file = File::create(folder.join(format!("{name}.1")))?;
    page.render_title(&mut file)?;
    page.render_name_section(&mut file)?;
    page.render_synopsis_section(&mut file)?;
    page.render_description_section(&mut file)?;
    page.render_options_section(&mut file)?;
    if has_tasks {
        page.render_subcommands_section(&mut file)?;
    }
    exit_status(&name).to_writer(&mut file)?;
    files(&name, &variables, all).to_writer(&mut file)?;
    file.flush()
}

fn exit_status(name: &str) -> Roff {
    let mut roff = Roff::new();
    let codes = EXIT_STATUS.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, codes)| codes);
    if !codes.is_empty() {
        roff.control("SH", ["EXIT STATUS"]);
    }
    for (code, meaning) in codes {
        roff.control("TP", []).text([bold(*code)]).text([roman(*meaning)]);
    }
    roff
}

fn files(name: &str, variables: &[&Declaration], all: &[String]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "[env: NAME] after an option names the variable with the same meaning. A bad value in a variable causes a warning.",
    )]);
    for setting in variables {
        roff.control("TP", []).text([bold(setting.variable)]).text([roman(format!("{}.", setting.help))]);
    }
    roff.control("PP", []).text([roman("pgbackrest-guard.toml(5) explains them in full.")]);
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("/etc/pgbackrest-guard.toml")]);
    roff.text([roman("The settings; see pgbackrest-guard.toml(5).")]);
    roff.control("TP", []).text([bold("PGDATA/.pgbackrest_guard/")]);
    roff.text([roman("The ledger of what was dropped, and files that will be pushed later.")]);
    roff.control("SH", ["SEE ALSO"]);
    let others = all.iter().filter(|other| *other != name).map(|other| format!("{other}(1)"));
    let others: Vec<String> = others.chain(["pgbackrest-guard.toml(5)", "pgbackrest(1)"].map(str::to_owned)).collect();
    roff.text([roman(others.join(", "))]);
    roff
}

/// The settings that a page's program reads and that are no option of its.
fn variables(command: &Command) -> Vec<&'static Declaration> {
    let name = name_of(command);
    let program = name.strip_prefix("pgbackrest-guard-").and_then(Program::named);
    let is_option = |flag| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    let settings = table::all().filter(|setting| program.is_some_and(|program| setting.users.contains(&program)));
    settings.filter(|setting| !setting.flag.is_some_and(is_option)).collect()
}

/// Every setting, as the settings file has it.
fn settings_page() -> Roff {
    let mut roff = Roff::new();
    let source = concat!("pgbackrest-guard ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["PGBACKREST-GUARD.TOML", "5", "", source, "pgbackrest-guard"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("pgbackrest-guard.toml - settings of the programs of pgbackrest-guard")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in settings::ABOUT {
        roff.control("PP", []).text([roman(*paragraph)]);
    }
    for group in GROUPS {
        roff.control("SH", [group.heading.to_uppercase().as_str()]);
        if !group.note.is_empty() {
            roff.text([roman(settings::plain(group.note))]);
        }
        for setting in group.settings.iter().filter(|setting| setting.in_file) {
            roff.control("TP", []).text([bold(settings::shown(setting))]);
            roff.text([roman(settings::explained(setting, group))]);
        }
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("/etc/pgbackrest-guard.toml")]);
    roff.text([roman("As installed, it contains these lines, each after a #.")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("pgbackrest-guard-push(1), pgbackrest-guard-get(1), pgbackrest-guard(1)")]);
    roff
}
