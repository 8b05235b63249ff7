//! The catalogue: one folder per type of the schema.
//!
//! A folder holds the type with its fields, the relationships that start there with their SQL, and the lists of it.
//! Types may name each other, since the schema's graph has cycles; nothing else may.
pub mod artifact;
pub mod change;
pub mod collection;
pub mod filter;
pub mod group;
mod input;
pub mod node;
pub mod order;
pub mod policy;
pub mod rules;
pub mod sharing;
pub mod tag;
pub mod user;
pub mod version;
mod visibility;

use crate::{
    fields,
    graphql::object::{Object, ObjectBuilder},
};

pub use change::Subscription;
pub use visibility::Visibility;

/// The root of all that can be read.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Counts what is opened by links.
    pub views: sharing::Views,
}

impl Object for Query {
    fn name() -> String {
        "Query".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// All that can be read.
            type;
        }
        node::declare_root(fields);
        artifact::declare_root(fields);
        collection::declare_root(fields);
        tag::declare_root(fields);
        user::declare_root(fields);
        sharing::declare_root(fields);
    }
}

/// The root of all that can be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

impl Object for Mutation {
    fn name() -> String {
        "Mutation".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// All that can be written. Each field is one transaction: it is kept whole or not at all. The fields of one
            /// document are written one after the other; one that is refused ends it.
            type;
        }
        artifact::declare_mutations(fields);
        version::declare_mutations(fields);
        collection::declare_mutations(fields);
        group::declare_mutations(fields);
        tag::declare_mutations(fields);
        sharing::declare_mutations(fields);
    }
}
