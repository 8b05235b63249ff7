//! Rules for names and texts, which mutations and imports share.
//!
//! An error is the reason, as a sentence without a subject or full stop.
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::db::{is_ignorable, nfc};

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

/// ASCII signs and their names in slugs. White space, `-` and `_` only separate words.
const SIGNS: [(char, &str); 30] = [
    ('!', "exclamation"),
    ('"', "quote"),
    ('#', "sharp"),
    ('$', "dollar"),
    ('%', "percent"),
    ('&', "and"),
    ('\'', "apostrophe"),
    ('(', "open"),
    (')', "close"),
    ('*', "star"),
    ('+', "plus"),
    (',', "comma"),
    ('.', "dot"),
    ('/', "slash"),
    (':', "colon"),
    (';', "semicolon"),
    ('<', "less"),
    ('=', "equals"),
    ('>', "greater"),
    ('?', "question"),
    ('@', "at"),
    ('[', "bracket"),
    ('\\', "backslash"),
    (']', "unbracket"),
    ('^', "caret"),
    ('`', "backtick"),
    ('{', "brace"),
    ('|', "pipe"),
    ('}', "unbrace"),
    ('~', "tilde"),
];

/// Number of hexadecimal digits that end the slug of a long name.
const DIGEST_LENGTH: usize = 16;

/// The slug of a tag's name, which is never empty unless the name is: words in lower case with hyphens between them, and
/// ASCII signs by their names with an underscore before each. `Code Quality` is `code-quality`, `C++` is `c_plus_plus`, `.NET`
/// is `_dot-net`. Characters that are not ASCII are parts of words, except white space and dashes.
///
/// Names have one slug only if they differ in case, in the characters between words, or in white space around signs. A slug
/// does not depend on the tags that exist.
pub fn slug_of(name: &str) -> String {
    let name = nfc(name.trim());
    let mut slug = String::new();
    let mut word = String::new();
    for character in name.chars().filter(|character| !is_ignorable(*character)) {
        let sign = SIGNS.iter().find(|(sign, _)| *sign == character);
        if sign.is_none() && !is_separator(character) {
            word.push(character);
            continue;
        }
        push_word(&mut slug, &mut word);
        if let Some((_, sign)) = sign {
            slug.push('_');
            slug.push_str(sign);
        }
    }
    push_word(&mut slug, &mut word);
    let slug = if slug.is_empty() { name.to_lowercase() } else { slug };
    limited_slug(nfc(&slug).into_owned())
}

fn push_word(slug: &mut String, word: &mut String) {
    if word.is_empty() {
        return;
    }
    if !slug.is_empty() {
        slug.push('-');
    }
    slug.push_str(&std::mem::take(word).to_lowercase());
}

fn is_separator(character: char) -> bool {
    let is_dash = matches!(character, '-' | '_' | '\u{2010}'..='\u{2015}');
    is_dash || character.is_whitespace() || character.is_control()
}

/// The slug, or its beginning and a digest of the whole if it is too long. No other slug has 16 letters after an underscore.
fn limited_slug(slug: String) -> String {
    if slug.chars().count() <= TAG_NAME_MAX {
        return slug;
    }
    let digest = Sha256::digest(slug.as_bytes());
    let digest: String = digest.iter().take(DIGEST_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = slug.chars().take(TAG_NAME_MAX - DIGEST_LENGTH - 1).collect();
    format!("{beginning}_{digest}")
}

/// The slug that earlier releases gave to a tag: its letters and digits, so that `C++` and `C` were one tag.
pub fn earlier_slug_of(name: &str) -> String {
    let name = nfc(name.trim());
    let words = name.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    if slug.is_empty() { name.to_lowercase() } else { slug }
}

/// A slug for a tag whose own slug an earlier release gave to another tag, as it gave `c` to `C++`.
pub fn second_slug(slug: &str) -> String {
    limited_slug(format!("{slug}_2"))
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

    #[test]
    fn names_that_differ_in_signs_have_different_slugs() {
        let slugs = [
            ("C", "c"),
            ("C++", "c_plus_plus"),
            ("C#", "c_sharp"),
            (".NET", "_dot-net"),
            ("NET", "net"),
            ("a/b", "a_slash-b"),
            ("a b", "a-b"),
            ("Node.js", "node_dot-js"),
            ("C++ Builder", "c_plus_plus-builder"),
            ("Code Quality", "code-quality"),
            ("Größe", "größe"),
            ("ΟΔΟΣ", "οδος"),
            ("日本語", "日本語"),
            ("हिन्दी", "हिन्दी"),
            ("🚀", "🚀"),
            ("🚀 launch", "🚀-launch"),
            ("launch", "launch"),
            ("+", "_plus"),
            ("C plus plus", "c-plus-plus"),
            ("a /", "a_slash"),
            ("/a", "_slash-a"),
            ("what’s", "what’s"),
            ("---", "---"),
        ];
        for (name, slug) in slugs {
            assert_eq!(slug_of(name), slug, "{name}");
            assert_eq!(super::slug(slug).as_deref(), Ok(slug));
        }
        assert_eq!(slugs.iter().map(|(_, slug)| slug).collect::<std::collections::HashSet<_>>().len(), slugs.len());
    }

    #[test]
    fn names_that_differ_in_spelling_have_one_slug() {
        for (one, other) in [
            ("Code Quality", "code_quality"),
            ("Code Quality", "code – quality"),
            ("é", "e\u{301}"),
            ("❤️", "❤"),
            ("c ++", "C++"),
            (" a / b ", "a/b"),
        ] {
            assert_eq!(slug_of(one), slug_of(other), "{one}");
        }
    }

    #[test]
    fn a_long_name_has_a_slug_of_its_own() {
        let one = slug_of(&"+".repeat(TAG_NAME_MAX));
        let other = slug_of(&format!("{}-", "+".repeat(TAG_NAME_MAX - 1)));

        assert_eq!(one.chars().count(), TAG_NAME_MAX);
        assert_eq!(slug(&one), Ok(one.clone()));
        assert_ne!(one, other);
        assert_eq!(slug_of(&"İ".repeat(TAG_NAME_MAX)).chars().count(), TAG_NAME_MAX);
    }

    #[test]
    fn a_sign_has_one_name_and_each_sign_has_one() {
        let named: std::collections::HashSet<_> = SIGNS.iter().map(|(_, name)| name).collect();
        assert_eq!(named.len(), SIGNS.len());
        for sign in (b'!'..=b'~').map(char::from).filter(|sign| !sign.is_alphanumeric() && !"-_".contains(*sign)) {
            assert!(SIGNS.iter().any(|(named, _)| *named == sign), "{sign}");
        }
    }
}
