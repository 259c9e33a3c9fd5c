//! The time line: one row a timeline, drawn as SVG, with what can be restored, gaps and backups on one scale.

use super::super::report::{GapReport, Report, Window};
use super::markup::{Markup, moment};
use super::section;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The drawing's width and where the rows begin and end in it, in its own units.
const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 984.0;
/// A row's height: the backups' marks, then the bar.
const ROW: f64 = 44.0;
const BAR_TOP: f64 = 16.0;
const BAR: f64 = 18.0;
/// Nothing is drawn narrower: what was lost in a second shall be seen in a year.
const NARROWEST: f64 = 4.0;
/// The most ticks on the scale.
const TICKS: i64 = 7;
/// Seconds between two ticks.
const STEPS: [i64; 17] = [
    60,
    300,
    900,
    1_800,
    3_600,
    7_200,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
    1_209_600,
    2_592_000,
    7_776_000,
    15_552_000,
    31_536_000,
    315_360_000,
];
const DAY: i64 = 86_400;

/// What can be restored, in one sentence.
pub(super) fn sentence(report: &Report) -> String {
    let Some(windows) = &report.windows else {
        return "What can be restored is unknown: the catalog was not seen, or the record of losses can't be read."
            .to_owned();
    };
    let from = windows.iter().filter_map(|window| window.from).min();
    let to = windows.iter().filter_map(|window| window.to).max();
    match (windows.len(), from, to) {
        (0, _, _) => "Nothing can be restored.".to_owned(),
        (1, Some(from), Some(to)) => format!("Any moment from {} to {} can be restored.", moment(from), moment(to)),
        (1, Some(from), None) => {
            format!("What is archived from {} on can be restored; no commit in it is known.", moment(from))
        }
        (count, Some(from), Some(to)) => {
            format!("{count} stretches of time between {} and {} can be restored.", moment(from), moment(to))
        }
        _ => "What can be restored is known only by its position in the WAL, not by time.".to_owned(),
    }
}

/// The section with the drawing, or with the reason why there is none.
pub(super) fn section_of(report: &Report) -> Markup {
    let caption = Markup::of("<p>").text(sentence(report)).raw("</p>\n");
    let drawing = Scale::of(report).map(|scale| drawing(report, &scale)).unwrap_or_default();
    section("timeline", "Time line", &caption.add(&drawing))
}

/// The scale: which seconds since 1970 lie at the left and right ends.
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    /// From the first thing that is known to the report; `None` where nothing is.
    fn of(report: &Report) -> Option<Self> {
        let windows = report.windows.iter().flatten().flat_map(|window| [window.from, window.to]);
        let gaps = report.gaps.iter().flatten().flat_map(|gap| [gap.opened_at, gap.last_at]);
        let backups = report.extra.backups.iter().flatten().map(|backup| backup.ended_at);
        let noted = [report.backups.last_full_at, report.backups.last_diff_at];
        let known = windows.chain(gaps).chain(backups).chain(noted).flatten().map(Timestamp::as_second);
        let known: Vec<i64> = known.collect();
        let (first, last) = (known.iter().min()?, known.iter().max()?);
        let last = report.extra.made_at.map_or(*last, |made| made.as_second().max(*last));
        // A little room on both sides.
        let room = ((last - first) / 50).max(30);
        Some(Self { from: first - room, to: last + room })
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing needs no more than 52 bits of a second count")]
    fn x(&self, at: Timestamp) -> f64 {
        let part = (at.as_second() - self.from) as f64 / (self.to - self.from) as f64;
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Where ticks are, and their labels.
    fn ticks(&self) -> Vec<(Timestamp, String)> {
        let span = self.to - self.from;
        let step = STEPS.into_iter().find(|step| span / step < TICKS).unwrap_or(315_360_000);
        let first = self.from.div_euclid(step) + 1;
        let moments = (first..=self.to.div_euclid(step)).filter_map(|at| Timestamp::from_second(at * step).ok());
        moments.map(|at| (at, label(at, step))).collect()
    }
}

fn label(at: Timestamp, step: i64) -> String {
    let format = match (step, at.as_second() % DAY) {
        (step, 0) if step < 90 * DAY => "%-d %b",
        (step, _) if step < DAY => "%H:%M",
        _ => "%b %Y",
    };
    at.strftime(format).to_string()
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

/// A bar of the full height.
fn rectangle(class: &'static str, x: (f64, f64), y: f64, title: &str) -> Markup {
    bar(class, x, (y, BAR), title)
}

fn bar(class: &'static str, (from, to): (f64, f64), (y, height): (f64, f64), title: &str) -> Markup {
    let width = (to - from).max(NARROWEST);
    let from = if to - from < NARROWEST { f64::midpoint(from, to) - NARROWEST / 2.0 } else { from };
    Markup::of("<rect class=\"")
        .raw(class)
        .raw("\" x=\"")
        .text(number(from))
        .raw("\" y=\"")
        .text(number(y))
        .raw("\" width=\"")
        .text(number(width))
        .raw("\" height=\"")
        .text(height)
        .raw("\" rx=\"3\"><title>")
        .text(title)
        .raw("</title></rect>\n")
}

fn drawing(report: &Report, scale: &Scale) -> Markup {
    let timelines = timelines(report);
    let mut height = 0.0;
    let mut rows = Vec::new();
    for timeline in timelines {
        rows.push(row(report, scale, timeline, height));
        height += ROW;
    }
    let open = Markup::of("<div class=\"scroll\"><svg viewBox=\"0 0 ")
        .text(WIDTH)
        .raw(" ")
        .text(number(height + 24.0))
        .raw("\" role=\"img\" aria-label=\"")
        .text(sentence(report))
        .raw("\">\n");
    let drawn = open.add(&ticks(scale, height)).all(rows).add(&now(report, scale, height));
    drawn.raw("</svg></div>\n").add(&legend(report))
}

/// Every timeline that anything is known of.
fn timelines(report: &Report) -> BTreeSet<u32> {
    let windows = report.windows.iter().flatten().map(|window| window.timeline);
    let gaps = report.gaps.iter().flatten().filter(|gap| gap.state != "healed").map(|gap| gap.timeline);
    let backups = report.extra.backups.iter().flatten().filter_map(|backup| backup.timeline);
    let known: BTreeSet<u32> = windows.chain(gaps).chain(backups).chain(report.cluster.timeline).collect();
    if known.is_empty() { BTreeSet::from([1]) } else { known }
}

fn row(report: &Report, scale: &Scale, timeline: u32, top: f64) -> Markup {
    let y = top + BAR_TOP;
    let label = Markup::of("<text class=\"row\" x=\"0\" y=\"")
        .text(number(y + BAR - 5.0))
        .raw("\">timeline ")
        .text(timeline)
        .raw("</text>\n");
    let known = report.windows.is_some();
    let track = if known { "nothing can be restored here" } else { "not known" };
    let track = rectangle("track", (LEFT, RIGHT), y, track);
    let windows = report.windows.iter().flatten().filter(|window| window.timeline == timeline);
    let windows = windows.filter_map(|window| self::window(report, window, scale, y));
    let gaps = report.gaps.iter().flatten().filter(|gap| gap.timeline == timeline && gap.state != "healed");
    let gaps = gaps.filter_map(|gap| self::gap(gap, scale, y));
    let marks = marks(report, scale, timeline, top + 7.0);
    label.add(&track).add(&behind(report, scale, timeline, y)).all(windows).all(gaps).add(&marks)
}

/// A window: from when to when; thinner where no commit tells up to when.
fn window(report: &Report, window: &Window, scale: &Scale, y: f64) -> Option<Markup> {
    let from = window.from?;
    let Some(to) = window.to else {
        let own = |timeline: u32| timeline == window.timeline;
        let lost = report.gaps.iter().flatten().filter(|gap| own(gap.timeline) && gap.state != "healed");
        let next = report.windows.iter().flatten().filter(|next| own(next.timeline)).filter_map(|next| next.from);
        let ends = lost.filter_map(|gap| gap.opened_at).chain(next).filter(|end| *end > from);
        let end = ends.chain(report.extra.made_at).min()?;
        let title = format!("archived from {} on, up to an unknown time; from backup {}", moment(from), window.backup);
        return Some(bar("window", (scale.x(from), scale.x(end)), (y + 5.0, 8.0), &title));
    };
    let title = format!("can be restored: {} to {}, from backup {}", moment(from), moment(to), window.backup);
    Some(rectangle("window", (scale.x(from), scale.x(to)), y, &title))
}

/// What can't be restored for each loss: from the window before it to the next one, or to the report. Thinner than what was
/// lost itself.
fn behind(report: &Report, scale: &Scale, timeline: u32, y: f64) -> Markup {
    let gaps = report.gaps.iter().flatten().filter(|gap| gap.timeline == timeline && gap.state != "healed");
    let stretches = gaps.filter_map(|gap| {
        let lost = gap.last_at.or(gap.opened_at)?;
        let windows = report.windows.as_ref()?.iter().filter(|window| window.timeline == timeline);
        let covered = |window: &&Window| window.from.zip(window.to).is_some_and(|(from, to)| from <= lost && lost < to);
        if windows.clone().any(|window| covered(&window)) {
            return None;
        }
        // What was given up late had been written earlier: nothing is there from the window's end on.
        let begin = windows.clone().filter_map(|window| window.to).filter(|to| *to <= lost).max().unwrap_or(lost);
        let next = windows.filter_map(|window| window.from).filter(|from| *from > lost).min();
        // A timeline that was left goes no further.
        let goes_on = report.cluster.timeline.is_none_or(|current| current == timeline);
        let end = next.or(report.extra.made_at.filter(|_| goes_on))?;
        let class = kind(gap).0;
        Some(bar(class, (scale.x(begin), scale.x(end)), (y + 5.0, 8.0), "after a gap: can't be restored"))
    });
    Markup::default().all(stretches)
}

/// How a gap is drawn and what it is called.
fn kind(gap: &GapReport) -> (&'static str, &'static str) {
    match (gap.state, &gap.acknowledged) {
        ("open", None) => ("gap", "open"),
        ("open", Some(_)) => ("known", "acknowledged"),
        _ => ("closed", gap.state),
    }
}

fn gap(gap: &GapReport, scale: &Scale, y: f64) -> Option<Markup> {
    let from = gap.opened_at?;
    let to = gap.last_at.unwrap_or(from);
    let (class, word) = kind(gap);
    let title = format!("gap {}, {word}: {} to {}, lost at {}", gap.id, gap.first, gap.last, moment(from));
    Some(rectangle(class, (scale.x(from), scale.x(to)), y, &title))
}

/// The backups, above the bar: a full one filled, others hollow.
fn marks(report: &Report, scale: &Scale, timeline: u32, y: f64) -> Markup {
    let catalog =
        report.extra.backups.iter().flatten().filter(|backup| backup.timeline.unwrap_or(timeline) == timeline);
    let mut marks: Vec<(Timestamp, bool, String)> = catalog
        .filter_map(|backup| {
            let at = backup.ended_at?;
            let title = format!("{} backup {}, ended {}", backup.kind, backup.label, moment(at));
            Some((at, backup.kind == "full", title))
        })
        .collect();
    // Without the catalog, what the watcher noted; that was on the timeline of today.
    if report.extra.backups.is_none() && report.cluster.timeline.is_none_or(|now| now == timeline) {
        let noted =
            |at: Option<Timestamp>, full, kind| at.map(|at| (at, full, format!("{kind}, ended {}", moment(at))));
        let (full, any) = (report.backups.last_full_at, report.backups.last_diff_at);
        marks.extend(noted(any.filter(|_| any != full), false, "newest backup"));
        marks.extend(noted(full, true, "newest full backup"));
    }
    let marks = marks.into_iter().map(|(at, full, title)| {
        Markup::of("<path class=\"")
            .raw(if full { "full" } else { "diff" })
            .raw("\" d=\"M")
            .text(format!("{:.1} {:.1}l5.5 5.5-5.5 5.5-5.5-5.5z", scale.x(at), y - 5.5))
            .raw("\"><title>")
            .text(title)
            .raw("</title></path>\n")
    });
    Markup::default().all(marks)
}

fn ticks(scale: &Scale, height: f64) -> Markup {
    let ticks = scale.ticks().into_iter().map(|(at, label)| {
        let x = number(scale.x(at));
        Markup::of("<line class=\"tick\" y1=\"0\" x1=\"")
            .text(&x)
            .raw("\" x2=\"")
            .text(&x)
            .raw("\" y2=\"")
            .text(number(height))
            .raw("\"/><text text-anchor=\"middle\" x=\"")
            .text(&x)
            .raw("\" y=\"")
            .text(number(height + 16.0))
            .raw("\">")
            .text(label)
            .raw("</text>\n")
    });
    Markup::default().all(ticks)
}

/// A line at the moment of the report.
fn now(report: &Report, scale: &Scale, height: f64) -> Markup {
    let Some(made) = report.extra.made_at else { return Markup::default() };
    let x = number(scale.x(made));
    Markup::of("<line class=\"now\" y1=\"0\" x1=\"")
        .text(&x)
        .raw("\" x2=\"")
        .text(&x)
        .raw("\" y2=\"")
        .text(number(height))
        .raw("\"><title>this report</title></line>\n")
}

/// What the colours and marks mean, as far as they occur.
fn legend(report: &Report) -> Markup {
    let gaps = || report.gaps.iter().flatten();
    let open = |known: bool| gaps().any(|gap| gap.state == "open" && gap.acknowledged.is_some() == known);
    let none = if report.windows.is_some() { "before the first backup, or not archived yet" } else { "not known" };
    let windows = || report.windows.iter().flatten();
    let bar = "<rect width=\"14\" height=\"14\" rx=\"3\" class=\"";
    let entries = [
        (windows().any(|window| window.to.is_some()), "window", "can be restored"),
        (windows().any(|window| window.to.is_none()), "window", "archived, time unknown (thin)"),
        (true, "track", none),
        (open(false), "gap", "lost, and what follows it"),
        (open(true), "known", "lost, acknowledged"),
        (gaps().any(|gap| gap.state == "sealed"), "closed", "lost; a later backup starts over"),
    ];
    let bars = entries.into_iter().filter(|(occurs, ..)| *occurs).map(|(_, class, words)| {
        Markup::of("<li><svg viewBox=\"0 0 14 14\">").raw(bar).raw(class).raw("\"/></svg>").raw(words).raw("</li>\n")
    });
    let marks = [("full", "full backup"), ("diff", "diff or incr backup")].map(|(class, words)| {
        let sign = Markup::of("<li><svg viewBox=\"0 0 14 14\"><path class=\"").raw(class);
        sign.raw("\" d=\"M7 1l6 6-6 6-6-6z\"/></svg>").raw(words).raw("</li>\n")
    });
    Markup::of("<ul class=\"legend\">\n").all(bars).all(marks).raw("</ul>\n")
}
