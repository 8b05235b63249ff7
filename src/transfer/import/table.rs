//! The tables that an import writes, as data.
use super::{super::change_log::EventTarget, row};
use crate::{
    append,
    catalog::{artifact, collection, group, tag},
    db::{CellType, Sql, text},
};

/// Describes the import into one table. SQL fragments name the imported row `r` and the existing row with its key `e`.
pub(super) struct ImportTable {
    /// The name of its rows in the report.
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) event_target: EventTarget,
    /// Columns of the imported rows: the key, the other columns of the table, those in `compared`, and the row number `n`.
    pub(super) columns: &'static [(&'static str, CellType)],
    /// Number of columns of the key.
    pub(super) key_columns: usize,
    /// Expressions over `e` for the columns that are compared with the existing row and not written.
    pub(super) compared: &'static [&'static str],
    /// Further columns to insert, with their values.
    pub(super) derived: &'static [(&'static str, &'static str)],
    /// Joins for the values of `derived`.
    pub(super) joins: &'static str,
    /// Condition for a row `o` to have the same name as `r`; `None` if rows are identified by id only.
    pub(super) natural_key: Option<&'static str>,
    /// Conditions that reject a row, each with its reason.
    pub(super) rejections: &'static [(&'static str, &'static str)],
    /// Condition for `e` to have the id of `r` by coincidence: a derived id that another owner's row has.
    pub(super) is_foreign: Option<&'static str>,
    /// Queries for the owners of the objects that the row belongs to. The importing account must be the only one. They are
    /// evaluated only if the server has accounts.
    pub(super) owners: &'static [&'static str],
}

/// Rejects a row that exists and belongs to another account.
pub(super) const OTHER_OWNER: (&str, &str) =
    ("e.id is not null and e.owner_id is distinct from r.owner_id", "it belongs to another account");

/// The reason for rejecting a membership whose artifact may not be in the collection.
pub(super) const NOT_SHAREABLE: &str = "its artifact belongs to another account and is not public";

pub(super) const TAGS: ImportTable = ImportTable {
    kind: "tags",
    name: "tags",
    event_target: EventTarget::Object(tag::PREFIX),
    columns: row::TAG_COLUMNS,
    key_columns: 1,
    compared: &[],
    derived: &[("updated_at", "r.created_at")],
    joins: "",
    natural_key: Some("o.slug = r.slug"),
    rejections: &[(
        "exists (select 1 from tags o where o.slug = r.slug and o.id <> r.id)",
        "another tag has this slug",
    )],
    is_foreign: None,
    owners: &[],
};

pub(super) const ARTIFACTS: ImportTable = ImportTable {
    kind: "artifacts",
    name: "artifacts",
    event_target: EventTarget::Object(artifact::PREFIX),
    columns: row::ARTIFACT_COLUMNS,
    key_columns: 1,
    compared: &[
        "coalesce((select string_agg(t.slug, '\n' order by t.slug) from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = e.id), '')",
    ],
    derived: &[],
    joins: "",
    natural_key: Some("o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    rejections: &[
        OTHER_OWNER,
        (
            "exists (select 1 from artifacts o where o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another artifact has this type and name",
        ),
    ],
    is_foreign: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

pub(super) const VERSIONS: ImportTable = ImportTable {
    kind: "versions",
    name: "artifact_versions",
    event_target: EventTarget::Part(artifact::PREFIX, 1),
    columns: row::VERSION_COLUMNS,
    key_columns: 1,
    compared: &[],
    derived: &[],
    joins: "",
    natural_key: None,
    rejections: &[("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing")],
    is_foreign: Some("e.artifact_id <> r.artifact_id"),
    owners: &[
        "select a.owner_id from artifacts a where a.id = r.artifact_id",
        "select a.owner_id from artifacts a where a.id = e.artifact_id",
    ],
};

pub(super) const COLLECTIONS: ImportTable = ImportTable {
    kind: "collections",
    name: "collections",
    event_target: EventTarget::Object(collection::PREFIX),
    columns: row::COLLECTION_COLUMNS,
    key_columns: 1,
    compared: &[],
    derived: &[],
    joins: "",
    natural_key: Some("o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    rejections: &[
        OTHER_OWNER,
        (
            "exists (select 1 from collections o where o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another collection has this name",
        ),
    ],
    is_foreign: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

pub(super) const GROUPS: ImportTable = ImportTable {
    kind: "groups",
    name: "groups",
    event_target: EventTarget::Object(group::PREFIX),
    columns: row::GROUP_COLUMNS,
    key_columns: 1,
    compared: &[],
    derived: &[],
    joins: "",
    natural_key: Some("o.collection_id = r.collection_id and o.name = r.name"),
    rejections: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        (
            "exists (select 1 from groups o where o.collection_id = r.collection_id and o.name = r.name and o.id <> r.id)",
            "another group of the collection has this name",
        ),
    ],
    is_foreign: Some("e.collection_id <> r.collection_id"),
    owners: &[
        "select c.owner_id from collections c where c.id = r.collection_id",
        "select c.owner_id from collections c where c.id = e.collection_id",
    ],
};

pub(super) const MEMBERSHIPS: ImportTable = ImportTable {
    kind: "memberships",
    name: "collection_artifacts",
    event_target: EventTarget::Membership,
    columns: row::MEMBERSHIP_COLUMNS,
    key_columns: 2,
    compared: &[],
    derived: &[("artifact_type", "a.type"), ("artifact_name", "a.name")],
    joins: " join artifacts a on a.id = r.artifact_id",
    natural_key: None,
    rejections: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        ("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing"),
    ],
    is_foreign: None,
    owners: &["select c.owner_id from collections c where c.id = r.collection_id"],
};

pub(super) const GROUP_MEMBERSHIPS: ImportTable = ImportTable {
    kind: "group memberships",
    name: "group_artifacts",
    event_target: EventTarget::Part(group::PREFIX, 0),
    columns: row::GROUP_MEMBERSHIP_COLUMNS,
    key_columns: 2,
    compared: &[],
    derived: &[("collection_id", "g.collection_id")],
    joins: " join groups g on g.id = r.group_id",
    natural_key: None,
    rejections: &[
        ("not exists (select 1 from groups o where o.id = r.group_id)", "its group is missing"),
        (
            "not exists (select 1 from groups g join collection_artifacts o on o.collection_id = g.collection_id \
             where g.id = r.group_id and o.artifact_id = r.artifact_id)",
            "its artifact is not in the group's collection",
        ),
    ],
    is_foreign: None,
    owners: &["select c.owner_id from groups g join collections c on c.id = g.collection_id where g.id = r.group_id"],
};

/// All tables in the order of [`row::TableIndex`], each after those that it refers to.
pub(super) const TABLES: [&ImportTable; 7] =
    [&TAGS, &ARTIFACTS, &VERSIONS, &COLLECTIONS, &GROUPS, &MEMBERSHIPS, &GROUP_MEMBERSHIPS];

impl ImportTable {
    /// Columns that are written.
    pub(super) fn written(&self) -> &'static [(&'static str, CellType)] {
        &self.columns[..self.columns.len() - 1 - self.compared.len()]
    }

    /// Columns that an update sets.
    pub(super) fn updated(&self) -> impl Iterator<Item = &'static str> {
        let names = self.written().iter().skip(self.key_columns).map(|(name, _)| *name);
        names.filter(|name| !self.is_set_once(name))
    }

    /// Whether a column is set at insertion and never updated. Only versions take the time of creation from the source.
    fn is_set_once(&self, name: &str) -> bool {
        name == "created_at" && self.name != "artifact_versions"
    }

    /// Appends the columns of an insert.
    pub(super) fn push_inserted_columns(&self, sql: &mut Sql) {
        let written = self.written().iter().map(|(name, _)| *name);
        push_list(sql, "", written.chain(self.derived.iter().map(|(name, _)| *name)));
    }

    /// Appends the values of an insert, in the order of [`ImportTable::push_inserted_columns`].
    pub(super) fn push_inserted_values(&self, sql: &mut Sql) {
        push_list(sql, "r.", self.written().iter().map(|(name, _)| *name));
        for (_, value) in self.derived {
            append!(sql, ", {value}", value = text(value));
        }
    }

    /// Appends the assignments of an update, each after a comma.
    pub(super) fn push_assignments(&self, sql: &mut Sql) {
        for name in self.updated() {
            append!(sql, ", {column} = r.{column}", column = text(name));
        }
    }

    /// Appends the values of the imported row that are compared with those of the existing one.
    pub(super) fn push_imported_values(&self, sql: &mut Sql) {
        let compared = self.columns[self.written().len()..].iter().map(|(name, _)| *name);
        push_list(sql, "r.", self.updated().chain(compared.take(self.compared.len())));
    }

    /// Appends the values of the existing row, in the order of [`ImportTable::push_imported_values`].
    pub(super) fn push_existing_values(&self, sql: &mut Sql) {
        push_list(sql, "e.", self.updated());
        for expression in self.compared {
            append!(sql, ", {expression}", expression = text(expression));
        }
    }

    /// Appends the condition that `e` has the key of `r`.
    pub(super) fn push_key_condition(&self, sql: &mut Sql) {
        for (index, (name, _)) in self.key().iter().enumerate() {
            let and = if index > 0 { " and " } else { "" };
            append!(sql, "{and}e.{column} = r.{column}", and = text(and), column = text(name));
        }
    }

    /// Appends the columns of the key.
    pub(super) fn push_key(&self, sql: &mut Sql) {
        push_list(sql, "", self.key().iter().map(|(name, _)| *name));
    }

    /// Columns of the key.
    pub(super) fn key(&self) -> &'static [(&'static str, CellType)] {
        &self.columns[..self.key_columns]
    }
}

/// Appends a list of columns, each with `alias` before it.
fn push_list(sql: &mut Sql, alias: &'static str, names: impl Iterator<Item = &'static str>) {
    for (index, name) in names.enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        append!(sql, "{comma}{alias}{name}", comma = text(comma), alias = text(alias), name = text(name));
    }
}
