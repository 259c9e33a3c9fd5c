//! Metrics for `node_exporter`'s textfile collector, written by rename at each poll.

use super::Watcher;
use crate::durable;
use crate::status::{self, Asking, gather, prometheus};

impl Watcher {
    /// Writes the metrics file, if one is asked for. `answers`: whether the server does.
    pub(super) fn write_metrics(&mut self, answers: bool) {
        let Some(path) = self.request.watch.metrics.clone() else { return };
        let request = status::Request {
            common: self.request.common.clone(),
            drop_threshold: self.request.watch.drop_threshold,
            drop_measure: self.request.watch.drop_measure,
            free_reserve: self.request.watch.free_reserve,
            overflow: self.request.watch.overflow.clone(),
            intervals: self.request.watch.intervals,
            verify: self.request.watch.verify,
            server: if answers { Asking::Yes(self.request.watch.connection.clone()) } else { Asking::No },
            answer: None,
            config: self.client.config().cloned(),
            now: self.now(),
        };
        let text = prometheus(&gather(&request), Some(answers));
        if let Err(error) = durable::publish(&path, text.as_bytes()) {
            self.warn("metrics", format!("WAL_GUARD_METRICS_FILE {} can't be written: {error}", path.display()));
        }
    }
}
