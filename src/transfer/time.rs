//! Times as programs and people write them.
use crate::db::Time;

/// Parses RFC 3339, also without a time zone, which is UTC, with a space before the time of day, and dates.
pub(super) fn parse(text: &str) -> Option<Time> {
    const DATE_LENGTH: usize = "2026-01-31".len();
    let text = text.trim().replacen(' ', "T", 1);
    let is_date = text.len() == DATE_LENGTH;
    Time::parse(&text).or_else(|| Time::parse(&if is_date { format!("{text}T00:00:00Z") } else { format!("{text}Z") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_utc() {
        let cases = [
            ("2025-11-15T08:00:00.123456", "2025-11-15T08:00:00.123456Z"),
            (" 2026-01-31 12:00:00 ", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31 12:00:00+02:00", "2026-01-31T10:00:00.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(Time::rfc3339).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "31/01/2026", "46053.5", "46053", "2026-13-01", "tomorrow", "12:00", "2026-1-31T"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
