//! What an import tells those who follow.
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    catalog::change::{Audience, Change, ChangeKind},
    graphql,
};

/// Changed objects and members that are told of one by one. Above that, those who follow are told to read again, which is
/// less work for everyone.
const TOLD_MAX: usize = 1_000;

/// What a row of a table is to those who follow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Telling {
    /// An object with this prefix.
    Object(&'static str),
    /// A part of the object with this prefix, whose id is the key's at this place.
    Part(&'static str, usize),
    /// An artifact in a collection.
    Member,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    New,
    Changed,
    Gone,
}

/// Changes in the order in which they were made; those of what a collection holds come last.
#[derive(Debug, Default)]
pub(super) struct Told {
    objects: Vec<Change>,
    /// By collection and what happened: the artifacts.
    members: BTreeMap<(Uuid, u8), Vec<Uuid>>,
    count: usize,
    /// Who is told of what was deleted, besides those who administer the server.
    owner: Option<Uuid>,
}

const MEMBERS: [ChangeKind; 3] = [ChangeKind::ArtifactsAdded, ChangeKind::ArtifactsMoved, ChangeKind::ArtifactsRemoved];

impl Told {
    /// Of what is an account's, where there are any.
    pub(super) fn of(owner: Option<Uuid>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Notes what became of the row with these ids: its key, or for a part those that its telling names.
    pub(super) fn note(&mut self, telling: Telling, became: Became, ids: &[Uuid]) {
        self.count += 1;
        if self.count > TOLD_MAX {
            return;
        }
        match telling {
            Telling::Object(prefix) => {
                let audience = Audience { owner: self.owner, is_public: false };
                self.objects.push(match became {
                    Became::New => Change::of(ChangeKind::Created, prefix, ids[0]),
                    Became::Changed => Change::of(ChangeKind::Updated, prefix, ids[0]),
                    Became::Gone => Change::deleted(prefix, ids[0], audience),
                });
            }
            Telling::Part(prefix, place) => {
                let change = Change::of(ChangeKind::Updated, prefix, ids[place]);
                if !self.objects.contains(&change) {
                    self.objects.push(change);
                }
            }
            Telling::Member => {
                let kind = match became {
                    Became::New => 0,
                    Became::Changed => 1,
                    Became::Gone => 2,
                };
                self.members.entry((ids[0], kind)).or_default().push(ids[1]);
            }
        }
    }

    /// What is announced, if there is anything.
    pub(super) fn message(self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        if self.count > TOLD_MAX {
            return Some(graphql::subscription::OVERFLOW.to_owned());
        }
        let members = self.members.into_iter().map(|((collection, kind), artifacts)| {
            let kind = MEMBERS[usize::from(kind)];
            Change { artifacts, ..Change::of(kind, crate::catalog::collection::PREFIX, collection) }
        });
        let changes: Vec<Change> = self.objects.into_iter().chain(members).collect();
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
        let mut told = Told::default();
        told.note(Telling::Object("artifact"), Became::New, &[id(1)]);
        told.note(Telling::Part("group", 0), Became::New, &[id(9), id(1)]);
        told.note(Telling::Part("group", 0), Became::Gone, &[id(9), id(2)]);
        told.note(Telling::Member, Became::New, &[id(5), id(1)]);
        told.note(Telling::Member, Became::Gone, &[id(5), id(3)]);
        told.note(Telling::Member, Became::New, &[id(5), id(2)]);

        let changes: Vec<Change> = serde_json::from_str(&told.message().expect("changes")).expect("JSON");
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
    fn more_than_can_be_told_is_told_as_such_and_nothing_is_not_told() {
        let mut told = Told::default();
        for n in 0..=TOLD_MAX as u128 {
            told.note(Telling::Object("tag"), Became::Changed, &[id(n)]);
        }

        assert_eq!(told.message().as_deref(), Some(graphql::subscription::OVERFLOW));
        assert_eq!(Told::default().message(), None);
    }
}
