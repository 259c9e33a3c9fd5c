//! A moment as people write it. Without an offset from UTC it would be another moment for each reader.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads a moment. `local`: one without an offset is this machine's.
///
/// # Errors
/// When it can't be read as one, in words for the one who wrote it.
pub fn parse_moment(text: &str, local: bool) -> Result<Timestamp, String> {
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
    if let Ok(at) = joined.parse::<Timestamp>() {
        return Ok(at);
    }
    let civil = text.parse::<DateTime>().map_err(|_| "not a time such as '2026-11-22 10:00:00+00'".to_owned())?;
    if !local {
        return Err("it has no offset from UTC: write '2026-11-22 10:00:00+00', or say --local-time".to_owned());
    }
    civil.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string())
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
            assert_eq!(parse_moment(text, false).map(jiff::Timestamp::as_second), Ok(1_795_341_600), "{text}");
        }
        assert_eq!(
            parse_moment("2026-11-22 10:00:00.5+00", false).map(jiff::Timestamp::as_millisecond),
            Ok(1_795_341_600_500)
        );
    }

    #[test]
    fn without_an_offset_it_is_refused_unless_it_is_meant() {
        assert!(parse_moment("2026-11-22 10:00:00", false).unwrap_err().contains("--local-time"));
        assert!(parse_moment("2026-11-22 10:00:00", true).is_ok());
        for bad in ["", "yesterday", "2026-13-01 00:00:00+00", "10:00"] {
            assert!(parse_moment(bad, true).is_err(), "{bad}");
        }
    }
}
