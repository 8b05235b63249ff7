//! Accounts, as other accounts see them.
mod relations;
mod viewer;

use async_graphql::InputObject;
use uuid::Uuid;

use crate::{
    catalog::{
        Query,
        collection::{CollectionsArguments, CollectionsOfUser},
        fields::DeclareFields,
        filter::no_nul,
    },
    db::{Text, nfc},
    field,
    graphql::{
        ConnectionFields, RequestContext,
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
    const NAME: &'static str = "User";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["An account, which owns artifacts and collections."]);
        fields.implements("Node");
        fields.node_id(PREFIX, User::id);
        fields.leaf(field!("name", "Name, unique."), |user| &user.name);
        fields.connection::<CollectionsArguments, CollectionsOfUser>(
            field!(
                "collections",
                "Collections that the account owns and that the viewer may list. Default order: name."
            ),
            User::id,
            |args, _| Ok(CollectionsOfUser::new(args.order_by.clone())),
        );
        fields.related(
            field!("collectionCount", "Number of collections that the account owns and that the viewer may list."),
            User::id,
            CollectionCount,
        );
    }
}

/// Declares the root fields that read accounts.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.compute::<NoArguments, _>(field!("viewer", "The caller."), |_, _, context| {
        Ok(Viewer(context.request().viewer))
    });
    fields.lookup(
        field!("user", "The account with this name; null if there is none, and for callers without a token."),
        UserByName,
        |args: ByName| {
            no_nul(&args.name)?;
            Ok(nfc(&args.name).into_owned())
        },
    );
}

/// An account by its name.
#[derive(InputObject)]
#[graphql(name = "UserArguments")]
struct ByName {
    /// Name of the account.
    name: String,
}
