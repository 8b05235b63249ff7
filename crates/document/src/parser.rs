//! Texts become documents, within limits.
use apollo_compiler::{diagnostic::ToCliReport as _, parser::Parser};

use crate::{
    document::ParsedDocument,
    error::{Location, ParseError, ParseErrorKind},
    grammar,
    lexer::{Kind, Lexer, Token},
};

/// Limits of a document, checked while it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text. Default 65536.
    pub bytes: usize,
    /// Tokens of the text. Default 2000.
    pub tokens: usize,
    /// Brackets of any kind inside each other. Default 64; the parser and all that walks documents recurse this deep.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 65_536, tokens: 2_000, nesting: 64 }
    }
}

/// Parses a document that is within the limits.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<ParsedDocument, ParseError> {
    let mut tokens = scan(text, limits)?;
    let checked = grammar::check(text, &tokens);
    let descriptions = checked.map_err(|error| syntax_error(text, error.offset, &error.message))?;
    for description in descriptions.into_iter().rev() {
        tokens.remove(description);
    }
    let mut parser = Parser::new().recursion_limit(limits.nesting * 2 + 16);
    match parser.parse_ast(only(text, &tokens), "document") {
        Ok(ast) => Ok(ParsedDocument::new(text, ast)),
        Err(invalid) => {
            let error = invalid.errors.iter().next();
            let offset =
                error.as_ref().and_then(|error| error.error.location()).map_or(text.len(), |span| span.offset());
            let message = error.map_or_else(String::new, |error| error.error.to_string());
            let message = message.strip_prefix("syntax error: ").unwrap_or(&message);
            Err(syntax_error(text, offset, message))
        }
    }
}

/// Reads the tokens. Size, number and nesting are checked on the way.
fn scan(text: &str, limits: &Limits) -> Result<Vec<Token>, ParseError> {
    if text.len() > limits.bytes {
        return Err(limit(format!("the document has {} bytes, {} are allowed", text.len(), limits.bytes), None));
    }
    let mut depth = 0_usize;
    let mut tokens = Vec::new();
    for token in Lexer::new(text) {
        let token = token.map_err(|error| syntax_error(text, error.offset, &error.message))?;
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.push(token);
        let message = if tokens.len() > limits.tokens {
            format!("the document has more than {} tokens", limits.tokens)
        } else if depth > limits.nesting {
            format!("the document nests brackets more than {} deep", limits.nesting)
        } else {
            continue;
        };
        return Err(limit(message, Some(Location::of(text, token.start))));
    }
    Ok(tokens)
}

/// The text with spaces between its tokens; offsets stay.
///
/// The parser of apollo-compiler takes commas, comments and byte order marks for tokens at some places, such as behind
/// `...`, and knows no descriptions of operations.
fn only(text: &str, tokens: &[Token]) -> String {
    let mut blanked = String::with_capacity(text.len());
    for token in tokens {
        blanked.extend(std::iter::repeat_n(' ', token.start - blanked.len()));
        blanked.push_str(&text[token.start..token.end]);
    }
    blanked
}

fn limit(message: String, location: Option<Location>) -> ParseError {
    ParseError { message, location, kind: ParseErrorKind::Limit }
}

fn syntax_error(text: &str, offset: usize, message: &str) -> ParseError {
    const MESSAGE_MAX: usize = 180;
    let message: String = message.chars().take(MESSAGE_MAX).collect();
    let location = Some(Location::of(text, offset));
    ParseError { message: format!("Syntax Error: {message}"), location, kind: ParseErrorKind::Syntax }
}
