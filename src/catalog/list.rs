//! Lists whose rows are their nodes, declared in a few lines.

/// Makes a connection of a list whose rows are the nodes. `$declare` declares further fields of the connection.
#[macro_export]
macro_rules! connected {
    ($list:ty => $node:ty, $names:expr $(, $declare:path)?) => {
        impl $crate::graphql::paged_list::PagedList for $list {
            type Node = $node;
            const TYPES: $crate::graphql::paged_list::ConnectionNames = $names;

            fn node(row: &$node) -> $node {
                row.clone()
            }

            $(fn declare_connection(
                fields: &mut $crate::graphql::object::ObjectBuilder<'_, '_, $crate::graphql::paged_list::Connection<Self>>,
            ) {
                $declare(fields);
            })?
        }
    };
}

/// Declares a list without arguments, of a parent, whose rows are the nodes.
#[macro_export]
macro_rules! list {
    (
        $(#[doc = $doc:literal])*
        $vis:vis $name:ident($label:literal): $node:ty, $names:expr $(, $declare:path)?;
        from: $from:literal,
        parent: $parent:literal,
        row: $row:literal,
        policy: $policy:expr,
        order: $order:expr
        $(, filter: $filter:expr)? $(,)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name;

        impl $crate::graphql::list::List for $name {
            type Parent = uuid::Uuid;
            type Row = $node;
            const NAME: &'static str = $label;
            const TOTAL_NAME: &'static str = concat!($label, ".totalCount");
            const FROM: &'static str = $from;
            const PARENT: &'static str = $parent;
            const ROW: &'static str = $row;
            const POLICY: $crate::db::Policy = $policy;

            fn order(&self) -> $crate::graphql::list::ListOrder {
                $order
            }

            $(fn filter(&self, sql: &mut $crate::db::Sql) {
                $filter(sql);
            })?
        }

        $crate::connected!($name => $node, $names $(, $declare)?);
    };
}
