//! Limits of operations: what an operation could cost is computed before it is executed.
//!
//! Each fragment is visited once for each page size; its counts are multiplied and added with saturation, so that the
//! analysis is linear in the text however often fragments are spread.
use std::collections::HashMap;

use async_graphql::{Pos, Value, Variables, indexmap::IndexMap};
use documented::DocumentedFields;
use gatherum_document::{
    Document, ParseError, ParseErrorKind, ValidationError,
    apollo_compiler::{
        Name,
        ast::{DirectiveList, FieldDefinition, Value as Literal},
        executable::{Field, Operation, Selection, SelectionSet},
        schema::ExtendedType,
    },
};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};

/// Objects that a list without a page is assumed to have.
const LIST_LENGTH: u64 = 10;

/// Maximum nesting of lists in introspection, such as `fields { type { fields`: the response grows exponentially.
const INTROSPECTION_LISTS_MAX: u64 = 2;

/// Limits of a document and of the response that it could have.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum size of a document in bytes. Default 65536.
    pub document_bytes: usize,
    /// Maximum number of tokens of a document. Default 2000.
    pub tokens: usize,
    /// Maximum nesting of brackets of any kind. Default 64.
    pub nesting: usize,
    /// Maximum nesting of fields, with fragments expanded. Introspection has its own limit. Default 15.
    pub depth: u64,
    /// Maximum number of selections, with fragments expanded. Default 5000.
    pub selections: u64,
    /// Maximum number of aliases, with fragments expanded. Default 50.
    pub aliases: u64,
    /// Maximum number of root fields, with fragments expanded. Default 20.
    pub root_fields: u64,
    /// Maximum number of directives at one location. Default 10.
    pub directives: usize,
    /// Maximum number of objects that the response could have, by the sizes of its pages. Default 20000.
    pub objects: u64,
    /// Maximum number of values in a list of the variables or of the document, also in lists inside of others. Default 1000.
    pub variable_list: usize,
    /// Number of edges of a page if neither `first` nor `last` is given. Default 50.
    pub page_size_default: u32,
    /// Maximum number of edges of a page. Default 100.
    pub page_size_max: u32,
    /// Approximate size of the cache of validated documents in bytes; 0 disables it. Default 8388608.
    pub document_cache_bytes: usize,
    /// Enables introspection (`__schema`, `__type`) and `/schema.graphql`. Default true. Fields can be queried either way.
    pub introspection: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 65_536,
            tokens: 2_000,
            nesting: 64,
            depth: 15,
            selections: 5_000,
            aliases: 50,
            root_fields: 20,
            directives: 10,
            objects: 20_000,
            variable_list: 1_000,
            page_size_default: 50,
            page_size_max: 100,
            document_cache_bytes: 8 << 20,
            introspection: true,
        }
    }
}

/// The reason for rejecting a document, and its position.
#[derive(Clone, Debug)]
pub struct DocumentError {
    /// The error.
    pub error: Error,
    /// The position in the document.
    pub position: Option<Pos>,
}

impl From<ParseError> for DocumentError {
    fn from(error: ParseError) -> Self {
        let code = match error.kind {
            ParseErrorKind::Syntax => Code::GraphqlParseFailed,
            ParseErrorKind::Limit => Code::LimitExceeded,
        };
        let position = error.location.map(|location| Pos { line: location.line, column: location.column });
        Self { error: Error::new(code, error.message), position }
    }
}

impl From<ValidationError> for DocumentError {
    fn from(error: ValidationError) -> Self {
        let location = error.locations.first();
        let position = location.map(|location| Pos { line: location.line, column: location.column });
        Self { error: Error::new(Code::GraphqlValidationFailed, error.message), position }
    }
}

type Result<T, E = DocumentError> = std::result::Result<T, E>;

impl Limits {
    /// The limits that are checked while a document is parsed.
    pub(crate) fn parsing(&self) -> gatherum_document::Limits {
        gatherum_document::Limits { bytes: self.document_bytes, tokens: self.tokens, nesting: self.nesting }
    }

    /// Checks the lists in the variables of a request, before they are coerced.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub(crate) fn check_variables(&self, variables: &Variables) -> Result<()> {
        let mut open: Vec<&Value> = variables.values().collect();
        while let Some(value) = open.pop() {
            match value {
                Value::List(items) => {
                    self.check_list("a list in the variables", items.len())?;
                    open.extend(items);
                }
                Value::Object(fields) => open.extend(fields.values()),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_list(&self, what: &str, length: usize) -> Result<()> {
        let max = self.variable_list;
        if length <= max {
            return Ok(());
        }
        let message = format!("{what} has {length} values, {max} are allowed (limits.variable_list)");
        Err(DocumentError { error: Error::new(Code::LimitExceeded, message), position: None })
    }

    /// Checks the lists in an argument of the document.
    fn check_literal(&self, literal: &Literal) -> Result<()> {
        match literal {
            Literal::List(items) => {
                self.check_list("a list in the document", items.len())?;
                items.iter().try_for_each(|item| self.check_literal(item))
            }
            Literal::Object(fields) => fields.iter().try_for_each(|(_, value)| self.check_literal(value)),
            _ => Ok(()),
        }
    }

    /// Checks the cost of an operation with the values of its variables. Returns the number of objects that the response
    /// could have.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub(crate) fn check(
        &self,
        schema: &gatherum_document::Schema,
        document: &Document,
        operation: &Operation,
        variables: &IndexMap<async_graphql::Name, Value>,
    ) -> Result<u64> {
        self.check_locations(document)?;
        let mut visitor = CostVisitor { schema, limits: self, document, variables, known: HashMap::new(), visited: 0 };
        let total = visitor.selections(&operation.selection_set, None);
        within("the operation expands to", total.selections, self.selections, "selections")?;
        within("the operation has", total.aliases, self.aliases, "aliases")?;
        within("the operation has", total.fields, self.root_fields, "fields at its root")?;
        within("the operation nests fields", total.depth, self.depth, "deep")?;
        within("the response could have", total.objects, self.objects, "objects (request smaller pages)")?;
        within("introspection nests lists of types", total.introspection_lists, INTROSPECTION_LISTS_MAX, "deep")?;
        Ok(total.objects)
    }

    /// Checks the directives and the arguments of every location.
    fn check_locations(&self, document: &Document) -> Result<()> {
        let check = |directives: &DirectiveList| {
            within("a location has", directives.len() as u64, self.directives as u64, "directives")
        };
        let mut open = Vec::new();
        for operation in document.operations().iter() {
            check(&operation.directives)?;
            let mut defaults = operation.variables.iter().filter_map(|variable| variable.default_value.as_deref());
            defaults.try_for_each(|default| self.check_literal(default))?;
            open.push(&operation.selection_set);
        }
        for fragment in document.fragments().values() {
            check(&fragment.directives)?;
            open.push(&fragment.selection_set);
        }
        while let Some(set) = open.pop() {
            for selection in &set.selections {
                check(selection.directives())?;
                match selection {
                    Selection::Field(field) => {
                        field.arguments.iter().try_for_each(|argument| self.check_literal(&argument.value))?;
                        open.push(&field.selection_set);
                    }
                    Selection::InlineFragment(fragment) => open.push(&fragment.selection_set),
                    Selection::FragmentSpread(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// The cost of a selection set for one object.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Fields of the set itself.
    fields: u64,
    /// Selections in it and below.
    selections: u64,
    aliases: u64,
    depth: u64,
    /// Objects below it.
    objects: u64,
    introspection_lists: u64,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.objects = self.objects.saturating_add(other.objects);
        self.depth = self.depth.max(other.depth);
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
    }
}

/// Computes the cost of one operation.
struct CostVisitor<'a> {
    schema: &'a gatherum_document::Schema,
    limits: &'a Limits,
    document: &'a Document,
    variables: &'a IndexMap<async_graphql::Name, Value>,
    /// Costs of fragments, by name and by the page size of the connection that they are spread on.
    known: HashMap<(Name, Option<u64>), Cost>,
    /// Selections visited, for the tests.
    visited: u64,
}

impl CostVisitor<'_> {
    /// The cost of a selection set; `page` is the page size if the object is a connection.
    fn selections(&mut self, set: &SelectionSet, page: Option<u64>) -> Cost {
        let mut total = Cost::default();
        for selection in &set.selections {
            self.visited += 1;
            total.selections = total.selections.saturating_add(1);
            total.add(match selection {
                Selection::Field(field) => self.field(field, &set.ty, page),
                Selection::InlineFragment(fragment) => self.selections(&fragment.selection_set, page),
                Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name, page),
            });
        }
        total
    }

    /// The cost of a fragment. Validation has rejected cycles.
    fn fragment(&mut self, name: &Name, page: Option<u64>) -> Cost {
        let key = (name.clone(), page);
        if let Some(cost) = self.known.get(&key) {
            return *cost;
        }
        let document = self.document;
        let Some(fragment) = document.fragments().get(name) else { return Cost::default() };
        let cost = self.selections(&fragment.selection_set, page);
        self.known.insert(key, cost);
        cost
    }

    fn field(&mut self, field: &Field, of: &str, page: Option<u64>) -> Cost {
        let is_introspection = field.name.starts_with("__") || of.starts_with("__");
        let definition = &field.definition;
        let length = if is_introspection { 1 } else { self.length(field, page) };
        let below_page = if is_introspection { None } else { self.page(field) };
        let below = self.selections(&field.selection_set, below_page);
        let is_list_of_types = is_introspection
            && matches!(field.name.as_str(), "fields" | "interfaces" | "possibleTypes" | "inputFields");
        let is_object = !is_introspection && self.has_fields(definition);
        Cost {
            fields: 1,
            selections: below.selections,
            aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
            depth: if is_introspection { 0 } else { below.depth.saturating_add(1) },
            objects: if is_object { length.saturating_mul(below.objects.saturating_add(1)) } else { 0 },
            introspection_lists: below.introspection_lists.saturating_add(u64::from(is_list_of_types)),
        }
    }

    fn has_fields(&self, definition: &FieldDefinition) -> bool {
        let ty = self.schema.definition().types.get(definition.ty.inner_named_type());
        matches!(ty, Some(ExtendedType::Object(_) | ExtendedType::Interface(_)))
    }

    /// The number of objects that the field has for one parent.
    fn length(&self, field: &Field, page: Option<u64>) -> u64 {
        if !field.definition.ty.is_list() {
            return 1;
        }
        if field.definition.argument_by_name("ids").is_some() {
            return match self.argument(field, "ids") {
                Some(Value::List(ids)) => ids.len() as u64,
                _ => LIST_LENGTH,
            };
        }
        page.or_else(|| self.page(field)).unwrap_or(LIST_LENGTH)
    }

    /// The page size of a field with the argument `first` or `last`.
    fn page(&self, field: &Field) -> Option<u64> {
        let sizes = ["first", "last"];
        let argument = sizes.iter().find_map(|name| field.definition.argument_by_name(name))?;
        let default = match argument.default_value.as_deref() {
            Some(Literal::Int(size)) => size.as_str().parse().unwrap_or(u64::from(self.limits.page_size_default)),
            _ => u64::from(self.limits.page_size_default),
        };
        let given = sizes.into_iter().find_map(|name| match self.argument(field, name) {
            Some(Value::Number(number)) => Some(number.as_u64().unwrap_or(0)),
            _ => None,
        });
        Some(given.unwrap_or(default))
    }

    fn argument(&self, field: &Field, name: &str) -> Option<Value> {
        let value = field.specified_argument_by_name(name)?;
        match value.as_ref() {
            // Its length matters, its items do not.
            Literal::List(items) => Some(Value::List(vec![Value::Null; items.len()])),
            value => gatherum_document::to_async_graphql(value, &|name| self.variables.get(name).cloned()),
        }
    }
}

fn within(what: &str, found: u64, max: u64, unit: &str) -> Result<()> {
    if found <= max {
        return Ok(());
    }
    let message = format!("{what} {found} {unit}, {max} are allowed");
    Err(DocumentError { error: Error::new(Code::LimitExceeded, message), position: None })
}

#[cfg(test)]
mod tests;
