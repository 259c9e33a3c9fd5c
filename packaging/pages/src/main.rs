//! Writes the manual pages and the shells' completions into a folder, for `make package`.
//!
//! They come out of the command lines themselves, so that they can't say anything else than `--help` does. A program of
//! its own, because the programs that are installed shall not carry what only this needs.

mod completions;
mod manual;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("pgbackrest-guard-pages: name the folder to write to");
        return ExitCode::from(2);
    };
    match write(&folder) {
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
