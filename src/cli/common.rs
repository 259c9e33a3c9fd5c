//! The flags that every program has. Their help comes from the table of settings.

use super::described::choice;
use crate::data_directory::DataDirectory;
use crate::log::{Format, Level};
use crate::settings::{CommonFlags, table};
use clap::Args;
use std::path::PathBuf;

/// Flags of every program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonArguments {
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long)]
    pgdata: Option<PathBuf>,
    #[arg(long)]
    stanza: Option<String>,
    #[arg(long)]
    pgbackrest_config: Option<PathBuf>,
    #[arg(long, hide_short_help = true)]
    pgbackrest: Option<PathBuf>,
    #[arg(long)]
    state_dir: Option<PathBuf>,
    #[arg(long, value_parser = choice(&table::WAL_GUARD_LOG), hide_short_help = true)]
    log_level: Option<Level>,
    #[arg(long, value_parser = choice(&table::WAL_GUARD_LOG_FORMAT), hide_short_help = true)]
    log_format: Option<Format>,
}

impl CommonArguments {
    /// What they mean to a program that works on a data directory: any other path is a wrong argument.
    pub(crate) fn into_flags(self) -> Result<CommonFlags, String> {
        let flags = self.into_unchecked_flags()?;
        match &flags.pgdata {
            Some(path) if !DataDirectory::is_one(path) => {
                Err(format!("--pgdata {} is not a data directory: it has no PG_VERSION", path.display()))
            }
            _ => Ok(flags),
        }
    }

    /// What they mean, whatever lies at the paths.
    pub(crate) fn into_unchecked_flags(self) -> Result<CommonFlags, String> {
        let absolute = |path: Option<PathBuf>| path.map(|path| std::path::absolute(&path).unwrap_or(path));
        if let Some(stanza) = self.stanza.as_ref() {
            crate::settings::check_stanza(stanza)
                .map_err(|error| format!("--stanza '{}': {error}", stanza.escape_debug()))?;
        }
        Ok(CommonFlags {
            config: self.config,
            pgdata: absolute(self.pgdata),
            stanza: self.stanza,
            pgbackrest_config: absolute(self.pgbackrest_config),
            // A name alone is looked for on PATH.
            pgbackrest: if self.pgbackrest.as_ref().is_some_and(|program| program.components().count() > 1) {
                absolute(self.pgbackrest)
            } else {
                self.pgbackrest
            },
            state_dir: absolute(self.state_dir),
            log_level: self.log_level,
            log_format: self.log_format,
        })
    }
}
