//! Rules for names and texts, which mutations and imports share.
//!
//! An error is the reason, as a sentence without a subject or full stop.
use serde_json::{Map, Value};

/// Maximum number of characters of a name.
pub const NAME_MAX: usize = 255;

/// Maximum number of characters of a tag's name and slug.
pub const TAG_NAME_MAX: usize = 100;

/// Maximum number of characters of a type.
const TYPE_MAX: usize = 64;

/// Maximum number of bytes of a text.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// The trimmed name.
///
/// # Errors
/// It is empty, longer than `max` characters, or has U+0000.
pub fn name(name: &str, max: usize) -> Result<String, String> {
    let name = name.trim();
    let length = name.chars().count();
    if !(1..=max).contains(&length) {
        return Err(format!("a name must have 1 to {max} characters, not {length}"));
    }
    text(Some(name))?;
    Ok(name.to_owned())
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

/// Validates the slug of a tag.
///
/// # Errors
/// It is empty, too long, or not trimmed.
pub fn slug(slug: &str) -> Result<(), String> {
    if (1..=TAG_NAME_MAX).contains(&slug.chars().count()) && slug == slug.trim() {
        return text(Some(slug));
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
