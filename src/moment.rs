//! A moment as people write it. Without an offset from UTC it would be another moment for each reader.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Why a text is no moment, in words for the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMoment {
    /// It would be another moment for each reader.
    #[error("it has no offset from UTC: write '2026-11-22 10:00:00+00'")]
    NoOffset,
    /// It is no time at all.
    #[error("it is not a time such as '2026-11-22 10:00:00+00'")]
    NoTime,
    /// This machine's clocks never show it.
    #[error("{0}")]
    Never(String),
}

/// Reads a moment with an offset from UTC.
///
/// # Errors
/// When it can't be read as one.
pub fn parse_moment(text: &str) -> Result<Timestamp, NotAMoment> {
    let text = text.trim();
    let zoned =
        text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")).map(|rest| format!("{}Z", rest.trim_end()));
    let zoned = zoned.as_deref().unwrap_or(text);
    let (date, offset) = match zoned.rfind([' ', '+', '-']) {
        // `2026-11-22 10:00:00 +00`: PostgreSQL takes the space, jiff does not.
        Some(at) if zoned.get(at..).is_some_and(|rest| rest.starts_with(['+', '-'])) => zoned.split_at(at),
        _ => (zoned, ""),
    };
    let joined = format!("{}{offset}", date.trim_end());
    joined.parse().map_err(|_| match text.parse::<DateTime>() {
        Ok(_) => NotAMoment::NoOffset,
        Err(_) => NotAMoment::NoTime,
    })
}

/// The same; one without an offset is as this machine's clocks show it.
///
/// # Errors
/// When it can't be read as one.
pub fn parse_local(text: &str) -> Result<Timestamp, NotAMoment> {
    match (parse_moment(text), text.trim().parse::<DateTime>()) {
        (Err(NotAMoment::NoOffset), Ok(civil)) => {
            let zoned = civil.to_zoned(TimeZone::system()).map_err(|error| NotAMoment::Never(error.to_string()))?;
            Ok(zoned.timestamp())
        }
        (read, _) => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_read() {
        for text in [
            "2026-11-22T10:00:00Z",
            "2026-11-22 10:00:00Z",
            "2026-11-22 10:00:00+00",
            "2026-11-22 10:00:00 +00",
            "2026-11-22 10:00:00+00:00",
            "2026-11-22 10:00:00 +0000",
            "2026-11-22 10:00:00 UTC",
            "2026-11-22 10:00:00.000 GMT",
            "2026-11-22 12:00:00+02",
            "2026-11-22T05:30:00-0430",
            "  2026-11-22 10:00:00+00  ",
        ] {
            assert_eq!(parse_moment(text).map(jiff::Timestamp::as_second), Ok(1_795_341_600), "{text}");
        }
        assert_eq!(
            parse_moment("2026-11-22 10:00:00.5+00").map(jiff::Timestamp::as_millisecond),
            Ok(1_795_341_600_500)
        );
    }

    #[test]
    fn without_an_offset_it_is_refused_unless_it_is_meant() {
        for text in ["2026-11-22 10:00:00", "2026-11-22T10:00:00.5", "2026-11-22", " 2026-11-22 10:00 "] {
            assert_eq!(parse_moment(text), Err(NotAMoment::NoOffset), "{text}");
            assert!(parse_local(text).is_ok(), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01 00:00:00+00", "2026-02-30 00:00:00+00", "10:00", "2026-11-22+00"] {
            assert_eq!(parse_local(bad), Err(NotAMoment::NoTime), "{bad}");
        }
    }
}
