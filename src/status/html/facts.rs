//! The four answers, archiving, and the cluster.

use super::super::report::{Estimate, Failure, Report};
use super::markup::{Markup, before, bytes, duration, moment, or_unknown, time, unknown};
use super::section;
use crate::pgbackrest::failure::brief;
use jiff::Timestamp;

/// One answer: its name, its value and whether that is bad, and what to know about it.
struct Tile {
    name: &'static str,
    value: Option<String>,
    bad: bool,
    note: String,
}

/// The four answers at the head of the page: archiving, losses, backups, what can be restored.
pub(super) fn tiles(report: &Report) -> Markup {
    let tiles = [restorable_to(report), restorable_from(report), missing(report), newest_full(report)];
    let tiles = tiles.map(|tile| {
        Markup::of(if tile.bad { "<div class=\"tile bad\">" } else { "<div class=\"tile\">" })
            .raw("<p class=\"name\">")
            .raw(tile.name)
            .raw("</p><p class=\"value\">")
            .add(&or_unknown(tile.value))
            .raw("</p><p class=\"note\">")
            .text(tile.note)
            .raw("</p></div>\n")
    });
    Markup::of("<div class=\"tiles\">\n").all(tiles).raw("</div>\n")
}

/// A moment to the minute: a tile has room for no more.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

const NOT_ASKED: &str = "the catalog was not seen";

fn restorable_to(report: &Report) -> Tile {
    let newest = report.windows.as_ref().map(|windows| windows.iter().filter_map(|window| window.to).max());
    let nothing = report.windows.as_ref().is_some_and(Vec::is_empty);
    let note = match newest {
        None => NOT_ASKED.to_owned(),
        Some(None) if !nothing => "archived, but no commit in it is known".to_owned(),
        Some(newest) => before(newest, report.extra.made_at).unwrap_or_default(),
    };
    let value = if nothing { Some("nothing".to_owned()) } else { newest.flatten().map(minute) };
    Tile { name: "Can be restored up to", value, bad: nothing, note }
}

fn restorable_from(report: &Report) -> Tile {
    let windows = report.windows.as_deref();
    let oldest = windows.and_then(|windows| windows.iter().filter_map(|window| window.from).min());
    let note = match windows.map(<[_]>::len) {
        None => NOT_ASKED.to_owned(),
        Some(0) => String::new(),
        Some(1) => "without a hole".to_owned(),
        Some(count) => format!("in {count} stretches: see the time line"),
    };
    let nothing = windows.is_some_and(<[_]>::is_empty);
    let value = if nothing { Some("nothing".to_owned()) } else { oldest.map(minute) };
    Tile { name: "Can be restored from", value, bad: nothing, note }
}

fn missing(report: &Report) -> Tile {
    let name = "Missing WAL";
    let Some(gaps) = &report.gaps else {
        return Tile { name, value: None, bad: false, note: "the record of losses can't be read".to_owned() };
    };
    let open = |known: bool| gaps.iter().filter(move |gap| gap.state == "open" && gap.acknowledged.is_some() == known);
    let missing = |known: bool| open(known).map(|gap| gap.segments).sum::<u64>();
    let in_gaps = |count: usize| if count == 1 { "in 1 open gap".to_owned() } else { format!("in {count} open gaps") };
    let (pressing, known) = (open(false).count(), open(true).count());
    let (value, note) = match (pressing, known, gaps.len()) {
        (0, 0, 0) => ("none".to_owned(), "no loss is on record".to_owned()),
        (0, 0, closed) => ("none".to_owned(), format!("{closed} closed on record")),
        (0, known, _) => (segments(missing(true)), format!("{}, acknowledged", in_gaps(known))),
        (pressing, 0, _) => (segments(missing(false)), in_gaps(pressing)),
        (pressing, known, _) => (segments(missing(false)), format!("{}, {known} more acknowledged", in_gaps(pressing))),
    };
    Tile { name, value: Some(value), bad: pressing > 0, note }
}

fn newest_full(report: &Report) -> Tile {
    let at = report.backups.last_full_at;
    let note = if report.backups.running {
        "a backup runs now".to_owned()
    } else {
        before(at, report.extra.made_at).unwrap_or_default()
    };
    Tile { name: "Newest full backup", value: at.map(minute), bad: false, note }
}

type Rows = Vec<(&'static str, Markup)>;

fn list(rows: Rows) -> Markup {
    let rows =
        rows.into_iter().map(|(name, value)| Markup::of("<dt>").raw(name).raw("</dt><dd>").add(&value).raw("</dd>\n"));
    Markup::of("<dl>\n").all(rows).raw("</dl>\n")
}

fn plain(text: impl std::fmt::Display) -> Markup {
    Markup::default().text(text)
}

fn code(text: Option<&String>) -> Markup {
    text.map_or_else(unknown, |text| Markup::of("<code>").text(text).raw("</code>"))
}

fn yes(yes: Option<bool>) -> Markup {
    or_unknown(yes.map(|yes| if yes { "yes" } else { "no" }))
}

/// Archiving now, with what waits against what is allowed.
pub(super) fn archiving(report: &Report) -> Markup {
    let (archiving, push) = (&report.archiving, &report.push);
    let files =
        archiving.backlog_segments.map(|files| if files == 1 { "1 file".to_owned() } else { format!("{files} files") });
    let last = code(archiving.last_archived_wal.as_ref());
    let last =
        if archiving.last_archived_at.is_some() { last.raw(", ").add(&time(archiving.last_archived_at)) } else { last };
    let mut rows = vec![
        ("switched on", yes(archiving.enabled)),
        ("last archived", last),
        ("waiting files", or_unknown(files)),
        ("free space", limit(archiving.free_bytes, archiving.reserve_bytes, "reserve")),
        ("failed pushes", counts(push.failed_count, push.consecutive_failures)),
        ("dropped", or_unknown(push.dropped_count.map(segments))),
        ("in overflow", or_unknown(push.overflowed_count.map(segments))),
    ];
    if let Some(why) = &archiving.invalid_bucket {
        rows.insert(1, ("bucket refused", plain(why)));
    }
    if let Some(count) = archiving.archived_count {
        let failed = archiving.failed_count.map_or_else(String::new, |failed| format!(", {failed} failed attempts"));
        rows.push(("PostgreSQL's count", plain(format!("{count} files archived{failed}"))));
    }
    rows.extend(report.extra.estimate.map(|estimate| ("at the current rate", plain(outlook(estimate)))));
    rows.extend(push.last_failure.as_ref().map(|failure| ("last failure", last_failure(failure))));
    section("archiving", "Archiving", &meter(report).add(&list(rows)))
}

fn segments(count: u64) -> String {
    if count == 1 { "1 segment".to_owned() } else { format!("{count} segments") }
}

fn counts(failed: Option<u64>, in_a_row: Option<u64>) -> Markup {
    let in_a_row =
        in_a_row.filter(|count| *count > 0).map_or_else(String::new, |count| format!(", {count} consecutive now"));
    or_unknown(failed.map(|failed| format!("{failed}{in_a_row}")))
}

fn limit(value: Option<u64>, limit: Option<u64>, name: &str) -> Markup {
    let limit = limit.map_or_else(String::new, |limit| format!(", {name} {}", bytes(limit)));
    or_unknown(value.map(|value| format!("{}{limit}", bytes(value))))
}

/// What waits, as a part of the threshold.
fn meter(report: &Report) -> Markup {
    let archiving = &report.archiving;
    let (Some(backlog), Some(threshold)) = (archiving.backlog_bytes, archiving.threshold_bytes) else {
        return Markup::default();
    };
    let percent = u128::from(backlog) * 100 / u128::from(threshold.max(1));
    let class = match percent {
        0..50 => "ok",
        50..100 => "warning",
        _ => "critical",
    };
    Markup::of("<div class=\"meters\"><div class=\"meter\"><p class=\"label\"><span>Backlog</span><span>")
        .text(format!("{} of {}", bytes(backlog), bytes(threshold)))
        .raw("</span></p><svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")
        .text(format!("{percent} percent of the threshold"))
        .raw("\"><rect class=\"track\" width=\"100\" height=\"4\"/><rect class=\"")
        .raw(class)
        .raw("\" width=\"")
        .text(percent.min(100))
        .raw("\" height=\"4\"/></svg></div></div>\n")
}

/// What will happen if nothing is archived from now on.
fn outlook(estimate: Estimate) -> String {
    let rate = format!("{} of WAL an hour", bytes(estimate.bytes_per_hour));
    let until = |seconds: Option<u64>, what: &str| seconds.map(|seconds| format!("{what} in {}", duration(seconds)));
    let limits = [until(estimate.threshold_in, "the threshold"), until(estimate.full_in, "a full disk")];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        rate
    } else {
        format!(
            "{rate}; if nothing were archived from now on: {}",
            limits.join(
                ", \
                                                                                                                  "
            )
        )
    }
}

fn last_failure(failure: &Failure) -> Markup {
    let at = failure.at.map_or_else(|| "unknown".to_owned(), moment);
    let mut kind = format!("class {}", failure.class);
    if let Some(code) = failure.code {
        kind = format!("{kind}, pgBackRest's code {code}");
    }
    if let Some(code) = &failure.s3_code {
        kind = format!("{kind}, the store said {code}");
    }
    let head = Markup::of("<code>").text(&failure.file).raw("</code>, ").text(at).raw(", ").text(kind);
    if failure.message.is_empty() {
        return head;
    }
    head.raw("<br/><code class=\"muted\">").text(brief(&failure.message)).raw("</code>")
}

/// Which cluster this is about.
pub(super) fn cluster(report: &Report) -> Markup {
    let cluster = &report.cluster;
    let rows = vec![
        ("data directory", code(cluster.pgdata.as_ref())),
        ("system identifier", code(cluster.system_id.as_ref())),
        ("timeline", or_unknown(cluster.timeline)),
        ("in recovery", yes(cluster.in_recovery)),
        ("server answers", yes(report.extra.server_answers)),
    ];
    section("cluster", "Cluster", &list(rows))
}
