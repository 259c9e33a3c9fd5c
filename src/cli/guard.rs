//! The command line of `pgbackrest-guard`: one subcommand a task.

use super::run::RunArguments;
use super::setup::SetupArguments;
use super::status::StatusArguments;
use super::watch::WatchArguments;
use crate::exit::{self, Exit};
use clap::{Command, CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

pub(super) const PROGRAM: &str = "pgbackrest-guard";

/// Watches over WAL archiving with pgBackRest
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up archiving, then run CMD with the watcher beside it
    Run(RunArguments),
    /// Screen the settings, write pgBackRest's and PostgreSQL's configuration, or take it away
    Setup(SetupArguments),
    /// What is archived, what is lost, and what can be restored
    Status(StatusArguments),
    /// Take base backups, check the catalog, heal and seal gaps
    Watch(WatchArguments),
}

/// The command line, for the manual and the shells' completions.
#[must_use]
pub fn command() -> Command {
    Arguments::command()
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    exit::on_panic(PROGRAM, || Exit::Failed);
    let exit = match Arguments::try_parse() {
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
