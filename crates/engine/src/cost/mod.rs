//! Looks at a document before anything else does, and refuses what would cost too much.
//!
//! Validation walks a fragment anew each time it is spread, so a text of 900 bytes can stand for more work than a
//! machine can do. Here each fragment is looked at once; its counts are multiplied and added with saturation, so that
//! the look itself is linear in the text.
mod scan;
mod summary;

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Pos, Positioned, Value, Variables,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use self::{
    scan::{LimitExceeded, scan},
    summary::{FieldSummary, SchemaSummary},
};
use crate::error::{Code, Error, Result};

/// Objects that a list without a page is taken to have.
const LIST_LENGTH: u64 = 10;

/// Nested lists of introspection, such as `fields { type { fields` …, from which on the answer explodes.
const INTROSPECTION_LISTS_MAX: u64 = 2;

/// Characters of the document that an error message may repeat.
const ECHO_MAX: usize = 40;

/// What one document may cost.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the document. Default 65536.
    pub document_bytes: usize,
    /// Tokens of the document. Default 2000.
    pub tokens: usize,
    /// Brackets of any kind inside each other. Default 64.
    pub nesting: usize,
    /// Fields inside each other, fragments expanded; introspection has a bound of its own. Default 15.
    pub depth: u64,
    /// Selections after fragments are expanded. Default 5000.
    pub selections: u64,
    /// Fields under another name than their own, fragments expanded. Default 50.
    pub aliases: u64,
    /// Fields at the root, fragments expanded. Default 20.
    pub root_fields: u64,
    /// Directives at one place. Default 10.
    pub directives: usize,
    /// Objects that an answer could hold, by the sizes of its pages. Default 20000.
    pub objects: u64,
    /// Values in one list of the variables. Default 10000.
    pub variable_list: usize,
    /// Edges of a page where neither `first` nor `last` is given. Default 50.
    pub page_size_default: u32,
    /// Edges of a page at most. Default 100.
    pub page_size_max: u32,
    /// Bytes of memory in which parsed and validated documents are kept, about. Default 8388608; 0 keeps none.
    pub document_cache_bytes: usize,
    /// Answers `__schema` and `__type`, and `/schema.graphql`. Default true. Whoever knows a field can ask for it either
    /// way.
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
            variable_list: 10_000,
            page_size_default: 50,
            page_size_max: 100,
            document_cache_bytes: 8 << 20,
            introspection: true,
        }
    }
}

/// Refuses documents above its limits.
#[derive(Debug)]
pub struct CostAnalyzer {
    shape: SchemaSummary,
    limits: Limits,
}

/// Why a document was refused, and where.
#[derive(Clone, Debug)]
pub struct DocumentError {
    /// The fault, for the client.
    pub error: Error,
    /// The place in the document.
    pub position: Option<Pos>,
}

impl CostAnalyzer {
    /// Reads the schema from its definition.
    ///
    /// # Errors
    /// The definition is not one.
    pub fn new(sdl: &str, limits: Limits) -> Result<Self> {
        Ok(Self { shape: SchemaSummary::read(sdl)?, limits })
    }

    /// Reads a document: size, tokens and nesting first, then its grammar.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` above a limit, `GRAPHQL_PARSE_FAILED` for what is no document.
    pub fn parse(&self, text: &str) -> std::result::Result<ExecutableDocument, DocumentError> {
        within("the document has", text.len() as u64, self.limits.document_bytes as u64, "bytes")?;
        scan(text, self.limits.tokens, self.limits.nesting).map_err(|excess| match excess {
            LimitExceeded::Tokens => {
                limit_exceeded(format!("the document has more than {} tokens: split it", self.limits.tokens))
            }
            LimitExceeded::Nesting => {
                limit_exceeded(format!("the document nests brackets more than {} deep", self.limits.nesting))
            }
        })?;
        async_graphql::parser::parse_query(text).map_err(|error| syntax_error(text, &error))
    }

    /// Weighs one operation with the values of its variables.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` above a limit, `GRAPHQL_VALIDATION_FAILED` for fragments that spread each other in a circle.
    pub fn check(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> std::result::Result<(), DocumentError> {
        self.check_variables(variables)?;
        self.check_directives(document)?;
        let root = match operation.ty {
            OperationType::Query => &self.shape.query,
            OperationType::Mutation => &self.shape.mutation,
            OperationType::Subscription => &self.shape.subscription,
        };
        let mut weighing = CostVisitor {
            guard: self,
            document,
            operation,
            variables,
            known: HashMap::new(),
            open: HashSet::new(),
            steps: 0,
        };
        // Fragments that nothing spreads are validated too, so circles among them matter.
        for (name, fragment) in &document.fragments {
            weighing.fragment(name, fragment.node.type_condition.node.on.node.as_str(), None, fragment.pos)?;
        }
        let total = weighing.selections(&operation.selection_set.node, root, None)?;
        within("the operation expands to", total.selections, self.limits.selections, "selections")?;
        within("the operation has", total.aliases, self.limits.aliases, "aliases")?;
        within("the operation has", total.fields, self.limits.root_fields, "fields at its root")?;
        within("the operation nests fields", total.depth, self.limits.depth, "deep")?;
        within("the answer could hold", total.objects, self.limits.objects, "objects (ask for smaller pages)")?;
        if total.introspection_lists > INTROSPECTION_LISTS_MAX {
            return Err(limit_exceeded(format!(
                "introspection nests lists of types {} deep, {INTROSPECTION_LISTS_MAX} are allowed",
                total.introspection_lists
            )));
        }
        Ok(())
    }

    fn check_variables(&self, variables: &Variables) -> std::result::Result<(), DocumentError> {
        let mut open: Vec<&Value> = variables.values().collect();
        while let Some(value) = open.pop() {
            match value {
                Value::List(items) => {
                    within(
                        "a list in the variables has",
                        items.len() as u64,
                        self.limits.variable_list as u64,
                        "values",
                    )?;
                    open.extend(items);
                }
                Value::Object(fields) => open.extend(fields.values()),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_directives(&self, document: &ExecutableDocument) -> std::result::Result<(), DocumentError> {
        let check = |directives: &[Positioned<Directive>]| {
            within("a place has", directives.len() as u64, self.limits.directives as u64, "directives")
        };
        let mut open = Vec::new();
        for (_, operation) in document.operations.iter() {
            check(&operation.node.directives)?;
            open.push(&operation.node.selection_set.node);
        }
        for fragment in document.fragments.values() {
            check(&fragment.node.directives)?;
            open.push(&fragment.node.selection_set.node);
        }
        while let Some(set) = open.pop() {
            for item in &set.items {
                check(item.node.directives())?;
                match &item.node {
                    Selection::Field(field) => open.push(&field.node.selection_set.node),
                    Selection::InlineFragment(fragment) => open.push(&fragment.node.selection_set.node),
                    Selection::FragmentSpread(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// What a selection set stands for, for one object.
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

/// One look at an operation.
struct CostVisitor<'a> {
    guard: &'a CostAnalyzer,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    /// Weights of fragments on a page of so many objects.
    known: HashMap<(Name, Option<u64>), Cost>,
    open: HashSet<Name>,
    /// Selections looked at, for the tests.
    steps: u64,
}

impl CostVisitor<'_> {
    /// Weighs a selection set on an object of type `of`; `page` is the length of the list it is the connection of.
    fn selections(
        &mut self,
        set: &SelectionSet,
        of: &str,
        page: Option<u64>,
    ) -> std::result::Result<Cost, DocumentError> {
        let mut total = Cost::default();
        for item in &set.items {
            self.steps += 1;
            total.selections = total.selections.saturating_add(1);
            total.add(match &item.node {
                Selection::Field(field) => self.field(&field.node, of, page)?,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let of = condition.map_or(of, |condition| condition.node.on.node.as_str());
                    self.selections(&fragment.node.selection_set.node, of, page)?
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    match self.document.fragments.get(name) {
                        Some(fragment) => {
                            let of = fragment.node.type_condition.node.on.node.as_str();
                            self.fragment(name, of, page, item.pos)?
                        }
                        // An unknown fragment is validation's to name.
                        None => Cost::default(),
                    }
                }
            });
        }
        Ok(total)
    }

    fn fragment(
        &mut self,
        name: &Name,
        of: &str,
        page: Option<u64>,
        position: Pos,
    ) -> std::result::Result<Cost, DocumentError> {
        let key = (name.clone(), page);
        if let Some(weight) = self.known.get(&key) {
            return Ok(*weight);
        }
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Cost::default()) };
        if !self.open.insert(name.clone()) {
            let message = format!("fragment `{name}` spreads itself");
            return Err(DocumentError {
                error: Error::new(Code::GraphqlValidationFailed, message),
                position: Some(position),
            });
        }
        let weight = self.selections(&fragment.node.selection_set.node, of, page)?;
        self.open.remove(name);
        self.known.insert(key, weight);
        Ok(weight)
    }

    fn field(&mut self, field: &Field, of: &str, page: Option<u64>) -> std::result::Result<Cost, DocumentError> {
        let name = field.name.node.as_str();
        let is_introspection = name.starts_with("__") || of.starts_with("__");
        let shape = self.guard.shape.field(of, name).cloned();
        let length = shape.as_ref().map_or(1, |shape| self.length(field, shape, page));
        let below_of = match &shape {
            Some(shape) => shape.of.clone(),
            // Introspection is not in the definition; what is below it is no object of the catalogue.
            None if is_introspection => "__Introspection".to_owned(),
            None => String::new(),
        };
        let below_page = shape.as_ref().and_then(|shape| self.page(field, shape));
        let below = self.selections(&field.selection_set.node, &below_of, below_page)?;
        let is_list_of_types =
            is_introspection && matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields");
        let is_object = shape.as_ref().is_some_and(|shape| self.guard.shape.has_fields(&shape.of));
        Ok(Cost {
            fields: 1,
            selections: below.selections,
            aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
            depth: if is_introspection { 0 } else { below.depth.saturating_add(1) },
            objects: if is_object { length.saturating_mul(below.objects.saturating_add(1)) } else { 0 },
            introspection_lists: below.introspection_lists.saturating_add(u64::from(is_list_of_types)),
        })
    }

    /// How many objects the field leads to, for one parent.
    fn length(&self, field: &Field, shape: &FieldSummary, page: Option<u64>) -> u64 {
        if !shape.is_list {
            return 1;
        }
        if shape.takes_ids {
            return match self.argument(field, "ids") {
                Some(Value::List(ids)) => ids.len() as u64,
                _ => LIST_LENGTH,
            };
        }
        page.or_else(|| self.page(field, shape)).unwrap_or(LIST_LENGTH)
    }

    /// How long a page the field asks for, where it has pages.
    fn page(&self, field: &Field, shape: &FieldSummary) -> Option<u64> {
        let default = shape.page?.unwrap_or_else(|| u64::from(self.guard.limits.page_size_default));
        let given = ["first", "last"].into_iter().find_map(|name| match self.argument(field, name) {
            Some(Value::Number(number)) => Some(number.as_u64().unwrap_or(0)),
            _ => None,
        });
        Some(given.unwrap_or(default))
    }

    fn argument(&self, field: &Field, name: &str) -> Option<Value> {
        let value = &field.get_argument(name)?.node;
        match value {
            async_graphql_value::Value::Variable(variable) => self.variable(variable),
            async_graphql_value::Value::List(items) => Some(Value::List(vec![Value::Null; items.len()])),
            other => other.clone().into_const(),
        }
    }

    fn variable(&self, name: &Name) -> Option<Value> {
        self.variables.get(name).cloned().or_else(|| {
            let definitions = &self.operation.variable_definitions;
            let definition = definitions.iter().find(|definition| definition.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|value| value.node.clone())
        })
    }
}

/// The operation that a request means.
///
/// # Errors
/// `BAD_REQUEST` where the name is that of none, or absent where there are several.
pub fn operation<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> std::result::Result<&'d Positioned<OperationDefinition>, DocumentError> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations.values().next(),
        _ => None,
    };
    found.ok_or_else(|| {
        let message = match name {
            Some(name) => format!("the document has no operation named `{}`", echo(name)),
            None => "the document has several operations: say which by `operationName`".to_owned(),
        };
        DocumentError { error: Error::new(Code::BadRequest, message), position: None }
    })
}

fn within(what: &str, found: u64, allowed: u64, unit: &str) -> std::result::Result<(), DocumentError> {
    if found <= allowed {
        return Ok(());
    }
    Err(limit_exceeded(format!("{what} {found} {unit}, {allowed} are allowed")))
}

fn limit_exceeded(message: String) -> DocumentError {
    DocumentError { error: Error::new(Code::LimitExceeded, message), position: None }
}

/// The parser's error in one line: where it is and what stands there.
fn syntax_error(text: &str, error: &async_graphql::parser::Error) -> DocumentError {
    use async_graphql::parser::Error as Syntax;
    let position = error.positions().next();
    let message = match (error, position) {
        (Syntax::Syntax { .. }, Some(position)) => {
            let rest = at(text, position);
            let found =
                if rest.is_empty() { "the end of the document".to_owned() } else { format!("`{}`", echo(rest)) };
            format!("syntax error at {}:{}: unexpected {found}", position.line, position.column)
        }
        (Syntax::OperationDuplicated { operation, .. }, _) => {
            format!("operation `{}` is defined twice", echo(operation))
        }
        (Syntax::FragmentDuplicated { fragment, .. }, _) => format!("fragment `{}` is defined twice", echo(fragment)),
        (Syntax::MultipleOperations { .. }, _) => "an operation without a name must be the only one".to_owned(),
        (Syntax::MissingOperation, _) => "the document has no operation".to_owned(),
        (Syntax::RecursionLimitExceeded, _) => "the document nests selections too deep".to_owned(),
        _ => "syntax error".to_owned(),
    };
    DocumentError { error: Error::new(Code::GraphqlParseFailed, message), position }
}

/// The text from a position on, to the end of its line.
fn at(text: &str, position: Pos) -> &str {
    let line = text.split('\n').nth(position.line.saturating_sub(1)).unwrap_or_default();
    let start = line.char_indices().nth(position.column.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    line[start..].trim_end()
}

/// The beginning of a client's text, for a message.
fn echo(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(ECHO_MAX).collect()
}

#[cfg(test)]
mod tests;
