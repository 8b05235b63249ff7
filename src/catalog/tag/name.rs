//! Tags as inputs name them: they are created on first use, and linked to artifacts.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::TagValues;
use crate::{
    append,
    catalog::{
        input::TAGS_MAX,
        rules::{self, TAG_NAME_MAX},
    },
    db::{Record, Row, RowTable, Sql, Table, in_texts},
    error::{Error, Result},
    graphql::Write,
    row_table, statement,
};

/// A tag as an input names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagName {
    /// The trimmed text: the name of a new tag, or the slug of an existing one.
    pub given: String,
    pub(super) slug: String,
    /// The slug that an earlier release may have given to the tag.
    earlier_slug: String,
}

impl TagName {
    /// The tag with this name or slug.
    pub fn new(given: String) -> Self {
        Self { slug: rules::slug_of(&given), earlier_slug: rules::earlier_slug_of(&given), given }
    }
}

/// An existing tag.
#[derive(Clone, Debug)]
pub struct KnownTag {
    id: Uuid,
    name: String,
    /// The slug.
    pub slug: String,
}

impl Record for KnownTag {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self { id: row.next()?, name: row.next()?, slug: row.next()? })
    }
}

impl KnownTag {
    /// Whether an earlier release gave the tag a slug that now belongs to another name, as it gave `c` to `C++`.
    fn has_slug_of_another(&self) -> bool {
        self.slug != rules::slug_of(&self.name) && self.slug == rules::earlier_slug_of(&self.name)
    }
}

/// The existing tags that names may mean, by slug.
#[derive(Debug, Default)]
pub struct KnownTags(HashMap<String, KnownTag>);

impl KnownTags {
    /// Appends the statement that reads the tags that the names may mean, as [`KnownTag`]s.
    pub fn append_select<'n>(names: impl Iterator<Item = &'n TagName>, sql: &mut Sql) {
        let slugs: BTreeSet<String> = names
            .flat_map(|tag| {
                [tag.given.clone(), tag.slug.clone(), tag.earlier_slug.clone(), rules::second_slug(&tag.slug)]
            })
            .collect();
        let slugs: Vec<String> = slugs.into_iter().collect();
        append!(sql, "select t.id, t.name, t.slug from tags t where t.slug {slugs}", slugs = in_texts(&slugs));
    }

    /// The tags that were read.
    pub fn of(tags: Vec<KnownTag>) -> Self {
        Self(tags.into_iter().map(|tag| (tag.slug.clone(), tag)).collect())
    }

    /// The tag that a name means: one with this slug before one with the slug of this name.
    pub fn find(&self, name: &TagName) -> Option<&KnownTag> {
        let is_same = |tag: &&KnownTag| rules::slug_of(&tag.name) == name.slug;
        let own = self.0.get(&name.slug).filter(|tag| !tag.has_slug_of_another() || is_same(tag));
        let given = self.0.get(&name.given).filter(|_| name.given != name.slug || own.is_none());
        let second = || self.0.get(&rules::second_slug(&name.slug)).filter(is_same);
        let earlier = || self.0.get(&name.earlier_slug).filter(is_same);
        given.or(own).or_else(second).or_else(earlier)
    }

    /// The slug for a new tag with this name, for which [`KnownTags::find`] found none.
    pub fn free_slug(&self, name: &TagName) -> String {
        if self.0.contains_key(&name.slug) { rules::second_slug(&name.slug) } else { name.slug.clone() }
    }
}

/// The tags that an input names, each once.
///
/// # Errors
/// `BAD_USER_INPUT` for too many, or an invalid name.
pub fn tag_names(field: &'static str, names: &[String]) -> Result<Vec<TagName>> {
    if names.len() > TAGS_MAX {
        let message = format!("`{field}` has {} tags; the maximum is {TAGS_MAX}", names.len());
        return Err(Error::bad_user_input(message).in_field(field));
    }
    let mut seen = HashSet::new();
    let mut tags = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let given =
            rules::name(name, TAG_NAME_MAX).map_err(|reason| Error::bad_user_input(reason).at_index(field, index))?;
        let tag = TagName::new(given);
        if seen.insert(tag.slug.clone()) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// Creates the tags that do not exist, and returns the ids of all by their given texts. Two statements, and a third if a
/// concurrent transaction has created one of them.
///
/// # Errors
/// A statement fails.
pub async fn insert_missing<'n>(
    write: &mut Write<'_>,
    tags: impl Iterator<Item = &'n TagName>,
) -> Result<HashMap<String, Uuid>> {
    let tags = distinct(tags);
    let known = known_tags(write, &tags).await?;
    // In one order, so that two transactions which create the same tags do not block each other.
    let mut missing: BTreeMap<String, &TagName> = BTreeMap::new();
    for tag in tags.iter().filter(|tag| known.find(tag).is_none()) {
        missing.entry(known.free_slug(tag)).or_insert(tag);
    }
    let inserted = insert(write, &missing).await?;
    let known = if inserted.len() < missing.len() { known_tags(write, &tags).await? } else { known };
    let id = |tag: &TagName| {
        let found = known.find(tag).map(|tag| tag.id);
        found.or_else(|| inserted.get(&known.free_slug(tag)).copied())
    };
    Ok(tags.into_iter().filter_map(|tag| Some((tag.given.clone(), id(tag)?))).collect())
}

/// Inserts tags by their slugs, and returns the ids of those that no concurrent transaction has inserted.
async fn insert(write: &mut Write<'_>, tags: &BTreeMap<String, &TagName>) -> Result<HashMap<String, Uuid>> {
    let rows = RowTable::of(tags.iter().map(|(slug, tag)| {
        let values = TagValues { name: Some(tag.given.clone()), slug: Some(slug.clone()), color: None };
        (Uuid::now_v7(), values)
    }));
    let sql = statement!(
        write,
        "insert into tags (id, {names}, created_at, updated_at)
         select r.id, {values}, {now}, {now}
         from {rows} r
         where true
         order by r.slug
         on conflict do nothing
         returning slug, id",
        names = TagValues::column_names(),
        values = TagValues::columns_of("r"),
        now = write.now(),
        rows = &rows,
    );
    Ok(write.fetch::<(String, Uuid)>("tags.insert", sql).await?.into_iter().collect())
}

/// The ids of existing tags by their given texts.
///
/// # Errors
/// The statement fails.
pub(super) async fn existing<'n>(
    write: &mut Write<'_>,
    tags: impl Iterator<Item = &'n TagName>,
) -> Result<HashMap<String, Uuid>> {
    let tags = distinct(tags);
    let known = known_tags(write, &tags).await?;
    Ok(tags.into_iter().filter_map(|tag| Some((tag.given.clone(), known.find(tag)?.id))).collect())
}

fn distinct<'n>(tags: impl Iterator<Item = &'n TagName>) -> Vec<&'n TagName> {
    let mut seen = HashSet::new();
    tags.filter(|tag| seen.insert(*tag)).collect()
}

async fn known_tags(write: &mut Write<'_>, tags: &[&TagName]) -> Result<KnownTags> {
    let mut sql = write.sql();
    KnownTags::append_select(tags.iter().copied(), &mut sql);
    Ok(KnownTags::of(write.fetch("tags.existing", sql).await?))
}

row_table! {
    struct Link { artifact_id: Uuid, tag_id: Uuid }
}

/// Adds tags to artifacts, and returns the artifacts that did not have one of theirs. One statement.
///
/// # Errors
/// The statement fails.
pub async fn link(write: &mut Write<'_>, links: &[(Uuid, Uuid)]) -> Result<HashSet<Uuid>> {
    let rows = RowTable::of(links.iter().map(|(artifact, tag)| Link { artifact_id: *artifact, tag_id: *tag }));
    let sql = statement!(
        write,
        "insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at)
         select a.id, r.tag_id, a.created_at, {now}
         from {rows} r join artifacts a on a.id = r.artifact_id
         where true {exempt: the artifacts are locked, or the viewer's own}
         on conflict do nothing
         returning artifact_id",
        now = write.now(),
        rows = &rows,
    );
    Ok(write.fetch::<Uuid>("artifact_tags.insert", sql).await?.into_iter().collect())
}
