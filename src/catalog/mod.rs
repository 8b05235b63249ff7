//! The catalogue: one folder per type of the schema.
//!
//! A folder contains the type with its fields, its relations and lists with their SQL, and its mutations. Types may import
//! each other, because the graph of the schema has cycles; nothing else may.
pub mod artifact;
pub mod change;
pub mod collection;
pub mod fields;
pub mod filter;
pub mod group;
mod input;
mod list;
pub mod node;
pub mod order;
pub mod policy;
pub mod rules;
pub mod sharing;
pub mod tag;
pub mod user;
pub mod version;
mod visibility;

use crate::graphql::object::{Fields, Object};

pub use change::Subscription;
pub use visibility::Visibility;

/// The root of queries.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Counts the views of links.
    pub views: sharing::ViewCounter,
}

impl Object for Query {
    const NAME: &'static str = "Query";

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields.describe(&["The root of queries."]);
        node::declare_root(fields);
        artifact::declare_root(fields);
        collection::declare_root(fields);
        tag::declare_root(fields);
        user::declare_root(fields);
        sharing::declare_root(fields);
    }
}

/// The root of mutations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

impl Object for Mutation {
    const NAME: &'static str = "Mutation";

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields.describe(&[
            "The root of mutations. Each field is one transaction, which is committed or rolled back as a \
            whole. The fields of a document run one after the other; a rejected field ends the document.",
        ]);
        artifact::declare_mutations(fields);
        version::declare_mutations(fields);
        collection::declare_mutations(fields);
        group::declare_mutations(fields);
        tag::declare_mutations(fields);
        sharing::declare_mutations(fields);
    }
}
