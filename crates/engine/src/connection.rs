//! Connections as the Relay specification defines them: edges, nodes, page info and a total count.
use std::sync::Arc;

use async_graphql::InputObject;
use futures_util::future::BoxFuture;

use crate::{
    context::Context,
    cursor::{self, Cursor, CursorScope, SortType, SortValue},
    error::{Error, Result},
    execute::ExecutionField,
    explain::{FieldPlan, Load, Loads, PlannedList, PlannedParents},
    fields,
    loading::{Key, Loader},
    object::{Arguments, FieldMeta, NoArguments, Object, ObjectBuilder},
    projection::Projection,
    results::Output,
};

/// A list that has a connection in the schema. The value carries the filter and the order of the list.
///
/// A type declares it with [`ObjectBuilder::connection_of`]. This list has the numbers below 5:
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
///
/// use gatherum_engine::{
///     BatchFn, Result, RootKey, batch_loader,
///     connection::{Connected, ConnectionNames, Order, PageArguments, Slice, SortedRow},
///     cursor::{SortType, SortValue},
///     fields,
///     object::{EmptyRoot, Object, ObjectBuilder},
/// };
///
/// #[derive(Clone)]
/// struct Numbers;
///
/// impl Connected for Numbers {
///     type Parent = RootKey;
///     type Row = i64;
///     type Node = Number;
///     type Pages = NumberPages;
///     type Totals = NumberTotals;
///
///     const NAME: &'static str = "Query.numbers";
///     const TYPES: ConnectionNames =
///         ConnectionNames { connection: "NumberConnection", edge: "NumberEdge", nodes: "numbers" };
///
///     fn order(&self) -> Order {
///         Order { name: "VALUE", types: vec![SortType::Int], descending: false }
///     }
///     fn pages(&self, slice: Slice) -> NumberPages {
///         NumberPages(slice)
///     }
///     fn totals(&self) -> NumberTotals {
///         NumberTotals
///     }
///     fn node(row: &i64) -> Number {
///         Number(*row)
///     }
/// }
///
/// type Page = Arc<Vec<SortedRow<i64>>>;
///
/// #[derive(Clone, Debug, PartialEq, Eq)]
/// struct NumberPages(Slice);
///
/// impl BatchFn<RootKey, Result<Page>> for NumberPages {
///     async fn load(&mut self, _keys: &[RootKey]) -> HashMap<RootKey, Result<Page>> {
///         let Slice { size, from, .. } = &self.0; // A complete list reads `to` and `backward` too.
///         let start = match from.as_deref() {
///             Some([SortValue::Int(number)]) => number + 1,
///             _ => 0,
///         };
///         let rows = (start..5).take(*size as usize + 1);
///         let rows = rows.map(|number| SortedRow::new(number, Some(vec![SortValue::Int(number)])));
///         HashMap::from([(RootKey, Ok(Arc::new(rows.collect())))])
///     }
/// }
///
/// batch_loader! {
///     NumberPages: RootKey => Page, name: "Query.numbers", batch: |loader, _request| loader.clone()
/// }
///
/// #[derive(Clone, Debug, PartialEq, Eq)]
/// struct NumberTotals;
///
/// impl BatchFn<RootKey, Result<i64>> for NumberTotals {
///     async fn load(&mut self, _keys: &[RootKey]) -> HashMap<RootKey, Result<i64>> {
///         HashMap::from([(RootKey, Ok(5))])
///     }
/// }
///
/// batch_loader! {
///     NumberTotals: RootKey => i64, name: "Query.numbers.totalCount", batch: |loader, _request| loader.clone()
/// }
///
/// #[derive(Clone)]
/// struct Number(i64);
///
/// impl Object for Number {
///     const NAME: &'static str = "Number";
///
///     fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
///         fields! { fields; type; value => value(|number: &Number| number.0); }
///     }
/// }
///
/// #[derive(Clone)]
/// struct Query;
///
/// impl Object for Query {
///     const NAME: &'static str = "Query";
///
///     fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
///         fields! { fields;
///             type;
///             /// The numbers below 5.
///             numbers => connection_of::<PageArguments, Numbers>(|_| RootKey, |_, _| Ok(Numbers));
///         }
///     }
/// }
///
/// let sdl = gatherum_engine::sdl::<Query, EmptyRoot, EmptyRoot>();
/// assert!(sdl.contains("type NumberConnection"));
/// ```
pub trait Connected: Clone + Send + Sync + 'static {
    /// The key of the parent, or [`RootKey`](crate::RootKey).
    type Parent: Key;
    /// A row: the node, and what the edge adds to it.
    type Row: Clone + Send + Sync + 'static;
    /// The type of the nodes.
    type Node: Object;
    /// Loads a page of the list of each parent.
    type Pages: Loader<Key = Self::Parent, Value = Arc<Vec<SortedRow<Self::Row>>>>;
    /// Loads the number of members of the list of each parent.
    type Totals: Loader<Key = Self::Parent, Value = i64>;

    /// The list as `Type.field`.
    const NAME: &'static str;
    /// The names of connection and edge in the schema.
    const TYPES: ConnectionNames;

    /// The order, to which cursors are bound.
    fn order(&self) -> Order;

    /// The loader of one page: at most `slice.size` rows in the direction of reading, and one more if there are more.
    fn pages(&self, slice: Slice) -> Self::Pages;

    /// The loader of the total count.
    fn totals(&self) -> Self::Totals;

    /// The node of a row.
    fn node(row: &Self::Row) -> Self::Node;

    /// Declares the fields of the edge besides cursor and node.
    fn declare_edge(_fields: &mut ObjectBuilder<'_, '_, Edge<Self>>) {}

    /// Declares the fields of the connection besides edges, nodes, page info and total count.
    fn declare_connection(_fields: &mut ObjectBuilder<'_, '_, Connection<Self>>) {}
}

/// The order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The name of the order.
    pub name: &'static str,
    /// The types of the columns. The last column is unique within a parent, so that the order is total.
    pub types: Vec<SortType>,
    /// From the largest to the smallest, in all columns.
    pub descending: bool,
}

/// The part of a list that a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The maximum number of rows.
    pub size: u32,
    /// Sort values of the row after which to begin, in the direction of reading.
    pub from: Option<Vec<SortValue>>,
    /// Sort values of the row before which to end, in the direction of reading.
    pub to: Option<Vec<SortValue>>,
    /// Reads from the end.
    pub backward: bool,
}

impl Slice {
    /// Whether it begins with the first row of the list.
    pub fn is_from_start(&self) -> bool {
        !self.backward && self.from.is_none()
    }
}

/// A row and its sort values, if [`Projection::SORT_KEYS`] was selected.
#[derive(Clone, Debug)]
pub struct SortedRow<R> {
    /// The row.
    pub row: R,
    sort: Option<Vec<SortValue>>,
}

impl<R> SortedRow<R> {
    /// A row with its sort values.
    pub fn new(row: R, sort: Option<Vec<SortValue>>) -> Self {
        Self { row, sort }
    }

    /// The values of the columns of the order.
    ///
    /// # Panics
    /// The row was read without them.
    pub fn sort(&self) -> &[SortValue] {
        self.sort.as_deref().expect("sort values are read with the field that needs them")
    }
}

/// Names of a connection's types.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionNames {
    /// Such as `ArtifactConnection`.
    pub connection: &'static str,
    /// Such as `ArtifactEdge`.
    pub edge: &'static str,
    /// The plural of the nodes, for descriptions.
    pub nodes: &'static str,
}

/// The part of a list that a page has: `first` and `after`, or `last` and `before`.
#[derive(InputObject, Clone, Debug, Default)]
pub struct PageArguments {
    /// Maximum number of edges from the start of the list, or after the cursor. Default 50 if `last` is not given either, maximum 100.
    first: Option<i64>,
    /// Cursor of the edge before the first one of the page.
    after: Option<String>,
    /// Maximum number of edges from the end of the list, or before the cursor; maximum 100. Cannot be combined with `first`.
    last: Option<i64>,
    /// Cursor of the edge after the last one of the page.
    before: Option<String>,
}

impl PageArguments {
    /// Checks the arguments against the order of a list.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if they contradict each other or are out of range, or if a cursor is not of this list and order.
    pub fn slice<L: Connected>(&self, list: &L, context: &Context) -> Result<Slice> {
        if self.first.is_some() && self.last.is_some() {
            return Err(Error::bad_user_input("give `first` or `last`, not both"));
        }
        let backward = self.last.is_some() || (self.first.is_none() && self.before.is_some() && self.after.is_none());
        let size = size("first", self.first, context)?.or(size("last", self.last, context)?);
        let order = list.order();
        let decode = |cursor: &Option<String>| match cursor {
            Some(cursor) => cursor::decode(scope(list), &order.types, cursor).map(Some),
            None => Ok(None),
        };
        let (after, before) = (decode(&self.after)?, decode(&self.before)?);
        let (from, to) = if backward { (before, after) } else { (after, before) };
        Ok(Slice { size: size.unwrap_or(context.pages.default), from, to, backward })
    }
}

fn size(name: &str, given: Option<i64>, context: &Context) -> Result<Option<u32>> {
    let max = context.pages.max;
    match given {
        None => Ok(None),
        Some(size) if size < 0 => Err(Error::bad_user_input(format!("`{name}` must not be negative"))),
        Some(size) => match u32::try_from(size) {
            Ok(size) if size <= max => Ok(Some(size)),
            _ => Err(Error::bad_user_input(format!("`{name}` is {size}, at most {max} can be read at once"))),
        },
    }
}

/// The list and order that a cursor is bound to.
fn scope<L: Connected>(list: &L) -> CursorScope {
    let order = list.order();
    CursorScope::of(&format!("{} {} {}", L::NAME, order.name, if order.descending { "DESC" } else { "ASC" }))
}

/// The requested page, the same for all parents.
struct PageRequest<L> {
    list: L,
    slice: Slice,
    scope: CursorScope,
}

/// The list of one parent and the requested page. It is read lazily: each field loads what it needs, all of them in the same
/// round.
pub struct Connection<L: Connected> {
    asked: Arc<PageRequest<L>>,
    parent: L::Parent,
}

/// A page of one parent's list, as it was read.
struct LoadedPage<L: Connected> {
    of: Connection<L>,
    /// In the direction of reading, with one more than the size of the page if there are more.
    rows: Arc<Vec<SortedRow<L::Row>>>,
}

/// A node and its position in the list.
pub struct Edge<L: Connected> {
    page: Arc<LoadedPage<L>>,
    /// Its place on the page.
    place: usize,
}

impl<L: Connected> Clone for Connection<L> {
    fn clone(&self) -> Self {
        Self { asked: self.asked.clone(), parent: self.parent.clone() }
    }
}

impl<L: Connected> Connection<L> {
    /// The list, with its filter and order.
    pub fn list(&self) -> &L {
        &self.asked.list
    }

    /// The parent of the list.
    pub fn parent(&self) -> L::Parent {
        self.parent.clone()
    }

    /// Loads the pages of all connections and maps them with `of`. Fields of the same connections share the load.
    fn read<'a, V: Output>(
        connections: &'a [Self],
        node: ExecutionField<'a>,
        of: fn(Arc<LoadedPage<L>>) -> V,
    ) -> BoxFuture<'a, Result<Vec<V>>> {
        Box::pin(async move {
            let PageRequest { list, slice, .. } = &*connections[0].asked;
            let page = list.pages(slice.clone());
            let rows = node.load::<V, _>(page, connections.iter().map(Self::parent).collect()).await?;
            let pages = connections.iter().zip(rows).map(|(of, rows)| Arc::new(LoadedPage { of: of.clone(), rows }));
            Ok(pages.map(of).collect())
        })
    }
}

impl<L: Connected> LoadedPage<L> {
    /// How many rows the page has.
    fn len(&self) -> usize {
        self.rows.len().min(self.slice().size as usize)
    }

    /// The row at a place, in the order of the list.
    fn row(&self, place: usize) -> &SortedRow<L::Row> {
        &self.rows[if self.slice().backward { self.len() - 1 - place } else { place }]
    }

    fn slice(&self) -> &Slice {
        &self.of.asked.slice
    }

    fn cursor(&self, place: usize) -> Cursor {
        cursor::encode(self.of.asked.scope, self.row(place).sort())
    }

    fn nodes(self: Arc<Self>) -> Vec<L::Node> {
        (0..self.len()).map(|place| L::node(&self.row(place).row)).collect()
    }

    fn edges(self: Arc<Self>) -> Vec<Edge<L>> {
        (0..self.len()).map(|place| Edge { page: self.clone(), place }).collect()
    }
}

impl<L: Connected> Clone for Edge<L> {
    fn clone(&self) -> Self {
        Self { page: self.page.clone(), place: self.place }
    }
}

impl<L: Connected> Edge<L> {
    /// The parent of the list.
    pub fn parent(&self) -> L::Parent {
        self.page.of.parent()
    }

    /// The row of the edge.
    pub fn row(&self) -> &L::Row {
        &self.page.row(self.place).row
    }

    /// The list, with its filter and order.
    pub fn list(&self) -> &L {
        self.page.of.list()
    }

    /// The zero-based place in the filtered and ordered list, where the page begins at the start of it.
    pub fn place_from_start(&self) -> Option<usize> {
        self.page.slice().is_from_start().then_some(self.place)
    }
}

impl<L: Connected> Object for Connection<L> {
    fn name() -> String {
        L::TYPES.connection.to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            type;
            /// The edges of the page, in the order of the list.
            edges => batch::<NoArguments, _>(
                Loads::by(|_, lists| vec![rows_of::<L>(lists)]).keeping_list(),
                |lists, _, node| Connection::read(lists, node, LoadedPage::edges),
            );
            /// The nodes of the page, in the order of the list.
            nodes => batch::<NoArguments, _>(
                Loads::by(|_, lists| vec![rows_of::<L>(lists)]),
                |lists, _, node| Connection::read(lists, node, LoadedPage::nodes),
            );
            /// Cursors of the page, and whether there are further pages.
            pageInfo => batch::<NoArguments, _>(
                Loads::by(|_, lists| vec![rows_of::<L>(lists).objects(Some(1))]),
                |lists, _, node| Connection::read(lists, node, PageInfo),
            );
            /// Number of all nodes that match the filter, on all pages. Counted only if selected.
            totalCount => batch::<NoArguments, i64>(
                Loads::by(|_, lists| vec![Load::of(&planned::<L>(lists).list.totals()).key_source("parent")]),
                |lists, _, node| {
                    let keys = lists.iter().map(Connection::parent).collect();
                    Box::pin(node.load::<i64, _>(lists[0].list().totals(), keys))
                },
            );
        }
        fields.describe_as(format!("A page of {}.", L::TYPES.nodes));
        L::declare_connection(fields);
    }
}

impl<L: Connected> Object for Edge<L> {
    fn name() -> String {
        L::TYPES.edge.to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            type;
            /// Cursor of the edge. Pass it as `after` or `before` to the same list with the same order. It stays valid if edges,
            /// including this one, are added or removed.
            cursor => value_from(Projection::SORT_KEYS, |edge: &Edge<L>| edge.page.cursor(edge.place));
            /// The node.
            node => node(|edge: &Edge<L>| L::node(edge.row()));
        }
        fields.describe_as(format!("One of the {} and its position in the list.", L::TYPES.nodes));
        L::declare_edge(fields);
    }
}

/// The position of a page in its list.
struct PageInfo<L: Connected>(Arc<LoadedPage<L>>);

impl<L: Connected> Clone for PageInfo<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Connected> PageInfo<L> {
    /// Returns whether rows follow in the direction of reading.
    fn has_more(&self) -> bool {
        self.0.rows.len() > self.0.len()
    }

    fn has_next(&self) -> bool {
        let Slice { from, backward, .. } = self.0.slice();
        if *backward { from.is_some() } else { self.has_more() }
    }

    fn has_previous(&self) -> bool {
        let Slice { from, backward, .. } = self.0.slice();
        if *backward { self.has_more() } else { from.is_some() }
    }

    fn start(&self) -> Option<Cursor> {
        (self.0.len() > 0).then(|| self.0.cursor(0))
    }

    fn end(&self) -> Option<Cursor> {
        let last = self.0.len().checked_sub(1)?;
        Some(self.0.cursor(last))
    }
}

impl<L: Connected> Object for PageInfo<L> {
    fn name() -> String {
        "PageInfo".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Cursors of a page, and whether there are further pages.
            type;
            /// Whether edges follow the page. Paging backward, it is true if `before` is given: the edge of that cursor follows.
            hasNextPage => value(Self::has_next);
            /// Whether edges precede the page. Paging forward, it is true if `after` is given: the edge of that cursor precedes.
            hasPreviousPage => value(Self::has_previous);
            /// Cursor of the first edge; null if the page is empty.
            startCursor => value_from(Projection::SORT_KEYS, Self::start);
            /// Cursor of the last edge; null if the page is empty.
            endCursor => value_from(Projection::SORT_KEYS, Self::end);
        }
    }
}

impl<P: Object> ObjectBuilder<'_, '_, P> {
    /// A list that can be paged: of all parents, pages are read by one statement, and totals by another.
    pub fn connection_of<A: Arguments + AsRef<PageArguments>, L: Connected>(
        &mut self,
        meta: FieldMeta,
        parent: impl Fn(&P) -> L::Parent + Send + Sync + 'static,
        list: impl Fn(&A, &Context) -> Result<L> + Send + Sync + 'static,
    ) {
        let request = move |args: &A, context: &Context| {
            let list = list(args, context)?;
            let slice = args.as_ref().slice(&list, context)?;
            Ok(Arc::new(PageRequest { scope: scope(&list), list, slice }))
        };
        let request = Arc::new(request);
        let planned = request.clone();
        let plan = FieldPlan::list::<A, Connection<L>>(move |args, context| {
            let request: Arc<PageRequest<L>> = planned(args, context)?;
            let totals = request.list.totals();
            Ok(PlannedList::new(request, &totals))
        });
        self.planned::<A, Connection<L>>(meta, plan, move |parents, args, node| {
            let asked = request(&args, node.context());
            let of = |asked: Arc<PageRequest<L>>| {
                parents.iter().map(|of| Connection { asked: asked.clone(), parent: parent(of) }).collect()
            };
            Box::pin(std::future::ready(asked.map(of)))
        });
    }
}

/// The request of the connections that a plan is about.
fn planned<'a, L: Connected>(connections: &'a PlannedParents<'_>) -> &'a PageRequest<L> {
    connections.list().expect("a connection and its edges belong to a list")
}

/// The load of the rows of pages.
fn rows_of<L: Connected>(connections: &PlannedParents<'_>) -> Load {
    let PageRequest { list, slice, .. } = planned::<L>(connections);
    Load::of(&list.pages(slice.clone())).key_source("parent").objects(Some(slice.size.into()))
}

impl PlannedParents<'_> {
    /// The list that connections or edges belong to, and the part of it that the page has.
    pub fn page<L: Connected>(&self) -> Option<(&L, &Slice)> {
        self.list::<PageRequest<L>>().map(|request| (&request.list, &request.slice))
    }
}

impl AsRef<PageArguments> for PageArguments {
    fn as_ref(&self) -> &PageArguments {
        self
    }
}
