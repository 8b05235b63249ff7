//! Declarations of types: each field once, with its documentation, its arguments and its resolver.
//!
//! A declaration serves twice. It writes the type into async-graphql's registry, which parses, validates and
//! introspects; and it gives [`super::execute`] one function per field that resolves a whole column of parents.
use std::{
    any::{Any, TypeId},
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use async_graphql::{
    InputObjectType, InputType, Value,
    indexmap::IndexMap,
    registry::{Deprecation, MetaField, MetaInputValue, MetaType, Registry},
};
use futures_util::{FutureExt, future::BoxFuture};
use gatherum_document::apollo_compiler::executable::SelectionSet;

use crate::{
    context::Context,
    error::{Error, Result},
    execute::{ExecutionField, LISTS_MAX, SelectionView},
    explain::{FieldPlan, Loads, ObjectPlan},
    leaf::Leaf,
    loading::Loader,
    projection::{ColumnRef, Projection},
    results::{FieldResults, Output},
};

/// A type with fields. Values are cheap to clone: a row behind an `Arc`, or a handful of numbers.
pub trait Object: Clone + Send + Sync + 'static {
    /// Whether the type is the root of a kind of operation that the schema does not have.
    const IS_EMPTY: bool = false;

    /// The name in the schema.
    const NAME: &'static str = "";

    /// The name in the schema, if it depends on a type parameter.
    fn name() -> String {
        Self::NAME.to_owned()
    }

    /// Declares description, interfaces and fields. [`crate::fields!`] writes it.
    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>);
}

/// The root of a kind of operation that the schema does not have.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub struct EmptyRoot;

impl Object for EmptyRoot {
    const IS_EMPTY: bool = true;

    fn name() -> String {
        "EmptyRoot".to_owned()
    }

    fn declare(_fields: &mut ObjectBuilder<'_, '_, Self>) {}
}

/// The arguments of a field: an input object whose fields they are, or [`NoArguments`].
pub trait Arguments: Send + Sync + Sized + 'static {
    /// The arguments for the schema.
    fn describe(registry: &mut Registry) -> IndexMap<String, MetaInputValue>;

    /// The arguments from a document, variables put in.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` where a value cannot be taken.
    fn parse(values: IndexMap<async_graphql::Name, Value>) -> Result<Self>;
}

/// A field without arguments.
#[derive(Clone, Copy, Debug)]
pub struct NoArguments;

impl Arguments for NoArguments {
    fn describe(_registry: &mut Registry) -> IndexMap<String, MetaInputValue> {
        IndexMap::new()
    }

    fn parse(_values: IndexMap<async_graphql::Name, Value>) -> Result<Self> {
        Ok(Self)
    }
}

impl<T: InputObjectType + 'static> Arguments for T {
    /// The input object itself does not become a type of the schema, only those of its fields.
    fn describe(registry: &mut Registry) -> IndexMap<String, MetaInputValue> {
        T::create_type_info(registry);
        match registry.types.remove(T::type_name().as_ref()) {
            Some(MetaType::InputObject { input_fields, .. }) => input_fields,
            _ => IndexMap::new(),
        }
    }

    fn parse(values: IndexMap<async_graphql::Name, Value>) -> Result<Self> {
        <T as InputType>::parse(Some(Value::Object(values)))
            .map_err(|error| Error::bad_user_input(reason(error.into_server_error(Default::default()).message)))
    }
}

/// The one argument `input` of a field of a mutation.
#[derive(Clone, Copy, Debug)]
pub struct InputArgument<T>(pub T);

impl<T: InputType + Sync + 'static> Arguments for InputArgument<T> {
    fn describe(registry: &mut Registry) -> IndexMap<String, MetaInputValue> {
        let input = MetaInputValue {
            name: INPUT.to_owned(),
            description: Some("Input of the mutation.".to_owned()),
            ty: T::create_type_info(registry),
            deprecation: Deprecation::NoDeprecated,
            default_value: None,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            is_secret: false,
            directive_invocations: Vec::new(),
        };
        IndexMap::from([(INPUT.to_owned(), input)])
    }

    fn parse(mut values: IndexMap<async_graphql::Name, Value>) -> Result<Self> {
        T::parse(values.swap_remove(INPUT))
            .map(Self)
            .map_err(|error| Error::bad_user_input(reason(error.into_server_error(Default::default()).message)))
    }
}

/// The name of the argument of a field that writes.
const INPUT: &str = "input";

/// The reason without the chain of inputs around it, whose names are not the client's.
fn reason(message: String) -> String {
    message.split(" (occurred while parsing").next().unwrap_or_default().to_owned()
}

/// Resolves one field for a column of parents.
pub(crate) type ResolveColumn<P> =
    Box<dyn for<'a> Fn(&'a [P], ExecutionField<'a>) -> BoxFuture<'a, FieldResults> + Send + Sync>;

/// Writes one field of one parent.
pub(crate) type WriteLeaf<P> = Box<dyn Fn(&P, &mut Vec<u8>) + Send + Sync>;

/// A field, as the execution needs it.
pub(crate) struct Field<P> {
    pub(crate) source: Source<P>,
    /// Columns of the parent's row that it is made from.
    pub(crate) columns: Projection,
    /// Columns of the parent's row that objects are made from which the parent holds.
    pub(crate) nested_projection: Option<NestedProjection>,
}

/// The columns that a selection needs of objects which their parent holds.
pub(crate) type NestedProjection = fn(SelectionView<'_>, &SelectionSet) -> Projection;

/// How a field gets its value.
pub(crate) enum Source<P> {
    /// From the parent's row, while the parent is written.
    Leaf(WriteLeaf<P>),
    /// For all parents together, before they are written.
    Batch(ResolveColumn<P>),
}

/// A declared type, as the execution needs it.
pub(crate) struct ObjectDefinition<P> {
    pub(crate) name: String,
    /// Interfaces and unions it belongs to.
    pub(crate) abstracts: Vec<&'static str>,
    pub(crate) fields: HashMap<&'static str, Field<P>>,
    /// Filters of the root fields of subscriptions.
    pub(crate) event_filters: HashMap<&'static str, EventFilterFactory<P>>,
}

/// Reads the arguments of a field of a subscription, once, and so knows which changes belong to it.
pub(crate) type EventFilterFactory<P> =
    Box<dyn Fn(IndexMap<async_graphql::Name, Value>) -> Result<EventFilter<P>> + Send + Sync>;

/// Returns whether a subscription receives an event.
pub type EventFilter<P> = Box<dyn Fn(&P) -> bool + Send + Sync>;

/// All declared types, by their Rust type.
#[derive(Default)]
pub(crate) struct Types {
    declared: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    plans: HashMap<TypeId, ObjectPlan>,
}

impl Types {
    pub(crate) fn get<T: Object>(&self) -> &ObjectDefinition<T> {
        self.declared
            .get(&TypeId::of::<T>())
            .and_then(|declared| declared.downcast_ref())
            .expect("a type is declared by the field that leads to it")
    }

    pub(crate) fn plan(&self, object: TypeId) -> &ObjectPlan {
        self.plans.get(&object).expect("a type is declared by the field that leads to it")
    }
}

/// Declares types, each once.
pub struct SchemaBuilder<'r> {
    registry: &'r mut Registry,
    begun: HashSet<TypeId>,
    types: Types,
}

impl<'r> SchemaBuilder<'r> {
    pub(crate) fn new(registry: &'r mut Registry) -> Self {
        Self { registry, begun: HashSet::new(), types: Types::default() }
    }

    pub(crate) fn finish(self) -> Types {
        self.types
    }

    /// The registry of the types that are not objects.
    pub fn registry(&mut self) -> &mut Registry {
        self.registry
    }

    /// Begins to declare an interface or union. Returns false if it is declared already.
    pub fn begin_abstract(&mut self, name: &str) -> bool {
        !self.registry.types.contains_key(name)
    }

    /// Declares an interface with fields of leaf types.
    pub fn interface(&mut self, name: &str, docs: &[&str], fields: &[(FieldMeta, &str)]) {
        let fields = fields
            .iter()
            .map(|(meta, ty)| (meta.name.to_owned(), meta_field(*meta, IndexMap::new(), (*ty).to_owned())))
            .collect();
        let interface = MetaType::Interface {
            name: name.to_owned(),
            description: Some(description(docs)),
            fields,
            possible_types: Default::default(),
            extends: false,
            inaccessible: false,
            tags: Vec::new(),
            keys: None,
            visible: None,
            rust_typename: None,
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        };
        self.registry.types.insert(name.to_owned(), interface);
    }

    /// Declares a union, which its members join.
    pub fn union(&mut self, name: &str, docs: &[&str]) {
        let union = MetaType::Union {
            name: name.to_owned(),
            description: Some(description(docs)),
            possible_types: Default::default(),
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: None,
            directive_invocations: Vec::new(),
        };
        self.registry.types.insert(name.to_owned(), union);
    }

    /// Declares `T` and all that it leads to, and returns its reference, such as `Artifact!`.
    pub fn object<T: Object>(&mut self) -> String {
        let name = T::name();
        if self.begun.insert(TypeId::of::<T>()) {
            let mut fields = ObjectBuilder {
                schema: self,
                description: String::new(),
                meta: IndexMap::new(),
                plans: HashMap::new(),
                declared: ObjectDefinition {
                    name: name.clone(),
                    abstracts: Vec::new(),
                    fields: HashMap::new(),
                    event_filters: HashMap::new(),
                },
            };
            T::declare(&mut fields);
            let ObjectBuilder { description, meta, plans, declared, .. } = fields;
            for abstract_type in &declared.abstracts {
                self.join(&name, abstract_type);
            }
            // Rust types that share a name are one type of the schema: the same fields over other rows.
            self.registry.types.entry(name.clone()).or_insert_with(|| object_type(&name, description, meta));
            let plan = ObjectPlan { name: name.clone(), abstracts: declared.abstracts.clone(), fields: plans };
            self.types.plans.insert(TypeId::of::<T>(), plan);
            self.types.declared.insert(TypeId::of::<T>(), Box::new(declared));
        }
        format!("{name}!")
    }
}

impl SchemaBuilder<'_> {
    fn join(&mut self, name: &str, abstract_type: &'static str) {
        match self.registry.types.get_mut(abstract_type) {
            Some(MetaType::Interface { possible_types, .. }) => {
                possible_types.insert(name.to_owned());
                self.registry.add_implements(name, abstract_type);
            }
            Some(MetaType::Union { possible_types, .. }) => {
                possible_types.insert(name.to_owned());
            }
            _ => {
                panic!("{name} names {abstract_type}, which is not declared: declare it with the type that leads to it")
            }
        }
    }
}

/// The fields of one type, as they are declared.
pub struct ObjectBuilder<'d, 'r, P> {
    schema: &'d mut SchemaBuilder<'r>,
    description: String,
    meta: IndexMap<String, MetaField>,
    plans: HashMap<&'static str, FieldPlan>,
    declared: ObjectDefinition<P>,
}

/// Name and documentation of a field. [`crate::fields!`] makes it from the field's name and doc comment.
#[derive(Clone, Copy, Debug)]
pub struct FieldMeta {
    /// The name in the schema.
    pub name: &'static str,
    /// The lines of the doc comment.
    pub docs: &'static [&'static str],
}

impl<P: Object> ObjectBuilder<'_, '_, P> {
    /// Sets the type's description; without lines it stays as it is.
    pub fn describe(&mut self, docs: &[&str]) {
        if !docs.is_empty() {
            self.description = description(docs);
        }
    }

    /// Sets a description that depends on a type parameter.
    pub fn describe_as(&mut self, text: String) {
        self.description = text;
    }

    /// Makes the type implement an interface, or belong to a union.
    pub fn implements(&mut self, interface: &'static str) {
        self.declared.abstracts.push(interface);
    }

    /// A value that stands in the parent.
    pub fn leaf<L: Leaf + 'static>(&mut self, meta: FieldMeta, get: for<'p> fn(&'p P) -> &'p L) {
        self.write_leaf::<L>(meta, Projection::NONE, Box::new(move |parent, json| get(parent).write(json)));
    }

    /// A value made from the parent.
    pub fn value<L: Leaf>(&mut self, meta: FieldMeta, get: impl Fn(&P) -> L + Send + Sync + 'static) {
        self.value_from(meta, Projection::NONE, get);
    }

    /// A value that is made from the parent. If the field is selected, the parent's row is read with these columns.
    pub fn value_from<L: Leaf>(
        &mut self,
        meta: FieldMeta,
        columns: Projection,
        get: impl Fn(&P) -> L + Send + Sync + 'static,
    ) {
        self.write_leaf::<L>(meta, columns, Box::new(move |parent, json| get(parent).write(json)));
    }

    /// A column of the parent's row, which is read only if the field is selected.
    pub fn column<R: 'static, L: Leaf + 'static>(&mut self, meta: FieldMeta, column: ColumnRef<R, L>)
    where
        P: AsRef<R>,
    {
        let columns = column.set();
        self.write_leaf::<L>(meta, columns, Box::new(move |parent, json| column.of(parent.as_ref()).write(json)));
    }

    /// A value that is made from a column of the parent's row and the arguments.
    pub fn column_with<A: Arguments, R: 'static, L: 'static, V: Leaf + Output>(
        &mut self,
        meta: FieldMeta,
        column: ColumnRef<R, L>,
        get: impl Fn(&L, &A) -> Result<V> + Send + Sync + 'static,
    ) where
        P: AsRef<R>,
    {
        let columns = column.set();
        self.plans.insert(meta.name, FieldPlan::held::<A, V>(true));
        self.computed::<A, V>(meta, columns, move |parent, args, _| get(column.of(parent.as_ref()), args));
    }

    fn write_leaf<L: Leaf>(&mut self, meta: FieldMeta, columns: Projection, write: WriteLeaf<P>) {
        let type_ref = L::type_ref(self.schema.registry());
        let field = Field { source: Source::Leaf(write), columns, nested_projection: None };
        self.add::<NoArguments>(meta, type_ref, field);
    }

    /// A value made from the parent and the arguments, or objects that the parent holds.
    pub fn compute<A: Arguments, V: Output>(
        &mut self,
        meta: FieldMeta,
        get: impl Fn(&P, &A, &Context) -> Result<V> + Send + Sync + 'static,
    ) {
        self.plans.insert(meta.name, FieldPlan::held::<A, V>(true));
        self.computed::<A, V>(meta, Projection::NONE, get);
    }

    /// The node of an edge, which does not belong to the list of the edge.
    pub(crate) fn node<V: Output>(&mut self, meta: FieldMeta, get: impl Fn(&P) -> V + Send + Sync + 'static) {
        self.plans.insert(meta.name, FieldPlan::held::<NoArguments, V>(false));
        self.computed::<NoArguments, V>(meta, Projection::NONE, move |parent, _, _| Ok(get(parent)));
    }

    fn computed<A: Arguments, V: Output>(
        &mut self,
        meta: FieldMeta,
        columns: Projection,
        get: impl Fn(&P, &A, &Context) -> Result<V> + Send + Sync + 'static,
    ) {
        let source = self.source::<A, V>(meta, move |parents, args, node| {
            let values = parents.iter().map(|parent| get(parent, &args, node.context())).collect();
            Box::pin(std::future::ready(values))
        });
        let type_ref = V::type_ref(self.schema);
        self.add::<A>(meta, type_ref, Field { source, columns, nested_projection: Some(V::columns) });
    }

    /// The values of a relation, loaded together for the keys of all parents.
    ///
    /// The loader is made from the first parent. Values that it takes from there must be the same in all parents, as the
    /// arguments of a field above are; debug builds compare the first and the last parent.
    pub fn load<A: Arguments, L: Loader, V: Output>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> L::Key + Send + Sync + 'static,
        loader: impl Fn(&P, &A, &Context) -> Result<L> + Send + Sync + 'static,
        value: impl Fn(L::Value) -> V + Send + Sync + Copy + 'static,
    ) {
        let plan = FieldPlan::relation::<A, L, V>(&A::describe(self.schema.registry()));
        self.planned::<A, V>(meta, plan, move |parents, args, node| {
            let keys = parents.iter().map(&key).collect();
            let of = |parent| loader(parent, &args, node.context());
            let loader = of(&parents[0]);
            if cfg!(debug_assertions) && parents.len() > 1 {
                let is_same = of(&parents[parents.len() - 1]).ok() == loader.as_ref().ok().cloned();
                assert!(is_same, "the loader {} differs between parents", L::NAME);
            }
            Box::pin(async move {
                let values = node.load::<V, L>(loader?, keys).await?;
                Ok(values.into_iter().map(value).collect())
            })
        });
    }

    /// The values of a relation whose loader is the same for all parents and arguments.
    pub fn relation<L: Loader, V: Output>(
        &mut self,
        meta: FieldMeta,
        loader: L,
        key: impl Fn(&P) -> L::Key + Send + Sync + 'static,
        value: impl Fn(L::Value) -> V + Send + Sync + Copy + 'static,
    ) {
        self.batch::<NoArguments, V>(meta, Loads::of(loader.clone()), move |parents, _, node| {
            let (loader, keys) = (loader.clone(), parents.iter().map(&key).collect());
            Box::pin(async move {
                let values = node.load::<V, L>(loader, keys).await?;
                Ok(values.into_iter().map(value).collect())
            })
        });
    }

    /// Values for all parents together, in their order.
    ///
    /// `loads` states what `resolve` loads, for [`Engine::explain`](crate::Engine::explain).
    pub fn batch<A: Arguments, V: Output>(
        &mut self,
        meta: FieldMeta,
        loads: Loads<A>,
        resolve: impl for<'a> Fn(&'a [P], A, ExecutionField<'a>) -> BoxFuture<'a, Result<Vec<V>>> + Send + Sync + 'static,
    ) {
        self.planned::<A, V>(meta, FieldPlan::batch::<A, V>(loads), resolve);
    }

    pub(crate) fn planned<A: Arguments, V: Output>(
        &mut self,
        meta: FieldMeta,
        plan: FieldPlan,
        resolve: impl for<'a> Fn(&'a [P], A, ExecutionField<'a>) -> BoxFuture<'a, Result<Vec<V>>> + Send + Sync + 'static,
    ) {
        self.plans.insert(meta.name, plan);
        let source = self.source::<A, V>(meta, resolve);
        let type_ref = V::type_ref(self.schema);
        self.add::<A>(meta, type_ref, Field { source, columns: Projection::NONE, nested_projection: None });
    }

    fn source<A: Arguments, V: Output>(
        &self,
        meta: FieldMeta,
        resolve: impl for<'a> Fn(&'a [P], A, ExecutionField<'a>) -> BoxFuture<'a, Result<Vec<V>>> + Send + Sync + 'static,
    ) -> Source<P> {
        const { assert!(V::LISTS <= LISTS_MAX, "a field has too many lists inside each other") };
        let name = meta.name;
        let resolve: ResolveColumn<P> = Box::new(move |parents, node| {
            let values = node.arguments::<A>().map(|args| {
                // A panic before the first wait is caught as one after it.
                let begun = std::panic::catch_unwind(AssertUnwindSafe(|| resolve(parents, args, node)));
                begun.unwrap_or_else(|panic| Box::pin(std::future::ready(Err(Error::panicked(name, &*panic)))))
            });
            Box::pin(async move {
                let values = match values {
                    Ok(values) => AssertUnwindSafe(values)
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|panic| Err(Error::panicked(name, &*panic))),
                    Err(error) => Err(error),
                };
                match values {
                    Ok(values) => V::complete(values, node.origins(parents.len()), node).await,
                    Err(error) => node.fail(parents.len(), &error, V::NULLABLE),
                }
            })
        });
        Source::Batch(resolve)
    }

    /// A root field of subscriptions: the value of an event for these arguments, or `None` if the event does not match.
    pub fn events<A: Arguments, V: Output>(
        &mut self,
        meta: FieldMeta,
        event: impl Fn(&P, &A) -> Result<Option<V>> + Send + Sync + 'static,
    ) {
        let event = Arc::new(event);
        let belongs = event.clone();
        let belonging: EventFilterFactory<P> = Box::new(move |values| {
            let (args, belongs) = (A::parse(values)?, belongs.clone());
            Ok(Box::new(move |change: &P| matches!(belongs(change, &args), Ok(Some(_)))))
        });
        self.declared.event_filters.insert(meta.name, belonging);
        self.compute::<A, V>(meta, move |change, args, _| {
            event(change, args)?.ok_or_else(|| Error::internal("a change that does not belong to the subscription"))
        });
    }

    fn add<A: Arguments>(&mut self, meta: FieldMeta, type_ref: String, field: Field<P>) {
        let args = A::describe(self.schema.registry());
        let previous = self.declared.fields.insert(meta.name, field);
        assert!(previous.is_none(), "field {}.{} is declared twice", self.declared.name, meta.name);
        self.meta.insert(meta.name.to_owned(), meta_field(meta, args, type_ref));
    }
}

/// Name and description of a field.
#[macro_export]
macro_rules! field {
    ($name:expr, $doc:expr $(,)?) => {
        $crate::object::FieldMeta { name: $name, docs: &[$doc] }
    };
}

/// Declares a type: its description, then each field as `name => kind(…);` under its doc comment.
#[macro_export]
macro_rules! fields {
    (
        $fields:expr;
        $(#[doc = $type_doc:literal])*
        type $(: $($interface:literal),+)?;
        $($(#[doc = $doc:literal])* $name:ident => $kind:ident $(::<$($generic:ty),+>)? ($($arg:expr),* $(,)?);)*
    ) => {
        $fields.describe(&[$($type_doc),*]);
        $($($fields.implements($interface);)+)?
        $($fields.$kind $(::<$($generic),+>)? (
            $crate::object::FieldMeta { name: stringify!($name), docs: &[$($doc),*] }, $($arg),*
        );)*
    };
}

/// The lines of a doc comment as a description.
pub(crate) fn description(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn meta_field(meta: FieldMeta, args: IndexMap<String, MetaInputValue>, ty: String) -> MetaField {
    MetaField {
        name: meta.name.to_owned(),
        description: Some(description(meta.docs)).filter(|text| !text.is_empty()),
        args,
        ty,
        deprecation: Deprecation::NoDeprecated,
        cache_control: Default::default(),
        external: false,
        requires: None,
        provides: None,
        visible: None,
        shareable: false,
        inaccessible: false,
        tags: Vec::new(),
        override_from: None,
        compute_complexity: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}

fn object_type(name: &str, description: String, fields: IndexMap<String, MetaField>) -> MetaType {
    MetaType::Object {
        name: name.to_owned(),
        description: Some(description).filter(|text| !text.is_empty()),
        fields,
        cache_control: Default::default(),
        extends: false,
        shareable: false,
        resolvable: true,
        inaccessible: false,
        interface_object: false,
        tags: Vec::new(),
        keys: None,
        visible: None,
        is_subscription: false,
        rust_typename: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}
