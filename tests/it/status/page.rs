//! The page by its structure: well-formed, complete in itself, readable in both schemes.

use super::situations::situations;
use pgbackrest_guard::status::html;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;

const ELEMENTS: [&str; 34] = [
    "html", "head", "meta", "title", "style", "body", "main", "section", "div", "h1", "h2", "p", "ul", "li", "dl",
    "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "code", "span", "time", "br", "footer", "svg", "rect",
    "path", "circle", "text", "line",
];
const ATTRIBUTES: [&str; 32] = [
    "lang",
    "charset",
    "name",
    "content",
    "http-equiv",
    "class",
    "datetime",
    "scope",
    "role",
    "aria-label",
    "aria-hidden",
    "viewBox",
    "preserveAspectRatio",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "width",
    "height",
    "d",
    "fill",
    "stroke",
    "stroke-width",
    "stroke-linecap",
    "stroke-linejoin",
    "text-anchor",
];

#[test]
fn a_page_is_well_formed_and_every_element_and_attribute_is_a_known_one() {
    for (name, report) in situations() {
        let page = html(&report);
        let mut reader = Reader::from_str(&page);
        reader.config_mut().check_end_names = true;
        let mut open = 0_i64;
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{name}: {error}")) {
                Event::Start(element) => {
                    open += 1;
                    check_element(name, &element);
                }
                Event::Empty(element) => check_element(name, &element),
                Event::End(_) => open -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(open, 0, "{name}: elements are left open");
    }
}

fn check_element(situation: &str, element: &quick_xml::events::BytesStart<'_>) {
    let name = element.name();
    let name: &str = name.as_ref();
    assert!(ELEMENTS.contains(&name), "{situation}: <{name}>");
    for attribute in element.attributes() {
        let attribute = attribute.unwrap_or_else(|error| panic!("{situation}: <{name}> {error}"));
        let key: &str = attribute.key.as_ref();
        assert!(ATTRIBUTES.contains(&key), "{situation}: <{name} {key}>");
    }
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    for (name, report) in situations() {
        let page = html(&report);
        for word in
            ["http:", "https:", "://", "url(", "src=", "href", "@import", "<script", "<link", "<iframe", "onload="]
        {
            assert!(!page.contains(word), "{name}: {word}");
        }
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""), "{name}");
    }
}

#[test]
fn a_page_says_the_verdict_in_words_before_anything_else() {
    for (name, report) in situations() {
        let page = html(&report);
        let body = page.split_once("<body>").unwrap().1;
        let heading = body.split_once("<h1>").unwrap().1.split_once("</h1>").unwrap().0;
        assert!(heading.to_lowercase().starts_with(report.verdict.as_str()), "{name}: {heading}");
        if let Some(reason) = report.reasons.first().filter(|reason| reason.is_ascii() && !reason.contains(['<', '\'']))
        {
            let words: String = reason.chars().skip(1).collect();
            assert!(body.find(&words).is_some_and(|at| at < body.find("<h2>").unwrap()), "{name}: {reason}");
        }
    }
}

/// The colours of the page in one scheme.
type Colours = BTreeMap<String, [f64; 3]>;

/// The declarations `--name: #rrggbb;` of a text.
fn colours(css: &str) -> Colours {
    let declarations = css.split([';', '{', '}']).filter_map(|declaration| {
        let (name, value) = declaration.trim().strip_prefix("--")?.split_once(": #")?;
        let channel = |at: usize| u8::from_str_radix(value.get(at..at + 2)?, 16).ok();
        let [red, green, blue] = [channel(0)?, channel(2)?, channel(4)?].map(f64::from);
        Some((name.to_owned(), [red, green, blue]))
    });
    declarations.collect()
}

/// WCAG 2.1's contrast ratio of two colours.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |channel: f64| {
        let part = channel / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let luminance =
        |[red, green, blue]: [f64; 3]| 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Text needs 4.5 against what it stands on, shapes that mean something 3 (WCAG 2.1, 1.4.3 and 1.4.11).
const PAIRS: [(&str, &str, f64); 26] = [
    ("text", "ground", 4.5),
    ("text", "surface", 4.5),
    ("muted", "ground", 4.5),
    ("muted", "surface", 4.5),
    ("text", "ok-ground", 4.5),
    ("text", "warning-ground", 4.5),
    ("text", "critical-ground", 4.5),
    ("text", "unknown-ground", 4.5),
    ("ok", "ok-ground", 4.5),
    ("warning", "warning-ground", 4.5),
    ("critical", "critical-ground", 4.5),
    ("unknown", "unknown-ground", 4.5),
    ("critical", "surface", 4.5),
    ("ok-bar", "surface", 3.0),
    ("warning-bar", "surface", 3.0),
    ("critical-bar", "surface", 3.0),
    ("unknown-bar", "surface", 3.0),
    ("ok-bar", "track", 3.0),
    ("warning-bar", "track", 3.0),
    ("critical-bar", "track", 3.0),
    ("unknown-bar", "track", 3.0),
    ("mark", "surface", 3.0),
    ("ok-bar", "ok-ground", 3.0),
    ("warning-bar", "warning-ground", 3.0),
    ("critical-bar", "critical-ground", 3.0),
    ("unknown-bar", "unknown-ground", 3.0),
];

#[test]
fn colours_are_told_apart_in_both_schemes() {
    let (_, report) = situations().remove(0);
    let page = html(&report);
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let (light, rest) = style.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = rest.split_once("* {").unwrap().0;
    let (light, dark) = (colours(light), colours(dark));
    assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>(), "a colour for each in both");
    for (scheme, colours) in [("light", light), ("dark", dark)] {
        for (one, other, least) in PAIRS {
            let ratio = contrast(colours[one], colours[other]);
            assert!(ratio >= least, "{scheme}: {one} on {other} has {ratio:.2}, less than {least}");
        }
    }
}
