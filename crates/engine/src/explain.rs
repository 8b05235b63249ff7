//! The plan of an operation: its rounds and the loads of each, without executing it.
//!
//! The declaration of a field states what the field loads: [`ObjectBuilder::load`](crate::object::ObjectBuilder::load)
//! and connections imply it, and [`ObjectBuilder::batch`](crate::object::ObjectBuilder::batch) takes it as [`Loads`]. The
//! planner walks the selections level by level, as the execution does, with upper bounds instead of objects. A load of
//! objects that are available after round *n* belongs to round *n* + 1, and equal loaders of one round are one load.
use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::Arc,
};

use async_graphql::{Name, Pos, Value, indexmap::IndexMap, registry::MetaInputValue};
use gatherum_document::apollo_compiler::executable::{Selection as DocumentSelection, SelectionSet};

use crate::{
    context::Context,
    engine::OperationKind,
    error::{Error, Result},
    execute::{Execution, FieldError},
    loading::{Loader, RootKey},
    object::{Arguments, Object, Types},
    response::Segment,
    results::Output,
};

/// An upper bound; `None` if only the data limits the number.
pub type Bound = Option<u64>;

fn times(left: Bound, right: Bound) -> Bound {
    match (left, right) {
        (Some(0), _) | (_, Some(0)) => Some(0),
        (Some(left), Some(right)) => Some(left.saturating_mul(right)),
        _ => None,
    }
}

/// The rounds and loads of an operation.
///
/// An execution takes these loads if no level is without objects, and never more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kind of the operation.
    pub kind: OperationKind,
    /// The response keys of the root fields that write. The loads of a write itself are not predicted.
    pub writes: Vec<String>,
    /// The loads of each round, by name.
    pub rounds: Vec<Vec<PlannedLoad>>,
}

impl Plan {
    /// The number of loads in all rounds.
    pub fn loads(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }
}

/// A call of a batch function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLoad {
    /// The relationship as `Type.field`, as in [`BatchRun::name`](crate::loading::BatchRun::name).
    pub name: &'static str,
    /// The maximum number of keys.
    pub keys: Bound,
    /// The paths of the fields that share the load, as response keys with dots between them.
    pub fields: Vec<String>,
}

/// One load of a field, for all of its parents.
#[derive(Clone, Debug)]
pub struct Load {
    loader: TypeId,
    name: &'static str,
    /// Loads of equal loaders in one round are one load.
    identity: String,
    /// Whether the only key is [`RootKey`].
    is_of_root: bool,
    /// The keys of each parent.
    keys: Bound,
    /// Fields with the same key source load the same keys; `None` if no other field does.
    key_source: Option<&'static str>,
    /// The objects of each parent, if the load limits them.
    objects: Bound,
    /// The only type of the objects.
    object_type: Option<TypeId>,
}

impl Load {
    /// A load with this loader: one key for each parent.
    pub fn of<L: Loader>(loader: &L) -> Self {
        Self::identified::<L>(format!("{loader:?}"))
    }

    /// A load with any loader of this type, if all of them are equal within a request.
    pub fn any<L: Loader>() -> Self {
        Self::identified::<L>(String::new())
    }

    fn identified<L: Loader>(identity: String) -> Self {
        Self {
            loader: TypeId::of::<L>(),
            name: L::NAME,
            identity,
            is_of_root: TypeId::of::<L::Key>() == TypeId::of::<RootKey>(),
            keys: Some(1),
            key_source: None,
            objects: None,
            object_type: None,
        }
    }

    /// Sets the maximum number of keys of each parent.
    #[must_use]
    pub fn keys(self, keys: Bound) -> Self {
        Self { keys, ..self }
    }

    /// Sets the maximum number of objects of each parent.
    #[must_use]
    pub fn objects(self, objects: Bound) -> Self {
        Self { objects, ..self }
    }

    /// Sets the type of the objects, if the field can have several: one for each key.
    #[must_use]
    pub fn leading_to<T: Object>(self) -> Self {
        Self { object_type: Some(TypeId::of::<T>()), ..self }
    }

    /// Sets the name in plans, for a load whose loader the data decides.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn key_source(self, source: &'static str) -> Self {
        Self { key_source: Some(source), ..self }
    }
}

/// States the loads of a field for its arguments.
type StateLoads<A> = Box<dyn Fn(&A, &PlannedParents<'_>) -> Vec<Load> + Send + Sync>;

/// The loads of a field with the arguments `A`. A field whose resolver calls [`ExecutionField::load`] states it here.
///
/// [`ExecutionField::load`]: crate::ExecutionField::load
pub struct Loads<A> {
    loads: StateLoads<A>,
    /// Whether the values belong to the list that their parents belong to.
    keeps_list: bool,
    is_write: bool,
}

impl<A> Loads<A> {
    /// Loads nothing.
    pub fn none() -> Self {
        Self::by(|_, _| Vec::new())
    }

    /// Loads one key for each parent with this loader.
    pub fn of<L: Loader>(loader: L) -> Self {
        Self::by(move |_, _| vec![Load::of(&loader)])
    }

    /// Loads what the arguments or the list of the parents decide, all of it in one round.
    pub fn by(loads: impl Fn(&A, &PlannedParents<'_>) -> Vec<Load> + Send + Sync + 'static) -> Self {
        Self { loads: Box::new(loads), keeps_list: false, is_write: false }
    }

    /// Writes, outside of the rounds.
    pub fn write() -> Self {
        Self { is_write: true, ..Self::none() }
    }

    pub(crate) fn keeping_list(self) -> Self {
        Self { keeps_list: true, ..self }
    }
}

/// The parents of a field, as far as they are known before the execution.
pub struct PlannedParents<'a> {
    /// The context of the request.
    pub context: &'a Context,
    list: Option<&'a PlannedList>,
}

impl PlannedParents<'_> {
    /// The list that the parents belong to.
    pub(crate) fn list<T: Any>(&self) -> Option<&T> {
        self.list?.value.downcast_ref()
    }
}

/// The list that connections, edges and what they hold belong to.
#[derive(Clone)]
pub(crate) struct PlannedList {
    value: Arc<dyn Any + Send + Sync>,
    identity: String,
}

impl PlannedList {
    /// A list, and the text that tells lists with other filters and orders apart.
    pub(crate) fn new(value: Arc<dyn Any + Send + Sync>, list: &impl Debug) -> Self {
        Self { value, identity: format!("{list:?}") }
    }
}

/// How a field is planned.
pub(crate) struct FieldPlan {
    steps: PlanSteps,
    /// The types of the objects that the field can lead to.
    objects: fn() -> Vec<TypeId>,
    is_list: bool,
}

type PlanSteps = Box<dyn Fn(IndexMap<Name, Value>, &PlannedParents<'_>) -> Result<Steps> + Send + Sync>;

/// The steps of a field before its objects are available.
#[derive(Default)]
pub(crate) struct Steps {
    loads: Vec<Load>,
    list: Option<PlannedList>,
    is_write: bool,
}

impl FieldPlan {
    fn new<V: Output>(
        steps: impl Fn(IndexMap<Name, Value>, &PlannedParents<'_>) -> Result<Steps> + Send + Sync + 'static,
    ) -> Self {
        Self { steps: Box::new(steps), objects: V::objects, is_list: V::LISTS > 0 }
    }

    /// Of values that their parents hold. They belong to the list of the parents unless they are its nodes.
    pub(crate) fn held<A: Arguments, V: Output>(keeps_list: bool) -> Self {
        let loads: Loads<A> = Loads::none();
        Self::batch::<A, V>(Loads { keeps_list, ..loads })
    }

    /// Of values with declared loads.
    pub(crate) fn batch<A: Arguments, V: Output>(loads: Loads<A>) -> Self {
        Self::new::<V>(move |values, parents| {
            Ok(Steps {
                loads: (loads.loads)(&A::parse(values)?, parents),
                list: parents.list.filter(|_| loads.keeps_list).cloned(),
                is_write: loads.is_write,
            })
        })
    }

    /// The plan of a relation. Its loader depends only on the arguments and on the list of the parents.
    pub(crate) fn relation<A: Arguments, L: Loader, V: Output>(described: &IndexMap<String, MetaInputValue>) -> Self {
        let defaults = defaults(described);
        Self::new::<V>(move |values, parents| {
            let list = parents.list.map(|list| &list.identity);
            let identity = format!("{:?} {list:?}", arguments(&values, &defaults));
            A::parse(values)?;
            Ok(Steps { loads: vec![Load::identified::<L>(identity)], ..Steps::default() })
        })
    }

    /// Of the objects that stand for a list, of which nothing is loaded yet.
    pub(crate) fn list<A: Arguments, V: Output>(
        list: impl Fn(&A, &Context) -> Result<PlannedList> + Send + Sync + 'static,
    ) -> Self {
        Self::new::<V>(move |values, parents| {
            let list = list(&A::parse(values)?, parents.context)?;
            Ok(Steps { list: Some(list), ..Steps::default() })
        })
    }

    /// The types of the objects below, and how many there are of each for a parent.
    fn objects(&self, loads: &[Load]) -> Vec<(TypeId, Bound)> {
        let narrowed = |load: &Load| Some((load.object_type?, load.objects.or(load.keys)));
        if !loads.is_empty()
            && let Some(narrowed) = loads.iter().map(narrowed).collect()
        {
            return narrowed;
        }
        let stated = loads.first().and_then(|load| load.objects);
        let count = stated.or((!self.is_list).then_some(1));
        (self.objects)().into_iter().map(|object| (object, count)).collect()
    }
}

fn defaults(described: &IndexMap<String, MetaInputValue>) -> BTreeMap<String, String> {
    let given = described.iter();
    given.filter_map(|(name, argument)| Some((name.clone(), argument.default_value.clone()?))).collect()
}

/// The arguments as text, with their defaults and without nulls.
fn arguments(values: &IndexMap<Name, Value>, defaults: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut texts = defaults.clone();
    texts.extend(values.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    texts.retain(|_, text| text != "null");
    texts
}

/// A type, as the planner needs it.
pub(crate) struct ObjectPlan {
    pub(crate) name: String,
    pub(crate) abstracts: Vec<&'static str>,
    /// The fields with loads or objects.
    pub(crate) fields: HashMap<&'static str, FieldPlan>,
}

/// A selection with variables, `@skip` and `@include` applied and named fragments put in.
pub(crate) enum Selection {
    Field(SelectedField),
    Fragment { condition: Option<String>, selections: Vec<Selection> },
}

/// A selected field.
pub(crate) struct SelectedField {
    key: String,
    name: String,
    arguments: IndexMap<Name, Value>,
    selections: Vec<Selection>,
}

/// Plans an operation of this kind.
///
/// # Errors
/// That of an argument that the execution would reject.
pub(crate) fn plan<Root: Object>(
    types: &Types,
    context: &Context,
    kind: OperationKind,
    selections: &[Selection],
) -> std::result::Result<Plan, FieldError> {
    let mut planner = Planner { types, context, rounds: Vec::new(), writes: Vec::new(), scopes: 0 };
    let root = Scope { id: 0, object: TypeId::of::<Root>(), count: Some(1), round: 0, list: None, path: &[] };
    let plan = types.plan(root.object);
    for group in groups(plan, &[selections]) {
        // The root fields of a mutation are executed one after the other.
        let round = if kind == OperationKind::Mutation { planner.rounds.len() } else { 0 };
        planner.field(&Scope { round, path: &[], list: None, ..root }, plan, &group)?;
    }
    Ok(Plan { kind, writes: planner.writes, rounds: planner.rounds.into_iter().map(finish).collect() })
}

struct Planner<'a> {
    types: &'a Types,
    context: &'a Context,
    rounds: Vec<Vec<Batch>>,
    writes: Vec<String>,
    /// The number of scopes so far, for their ids.
    scopes: usize,
}

/// The objects of one level that a field leads to.
struct Scope<'a> {
    id: usize,
    object: TypeId,
    count: Bound,
    /// The round after which they are available.
    round: usize,
    list: Option<PlannedList>,
    path: &'a [String],
}

/// The fields of a level with the same response key.
struct Group<'a> {
    field: &'a SelectedField,
    selections: Vec<&'a [Selection]>,
}

/// The loads of a round that have equal loaders.
struct Batch {
    loader: TypeId,
    identity: String,
    name: &'static str,
    is_of_root: bool,
    /// The keys, by the field that they come from.
    keys: BTreeMap<(usize, String), Bound>,
    fields: Vec<String>,
}

impl Planner<'_> {
    fn objects(&mut self, scope: &Scope<'_>, selections: &[&[Selection]]) -> std::result::Result<(), FieldError> {
        let plan = self.types.plan(scope.object);
        for group in groups(plan, selections) {
            self.field(scope, plan, &group)?;
        }
        Ok(())
    }

    fn field(
        &mut self,
        scope: &Scope<'_>,
        object: &ObjectPlan,
        group: &Group<'_>,
    ) -> std::result::Result<(), FieldError> {
        let SelectedField { key, name, arguments, .. } = group.field;
        let Some(plan) = object.fields.get(name.as_str()) else { return Ok(()) };
        let path: Vec<String> = scope.path.iter().chain([key]).cloned().collect();
        let parents = PlannedParents { context: self.context, list: scope.list.as_ref() };
        let steps = (plan.steps)(arguments.clone(), &parents).map_err(|error| rejected(error, &path))?;
        if steps.is_write {
            self.writes.push(key.clone());
        }
        let (loads, empty): (Vec<Load>, Vec<_>) = steps.loads.into_iter().partition(|load| load.keys != Some(0));
        if loads.is_empty() && !empty.is_empty() {
            return Ok(());
        }
        for load in &loads {
            self.load(scope, load, format!("{name} {arguments:?}"), path.join("."));
        }
        let round = scope.round + usize::from(!loads.is_empty());
        for (object, per_parent) in plan.objects(&loads) {
            let count = times(scope.count, per_parent);
            // A level without objects loads nothing.
            if count != Some(0) {
                self.scopes += 1;
                let below = Scope { id: self.scopes, object, count, round, list: steps.list.clone(), path: &path };
                self.objects(&below, &group.selections)?;
            }
        }
        Ok(())
    }

    /// Adds a load to the round after the one in which its parents are available.
    fn load(&mut self, scope: &Scope<'_>, load: &Load, key_source: String, path: String) {
        if self.rounds.len() <= scope.round {
            self.rounds.resize_with(scope.round + 1, Vec::new);
        }
        let round = &mut self.rounds[scope.round];
        let known = round.iter().position(|batch| batch.loader == load.loader && batch.identity == load.identity);
        let index = known.unwrap_or_else(|| {
            round.push(Batch::new(load));
            round.len() - 1
        });
        let batch = &mut round[index];
        let key_source = load.key_source.map_or(key_source, str::to_owned);
        batch.keys.insert((scope.id, key_source), times(scope.count, load.keys));
        batch.fields.push(path);
    }
}

impl Batch {
    fn new(load: &Load) -> Self {
        Self {
            loader: load.loader,
            identity: load.identity.clone(),
            name: load.name,
            is_of_root: load.is_of_root,
            keys: BTreeMap::new(),
            fields: Vec::new(),
        }
    }
}

fn finish(round: Vec<Batch>) -> Vec<PlannedLoad> {
    let load = |batch: Batch| PlannedLoad {
        name: batch.name,
        keys: if batch.is_of_root { Some(1) } else { batch.keys.into_values().sum() },
        fields: batch.fields,
    };
    let mut loads: Vec<PlannedLoad> = round.into_iter().map(load).collect();
    loads.sort_by_key(|load| load.name);
    loads
}

fn rejected(error: Error, path: &[String]) -> FieldError {
    let path = path.iter().cloned().map(Segment::Key).collect();
    FieldError { error, position: Pos::default(), path }
}

/// The fields of selections for objects of one type, merged by response key.
fn groups<'a>(object: &ObjectPlan, selections: &[&'a [Selection]]) -> Vec<Group<'a>> {
    let mut groups = IndexMap::new();
    for selections in selections {
        collect(object, selections, &mut groups);
    }
    groups.into_values().collect()
}

fn collect<'a>(object: &ObjectPlan, selections: &'a [Selection], groups: &mut IndexMap<&'a str, Group<'a>>) {
    for selection in selections {
        match selection {
            Selection::Field(field) => {
                let group = groups.entry(&field.key).or_insert_with(|| Group { field, selections: Vec::new() });
                group.selections.push(&field.selections);
            }
            Selection::Fragment { condition, selections } => {
                let is_a = |name: &str| name == object.name || object.abstracts.contains(&name);
                if condition.as_deref().is_none_or(is_a) {
                    collect(object, selections, groups);
                }
            }
        }
    }
}

/// The selections of a document, without those that `@skip` and `@include` leave out.
pub(crate) fn selections(execution: &Execution<'_>, set: &SelectionSet) -> Vec<Selection> {
    let included = set.selections.iter().filter(|selection| execution.is_included(selection.directives()));
    let selection = |selection: &DocumentSelection| match selection {
        DocumentSelection::Field(field) => Some(Selection::Field(SelectedField {
            key: field.response_key().to_string(),
            name: field.name.to_string(),
            arguments: execution.argument_values(field),
            selections: selections(execution, &field.selection_set),
        })),
        DocumentSelection::InlineFragment(fragment) => Some(Selection::Fragment {
            condition: fragment.type_condition.as_ref().map(ToString::to_string),
            selections: selections(execution, &fragment.selection_set),
        }),
        DocumentSelection::FragmentSpread(spread) => {
            let fragment = execution.document.fragments().get(&spread.fragment_name)?;
            Some(Selection::Fragment {
                condition: Some(fragment.type_condition().to_string()),
                selections: selections(execution, &fragment.selection_set),
            })
        }
    };
    included.filter_map(selection).collect()
}
