//! Executes an operation breadth-first.
//!
//! A selection set is resolved for all objects of its level at once: each field once, for the column of all parents.
//! Leaves are written from the parents' rows; relationships ask the loader once with all keys; the futures of one level
//! wait concurrently, so that a round collects keys across paths. Results are written directly as JSON, in the order of the
//! selection.
//! Errors, null propagation, `@skip`, `@include`, fragments and merged fields follow the specification, September 2025,
//! section 6.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_graphql::{Name, Pos, Value, indexmap::IndexMap};
use futures_util::future::{BoxFuture, join_all};

use gatherum_document::{
    Document,
    apollo_compiler::{
        Node,
        ast::DirectiveList,
        executable::{Field as DocumentField, Selection, SelectionSet},
    },
    to_async_graphql,
};

use crate::{
    context::{Context, ErrorBehavior},
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
    pub(crate) document: &'a Document,
    pub(crate) variables: &'a IndexMap<Name, Value>,
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
    fields: Vec<&'a Node<DocumentField>>,
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
        document: &'a Document,
        variables: &'a IndexMap<Name, Value>,
        elsewhere: HashMap<String, Vec<u8>>,
    ) -> Self {
        Self { types, context, document, variables, elsewhere, errors: Mutex::default() }
    }

    /// The operation's root object as JSON; `None` if it is null because of an error.
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
        let max = if self.context.on_error == ErrorBehavior::Halt { 1 } else { ERRORS_MAX };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < max {
            errors.push(error);
        }
    }

    /// Whether an error has ended the execution.
    pub(crate) fn is_halted(&self) -> bool {
        self.context.on_error == ErrorBehavior::Halt
            && !self.errors.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
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
            let name = group.fields[0].name.as_str();
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
            ExecutionMode::Sequential => self.in_order(waiting).await,
        };
        write(objects, &declared.name, &groups, &cells, &columns)
    }

    /// Resolves one after the other. Stops after a field whose error nulls the whole response: later writes could not be
    /// reported.
    async fn in_order(&self, waiting: Vec<BoxFuture<'_, FieldResults>>) -> Vec<FieldResults> {
        let count = waiting.len();
        let mut columns = Vec::with_capacity(count);
        for resolving in waiting {
            let column = resolving.await;
            let has_failed = column.spans.contains(&Slot::Failed);
            columns.push(column);
            if has_failed || self.is_halted() {
                break;
            }
        }
        columns.resize_with(count, FieldResults::default);
        columns
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

/// The source of a field's values when its objects are written.
enum FieldSource<'a, T> {
    Leaf(&'a crate::object::WriteLeaf<T>),
    Batch(usize),
    TypeName,
    Elsewhere(&'a [u8]),
}

/// Bytes for which room is made because the first object is long: the others may be short.
const GUESS_MAX: usize = 256 * 1024;

/// Writes objects with their fields in the order of the selection. A failed field fails its object.
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
        for selection in &selection.selections {
            if !self.execution.is_included(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let key = field.response_key().as_str();
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => {
                            debug_assert!(
                                has_same_arguments(group.fields[0], field),
                                "`{key}` merges different fields"
                            );
                            group.fields.push(field);
                        }
                        None => groups.push(FieldGroup { key, fields: vec![field] }),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    if fragment.type_condition.as_ref().is_none_or(|condition| self.is_a(condition)) {
                        self.collect(&fragment.selection_set, groups, visited);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    if visited.contains(&name) {
                        continue;
                    }
                    visited.push(name);
                    if let Some(fragment) = self.execution.document.fragments().get(name)
                        && self.is_a(fragment.type_condition())
                    {
                        self.collect(&fragment.selection_set, groups, visited);
                    }
                }
            }
        }
    }

    fn is_a(&self, condition: &str) -> bool {
        condition == self.name || self.abstracts.contains(&condition)
    }
}

/// Returns whether two fields have the same name and arguments, which validation requires of merged fields.
fn has_same_arguments(one: &DocumentField, other: &DocumentField) -> bool {
    let has = |field: &DocumentField, name: &str, value| {
        field.arguments.iter().any(|argument| argument.name == name && argument.value == value)
    };
    one.name == other.name
        && one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|argument| has(other, &argument.name, argument.value.clone()))
}

/// The only root field of a subscription and its arguments (section 5.2.4.1).
///
/// # Errors
/// `BAD_REQUEST` if it has none or several.
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
    let field = group.fields[0];
    Ok((field.name.as_str(), execution.argument_values(field)))
}

impl Execution<'_> {
    /// Returns whether `@skip` and `@include` leave a selection in.
    pub(crate) fn is_included(&self, directives: &DirectiveList) -> bool {
        directives.iter().all(|directive| {
            let condition = || {
                let argument = directive.specified_argument_by_name("if");
                let value = argument.and_then(|argument| self.value(argument));
                matches!(value, Some(Value::Boolean(true)))
            };
            match directive.name.as_str() {
                "skip" => !condition(),
                "include" => condition(),
                _ => true,
            }
        })
    }

    /// A value of the document with its variables put in; `None` for a variable without a value.
    fn value(&self, value: &gatherum_document::apollo_compiler::ast::Value) -> Option<Value> {
        to_async_graphql(value, &|name| self.variables.get(name).cloned())
    }

    /// The arguments of a field, without those whose variable has no value.
    pub(crate) fn argument_values(&self, field: &DocumentField) -> IndexMap<Name, Value> {
        let arguments = field.arguments.iter();
        arguments
            .filter_map(|argument| Some((Name::new(argument.name.as_str()), self.value(&argument.value)?)))
            .collect()
    }
}

impl ResultIndex {
    /// The index of the item at `place` of the list with this index.
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

    /// The context of the request.
    pub fn context(self) -> &'a Context {
        self.execution.context
    }

    pub(crate) fn arguments<A: Arguments>(self) -> Result<A> {
        A::parse(self.execution.argument_values(self.group.fields[0]))
    }

    /// One origin for each of `count` parents.
    pub(crate) fn origins(self, count: usize) -> Vec<ResultIndex> {
        (0..count).map(|parent| ResultIndex { parent, ..ResultIndex::default() }).collect()
    }

    /// The columns of their rows that objects of `V` need to be written as the selection below asks. Conditions and types
    /// are not looked at: what may be needed is read.
    pub fn columns<V: Output>(self) -> Projection {
        let below = SelectionView { types: self.execution.types, document: self.execution.document };
        let sets = self.group.fields.iter().map(|field| V::columns(below, &field.selection_set));
        sets.fold(Projection::NONE, Projection::union)
    }

    /// Loads the values of `keys`, in their order: rows with the columns that objects of `V` need, as
    /// [`Node::columns`] has them.
    ///
    /// # Errors
    /// The error of the batch function.
    pub async fn load<V: Output, L: Loader>(self, loader: L, keys: Vec<L::Key>) -> Result<Vec<L::Value>> {
        self.context().rounds.load(loader, self.columns::<V>(), keys).await
    }

    /// The values of the operation's variables.
    pub fn variables(self) -> &'a IndexMap<Name, Value> {
        self.execution.variables
    }

    /// Records the error for every parent, and fails them or makes them null.
    pub(crate) fn fail(self, count: usize, error: &Error, nullable: bool) -> FieldResults {
        for origin in self.origins(count).into_iter().take(ERRORS_MAX) {
            self.record(origin, error);
        }
        FieldResults { json: Vec::new(), spans: vec![self.failed(nullable); count] }
    }

    /// The value at the position of an error.
    pub(crate) fn failed(self, nullable: bool) -> Slot {
        match nullable || self.context().on_error == ErrorBehavior::Null {
            true => Slot::Null,
            false => Slot::Failed,
        }
    }

    pub(crate) fn record(self, origin: ResultIndex, error: &Error) {
        let mut path = Vec::new();
        self.level.path(origin.parent, &mut path);
        path.push(Segment::Key(self.group.key.to_owned()));
        path.extend(origin.segments());
        let location = self.execution.document.location(self.group.fields[0].location());
        let position = Pos { line: location.line, column: location.column };
        self.execution.record(FieldError { error: error.clone(), position, path });
    }

    pub(crate) async fn objects<T: Object>(self, objects: &[T], origins: Vec<ResultIndex>) -> FieldResults {
        let level = ExecutionScope { above: Some((self.level, self.group.key)), origins };
        let selections: Vec<&SelectionSet> = self.group.fields.iter().map(|field| &field.selection_set).collect();
        self.execution.objects(objects, &level, &selections).await
    }
}

/// A view of selections that are not executed yet.
#[derive(Clone, Copy)]
pub struct SelectionView<'a> {
    types: &'a Types,
    document: &'a Document,
}

impl SelectionView<'_> {
    /// The columns that the selection needs of an object's row: those of the fields that are written from it.
    pub(crate) fn columns<T: Object>(self, set: &SelectionSet) -> Projection {
        self.columns_of(self.types.get::<T>(), set)
    }

    fn columns_of<T>(self, declared: &ObjectDefinition<T>, set: &SelectionSet) -> Projection {
        let needed = set.selections.iter().map(|selection| match selection {
            Selection::Field(field) => match declared.fields.get(field.name.as_str()) {
                Some(Field { columns, nested_projection: None, .. }) => *columns,
                Some(Field { columns, nested_projection: Some(nested), .. }) => {
                    columns.union(nested(self, &field.selection_set))
                }
                None => Projection::NONE,
            },
            Selection::InlineFragment(fragment) => self.columns_of(declared, &fragment.selection_set),
            Selection::FragmentSpread(spread) => match self.document.fragments().get(&spread.fragment_name) {
                Some(fragment) => self.columns_of(declared, &fragment.selection_set),
                None => Projection::NONE,
            },
        });
        needed.fold(Projection::NONE, Projection::union)
    }
}
