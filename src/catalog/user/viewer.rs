//! The caller of a request.
use async_graphql::{Enum, InputType, registry::Registry};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{User, UserById};
use crate::{
    access,
    catalog::{
        fields::DeclareFields,
        filter::PlainArguments,
        sharing::{ReceivedShares, SentShares},
    },
    error::Result,
    field,
    graphql::{
        ConnectionFields, ExecutionField, FieldResults, Leaf, Loads, Output, ResultIndex,
        object::{NoArguments, Object, ObjectBuilder, SchemaBuilder},
    },
};

/// The caller of a request.
#[derive(Clone, Copy, Debug)]
pub struct Viewer(pub access::Viewer);

/// Permission that a token grants.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Queries and subscriptions.
    Read,
    /// Mutations.
    Write,
    /// Access to the objects of all accounts.
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
    /// The account. The nil account, which a caller without an account has, owns nothing.
    fn account(&self) -> Uuid {
        self.0.user.unwrap_or(Uuid::nil())
    }

    fn scopes(&self) -> Vec<Scope> {
        let granted = access::TokenScope::ALL.into_iter().filter(|scope| Some(*scope) <= self.0.scope);
        granted.map(Scope::from).collect()
    }
}

impl Object for Viewer {
    const NAME: &'static str = "Viewer";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The caller."]);
        fields.batch::<NoArguments, _>(
            field!("user", "The account of the token; null without a token, and on a server without accounts."),
            Loads::of(UserById),
            |viewers, _, field| Box::pin(users_of(viewers, field)),
        );
        fields.output(
            field!(
                "scopes",
                "Permissions of the caller: all on a server without accounts; only reading public objects \
                 without a token."
            ),
            Viewer::scopes,
        );
        fields.connection::<PlainArguments, _>(
            field!("receivedShares", "Shares that the caller has received and that have not expired, newest first."),
            Viewer::account,
            |_, _| Ok(ReceivedShares),
        );
        fields.connection::<PlainArguments, _>(
            field!("sentShares", "Shares that the caller has sent, newest first."),
            Viewer::account,
            |_, _| Ok(SentShares),
        );
    }
}

async fn users_of(viewers: &[Viewer], field: ExecutionField<'_>) -> Result<Vec<Option<User>>> {
    let keys = viewers.iter().filter_map(|viewer| viewer.0.user).collect();
    let mut found = field.load::<User, _>(UserById, keys).await?.into_iter();
    Ok(viewers.iter().map(|viewer| viewer.0.user.and_then(|_| found.next()?)).collect())
}
