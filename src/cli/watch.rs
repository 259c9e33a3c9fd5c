//! The command line of `pgbackrest-guard watch`.

use super::GUARD as PROGRAM;
use super::cluster::ClusterArguments;
use super::common::CommonArguments;
use crate::data_directory::DataDirectory;
use crate::exit::Exit;
use crate::log;
use crate::settings::{self, CommonSettings, Environment, WatchSettings};
use crate::signals::Signals;
use crate::watch::{Request, Watcher};
use clap::Args;
use std::net::SocketAddr;

/// Takes base backups, checks the catalog, heals and seals gaps
///
/// Acts on a primary only. SIGTERM ends it, and a running backup with it.
#[derive(Debug, Args)]
pub(super) struct WatchArguments {
    /// Poll once, finish the backup that this starts, then exit
    #[arg(long)]
    once: bool,
    /// Create a missing stanza even if this cluster has archived before, because the repository is new
    #[arg(long)]
    create_stanza: bool,
    /// Started by `run`: in a session of its own, and not without it
    #[arg(long, hide = true)]
    supervised: bool,
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// Watches.
pub(super) fn run(arguments: WatchArguments) -> Exit {
    let (once, create_stanza) = (arguments.once, arguments.create_stanza);
    if arguments.supervised {
        leave_session();
    }
    let watch = arguments.common.into_flags().and_then(|mut flags| {
        let mut sources = settings::sources(flags.config.as_deref(), Environment::of_process());
        arguments.cluster.find(&mut flags, &mut sources)?;
        let common = CommonSettings::resolve(flags, std::env::current_dir().ok(), &mut sources);
        let mut watch = WatchSettings::resolve(&mut sources);
        watch.metrics_listen = arguments.metrics_listen.or(watch.metrics_listen);
        log::start(PROGRAM, common.log_level.value, common.log_format.value);
        for warning in sources.warnings() {
            tracing::warn!("{}", warning.0);
        }
        let pgdata = common.pgdata.clone();
        let pgdata = pgdata.ok_or("no data directory: name one with PGDATA or --pgdata".to_owned())?;
        let environment = sources.environment().clone();
        Ok(Request {
            common,
            watch,
            environment,
            data_directory: DataDirectory::new(pgdata.value),
            once,
            create_stanza,
        })
    });
    match watch {
        Ok(request) => start(request),
        Err(what) => {
            super::wrong(PROGRAM, &what);
            Exit::Usage
        }
    }
}

fn start(request: Request) -> Exit {
    // systemd takes an end before this for a failure, and starts the watcher again and again.
    let ready = || drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    if request.common.archiving_off {
        tracing::info!("archiving is switched off (WAL_ARCHIVE_BUCKET is empty): nothing to watch");
        ready();
        return Exit::Success;
    }
    if let Some(why) = super::owner::refusal(&request.data_directory, "pgbackrest-guard watch") {
        tracing::error!("{why}");
        return Exit::Failed;
    }
    if let Some(why) = request.data_directory.invalid_bucket() {
        tracing::info!("archiving is switched off (.pgbackrest_invalid_bucket: {why}): nothing to watch");
        ready();
        return Exit::Success;
    }
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("can't handle signals: {error}");
            return Exit::Failed;
        }
    };
    Watcher::new(request, signals).run()
}

/// Out of the reach of the terminal's signals; and when `run` is killed, the watcher ends too.
fn leave_session() {
    let _ = rustix::process::setsid();
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
}
