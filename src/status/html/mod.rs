//! The report as one page, for a ticket or an audit.
//!
//! It loads nothing and runs nothing: style and drawing are inside, and a content security policy forbids the rest. Light or
//! dark as the reader's system is. A person sees at once what is safe: first the verdict in words, colour and sign, then
//! four answers, then the time line; details below.

mod facts;
mod markup;
mod tables;
mod timeline;

use super::report::Report;
use crate::verdict::Verdict;
use markup::{Markup, moment, time};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>";

/// The signs of the verdicts, drawn in a square of 48: a colour alone is not seen by everyone.
const TICK: &str = "<path d=\"M14 25l7 7 14-15\"/>";
const BANG: &str = "<path d=\"M24 12v15M24 35v1\"/>";
const CROSS: &str = "<path d=\"M16 16l16 16M32 16L16 32\"/>";
const QUESTION: &str = "<path d=\"M17 19a7 7 0 1 1 10 6c-2 1-3 2-3 5M24 36v1\"/>";

/// The report as a page.
#[must_use]
pub fn html(report: &Report) -> String {
    let verdict = report.verdict.as_str().to_uppercase();
    let page = Markup::of(HEAD)
        .text(format!("{verdict}: pgbackrest-guard status"))
        .raw("</title>\n<style>\n")
        .raw(include_str!("page.css"))
        .raw("</style>\n</head>\n<body>\n<main>\n")
        .add(&banner(report))
        .add(&facts::tiles(report))
        .add(&timeline::section_of(report))
        .add(&tables::windows(report))
        .add(&tables::gaps(report))
        .add(&tables::backups(report))
        .add(&facts::archiving(report))
        .add(&facts::cluster(report))
        .add(&footer(report));
    page.raw("</main>\n</body>\n</html>\n").into_string()
}

fn banner(report: &Report) -> Markup {
    let (class, sign, words) = match report.verdict {
        Verdict::Ok => ("verdict ok", TICK, "OK: nothing to do"),
        Verdict::Warning => ("verdict warning", BANG, "Warning: somebody should look"),
        Verdict::Critical => ("verdict critical", CROSS, "Critical: somebody must act"),
        Verdict::Unknown => ("verdict unknown", QUESTION, "Unknown: it can't be determined"),
    };
    let mut reasons = report.reasons.iter();
    let lead = reasons.next().map_or_else(|| timeline::sentence(report), |reason| sentence(reason));
    let more: Vec<Markup> = reasons.map(|reason| Markup::of("<li>").text(sentence(reason)).raw("</li>\n")).collect();
    let banner = Markup::of("<section class=\"").raw(class).raw("\">\n");
    let banner = banner
        .raw("<svg viewBox=\"0 0 48 48\" aria-hidden=\"true\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"4\" ")
        .raw("stroke-linecap=\"round\" stroke-linejoin=\"round\"><circle cx=\"24\" cy=\"24\" r=\"21\" stroke-width=\"3\"/>")
        .raw(sign)
        .raw("</svg>\n<div>\n<h1>")
        .raw(words)
        .raw("</h1>\n<p class=\"lead\">")
        .text(lead)
        .raw("</p>\n");
    let banner = if more.is_empty() { banner } else { banner.raw("<ul>\n").all(more).raw("</ul>\n") };
    banner.raw("</div>\n</section>\n")
}

/// A reason as a sentence: it begins with a capital and ends with a full stop.
fn sentence(reason: &str) -> String {
    let mut rest = reason.chars();
    let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if reason.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", rest.as_str())
}

fn footer(report: &Report) -> Markup {
    let made = report.extra.made_at.map_or_else(|| "unknown".to_owned(), moment);
    Markup::of("<footer>\n<p>Made at ")
        .text(made)
        .raw(" by pgbackrest-guard ")
        .text(env!("CARGO_PKG_VERSION"))
        .raw(". All times are UTC. This page loads nothing from elsewhere.</p>\n</footer>\n")
}

/// A section with a heading.
fn section(class: &'static str, heading: &'static str, content: &Markup) -> Markup {
    let open = Markup::of("<section class=\"").raw(class).raw("\">\n<h2>").raw(heading).raw("</h2>\n");
    open.add(content).raw("</section>\n")
}

/// Two moments, from and to.
fn span(from: Option<jiff::Timestamp>, to: Option<jiff::Timestamp>) -> Markup {
    if from == to { time(from) } else { time(from).raw("<br/><span class=\"whole\">to ").add(&time(to)).raw("</span>") }
}
