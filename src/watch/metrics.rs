//! The watcher's metrics: a file for `node_exporter`'s textfile collector, written by rename at each poll, and the same over HTTP.

use super::serve::{Answers, listen};
use super::tools::Tools;
use crate::data_directory::DataDirectory;
use crate::settings::{CommonSettings, Environment, WatchSettings};
use crate::status::{self, Asking, gather, prometheus};
use crate::{clusters, durable, epoch};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How long a poll may take beyond the time between two, before the watcher counts as stuck. The calls of one poll have
/// limits of a few minutes each.
const PATIENCE: i64 = 1_800;

/// The metrics of a watcher.
#[derive(Default)]
pub(super) struct Metrics {
    source: Option<Arc<Source>>,
    is_served: bool,
}

/// What they are made of.
struct Source {
    common: CommonSettings,
    watch: WatchSettings,
    environment: Environment,
    directory: DataDirectory,
    /// When the last poll ended, in seconds since 1970.
    polled_at: AtomicI64,
}

impl Metrics {
    /// After a poll: writes the file, if one is asked for, and answers over HTTP from now on. `answers`: whether the server
    /// does.
    pub(super) fn after_poll(&mut self, tools: &Tools, answers: bool) {
        let source = self.source.get_or_insert_with(|| Arc::new(Source::of(tools)));
        source.polled_at.store(epoch::now(), Ordering::Relaxed);
        if let Some(set) = &source.watch.metrics {
            let path = file(set, &source.common.stanza.value, &source.cluster_name());
            if let Err(error) = durable::publish(&path, source.made(answers).as_bytes()) {
                let line = format!(
                    "WAL_GUARD_METRICS_FILE {} can't be written: {error}; to do: make the folder, or let this user \
                     write there",
                    path.display()
                );
                tools.log.warn("metrics", &line);
            } else {
                tools.log.forget("metrics");
            }
        }
        let Some(address) = source.watch.metrics_listen.filter(|_| !self.is_served) else { return };
        match listen(address, Arc::clone(source) as Arc<dyn Answers>) {
            Ok(bound) => {
                self.is_served = true;
                tools.log.info("listen", &format!("metrics are served at http://{bound}/metrics"));
            }
            Err(error) => {
                let line = format!(
                    "metrics can't be served at {address}: {error}; tried again at each poll; to do: choose another \
                     port with WAL_GUARD_METRICS_LISTEN"
                );
                tools.log.warn("listen", &line);
            }
        }
    }
}

impl Source {
    fn of(tools: &Tools) -> Self {
        let request = &tools.request;
        Self {
            common: request.common.clone(),
            watch: request.watch.clone(),
            environment: request.environment.clone(),
            directory: request.data_directory.clone(),
            polled_at: AtomicI64::new(0),
        }
    }

    fn cluster_name(&self) -> String {
        clusters::name_of(&self.environment, self.directory.path())
    }

    /// The metrics, now. `ask`: whether the server is asked.
    fn made(&self, ask: bool) -> String {
        let (watch, common) = (&self.watch, &self.common);
        let client = common.client(&self.environment, self.directory.path());
        let request = status::Request {
            common: common.clone(),
            drop_threshold: watch.drop_threshold,
            drop_measure: watch.drop_measure,
            free_reserve: watch.free_reserve,
            overflow: watch.overflow.clone(),
            cluster_name: self.cluster_name(),
            taken_by: watch.taken_by,
            drill_max_age: watch.drill_max_age,
            intervals: watch.intervals,
            verify: watch.verify,
            server: if ask { Asking::Yes(watch.connection.clone()) } else { Asking::No },
            answer: None,
            setup: None,
            config: client.config().cloned(),
            now: epoch::now(),
        };
        let mut report = gather(&request);
        report.extra.watcher_runs = Some(true);
        prometheus(&report)
    }
}

impl Answers for Source {
    fn metrics(&self) -> String {
        self.made(true)
    }

    fn health(&self) -> Result<(), String> {
        let ago = epoch::now() - self.polled_at.load(Ordering::Relaxed);
        let interval = i64::try_from(self.watch.poll.get()).unwrap_or(i64::MAX);
        if ago <= interval.saturating_add(PATIENCE) { Ok(()) } else { Err(format!("the last poll ended {ago} s ago")) }
    }
}

/// The file: as it is set, or one of the cluster's own in a folder.
fn file(set: &Path, stanza: &str, cluster: &str) -> PathBuf {
    if !set.as_os_str().as_bytes().ends_with(b"/") {
        return set.to_owned();
    }
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c), "-");
    set.join(format!("pgbackrest_guard_{}_{}.prom", plain(stanza), plain(cluster)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_file_for_each_cluster() {
        let file = |set: &str, cluster| file(Path::new(set), "main", cluster).display().to_string();
        assert_eq!(file("/m/a.prom", "15/main"), "/m/a.prom");
        assert_eq!(file("/m/", "15/main"), "/m/pgbackrest_guard_main_15-main.prom");
        assert_eq!(file("/m/", "a b"), "/m/pgbackrest_guard_main_a-b.prom");
    }
}
