//! Global ids: TypeIDs, such as `artifact_01h455vb4pex5vsknk084sn02q`.
//!
//! A prefix that names the type, and a UUID as 26 characters of Crockford's base 32 (TypeID specification 0.3).
use uuid::Uuid;

use crate::error::{Error, Result};

/// The alphabet of the suffix, lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of the suffix: 130 bits, of which the first two are 0.
const SUFFIX_LENGTH: usize = 26;

/// The value of each character of the suffix, or 255.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 32 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// An id as clients see it.
///
/// ```
/// use gatherum_engine::id::{GlobalId, parse};
///
/// let id = "0188bac7-4afa-78aa-bc3b-bd1eef28d881".parse().unwrap();
/// let text = GlobalId { prefix: "book", id }.to_string();
///
/// assert_eq!(text, "book_01h2xcejqtf2nbrexx3vqjhp41");
/// assert_eq!(parse("book", &text).unwrap(), id);
/// assert!(parse("author", &text).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalId {
    /// The type, in lower case with underscores.
    pub prefix: &'static str,
    /// The id within the database.
    pub id: Uuid,
}

impl GlobalId {
    /// Appends the id to `text`, which needs no escaping in JSON.
    pub fn write(self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.prefix.as_bytes());
        text.push(b'_');
        let mut bits = self.id.as_u128();
        let mut suffix = [0; SUFFIX_LENGTH];
        for place in suffix.iter_mut().rev() {
            *place = ALPHABET[bits as usize & 31];
            bits >>= 5;
        }
        text.extend_from_slice(&suffix);
    }
}

impl std::fmt::Display for GlobalId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(self.prefix.len() + 1 + SUFFIX_LENGTH);
        self.write(&mut text);
        formatter.write_str(std::str::from_utf8(&text).expect("prefix and alphabet are ASCII"))
    }
}

/// The id in `text`, which must be of the type that `prefix` names.
///
/// # Errors
/// `BAD_USER_INPUT` where it is not.
pub fn parse(prefix: &'static str, text: &str) -> Result<Uuid> {
    match split(text) {
        Some((found, id)) if found == prefix => Ok(id),
        Some((found, _)) => {
            Err(Error::bad_user_input(format!("`{}` is the id of a {found}, not of a {prefix}", shown(text))))
        }
        None => Err(malformed(text)),
    }
}

/// The id in `text` and which of `prefixes` it has.
///
/// # Errors
/// `BAD_USER_INPUT` where it has none of them.
pub fn parse_any(prefixes: &[&'static str], text: &str) -> Result<GlobalId> {
    let (found, id) = split(text).ok_or_else(|| malformed(text))?;
    let prefix = prefixes.iter().find(|prefix| **prefix == found).ok_or_else(|| malformed(text))?;
    Ok(GlobalId { prefix, id })
}

fn malformed(text: &str) -> Error {
    Error::bad_user_input(format!("`{}` is not an id: use one that this server gave", shown(text)))
}

/// At most 64 characters of a client's text, for an error message.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}

fn split(text: &str) -> Option<(&str, Uuid)> {
    let (prefix, suffix) = text.rsplit_once('_')?;
    let suffix = suffix.as_bytes();
    if suffix.len() != SUFFIX_LENGTH || VALUES[suffix[0] as usize] > 7 {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in suffix {
        let value = VALUES[*byte as usize];
        if value == 255 {
            return None;
        }
        bits = bits << 5 | u128::from(value);
    }
    let is_slug = prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_slug && !prefix.is_empty()).then(|| (prefix, Uuid::from_u128(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_specification() {
        let cases = [
            ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000"),
            ("00000000-0000-0000-0000-000000000001", "00000000000000000000000001"),
            ("00000000-0000-0000-0000-00000000000a", "0000000000000000000000000a"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            ("0188bac7-4afa-78aa-bc3b-bd1eef28d881", "01h2xcejqtf2nbrexx3vqjhp41"),
        ];
        for (id, suffix) in cases {
            let id: Uuid = id.parse().expect("a UUID");

            let text = GlobalId { prefix: "prefix", id }.to_string();

            assert_eq!(text, format!("prefix_{suffix}"));
            assert_eq!(parse("prefix", &text).expect("an id"), id);
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let bad = [
            "",
            "artifact",
            "artifact_",
            "artifact_0",
            "artifact_81h2xcejqtf2nbrexx3vqjhp41",
            "artifact_01h2xcejqtf2nbrexx3vqjhp4",
            "artifact_01H2XCEJQTF2NBREXX3VQJHP41",
            "artifact_01h2xcejqtf2nbrexx3vqjhpu1",
            "_01h2xcejqtf2nbrexx3vqjhp41",
            "artifact_01h2xcejqtf2nbrexx3vqjhp4\u{0}",
            "0188bac7-4afa-78aa-bc3b-bd1eef28d881",
        ];
        for text in bad {
            assert!(parse("artifact", text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_of_several_types_names_its_type() {
        let prefixes = ["artifact", "artifact_version"];
        let id = Uuid::from_u128(1);
        for prefix in prefixes {
            let text = GlobalId { prefix, id }.to_string();

            assert_eq!(parse_any(&prefixes, &text).expect("an id"), GlobalId { prefix, id });
        }
        assert!(parse_any(&prefixes, "tag_00000000000000000000000001").is_err());
        assert!(parse_any(&prefixes, "artifact").is_err());
    }

    #[test]
    fn a_prefix_has_lower_case_letters_and_underscores() {
        for prefix in ["", "Artifact", "artifact1"] {
            let error = parse("artifact", &format!("{prefix}_00000000000000000000000001")).expect_err("no id");

            assert!(error.to_string().contains("is not an id"), "{error}");
        }
    }

    #[test]
    fn messages_repeat_64_characters_of_what_is_not_an_id() {
        let error = parse("artifact", &format!("\n{}", "é".repeat(100))).expect_err("no id");

        assert!(error.to_string().starts_with(&format!("`{}` is not an id", "é".repeat(64))), "{error}");
    }

    #[test]
    fn the_id_of_another_type_is_told_apart() {
        let error = parse("artifact", "collection_00000000000000000000000001").expect_err("a foreign id");

        assert_eq!(
            error.to_string(),
            "`collection_00000000000000000000000001` is the id of a collection, not of a artifact"
        );
    }
}
