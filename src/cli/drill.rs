//! The command line of `pgbackrest-guard drill`.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::common::CommonArguments;
use super::status::claims;
use crate::drill::{Request, drill};
use crate::exit::Exit;
use crate::log;
use crate::moment::parse_moment;
use crate::settings::{self, CommonSettings, DrillSettings, Environment, RepositoryNumber, role};
use crate::signals::Signals;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Restores into a sandbox, checks the copy, and records what was proved
///
/// Tries the newest moment, the oldest that `status` claims, and any other that it claims, in turn. Does not touch the
/// server, its stanza, spool or locks. Exits 0 if everything passed, 1 if something is not as claimed, 3 if something
/// could not be checked.
#[derive(Debug, Args)]
pub(super) struct DrillArguments {
    /// Restore to this moment
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Spend at most this many seconds on the checks after the restore
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// Run these statements on the copy; each must return true
    #[arg(long, value_name = "FILE")]
    sql: Option<PathBuf>,
    /// Keep the sandbox until the next drill
    #[arg(long)]
    keep: bool,
    #[arg(long)]
    repo: Option<RepositoryNumber>,
    /// The folder of PostgreSQL's programs
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    postgres_bin: Option<PathBuf>,
    /// Print the record as JSON instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// Drills.
pub(super) fn run(arguments: DrillArguments) -> Exit {
    let signals = Signals::take();
    match (request(arguments), signals) {
        (Ok(request), Ok(signals)) => drill(&request, &signals),
        (Ok(_), Err(error)) => {
            tracing::error!("can't handle signals: {error}");
            Exit::Failed
        }
        (Err(what), _) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn request(arguments: DrillArguments) -> Result<Request, String> {
    let DrillArguments { at, budget, sql, keep, repo, postgres_bin, json, cluster, common } = arguments;
    let at = at.map(|text| parse_moment(&text).map_err(|error| format!("--at '{}': {error}", text.escape_debug())));
    let at = at.transpose()?.map(jiff::Timestamp::as_second);
    let mut flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    cluster.find(&mut flags, &mut sources)?;
    let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
    let own = DrillSettings::resolve(repo, &mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    let report = claims(&common, &mut sources);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let environment = sources.environment().clone();
    let pgdata = common.pgdata.as_ref().map(|pgdata| pgdata.value.clone());
    let beside = pgdata.as_deref().and_then(Path::parent).map(|parent| parent.join("pgbackrest-guard-drill"));
    let folder =
        own.folder.or(beside).ok_or("no data directory: name one with PGDATA or --pgdata, or set WAL_DRILL_DIR")?;
    let client = common.client(&environment, Path::new("/"));
    let configured = client.config().and_then(|config| config.option("backup", "pg1-user"));
    let roles = role::likely(&environment, configured);
    let sql = sql.map(|file| std::path::absolute(&file).unwrap_or(file));
    if let Some(file) = sql.as_ref().filter(|file| !file.is_file()) {
        return Err(format!("--sql {}: there is no such file", file.display()));
    }
    Ok(Request {
        at,
        claimed: report.0,
        oldest_backup: report.1,
        folder,
        budget: budget.map(Duration::from_secs),
        sql,
        keep,
        repository: own.repository.map(RepositoryNumber::get),
        programs: postgres_bin,
        json,
        roles,
        common,
        environment,
    })
}
