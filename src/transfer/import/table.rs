//! The tables of the catalogue, and how records get into them.
use super::super::told::Telling;
use crate::{
    catalog::{artifact, collection, group, tag},
    db::{
        CellType::{self, Id, Int, Text, Time as TimeCell},
        Sql,
    },
};

/// A table and how records get into it.
pub(super) struct Table {
    /// What its rows are called in the report.
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) telling: Telling,
    /// Columns of the row table; the first `keys` are the key. The last one numbers the rows.
    pub(super) columns: &'static [(&'static str, CellType)],
    pub(super) keys: usize,
    /// Columns that are compared and not written: how many stand before the number, and their values in the table.
    pub(super) compared: &'static [&'static str],
    /// Further columns to insert, with their values.
    pub(super) extra: &'static [(&'static str, &'static str)],
    /// Joins that the further values need.
    pub(super) joins: &'static str,
    /// How a row is known beside its id, in terms of another row `o`; nothing where the id is all.
    pub(super) natural_key: Option<&'static str>,
    /// Reasons to refuse a row `r`, of which `e` is the existing one.
    pub(super) refusals: &'static [(&'static str, &'static str)],
    /// That the row that is there under a derived id is not the one that this owner's record is about.
    pub(super) is_another: Option<&'static str>,
    /// What a row belongs to: each selects owners, of which the importing one must be the only one. Looked at only where there
    /// are accounts.
    pub(super) owners: &'static [&'static str],
}

/// The row is there and another account's.
pub(super) const FOREIGN: (&str, &str) =
    ("e.id is not null and e.owner_id is distinct from r.owner_id", "it belongs to another account");

/// The collection may not hold the artifact. Looked at only where there are accounts.
pub(super) const NOT_TO_BE_HELD: (&str, &str) = (
    "exists (select 1 from artifacts a join collections c on c.id = r.collection_id where a.id = r.artifact_id and not ",
    "its artifact is another account's and not public",
);

pub(super) const TAGS: Table = Table {
    kind: "tags",
    name: "tags",
    telling: Telling::Object(tag::PREFIX),
    columns: &[("id", Id), ("name", Text), ("slug", Text), ("color", Text), ("created_at", TimeCell), ("n", Int)],
    keys: 1,
    compared: &[],
    extra: &[("updated_at", "r.created_at")],
    joins: "",
    natural_key: Some("o.slug = r.slug"),
    refusals: &[("exists (select 1 from tags o where o.slug = r.slug and o.id <> r.id)", "another tag has this slug")],
    is_another: None,
    owners: &[],
};

pub(super) const ARTIFACTS: Table = Table {
    kind: "artifacts",
    name: "artifacts",
    telling: Telling::Object(artifact::PREFIX),
    columns: &[
        ("id", Id),
        ("type", Text),
        ("name", Text),
        ("description", Text),
        ("source", Text),
        ("author", Text),
        ("license", Text),
        ("version", Text),
        ("visibility", Text),
        ("metadata", Text),
        ("content", Text),
        ("owner_id", Id),
        ("created_at", TimeCell),
        ("updated_at", TimeCell),
        ("tags", Text),
        ("n", Int),
    ],
    keys: 1,
    compared: &[
        "coalesce((select string_agg(t.slug, '\n' order by t.slug) from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = e.id), '')",
    ],
    extra: &[],
    joins: "",
    natural_key: Some("o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    refusals: &[
        FOREIGN,
        (
            "exists (select 1 from artifacts o where o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another artifact has this type and name",
        ),
    ],
    is_another: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

pub(super) const VERSIONS: Table = Table {
    kind: "versions",
    name: "artifact_versions",
    telling: Telling::Part(artifact::PREFIX, 1),
    columns: &[
        ("id", Id),
        ("artifact_id", Id),
        ("version", Text),
        ("content_hash", Text),
        ("notes", Text),
        ("created_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: None,
    refusals: &[("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing")],
    is_another: Some("e.artifact_id <> r.artifact_id"),
    owners: &[
        "select a.owner_id from artifacts a where a.id = r.artifact_id",
        "select a.owner_id from artifacts a where a.id = e.artifact_id",
    ],
};

pub(super) const COLLECTIONS: Table = Table {
    kind: "collections",
    name: "collections",
    telling: Telling::Object(collection::PREFIX),
    columns: &[
        ("id", Id),
        ("name", Text),
        ("description", Text),
        ("kind", Text),
        ("color", Text),
        ("visibility", Text),
        ("owner_id", Id),
        ("created_at", TimeCell),
        ("updated_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: Some("o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    refusals: &[
        FOREIGN,
        (
            "exists (select 1 from collections o where o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another collection has this name",
        ),
    ],
    is_another: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

pub(super) const GROUPS: Table = Table {
    kind: "groups",
    name: "groups",
    telling: Telling::Object(group::PREFIX),
    columns: &[
        ("id", Id),
        ("collection_id", Id),
        ("name", Text),
        ("description", Text),
        ("color", Text),
        ("icon", Text),
        ("sort_key", Int),
        ("created_at", TimeCell),
        ("updated_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: Some("o.collection_id = r.collection_id and o.name = r.name"),
    refusals: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        (
            "exists (select 1 from groups o where o.collection_id = r.collection_id and o.name = r.name and o.id <> r.id)",
            "another group of the collection has this name",
        ),
    ],
    is_another: Some("e.collection_id <> r.collection_id"),
    owners: &[
        "select c.owner_id from collections c where c.id = r.collection_id",
        "select c.owner_id from collections c where c.id = e.collection_id",
    ],
};

pub(super) const MEMBERSHIPS: Table = Table {
    kind: "memberships",
    name: "collection_artifacts",
    telling: Telling::Member,
    columns: &[
        ("collection_id", Id),
        ("artifact_id", Id),
        ("sort_key", Int),
        ("status", Text),
        ("note", Text),
        ("added_at", TimeCell),
        ("n", Int),
    ],
    keys: 2,
    compared: &[],
    extra: &[("artifact_type", "a.type"), ("artifact_name", "a.name")],
    joins: " join artifacts a on a.id = r.artifact_id",
    natural_key: None,
    refusals: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        ("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing"),
    ],
    is_another: None,
    owners: &["select c.owner_id from collections c where c.id = r.collection_id"],
};

pub(super) const GROUP_MEMBERSHIPS: Table = Table {
    kind: "group memberships",
    name: "group_artifacts",
    telling: Telling::Part(group::PREFIX, 0),
    columns: &[("group_id", Id), ("artifact_id", Id), ("sort_key", Int), ("added_at", TimeCell), ("n", Int)],
    keys: 2,
    compared: &[],
    extra: &[("collection_id", "g.collection_id")],
    joins: " join groups g on g.id = r.group_id",
    natural_key: None,
    refusals: &[
        ("not exists (select 1 from groups o where o.id = r.group_id)", "its group is missing"),
        (
            "not exists (select 1 from groups g join collection_artifacts o on o.collection_id = g.collection_id \
             where g.id = r.group_id and o.artifact_id = r.artifact_id)",
            "its artifact is not in the group's collection",
        ),
    ],
    is_another: None,
    owners: &["select c.owner_id from groups g join collections c on c.id = g.collection_id where g.id = r.group_id"],
};

/// All tables, each after those that it refers to.
pub(super) const TABLES: [&Table; 7] =
    [&TAGS, &ARTIFACTS, &VERSIONS, &COLLECTIONS, &GROUPS, &MEMBERSHIPS, &GROUP_MEMBERSHIPS];

/// The place of artifacts among the tables.
pub(super) const ARTIFACTS_PLACE: usize = 1;

impl Table {
    /// Columns that are written.
    pub(super) fn written(&self) -> &'static [(&'static str, CellType)] {
        &self.columns[..self.columns.len() - 1 - self.compared.len()]
    }

    pub(super) fn names(&self, sql: &mut Sql, alias: &'static str) {
        for (place, (name, _)) in self.written().iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(alias).push(name);
        }
    }

    /// Values that decide whether a row is alike, of the existing one or of the record.
    pub(super) fn values(&self, sql: &mut Sql, alias: &'static str, is_existing: bool) {
        let written = self.written().iter().skip(self.keys).filter(|(name, _)| !is_creation(self, name));
        for (place, (name, _)) in written.enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(alias).push(name);
        }
        for (place, value) in self.compared.iter().enumerate() {
            let name = self.columns[self.written().len() + place].0;
            sql.push(", ");
            match is_existing {
                true => sql.push(value),
                false => sql.push(alias).push(name),
            };
        }
    }

    pub(super) fn key_is(&self, sql: &mut Sql) {
        for (place, (name, _)) in self.columns.iter().take(self.keys).enumerate() {
            sql.push(if place > 0 { " and e." } else { "e." }).push(name).push(" = r.").push(name);
        }
    }
}

/// The time of making is set once. The records of tags do not have it.
pub(super) fn is_creation(table: &Table, name: &str) -> bool {
    name == "created_at" && table.name != "artifact_versions"
}
