//! The flag that names a cluster as Debian does, instead of its data directory.

use crate::clusters;
use crate::data_directory::DataDirectory;
use crate::settings::{ClusterSettings, CommonFlags, Sources};
use clap::Args;

/// Which cluster is meant.
#[derive(Debug, Args)]
pub(super) struct ClusterArguments {
    #[arg(long, conflicts_with = "pgdata", hide_short_help = true)]
    cluster: Option<String>,
}

impl ClusterArguments {
    /// Nothing was typed.
    pub(super) fn unnamed() -> Self {
        Self { cluster: None }
    }

    /// Finds the data directory where nothing else names one: the flag, then `PGDATA`, then `WAL_GUARD_CLUSTER`, then the
    /// working directory, then the only cluster there is.
    pub(super) fn find(self, flags: &mut CommonFlags, sources: &mut Sources) -> Result<(), String> {
        if flags.pgdata.is_some() {
            return Ok(());
        }
        let ClusterSettings { cluster: set, pgdata_is_set } = ClusterSettings::resolve(sources);
        let environment = sources.environment();
        let here = || std::env::current_dir().is_ok_and(|here| DataDirectory::is_one(&here));
        flags.pgdata = match (self.cluster, set) {
            (Some(name), _) => {
                Some(clusters::named(environment, &name).map_err(|error| format!("--cluster: {error}"))?)
            }
            _ if pgdata_is_set => None,
            (None, Some(name)) => {
                Some(clusters::named(environment, &name).map_err(|error| format!("WAL_GUARD_CLUSTER: {error}"))?)
            }
            (None, None) if here() => None,
            (None, None) => clusters::only(environment).map_err(|error| error.to_string())?,
        };
        Ok(())
    }
}
