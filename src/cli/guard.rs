//! The command line of `pgbackrest-guard`: one subcommand a task.

use super::GUARD as PROGRAM;
use super::check::CheckArguments;
use super::described::{self, described};
use super::drill::DrillArguments;
use super::restore::RestoreArguments;
use super::run::RunArguments;
use super::setup::SetupArguments;
use super::status::StatusArguments;
use super::watch::WatchArguments;
use crate::exit::{self, Exit};
use crate::settings::table::Program;
use clap::{Command, CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// Watches over WAL archiving with pgBackRest
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// Each says in its own file what it does: a comment here would take the place of the whole of that.
#[derive(Debug, Subcommand)]
enum Task {
    Check(CheckArguments),
    Drill(DrillArguments),
    Restore(Box<RestoreArguments>),
    Run(RunArguments),
    Setup(SetupArguments),
    Status(StatusArguments),
    Watch(WatchArguments),
}

/// The command line, for the manual and the shells' completions.
#[must_use]
pub fn command() -> Command {
    Arguments::command().mut_subcommands(|task| match Program::named(task.get_name()) {
        Some(program) => described(task, program),
        None => task,
    })
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    exit::on_panic(PROGRAM, || Exit::Failed);
    if std::env::args_os().len() <= 1 {
        return super::next::run().into();
    }
    let exit = match described::parse(command()) {
        Ok(Arguments { task: Task::Check(arguments) }) => super::check::run(arguments),
        Ok(Arguments { task: Task::Drill(arguments) }) => super::drill::run(arguments),
        Ok(Arguments { task: Task::Restore(arguments) }) => super::restore::run(*arguments),
        Ok(Arguments { task: Task::Run(arguments) }) => super::run::run(arguments),
        Ok(Arguments { task: Task::Setup(arguments) }) => super::setup::run(arguments),
        Ok(Arguments { task: Task::Status(arguments) }) => super::status::run(arguments),
        Ok(Arguments { task: Task::Watch(arguments) }) => super::watch::run(arguments),
        Err(error) => {
            if super::answer(PROGRAM, &error) {
                Exit::Success
            } else {
                Exit::Usage
            }
        }
    };
    exit.into()
}
