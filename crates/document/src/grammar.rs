//! The grammar of executable documents (section 2), checked on tokens.
//!
//! The parser of apollo-compiler accepts a few texts that follow no production, such as `(id id: 1)`, and names the
//! parts of its own grammar in messages. This recognizer builds nothing. It stops at the first type system definition,
//! which the parser reads and validation rejects.
use crate::lexer::{Kind, LexicalError, Token};

type Result<T = ()> = std::result::Result<T, LexicalError>;

/// Checks the tokens of a text, and returns the indices of those that are descriptions. Brackets nest within a limit, so
/// that recursion is bounded.
pub(crate) fn check(text: &str, tokens: &[Token]) -> Result<Vec<usize>> {
    let mut grammar = Grammar { text, tokens, at: 0, descriptions: Vec::new() };
    while grammar.definition()? && grammar.at < tokens.len() {}
    Ok(grammar.descriptions)
}

struct Grammar<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    descriptions: Vec<usize>,
}

impl<'a> Grammar<'a> {
    fn peek(&self, ahead: usize) -> Option<(Kind, &'a str)> {
        self.tokens.get(self.at + ahead).map(|token| (token.kind, &self.text[token.start..token.end]))
    }

    fn is(&self, text: &str) -> bool {
        self.peek(0).is_some_and(|(_, found)| found == text)
    }

    /// Takes the token if it is this one.
    fn take(&mut self, text: &str) -> bool {
        let is = self.is(text);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, text: &str) -> Result {
        if self.take(text) { Ok(()) } else { self.expected(&format!("\"{text}\"")) }
    }

    fn name(&mut self) -> Result<&'a str> {
        match self.peek(0) {
            Some((Kind::Name, name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.expected("Name"),
        }
    }

    fn expected<T>(&self, what: &str) -> Result<T> {
        self.error(format!("Expected {what}, found {}.", self.found()))
    }

    fn unexpected<T>(&self) -> Result<T> {
        self.error(format!("Unexpected {}.", self.found()))
    }

    fn error<T>(&self, message: String) -> Result<T> {
        let offset = self.tokens.get(self.at).map_or(self.text.len(), |token| token.start);
        Err(LexicalError { offset, message })
    }

    /// Describes the next token, its text cut to a size.
    fn found(&self) -> String {
        let Some((kind, text)) = self.peek(0) else { return "<EOF>".to_owned() };
        let short: String = text.chars().take(60).collect();
        match kind {
            Kind::Name => format!("Name \"{short}\""),
            Kind::Number if text.contains(['.', 'e', 'E']) => format!("Float \"{short}\""),
            Kind::Number => format!("Int \"{short}\""),
            Kind::String => format!("String {short}"),
            Kind::Open | Kind::Close | Kind::Punctuator => format!("\"{short}\""),
        }
    }

    /// Reads one definition; false for one of the type system.
    fn definition(&mut self) -> Result<bool> {
        if self.is("{") {
            return self.selection_set().map(|()| true);
        }
        let described = usize::from(matches!(self.peek(0), Some((Kind::String, _))));
        match self.peek(described) {
            Some((Kind::Name, "query" | "mutation" | "subscription")) => {
                self.description();
                self.at += 1;
                self.operation()?;
            }
            Some((Kind::Name, "fragment")) => {
                self.description();
                self.at += 1;
                self.fragment()?;
            }
            Some((
                Kind::Name,
                "schema" | "scalar" | "type" | "interface" | "union" | "enum" | "input" | "directive" | "extend",
            )) => return Ok(false),
            _ => {
                self.at += described;
                return self.unexpected();
            }
        }
        Ok(true)
    }

    fn description(&mut self) {
        if matches!(self.peek(0), Some((Kind::String, _))) {
            self.descriptions.push(self.at);
            self.at += 1;
        }
    }

    fn operation(&mut self) -> Result {
        if matches!(self.peek(0), Some((Kind::Name, _))) {
            self.at += 1;
        }
        if self.take("(") {
            self.variable_definition()?;
            while !self.take(")") {
                self.variable_definition()?;
            }
        }
        self.directives(false)?;
        self.selection_set()
    }

    fn variable_definition(&mut self) -> Result {
        self.description();
        self.expect("$")?;
        self.name()?;
        self.expect(":")?;
        self.type_reference()?;
        if self.take("=") {
            self.value(true)?;
        }
        self.directives(true)
    }

    fn type_reference(&mut self) -> Result {
        if self.take("[") {
            self.type_reference()?;
            self.expect("]")?;
        } else {
            self.name()?;
        }
        self.take("!");
        Ok(())
    }

    fn fragment(&mut self) -> Result {
        if self.is("on") {
            return self.unexpected();
        }
        self.name()?;
        self.expect("on")?;
        self.name()?;
        self.directives(false)?;
        self.selection_set()
    }

    fn selection_set(&mut self) -> Result {
        self.expect("{")?;
        self.selection()?;
        while !self.take("}") {
            self.selection()?;
        }
        Ok(())
    }

    fn selection(&mut self) -> Result {
        if !self.take("...") {
            return self.field();
        }
        match self.peek(0) {
            Some((Kind::Name, name)) if name != "on" => {
                self.at += 1;
                return self.directives(false);
            }
            Some((Kind::Name, _)) => {
                self.at += 1;
                self.name()?;
            }
            _ => {}
        }
        self.directives(false)?;
        self.selection_set()
    }

    fn field(&mut self) -> Result {
        self.name()?;
        if self.take(":") {
            self.name()?;
        }
        self.arguments(false)?;
        self.directives(false)?;
        if self.is("{") { self.selection_set() } else { Ok(()) }
    }

    fn directives(&mut self, is_constant: bool) -> Result {
        while self.take("@") {
            self.name()?;
            self.arguments(is_constant)?;
        }
        Ok(())
    }

    fn arguments(&mut self, is_constant: bool) -> Result {
        if self.take("(") {
            self.entry(is_constant)?;
            while !self.take(")") {
                self.entry(is_constant)?;
            }
        }
        Ok(())
    }

    /// Reads a name and its value.
    fn entry(&mut self, is_constant: bool) -> Result {
        self.name()?;
        self.expect(":")?;
        self.value(is_constant)
    }

    fn value(&mut self, is_constant: bool) -> Result {
        match self.peek(0) {
            Some((_, "[")) => {
                self.at += 1;
                while !self.take("]") {
                    self.value(is_constant)?;
                }
            }
            Some((_, "{")) => {
                self.at += 1;
                while !self.take("}") {
                    self.entry(is_constant)?;
                }
            }
            Some((_, "$")) if is_constant => {
                return self.error("Unexpected variable in constant value.".to_owned());
            }
            Some((_, "$")) => {
                self.at += 1;
                self.name()?;
            }
            Some((Kind::Name | Kind::Number | Kind::String, _)) => self.at += 1,
            _ => return self.unexpected(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::Lexer;

    #[test]
    fn messages_name_what_is_expected_and_found() {
        for (text, offset, message) in [
            ("", 0, "Unexpected <EOF>."),
            ("{", 1, "Expected Name, found <EOF>."),
            ("{ }", 2, "Expected Name, found \"}\"."),
            ("{ a(id id: 1) }", 7, "Expected \":\", found Name \"id\"."),
            ("{ a(b: $v v) }", 11, "Expected \":\", found \")\"."),
            ("query ($a: Int = $b) { a }", 17, "Unexpected variable in constant value."),
            ("query ($a Int) { a }", 10, "Expected \":\", found Name \"Int\"."),
            ("{ a } b", 6, "Unexpected Name \"b\"."),
            ("fragment on on A { a }", 9, "Unexpected Name \"on\"."),
            ("{ a(b: 1.5 2) }", 11, "Expected Name, found Int \"2\"."),
        ] {
            let tokens: Vec<Token> = Lexer::new(text).collect::<Result<_>>().expect("tokens");
            assert_eq!(check(text, &tokens), Err(LexicalError { offset, message: message.to_owned() }), "{text}");
        }
    }
}
