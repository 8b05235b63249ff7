//! Accounts, as they see each other.
mod relations;
mod viewer;

use async_graphql::InputObject;
use uuid::Uuid;

use crate::{
    catalog::{
        Query,
        collection::{CollectionsArguments, CollectionsOfUser},
        filter::no_nul,
    },
    db::Text,
    fields,
    graphql::{
        RequestContext,
        id::GlobalId,
        object::{NoArguments, Object, ObjectBuilder},
    },
    row,
};

use relations::{CollectionCount, UserByName};
pub use relations::{OwnerOfArtifact, OwnerOfCollection, UserById};
use viewer::Viewer;

/// Prefix of the ids of accounts.
pub const PREFIX: &str = "user";

row! {
    /// An account.
    pub struct User from 0 {
        eager { id: Uuid = "u.id", name: Text = "u.name" }
        on_demand {}
    }
}

impl User {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl Object for User {
    fn name() -> String {
        "User".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// An account, which owns artifacts and collections.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|user: &User| GlobalId { prefix: PREFIX, id: user.id });
            /// What it is called; unique.
            name => leaf(|user| &user.name);
            /// The collections that it owns, as far as the viewer may list them; by name unless another order is given.
            collections => connection::<CollectionsArguments, CollectionsOfUser>(
                User::id,
                |args, _| Ok(CollectionsOfUser::new(args.order_by.clone())),
            );
            /// How many collections it owns that the viewer may list.
            collectionCount => load::<NoArguments, _, _>(User::id, |_, _, _| Ok(CollectionCount), |count| count);
        }
    }
}

/// Declares the root fields about accounts.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields! { fields;
        type;
        /// Who asks.
        viewer => compute::<NoArguments, _>(|_, _, context| Ok(Viewer(context.request().viewer)));
        /// The account with this name; null where there is none, and for who has no token.
        user => batch::<ByName, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                no_nul(&args.name)?;
                node.load::<User, _>(UserByName, vec![args.name; count]).await
            })
        });
    }
}

/// An account by its name.
#[derive(InputObject)]
#[graphql(name = "UserArguments")]
struct ByName {
    /// The name.
    name: String,
}
