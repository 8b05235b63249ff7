//! Change events of objects and collections, and the subscriptions that deliver them.
use async_graphql::{Enum, ID, InputObject, InputType, registry::Registry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Visibility, artifact,
    collection::{self, CollectionById},
    fields::DeclareFields,
    group,
    node::{self, AnyNode},
    policy::{self, Access},
};
use crate::{
    access::Viewer,
    append,
    db::{Projection, Record, Row, Sql, in_ids},
    error::Result,
    field,
    graphql::{
        self, Context, Leaf, Load, Loads, RequestContext,
        id::{self, GlobalId},
        object::{NoArguments, Object, ObjectBuilder},
    },
    loader::Relation,
};

/// Kind of a change.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ChangeKind {
    /// The object was created.
    Created,
    /// Fields of the object were changed.
    Updated,
    /// The object was deleted.
    Deleted,
    /// Artifacts were added to the collection.
    ArtifactsAdded,
    /// Artifacts were removed from the collection.
    ArtifactsRemoved,
    /// Artifacts of the collection were moved, or their status or note was changed.
    ArtifactsMoved,
}

/// A change of an object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Change {
    /// Kind of the change.
    pub kind: ChangeKind,
    /// Prefix of the object's id.
    pub prefix: String,
    /// Id of the object.
    pub id: Uuid,
    /// The artifacts that were added, removed or moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Uuid>,
    /// The viewers who could list a deleted object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
}

/// The viewers who can list an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Audience {
    /// Its owner.
    pub owner: Option<Uuid>,
    /// Whether everyone can.
    pub is_public: bool,
}

impl Audience {
    fn includes(self, viewer: Viewer) -> bool {
        self.is_public || (self.owner.is_some() && self.owner == viewer.user)
    }
}

/// Reads the owner and the visibility.
impl Record for Audience {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let owner = row.next_or_null()?;
        Ok(Self { owner, is_public: Visibility::read(row)? == Visibility::Public })
    }
}

impl Change {
    /// A change without artifacts.
    pub fn of(kind: ChangeKind, prefix: &str, id: Uuid) -> Self {
        Self { kind, prefix: prefix.to_owned(), id, artifacts: Vec::new(), audience: None }
    }

    /// The deletion of an object, for those who could list it.
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

/// The root of subscriptions: one change.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Subscription(Change);

#[async_trait::async_trait]
impl graphql::subscription::Event for Subscription {
    /// Checked for each change, because the visibility of an object may change during a subscription.
    async fn is_visible(&self, field: &str, context: &Context) -> Result<bool> {
        let (change, viewer) = (&self.0, context.request().viewer);
        if viewer.is_admin() {
            return Ok(true);
        }
        if let Some(audience) = change.audience {
            return Ok(audience.includes(viewer));
        }
        let access = if field == COLLECTION_CHANGED { Access::ById } else { Access::InLists };
        let relation = IsVisible { prefix: change.prefix.clone(), access };
        let seen = context.rounds.drive(context.rounds.load(relation, Projection::NONE, vec![change.id])).await?;
        Ok(seen.first() == Some(&1))
    }
}

const COLLECTION_CHANGED: &str = "collectionChanged";

/// Whether the subscriber may see an object: 1, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IsVisible {
    prefix: String,
    access: Access,
}

crate::sql_loader!(IsVisible);

impl Relation for IsVisible {
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
                a_visible = policy::artifacts(self.access),
            ),
            collection::PREFIX => append!(
                sql,
                "select c.id, cast(1 as bigint) from collections c where c.id {in_keys} {c_visible}",
                in_keys,
                c_visible = policy::collections(self.access),
            ),
            group::PREFIX => append!(
                sql,
                "select g.id, cast(1 as bigint) from groups g where g.id {in_keys} {g_visible}",
                in_keys,
                g_visible = policy::groups(self.access),
            ),
            // Tags are the only other objects with changes.
            _ => append!(
                sql,
                "select t.id, cast(1 as bigint) from tags t where t.id {in_keys} {t_visible}",
                in_keys,
                t_visible = policy::tags(self.access),
            ),
        };
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

impl Object for Subscription {
    const NAME: &'static str = "Subscription";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The root of subscriptions. Events are delivered after commit, those of one collection in \
            order. A subscriber that falls behind or is disconnected receives an error with the code `EVENTS_LOST`; refetch \
            and resubscribe."]);
        fields.events::<CollectionChangedArguments, _>(
            field!("collectionChanged", "Changes of one collection: of its fields, and of the artifacts it contains."),
            |change, args| {
                let id = id::parse(collection::PREFIX, &args.id)?;
                let is_it = change.0.prefix == collection::PREFIX && change.0.id == id;
                Ok(is_it.then(|| CollectionEvent(change.0.clone())))
            },
        );
        fields.events::<NoArguments, _>(
            field!(
                "catalogChanged",
                "All changes of objects that the viewer may list after the change, or could list before their deletion."
            ),
            |change, _| Ok(Some(CatalogEvent(change.0.clone()))),
        );
    }
}

#[derive(InputObject)]
struct CollectionChangedArguments {
    /// ID of the collection.
    #[graphql(validator(custom = "CollectionId"))]
    id: ID,
}

/// Rejects an id of another type when the subscription starts.
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
    const NAME: &'static str = "CollectionEvent";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["A change of a collection."]);
        fields.leaf(field!("kind", "Kind of the change."), |event| &event.0.kind);
        fields.value(field!("collectionId", "ID of the collection."), |event: &Self| GlobalId {
            prefix: collection::PREFIX,
            id: event.0.id,
        });
        fields.related(
            field!("collection", "The collection in its current state; null if it was deleted."),
            |event: &Self| event.0.id,
            CollectionById,
        );
        fields.output(field!("artifactIds", "Artifacts that were added, removed or moved."), |event| {
            let id = |id: &Uuid| GlobalId { prefix: artifact::PREFIX, id: *id };
            event.0.artifacts.iter().map(id).collect::<Vec<_>>()
        });
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
    const NAME: &'static str = "CatalogEvent";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["A change of an object."]);
        fields.leaf(field!("kind", "Kind of the change."), |event| &event.0.kind);
        fields.value(field!("nodeId", "ID of the object."), CatalogEvent::node_id);
        fields.batch::<NoArguments, Result<Option<AnyNode>>>(
            field!("node", "The object in its current state; null if it was deleted."),
            // The event decides which of the loaders by ID it is.
            Loads::by(|_, _| vec![Load::any::<artifact::ArtifactById>().named("CatalogEvent.node")]),
            |events, _, field| {
                let ids = events.iter().map(|event| Ok(event.node_id())).collect();
                Box::pin(async move { Ok(node::load(field, ids).await) })
            },
        );
    }
}
