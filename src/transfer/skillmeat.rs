//! Reads a SkillMeat SQLite database of any release.
//!
//! All tables except `artifacts` and `collections`, and all columns, are optional. Rows of several projects with the same
//! type and name are one artifact, which takes its properties from its most recently synced membership. Tags are collected
//! from the three tables that store them. Tables, columns and values that have no place in the catalogue are reported.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use sqlx::{Column, ConnectOptions, Row, SqliteConnection, ValueRef, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use super::{
    Notice, NoticeKind, Record, RecordSink,
    record::{self, derived_id},
    send_checked, time as times,
};
use crate::{
    catalog::{Visibility, rules},
    db::Time,
};

/// The records of a database, each after those that it refers to, with their locations.
pub(super) struct Records {
    notices: Vec<Notice>,
    records: Vec<(String, Result<Record, String>)>,
}

impl Records {
    /// Sends all records to `sink`.
    pub(super) fn send(self, sink: &mut RecordSink<'_>) -> Result<()> {
        self.notices.into_iter().for_each(|notice| sink.notice(notice));
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
    ensure!(!tables.is_gatherum, "{} is a database of gatherum: use `gatherum export`", path.display());
    if let Some(missing) = tables.missing_column() {
        bail!("{} is not a SkillMeat database: it has no {missing}", path.display());
    }
    Ok(Builder::new(&tables).build())
}

/// The values of a row by column.
type Fields = HashMap<String, Value>;

/// All rows of the tables that are imported.
struct Tables {
    all: HashMap<&'static str, Vec<Fields>>,
    /// Columns of all tables that are imported.
    columns: HashMap<&'static str, Vec<String>>,
    /// Other tables with their numbers of rows.
    others: Vec<(String, i64)>,
    is_gatherum: bool,
}

/// The tables that are imported, each with the columns that are read or that other columns make redundant.
const TABLES: [(&str, &[&str]); 9] = [
    ("tags", &["id", "name", "slug", "color", "created_at", "updated_at"]),
    (
        "artifacts",
        &[
            "id",
            "uuid",
            "project_id",
            "name",
            "type",
            "source",
            "deployed_version",
            "upstream_version",
            "path_pattern",
            "category",
            "content",
            "core_content",
            "description",
            "target_platforms",
            "created_at",
            "updated_at",
            "visibility",
        ],
    ),
    ("artifact_tags", &["artifact_uuid", "artifact_id", "tag_id", "created_at"]),
    (
        "artifact_metadata",
        &[
            "id",
            "artifact_uuid",
            "artifact_id",
            "metadata",
            "description",
            "tags",
            "aliases",
            "created_at",
            "updated_at",
        ],
    ),
    ("artifact_versions", &["id", "artifact_uuid", "artifact_id", "content_hash", "change_origin", "created_at"]),
    (
        "collections",
        &["id", "name", "description", "collection_type", "context_category", "created_at", "updated_at", "visibility"],
    ),
    (
        "collection_artifacts",
        &[
            "collection_id",
            "artifact_uuid",
            "artifact_id",
            "added_at",
            "description",
            "author",
            "license",
            "tags_json",
            "tools_json",
            "version",
            "source",
            "origin",
            "synced_at",
        ],
    ),
    (
        "groups",
        &["id", "collection_id", "name", "description", "color", "icon", "position", "created_at", "updated_at"],
    ),
    ("group_artifacts", &["group_id", "artifact_uuid", "artifact_id", "position", "added_at"]),
];

/// Columns without which a database is not SkillMeat's.
const REQUIRED: [(&str, &[&str]); 2] = [("artifacts", &["id", "name", "type"]), ("collections", &["id", "name"])];

/// Tables of SQLite and of migrations, which have no data of the catalogue.
const INTERNAL_TABLES: [&str; 2] = ["alembic_version", "sqlite_sequence"];

impl Tables {
    async fn read(path: &Path, immutable: bool) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(immutable);
        let mut connection = options.disable_statement_logging().connect().await?;
        // Full-text indexes repeat the data of other tables, in virtual tables and tables whose names start with theirs.
        let mut names: Vec<String> = sqlx::query_scalar(
            "select t.name
             from sqlite_master t
             where t.type = 'table' and not exists (
                 select 1
                 from sqlite_master v
                 where v.sql like 'create virtual table%' and (t.name = v.name or t.name like v.name || '\\_%' escape '\\')
             )
             order by t.name",
        )
        .fetch_all(&mut connection)
        .await?;
        let is_gatherum =
            ["_sqlx_migrations", "collection_counts"].iter().all(|own| names.iter().any(|name| name == own));
        let mut tables = Self { all: HashMap::new(), columns: HashMap::new(), others: Vec::new(), is_gatherum };
        for (table, _) in TABLES.into_iter().filter(|(table, _)| names.iter().any(|name| name == table)) {
            tables.columns.insert(table, columns(&mut connection, table).await?);
            tables.all.insert(table, rows(&mut connection, table).await?);
        }
        names
            .retain(|name| !TABLES.iter().any(|(table, _)| name == table) && !INTERNAL_TABLES.contains(&name.as_str()));
        for name in names {
            let count = count(&mut connection, &name).await?;
            tables.others.push((name, count));
        }
        Ok(tables)
    }

    fn rows(&self, table: &str) -> &[Fields] {
        self.all.get(table).map_or(&[], Vec::as_slice)
    }

    /// A required table or column that is missing.
    fn missing_column(&self) -> Option<String> {
        for (table, required) in REQUIRED {
            let Some(columns) = self.columns.get(table) else { return Some(format!("table {table}")) };
            let is_missing = |name: &&&str| !columns.iter().any(|column| column == **name);
            if let Some(column) = required.iter().find(is_missing) {
                return Some(format!("column {table}.{column}"));
            }
        }
        None
    }

    /// Reports the tables, columns and values that have no place in the catalogue.
    fn notices(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut report = |location: String, text: String| {
            notices.push(Notice::new(NoticeKind::NotStored, location, text));
        };
        for (table, used) in TABLES {
            for column in
                self.columns.get(table).into_iter().flatten().filter(|column| !used.contains(&column.as_str()))
            {
                let count = self.rows(table).iter().filter(|row| text(row, column).is_some()).count();
                if count > 0 {
                    report(format!("{table}.{column}"), format!("the column is not imported; values: {count}"));
                }
            }
            for row in self.rows(table) {
                for (column, reason) in unreadable_values(row) {
                    report(format!("{table} {}", key(row)), format!("{column} {reason}"));
                }
            }
        }
        for (table, count) in self.others.iter().filter(|(_, count)| *count > 0) {
            report(table.clone(), format!("the table is not imported; rows: {count}"));
        }
        notices
    }
}

/// The columns of a row whose values cannot be converted, each with the reason.
fn unreadable_values(row: &Fields) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for column in ["created_at", "updated_at", "added_at", "synced_at"] {
        if let Some(value) = text(row, column).filter(|_| time(row, column).is_none()) {
            found.push((column, format!("is not a time: `{value}`")));
        }
    }
    for column in ["tags_json", "tools_json", "target_platforms", "metadata"] {
        if text(row, column).is_some() && json(row, column).is_none() {
            found.push((column, "is not JSON".to_owned()));
        }
    }
    if let Some(value) = text(row, "visibility").filter(|value| !VISIBILITIES.contains(&value.as_str())) {
        found.push(("visibility", format!("`{value}` is unknown: it is PRIVATE")));
    }
    found
}

/// The id of a row, or else the ids of the rows that it connects.
fn key(row: &Fields) -> String {
    const OWNERS: [&str; 4] = ["collection_id", "group_id", "artifact_uuid", "artifact_id"];
    text(row, "id")
        .unwrap_or_else(|| OWNERS.iter().filter_map(|column| text(row, column)).collect::<Vec<_>>().join(" "))
}

async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("select name from pragma_table_info($1)").bind(table).fetch_all(connection).await?)
}

async fn count(connection: &mut SqliteConnection, table: &str) -> Result<i64> {
    let sql = format!("select count(*) from \"{}\"", table.replace('"', "\"\""));
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?)
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

/// The slug of a tag. SkillMeat leaves signs out of the slugs that it derives from names; ours have them.
fn tag_slug(row: &Fields) -> String {
    let name = text(row, "name").unwrap_or_default();
    let is_derived = |slug: &String| *slug == rules::earlier_slug_of(&name);
    text(row, "slug").filter(|slug| !is_derived(slug)).unwrap_or_else(|| rules::slug_of(&name))
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

fn time(row: &Fields, name: &str) -> Option<Time> {
    times::parse(&text(row, name)?)
}

fn json(row: &Fields, name: &str) -> Option<Value> {
    serde_json::from_str(&text(row, name)?).ok()
}

/// Values of visibility that correspond to those of the catalogue.
const VISIBILITIES: [&str; 3] = ["private", "unlisted", "public"];

fn visibility(row: &Fields) -> Visibility {
    let word = text(row, "visibility").filter(|word| VISIBILITIES.contains(&word.as_str()));
    word.and_then(|word| Visibility::parse(&word.to_uppercase())).unwrap_or(Visibility::Private)
}

/// SkillMeat's type of a collection and its category, such as `context/rules`.
fn collection_kind(row: &Fields) -> Option<String> {
    match (text(row, "collection_type"), text(row, "context_category")) {
        (Some(kind), Some(category)) => Some(format!("{kind}/{category}")),
        (kind, category) => kind.or(category),
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
    notices: Vec<Notice>,
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
            notices: tables.notices(),
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
        Records { notices: self.notices, records: self.records }
    }

    fn push(&mut self, location: String, record: Record) {
        self.records.push((location, Ok(record)));
    }

    fn reject(&mut self, location: String, reason: &str) {
        self.records.push((location, Err(reason.to_owned())));
    }

    fn not_stored(&mut self, location: String, text: impl Into<String>) {
        self.notices.push(Notice::new(NoticeKind::NotStored, location, text));
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
        if name.trim().is_empty() {
            return;
        }
        let slug = match record::Tag::named(name) {
            Ok(tag) => tag.slug,
            Err(reason) => return self.not_stored(format!("tag {name}"), reason),
        };
        self.tags.entry(slug.clone()).or_insert_with(|| name.trim().to_owned());
        self.artifact_tags.entry(artifact).or_default().insert(slug);
    }

    fn collect_tags(&mut self) {
        let tables = self.tables;
        let mut slugs: HashMap<String, String> = HashMap::new();
        for row in tables.rows("tags") {
            let name = text(row, "name").unwrap_or_default();
            let slug = tag_slug(row);
            self.tags.insert(slug.clone(), name);
            slugs.extend(text(row, "id").map(|id| (id, slug)));
        }
        for row in tables.rows("artifact_tags") {
            match (self.artifact_of(row), text(row, "tag_id").and_then(|id| slugs.get(&id))) {
                (Some(artifact), Some(slug)) => {
                    self.artifact_tags.entry(artifact).or_default().insert(slug.clone());
                }
                _ => self.not_stored(format!("artifact_tags {}", key(row)), "its artifact or tag is missing"),
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
        let rows = self.tables.rows("tags").iter().filter(|row| text(row, "slug").is_some());
        let rows: HashMap<String, &Fields> = rows.map(|row| (tag_slug(row), row)).collect();
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
            let others =
                rows[1..].iter().filter(|row| text(row, "content").is_some_and(|text| Some(text) != content(rows[0])));
            let others = others.count();
            if others > 0 {
                let text = format!("other projects have other contents, which are not imported: {others}");
                self.not_stored(format!("artifacts {}", key(rows[0])), text);
            }
            let member = latest.get(id).map_or(&empty, |(_, row)| row);
            let extra = extra.get(id).copied().unwrap_or(&empty);
            let artifact = artifact(*id, rows[0], member, extra, self.artifact_tags.get(id));
            self.push(format!("artifacts {}", artifact.name), Record::Artifact(Box::new(artifact)));
        }
    }

    fn versions(&mut self) {
        for row in self.tables.rows("artifact_versions") {
            let Some(artifact) = self.artifact_of(row) else {
                self.reject(format!("artifact_versions {}", key(row)), "its artifact is missing");
                continue;
            };
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
                kind: collection_kind(row),
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
                _ => dangling.push((
                    format!("collection_artifacts {}", key(row)),
                    Err("its collection or artifact is missing".to_owned()),
                )),
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
            match text(row, "collection_id").and_then(|key| self.collections.get(&key).copied()) {
                Some(collection) => by_collection.entry(collection).or_default().push(row),
                None => self.reject(format!("groups {}", key(row)), "its collection is missing"),
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
            let (Some((group, collection)), Some(artifact)) = (group, self.artifact_of(row)) else {
                self.reject(format!("group_artifacts {}", key(row)), "its group or artifact is missing");
                continue;
            };
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
        version: text(member, "version")
            .or_else(|| text(row, "deployed_version"))
            .or_else(|| text(row, "upstream_version")),
        visibility: visibility(row),
        tags: tags.into_iter().flatten().cloned().collect(),
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        content: content(row),
        created_at,
        updated_at: time(row, "updated_at").unwrap_or(created_at),
        ..record::Artifact::default()
    }
}

fn content(row: &Fields) -> Option<String> {
    text(row, "content").or_else(|| text(row, "core_content"))
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
