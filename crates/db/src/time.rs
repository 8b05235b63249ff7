//! Timestamps in both databases.
use gatherum_engine::cursor::TIMES;
use jiff::{Timestamp, civil, fmt::temporal::DateTimeParser};
use sqlx::{
    Decode, Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef},
    sqlite::{SqliteTypeInfo, SqliteValueRef},
};

/// Microseconds since 1970-01-01 00:00 UTC, stored as an integer in SQLite and as `timestamptz` in PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// 1970-01-01 00:00 UTC.
const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// 2000-01-01 00:00 UTC, the epoch of PostgreSQL's `timestamptz`.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

impl Time {
    /// The first microsecond of the years 0 to 9999 in UTC, which RFC 3339 can express.
    pub const MIN: Self = Self(*TIMES.start());

    /// The last microsecond of the years 0 to 9999 in UTC.
    pub const MAX: Self = Self(*TIMES.end());

    /// The current time.
    pub fn now() -> Self {
        Self(Timestamp::now().as_microsecond())
    }

    /// Parses RFC 3339, such as `2026-01-31T12:00:00.000Z`. `None` if the text is invalid or, in UTC, outside the years 0
    /// to 9999.
    ///
    /// [`Timestamp`] ends on 9999-12-30, so that every time zone can show it.
    pub fn parse(text: &str) -> Option<Self> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        let pieces = PARSER.parse_pieces(text).ok()?;
        let local = pieces.date().to_datetime(pieces.time()?);
        let offset = pieces.to_numeric_offset()?;
        let nanoseconds = local.duration_since(EPOCH).as_nanos() - i128::from(offset.seconds()) * 1_000_000_000;
        let time = Self(i64::try_from(nanoseconds.div_euclid(1_000)).ok()?);
        (Self::MIN..=Self::MAX).contains(&time).then_some(time)
    }

    /// Formats as RFC 3339 in UTC, with milliseconds, or with microseconds if they are not zero.
    pub fn rfc3339(self) -> String {
        let time = self.clamp(Self::MIN, Self::MAX);
        let is_whole = time.0 % 1_000 == 0;
        match (Timestamp::from_microsecond(time.0), is_whole) {
            (Ok(timestamp), true) => format!("{timestamp:.3}"),
            (Ok(timestamp), false) => format!("{timestamp:.6}"),
            (Err(_), true) => format!("{:.3}Z", time.civil()),
            (Err(_), false) => format!("{:.6}Z", time.civil()),
        }
    }

    /// The date and time in UTC.
    fn civil(self) -> civil::DateTime {
        EPOCH.saturating_add(jiff::SignedDuration::from_micros(self.0))
    }
}

impl Type<Sqlite> for Time {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Time {
    fn encode_by_ref(&self, buffer: &mut <Sqlite as sqlx::Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Sqlite>>::encode_by_ref(&self.0, buffer)
    }
}

impl Decode<'_, Sqlite> for Time {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(Self)
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl sqlx::postgres::PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode_by_ref(&self.0.saturating_sub(POSTGRES_EPOCH_US), buffer)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let bytes: [u8; 8] = value.as_bytes()?.try_into()?;
        Ok(Self(i64::from_be_bytes(bytes).saturating_add(POSTGRES_EPOCH_US)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_reverses_parsing() {
        for text in [
            "2026-01-31T12:00:00.000Z",
            "1999-12-31T23:59:59.999Z",
            "2026-01-31T12:00:00.000001Z",
            "9999-12-30T21:59:59.999Z",
            "9999-12-30T22:00:00.000Z",
            "9999-12-31T23:59:59.000Z",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00.000Z",
            "0000-02-29T12:00:00.000001Z",
            "0001-01-01T00:00:00.000Z",
            "1969-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(Time::parse(text).map(Time::rfc3339).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_offsets_are_converted_to_utc() {
        for (text, utc) in [
            ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T11:30:00.5-00:30", "2026-01-31T12:00:00.500Z"),
            ("9999-12-31T23:59:59.999+00:01", "9999-12-31T23:58:59.999Z"),
            ("9999-12-31T18:59:59-05:00", "9999-12-31T23:59:59.000Z"),
            ("0000-01-01T01:00:00+01:00", "0000-01-01T00:00:00.000Z"),
            ("0000-01-01T00:00:00-00:00", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Time::parse(text).map(Time::rfc3339).as_deref(), Some(utc), "{text}");
        }
    }

    #[test]
    fn times_outside_the_years_0_to_9999_are_rejected() {
        for text in [
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:59.999-23:59",
            "0000-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
            "+010000-01-01T00:00:00Z",
            "-000001-12-31T23:59:59Z",
            "9999-12-31T24:00:00Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
        assert_eq!(Time(i64::MAX).rfc3339(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Time(i64::MIN).rfc3339(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn invalid_rfc_3339_is_rejected() {
        for text in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-13-01T00:00:00Z",
            "12:00",
            "2026-01-31T12:00:00",
            "9999-12-31T23:59:60.5",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
