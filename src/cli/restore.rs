//! The command line of `pgbackrest-guard restore`.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::common::CommonArguments;
use crate::decide::restore::{Asked, Target};
use crate::exit::Exit;
use crate::log;
use crate::moment::{NotAMoment, parse_local, parse_moment};
use crate::restore::{Request, restore};
use crate::settings::{self, CommonSettings, Environment, RepositoryNumber, RestoreSettings};
use crate::signals::Signals;
use crate::wal::Lsn;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Restores the cluster to a moment, proves what was reached, and stops it
///
/// Chooses the backup, repository and timeline. If the target can't be restored, refuses before anything is touched,
/// and names the nearest moments that can. Without a target, restores to the end of the archive. The copy archives
/// nothing until it has a repository path of its own. If it was interrupted or killed, the same command resumes it.
/// Exits 0 when done and proved, 1 on failure, 3 when refused.
#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// To the end of the archive, or no farther than the backup needs
    #[arg(value_enum, conflicts_with_all = ["to", "to_lsn", "to_xid", "to_name"])]
    end: Option<End>,
    /// To this moment (2026-11-22 10:00:00+00, or with a T and a Z)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["to_lsn", "to_xid", "to_name"])]
    to: Option<String>,
    /// To this position in the WAL
    #[arg(long, value_name = "LSN", conflicts_with_all = ["to_xid", "to_name"])]
    to_lsn: Option<Lsn>,
    /// To the commit of this transaction
    #[arg(long, value_name = "XID", conflicts_with = "to_name", hide_short_help = true)]
    to_xid: Option<u32>,
    /// To this restore point
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new(), hide_short_help = true)]
    to_name: Option<String>,
    /// Read a time without an offset as this machine's local time
    #[arg(long, requires = "to", hide_short_help = true)]
    local_time: bool,
    #[arg(long)]
    repo: Option<RepositoryNumber>,
    /// From this backup
    #[arg(long, value_name = "LABEL")]
    set: Option<String>,
    /// Restore into this data directory instead of the one that --pgdata or PGDATA names
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Replace an existing cluster, or a restore that is under way
    #[arg(long)]
    replace: bool,
    /// Put a tablespace into another folder; may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = mapping, hide_short_help = true)]
    tablespace_map: Vec<(String, PathBuf)>,
    /// The folder of PostgreSQL's programs
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    postgres_bin: Option<PathBuf>,
    /// Print the plan and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The repository is in this folder, or in its only `cluster-…`
    #[arg(long, value_name = "PATH", hide = true)]
    repository_below: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM", hide_short_help = true)]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// A target that has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum End {
    /// The end of the archive
    Latest,
    /// The end of the backup
    Immediate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object per line, for programs
    Json,
}

/// Restores.
pub(super) fn run(arguments: RestoreArguments) -> Exit {
    let signals = Signals::take();
    match (request(arguments), signals) {
        (Ok(request), Ok(signals)) => restore(&request, &signals),
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

fn request(arguments: RestoreArguments) -> Result<Request, String> {
    let target = target(&arguments)?;
    let RestoreArguments { repo, set, replace, tablespace_map, postgres_bin, dry_run, output, common, cluster, .. } =
        arguments;
    let mut flags = common.into_unchecked_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    if arguments.target.is_none() {
        cluster.find(&mut flags, &mut sources)?;
    }
    let common = CommonSettings::resolve_as_named(flags, std::env::current_dir().ok(), &mut sources);
    let own = RestoreSettings::resolve(repo, &mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let environment = sources.environment().clone();
    let to = arguments.target.or_else(|| common.pgdata.as_ref().map(|pgdata| pgdata.value.clone()));
    let to = to.or_else(|| {
        let client = common.client(&environment, Path::new("/"));
        client.config()?.option("restore", "pg1-path").map(PathBuf::from)
    });
    let to = to.ok_or("no data directory: name one with --target, --pgdata or PGDATA")?;
    let to = std::path::absolute(&to).map_err(|error| format!("--target {}: {error}", to.display()))?;
    let asked = Asked { target, set, repository: own.repository.map(RepositoryNumber::get) };
    Ok(Request {
        common,
        environment,
        asked,
        target: to,
        replace,
        dry_run,
        tablespaces: tablespace_map,
        programs: postgres_bin,
        repository_below: arguments.repository_below,
        json: output == Output::Json,
        tuning: [own.checkpoint_timeout, own.max_wal_size],
    })
}

fn target(arguments: &RestoreArguments) -> Result<Target, String> {
    if let Some(text) = &arguments.to {
        let at = if arguments.local_time { parse_local(text) } else { parse_moment(text) };
        let at = at.map_err(|error| {
            let hint = if error == NotAMoment::NoOffset { ", or add --local-time" } else { "" };
            format!("--to '{}': {error}{hint}", text.escape_debug())
        })?;
        return Ok(Target::Time(at.as_microsecond()));
    }
    let name = || arguments.to_name.clone().map(Target::Name);
    let xid = || arguments.to_xid.map(|xid| Target::Xid(u64::from(xid)));
    let valued = arguments.to_lsn.map(Target::Lsn).or_else(xid).or_else(name);
    Ok(valued.unwrap_or(match arguments.end {
        Some(End::Immediate) => Target::Immediate,
        Some(End::Latest) | None => Target::Latest,
    }))
}

fn mapping(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && Path::new(path).is_absolute() => Ok((name.to_owned(), path.into())),
        _ => Err("not NAME=DIR with an absolute path".to_owned()),
    }
}
