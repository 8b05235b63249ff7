//! Executes an operation breadth-first.
//!
//! A selection set is resolved for all objects of its level at once: each field once, for the column of all parents.
//! Leaves are written from the parents' rows; relationships ask the loader once with all keys; the futures of one level
//! wait side by side, so that a round gathers across paths. Answers are written as JSON directly, in the order asked.
//! Errors, null propagation, `@skip`, `@include`, fragments and merged fields follow the specification, September 2025,
//! section 6.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_graphql::{
    Name, Pos, Positioned, Value,
    indexmap::IndexMap,
    parser::types::{Directive, Field as AstField, FragmentDefinition, Selection, SelectionSet},
};
use futures_util::future::{BoxFuture, join_all};

use crate::{
    context::Context,
    error::{Code, Error, Result},
    loading::Loader,
    object::{Arguments, Field, Object, ObjectDefinition, Source, Types},
    projection::Projection,
    response::Segment,
    results::{FieldResults, Output, Slot, SlotValue},
};

/// Errors that one response holds at most; the rest is cut off.
pub(crate) const ERRORS_MAX: usize = 100;

/// One execution of an operation.
pub(crate) struct Execution<'a> {
    pub(crate) types: &'a Types,
    pub(crate) context: &'a Context,
    pub(crate) fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    pub(crate) variables: IndexMap<Name, Value>,
    /// JSON of root fields that are resolved elsewhere: those of introspection.
    elsewhere: HashMap<String, Vec<u8>>,
    errors: Mutex<Vec<FieldError>>,
}

/// A fault of one field.
#[derive(Clone, Debug)]
pub struct FieldError {
    /// The error.
    pub error: Error,
    /// The place in the document; the default if it belongs to none.
    pub position: Pos,
    /// The path of the field in the response.
    pub path: Vec<Segment>,
}

/// Lists inside each other that a field may have.
pub(crate) const LISTS_MAX: usize = 3;

/// To which parent a value belongs, and to which place of its list, or of its lists inside each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResultIndex {
    parent: usize,
    places: [u32; LISTS_MAX],
    lists: usize,
}

/// The objects of one level and how they hang together with those above.
struct ExecutionScope<'a> {
    above: Option<(&'a ExecutionScope<'a>, &'a str)>,
    origins: Vec<ResultIndex>,
}

/// The fields of a selection set that have the same response key, merged.
struct FieldGroup<'a> {
    key: &'a str,
    fields: Vec<&'a Positioned<AstField>>,
}

/// A field that is being resolved, within its execution.
#[derive(Clone, Copy)]
pub struct ExecutionField<'a> {
    execution: &'a Execution<'a>,
    level: &'a ExecutionScope<'a>,
    group: &'a FieldGroup<'a>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(
        types: &'a Types,
        context: &'a Context,
        fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
        variables: IndexMap<Name, Value>,
        elsewhere: HashMap<String, Vec<u8>>,
    ) -> Self {
        Self { types, context, fragments, variables, elsewhere, errors: Mutex::default() }
    }

    /// The operation's root object as JSON; nothing where it failed as a whole.
    pub(crate) async fn root<T: Object>(
        &'a self,
        root: T,
        selection: &'a SelectionSet,
        mode: ExecutionMode,
    ) -> Option<Vec<u8>> {
        let level = ExecutionScope { above: None, origins: vec![ResultIndex::default()] };
        let column = self.fields(&[root], &level, &[selection], mode).await;
        match column.get(0) {
            SlotValue::Json(_) => Some(column.json),
            SlotValue::Failed => None,
        }
    }

    /// The errors so far, by their paths.
    pub(crate) fn take_errors(&self) -> Vec<FieldError> {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, error: FieldError) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_MAX {
            errors.push(error);
        }
    }

    fn objects<'b, T: Object>(
        &'b self,
        objects: &'b [T],
        level: &'b ExecutionScope<'b>,
        selections: &'b [&'b SelectionSet],
    ) -> BoxFuture<'b, FieldResults> {
        Box::pin(self.fields(objects, level, selections, ExecutionMode::Normal))
    }

    async fn fields<'b, T: Object>(
        &'b self,
        objects: &'b [T],
        level: &'b ExecutionScope<'b>,
        selections: &'b [&'b SelectionSet],
        mode: ExecutionMode,
    ) -> FieldResults {
        if objects.is_empty() {
            return FieldResults::default();
        }
        let declared = self.types.get::<T>();
        let mut groups = Vec::new();
        let collecting = FieldCollector { execution: self, name: &declared.name, abstracts: &declared.abstracts };
        for selection in selections {
            collecting.collect(selection, &mut groups, &mut Vec::new());
        }
        let mut waiting = Vec::new();
        let mut cells = Vec::with_capacity(groups.len());
        for group in &groups {
            let name = group.fields[0].node.name.node.as_str();
            cells.push(match declared.fields.get(name) {
                Some(Field { source: Source::Leaf(write), .. }) => FieldSource::Leaf(write),
                Some(Field { source: Source::Batch(resolve), .. }) => {
                    waiting.push(resolve(objects, ExecutionField { execution: self, level, group }));
                    FieldSource::Batch(waiting.len() - 1)
                }
                None if name == "__typename" => FieldSource::TypeName,
                None => FieldSource::Elsewhere(self.elsewhere.get(group.key).map_or(b"null", Vec::as_slice)),
            });
        }
        let columns = match mode {
            ExecutionMode::Normal => join_all(waiting).await,
            ExecutionMode::Sequential => in_order(waiting).await,
        };
        write(objects, &declared.name, &groups, &cells, &columns)
    }
}

/// How the fields of an object are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutionMode {
    /// All at once.
    Normal,
    /// Each after the one before has ended with all below it, as the fields of a mutation (section 6.2.2).
    Sequential,
}

/// Resolves one after the other. After one that failed the whole object nothing more is begun: it would be written and
/// not be told of.
async fn in_order(waiting: Vec<BoxFuture<'_, FieldResults>>) -> Vec<FieldResults> {
    let count = waiting.len();
    let mut columns = Vec::with_capacity(count);
    for resolving in waiting {
        let column = resolving.await;
        let has_failed = column.spans.contains(&Slot::Failed);
        columns.push(column);
        if has_failed {
            break;
        }
    }
    columns.resize_with(count, FieldResults::default);
    columns
}

/// Where the values of a group come from when its objects are written.
enum FieldSource<'a, T> {
    Leaf(&'a crate::object::WriteLeaf<T>),
    Batch(usize),
    TypeName,
    Elsewhere(&'a [u8]),
}

/// Bytes for which room is made because the first object is long: the others may be short.
const GUESS_MAX: usize = 256 * 1024;

/// Writes objects, each with its fields in the order asked. An object with a field that failed has failed.
fn write<T>(
    objects: &[T],
    name: &str,
    groups: &[FieldGroup<'_>],
    cells: &[FieldSource<'_, T>],
    columns: &[FieldResults],
) -> FieldResults {
    let keys: Vec<Vec<u8>> = groups.iter().map(|group| format!("\"{}\":", group.key).into_bytes()).collect();
    let mut out = FieldResults::with_capacity(objects.len());
    let of_columns = columns.iter().map(|column| column.json.len()).sum::<usize>();
    out.json.reserve(of_columns + 256);
    for (index, object) in objects.iter().enumerate() {
        let start = out.json.len();
        if index == 1 {
            // The others are about as long as the first.
            let of_columns_in_first = columns.iter().map(|column| column.length(0)).sum::<usize>();
            let of_leaves = start.saturating_sub(of_columns_in_first) * (objects.len() - 1);
            out.json.reserve(of_columns - of_columns_in_first + (of_leaves + of_leaves / 4).min(GUESS_MAX));
        }
        out.json.push(b'{');
        let mut has_failed = false;
        for (key, cell) in keys.iter().zip(cells) {
            if out.json.len() > start + 1 {
                out.json.push(b',');
            }
            out.json.extend_from_slice(key);
            match cell {
                FieldSource::Leaf(write) => write(object, &mut out.json),
                FieldSource::TypeName => out.json.extend_from_slice(format!("\"{name}\"").as_bytes()),
                FieldSource::Batch(column) => match columns[*column].get(index) {
                    SlotValue::Json(json) => out.json.extend_from_slice(json),
                    SlotValue::Failed => has_failed = true,
                },
                FieldSource::Elsewhere(json) => out.json.extend_from_slice(json),
            }
        }
        if has_failed {
            out.json.truncate(start);
            out.spans.push(Slot::Failed);
            continue;
        }
        out.json.push(b'}');
        out.spans.push(Slot::At(start, out.json.len()));
    }
    out
}

/// Collects the fields of a selection set for objects of one type (section 6.3.2).
struct FieldCollector<'a, 'b> {
    execution: &'a Execution<'a>,
    name: &'b str,
    abstracts: &'b [&'static str],
}

impl<'a> FieldCollector<'a, '_> {
    fn collect(&self, selection: &'a SelectionSet, groups: &mut Vec<FieldGroup<'a>>, visited: &mut Vec<&'a str>) {
        for item in &selection.items {
            if !self.execution.is_included(item.node.directives()) {
                continue;
            }
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => group.fields.push(field),
                        None => groups.push(FieldGroup { key, fields: vec![field] }),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                    if condition.is_none_or(|condition| self.is_a(condition)) {
                        self.collect(&fragment.node.selection_set.node, groups, visited);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if visited.contains(&name) {
                        continue;
                    }
                    visited.push(name);
                    if let Some(fragment) = self.execution.fragments.get(name)
                        && self.is_a(&fragment.node.type_condition.node.on.node)
                    {
                        self.collect(&fragment.node.selection_set.node, groups, visited);
                    }
                }
            }
        }
    }

    fn is_a(&self, condition: &Name) -> bool {
        let condition = condition.as_str();
        condition == self.name || self.abstracts.contains(&condition)
    }
}

/// Of an operation, its one root field and the arguments of it: a subscription has no more (section 5.2.4.1).
///
/// # Errors
/// `BAD_REQUEST` where it has none or several.
pub(crate) fn single_field<'a>(
    execution: &'a Execution<'a>,
    root: &str,
    selection: &'a SelectionSet,
) -> Result<(&'a str, IndexMap<Name, Value>)> {
    let mut groups = Vec::new();
    FieldCollector { execution, name: root, abstracts: &[] }.collect(selection, &mut groups, &mut Vec::new());
    let [group] = groups.as_slice() else {
        return Err(Error::new(Code::BadRequest, "a subscription has one field at its root"));
    };
    let field = &group.fields[0].node;
    Ok((field.name.node.as_str(), execution.argument_values(field)))
}

impl Execution<'_> {
    /// Whether `@skip` and `@include` leave a selection in.
    pub(crate) fn is_included(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let condition = || {
                let argument = directive.node.get_argument("if");
                let value = argument.and_then(|argument| self.value(&argument.node));
                matches!(value, Some(Value::Boolean(true)))
            };
            match directive.node.name.node.as_str() {
                "skip" => !condition(),
                "include" => condition(),
                _ => true,
            }
        })
    }

    /// The arguments of a field, without those whose variable has no value.
    pub(crate) fn argument_values(&self, field: &AstField) -> IndexMap<Name, Value> {
        let value = |(name, value): &(Positioned<Name>, Positioned<async_graphql_value::Value>)| {
            Some((name.node.clone(), self.value(&value.node)?))
        };
        field.arguments.iter().filter_map(value).collect()
    }

    /// A value of the document with its variables put in; nothing for a variable that has no value.
    fn value(&self, value: &async_graphql_value::Value) -> Option<Value> {
        use async_graphql_value::Value as Ast;
        Some(match value {
            Ast::Variable(name) => return self.variables.get(name).cloned(),
            Ast::Null => Value::Null,
            Ast::Number(number) => Value::Number(number.clone()),
            Ast::String(text) => Value::String(text.clone()),
            Ast::Boolean(value) => Value::Boolean(*value),
            Ast::Binary(bytes) => Value::Binary(bytes.clone()),
            Ast::Enum(name) => Value::Enum(name.clone()),
            Ast::List(items) => Value::List(items.iter().map(|item| self.value(item).unwrap_or_default()).collect()),
            Ast::Object(fields) => Value::Object(
                fields.iter().filter_map(|(name, value)| Some((name.clone(), self.value(value)?))).collect(),
            ),
        })
    }
}

impl ResultIndex {
    /// That of the item at `place` of the list that has this origin.
    pub(crate) fn item(mut self, place: usize) -> Self {
        self.places[self.lists] = u32::try_from(place).unwrap_or(u32::MAX);
        self.lists += 1;
        self
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        self.places[..self.lists].iter().map(|place| Segment::Index(*place as usize))
    }
}

impl ExecutionScope<'_> {
    fn path(&self, index: usize, path: &mut Vec<Segment>) {
        let Some((above, key)) = self.above else { return };
        let origin = self.origins[index];
        above.path(origin.parent, path);
        path.push(Segment::Key(key.to_owned()));
        path.extend(origin.segments());
    }
}

impl<'a> ExecutionField<'a> {
    /// The response key.
    pub fn key(self) -> &'a str {
        self.group.key
    }

    /// What the request is executed with.
    pub fn context(self) -> &'a Context {
        self.execution.context
    }

    pub(crate) fn arguments<A: Arguments>(self) -> Result<A> {
        A::parse(self.execution.argument_values(&self.group.fields[0].node))
    }

    /// One origin for each of `count` parents.
    pub(crate) fn origins(self, count: usize) -> Vec<ResultIndex> {
        (0..count).map(|parent| ResultIndex { parent, ..ResultIndex::default() }).collect()
    }

    /// The columns of their rows that objects of `V` need to be written as the selection below asks. Conditions and types
    /// are not looked at: what may be needed is read.
    pub fn columns<V: Output>(self) -> Projection {
        let below = SelectionView { types: self.execution.types, fragments: self.execution.fragments };
        let sets = self.group.fields.iter().map(|field| V::columns(below, &field.node.selection_set.node));
        sets.fold(Projection::NONE, Projection::union)
    }

    /// What each of `keys` leads to, in their order: rows with the columns that objects of `V` need, as
    /// [`Node::columns`] has them.
    ///
    /// # Errors
    /// That of the statement.
    pub async fn load<V: Output, L: Loader>(self, loader: L, keys: Vec<L::Key>) -> Result<Vec<L::Value>> {
        self.context().rounds.load(loader, self.columns::<V>(), keys).await
    }

    /// The values of the operation's variables.
    pub fn variables(self) -> &'a IndexMap<Name, Value> {
        &self.execution.variables
    }

    /// Records the error for every parent, and fails them or makes them null.
    pub(crate) fn fail(self, count: usize, error: &Error, nullable: bool) -> FieldResults {
        for origin in self.origins(count).into_iter().take(ERRORS_MAX) {
            self.record(origin, error);
        }
        FieldResults { json: Vec::new(), spans: vec![if nullable { Slot::Null } else { Slot::Failed }; count] }
    }

    pub(crate) fn record(self, origin: ResultIndex, error: &Error) {
        let mut path = Vec::new();
        self.level.path(origin.parent, &mut path);
        path.push(Segment::Key(self.group.key.to_owned()));
        path.extend(origin.segments());
        let position = self.group.fields[0].pos;
        self.execution.record(FieldError { error: error.clone(), position, path });
    }

    pub(crate) async fn objects<T: Object>(self, objects: &[T], origins: Vec<ResultIndex>) -> FieldResults {
        let level = ExecutionScope { above: Some((self.level, self.group.key)), origins };
        let selections: Vec<&SelectionSet> =
            self.group.fields.iter().map(|field| &field.node.selection_set.node).collect();
        self.execution.objects(objects, &level, &selections).await
    }
}

/// What looks into selections that are not executed yet.
#[derive(Clone, Copy)]
pub struct SelectionView<'a> {
    types: &'a Types,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
}

impl SelectionView<'_> {
    /// The columns that the selection needs of an object's row: those of the fields that are written from it.
    pub(crate) fn columns<T: Object>(self, set: &SelectionSet) -> Projection {
        self.columns_of(self.types.get::<T>(), set)
    }

    fn columns_of<T>(self, declared: &ObjectDefinition<T>, set: &SelectionSet) -> Projection {
        let needed = set.items.iter().map(|item| match &item.node {
            Selection::Field(field) => match declared.fields.get(field.node.name.node.as_str()) {
                Some(Field { columns, nested_projection: None, .. }) => *columns,
                Some(Field { columns, nested_projection: Some(nested_projection), .. }) => {
                    columns.union(nested_projection(self, &field.node.selection_set.node))
                }
                None => Projection::NONE,
            },
            Selection::InlineFragment(fragment) => self.columns_of(declared, &fragment.node.selection_set.node),
            Selection::FragmentSpread(spread) => match self.fragments.get(&spread.node.fragment_name.node) {
                Some(fragment) => self.columns_of(declared, &fragment.node.selection_set.node),
                None => Projection::NONE,
            },
        });
        needed.fold(Projection::NONE, Projection::union)
    }
}

/// The values of an operation's variables, defaults put in (section 6.1.2).
///
/// # Errors
/// `BAD_USER_INPUT` for a required variable without a value.
pub(crate) fn variables(
    operation: &async_graphql::parser::types::OperationDefinition,
    given: &async_graphql::Variables,
) -> Result<IndexMap<Name, Value>> {
    let mut values = IndexMap::new();
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        let value = given.get(name).or(definition.node.default_value.as_ref().map(|value| &value.node));
        match value {
            Some(Value::Null) | None if !definition.node.var_type.node.nullable => {
                return Err(Error::new(
                    Code::BadUserInput,
                    format!("variable `${name}` of type `{}` needs a value", definition.node.var_type.node),
                ));
            }
            Some(value) => drop(values.insert(name.clone(), value.clone())),
            None => {}
        }
    }
    Ok(values)
}
