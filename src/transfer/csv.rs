//! Reads CSV: one artifact per row.
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use anyhow::{Context, Result, ensure};

use super::{
    Record, RecordSink,
    record::{self, derived_id},
    send_checked,
};
use crate::{
    catalog::{Visibility, rules},
    db::Time,
};

/// The time of creation of artifacts without one: 2026-01-01.
const DEFAULT_TIME: Time = Time(1_767_225_600_000_000);

/// Separates tags, collections and groups within a cell.
const SEPARATOR: char = ';';

/// Columns with a fixed meaning. All others become metadata.
const COLUMNS: [&str; 13] = [
    "type",
    "name",
    "description",
    "content",
    "source",
    "author",
    "license",
    "version",
    "visibility",
    "tags",
    "collections",
    "groups",
    "created_at",
];

/// Reads artifacts, and the tags, collections and groups that they name.
pub(super) fn read(text: impl Read, sink: &mut RecordSink<'_>) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
    let header: Vec<String> = reader.headers().context("cannot read the header")?.iter().map(str::to_owned).collect();
    ensure!(
        header.iter().any(|name| name == "type") && header.iter().any(|name| name == "name"),
        "the first row must name the columns, including `type` and `name`"
    );
    let mut names = SeenNames::default();
    for row in reader.into_records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let location =
                    error.position().map_or_else(String::new, |position| format!("line {}", position.line()));
                sink.reject(&location, "the row cannot be parsed");
                continue;
            }
        };
        let location = format!("line {}", row.position().map_or(0, csv::Position::line));
        let cells: BTreeMap<&str, &str> =
            header.iter().map(String::as_str).zip(row.iter()).filter(|(_, cell)| !cell.is_empty()).collect();
        for record in names.records(&cells) {
            if !send_checked(sink, &location, record) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Tags, collections and groups named by earlier rows.
#[derive(Default)]
struct SeenNames {
    /// Slugs of tags.
    tags: BTreeSet<String>,
    /// Number of members by collection.
    collections: BTreeMap<String, u32>,
    /// Number of members by collection and group.
    groups: BTreeMap<(String, String), u32>,
    /// Number of groups by collection.
    group_counts: BTreeMap<String, u32>,
}

impl SeenNames {
    /// The records of a row, each after those that it refers to.
    fn records(&mut self, cells: &BTreeMap<&str, &str>) -> Vec<Result<Record, String>> {
        let mut records = Vec::new();
        let (kind, name) =
            (cells.get("type").copied().unwrap_or_default(), cells.get("name").copied().unwrap_or_default());
        let tags = list(cells.get("tags"));
        for tag in &tags {
            let slug = rules::slug_of(tag);
            if self.tags.insert(slug.clone()) {
                let id = derived_id("tag", &slug);
                records.push(Ok(Record::Tag(record::Tag { id, name: tag.clone(), slug, color: None })));
            }
        }
        let id = derived_id("artifact", &format!("{kind}\n{name}"));
        records.push(artifact(id, kind, name, &tags, cells));
        for collection in list(cells.get("collections")) {
            self.member(&collection, id, &mut records);
        }
        for group in list(cells.get("groups")) {
            match group.split_once('/') {
                Some((collection, group)) => self.group_member(collection.trim(), group.trim(), id, &mut records),
                None => records.push(Err(format!("group `{group}` has no collection: write collection/group"))),
            }
        }
        records
    }

    fn member(&mut self, collection: &str, artifact: uuid::Uuid, records: &mut Vec<Result<Record, String>>) {
        let id = derived_id("collection", collection);
        let is_new = !self.collections.contains_key(collection);
        let count = self.collections.entry(collection.to_owned()).or_default();
        if is_new {
            records.push(Ok(Record::Collection(record::Collection {
                id,
                name: collection.to_owned(),
                description: None,
                kind: None,
                color: None,
                visibility: Visibility::Private,
                created_at: DEFAULT_TIME,
                updated_at: DEFAULT_TIME,
            })));
        }
        records.push(Ok(Record::Membership(record::Membership {
            collection: id,
            artifact,
            position: *count,
            status: None,
            note: None,
            added_at: DEFAULT_TIME,
        })));
        *count += 1;
    }

    fn group_member(
        &mut self,
        collection: &str,
        group: &str,
        artifact: uuid::Uuid,
        records: &mut Vec<Result<Record, String>>,
    ) {
        if !self.collections.contains_key(collection) {
            records.push(Err(format!("group `{collection}/{group}`: the artifact is not in that collection")));
            return;
        }
        let id = derived_id("group", &format!("{collection}\n{group}"));
        let key = (collection.to_owned(), group.to_owned());
        if !self.groups.contains_key(&key) {
            let position = self.group_counts.entry(collection.to_owned()).or_default();
            records.push(Ok(Record::Group(record::Group {
                id,
                collection: derived_id("collection", collection),
                name: group.to_owned(),
                description: None,
                color: None,
                icon: None,
                position: *position,
                created_at: DEFAULT_TIME,
                updated_at: DEFAULT_TIME,
            })));
            self.groups.insert(key.clone(), 0);
            *position += 1;
        }
        if let Some(count) = self.groups.get_mut(&key) {
            records.push(Ok(Record::GroupMembership(record::GroupMembership {
                group: id,
                artifact,
                position: *count,
                added_at: DEFAULT_TIME,
            })));
            *count += 1;
        }
    }
}

fn artifact(
    id: uuid::Uuid,
    kind: &str,
    name: &str,
    tags: &[String],
    cells: &BTreeMap<&str, &str>,
) -> Result<Record, String> {
    let text = |column: &str| cells.get(column).map(|cell| (*cell).to_owned());
    let visibility = match cells.get("visibility") {
        Some(word) => {
            Visibility::parse(&word.to_uppercase()).ok_or("visibility must be PRIVATE, UNLISTED or PUBLIC")?
        }
        None => Visibility::Private,
    };
    let created_at = match cells.get("created_at") {
        Some(text) => Time::parse(text).ok_or("created_at must be an RFC 3339 time such as 2026-01-31T12:00:00Z")?,
        None => DEFAULT_TIME,
    };
    let others = cells.iter().filter(|(column, _)| !COLUMNS.contains(column));
    let metadata: serde_json::Map<_, _> =
        others.map(|(column, cell)| ((*column).to_owned(), serde_json::Value::from(*cell))).collect();
    Ok(Record::Artifact(Box::new(record::Artifact {
        id,
        kind: kind.to_owned(),
        name: name.to_owned(),
        description: text("description"),
        source: text("source"),
        author: text("author"),
        license: text("license"),
        homepage: None,
        version: text("version"),
        visibility,
        tags: tags.iter().map(|tag| rules::slug_of(tag)).collect(),
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        content: text("content"),
        created_at,
        updated_at: created_at,
    })))
}

fn list(cell: Option<&&str>) -> Vec<String> {
    let items = cell.copied().unwrap_or_default().split(SEPARATOR).map(str::trim).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}
