//! Tags as inputs name them: they are created on first use, and linked to artifacts.
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::{
    catalog::{
        input::TAGS_MAX,
        rules::{self, TAG_NAME_MAX},
    },
    db::{RowTable, SHORT_TEXT, index_words},
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
        let slug = rules::slug_of(&given);
        let slug = if slug.is_empty() { given.to_lowercase() } else { slug };
        if seen.insert(slug.clone()) {
            tags.push(TagName { given, slug });
        }
    }
    Ok(tags)
}

row_table! {
    struct NewTag { id: Uuid, given: String, slug: String, name_words: String, slug_words: String, n: i64 }
}

/// The tags as rows, in one order, so that two transactions which create the same tags do not block each other.
fn rows<'n>(tags: impl Iterator<Item = &'n TagName>) -> RowTable {
    let distinct: HashSet<&TagName> = tags.collect();
    let mut distinct: Vec<_> = distinct.into_iter().collect();
    distinct.sort_by(|a, b| a.slug.cmp(&b.slug));
    RowTable::of(distinct.into_iter().enumerate().map(|(n, tag)| NewTag {
        id: Uuid::now_v7(),
        given: tag.given.clone(),
        slug: tag.slug.clone(),
        name_words: index_words(&tag.given, SHORT_TEXT),
        slug_words: index_words(&tag.slug, SHORT_TEXT),
        n: n as i64,
    }))
}

/// Creates the tags that do not exist, and returns the ids of all by their given texts. Two statements.
///
/// # Errors
/// A statement fails.
pub async fn insert_missing<'n>(
    write: &mut Write<'_>,
    tags: impl Iterator<Item = &'n TagName>,
) -> Result<HashMap<String, Uuid>> {
    let rows = rows(tags);
    let sql = statement!(
        write,
        "insert into tags (id, name, slug, name_words, slug_words, created_at, updated_at)
         select r.id, r.given, r.slug, r.name_words, r.slug_words, {now}, {now}
         from {rows} r
         where not exists (select 1 from tags t where t.slug in (r.given, r.slug))
         order by r.n
         on conflict do nothing",
        now = write.now(),
        rows = &rows,
    );
    write.execute("tags.insert", sql).await?;
    existing_rows(write, &rows).await
}

/// The ids of existing tags by their given texts.
///
/// # Errors
/// The statement fails.
pub(super) async fn existing<'n>(
    write: &mut Write<'_>,
    tags: impl Iterator<Item = &'n TagName>,
) -> Result<HashMap<String, Uuid>> {
    existing_rows(write, &rows(tags)).await
}

/// A tag whose slug is the given text has precedence over one whose slug is made from it.
async fn existing_rows(write: &mut Write<'_>, rows: &RowTable) -> Result<HashMap<String, Uuid>> {
    let sql = statement!(
        write,
        "select r.given, t.id
         from {rows} r join tags t on t.slug in (r.given, r.slug)
         order by case when t.slug = r.given then 1 else 0 end, r.n",
        rows,
    );
    Ok(write.fetch::<(String, Uuid)>("tags.existing", sql).await?.into_iter().collect())
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
