//! The change events of an import.
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    catalog::change::{Audience, Change, ChangeKind},
    graphql,
};

/// Maximum number of changed rows that are announced one by one. Beyond it, one overflow marker makes subscribers refetch,
/// which costs less than thousands of events.
const CHANGES_MAX: usize = 1_000;

/// The object that subscribers see change when a row of a table changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventTarget {
    /// The row itself: an object with this id prefix.
    Object(&'static str),
    /// The object with this id prefix that the row is part of; its id is the row's id at this index.
    Part(&'static str, usize),
    /// The collection of a membership.
    Membership,
}

/// A change of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowChange {
    Inserted,
    Updated,
    Deleted,
}

/// The changes of one transaction: objects in the order in which they were written, then memberships by collection.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    objects: Vec<Change>,
    /// Artifacts by collection and kind of change, an index of [`MEMBERSHIP_CHANGES`].
    memberships: BTreeMap<(Uuid, u8), Vec<Uuid>>,
    count: usize,
    /// The account that receives the events of deleted objects, besides administrators.
    owner: Option<Uuid>,
}

const MEMBERSHIP_CHANGES: [ChangeKind; 3] =
    [ChangeKind::ArtifactsAdded, ChangeKind::ArtifactsMoved, ChangeKind::ArtifactsRemoved];

impl ChangeLog {
    /// An empty log for objects of `owner`.
    pub(super) fn new(owner: Option<Uuid>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Records a change of the row whose key is `ids`.
    pub(super) fn record(&mut self, target: EventTarget, change: RowChange, ids: &[Uuid]) {
        self.count += 1;
        if self.count > CHANGES_MAX {
            return;
        }
        match target {
            EventTarget::Object(prefix) => self.objects.push(self.object_change(prefix, change, ids[0])),
            EventTarget::Part(prefix, index) => {
                let change = Change::of(ChangeKind::Updated, prefix, ids[index]);
                if !self.objects.contains(&change) {
                    self.objects.push(change);
                }
            }
            EventTarget::Membership => {
                let kind = match change {
                    RowChange::Inserted => 0,
                    RowChange::Updated => 1,
                    RowChange::Deleted => 2,
                };
                self.memberships.entry((ids[0], kind)).or_default().push(ids[1]);
            }
        }
    }

    fn object_change(&self, prefix: &'static str, change: RowChange, id: Uuid) -> Change {
        match change {
            RowChange::Inserted => Change::of(ChangeKind::Created, prefix, id),
            RowChange::Updated => Change::of(ChangeKind::Updated, prefix, id),
            RowChange::Deleted => Change::deleted(prefix, id, Audience { owner: self.owner, is_public: false }),
        }
    }

    /// The announcement of all changes; `None` without changes.
    pub(super) fn into_message(self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        if self.count > CHANGES_MAX {
            return Some(graphql::subscription::OVERFLOW.to_owned());
        }
        let memberships = self.memberships.into_iter().map(|((collection, kind), artifacts)| {
            let kind = MEMBERSHIP_CHANGES[usize::from(kind)];
            Change { artifacts, ..Change::of(kind, crate::catalog::collection::PREFIX, collection) }
        });
        let changes: Vec<Change> = self.objects.into_iter().chain(memberships).collect();
        Some(serde_json::to_string(&changes).expect("changes can be written as JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn members_of_one_collection_are_one_change_and_parts_of_one_object_too() {
        let mut log = ChangeLog::default();
        log.record(EventTarget::Object("artifact"), RowChange::Inserted, &[id(1)]);
        log.record(EventTarget::Part("group", 0), RowChange::Inserted, &[id(9), id(1)]);
        log.record(EventTarget::Part("group", 0), RowChange::Deleted, &[id(9), id(2)]);
        log.record(EventTarget::Membership, RowChange::Inserted, &[id(5), id(1)]);
        log.record(EventTarget::Membership, RowChange::Deleted, &[id(5), id(3)]);
        log.record(EventTarget::Membership, RowChange::Inserted, &[id(5), id(2)]);

        let changes: Vec<Change> = serde_json::from_str(&log.into_message().expect("changes")).expect("JSON");
        let seen: Vec<(ChangeKind, &str, usize)> =
            changes.iter().map(|change| (change.kind, change.prefix.as_str(), change.artifacts.len())).collect();
        assert_eq!(
            seen,
            [
                (ChangeKind::Created, "artifact", 0),
                (ChangeKind::Updated, "group", 0),
                (ChangeKind::ArtifactsAdded, "collection", 2),
                (ChangeKind::ArtifactsRemoved, "collection", 1),
            ]
        );
    }

    #[test]
    fn too_many_changes_are_announced_as_an_overflow_and_none_not_at_all() {
        let mut log = ChangeLog::default();
        for n in 0..=CHANGES_MAX as u128 {
            log.record(EventTarget::Object("tag"), RowChange::Updated, &[id(n)]);
        }

        assert_eq!(log.into_message().as_deref(), Some(graphql::subscription::OVERFLOW));
        assert_eq!(ChangeLog::default().into_message(), None);
    }
}
