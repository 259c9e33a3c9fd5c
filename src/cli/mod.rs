//! The command lines: what was typed, then what it means. The help of what is a setting comes from
//! the table of settings, other help from the doc comments of the fields.

mod check;
mod cluster;
mod common;
mod described;
mod drill;
mod forms;
pub mod get;
pub mod guard;
mod next;
mod owner;
pub mod push;
mod restore;
mod run;
mod setup;
mod status;
mod watch;

use clap::error::ErrorKind;
use std::io::Write as _;

/// The program that has tasks; each of them speaks by this name.
const GUARD: &str = "pgbackrest-guard";

/// Prints clap's answer: help and version as they are (true), a wrong argument as one line of the program's own.
pub(crate) fn answer(program: &str, error: &clap::Error) -> bool {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return true;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        wrong(program, "missing subcommand");
        return false;
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    wrong(program, line.strip_prefix("error: ").unwrap_or(&line));
    false
}

/// Says on one line what is wrong with the command line.
pub(crate) fn wrong(program: &str, what: &str) {
    let _ = writeln!(std::io::stderr(), "{program}: {what}; see {program} --help");
}
