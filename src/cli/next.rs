//! `pgbackrest-guard` alone: what to do next on this machine, in six lines at most. It asks no repository and changes nothing.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::status::status_request;
use crate::clusters;
use crate::data_directory::DataDirectory;
use crate::decide::next::{Advice, Cluster, Facts, Server, advice};
use crate::exit::Exit;
use crate::log;
use crate::postgres::Postgres;
use crate::settings::{self, CommonFlags, CommonSettings, Environment, Sources, WatchSettings};
use crate::status::gather;
use crate::verdict::Verdict;
use std::io::Write as _;
use std::path::Path;

/// Says it.
pub(super) fn run() -> Exit {
    let facts = facts();
    let name = match &facts.cluster {
        Cluster::Found(name) => format!(", cluster {name}"),
        Cluster::Missing | Cluster::Unclear(_) | Cluster::Foreign(_) => String::new(),
    };
    let text = text(&name, &advice(&facts));
    // A reader that has gone away has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

fn text(name: &str, advice: &Advice) -> String {
    let mut text = format!("{PROGRAM} {}{name}\nnow:  {}\n", env!("CARGO_PKG_VERSION"), advice.seen);
    for (at, step) in advice.next.iter().enumerate() {
        text.push_str(if at == 0 { "next: " } else { "      " });
        text.push_str(step);
        text.push('\n');
    }
    text + "help: " + PROGRAM + " --help\n"
}

fn facts() -> Facts {
    let mut flags = CommonFlags::default();
    let mut sources = settings::sources(None, Environment::of_process());
    let mut facts = Facts {
        cluster: Cluster::Missing,
        has_repository: None,
        switched_off: false,
        server: Server::Down,
        is_watched: false,
        unit: None,
        verdict: (Verdict::Unknown, None),
    };
    if let Err(why) = ClusterArguments::unnamed().find(&mut flags, &mut sources) {
        facts.cluster = Cluster::Unclear(why);
        return facts;
    }
    let common = CommonSettings::resolve_as_named(flags, std::env::current_dir().ok(), &mut sources);
    let watch = WatchSettings::resolve(&mut sources);
    log::start(PROGRAM, common.log_level.value, common.log_format.value);
    facts.switched_off = common.archiving_off;
    let Some(pgdata) = common.pgdata.clone().filter(|pgdata| pgdata.value.is_dir()) else { return facts };
    let directory = DataDirectory::new(pgdata.value);
    if let Some(refused) = super::owner::refusal(&directory, PROGRAM) {
        facts.cluster = Cluster::Foreign(refused.rsplit("to do: ").next().unwrap_or_default().to_owned());
    } else if DataDirectory::is_one(directory.path()) {
        look(&mut facts, common, watch, &sources, &directory);
    }
    facts
}

/// Looks at a cluster that is ours to look at.
fn look(facts: &mut Facts, common: CommonSettings, watch: WatchSettings, sources: &Sources, directory: &DataDirectory) {
    let client = common.client(sources.environment(), Path::new("/"));
    let name = clusters::name_of(sources.environment(), directory.path());
    facts.cluster = Cluster::Found(if name.contains('/') { name } else { directory.path().display().to_string() });
    facts.has_repository = client.config().map(crate::pgbackrest::config::Config::names_a_repository);
    facts.unit = clusters::unit_of(sources.environment(), directory.path());
    facts.server = server(directory, &Postgres::of(directory, &watch.connection));
    let report = gather(&status_request(common, watch, sources, false));
    facts.is_watched = report.extra.watcher_runs == Some(true);
    facts.verdict = (report.verdict, report.reasons.into_iter().next());
}

fn server(directory: &DataDirectory, postgres: &Postgres) -> Server {
    if !directory.server_runs() {
        return Server::Down;
    }
    match postgres.installation() {
        Ok(seen) => Server::Answers(seen.settings),
        Err(error) => Server::Silent(log::chain(&error)),
    }
}
