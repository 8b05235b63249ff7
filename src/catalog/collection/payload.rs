//! The payloads of mutations on collections.
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::CollectionById;
use crate::{
    catalog::{artifact, fields::DeclareFields},
    field,
    graphql::{
        id::GlobalId,
        object::{Fields, Object},
    },
    payload,
};

payload! {
    /// The collection that was written.
    pub struct CollectionPayload { "collection": CollectionById }
}

/// The outcome for each artifact that was to be added or removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct MembershipPayload {
    collection: Uuid,
    changed: Vec<Uuid>,
    unchanged: Vec<Uuid>,
    not_found: Vec<Uuid>,
}

impl MembershipPayload {
    /// The outcome for the given artifacts, of which some were found, and some of these changed.
    pub(super) fn new(
        collection: Uuid,
        given: Vec<Uuid>,
        changed: &HashSet<Uuid>,
        found: &HashMap<Uuid, bool>,
    ) -> Self {
        let (found, not_found): (Vec<_>, Vec<_>) = given.into_iter().partition(|id| found.contains_key(id));
        let (changed, unchanged) = found.into_iter().partition(|id| changed.contains(id));
        Self { collection, changed, unchanged, not_found }
    }
}

impl Object for MembershipPayload {
    const NAME: &'static str = "MembershipPayload";

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields.describe(&["The outcome for each given artifact ID."]);
        let collection = field!("collection", "The collection after the write.");
        fields.required(collection, |payload| payload.collection, CollectionById);
        fields.output(field!("changedIds", "Artifacts that were added or removed."), |payload| {
            artifact_ids(&payload.changed)
        });
        fields.output(
            field!("unchangedIds", "Artifacts that the collection contained already, or did not contain."),
            |payload| artifact_ids(&payload.unchanged),
        );
        fields
            .output(field!("notFoundIds", "Artifacts that do not exist."), |payload| artifact_ids(&payload.not_found));
    }
}

/// The outcome for each artifact that was to be moved to another collection.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TransferPayload {
    pub(super) from: Uuid,
    pub(super) to: Uuid,
    pub(super) moved: Vec<Uuid>,
    pub(super) not_found: Vec<Uuid>,
}

impl Object for TransferPayload {
    const NAME: &'static str = "TransferPayload";

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields.describe(&["The outcome for each artifact that was to be moved to another collection."]);
        fields.required(
            field!("from", "The collection that contained the artifacts, after the write."),
            |payload| payload.from,
            CollectionById,
        );
        fields.required(
            field!("to", "The collection that received the artifacts, after the write."),
            |payload| payload.to,
            CollectionById,
        );
        fields.output(field!("movedIds", "Artifacts that were moved."), |payload| artifact_ids(&payload.moved));
        fields.output(field!("notFoundIds", "Artifacts that the first collection did not contain."), |payload| {
            artifact_ids(&payload.not_found)
        });
    }
}

/// The global ids of artifacts.
fn artifact_ids(ids: &[Uuid]) -> Vec<GlobalId> {
    ids.iter().map(|id| GlobalId { prefix: artifact::PREFIX, id: *id }).collect()
}
