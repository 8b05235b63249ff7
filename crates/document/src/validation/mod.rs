//! The rules of section 5 of the specification, September 2025.
//!
//! One walk ([`walk`]) visits every definition once and checks the rules that concern one node and its type. It records
//! the variables and fragments that each definition uses, from which [`operations`] checks the rules that concern whole
//! operations. [`overlap`] checks that fields with the same response key can be merged.
//!
//! No rule expands fragments in a way that takes time exponential in the text: see [`overlap`] and its budget.
mod introspection;
mod operations;
mod overlap;
mod suggestion;
mod values;
mod walk;

use std::collections::HashMap;

use apollo_compiler::{
    Name, Node,
    ast::{Definition, FragmentDefinition, OperationDefinition, Type},
    parser::SourceSpan,
};

use crate::{
    document::ParsedDocument,
    error::{Location, ValidationError},
    schema::{Options, Schema},
};

/// Violations that are reported of one document.
const ERRORS_MAX: usize = 50;

/// Characters of one part of the document that a message repeats.
const ECHO_MAX: usize = 100;

/// Checks a document against all rules.
pub(crate) fn validate(
    schema: &Schema,
    document: &ParsedDocument,
    options: &Options,
) -> Result<(), Vec<ValidationError>> {
    let mut context = Context::new(schema, document, options);
    let uses = walk::walk(&mut context);
    operations::check(&mut context, &uses);
    introspection::check(&mut context);
    overlap::check(&mut context);
    context.finish()
}

/// The context that all rules share.
struct Context<'a> {
    schema: &'a Schema,
    document: &'a ParsedDocument,
    options: &'a Options,
    operations: Vec<&'a Node<OperationDefinition>>,
    fragments: Vec<&'a Node<FragmentDefinition>>,
    fragment_by_name: HashMap<&'a str, &'a Node<FragmentDefinition>>,
    errors: Vec<Violation>,
}

/// A violation before its offsets become lines and columns.
struct Violation {
    rule: &'static str,
    message: String,
    offsets: Vec<usize>,
}

impl<'a> Context<'a> {
    fn new(schema: &'a Schema, document: &'a ParsedDocument, options: &'a Options) -> Self {
        let definitions = &document.ast().definitions;
        let operations = definitions.iter().filter_map(Definition::as_operation_definition).collect();
        let fragments: Vec<_> = definitions.iter().filter_map(Definition::as_fragment_definition).collect();
        let fragment_by_name = fragments.iter().map(|fragment| (fragment.name.as_str(), *fragment)).collect();
        Self { schema, document, options, operations, fragments, fragment_by_name, errors: Vec::new() }
    }

    /// Reports a violation at some nodes.
    fn report(&mut self, rule: &'static str, message: String, nodes: &[Option<SourceSpan>]) {
        if self.errors.len() < ERRORS_MAX {
            let offsets = nodes.iter().flatten().map(|span| span.offset()).collect();
            self.errors.push(Violation { rule, message, offsets });
        }
    }

    fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// The text of a node, cut to a size that a message may repeat.
    fn source(&self, span: Option<SourceSpan>) -> String {
        let text = span.and_then(|span| self.document.text().get(span.offset()..span.end_offset())).unwrap_or_default();
        echo(text)
    }

    /// `Did you mean …?` with a leading space; empty without similar names.
    fn did_you_mean<'n>(&self, name: &str, candidates: impl Iterator<Item = &'n str>) -> String {
        if self.options.suggestions && !self.is_full() {
            suggestion::did_you_mean(&suggestion::similar(name, candidates))
        } else {
            String::new()
        }
    }

    fn finish(mut self) -> Result<(), Vec<ValidationError>> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by_key(|error| error.offsets.first().copied());
        let text = self.document.text();
        let locate = |error: Violation| ValidationError {
            message: error.message,
            locations: error.offsets.iter().map(|offset| Location::of(text, *offset)).collect(),
            rule: error.rule,
        };
        Err(self.errors.into_iter().map(locate).collect())
    }
}

/// A part of the document as a message repeats it.
fn echo(text: &str) -> String {
    let mut characters = text.trim().chars();
    let start: String = characters.by_ref().take(ECHO_MAX).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}

/// A name of the document as a message repeats it.
fn name(name: &Name) -> String {
    echo(name.as_str())
}

fn type_name(ty: &Type) -> String {
    echo(&ty.to_string())
}
