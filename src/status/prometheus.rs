//! The report as metrics, in Prometheus' text exposition format 0.0.4.
//!
//! Base units. Every series has the labels `stanza` and `cluster`, so that those of several clusters of a machine can stand
//! side by side; the one other label there is (`state`) has a fixed set of values. What is unknown is left out: an absent
//! series is unknown, a zero would be a claim.

use super::report::{Extra, GapReport, Report, Window};
use crate::verdict::Verdict;
use jiff::Timestamp;
use std::fmt::Write as _;

/// The catalog's states, each a series: 1 for the present one, else 0.
const CATALOG_STATES: [&str; 4] = ["present", "absent", "inconclusive", "unchecked"];

/// The report as metrics.
#[must_use]
pub fn prometheus(report: &Report) -> String {
    let Extra { stanza, cluster_name, server_answers, watcher_runs, .. } = &report.extra;
    let labels = format!("stanza=\"{}\",cluster=\"{}\"", escaped(stanza), escaped(cluster_name));
    let mut metrics = Metrics { text: String::new(), labels };
    metrics.gauge("up", "Whether the watcher runs.", watcher_runs.map(u64::from));
    metrics.gauge("postgresql_up", "Whether PostgreSQL answers.", server_answers.map(u64::from));
    metrics.gauge("verdict", "0 ok, 1 warning, 2 critical, 3 unknown.", Some(number(report.verdict)));
    metrics.time("report_timestamp_seconds", "When these metrics were made.", report.extra.made_at);
    cluster(&mut metrics, report);
    archiving(&mut metrics, report);
    push(&mut metrics, report);
    gaps(&mut metrics, report.gaps.as_deref());
    backups(&mut metrics, report);
    windows(&mut metrics, report.windows.as_deref());
    drill(&mut metrics, report);
    estimate(&mut metrics, report);
    metrics.text
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Metrics, as they are written.
struct Metrics {
    text: String,
    /// What every series has.
    labels: String,
}

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, value: Option<u64>) {
        self.family(name, "gauge", help, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<u64>) {
        self.family(name, "counter", help, value);
    }

    fn time(&mut self, name: &str, help: &str, at: Option<Timestamp>) {
        self.gauge(name, help, at.and_then(|at| u64::try_from(at.as_second()).ok()));
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.head(name, kind, help);
            let _ = writeln!(self.text, "pgbackrest_guard_{name}{{{}}} {value}", self.labels);
        }
    }

    /// A gauge with one series a state.
    fn states(&mut self, name: &str, help: &str, values: &[(&str, u64)]) {
        self.head(name, "gauge", help);
        for (state, value) in values {
            let _ = writeln!(self.text, "pgbackrest_guard_{name}{{{},state=\"{state}\"}} {value}", self.labels);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let name = format!("pgbackrest_guard_{name}");
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }
}

fn number(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::Warning => 1,
        Verdict::Critical => 2,
        Verdict::Unknown => 3,
    }
}

fn cluster(metrics: &mut Metrics, report: &Report) {
    let cluster = &report.cluster;
    metrics.gauge("timeline", "Timeline of the last checkpoint.", cluster.timeline.map(u64::from));
    metrics.gauge("in_recovery", "Whether the server is a standby or recovering.", cluster.in_recovery.map(u64::from));
}

fn archiving(metrics: &mut Metrics, report: &Report) {
    let archiving = &report.archiving;
    metrics.gauge("archiving_enabled", "Whether archiving is switched on.", archiving.enabled.map(u64::from));
    // Known wherever the data directory could be read, which the cluster's timeline shows.
    let refused = report.cluster.timeline.map(|_| u64::from(archiving.invalid_bucket.is_some()));
    metrics.gauge("bucket_refused", "Whether the bucket's settings were refused.", refused);
    metrics.counter("archived_total", "WAL files archived, by pg_stat_archiver.", archiving.archived_count);
    metrics.counter("archive_failed_total", "Failed attempts, by pg_stat_archiver.", archiving.failed_count);
    let last = archiving.last_archived_at;
    metrics.time("last_archived_timestamp_seconds", "When a WAL file was last archived.", last);
    let help = "How long the newest archived WAL file had waited since its completion.";
    metrics.gauge("last_archived_wait_seconds", help, report.extra.archived_after);
    metrics.gauge("backlog_bytes", "WAL waiting to be archived.", archiving.backlog_bytes);
    metrics.gauge("backlog_segments", "Files waiting to be archived.", archiving.backlog_segments);
    metrics.gauge("threshold_bytes", "Backlog at which WAL is dropped.", archiving.threshold_bytes);
    metrics.gauge("free_bytes", "Free space on the volume of pg_wal.", archiving.free_bytes);
    metrics.gauge("reserve_bytes", "Free space under which WAL is dropped.", archiving.reserve_bytes);
}

fn push(metrics: &mut Metrics, report: &Report) {
    let push = &report.push;
    metrics.counter("push_failed_total", "Pushes that failed.", push.failed_count);
    metrics.gauge("push_consecutive_failures", "Failures since the last success.", push.consecutive_failures);
    let last = push.last_failure.as_ref().and_then(|failure| failure.at);
    metrics.time("push_last_failure_timestamp_seconds", "When a push last failed.", last);
    metrics.counter("dropped_total", "Segments dropped and recorded as lost.", push.dropped_count);
    metrics.counter("overflowed_total", "Segments saved in the overflow folder.", push.overflowed_count);
}

fn gaps(metrics: &mut Metrics, gaps: Option<&[GapReport]>) {
    let Some(gaps) = gaps else { return };
    let open = || gaps.iter().filter(|gap| gap.state == "open" && gap.acknowledged.is_none());
    let known = gaps.iter().filter(|gap| gap.state == "open" && gap.acknowledged.is_some());
    let count = |state: &str| gaps.iter().filter(|gap| gap.state == state).count() as u64;
    metrics.gauge("open_gaps", "Gaps neither healed, sealed nor acknowledged.", Some(open().count() as u64));
    metrics.gauge("acknowledged_gaps", "Open gaps that somebody has acknowledged.", Some(known.count() as u64));
    metrics.gauge("missing_segments", "Segments in open gaps.", Some(open().map(|gap| gap.segments).sum()));
    let oldest = open().filter_map(|gap| gap.opened_at).min();
    metrics.time("oldest_open_gap_timestamp_seconds", "The first loss in the oldest open gap.", oldest);
    let states = ["healed", "sealed"].map(|state| (state, count(state)));
    metrics.states("closed_gaps", "Closed gaps on record, of which the newest 1000 are kept.", &states);
}

fn backups(metrics: &mut Metrics, report: &Report) {
    let backups = &report.backups;
    metrics.time("last_full_timestamp_seconds", "End of the newest full backup.", backups.last_full_at);
    metrics.time("last_diff_timestamp_seconds", "End of the newest backup.", backups.last_diff_at);
    metrics.gauge(
        "last_full_duration_seconds",
        "How long the newest full backup took.",
        took(report, |kind| kind == "full"),
    );
    metrics.gauge("last_diff_duration_seconds", "How long the newest backup took.", took(report, |_| true));
    metrics.time("next_backup_due_timestamp_seconds", "When the next backup is due.", backups.next_due_at);
    // Nothing is known of a cluster without a data directory that can be read.
    let running = report.cluster.timeline.map(|_| u64::from(backups.running));
    metrics.gauge("backup_running", "Whether a backup runs.", running);
    let state = |state: &'static str| (state, u64::from(report.catalog.state == state));
    metrics.states("catalog_state", "What the last check of the catalog found.", &CATALOG_STATES.map(state));
    metrics.time("catalog_checked_timestamp_seconds", "Last check of the catalog.", report.catalog.checked_at);
    let count = report.extra.backups.as_ref().map(|backups| backups.len() as u64);
    metrics.gauge("backups", "Backups of this cluster in the catalog.", count);
}

/// How long the newest backup of some kind took, by the catalog.
fn took(report: &Report, is_it: impl Fn(&str) -> bool) -> Option<u64> {
    let backups = report.extra.backups.iter().flatten().filter(|backup| is_it(&backup.kind));
    let newest = backups.max_by_key(|backup| backup.ended_at)?;
    u64::try_from(newest.ended_at?.as_second() - newest.started_at?.as_second()).ok()
}

fn windows(metrics: &mut Metrics, windows: Option<&[Window]>) {
    let Some(windows) = windows else { return };
    metrics.gauge("windows", "Stretches of time that can be restored without a hole.", Some(windows.len() as u64));
    let from = windows.iter().filter_map(|window| window.from).min();
    let to = windows.iter().filter_map(|window| window.to).max();
    metrics.time("restorable_from_timestamp_seconds", "The oldest moment that can be restored.", from);
    metrics.time("restorable_to_timestamp_seconds", "The newest moment that can be restored.", to);
}

fn drill(metrics: &mut Metrics, report: &Report) {
    let Some(drill) = &report.drill else { return };
    metrics.time("drill_timestamp_seconds", "When the last drill began.", drill.at);
    let passed = Some(u64::from(drill.verdict == "passed"));
    metrics.gauge("drill_passed", "Whether the last drill proved what it set out to prove.", passed);
    metrics.time("drill_passed_timestamp_seconds", "When the last drill that passed began.", drill.passed_at);
    metrics.gauge("drill_duration_seconds", "How long the last drill took.", Some(drill.seconds));
}

fn estimate(metrics: &mut Metrics, report: &Report) {
    let Some(estimate) = report.extra.estimate else { return };
    let rate = Some(estimate.bytes_per_hour / 3_600);
    metrics.gauge("wal_rate_bytes_per_second", "WAL written per second, on average.", rate);
    let help = "At this rate and with nothing archived, seconds until the backlog reaches the threshold.";
    metrics.gauge("threshold_in_seconds", help, estimate.threshold_in);
    let help = "At this rate and with nothing archived, seconds until the free space falls below the reserve.";
    metrics.gauge("reserve_in_seconds", help, estimate.reserve_in);
    let help = "At this rate and with nothing archived, seconds until the disk is full.";
    metrics.gauge("disk_full_in_seconds", help, estimate.full_in);
}
