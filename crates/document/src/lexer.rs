//! Tokens of a document, checked before it is parsed.
//!
//! Hostile texts are stopped here, before anything is built from them, and [`crate::grammar`] reads the tokens.

/// A lexical error: the byte offset and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexicalError {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// A token's first byte, and the range of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The kinds of tokens that differ for the checks before parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Close,
    Punctuator,
    Name,
    Number,
    String,
}

/// Reads the tokens of a text, up to the first error.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, LexicalError> {
        Err(LexicalError { offset, message: message.into() })
    }

    /// Describes the character at an offset, as messages name it.
    fn character(&self, offset: usize) -> String {
        match self.text[offset..].chars().next() {
            None => "<EOF>".to_owned(),
            Some('"') => "'\"'".to_owned(),
            Some(character @ ' '..='~') => format!("\"{character}\""),
            Some(character) => format!("U+{:04X}", u32::from(character)),
        }
    }

    /// Skips white space, line terminators, commas, byte order marks and comments.
    fn skip_ignored(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                0xef if self.text[self.at..].starts_with('\u{feff}') => self.at += 3,
                b'#' => {
                    let rest = &self.text.as_bytes()[self.at..];
                    self.at += rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>, LexicalError> {
        self.skip_ignored();
        let start = self.at;
        let Some(byte) = self.peek(0) else { return Ok(None) };
        let kind = match byte {
            b'{' | b'(' | b'[' => self.take(1, Kind::Open),
            b'}' | b')' | b']' => self.take(1, Kind::Close),
            b'!' | b'$' | b'&' | b':' | b'=' | b'@' | b'|' => self.take(1, Kind::Punctuator),
            b'.' if self.text[start..].starts_with("...") => self.take(3, Kind::Punctuator),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let rest = &self.text.as_bytes()[start..];
                let length = rest.iter().position(|byte| !is_name(*byte)).unwrap_or(rest.len());
                self.take(length, Kind::Name)
            }
            b'0'..=b'9' | b'-' => self.number()?,
            b'"' if self.text[start..].starts_with("\"\"\"") => self.block_string()?,
            b'"' => self.string()?,
            b'\'' => {
                return self
                    .error(start, "Unexpected single quote character ('), did you mean to use a double quote (\")?");
            }
            b'.' => return self.error(start, "Unexpected \".\", did you mean \"...\"?"),
            _ => return self.error(start, format!("Unexpected character: {}.", self.character(start))),
        };
        Ok(Some(Token { kind, start, end: self.at }))
    }

    fn take(&mut self, length: usize, kind: Kind) -> Kind {
        self.at += length;
        kind
    }

    /// Reads a number, which neither a dot nor a name may follow directly (section 2.9.1).
    fn number(&mut self) -> Result<Kind, LexicalError> {
        if self.peek(0) == Some(b'-') {
            self.at += 1;
        }
        if self.peek(0) == Some(b'0') {
            self.at += 1;
            if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                let found = self.character(self.at);
                return self.error(self.at, format!("Invalid number, unexpected digit after 0: {found}."));
            }
        } else {
            self.digits()?;
        }
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.peek(0) {
            Some(byte) if byte == b'.' || (is_name(byte) && !byte.is_ascii_digit()) => {
                let found = self.character(self.at);
                self.error(self.at, format!("Invalid number, expected digit but got: {found}."))
            }
            _ => Ok(Kind::Number),
        }
    }

    fn digits(&mut self) -> Result<(), LexicalError> {
        let rest = &self.text.as_bytes()[self.at..];
        match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
            0 => {
                let found = self.character(self.at);
                self.error(self.at, format!("Invalid number, expected digit but got: {found}."))
            }
            length => {
                self.at += length;
                Ok(())
            }
        }
    }

    fn string(&mut self) -> Result<Kind, LexicalError> {
        self.at += 1;
        loop {
            match self.peek(0) {
                None | Some(b'\n' | b'\r') => return self.error(self.at, "Unterminated string."),
                Some(b'"') => return Ok(self.take(1, Kind::String)),
                Some(b'\\') => self.escape()?,
                Some(_) => self.at += 1,
            }
        }
    }

    fn block_string(&mut self) -> Result<Kind, LexicalError> {
        self.at += 3;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            if rest.is_empty() {
                return self.error(self.at, "Unterminated string.");
            } else if rest.starts_with(b"\"\"\"") {
                return Ok(self.take(3, Kind::String));
            }
            self.at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
        }
    }

    fn escape(&mut self) -> Result<(), LexicalError> {
        let start = self.at;
        match self.peek(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if self.peek(2) == Some(b'{') => self.variable_width(start)?,
            Some(b'u') => self.fixed_width(start)?,
            _ => {
                let end = self.text[start + 1..].chars().next().map_or(start + 1, |next| start + 1 + next.len_utf8());
                return self
                    .error(start, format!("Invalid character escape sequence: \"{}\".", &self.text[start..end]));
            }
        }
        Ok(())
    }

    /// Reads `\u{…}`: at most eight digits that are a Unicode scalar value.
    fn variable_width(&mut self, start: usize) -> Result<(), LexicalError> {
        let digits = &self.text[start + 3..];
        let length = digits.bytes().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(digits.len());
        let is_closed = digits.as_bytes().get(length) == Some(&b'}');
        let point = u32::from_str_radix(&digits[..length], 16).ok().filter(|_| (1..=8).contains(&length) && is_closed);
        if point.and_then(char::from_u32).is_none() {
            return self.invalid_unicode(start);
        }
        self.at = start + 3 + length + 1;
        Ok(())
    }

    /// Reads `\uXXXX`, or two of them that are a surrogate pair.
    fn fixed_width(&mut self, start: usize) -> Result<(), LexicalError> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let length = match unit(start) {
            Some(0xd800..=0xdbff) if matches!(unit(start + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(point) if char::from_u32(point).is_some() => 6,
            _ => return self.invalid_unicode(start),
        };
        self.at = start + length;
        Ok(())
    }

    fn invalid_unicode(&self, start: usize) -> Result<(), LexicalError> {
        let echo: String =
            self.text[start..].chars().take(6).take_while(|character| !matches!(character, '\n' | '\r')).collect();
        self.error(start, format!("Invalid Unicode escape sequence: \"{echo}\"."))
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, LexicalError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.token().transpose()
    }
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Option<(usize, String)> {
        Lexer::new(text).find_map(Result::err).map(|error| (error.offset, error.message))
    }

    #[test]
    fn malformed_tokens_are_reported_where_they_are() {
        for (text, offset, message) in [
            ("{ a(b: 1c) }", 8, "Invalid number, expected digit but got: \"c\"."),
            ("{ a(b: 01) }", 8, "Invalid number, unexpected digit after 0: \"1\"."),
            ("{ a(b: \"\\q\") }", 8, "Invalid character escape sequence: \"\\q\"."),
            ("{ a(b: \"\\uD83D\") }", 8, "Invalid Unicode escape sequence: \"\\uD83D\"."),
            ("{ a(b: \"\n\") }", 8, "Unterminated string."),
            ("{ é }", 2, "Unexpected character: U+00E9."),
            ("..", 0, "Unexpected \".\", did you mean \"...\"?"),
        ] {
            assert_eq!(errors(text), Some((offset, message.to_owned())), "{text}");
        }
    }

    #[test]
    fn every_form_of_a_string_is_a_token() {
        for text in [
            "\"\"",
            "\"\\uD83D\\uDE00\"",
            "\"\\u{1F600}\"",
            "\"\"\"a\\\"\"\" \" \"\"\"",
            "\"\u{0}\u{7}\"",
            "\"\\u{00000041}\"",
        ] {
            assert_eq!(errors(text), None, "{text}");
            assert_eq!(Lexer::new(text).count(), 1, "{text}");
        }
    }
}
