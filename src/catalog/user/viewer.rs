//! Who asks.
use async_graphql::{Enum, InputType, registry::Registry};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{User, UserById};
use crate::{
    access,
    catalog::{
        filter::PlainArguments,
        sharing::{ReceivedShares, SentShares},
    },
    fields,
    graphql::{
        ExecutionField, FieldResults, Leaf, Output, ResultIndex,
        object::{NoArguments, Object, ObjectBuilder, SchemaBuilder},
    },
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Viewer(pub access::Viewer);

/// What a token is good for.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Queries and subscriptions.
    Read,
    /// Mutations.
    Write,
    /// Everyone's, not only what its account may see and change.
    Admin,
}

impl From<access::TokenScope> for Scope {
    fn from(scope: access::TokenScope) -> Self {
        match scope {
            access::TokenScope::Read => Self::Read,
            access::TokenScope::Write => Self::Write,
            access::TokenScope::Admin => Self::Admin,
        }
    }
}

impl Leaf for Scope {
    fn type_ref(registry: &mut Registry) -> String {
        <Self as InputType>::create_type_info(registry)
    }

    fn write(&self, json: &mut Vec<u8>) {
        let word = match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Admin => "ADMIN",
        };
        word.write(json);
    }
}

impl Output for Scope {
    const NULLABLE: bool = false;

    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String {
        <Self as Leaf>::type_ref(schema.registry())
    }

    fn complete<'a>(
        values: Vec<Self>,
        _origins: Vec<ResultIndex>,
        _node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults> {
        Box::pin(std::future::ready(FieldResults::of_leaves(&values)))
    }
}

impl Viewer {
    /// The account; nothing belongs to the one of who has none.
    fn account(&self) -> Uuid {
        self.0.user.unwrap_or(Uuid::nil())
    }
}

impl Object for Viewer {
    fn name() -> String {
        "Viewer".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Who asks.
            type;
            /// The account of the token; null without one, and on a server without accounts.
            user => batch::<NoArguments, _>(|viewers, _, node| Box::pin(async move {
                let keys = viewers.iter().filter_map(|viewer| viewer.0.user).collect();
                let mut found = node.load::<User, _>(UserById, keys).await?.into_iter();
                let user = |viewer: &Viewer| -> Option<User> { viewer.0.user.and_then(|_| found.next()?) };
                Ok(viewers.iter().map(user).collect())
            }));
            /// What the viewer may do: all of it on a server without accounts, none of it without a token, which still may
            /// read what is public.
            scopes => compute::<NoArguments, _>(|viewer, _, _| {
                let held = access::TokenScope::ALL.into_iter().filter(|scope| Some(*scope) <= viewer.0.scope);
                Ok(held.map(Scope::from).collect::<Vec<_>>())
            });
            /// What was shared with the viewer and has not ended, the newest first.
            receivedShares => connection::<PlainArguments, _>(Viewer::account, |_, _| Ok(ReceivedShares));
            /// What the viewer has shared, the newest first.
            sentShares => connection::<PlainArguments, _>(Viewer::account, |_, _| Ok(SentShares));
        }
    }
}
