//! Windows, gaps and backups, each as a table.

use super::super::report::{BackupReport, GapReport, Report, Window};
use super::markup::{Markup, duration, or_unknown, time, unknown};
use super::{section, span};

type Row = Vec<Markup>;

fn table(headings: &[&'static str], rows: impl Iterator<Item = Row>) -> Markup {
    let headings = headings.iter().map(|heading| Markup::of("<th scope=\"col\">").raw(heading).raw("</th>"));
    let rows = rows.map(|cells| {
        let cells = cells.into_iter().map(|cell| Markup::of("<td>").add(&cell).raw("</td>"));
        Markup::of("<tr>").all(cells).raw("</tr>\n")
    });
    let head = Markup::of("<div class=\"scroll\"><table>\n<thead><tr>").all(headings);
    head.raw("</tr></thead>\n<tbody>\n").all(rows).raw("</tbody>\n</table></div>\n")
}

fn note(text: &'static str) -> Markup {
    Markup::of("<p class=\"muted\">").raw(text).raw("</p>\n")
}

fn code(text: impl std::fmt::Display) -> Markup {
    Markup::of("<code>").text(text).raw("</code>")
}

fn plain(text: impl std::fmt::Display) -> Markup {
    Markup::default().text(text)
}

/// What can be restored.
pub(super) fn windows(report: &Report) -> Markup {
    let content = match report.windows.as_deref() {
        None => note("Unknown. pgbackrest-guard status --repo asks the repository."),
        Some([]) => note("Nothing can be restored."),
        Some(windows) => {
            let headings = ["From", "Up to", "Length", "Timeline", "WAL positions", "From backup"];
            table(&headings, windows.iter().rev().map(window))
        }
    };
    section("windows", "What can be restored", &content)
}

fn window(window: &Window) -> Row {
    let length = window.from.zip(window.to).map(|(from, to)| to.as_second() - from.as_second());
    let length = length.and_then(|seconds| u64::try_from(seconds).ok()).map(duration);
    let positions = match (&window.from_lsn, &window.to_lsn) {
        (None, None) => unknown(),
        (from, to) => {
            let known = |lsn: &Option<String>| lsn.clone().unwrap_or_else(|| "unknown".to_owned());
            code(format!("{} to {}", known(from), known(to)))
        }
    };
    let (from, to) = (time(window.from), time(window.to));
    vec![from, to, or_unknown(length), plain(window.timeline), positions, code(&window.backup)]
}

/// Every gap, the open ones first, then the newest.
pub(super) fn gaps(report: &Report) -> Markup {
    let content = match report.gaps.as_deref() {
        None => note("Unknown: the record of losses can't be read."),
        Some([]) => note("None: no dropped segment is on record."),
        Some(gaps) => {
            let mut gaps: Vec<&GapReport> = gaps.iter().collect();
            gaps.sort_by_key(|gap| (gap.state != "open", gap.acknowledged.is_some(), std::cmp::Reverse(gap.id)));
            let headings = ["Gap", "State", "Missing", "Lost", "Why", "Closed"];
            table(&headings, gaps.into_iter().map(gap))
        }
    };
    section("gaps", "Gaps", &content)
}

fn gap(gap: &GapReport) -> Row {
    let count = if gap.segments == 1 { "1 segment".to_owned() } else { format!("{} segments", gap.segments) };
    let partial = if gap.partial { ".partial" } else { "" };
    let files = if gap.segments == 1 {
        code(format!("{}{partial}", gap.first))
    } else {
        code(&gap.first).raw("<br/><span class=\"whole\">to ").add(&code(&gap.last)).raw("</span>")
    };
    let files =
        files.raw("<br/><span class=\"muted\">").text(count).text(", timeline ").text(gap.timeline).raw("</span>");
    let why = plain(gap.cause).raw("<br/><span class=\"muted\">class ").text(gap.class);
    let why = if let Some(code) = &gap.s3_code { why.raw(", ").text(code) } else { why };
    vec![plain(gap.id), state(gap), files, span(gap.opened_at, gap.last_at), why.raw("</span>"), closed(gap)]
}

fn state(gap: &GapReport) -> Markup {
    let (class, word) = match (gap.state, &gap.acknowledged) {
        ("open", None) => ("badge critical", "open"),
        ("open", Some(_)) => ("badge warning", "acknowledged"),
        ("healed", _) => ("badge ok", "healed"),
        ("sealed", _) => ("badge unknown", "sealed"),
        (_, _) => ("badge unknown", gap.state),
    };
    Markup::of("<span class=\"").raw(class).raw("\">").text(word).raw("</span>")
}

fn closed(gap: &GapReport) -> Markup {
    let how = match (gap.state, &gap.sealed_by) {
        ("open", _) => Markup::of("<span class=\"whole\">not yet</span>"),
        ("sealed", Some(label)) => time(gap.closed_at).raw("<br/>by ").add(&code(label)),
        _ => time(gap.closed_at),
    };
    let Some(known) = &gap.acknowledged else { return how };
    how.raw("<br/><span class=\"muted\">acknowledged ")
        .add(&time(known.at))
        .raw(": ")
        .text(&known.reason)
        .raw("</span>")
}

/// The catalog's backups, the newest first; without the catalog what the watcher noted.
pub(super) fn backups(report: &Report) -> Markup {
    let content = match report.extra.backups.as_deref() {
        None => noted(report),
        Some([]) => note("The catalog holds none of this cluster."),
        Some(backups) => {
            let headings = ["Backup", "Kind", "Ended", "Took", "Timeline", "Repository", "Of use"];
            table(&headings, backups.iter().rev().map(backup))
        }
    };
    section("backups", "Backups", &content)
}

fn noted(report: &Report) -> Markup {
    let backups = &report.backups;
    let row =
        |name: &'static str, value: &Markup| Markup::of("<dt>").raw(name).raw("</dt><dd>").add(value).raw("</dd>\n");
    let catalog = plain(report.catalog.state);
    let catalog = if report.catalog.checked_at.is_some() {
        catalog.raw(", ").add(&time(report.catalog.checked_at))
    } else {
        catalog
    };
    let detail = report.catalog.detail.as_ref().map(|detail| Markup::of(": ").text(detail)).unwrap_or_default();
    let rows = [
        row("newest full", &time(backups.last_full_at)),
        row("newest of any kind", &time(backups.last_diff_at)),
        row("next due", &time(backups.next_due_at)),
        row("runs now", &plain(if backups.running { "yes" } else { "no" })),
        row("catalog", &catalog.add(&detail)),
    ];
    Markup::of("<dl>\n").all(rows).raw("</dl>\n")
}

fn backup(backup: &BackupReport) -> Row {
    let took = backup.started_at.zip(backup.ended_at).map(|(from, to)| to.as_second() - from.as_second());
    let took = took.and_then(|seconds| u64::try_from(seconds).ok()).map(duration);
    let of_use = match backup.unusable {
        None => Markup::of("<span class=\"badge ok\">yes</span>"),
        Some(why) => Markup::of("<span class=\"badge critical\">no</span> ").text(why),
    };
    vec![
        code(&backup.label),
        plain(&backup.kind),
        time(backup.ended_at),
        or_unknown(took),
        or_unknown(backup.timeline),
        plain(backup.repository),
        of_use,
    ]
}
