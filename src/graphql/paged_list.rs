//! Connections of lists whose pages and totals are loaded by SQL.
use gatherum_engine::{
    Context, connection,
    object::{Arguments, FieldMeta, Object, ObjectBuilder},
};

use super::list::{List, Page, Total};
use crate::error::Result;

pub use gatherum_engine::connection::{ConnectionNames, PageArguments, Slice};

/// A list that has a connection in the schema.
pub trait PagedList: List {
    /// The type of the nodes.
    type Node: Object;
    /// The names of connection and edge in the schema.
    const TYPES: ConnectionNames;

    /// The node of a row.
    fn node(row: &Self::Row) -> Self::Node;

    /// Declares the fields of the edge besides cursor and node.
    fn declare_edge(_fields: &mut ObjectBuilder<'_, '_, Edge<Self>>) {}

    /// Declares the fields of the connection besides edges, nodes, page info and total count.
    fn declare_connection(_fields: &mut ObjectBuilder<'_, '_, Connection<Self>>) {}
}

/// A connection of a list.
pub type Connection<L> = connection::Connection<Paged<L>>;

/// An edge of a connection.
pub type Edge<L> = connection::Edge<Paged<L>>;

/// A list whose pages and totals are loaded by SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<L>(pub L);

impl<L> std::ops::Deref for Paged<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.0
    }
}

impl<L: PagedList> connection::Connected for Paged<L> {
    type Parent = L::Parent;
    type Row = L::Row;
    type Node = L::Node;
    type Pages = Page<L>;
    type Totals = Total<L>;
    const NAME: &'static str = L::NAME;
    const TYPES: ConnectionNames = L::TYPES;

    fn order(&self) -> connection::Order {
        let order = self.0.order();
        connection::Order { name: order.name, types: order.types(), descending: order.descending }
    }

    fn pages(&self, slice: Slice) -> Page<L> {
        Page { list: self.0.clone(), slice }
    }

    fn totals(&self) -> Total<L> {
        Total(self.0.clone())
    }

    fn node(row: &L::Row) -> L::Node {
        L::node(row)
    }

    fn declare_edge(fields: &mut ObjectBuilder<'_, '_, Edge<L>>) {
        L::declare_edge(fields);
    }

    fn declare_connection(fields: &mut ObjectBuilder<'_, '_, Connection<L>>) {
        L::declare_connection(fields);
    }
}

/// Declares fields that are connections.
pub trait ConnectionFields<P> {
    /// A connection of the list that `list` makes of the arguments, for the parent that `parent` returns.
    fn connection<A: Arguments + AsRef<PageArguments>, L: PagedList>(
        &mut self,
        meta: FieldMeta,
        parent: impl Fn(&P) -> L::Parent + Send + Sync + 'static,
        list: impl Fn(&A, &Context) -> Result<L> + Send + Sync + 'static,
    );
}

impl<P: Object> ConnectionFields<P> for ObjectBuilder<'_, '_, P> {
    fn connection<A: Arguments + AsRef<PageArguments>, L: PagedList>(
        &mut self,
        meta: FieldMeta,
        parent: impl Fn(&P) -> L::Parent + Send + Sync + 'static,
        list: impl Fn(&A, &Context) -> Result<L> + Send + Sync + 'static,
    ) {
        self.connection_of::<A, Paged<L>>(meta, parent, move |args, context| list(args, context).map(Paged));
    }
}
