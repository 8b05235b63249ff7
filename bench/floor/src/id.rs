//! Ids and cursors as gatherum writes them.
use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A TypeID: a prefix and the UUID in base 32.
pub struct TypeId {
    prefix: &'static str,
    id: Uuid,
}

/// The id of an artifact.
pub fn artifact(id: Uuid) -> TypeId {
    TypeId { prefix: "artifact_", id }
}

/// The id of a collection.
pub fn collection(id: Uuid) -> TypeId {
    TypeId { prefix: "collection_", id }
}

impl Serialize for TypeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const LENGTH_MAX: usize = 40;
        let mut text = [0; LENGTH_MAX];
        let start = self.prefix.len();
        text[..start].copy_from_slice(self.prefix.as_bytes());
        let bits = self.id.as_u128();
        for place in 0..26 {
            text[start + place] = ALPHABET[(bits >> ((25 - place) * 5)) as usize & 31];
        }
        serializer.serialize_str(std::str::from_utf8(&text[..start + 26]).expect("the alphabet is ASCII"))
    }
}

/// The UUID of a TypeID with this prefix.
pub fn parse(prefix: &str, text: &str) -> anyhow::Result<Uuid> {
    let suffix = text.strip_prefix(prefix).filter(|suffix| suffix.len() == 26).context("no id of this type")?;
    let digit = |byte| ALPHABET.iter().position(|other| *other == byte).context("no digit of base 32");
    let bits = suffix.bytes().try_fold(0_u128, |bits, byte| anyhow::Ok(bits << 5 | digit(byte)? as u128))?;
    Ok(Uuid::from_u128(bits))
}

/// The cursor of an edge: what the list is called, sort key and id, and a checksum.
pub fn cursor(list: &str, sort_key: SortKey<'_>, id: Uuid) -> String {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&hash(list.as_bytes()).to_be_bytes());
    match sort_key {
        SortKey::Int(value) => bytes.extend_from_slice(&value.to_be_bytes()),
        SortKey::Text(text) => {
            bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The sort key and the id in a cursor whose sort key is a number.
pub fn parse_cursor(list: &str, cursor: &str) -> anyhow::Result<(i64, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor)?;
    let (body, checksum) = bytes.split_last_chunk::<4>().context("no cursor")?;
    let (scope, body) = body.split_first_chunk::<4>().context("no cursor")?;
    let (sort_key, id) = body.split_first_chunk::<8>().context("no cursor")?;
    anyhow::ensure!(*scope == hash(list.as_bytes()).to_be_bytes(), "a cursor of another list");
    anyhow::ensure!(hash(&bytes[..bytes.len() - 4]).to_be_bytes() == *checksum, "a damaged cursor");
    Ok((i64::from_be_bytes(*sort_key), Uuid::from_slice(id)?))
}

/// The column by which a list is sorted.
pub enum SortKey<'a> {
    /// A number, or a time in microseconds.
    Int(i64),
    /// A text.
    Text(&'a str),
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
