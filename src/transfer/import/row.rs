//! The rows of a batch, and their conversion from records.
use uuid::Uuid;

use super::super::{Record, SourceRecord, record};
use crate::{
    catalog::{
        artifact::ArtifactValues,
        collection::{CollectionValues, MembershipValues},
        group::GroupValues,
        order,
        tag::TagValues,
        version::VersionValues,
    },
    db::{Cell, CellType, TableRow as _, Time, join_columns},
    row_table,
};

/// Separates the slugs of an artifact's tags in the column that is compared.
pub(super) const SLUG_SEPARATOR: &str = "\n";

/// A table that an import writes, as an index.
#[derive(Clone, Copy)]
pub(super) enum TableIndex {
    Tags,
    Artifacts,
    Versions,
    Collections,
    Groups,
    Memberships,
    GroupMemberships,
}

/// A row that is not written yet.
pub(super) struct PendingRow {
    /// The record's location in its source.
    pub(super) location: String,
    /// The id in the source, before it is resolved.
    pub(super) source_id: Option<Uuid>,
    /// Values of the table's columns without the row number.
    pub(super) cells: Vec<Cell>,
    /// Slugs of the tags of an artifact.
    pub(super) tags: Vec<String>,
}

impl PendingRow {
    /// The ids among the first `count` cells.
    pub(super) fn ids(&self, count: usize) -> Vec<Uuid> {
        let id = |cell: &Cell| if let Cell::Id(id) = cell { Some(*id) } else { None };
        self.cells.iter().take(count).filter_map(id).collect()
    }
}

/// The cells of each row followed by the row number.
pub(super) fn numbered<'r>(rows: impl Iterator<Item = &'r PendingRow>) -> Vec<Vec<Cell>> {
    let number = |(n, row): (usize, &PendingRow)| {
        let mut cells = row.cells.clone();
        cells.push(Cell::Int(n as i64));
        cells
    };
    rows.enumerate().map(number).collect()
}

/// The row of a record and its table; `None` for the header of a file.
pub(super) fn pending_row(record: SourceRecord, owner: Option<Uuid>, now: Time) -> Option<(TableIndex, PendingRow)> {
    let (table, cells, tags) = cells(record.record, owner, now)?;
    let source_id = if let Cell::Id(id) = cells[0] { Some(id) } else { None };
    Some((table, PendingRow { location: record.location, source_id, cells, tags }))
}

fn sort_key(position: u32) -> i64 {
    i64::from(position) * order::STEP
}

row_table! {
    struct TagRow { id: Uuid, ..values: TagValues, created_at: Time }
}

row_table! {
    struct ArtifactRow {
        id: Uuid,
        ..values: ArtifactValues,
        owner_id: Option<Uuid>,
        created_at: Time,
        updated_at: Time,
        tags: String,
    }
}

row_table! {
    struct VersionRow { id: Uuid, artifact_id: Uuid, ..values: VersionValues, created_at: Time }
}

row_table! {
    struct CollectionRow {
        id: Uuid,
        ..values: CollectionValues,
        owner_id: Option<Uuid>,
        created_at: Time,
        updated_at: Time,
    }
}

row_table! {
    struct GroupRow {
        id: Uuid,
        collection_id: Uuid,
        ..values: GroupValues,
        sort_key: i64,
        created_at: Time,
        updated_at: Time,
    }
}

row_table! {
    struct MembershipRow {
        collection_id: Uuid,
        artifact_id: Uuid,
        ..values: MembershipValues,
        sort_key: i64,
        added_at: Time,
    }
}

row_table! {
    struct GroupMembershipRow { group_id: Uuid, artifact_id: Uuid, sort_key: i64, added_at: Time }
}

/// A table of rows with the row number `n` as its last column.
macro_rules! numbered_columns {
    ($($name:ident: $row:ty),* $(,)?) => {$(
        pub(super) const $name: &[(&str, CellType)] = &join_columns::<{ <$row>::COLUMNS.len() + 1 }>(&[
            <$row>::COLUMNS,
            &[("n", CellType::Int)],
        ]);
    )*};
}
numbered_columns! {
    TAG_COLUMNS: TagRow,
    ARTIFACT_COLUMNS: ArtifactRow,
    VERSION_COLUMNS: VersionRow,
    COLLECTION_COLUMNS: CollectionRow,
    GROUP_COLUMNS: GroupRow,
    MEMBERSHIP_COLUMNS: MembershipRow,
    GROUP_MEMBERSHIP_COLUMNS: GroupMembershipRow,
}

/// The table of a record, its cells, and the slugs of its tags.
fn cells(record: Record, owner: Option<Uuid>, now: Time) -> Option<(TableIndex, Vec<Cell>, Vec<String>)> {
    let (table, cells) = match record {
        Record::Gatherum { .. } => return None,
        Record::Tag(tag) => (TableIndex::Tags, tag_row(tag, now).cells()),
        Record::Artifact(artifact) => {
            let tags = artifact.tags.clone();
            return Some((TableIndex::Artifacts, artifact_row(*artifact, owner).cells(), tags));
        }
        Record::Version(version) => (TableIndex::Versions, version_row(version).cells()),
        Record::Collection(collection) => (TableIndex::Collections, collection_row(collection, owner).cells()),
        Record::Group(group) => (TableIndex::Groups, group_row(group).cells()),
        Record::Membership(membership) => (TableIndex::Memberships, membership_row(membership).cells()),
        Record::GroupMembership(membership) => {
            (TableIndex::GroupMemberships, group_membership_row(&membership).cells())
        }
    };
    Some((table, cells, Vec::new()))
}

fn tag_row(tag: record::Tag, now: Time) -> TagRow {
    let values = TagValues { name: Some(tag.name), slug: Some(tag.slug), color: Some(tag.color) };
    TagRow { id: tag.id, values, created_at: now }
}

fn artifact_row(artifact: record::Artifact, owner_id: Option<Uuid>) -> ArtifactRow {
    let metadata = artifact.metadata.map(|metadata| serde_json::Value::Object(metadata).to_string());
    let values = ArtifactValues {
        kind: Some(artifact.kind),
        name: Some(artifact.name),
        description: Some(artifact.description),
        source: Some(artifact.source),
        author: Some(artifact.author),
        license: Some(artifact.license),
        homepage: Some(artifact.homepage),
        version: Some(artifact.version),
        visibility: Some(artifact.visibility),
        content: Some(artifact.content),
        metadata: Some(metadata),
    };
    ArtifactRow {
        id: artifact.id,
        values,
        owner_id,
        created_at: artifact.created_at,
        updated_at: artifact.updated_at,
        tags: artifact.tags.join(SLUG_SEPARATOR),
    }
}

fn version_row(version: record::Version) -> VersionRow {
    let values = VersionValues {
        label: Some(version.version),
        content_hash: Some(version.content_hash),
        notes: Some(version.notes),
    };
    VersionRow { id: version.id, artifact_id: version.artifact, values, created_at: version.created_at }
}

fn collection_row(collection: record::Collection, owner_id: Option<Uuid>) -> CollectionRow {
    let values = CollectionValues {
        name: Some(collection.name),
        description: Some(collection.description),
        kind: Some(collection.kind),
        color: Some(collection.color),
        visibility: Some(collection.visibility),
    };
    CollectionRow {
        id: collection.id,
        values,
        owner_id,
        created_at: collection.created_at,
        updated_at: collection.updated_at,
    }
}

fn group_row(group: record::Group) -> GroupRow {
    let values = GroupValues {
        name: Some(group.name),
        description: Some(group.description),
        color: Some(group.color),
        icon: Some(group.icon),
    };
    GroupRow {
        id: group.id,
        collection_id: group.collection,
        values,
        sort_key: sort_key(group.position),
        created_at: group.created_at,
        updated_at: group.updated_at,
    }
}

fn membership_row(membership: record::Membership) -> MembershipRow {
    MembershipRow {
        collection_id: membership.collection,
        artifact_id: membership.artifact,
        values: MembershipValues { status: Some(membership.status), note: Some(membership.note) },
        sort_key: sort_key(membership.position),
        added_at: membership.added_at,
    }
}

fn group_membership_row(membership: &record::GroupMembership) -> GroupMembershipRow {
    GroupMembershipRow {
        group_id: membership.group,
        artifact_id: membership.artifact,
        sort_key: sort_key(membership.position),
        added_at: membership.added_at,
    }
}
