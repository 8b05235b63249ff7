//! Reads a SkillMeat SQLite database of any release.
//!
//! All tables except `artifacts` and `collections`, and all columns, are optional. Rows of several projects with the same
//! type and name are one artifact, which takes its properties from its most recently synced membership. Tags are collected
//! from the three tables that store them.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use sqlx::{Column, ConnectOptions, Row, SqliteConnection, ValueRef, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use super::{
    Record, RecordSink,
    record::{self, derived_id},
    send_checked,
};
use crate::{
    catalog::{Visibility, rules},
    db::Time,
};

/// The records of a database, each after those that it refers to, with their locations.
pub(super) struct Records {
    records: Vec<(String, Result<Record, String>)>,
}

impl Records {
    /// Sends all records to `sink`.
    pub(super) fn send(self, sink: &mut RecordSink<'_>) -> Result<()> {
        for (location, record) in self.records {
            if !send_checked(sink, &location, record) {
                break;
            }
        }
        Ok(())
    }
}

/// Reads a database, which is opened read-only.
pub(super) async fn read(path: &Path) -> Result<Records> {
    ensure!(path.is_file(), "{} is not a file", path.display());
    let tables = match Tables::read(path, false).await {
        Ok(tables) => tables,
        // Opening a database in WAL mode needs write access to its folder, unless the file is declared immutable.
        Err(_) => Tables::read(path, true).await.with_context(|| format!("cannot read {}", path.display()))?,
    };
    ensure!(
        tables.all.contains_key("artifacts") && tables.all.contains_key("collections"),
        "{} is not a SkillMeat database: it has no tables artifacts and collections",
        path.display()
    );
    Ok(Builder::new(&tables).build())
}

/// The values of a row by column.
type Fields = HashMap<String, Value>;

/// All rows of the tables that are imported.
struct Tables {
    all: HashMap<&'static str, Vec<Fields>>,
}

const TABLES: [&str; 9] = [
    "tags",
    "artifacts",
    "artifact_tags",
    "artifact_metadata",
    "artifact_versions",
    "collections",
    "collection_artifacts",
    "groups",
    "group_artifacts",
];

impl Tables {
    async fn read(path: &Path, immutable: bool) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(immutable);
        let mut connection = options.disable_statement_logging().connect().await?;
        let names: Vec<String> = sqlx::query_scalar("select name from sqlite_master where type = 'table'")
            .fetch_all(&mut connection)
            .await?;
        let mut all = HashMap::new();
        for table in TABLES.into_iter().filter(|table| names.iter().any(|name| name == table)) {
            all.insert(table, rows(&mut connection, table).await?);
        }
        Ok(Self { all })
    }

    fn rows(&self, table: &str) -> &[Fields] {
        self.all.get(table).map_or(&[], Vec::as_slice)
    }
}

async fn rows(connection: &mut SqliteConnection, table: &'static str) -> Result<Vec<Fields>> {
    let sql = format!("select * from \"{table}\"");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows
        .iter()
        .map(|row| row.columns().iter().map(|column| (column.name().to_owned(), cell(row, column))).collect())
        .collect())
}

fn cell(row: &sqlx::sqlite::SqliteRow, column: &sqlx::sqlite::SqliteColumn) -> Value {
    let index = column.ordinal();
    if row.try_get_raw(index).is_ok_and(|value| value.is_null()) {
        return Value::Null;
    }
    if let Ok(text) = row.try_get_unchecked::<String, _>(index) {
        return text.into();
    }
    row.try_get_unchecked::<i64, _>(index).map_or(Value::Null, Value::from)
}

fn text(row: &Fields, name: &str) -> Option<String> {
    match row.get(name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(row: &Fields, name: &str) -> i64 {
    text(row, name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Parses a time in UTC, such as `2026-01-31 12:00:00.000000` or `2026-01-31T12:00:00`.
fn time(row: &Fields, name: &str) -> Option<Time> {
    let text = text(row, name)?;
    let text = text.trim().replace(' ', "T");
    Time::parse(&text).or_else(|| Time::parse(&format!("{text}Z")))
}

fn json(row: &Fields, name: &str) -> Option<Value> {
    serde_json::from_str(&text(row, name)?).ok()
}

fn visibility(row: &Fields) -> Visibility {
    match text(row, "visibility").as_deref() {
        Some("public") => Visibility::Public,
        _ => Visibility::Private,
    }
}

/// Parses an id of SkillMeat as a UUID, or derives a UUID from it.
fn uuid(kind: &str, text: &str) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(id) => id,
        Err(_) => derived_id(&format!("skillmeat {kind}"), text),
    }
}

/// Converts tables to records.
struct Builder<'t> {
    tables: &'t Tables,
    records: Vec<(String, Result<Record, String>)>,
    /// Artifacts by `id` and `uuid`, as other tables refer to either.
    artifacts: HashMap<String, Uuid>,
    /// Names of tags by slug; the first name of a slug is used.
    tags: BTreeMap<String, String>,
    artifact_tags: HashMap<Uuid, BTreeSet<String>>,
    collections: HashMap<String, Uuid>,
    members: HashSet<(Uuid, Uuid)>,
}

impl<'t> Builder<'t> {
    fn new(tables: &'t Tables) -> Self {
        Self {
            tables,
            records: Vec::new(),
            artifacts: HashMap::new(),
            tags: BTreeMap::new(),
            artifact_tags: HashMap::new(),
            collections: HashMap::new(),
            members: HashSet::new(),
        }
    }

    fn build(mut self) -> Records {
        let groups = self.group_by_name();
        self.collect_tags();
        self.tags();
        self.artifacts(&groups);
        self.versions();
        self.collections();
        self.groups();
        Records { records: self.records }
    }

    fn push(&mut self, location: String, record: Record) {
        self.records.push((location, Ok(record)));
    }

    /// Groups the rows of each artifact, which have the same type and name. The id is that of the first row of the global
    /// project, or else of the first row.
    fn group_by_name(&mut self) -> Vec<(Uuid, Vec<&'t Fields>)> {
        let mut by_name: BTreeMap<(String, String), Vec<&'t Fields>> = BTreeMap::new();
        for row in self.tables.rows("artifacts") {
            let kind = text(row, "type").unwrap_or_default().replace('-', "_");
            by_name.entry((kind, text(row, "name").unwrap_or_default())).or_default().push(row);
        }
        let mut groups = Vec::new();
        for ((kind, name), mut rows) in by_name {
            rows.sort_by_key(|row| text(row, "project_id").as_deref() != Some("collection_artifacts_global"));
            let key = text(rows[0], "uuid").or_else(|| text(rows[0], "id")).unwrap_or_else(|| format!("{kind}:{name}"));
            let id = uuid("artifact", &key);
            for row in &rows {
                for column in ["uuid", "id"] {
                    if let Some(key) = text(row, column) {
                        self.artifacts.entry(key).or_insert(id);
                    }
                }
            }
            groups.push((id, rows));
        }
        groups
    }

    fn artifact_of(&self, row: &Fields) -> Option<Uuid> {
        ["artifact_uuid", "artifact_id"].iter().find_map(|column| self.artifacts.get(&text(row, column)?).copied())
    }

    fn tag(&mut self, artifact: Uuid, name: &str) {
        let slug = rules::slug_of(name);
        if slug.is_empty() {
            return;
        }
        self.tags.entry(slug.clone()).or_insert_with(|| name.trim().to_owned());
        self.artifact_tags.entry(artifact).or_default().insert(slug);
    }

    fn collect_tags(&mut self) {
        let tables = self.tables;
        let mut slugs: HashMap<String, String> = HashMap::new();
        for row in tables.rows("tags") {
            let name = text(row, "name").unwrap_or_default();
            let slug = text(row, "slug").unwrap_or_else(|| rules::slug_of(&name));
            self.tags.insert(slug.clone(), name);
            slugs.extend(text(row, "id").map(|id| (id, slug)));
        }
        for row in tables.rows("artifact_tags") {
            if let (Some(artifact), Some(slug)) =
                (self.artifact_of(row), text(row, "tag_id").and_then(|id| slugs.get(&id)))
            {
                self.artifact_tags.entry(artifact).or_default().insert(slug.clone());
            }
        }
        for row in tables.rows("collection_artifacts") {
            if let (Some(artifact), Some(Value::Array(names))) = (self.artifact_of(row), json(row, "tags_json")) {
                names.iter().filter_map(Value::as_str).for_each(|name| self.tag(artifact, name));
            }
        }
        for row in tables.rows("artifact_metadata") {
            if let (Some(artifact), Some(names)) = (self.artifact_of(row), text(row, "tags")) {
                names.split(',').for_each(|name| self.tag(artifact, name));
            }
        }
    }

    fn tags(&mut self) {
        let rows: HashMap<String, &Fields> =
            self.tables.rows("tags").iter().filter_map(|row| Some((text(row, "slug")?, row))).collect();
        for (slug, name) in self.tags.clone() {
            let row = rows.get(&slug);
            let id = row.and_then(|row| text(row, "id"));
            let id = id.map_or_else(|| derived_id("tag", &slug), |id| uuid("tag", &id));
            let color = row.and_then(|row| text(row, "color"));
            self.push(format!("tags {slug}"), Record::Tag(record::Tag { id, name, slug, color }));
        }
    }

    fn artifacts(&mut self, groups: &[(Uuid, Vec<&'t Fields>)]) {
        let mut latest: HashMap<Uuid, (Option<Time>, &Fields)> = HashMap::new();
        for row in self.tables.rows("collection_artifacts") {
            let Some(id) = self.artifact_of(row) else { continue };
            let synced = time(row, "synced_at").or_else(|| time(row, "added_at"));
            if latest.get(&id).is_none_or(|(time, _)| *time < synced) {
                latest.insert(id, (synced, row));
            }
        }
        let mut extra: HashMap<Uuid, &Fields> = HashMap::new();
        for row in self.tables.rows("artifact_metadata") {
            extra.extend(self.artifact_of(row).map(|id| (id, row)));
        }
        let empty = Fields::new();
        for (id, rows) in groups {
            let member = latest.get(id).map_or(&empty, |(_, row)| row);
            let extra = extra.get(id).copied().unwrap_or(&empty);
            let artifact = artifact(*id, rows[0], member, extra, self.artifact_tags.get(id));
            self.push(format!("artifacts {}", artifact.name), Record::Artifact(Box::new(artifact)));
        }
    }

    fn versions(&mut self) {
        for row in self.tables.rows("artifact_versions") {
            let Some(artifact) = self.artifact_of(row) else { continue };
            let hash = text(row, "content_hash");
            let key = text(row, "id").or_else(|| hash.clone()).unwrap_or_default();
            const LABEL_LENGTH: usize = 12;
            let label = hash.as_deref().map(|hash| hash.chars().take(LABEL_LENGTH).collect());
            let version = record::Version {
                id: uuid("version", &key),
                artifact,
                version: label.unwrap_or_else(|| "unknown".to_owned()),
                content_hash: hash,
                notes: text(row, "change_origin"),
                created_at: time(row, "created_at").unwrap_or(Time(0)),
            };
            self.push(format!("artifact_versions {key}"), Record::Version(version));
        }
    }

    fn collections(&mut self) {
        let mut names: HashSet<String> = HashSet::new();
        let mut rows: Vec<&Fields> = self.tables.rows("collections").iter().collect();
        rows.sort_by_key(|row| (time(row, "created_at"), text(row, "id")));
        for row in rows {
            let key = text(row, "id").unwrap_or_default();
            let id = uuid("collection", &key);
            self.collections.insert(key.clone(), id);
            let name = unique(&text(row, "name").unwrap_or_default(), &mut names);
            let created_at = time(row, "created_at").unwrap_or(Time(0));
            let collection = record::Collection {
                id,
                name,
                description: text(row, "description"),
                kind: text(row, "context_category").or_else(|| text(row, "collection_type")),
                color: None,
                visibility: visibility(row),
                created_at,
                updated_at: time(row, "updated_at").unwrap_or(created_at),
            };
            self.push(format!("collections {key}"), Record::Collection(collection));
        }
        self.memberships();
    }

    /// SkillMeat does not order memberships. They are sorted by the time at which they were added, then by name.
    fn memberships(&mut self) {
        let names: HashMap<Uuid, String> = self
            .tables
            .rows("artifacts")
            .iter()
            .filter_map(|row| Some((self.artifact_key(row)?, text(row, "name")?)))
            .collect();
        let mut by_collection: BTreeMap<Uuid, Vec<(Option<Time>, String, Uuid)>> = BTreeMap::new();
        let mut dangling = Vec::new();
        for row in self.tables.rows("collection_artifacts") {
            let collection = text(row, "collection_id").and_then(|key| self.collections.get(&key).copied());
            match (collection, self.artifact_of(row)) {
                (Some(collection), Some(artifact)) => {
                    if self.members.insert((collection, artifact)) {
                        let name = names.get(&artifact).cloned().unwrap_or_default();
                        by_collection.entry(collection).or_default().push((time(row, "added_at"), name, artifact));
                    }
                }
                _ => dangling
                    .push(("collection_artifacts".to_owned(), Err("its collection or artifact is missing".to_owned()))),
            }
        }
        self.records.extend(dangling);
        for (collection, mut members) in by_collection {
            members.sort();
            for (position, (added_at, name, artifact)) in members.into_iter().enumerate() {
                let membership = record::Membership {
                    collection,
                    artifact,
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    status: None,
                    note: None,
                    added_at: added_at.unwrap_or(Time(0)),
                };
                self.push(format!("collection_artifacts {name}"), Record::Membership(membership));
            }
        }
    }

    fn artifact_key(&self, row: &Fields) -> Option<Uuid> {
        ["uuid", "id"].iter().find_map(|column| self.artifacts.get(&text(row, column)?).copied())
    }

    fn groups(&mut self) {
        let mut groups: HashMap<String, (Uuid, Uuid)> = HashMap::new();
        let mut by_collection: BTreeMap<Uuid, Vec<&Fields>> = BTreeMap::new();
        for row in self.tables.rows("groups") {
            if let Some(collection) = text(row, "collection_id").and_then(|key| self.collections.get(&key).copied()) {
                by_collection.entry(collection).or_default().push(row);
            }
        }
        for (collection, mut rows) in by_collection {
            rows.sort_by_key(|row| (number(row, "position"), text(row, "name")));
            for (position, row) in rows.into_iter().enumerate() {
                let key = text(row, "id").unwrap_or_default();
                let id = uuid("group", &key);
                groups.insert(key.clone(), (id, collection));
                let created_at = time(row, "created_at").unwrap_or(Time(0));
                let group = record::Group {
                    id,
                    collection,
                    name: text(row, "name").unwrap_or_default(),
                    description: text(row, "description"),
                    color: text(row, "color"),
                    icon: text(row, "icon"),
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    created_at,
                    updated_at: time(row, "updated_at").unwrap_or(created_at),
                };
                self.push(format!("groups {key}"), Record::Group(group));
            }
        }
        self.group_members(&groups);
    }

    fn group_members(&mut self, groups: &HashMap<String, (Uuid, Uuid)>) {
        let mut by_group: BTreeMap<Uuid, Vec<(i64, Uuid, Option<Time>)>> = BTreeMap::new();
        let mut missing = Vec::new();
        for row in self.tables.rows("group_artifacts") {
            let group = text(row, "group_id").and_then(|key| groups.get(&key).copied());
            let (Some((group, collection)), Some(artifact)) = (group, self.artifact_of(row)) else { continue };
            let added_at = time(row, "added_at");
            // A group may only contain members of its collection: others are added to the collection first.
            if self.members.insert((collection, artifact)) {
                missing.push((collection, artifact, added_at));
            }
            by_group.entry(group).or_default().push((number(row, "position"), artifact, added_at));
        }
        let mut positions: HashMap<Uuid, u32> = HashMap::new();
        for (collection, _) in &self.members {
            *positions.entry(*collection).or_default() += 1;
        }
        for (collection, artifact, added_at) in missing {
            let position = positions.entry(collection).or_default();
            let membership = record::Membership {
                collection,
                artifact,
                position: *position,
                status: None,
                note: None,
                added_at: added_at.unwrap_or(Time(0)),
            };
            *position += 1;
            self.push("group_artifacts".to_owned(), Record::Membership(membership));
        }
        for (group, mut members) in by_group {
            members.sort();
            members.dedup_by_key(|(_, artifact, _)| *artifact);
            for (position, (_, artifact, added_at)) in members.into_iter().enumerate() {
                let membership = record::GroupMembership {
                    group,
                    artifact,
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    added_at: added_at.unwrap_or(Time(0)),
                };
                self.push("group_artifacts".to_owned(), Record::GroupMembership(membership));
            }
        }
    }
}

fn artifact(
    id: Uuid,
    row: &Fields,
    member: &Fields,
    extra: &Fields,
    tags: Option<&BTreeSet<String>>,
) -> record::Artifact {
    let created_at = time(row, "created_at").unwrap_or(Time(0));
    let mut metadata = match json(extra, "metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    for (name, value) in [
        ("tools", json(member, "tools_json")),
        ("platforms", json(row, "target_platforms")),
        ("origin", text(member, "origin").map(Value::from)),
        ("category", text(row, "category").map(Value::from)),
        ("pathPattern", text(row, "path_pattern").map(Value::from)),
        ("aliases", text(extra, "aliases").map(Value::from)),
    ] {
        if let Some(value) = value {
            metadata.entry(name).or_insert(value);
        }
    }
    record::Artifact {
        id,
        kind: text(row, "type").unwrap_or_default().replace('-', "_"),
        name: text(row, "name").unwrap_or_default(),
        description: text(member, "description")
            .or_else(|| text(row, "description"))
            .or_else(|| text(extra, "description")),
        source: text(member, "source").or_else(|| text(row, "source")),
        author: text(member, "author"),
        license: text(member, "license"),
        homepage: None,
        version: text(member, "version")
            .or_else(|| text(row, "deployed_version"))
            .or_else(|| text(row, "upstream_version")),
        visibility: visibility(row),
        tags: tags.into_iter().flatten().cloned().collect(),
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        content: text(row, "content").or_else(|| text(row, "core_content")),
        created_at,
        updated_at: time(row, "updated_at").unwrap_or(created_at),
    }
}

/// A unique name: with ` (2)`, ` (3)` … appended if it is taken.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let candidates = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name} ({n})")));
    for candidate in candidates {
        if taken.insert(candidate.clone()) {
            return candidate;
        }
    }
    name.to_owned()
}
