//! Errors in schemas and documents, with their locations.
use std::fmt;

/// A position in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Location {
    /// The position of a byte offset. LF, CRLF and CR end a line.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let bytes = before.as_bytes();
        let ends_line =
            |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && text.as_bytes().get(at + 1) != Some(&b'\n'));
        let ends = (0..bytes.len()).filter(|at| ends_line(*at));
        let (line, start) = ends.fold((1, 0), |(line, _), at| (line + 1, at + 1));
        Self { line, column: before[start..].chars().count() + 1 }
    }
}

/// A schema definition that is not valid.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalid schema: {0}")]
pub struct SchemaError(pub(crate) String);

/// A text that is not a document, or exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The message for the client; at most 200 characters.
    pub message: String,
    /// The position of the error; none if it concerns the whole text.
    pub location: Option<Location>,
    /// Whether the text is malformed or too large.
    pub kind: ParseErrorKind,
}

/// The kind of a [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// The text exceeds one of its [`Limits`](crate::Limits).
    Limit,
}

/// A violation of one validation rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValidationError {
    /// The message for the client. It repeats at most 100 characters of each part of the document.
    pub message: String,
    /// The nodes concerned, in the order of the message.
    pub locations: Vec<Location>,
    /// The name of the rule, as graphql-js has it, such as `FieldsOnCorrectType`.
    pub rule: &'static str,
}

/// The reason why a document cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// It cannot be parsed.
    Parse(ParseError),
    /// It violates rules; at least one.
    Validation(Vec<ValidationError>),
}

impl fmt::Display for CheckError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(formatter),
            Self::Validation(errors) => {
                let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
                formatter.write_str(&messages.join("\n"))
            }
        }
    }
}

impl std::error::Error for CheckError {}

impl From<ParseError> for CheckError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<Vec<ValidationError>> for CheckError {
    fn from(errors: Vec<ValidationError>) -> Self {
        Self::Validation(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_terminator_counts_once() {
        for (text, offset, line, column) in [
            ("", 0, 1, 1),
            ("a\nb", 2, 2, 1),
            ("a\r\nb", 3, 2, 1),
            ("a\rb", 2, 2, 1),
            ("\r\r\n\n", 4, 4, 1),
            ("é🦀x", 6, 1, 3),
        ] {
            assert_eq!(Location::of(text, offset), Location { line, column }, "{text:?}");
        }
    }
}
