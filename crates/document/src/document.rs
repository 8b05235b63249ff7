//! Documents before and after validation.
use std::{fmt, sync::Arc};

use apollo_compiler::{
    ExecutableDocument, Node, ast,
    diagnostic::ToCliReport as _,
    executable::{FragmentMap, Operation, OperationMap},
    validation::Valid,
};

use crate::{
    error::{Location, ValidationError},
    schema::Schema,
};

/// A document that follows the grammar.
#[derive(Clone, Debug)]
pub struct ParsedDocument {
    text: Arc<str>,
    ast: Arc<ast::Document>,
}

impl ParsedDocument {
    pub(crate) fn new(text: &str, ast: ast::Document) -> Self {
        Self { text: text.into(), ast: Arc::new(ast) }
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The syntax tree.
    pub fn ast(&self) -> &ast::Document {
        &self.ast
    }
}

/// A valid document, whose fields have their definitions. Clones share it.
#[derive(Clone, Debug)]
pub struct Document(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Arc<str>,
    executable: Valid<ExecutableDocument>,
}

/// An operation name that selects no operation of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownOperation(String);

impl Document {
    /// Resolves the fields of a document that has passed validation.
    pub(crate) fn new(schema: &Schema, document: &ParsedDocument) -> Result<Self, Vec<ValidationError>> {
        match document.ast.to_executable(schema.definition()) {
            Ok(executable) => {
                let executable = Valid::assume_valid(executable);
                Ok(Self(Arc::new(Inner { text: Arc::clone(&document.text), executable })))
            }
            // The corpus has no such document; it would be a rule that validation lacks.
            Err(invalid) => Err(invalid.errors.iter().map(|error| unresolved(&document.text, &error)).collect()),
        }
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The document as apollo-compiler has it: operations and fragments, with resolved definitions.
    pub fn executable(&self) -> &Valid<ExecutableDocument> {
        &self.0.executable
    }

    /// All operations.
    pub fn operations(&self) -> &OperationMap {
        &self.0.executable.operations
    }

    /// All fragments, by name.
    pub fn fragments(&self) -> &FragmentMap {
        &self.0.executable.fragments
    }

    /// The operation with this name; the only operation if the name is absent or empty.
    ///
    /// # Errors
    /// No operation has the name, or none is given and the document has several.
    pub fn operation(&self, name: Option<&str>) -> Result<&Node<Operation>, UnknownOperation> {
        match name.filter(|name| !name.is_empty()) {
            Some(name) => self.operations().named.get(name).ok_or_else(|| {
                UnknownOperation(format!("Unknown operation named \"{}\".", name.chars().take(100).collect::<String>()))
            }),
            None => self.operations().get(None).map_err(|_| {
                UnknownOperation("Must provide operation name if query contains multiple operations.".to_owned())
            }),
        }
    }

    /// The position of a node, such as `field.location()`; line 1, column 1 for a node without one.
    pub fn location(&self, span: Option<apollo_compiler::parser::SourceSpan>) -> Location {
        Location::of(&self.0.text, span.map_or(0, |span| span.offset()))
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.executable.fmt(formatter)
    }
}

fn unresolved(
    text: &str,
    error: &apollo_compiler::diagnostic::Diagnostic<'_, apollo_compiler::validation::DiagnosticData>,
) -> ValidationError {
    let location = error.error.location().map(|span| Location::of(text, span.offset()));
    let message = error.error.to_string().chars().take(200).collect();
    ValidationError { message, locations: location.into_iter().collect(), rule: "Unresolved" }
}
