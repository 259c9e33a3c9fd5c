//! The flags that are settings get their help from the table of settings, in clap's own notation.
//!
//! clap's own support of the environment is not used: with it a bad value would end the program, where it must warn.

use crate::bad_value::BadValue;
use crate::settings::table::{self, Declaration, Declared, Kind, Program};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, FromArgMatches, ValueHint};
use std::ffi::OsString;

/// The command with the help of `program`'s settings.
pub(super) fn described(command: Command, program: Program) -> Command {
    command.mut_args(|arg| match setting(&arg, program) {
        Some(setting) => with_help(arg, setting),
        None => arg,
    })
}

/// What was typed, by a command line that is described.
pub(super) fn parse<A: FromArgMatches>(mut command: Command) -> Result<A, clap::Error> {
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    A::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// A parser for one of the words that a setting is declared with.
pub(super) fn choice<T>(declared: &'static Declared<T>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    let words = match declared.declaration.kind {
        Kind::Choice { words, .. } => words,
        _ => &[],
    };
    PossibleValuesParser::new(words).try_map(|word| -> Result<T, BadValue> { declared.parse(&OsString::from(word)) })
}

fn setting(arg: &Arg, program: Program) -> Option<&'static Declaration> {
    let flag = arg.get_long()?;
    table::all().find(|setting| setting.flag == Some(flag) && setting.users.contains(&program))
}

fn with_help(arg: Arg, setting: &Declaration) -> Arg {
    let notes = setting.notes();
    let arg = arg.help(format!("{} {}", setting.help, notes.join(" "))).long_help(format!(
        "{}\n\n{}",
        setting.help,
        notes.join("\n")
    ));
    let hint = match setting.kind {
        // It takes no value.
        Kind::Switch => return arg,
        Kind::File | Kind::AbsoluteFile => ValueHint::FilePath,
        Kind::AbsoluteFolder => ValueHint::DirPath,
        Kind::Program => ValueHint::CommandName,
        Kind::Choice { .. } => ValueHint::Unknown,
        // No shell can complete it.
        _ => ValueHint::Other,
    };
    arg.value_name(setting.kind.value_name()).value_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table::GROUPS;

    /// Every command line with its program.
    fn commands() -> Vec<(Program, Command)> {
        let guard = crate::cli::guard::command();
        let tasks = guard.get_subcommands().map(|task| (Program::named(task.get_name()).unwrap(), task.clone()));
        let alone = [(Program::Push, crate::cli::push::command()), (Program::Get, crate::cli::get::command())];
        alone.into_iter().chain(tasks).collect()
    }

    #[test]
    fn every_declared_flag_exists_and_every_flag_has_help() {
        let commands = commands();
        assert_eq!(commands.len(), Program::ALL.len());
        for (program, command) in commands {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{program:?} {argument}");
            }
            for setting in GROUPS.iter().filter(|group| group.users.contains(&program)).flat_map(|group| group.settings)
            {
                let Some(flag) = setting.flag else { continue };
                let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag));
                let help = argument.and_then(Arg::get_help).unwrap_or_else(|| panic!("{program:?} has no --{flag}"));
                assert!(help.to_string().contains(setting.variable), "{program:?} --{flag}: {help}");
            }
        }
    }
}
