//! Cursors: positions in lists, opaque to clients and valid only for the list and order that they come from.
//!
//! A cursor holds the sort keys of its edge and nothing else, so it survives inserts and deletes around it, and of the
//! edge itself. Its first bytes bind it to the list and the order; a checksum tells typing errors from attempts.
use async_graphql::registry::Registry;
use base64::{Engine, encoded_len, engine::general_purpose::URL_SAFE_NO_PAD};
use compact_str::CompactString;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    leaf::Leaf,
};

/// Maximum length of a cursor, in characters: a name of 255 characters, four bytes each, and two ids.
const LENGTH_MAX: usize = 2_048;

/// The microseconds since 1970-01-01 00:00 UTC of the years 0 to 9999, which databases and RFC 3339 have in common.
pub const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// The type of a column that a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortType {
    /// A whole number.
    Int,
    /// A text.
    Text,
    /// A point in time.
    Time,
    /// An id.
    Id,
}

/// The value of a column by which a list is sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(CompactString),
    /// A point in time, in microseconds since 1970-01-01 00:00 UTC.
    Time(i64),
    /// An id.
    Id(Uuid),
}

/// The list and order that a cursor is bound to.
#[derive(Clone, Copy, Debug)]
pub struct CursorScope([u8; 4]);

impl CursorScope {
    /// The scope of the list and order with this name.
    pub fn of(name: &str) -> Self {
        Self(hash(name.as_bytes()).to_be_bytes())
    }
}

/// A cursor as it is before it is made a text of.
#[derive(Clone, Debug)]
pub struct Cursor(Vec<u8>);

impl Leaf for Cursor {
    fn type_ref(registry: &mut Registry) -> String {
        str::type_ref(registry)
    }

    /// Base 64, which needs no escaping.
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        let start = json.len();
        json.resize(start + encoded_len(self.0.len(), false).unwrap_or_default(), 0);
        URL_SAFE_NO_PAD.encode_slice(&self.0, &mut json[start..]).expect("there is room for the text");
        json.push(b'"');
    }
}

/// The cursor of an edge with these sort values.
///
/// ```
/// use gatherum_engine::{
///     Leaf,
///     cursor::{CursorScope, SortType, SortValue, decode, encode},
/// };
///
/// let values = [SortValue::Text("Emma".into()), SortValue::Int(1)];
/// let mut json = Vec::new();
/// encode(CursorScope::of("Author.books TITLE ASC"), &values).write(&mut json);
/// let cursor: String = serde_json::from_slice(&json).unwrap();
///
/// let types = [SortType::Text, SortType::Int];
/// assert_eq!(decode(CursorScope::of("Author.books TITLE ASC"), &types, &cursor).unwrap(), values);
/// assert!(decode(CursorScope::of("Author.books TITLE DESC"), &types, &cursor).is_err());
/// ```
pub fn encode(scope: CursorScope, values: &[SortValue]) -> Cursor {
    const USUAL_LENGTH: usize = 64;
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    bytes.extend_from_slice(&scope.0);
    for value in values {
        match value {
            SortValue::Int(value) | SortValue::Time(value) => bytes.extend_from_slice(&value.to_be_bytes()),
            SortValue::Id(id) => bytes.extend_from_slice(id.as_bytes()),
            SortValue::Text(text) => {
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
            }
        }
    }
    bytes.extend_from_slice(&hash(&bytes).to_be_bytes());
    Cursor(bytes)
}

/// The sort values of `cursor`, of the types that the order has.
///
/// # Errors
/// `BAD_USER_INPUT` for what is no cursor, or that of another list or order.
pub fn decode(scope: CursorScope, types: &[SortType], cursor: &str) -> Result<Vec<SortValue>> {
    let bytes = Some(cursor)
        .filter(|cursor| cursor.len() <= LENGTH_MAX)
        .and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok())
        .ok_or_else(malformed)?;
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(malformed)?;
    if hash(body).to_be_bytes() != *checksum {
        return Err(malformed());
    }
    let (list, mut rest) = body.split_first_chunk::<4>().ok_or_else(malformed)?;
    if scope.0 != *list {
        return Err(Error::bad_user_input("the cursor is of another list or order: use one that this list gave"));
    }
    let values = types.iter().map(|kind| take(*kind, &mut rest)).collect::<Option<Vec<_>>>();
    values.filter(|_| rest.is_empty()).ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::bad_user_input("this is not a cursor: use one that this list gave")
}

fn take(kind: SortType, rest: &mut &[u8]) -> Option<SortValue> {
    Some(match kind {
        SortType::Int => SortValue::Int(i64::from_be_bytes(take_array(rest)?)),
        SortType::Time => {
            SortValue::Time(Some(i64::from_be_bytes(take_array(rest)?)).filter(|time| TIMES.contains(time))?)
        }
        SortType::Id => SortValue::Id(Uuid::from_bytes(take_array(rest)?)),
        SortType::Text => {
            let length = usize::from(u16::from_be_bytes(take_array(rest)?));
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            let text = std::str::from_utf8(text).ok()?;
            SortValue::Text(Some(text).filter(|text| !text.contains('\0'))?.into())
        }
    })
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*array)
}

/// FNV-1a, 32 bits: a checksum, not a secret. A forged cursor reads what its owner may read anyway.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [SortType; 4] = [SortType::Time, SortType::Text, SortType::Int, SortType::Id];

    fn values() -> Vec<SortValue> {
        vec![
            SortValue::Time(-5),
            SortValue::Text("naïve — \u{1f980}".into()),
            SortValue::Int(i64::MIN),
            SortValue::Id(Uuid::from_u128(7)),
        ]
    }

    /// As clients get it.
    fn text(scope: CursorScope) -> String {
        written(&encode(scope, &values()))
    }

    /// A cursor of the scope `list`.
    fn text_of(values: &[SortValue]) -> String {
        written(&encode(CursorScope::of("list"), values))
    }

    fn written(cursor: &Cursor) -> String {
        let mut json = Vec::new();
        cursor.write(&mut json);
        serde_json::from_slice(&json).expect("a text")
    }

    #[test]
    fn a_cursor_gives_back_its_values() {
        let cursor = text(CursorScope::of("Query.artifacts NAME ASC"));

        assert_eq!(decode(CursorScope::of("Query.artifacts NAME ASC"), &TYPES, &cursor).expect("a cursor"), values());
    }

    /// A cursor of any bytes, with their checksum.
    fn forged(body: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([body, &hash(body).to_be_bytes()].concat())
    }

    #[test]
    fn a_cursor_stays_the_same_across_releases() {
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
        assert_eq!(
            forged(&[&CursorScope::of("list").0[..], &7_i64.to_be_bytes()].concat()),
            text_of(&[SortValue::Int(7)])
        );
    }

    #[test]
    fn a_cursor_has_at_most_2048_characters() {
        // The scope, the length of the text and the checksum take ten bytes; four characters have three bytes.
        for (length, is_accepted) in [(2_048 / 4 * 3 - 10, true), (2_048 / 4 * 3 - 9, false)] {
            let values = [SortValue::Text("a".repeat(length).into())];

            let decoded = decode(CursorScope::of("list"), &[SortType::Text], &text_of(&values));

            assert_eq!(decoded.ok(), is_accepted.then(|| values.to_vec()), "{length}");
        }
    }

    #[test]
    fn values_that_do_not_fit_the_order_are_refused() {
        let scope = CursorScope::of("list").0;
        let of_two = text_of(&[SortValue::Int(1), SortValue::Int(2)]);
        let text = |bytes: &[u8]| forged(&[&scope[..], &[0, bytes.len() as u8], bytes].concat());
        let cases = [
            (of_two.as_str(), [SortType::Int].as_slice()),
            (&of_two, &[SortType::Int; 3]),
            (&text(b"a\0"), &[SortType::Text]),
            (&text(b"\xff"), &[SortType::Text]),
            (&forged(&[&scope[..], &[0, 9], b"short"].concat()), &[SortType::Text]),
            (&forged(&scope[..3]), &[]),
        ];
        for (cursor, types) in cases {
            assert!(decode(CursorScope::of("list"), types, cursor).is_err(), "{cursor}");
        }
        assert!(decode(CursorScope::of("list"), &[SortType::Text], &text(b"a")).is_ok());
    }

    #[test]
    fn a_cursor_of_another_list_or_order_is_refused() {
        let cursor = text(CursorScope::of("Query.artifacts NAME ASC"));

        let error = decode(CursorScope::of("Query.artifacts NAME DESC"), &TYPES, &cursor).expect_err("another order");

        assert!(error.to_string().contains("another list or order"));
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        let good = text(CursorScope::of("list"));
        let long = "A".repeat(1 << 20);
        let mut forged = vec!["", "x", "====", "AAAA", "AAAAAAAAAAAA", "%00", &long];
        let cut: Vec<String> = (1..good.len()).map(|end| good[..end].to_owned()).collect();
        forged.extend(cut.iter().map(String::as_str));

        for cursor in forged {
            assert!(decode(CursorScope::of("list"), &TYPES, cursor).is_err(), "{cursor}");
        }
    }
}
