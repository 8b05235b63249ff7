//! Timestamps in both databases.
use jiff::Timestamp;
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

/// 2000-01-01 00:00 UTC, the epoch of PostgreSQL's `timestamptz`.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

impl Time {
    /// The current time.
    pub fn now() -> Self {
        Self(Timestamp::now().as_microsecond())
    }

    /// Parses RFC 3339, such as `2026-01-31T12:00:00.000Z`. `None` if the text is invalid or outside the years 0 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp: Timestamp = text.parse().ok()?;
        Some(Self(timestamp.as_microsecond())).filter(|time| time.timestamp().is_some())
    }

    /// Formats as RFC 3339 in UTC, with milliseconds, or with microseconds if they are not zero.
    pub fn rfc3339(self) -> String {
        let Some(timestamp) = self.timestamp() else { return "9999-12-31T23:59:59.999Z".to_owned() };
        if self.0 % 1_000 == 0 { format!("{timestamp:.3}") } else { format!("{timestamp:.6}") }
    }

    fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.0).ok()
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
        <i64 as Encode<Postgres>>::encode_by_ref(&(self.0 - POSTGRES_EPOCH_US), buffer)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let bytes: [u8; 8] = value.as_bytes()?.try_into()?;
        Ok(Self(i64::from_be_bytes(bytes) + POSTGRES_EPOCH_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_reverses_parsing() {
        for text in ["2026-01-31T12:00:00.000Z", "1999-12-31T23:59:59.999Z", "2026-01-31T12:00:00.000001Z"] {
            assert_eq!(Time::parse(text).map(Time::rfc3339).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_offsets_are_converted_to_utc() {
        assert_eq!(Time::parse("2026-01-31T13:00:00+01:00"), Time::parse("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn invalid_rfc_3339_is_rejected() {
        for text in ["", "yesterday", "2026-01-31", "2026-13-01T00:00:00Z", "12:00"] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
