//! Writes the manual pages and the shells' completions into a folder, for `make package`; and for `make pages` the settings
//! file and the tables of docs/configuration.md, in place.
//!
//! They come out of the command lines and the table of settings, so that they can't say anything other than
//! `--help` does. A program of its own, because the installed programs must not carry what only this needs.

mod completions;
mod manual;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (folder, written) = match words.as_slice() {
        [flag, repository] if flag.as_os_str() == "--settings" => (repository, settings::write(repository)),
        [folder] => (folder, write(folder)),
        _ => {
            eprintln!("usage: pgbackrest-guard-pages FOLDER | --settings REPOSITORY");
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgbackrest-guard-pages: can't write to {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    manual::write(folder)?;
    completions::write(folder)
}

/// The programs' command lines.
fn programs() -> [clap::Command; 3] {
    use pgbackrest_guard::cli;
    [cli::push::command(), cli::get::command(), cli::guard::command()]
}
