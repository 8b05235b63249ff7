//! Reads CSV: one artifact per row.
mod header;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use anyhow::{Context, Result};

use self::{header::COLUMNS, rows::Rows};
use super::{
    Notice, NoticeKind, Record, RecordSink,
    record::{self, derived_id},
    time,
};
use crate::{catalog::Visibility, db::Time};

/// The time of creation of artifacts without one: 2026-01-01.
const DEFAULT_TIME: Time = Time(1_767_225_600_000_000);

/// Separates tags, collections and groups within a cell.
const SEPARATOR: char = ';';

/// Maximum number of characters of a cell that a notice quotes.
const QUOTED_MAX: usize = 40;

/// Reads artifacts, and the tags, collections and groups that they name.
pub(super) fn read(text: impl BufRead, sink: &mut RecordSink<'_>) -> Result<()> {
    let mut rows = Rows::new(text);
    let header = header::read(&mut rows)?;
    let mut names = SeenNames::default();
    while let Some(row) = rows.row().context("cannot read the next row")? {
        if sink.is_closed() {
            break;
        }
        let location = format!("line {}", row.line);
        match row.cells {
            Ok(cells) if cells.iter().all(|cell| cell.trim().is_empty()) => {}
            Ok(cells) => ArtifactRow::new(&header, &cells, location).send(&mut names, sink),
            Err(reason) => sink.reject(&location, reason),
        }
    }
    Ok(())
}

/// Tags, collections and groups named by earlier rows.
#[derive(Default)]
struct SeenNames {
    /// Slugs of tags.
    tags: BTreeSet<String>,
    /// Number of members by collection; `None` if the collection was rejected.
    collections: BTreeMap<String, Option<u32>>,
    /// Number of members by collection and group; `None` if the group was rejected.
    groups: BTreeMap<(String, String), Option<u32>>,
    /// Number of groups by collection.
    group_counts: BTreeMap<String, u32>,
}

/// A row with its cells by column.
struct ArtifactRow<'r> {
    cells: BTreeMap<&'r str, &'r str>,
    location: String,
    notices: Vec<Notice>,
}

impl<'r> ArtifactRow<'r> {
    fn new(header: &'r [String], cells: &'r [String], location: String) -> Self {
        let mut row = Self { cells: BTreeMap::new(), location, notices: Vec::new() };
        for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.trim().is_empty()) {
            match header.get(index).map(String::as_str) {
                Some(name) if !name.is_empty() => {
                    row.cells.insert(name, cell);
                }
                _ => {
                    let quoted: String = cell.chars().take(QUOTED_MAX).collect();
                    row.notice(NoticeKind::NotStored, format!("column {} has no name: `{quoted}`", index + 1));
                }
            }
        }
        row
    }

    fn notice(&mut self, kind: NoticeKind, text: String) {
        self.notices.push(Notice::new(kind, &self.location, text));
    }

    /// Sends the artifact with its tags, and then its memberships.
    fn send(mut self, names: &mut SeenNames, sink: &mut RecordSink<'_>) {
        let tags = self.tags();
        let artifact = match self.artifact(&tags) {
            Ok(artifact) => artifact,
            Err(reason) => return sink.reject(&self.location, reason),
        };
        let id = artifact.id;
        let new_tags: Vec<record::Tag> = tags.into_iter().filter(|tag| !names.tags.contains(&tag.slug)).collect();
        let slugs: Vec<String> = new_tags.iter().map(|tag| tag.slug.clone()).collect();
        let mut records: Vec<Record> = new_tags.into_iter().map(Record::Tag).collect();
        records.push(Record::Artifact(Box::new(artifact)));
        let notices = std::mem::take(&mut self.notices);
        if !sink.send_together(&self.location, notices, records) {
            return;
        }
        names.tags.extend(slugs);
        let collections = list(self.cells.get("collections"));
        for collection in &collections {
            self.send_member(collection, id, names, sink);
        }
        for group in list(self.cells.get("groups")) {
            match group.split_once('/').map(|(collection, group)| (collection.trim(), group.trim())) {
                Some((collection, group)) if collections.iter().any(|name| name == collection) => {
                    self.send_group_member(collection, group, id, names, sink);
                }
                Some((collection, _)) => {
                    let reason = format!("group `{group}`: the row does not have collection `{collection}`");
                    sink.reject(&self.location, reason);
                }
                None => {
                    sink.reject(&self.location, format!("group `{group}` has no collection: write collection/group"));
                }
            }
        }
    }

    /// The tags of the row. A name that cannot be a tag's is reported.
    fn tags(&mut self) -> Vec<record::Tag> {
        let mut tags: Vec<record::Tag> = Vec::new();
        for name in list(self.cells.get("tags")) {
            match record::Tag::named(&name) {
                Ok(tag) if tags.iter().any(|other| other.slug == tag.slug) => {}
                Ok(tag) => tags.push(tag),
                Err(reason) => self.notice(NoticeKind::NotStored, format!("tag `{name}`: {reason}")),
            }
        }
        tags
    }

    fn artifact(&mut self, tags: &[record::Tag]) -> Result<record::Artifact, String> {
        let cell = |column: &str| self.cells.get(column).copied();
        let text = |column: &str| cell(column).map(str::to_owned);
        let visibility = match cell("visibility").map(|word| Visibility::parse(&word.trim().to_uppercase())) {
            Some(visibility) => visibility.ok_or("visibility must be PRIVATE, UNLISTED or PUBLIC")?,
            None => Visibility::Private,
        };
        let created_at = match cell("created_at") {
            Some(text) => time::parse(text).ok_or("created_at must be a date or time such as 2026-01-31T12:00:00Z")?,
            None => DEFAULT_TIME,
        };
        let written_kind = cell("type").unwrap_or_default().trim();
        let kind = written_kind.to_lowercase();
        let name = cell("name").unwrap_or_default().trim();
        let others = self.cells.iter().filter(|(column, _)| !COLUMNS.contains(column));
        let metadata: serde_json::Map<_, _> =
            others.map(|(column, cell)| ((*column).to_owned(), serde_json::Value::from(*cell))).collect();
        let artifact = record::Artifact {
            id: derived_id("artifact", &format!("{kind}\n{name}")),
            kind: kind.clone(),
            name: name.to_owned(),
            description: text("description"),
            source: text("source"),
            author: text("author"),
            license: text("license"),
            homepage: cell("homepage").map(|url| url.trim().to_owned()),
            version: text("version"),
            visibility,
            tags: tags.iter().map(|tag| tag.slug.clone()).collect(),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            content: text("content"),
            created_at,
            updated_at: created_at,
        };
        if kind != written_kind {
            let text = format!("type `{written_kind}` is written in lower case: `{kind}`");
            self.notice(NoticeKind::Repaired, text);
        }
        Ok(artifact)
    }

    fn send_member(&self, collection: &str, artifact: uuid::Uuid, names: &mut SeenNames, sink: &mut RecordSink<'_>) {
        let id = derived_id("collection", collection);
        if !names.collections.contains_key(collection) {
            let record = Record::Collection(record::Collection {
                id,
                name: collection.to_owned(),
                description: None,
                kind: None,
                color: None,
                visibility: Visibility::Private,
                created_at: DEFAULT_TIME,
                updated_at: DEFAULT_TIME,
            });
            let count = sink.send_together(&self.location, Vec::new(), vec![record]).then_some(0);
            names.collections.insert(collection.to_owned(), count);
            if count.is_none() {
                return;
            }
        }
        let Some(count) = names.collections.get_mut(collection).and_then(Option::as_mut) else {
            return sink.reject(&self.location, format!("collection `{collection}` was rejected in an earlier line"));
        };
        let membership = record::Membership {
            collection: id,
            artifact,
            position: *count,
            status: None,
            note: None,
            added_at: DEFAULT_TIME,
        };
        *count += 1;
        sink.send_together(&self.location, Vec::new(), vec![Record::Membership(membership)]);
    }

    fn send_group_member(
        &self,
        collection: &str,
        group: &str,
        artifact: uuid::Uuid,
        names: &mut SeenNames,
        sink: &mut RecordSink<'_>,
    ) {
        let id = derived_id("group", &format!("{collection}\n{group}"));
        let key = (collection.to_owned(), group.to_owned());
        if !names.groups.contains_key(&key) {
            let position = names.group_counts.entry(collection.to_owned()).or_default();
            let record = Record::Group(record::Group {
                id,
                collection: derived_id("collection", collection),
                name: group.to_owned(),
                description: None,
                color: None,
                icon: None,
                position: *position,
                created_at: DEFAULT_TIME,
                updated_at: DEFAULT_TIME,
            });
            let count = sink.send_together(&self.location, Vec::new(), vec![record]).then_some(0);
            *position += u32::from(count.is_some());
            names.groups.insert(key.clone(), count);
            if count.is_none() {
                return;
            }
        }
        let Some(count) = names.groups.get_mut(&key).and_then(Option::as_mut) else {
            return sink.reject(&self.location, format!("group `{group}` was rejected in an earlier line"));
        };
        let membership = record::GroupMembership { group: id, artifact, position: *count, added_at: DEFAULT_TIME };
        *count += 1;
        sink.send_together(&self.location, Vec::new(), vec![Record::GroupMembership(membership)]);
    }
}

/// The distinct items of a cell.
fn list(cell: Option<&&str>) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for item in cell.copied().unwrap_or_default().split(SEPARATOR).map(str::trim).filter(|item| !item.is_empty()) {
        if !items.iter().any(|other| other == item) {
            items.push(item.to_owned());
        }
    }
    items
}
