//! Metrics for `node_exporter`'s textfile collector, written by rename at each poll.

use super::tools::Tools;
use crate::durable;
use crate::epoch;
use crate::status::{self, Asking, gather, prometheus};

/// Writes the metrics file, if one is asked for. `answers`: whether the server does.
pub(super) fn write(tools: &Tools, answers: bool) {
    let (watch, common) = (&tools.request.watch, &tools.request.common);
    let Some(path) = &watch.metrics else { return };
    let client = common.client(&tools.request.environment, tools.request.data_directory.path());
    let request = status::Request {
        common: common.clone(),
        drop_threshold: watch.drop_threshold,
        drop_measure: watch.drop_measure,
        free_reserve: watch.free_reserve,
        overflow: watch.overflow.clone(),
        taken_by: watch.taken_by,
        intervals: watch.intervals,
        verify: watch.verify,
        server: if answers { Asking::Yes(watch.connection.clone()) } else { Asking::No },
        answer: None,
        config: client.config().cloned(),
        now: epoch::now(),
    };
    let text = prometheus(&gather(&request), Some(answers));
    if let Err(error) = durable::publish(path, text.as_bytes()) {
        let line = format!("WAL_GUARD_METRICS_FILE {} can't be written: {error}", path.display());
        tools.log.warn("metrics", &line);
    }
}
