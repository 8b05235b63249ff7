//! Truncated descriptions.
use async_graphql::InputObject;

use crate::error::{Error, Result};

/// The length of a description.
#[derive(InputObject)]
pub(super) struct DescriptionArguments {
    /// Maximum number of characters. Default: the whole text.
    max_length: Option<i64>,
}

impl DescriptionArguments {
    /// The text, truncated to the given length.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the length is negative.
    pub(super) fn apply(&self, text: Option<&str>) -> Result<Option<String>> {
        let Some(max) = self.max_length else { return Ok(text.map(str::to_owned)) };
        let max = usize::try_from(max).map_err(|_| Error::bad_user_input("`maxLength` must not be negative"))?;
        Ok(text.map(|text| truncate(text, max)))
    }
}

/// The text in at most `max` characters: whole, or up to a word and an ellipsis.
fn truncate(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let Some(length) = max.checked_sub(1) else { return String::new() };
    let end = text.char_indices().nth(length).map_or(text.len(), |(index, _)| index);
    let head = &text[..end];
    let is_between_words = text[end..].starts_with(char::is_whitespace);
    let word_end = if is_between_words { Some(end) } else { head.rfind(char::is_whitespace) };
    let words = word_end.map_or(head, |end| &head[..end]).trim_end();
    format!("{}…", if words.is_empty() { head } else { words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_truncated_at_a_word() {
        let cases = [
            ("one two three", 13, "one two three"),
            ("one two three", 12, "one two…"),
            ("one two three", 8, "one two…"),
            ("one two three", 7, "one…"),
            ("onetwothree", 5, "onet…"),
            ("one two", 1, "…"),
            ("one two", 0, ""),
            ("größe äöü", 8, "größe…"),
            ("", 3, ""),
        ];
        for (text, max, expected) in cases {
            assert_eq!(truncate(text, max), expected, "{text} in {max}");
            assert!(truncate(text, max).chars().count() <= max);
        }
    }
}
