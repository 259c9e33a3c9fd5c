//! The time line: one row a timeline, as wide as the terminal.
//!
//! A cell shows the worst of its time, so that no gap is too short to be seen.

use super::layout::Style;
use crate::status::report::{GapReport, Report, Window};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Columns before the line.
const MARGIN: usize = 14;

/// What a cell shows, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// Nothing of this timeline.
    Nothing,
    /// Before the first backup.
    Before,
    /// It can be restored.
    Restorable,
    /// In the archive perhaps: no commit is known.
    Unsure,
    /// Behind the newest archived commit.
    NotYet,
    /// It can't be restored.
    Gap,
}

impl Cell {
    fn sign(self, ascii: bool) -> char {
        match (self, ascii) {
            (Self::Nothing, _) => ' ',
            (Self::Before, true) => '.',
            (Self::Before, false) => '·',
            (Self::Restorable, true) => '=',
            (Self::Restorable, false) => '█',
            (Self::Unsure, _) => '?',
            (Self::NotYet, true) => '-',
            (Self::NotYet, false) => '─',
            (Self::Gap, true) => 'x',
            (Self::Gap, false) => '×',
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Restorable => "32",
            Self::Gap => "1;31",
            Self::Unsure | Self::NotYet => "33",
            Self::Nothing | Self::Before => "2",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Before => "before the first backup",
            Self::Restorable => "restorable",
            Self::Unsure => "archived, time unknown",
            Self::NotYet => "not archived yet",
            Self::Gap => "not restorable",
        }
    }
}

/// A stretch of time on one timeline, in seconds since 1970, both ends inside.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
    cell: Cell,
}

/// Draws the rows, the axis and what the signs mean.
pub(super) fn draw(out: &mut String, style: &Style, report: &Report, windows: &[Window]) {
    let Some((start, end)) = axis(report, windows) else { return };
    let columns = style.width() - MARGIN;
    let mut used = BTreeSet::new();
    for timeline in timelines(report, windows) {
        // Where a second is wider than a column, nothing stays between one that is shown and the next.
        let step = i64::from(end - start >= i64::try_from(columns).unwrap_or(0));
        let spans = spans(report, windows, timeline, (start, end), step);
        let cells = cells(&spans, (start, end), columns);
        used.extend(cells.iter().copied());
        let _ = writeln!(out, "  timeline {timeline:<3}{}", painted(&cells, style).trim_end());
    }
    let _ = writeln!(out, "{}", ends(start, end, style.width()));
    let legend = used.into_iter().filter(|cell| *cell != Cell::Nothing);
    let legend: Vec<String> = legend.map(|cell| format!("{} {}", cell.sign(style.ascii), cell.words())).collect();
    super::flow(out, style, &" ".repeat(MARGIN), MARGIN, &legend.join(", "));
    out.push('\n');
}

/// The first and the last moment that are shown.
fn axis(report: &Report, windows: &[Window]) -> Option<(i64, i64)> {
    let backups = report.extra.backups.iter().flatten().filter_map(|backup| backup.started_at);
    let begins = windows.iter().filter_map(|window| window.from).chain(backups);
    let start = begins.map(Timestamp::as_second).min()?;
    let ends = windows.iter().filter_map(|window| window.to).chain(report.extra.made_at);
    let end = ends.map(Timestamp::as_second).max()?;
    Some((start, end.max(start + 1)))
}

fn timelines(report: &Report, windows: &[Window]) -> BTreeSet<u32> {
    let own = report.cluster.timeline.filter(|_| !windows.is_empty());
    windows.iter().map(|window| window.timeline).chain(own).collect()
}

/// What is to be said of a timeline.
fn spans(report: &Report, windows: &[Window], timeline: u32, (start, end): (i64, i64), step: i64) -> Vec<Span> {
    let own: Vec<&Window> = windows.iter().filter(|window| window.timeline == timeline).collect();
    let begin = |window: &Window| window.from.map_or_else(|| begin_by_parent(window, windows), Timestamp::as_second);
    let mut spans = Vec::new();
    let goes_on = report.cluster.timeline.is_none_or(|current| current == timeline);
    if let Some(first) = own.first().filter(|_| windows.first().is_some_and(|first| first.timeline == timeline)) {
        spans.push(Span { from: start, to: begin(first), cell: Cell::Before });
    }
    for (at, window) in own.iter().enumerate() {
        let from = begin(window);
        let next = own.get(at + 1).map(|next| begin(next));
        let last = if goes_on { end } else { from };
        if let Some(to) = window.to.map(Timestamp::as_second) {
            spans.push(Span { from, to, cell: Cell::Restorable });
            let behind = if next.is_some() || is_open(report, timeline) { Cell::Gap } else { Cell::NotYet };
            if next.is_some() || goes_on {
                spans.push(Span { from: to + step, to: next.map_or(last, |next| next - step), cell: behind });
            }
        } else {
            spans.push(Span { from, to: next.map_or(last, |next| next - step), cell: Cell::Unsure });
        }
    }
    spans
}

/// A timeline whose beginning is not known begins where what is known of its parent ends.
fn begin_by_parent(window: &Window, windows: &[Window]) -> i64 {
    let older = windows.iter().filter(|older| older.backup == window.backup && older.timeline < window.timeline);
    let ends = older.filter_map(|older| older.to.or(older.from)).map(Timestamp::as_second);
    ends.max().unwrap_or_default()
}

fn is_open(report: &Report, timeline: u32) -> bool {
    let is_it = |gap: &GapReport| gap.state == "open" && gap.timeline == timeline;
    report.gaps.iter().flatten().any(is_it)
}

/// The worst of each cell.
fn cells(spans: &[Span], (start, end): (i64, i64), columns: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::Nothing; columns];
    let width = i128::from(end - start) + 1;
    let column = |at: i64| {
        let from_start = i128::from(at.clamp(start, end) - start);
        usize::try_from(from_start * columns as i128 / width).unwrap_or(0).min(columns - 1)
    };
    for span in spans.iter().filter(|span| span.from <= span.to) {
        for cell in cells.iter_mut().take(column(span.to) + 1).skip(column(span.from)) {
            *cell = (*cell).max(span.cell);
        }
    }
    cells
}

/// The cells as text, each run of a colour painted at once.
fn painted(cells: &[Cell], style: &Style) -> String {
    let runs = cells.chunk_by(|a, b| a == b);
    let text = |run: &[Cell]| {
        let cell = run.first().copied().unwrap_or(Cell::Nothing);
        let signs: String = run.iter().map(|cell| cell.sign(style.ascii)).collect();
        if cell == Cell::Nothing { signs } else { style.painted(cell.colour(), &signs) }
    };
    runs.map(text).collect()
}

/// Both ends of the axis, below it.
fn ends(start: i64, end: i64, width: usize) -> String {
    let shown = |at: i64| Timestamp::from_second(at).map_or_else(|_| String::new(), |at| at.to_string());
    let (first, last) = (shown(start), shown(end));
    let room = width - MARGIN;
    if first.len() + last.len() + 2 > room {
        return format!("{}{first}", " ".repeat(MARGIN));
    }
    format!("{}{first}{last:>right$}", " ".repeat(MARGIN), right = room - first.len())
}
