//! The rows of a batch, and their conversion from records.
use super::super::{Record, SourceRecord, record};
use crate::{
    catalog::{artifact::ArtifactValues, collection::CollectionValues, order, tag::TagValues},
    db::{Cell, Time, Values},
};

/// Separates the slugs of an artifact's tags in the column that is compared.
const SLUG_SEPARATOR: &str = "\n";

/// A row that is not written yet.
pub(super) struct PendingRow {
    /// The record's location in its source.
    pub(super) location: String,
    /// The id in the source, before it is resolved.
    pub(super) source_id: Option<uuid::Uuid>,
    /// Values of the table's columns without the row number.
    pub(super) cells: Vec<Cell>,
    /// Slugs of the tags of an artifact.
    pub(super) tags: Vec<String>,
}

impl PendingRow {
    /// The ids among the first `count` cells.
    pub(super) fn ids(&self, count: usize) -> Vec<uuid::Uuid> {
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

/// The row of a record and the index of its table; `None` for the header of a file.
pub(super) fn pending_row(record: SourceRecord, owner: Option<uuid::Uuid>, now: Time) -> Option<(usize, PendingRow)> {
    let (table, cells, tags) = cells(record.record, owner, now)?;
    let source_id = if let Cell::Id(id) = cells[0] { Some(id) } else { None };
    Some((table, PendingRow { location: record.location, source_id, cells, tags }))
}

fn text(value: Option<String>) -> Cell {
    value.map_or(Cell::Null, Cell::Text)
}

fn sort_key(position: u32) -> Cell {
    Cell::Int(i64::from(position) * order::STEP)
}

/// The index of a record's table, its cells, and the slugs of its tags.
fn cells(record: Record, owner: Option<uuid::Uuid>, now: Time) -> Option<(usize, Vec<Cell>, Vec<String>)> {
    let (table, cells) = match record {
        Record::Gatherum { .. } => return None,
        Record::Tag(tag) => {
            let values = TagValues { name: Some(tag.name), slug: Some(tag.slug), color: Some(tag.color) };
            (0, row(tag.id, &values, [Cell::Time(now)]))
        }
        Record::Artifact(artifact) => return Some(artifact_cells(*artifact, owner)),
        Record::Version(version) => (
            2,
            vec![
                Cell::Id(version.id),
                Cell::Id(version.artifact),
                Cell::Text(version.version),
                text(version.content_hash),
                text(version.notes),
                Cell::Time(version.created_at),
            ],
        ),
        Record::Collection(collection) => (
            3,
            row(
                collection.id,
                &CollectionValues {
                    name: Some(collection.name),
                    description: Some(collection.description),
                    kind: Some(collection.kind),
                    color: Some(collection.color),
                    visibility: Some(collection.visibility),
                },
                [
                    owner.map_or(Cell::Null, Cell::Id),
                    Cell::Time(collection.created_at),
                    Cell::Time(collection.updated_at),
                ],
            ),
        ),
        Record::Group(group) => (
            4,
            vec![
                Cell::Id(group.id),
                Cell::Id(group.collection),
                Cell::Text(group.name),
                text(group.description),
                text(group.color),
                text(group.icon),
                sort_key(group.position),
                Cell::Time(group.created_at),
                Cell::Time(group.updated_at),
            ],
        ),
        Record::Membership(membership) => (
            5,
            vec![
                Cell::Id(membership.collection),
                Cell::Id(membership.artifact),
                sort_key(membership.position),
                text(membership.status),
                text(membership.note),
                Cell::Time(membership.added_at),
            ],
        ),
        Record::GroupMembership(membership) => (
            6,
            vec![
                Cell::Id(membership.group),
                Cell::Id(membership.artifact),
                sort_key(membership.position),
                Cell::Time(membership.added_at),
            ],
        ),
    };
    Some((table, cells, Vec::new()))
}

/// The id, the values, and further cells.
fn row<const N: usize>(id: uuid::Uuid, values: &dyn Values, rest: [Cell; N]) -> Vec<Cell> {
    let values = values.cells().into_iter().map(|cell| cell.unwrap_or(Cell::Null));
    std::iter::once(Cell::Id(id)).chain(values).chain(rest).collect()
}

fn artifact_cells(artifact: record::Artifact, owner: Option<uuid::Uuid>) -> (usize, Vec<Cell>, Vec<String>) {
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
    let rest = [
        owner.map_or(Cell::Null, Cell::Id),
        Cell::Time(artifact.created_at),
        Cell::Time(artifact.updated_at),
        Cell::Text(artifact.tags.join(SLUG_SEPARATOR)),
    ];
    (1, row(artifact.id, &values, rest), artifact.tags)
}
