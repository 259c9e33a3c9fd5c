//! Markup that can't be broken into: what is not written here as a literal goes through [`Markup::text`].
//!
//! It is HTML and well-formed XML at once, so that any XML reader can check and archive it.

use jiff::Timestamp;
use std::fmt::Display;

/// A piece of the page.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// A piece that begins with a literal.
    pub(super) fn of(literal: &'static str) -> Self {
        Self(literal.to_owned())
    }

    /// Appends a literal.
    pub(super) fn raw(mut self, literal: &'static str) -> Self {
        self.0.push_str(literal);
        self
    }

    /// Appends a text, for an element's content or a quoted attribute.
    pub(super) fn text(mut self, text: impl Display) -> Self {
        for c in text.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(' '),
                // XML 1.0 has no other control characters, and neither FFFE nor FFFF.
                c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => self.0.push('\u{FFFD}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Appends another piece.
    pub(super) fn add(mut self, piece: &Self) -> Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Appends pieces, one after the other.
    pub(super) fn all(self, pieces: impl IntoIterator<Item = Self>) -> Self {
        pieces.into_iter().fold(self, |markup, piece| markup.add(&piece))
    }

    /// The whole.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A moment, to be read and to be sorted by.
pub(super) fn time(at: Option<Timestamp>) -> Markup {
    let Some(at) = at else { return unknown() };
    Markup::of("<time datetime=\"").text(at).raw("\">").text(moment(at)).raw("</time>")
}

/// `2026-11-22 10:00:00 UTC`, to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What is not known.
pub(super) fn unknown() -> Markup {
    Markup::of("<span class=\"muted\">unknown</span>")
}

/// A text, or that it is not known.
pub(super) fn or_unknown(text: Option<impl Display>) -> Markup {
    text.map_or_else(unknown, |text| Markup::default().text(text))
}

/// Bytes as a person reads them.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = unit else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

/// A length of time as a person says it.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let counted = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    match (days, hours, minutes) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => counted(minutes, "minute"),
        (0, 1..=2, minutes) if minutes % 60 > 0 => format!("{} {} min", counted(hours, "hour"), minutes % 60),
        (0, hours, _) => counted(hours, "hour"),
        (1..=2, hours, _) if hours % 24 > 0 => format!("{} {} h", counted(days, "day"), hours % 24),
        (days, _, _) => counted(days, "day"),
    }
}

/// How long before the report a moment was.
pub(super) fn before(at: Option<Timestamp>, made: Option<Timestamp>) -> Option<String> {
    let seconds = made?.as_second() - at?.as_second();
    Some(match u64::try_from(seconds) {
        Ok(seconds) => format!("{} before this report", duration(seconds)),
        Err(_) => format!("in {}", duration(seconds.unsigned_abs())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let shown = Markup::default().text("<a href=\"x\" b='y'>&amp;\u{1b}[31m\n\u{0}\u{FFFF}é").into_string();
        assert_eq!(shown, "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;\u{FFFD}[31m \u{FFFD}\u{FFFD}é");
    }

    #[test]
    fn sizes_and_lengths_are_short() {
        let sizes = [0, 1_023, 1_024, 16 << 20, 500 << 20, 1_500 << 20, 5 << 40, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "16 MiB", "500 MiB", "1.4 GiB", "5 TiB", "16777215 TiB"]);
        let lengths = [59, 60, 3_599, 3_600, 5_400, 11_000, 90_000, 86_400, 864_000].map(duration);
        let expected = [
            "less than a minute",
            "1 minute",
            "59 minutes",
            "1 hour",
            "1 hour 30 min",
            "3 hours",
            "1 day 1 h",
            "1 day",
            "10 days",
        ];
        assert_eq!(lengths, expected);
    }
}
