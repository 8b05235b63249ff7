//! Rules for names and texts, which mutations and imports share.
//!
//! An error is the reason, as a sentence without a subject or full stop.
use serde_json::{Map, Value};

use crate::db::nfc;

/// Maximum number of characters of a name.
pub const NAME_MAX: usize = 255;

/// Maximum number of characters of a tag's name and slug.
pub const TAG_NAME_MAX: usize = 100;

/// Maximum number of characters of a type.
const TYPE_MAX: usize = 64;

/// Maximum number of characters of a URL.
const URL_MAX: usize = 2_000;

/// Maximum number of bytes of a text.
pub const TEXT_BYTES_MAX: usize = 8 << 20;

/// The trimmed name in normalization form C, so that two spellings of one name conflict.
///
/// # Errors
/// It is empty, longer than `max` characters, or has U+0000.
pub fn name(name: &str, max: usize) -> Result<String, String> {
    let name = nfc(name.trim());
    let length = name.chars().count();
    if !(1..=max).contains(&length) {
        return Err(format!("a name must have 1 to {max} characters, not {length}"));
    }
    text(Some(&name))?;
    Ok(name.into_owned())
}

/// Validates the type of an artifact.
///
/// # Errors
/// It is not a lower-case slug.
pub fn kind(kind: &str) -> Result<(), String> {
    let is_slug = kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if is_slug && (1..=TYPE_MAX).contains(&kind.len()) {
        return Ok(());
    }
    Err(format!("a type must have 1 to {TYPE_MAX} lower-case letters, digits, _ and -"))
}

/// The slug of a tag in normalization form C.
///
/// # Errors
/// It is empty, too long, or not trimmed.
pub fn slug(slug: &str) -> Result<String, String> {
    let slug = nfc(slug);
    if (1..=TAG_NAME_MAX).contains(&slug.chars().count()) && slug == slug.trim() {
        text(Some(&slug))?;
        return Ok(slug.into_owned());
    }
    Err(format!("the slug of a tag must have 1 to {TAG_NAME_MAX} characters and no white space around it"))
}

/// The slug of a tag's name: letters and digits in lower case, everything between them as one hyphen.
pub fn slug_of(name: &str) -> String {
    let words = name.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Validates a color.
///
/// # Errors
/// It is not `#rrggbb`.
pub fn color(color: Option<&str>) -> Result<(), String> {
    let is_color = |color: &str| {
        color.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if color.is_none_or(is_color) {
        return Ok(());
    }
    Err("a color must be written as #rrggbb".to_owned())
}

/// Validates the URL of a web page.
///
/// # Errors
/// It is too long, or not an `http` or `https` URL.
pub fn url(url: Option<&str>) -> Result<(), String> {
    let Some(url) = url else { return Ok(()) };
    if url.chars().count() > URL_MAX {
        return Err(format!("a URL must have at most {URL_MAX} characters"));
    }
    let after_scheme = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = after_scheme.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let is_valid = |character: char| !character.is_whitespace() && !character.is_control();
    if host.starts_with(|first: char| first.is_alphanumeric() || first == '[') && url.chars().all(is_valid) {
        return Ok(());
    }
    Err("a URL must start with http:// or https:// and a host, without white space".to_owned())
}

/// Validates that a text can be stored.
///
/// # Errors
/// It is too long, or contains U+0000, which PostgreSQL cannot store.
pub fn text(text: Option<&str>) -> Result<(), String> {
    let Some(text) = text else { return Ok(()) };
    if text.contains('\0') {
        return Err("a text must not contain U+0000".to_owned());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("a text must have at most {TEXT_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Validates the further properties of an artifact.
///
/// # Errors
/// They are too long, or contain U+0000.
pub fn metadata(metadata: &Map<String, Value>) -> Result<(), String> {
    let json = serde_json::to_string(metadata).map_err(|_| "metadata cannot be written as JSON".to_owned())?;
    if json.contains("\\u0000") {
        return Err("metadata must not contain U+0000".to_owned());
    }
    text(Some(&json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_urls() {
        for valid in ["https://example.org", "http://[::1]:8080/a?b#c", "https://münchen.example/größe"] {
            assert_eq!(url(Some(valid)), Ok(()), "{valid}");
        }
        for invalid in
            ["", "example.org", "ftp://example.org", "https://", "https:///path", "https://a b", "javascript:a"]
        {
            assert!(url(Some(invalid)).is_err(), "{invalid}");
        }
        let longest = format!("https://example.org/{}", "a".repeat(URL_MAX - 20));
        assert_eq!(url(Some(&longest)), Ok(()));
        assert!(url(Some(&format!("{longest}a"))).is_err());
    }
}
