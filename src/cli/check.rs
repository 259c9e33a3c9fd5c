//! The command line of `pgbackrest-guard check`.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::common::CommonArguments;
use crate::check::{self, Request};
use crate::data_directory::DataDirectory;
use crate::decide::check::{Finding, summary};
use crate::exit::Exit;
use crate::log;
use crate::settings::{self, CommonSettings, Connection, Environment};
use clap::Args;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Tests this installation from end to end, with one WAL segment
///
/// Checks the programs, permissions, pgBackRest, PostgreSQL's settings and the stanza; then switches to a new WAL
/// segment and follows the old one to each repository and back. Changes nothing else. Exits 0 if nothing failed,
/// otherwise 1.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Wait at most this many seconds for the segment to be archived
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// Checks.
pub(super) fn run(arguments: CheckArguments) -> Exit {
    match request(arguments) {
        Ok(request) => show(&request),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn request(arguments: CheckArguments) -> Result<Request, String> {
    let limit = Duration::from_secs(arguments.timeout);
    let mut flags = arguments.common.into_flags()?;
    let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
    arguments.cluster.find(&mut flags, &mut sources)?;
    let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
    let connection = Connection::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    for warning in sources.warnings() {
        tracing::warn!("{}", warning.0);
    }
    let pgdata = common.pgdata.clone().ok_or("no data directory: name one with PGDATA or --pgdata")?;
    let directory = DataDirectory::new(pgdata.value);
    let foreign = super::owner::refusal(&directory, "pgbackrest-guard check");
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(std::path::Path::to_owned));
    let environment = sources.environment().clone();
    Ok(Request { common, connection, environment, directory, foreign, limit, beside })
}

/// One line a finding, as soon as it is there. A reader that has gone away has read enough.
fn show(request: &Request) -> Exit {
    let started = Instant::now();
    let mut stdout = std::io::stdout();
    let checked = check::check(request, &mut |finding| {
        let _ = stdout.write_all(line(finding).as_bytes()).and_then(|()| stdout.flush());
    });
    let last = format!(
        "\n{} It took {:.1} s.\n",
        summary(&checked.findings, checked.switched),
        started.elapsed().as_secs_f64()
    );
    let _ = stdout.write_all(last.as_bytes());
    if checked.findings.iter().any(Finding::has_failed) { Exit::Failed } else { Exit::Success }
}

fn line(finding: &Finding) -> String {
    let Finding { step, detail, .. } = finding;
    let outcome = finding.outcome.as_str();
    let to_do = finding.to_do.as_ref().map_or_else(String::new, |to_do| format!("{:25} to do: {to_do}\n", ""));
    format!("{outcome:<8} {step:<16} {detail}\n{to_do}")
}
