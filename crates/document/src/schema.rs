//! The schema that documents are checked against.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use apollo_compiler::{
    Name, Node,
    ast::{FieldDefinition, OperationType},
    schema::{Component, ExtendedType, Implementers},
    validation::Valid,
};

use crate::{
    document::{Document, ParsedDocument},
    error::{CheckError, ParseError, SchemaError, ValidationError},
    parser::{self, Limits},
    validation,
};

/// How documents are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Messages suggest similar names. Default true; switch it off together with introspection, since suggestions reveal
    /// the schema.
    pub suggestions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { suggestions: true }
    }
}

/// A valid schema, prepared for checking documents. Clones share it.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    schema: Valid<apollo_compiler::Schema>,
    implementers: apollo_compiler::collections::HashMap<Name, Implementers>,
    /// The object types that values of each composite type can have.
    possible: HashMap<Name, HashSet<Name>>,
    one_of: HashSet<Name>,
}

/// Added if the definition lacks it: apollo-compiler 1.33 does not know the directive.
const ONE_OF: &str = "directive @oneOf on INPUT_OBJECT";

impl Schema {
    /// Reads a schema from its definition. The directives of the specification need not be declared.
    ///
    /// # Errors
    /// The definition is malformed or invalid.
    pub fn parse(sdl: &str) -> Result<Self, SchemaError> {
        let declares = sdl.contains("directive @oneOf");
        let sdl = if declares { sdl.to_owned() } else { format!("{sdl}\n{ONE_OF}\n") };
        let schema = apollo_compiler::Schema::parse_and_validate(sdl, "schema.graphql");
        let schema = schema.map_err(|invalid| SchemaError(invalid.errors.to_string()))?;
        Ok(Self::new(with_is_one_of(schema)))
    }

    fn new(schema: Valid<apollo_compiler::Schema>) -> Self {
        let implementers = schema.implementers_map();
        let possible = schema.types.iter().filter_map(|(name, ty)| {
            let objects: HashSet<Name> = match ty {
                ExtendedType::Object(_) => HashSet::from([name.clone()]),
                ExtendedType::Interface(_) => {
                    implementers.get(name).map(|found| found.objects.iter().cloned().collect()).unwrap_or_default()
                }
                ExtendedType::Union(ty) => ty.members.iter().map(|member| member.name.clone()).collect(),
                _ => return None,
            };
            Some((name.clone(), objects))
        });
        let possible = possible.collect();
        let inputs = schema.types.values().filter_map(ExtendedType::as_input_object);
        let one_of = inputs.filter(|ty| ty.directives.has("oneOf")).map(|ty| ty.name.clone()).collect();
        Self(Arc::new(Inner { schema, implementers, possible, one_of }))
    }

    /// Parses a document without looking at the schema.
    ///
    /// # Errors
    /// The text exceeds a limit or does not follow the grammar.
    pub fn parse_document(&self, text: &str, limits: &Limits) -> Result<ParsedDocument, ParseError> {
        parser::parse(text, limits)
    }

    /// Validates a document.
    ///
    /// # Errors
    /// The violations, at most 50, sorted by position.
    pub fn validate(&self, document: &ParsedDocument, options: &Options) -> Result<Document, Vec<ValidationError>> {
        validation::validate(self, document, options)?;
        Document::new(self, document)
    }

    /// Parses and validates a document.
    ///
    /// # Errors
    /// Those of [`Self::parse_document`] and [`Self::validate`].
    pub fn check(&self, text: &str, limits: &Limits, options: &Options) -> Result<Document, CheckError> {
        Ok(self.validate(&self.parse_document(text, limits)?, options)?)
    }

    /// The schema as apollo-compiler has it.
    pub fn definition(&self) -> &Valid<apollo_compiler::Schema> {
        &self.0.schema
    }

    pub(crate) fn implementers(&self) -> &apollo_compiler::collections::HashMap<Name, Implementers> {
        &self.0.implementers
    }

    pub(crate) fn get(&self, name: &str) -> Option<&ExtendedType> {
        self.0.schema.types.get(name)
    }

    pub(crate) fn root(&self, operation: OperationType) -> Option<&Name> {
        self.0.schema.root_operation(operation)
    }

    pub(crate) fn field(&self, parent: &str, name: &str) -> Option<&Component<FieldDefinition>> {
        self.0.schema.type_field(parent, name).ok()
    }

    /// Whether the type has selections.
    pub(crate) fn is_composite(&self, name: &str) -> bool {
        self.0.possible.contains_key(name)
    }

    pub(crate) fn is_object(&self, name: &str) -> bool {
        matches!(self.get(name), Some(ExtendedType::Object(_)))
    }

    pub(crate) fn is_one_of(&self, name: &str) -> bool {
        self.0.one_of.contains(name)
    }

    /// The object types of a composite type; itself for an object type.
    pub(crate) fn possible_types(&self, name: &str) -> Option<&HashSet<Name>> {
        self.0.possible.get(name)
    }
}

/// Adds the field `isOneOf` to `__Type`.
fn with_is_one_of(schema: Valid<apollo_compiler::Schema>) -> Valid<apollo_compiler::Schema> {
    let mut schema = schema.into_inner();
    let field = FieldDefinition {
        description: None,
        name: apollo_compiler::name!("isOneOf"),
        arguments: Vec::new(),
        ty: apollo_compiler::ast::Type::Named(apollo_compiler::name!("Boolean")),
        directives: Default::default(),
    };
    if let Some(ExtendedType::Object(ty)) = schema.types.get_mut("__Type") {
        ty.make_mut().fields.entry(field.name.clone()).or_insert_with(|| Component::from(Node::new(field)));
    }
    Valid::assume_valid(schema)
}
