//! Connections, as the Relay specification has them: edges, nodes, page info and a total, for any [`List`].
use std::sync::Arc;

use async_graphql::InputObject;

use super::{
    Context,
    cursor::{self, Cursor, Scope},
    list::{List, Page, Slice, Sorted, Total},
    object::{About, Arguments, Fields, NoArguments, Object},
};
use crate::{
    error::{Error, Result},
    fields,
};

/// A list that has a connection in the schema.
pub trait Connected: List {
    /// The type of its nodes.
    type Node: Object;
    /// The names of connection and edge in the schema.
    const TYPES: Names;

    /// The node of a row.
    fn node(row: &Self::Row) -> Self::Node;

    /// Declares what the edge knows beside cursor and node.
    fn declare_edge(_fields: &mut Fields<'_, '_, Edge<Self>>) {}

    /// Declares what the connection knows beside edges, nodes, page info and total.
    fn declare_connection(_fields: &mut Fields<'_, '_, Connection<Self>>) {}
}

/// Names of a connection's types and what they are about.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Such as `ArtifactConnection`.
    pub connection: &'static str,
    /// Such as `ArtifactEdge`.
    pub edge: &'static str,
    /// What the nodes are, in the plural, for descriptions.
    pub nodes: &'static str,
}

/// Which part of a list: `first` and `after`, or `last` and `before`.
#[derive(InputObject, Clone, Debug, Default)]
pub struct PageArguments {
    /// Reads this many from the start, or after the cursor; 50 where neither `first` nor `last` is given, 100 at most.
    first: Option<i64>,
    /// Begins after the edge with this cursor.
    after: Option<String>,
    /// Reads this many from the end, or before the cursor; 100 at most. Not together with `first`.
    last: Option<i64>,
    /// Ends before the edge with this cursor.
    before: Option<String>,
}

impl PageArguments {
    /// Checks the arguments against the order of a list.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` where they do not fit together, are out of range, or a cursor is not of this list and order.
    pub fn slice<L: List>(&self, list: &L, with_cursors: bool, context: &Context) -> Result<Slice> {
        if self.first.is_some() && self.last.is_some() {
            return Err(Error::bad_user_input("give `first` or `last`, not both"));
        }
        let backward = self.last.is_some() || (self.first.is_none() && self.before.is_some() && self.after.is_none());
        let size = size("first", self.first, context)?.or(size("last", self.last, context)?);
        let order = list.order();
        let decode = |cursor: &Option<String>| match cursor {
            Some(cursor) => cursor::decode(scope(list), &order.types(), cursor).map(Some),
            None => Ok(None),
        };
        let (after, before) = (decode(&self.after)?, decode(&self.before)?);
        let (from, to) = if backward { (before, after) } else { (after, before) };
        Ok(Slice { size: size.unwrap_or(context.settings.page_size_default), from, to, backward, with_cursors })
    }
}

fn size(name: &str, given: Option<i64>, context: &Context) -> Result<Option<u32>> {
    let max = context.settings.page_size_max;
    match given {
        None => Ok(None),
        Some(size) if size < 0 => Err(Error::bad_user_input(format!("`{name}` must not be negative"))),
        Some(size) => match u32::try_from(size) {
            Ok(size) if size <= max => Ok(Some(size)),
            _ => Err(Error::bad_user_input(format!("`{name}` is {size}, at most {max} can be read at once"))),
        },
    }
}

/// What a cursor of the list is bound to.
fn scope<L: List>(list: &L) -> Scope {
    let order = list.order();
    Scope::of(&format!("{} {} {}", L::NAME, order.name, if order.descending { "DESC" } else { "ASC" }))
}

/// What was asked for: the same for all parents.
struct Asked<L> {
    list: L,
    slice: Slice,
    scope: Scope,
}

/// A page of one parent's list.
pub struct Connection<L: Connected>(Arc<OfParent<L>>);

struct OfParent<L: Connected> {
    asked: Arc<Asked<L>>,
    parent: L::Parent,
    rows: Vec<Sorted<L::Row>>,
    has_more: bool,
}

/// A node and where it stands in its list.
#[derive(Clone)]
pub struct Edge<L: Connected> {
    page: Connection<L>,
    /// Its place on the page.
    place: usize,
}

impl<L: Connected> Clone for Connection<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Connected> Connection<L> {
    fn new(asked: &Arc<Asked<L>>, parent: L::Parent, mut rows: Vec<Sorted<L::Row>>) -> Self {
        let size = asked.slice.size as usize;
        let has_more = rows.len() > size;
        rows.truncate(size);
        if asked.slice.backward {
            rows.reverse();
        }
        Self(Arc::new(OfParent { asked: asked.clone(), parent, rows, has_more }))
    }

    /// The list, with its filter and order.
    pub fn list(&self) -> &L {
        &self.0.asked.list
    }

    /// Whose list it is.
    pub fn parent(&self) -> L::Parent {
        self.0.parent.clone()
    }

    fn edges(&self) -> Vec<Edge<L>> {
        (0..self.0.rows.len()).map(|place| Edge { page: self.clone(), place }).collect()
    }

    fn nodes(&self) -> Vec<L::Node> {
        self.0.rows.iter().map(|sorted| L::node(&sorted.row)).collect()
    }

    fn cursor(&self, row: Option<&Sorted<L::Row>>) -> Option<Cursor> {
        Some(cursor::encode(self.0.asked.scope, row?.sort.as_deref()?))
    }

    fn info(&self) -> PageInfo {
        let OfParent { asked, rows, has_more, .. } = &*self.0;
        let came_from = asked.slice.from.is_some();
        PageInfo {
            has_next: if asked.slice.backward { came_from } else { *has_more },
            has_previous: if asked.slice.backward { *has_more } else { came_from },
            start: self.cursor(rows.first()),
            end: self.cursor(rows.last()),
        }
    }
}

impl<L: Connected> Edge<L> {
    /// Whose list it stands in.
    pub fn parent(&self) -> L::Parent {
        self.page.parent()
    }

    /// What the row of the edge holds.
    pub fn row(&self) -> &L::Row {
        &self.sorted().row
    }

    /// The list, with its filter and order.
    pub fn list(&self) -> &L {
        self.page.list()
    }

    /// The zero-based place in the filtered and ordered list, where the page begins at the start of it.
    pub fn place_from_start(&self) -> Option<usize> {
        let slice = &self.page.0.asked.slice;
        (!slice.backward && slice.from.is_none()).then_some(self.place)
    }

    fn sorted(&self) -> &Sorted<L::Row> {
        &self.page.0.rows[self.place]
    }

    fn cursor(&self) -> Option<Cursor> {
        self.page.cursor(Some(self.sorted()))
    }
}

impl<L: Connected> Object for Connection<L> {
    fn name() -> String {
        L::TYPES.connection.to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            type;
            /// The edges of the page, in the order of the list: a node each, and what belongs to its place.
            edges => compute::<NoArguments, _>(|page, _, _| Ok(page.edges()));
            /// The nodes of the page, in the order of the list.
            nodes => compute::<NoArguments, _>(|page, _, _| Ok(page.nodes()));
            /// Where the page stands in its list.
            pageInfo => compute::<NoArguments, _>(|page, _, _| Ok(page.info()));
            /// How many there are in all, with the filter and without the page; counted only where it is asked for.
            totalCount => load::<NoArguments, _, _>(
                |page| page.parent(),
                |page, _, _| Ok(Total(page.list().clone())),
                |total| total,
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

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            type;
            /// Where the edge stands: give it as `after` or `before` of the same list and order to go on from here. It
            /// stays valid when edges come and go, this one too.
            cursor => value(|edge: &Edge<L>| edge.cursor().unwrap_or_default());
            /// What stands there.
            node => compute::<NoArguments, _>(|edge, _, _| Ok(L::node(edge.row())));
        }
        fields.describe_as(format!("One of {} and its place in the list.", L::TYPES.nodes));
        L::declare_edge(fields);
    }
}

/// Where a page stands in its list.
#[derive(Clone, Debug)]
struct PageInfo {
    has_next: bool,
    has_previous: bool,
    start: Option<Cursor>,
    end: Option<Cursor>,
}

impl Object for PageInfo {
    fn name() -> String {
        "PageInfo".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// Where a page stands in its list.
            type;
            /// Whether edges follow. Reading backwards it is true where `before` was given: that cursor's edge followed.
            hasNextPage => leaf(|info| &info.has_next);
            /// Whether edges precede. Reading forwards it is true where `after` was given: that cursor's edge preceded.
            hasPreviousPage => leaf(|info| &info.has_previous);
            /// The cursor of the first edge; null where there is none.
            startCursor => leaf(|info| &info.start);
            /// The cursor of the last edge; null where there is none.
            endCursor => leaf(|info| &info.end);
        }
    }
}

impl<P: Object> Fields<'_, '_, P> {
    /// A list that can be paged: the parents' pages are read by one statement.
    pub fn connection<A: Arguments + AsRef<PageArguments>, L: Connected>(
        &mut self,
        about: About,
        parent: impl Fn(&P) -> L::Parent + Send + Sync + 'static,
        list: impl Fn(&A, &Context) -> Result<L> + Send + Sync + 'static,
    ) {
        self.column::<A, Connection<L>>(about, move |parents, args, node| {
            let keys: Vec<L::Parent> = parents.iter().map(&parent).collect();
            let list = list(&args, node.context());
            Box::pin(async move {
                let list = list?;
                let with_cursors = CURSORS.iter().any(|path| node.selects(path));
                let slice = args.as_ref().slice(&list, with_cursors, node.context())?;
                let pages = if PAGE.iter().any(|path| node.selects(path)) {
                    let page = Page { list: list.clone(), slice: slice.clone() };
                    node.load::<Connection<L>, _>(page, keys.clone()).await?
                } else {
                    vec![Vec::new(); keys.len()]
                };
                let asked = Arc::new(Asked { scope: scope(&list), list, slice });
                Ok(keys.into_iter().zip(pages).map(|(key, rows)| Connection::new(&asked, key, rows)).collect())
            })
        });
    }
}

/// Selections that need the page; without them, where a count alone is asked for, it is not read.
const PAGE: [&[&str]; 3] = [&["edges"], &["nodes"], &["pageInfo"]];

/// Selections that need cursors; without them a page does not read what they are made of.
const CURSORS: [&[&str]; 3] = [&["edges", "cursor"], &["pageInfo", "startCursor"], &["pageInfo", "endCursor"]];

impl AsRef<PageArguments> for PageArguments {
    fn as_ref(&self) -> &PageArguments {
        self
    }
}
