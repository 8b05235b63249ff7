//! What those who follow are told of: that an object was made, changed or deleted, or what a collection holds.
use async_graphql::{Enum, ID, InputObject, InputType, registry::Registry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Visibility, artifact,
    collection::{self, Collection, CollectionById},
    group,
    node::{self, AnyNode},
    policy::{self, Access},
};
use crate::{
    access::Viewer,
    append,
    dataloader::Relation,
    db::{Projection, Record, Row, Sql, in_ids},
    error::Result,
    fields,
    graphql::{
        self, Context, Leaf,
        id::{self, GlobalId},
        object::{Fields, NoArguments, Object},
    },
};

/// What happened to an object.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// Fields of its own were changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// Artifacts came into the collection.
    ArtifactsAdded,
    /// Artifacts left the collection.
    ArtifactsRemoved,
    /// Artifacts of the collection have other places, or another status or note.
    ArtifactsMoved,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The prefix of the id of the object.
    pub prefix: String,
    /// The object.
    pub id: Uuid,
    /// The artifacts that came, left or moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Uuid>,
    /// Who could see what is there no longer, where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
}

/// Who could see an object in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Audience {
    /// Its owner.
    pub owner: Option<Uuid>,
    /// Whether everyone could.
    pub is_public: bool,
}

impl Audience {
    fn has(self, viewer: Viewer) -> bool {
        self.is_public || (self.owner.is_some() && self.owner == viewer.user)
    }
}

/// The owner and the visibility.
impl Record for Audience {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let owner = row.next_or_null()?;
        Ok(Self { owner, is_public: Visibility::read(row)? == Visibility::Public })
    }
}

impl Change {
    /// A change of an object itself.
    pub fn of(kind: ChangeKind, prefix: &str, id: Uuid) -> Self {
        Self { kind, prefix: prefix.to_owned(), id, artifacts: Vec::new(), audience: None }
    }

    /// The end of an object, told to those who could see it.
    pub fn deleted(prefix: &str, id: Uuid, audience: Audience) -> Self {
        Self { audience: Some(audience), ..Self::of(ChangeKind::Deleted, prefix, id) }
    }
}

impl Leaf for ChangeKind {
    fn type_ref(registry: &mut Registry) -> String {
        <Self as InputType>::create_type_info(registry)
    }

    fn write(&self, json: &mut Vec<u8>) {
        let word = match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::Deleted => "DELETED",
            Self::ArtifactsAdded => "ARTIFACTS_ADDED",
            Self::ArtifactsRemoved => "ARTIFACTS_REMOVED",
            Self::ArtifactsMoved => "ARTIFACTS_MOVED",
        };
        word.write(json);
    }
}

/// The root of all that can be followed: one change.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Subscription(Change);

#[async_trait::async_trait]
impl graphql::Change for Subscription {
    /// Asked anew for each change: what could be seen when following began may be hidden now.
    async fn is_seen(&self, field: &str, context: &Context) -> Result<bool> {
        let (change, viewer) = (&self.0, context.viewer);
        if viewer.is_admin() {
            return Ok(true);
        }
        if let Some(audience) = change.audience {
            return Ok(audience.has(viewer));
        }
        let access = if field == COLLECTION_CHANGED { Access::ById } else { Access::InLists };
        let relation = Seen { prefix: change.prefix.clone(), access };
        let seen = context.rounds.drive(context.rounds.load(relation, Projection::NONE, vec![change.id])).await?;
        Ok(seen.first() == Some(&1))
    }
}

const COLLECTION_CHANGED: &str = "collectionChanged";

/// Whether whoever follows may see an object: 1, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    prefix: String,
    access: Access,
}

impl Relation for Seen {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Subscription.isSeen";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        let in_keys = in_ids(keys);
        match self.prefix.as_str() {
            artifact::PREFIX => append!(
                sql,
                "select a.id, cast(1 as bigint) from artifacts a where a.id {in_keys} {a_visible}",
                in_keys,
                a_visible: policy::artifacts(self.access),
            ),
            collection::PREFIX => append!(
                sql,
                "select c.id, cast(1 as bigint) from collections c where c.id {in_keys} {c_visible}",
                in_keys,
                c_visible: policy::collections(self.access),
            ),
            group::PREFIX => append!(
                sql,
                "select g.id, cast(1 as bigint) from groups g where g.id {in_keys} {g_visible}",
                in_keys,
                g_visible: policy::groups(self.access),
            ),
            // Tags are the only other objects with changes.
            _ => append!(
                sql,
                "select t.id, cast(1 as bigint) from tags t where t.id {in_keys} {t_visible}",
                in_keys,
                t_visible: policy::tags(self.access),
            ),
        };
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

impl Object for Subscription {
    fn name() -> String {
        "Subscription".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// All that can be followed. Changes are told of once they are kept; those of one collection in their order.
            /// One who is too slow, or was cut off, is told so by an error with the code `EVENTS_LOST`, and reads again.
            type;
            /// Changes of one collection: its own fields, and which artifacts it holds.
            collectionChanged => events::<CollectionChangedArguments, _>(|change, args| {
                let id = id::parse(collection::PREFIX, &args.id)?;
                let is_it = change.0.prefix == collection::PREFIX && change.0.id == id;
                Ok(is_it.then(|| CollectionEvent(change.0.clone())))
            });
            /// Every change that the viewer may see: of objects that are listed for the viewer after it, or were before
            /// they were deleted.
            catalogChanged => events::<NoArguments, _>(|change, _| Ok(Some(CatalogEvent(change.0.clone()))));
        }
    }
}

#[derive(InputObject)]
struct CollectionChangedArguments {
    /// The collection.
    #[graphql(validator(custom = "CollectionId"))]
    id: ID,
}

/// Refuses what is no id of a collection when following begins.
struct CollectionId;

impl async_graphql::CustomValidator<ID> for CollectionId {
    fn check(&self, value: &ID) -> Result<(), async_graphql::InputValueError<ID>> {
        match id::parse(collection::PREFIX, value) {
            Ok(_) => Ok(()),
            Err(error) => Err(async_graphql::InputValueError::custom(error.message)),
        }
    }
}

/// A change of a collection.
#[derive(Clone, Debug)]
struct CollectionEvent(Change);

impl Object for CollectionEvent {
    fn name() -> String {
        "CollectionEvent".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A change of a collection.
            type;
            /// What happened.
            kind => leaf(|event| &event.0.kind);
            /// The id of the collection.
            collectionId => value(|event: &Self| GlobalId { prefix: collection::PREFIX, id: event.0.id });
            /// The collection as it is now; null where it is no more.
            collection => load::<NoArguments, _, _>(
                |event| event.0.id,
                |_, _, _| Ok(CollectionById),
                |collection: Option<Collection>| collection,
            );
            /// The artifacts that came, left or moved.
            artifactIds => compute::<NoArguments, _>(|event, _, _| {
                let id = |id: &Uuid| GlobalId { prefix: artifact::PREFIX, id: *id };
                Ok(event.0.artifacts.iter().map(id).collect::<Vec<_>>())
            });
        }
    }
}

/// A change of any object.
#[derive(Clone, Debug)]
struct CatalogEvent(Change);

impl CatalogEvent {
    fn node_id(&self) -> GlobalId {
        node::global_id(&self.0.prefix, self.0.id)
    }
}

impl Object for CatalogEvent {
    fn name() -> String {
        "CatalogEvent".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A change of an object.
            type;
            /// What happened.
            kind => leaf(|event| &event.0.kind);
            /// The id of the object.
            nodeId => value(CatalogEvent::node_id);
            /// The object as it is now; null where it is no more.
            node => batch::<NoArguments, crate::error::Result<Option<AnyNode>>>(|events, _, node| Box::pin(async move {
                let ids = events.iter().map(|event| Ok(event.node_id())).collect();
                Ok(node::load(node, ids).await)
            }));
        }
    }
}
