//! How tags are written, and given to artifacts.
use std::collections::{HashMap, HashSet};

use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PREFIX, Tag, TagById};
use crate::{
    catalog::{
        Mutation,
        artifact::{self, Artifact, ArtifactById},
        change::{Audience, Change, ChangeKind},
        input::{self, DeleteInput, DeletePayload, TAGS_MAX},
        policy::{self, Access},
        rules::{self, TAG_NAME_MAX},
    },
    db::{
        AccessScope, Arg, Cell,
        CellType::{self, Id, Int, Text},
        Sql,
    },
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        id::GlobalId,
        object::{Fields, NoArguments, Object},
    },
};

/// Changes of a tag. What is absent stays as it is; null takes it away.
#[derive(InputObject, Clone, Debug)]
struct UpdateTagInput {
    /// Its id.
    id: ID,
    /// What it is called; its slug is made from it.
    name: MaybeUndefined<String>,
    /// Its colour, as `#rrggbb`.
    color: MaybeUndefined<String>,
}

/// Tags to give to artifacts, or to take from them.
#[derive(InputObject, Clone, Debug)]
struct TagArtifactsInput {
    /// At most 10,000.
    artifact_ids: Vec<ID>,
    /// Names or slugs of tags, at most 100.
    tags: Vec<String>,
}

/// Declares the root fields that write tags.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Gives tags to artifacts. Tags are made on first use.
        tagArtifacts => write::<TagArtifactsInput, _>(|input, write| Box::pin(tag(write, input)));
        /// Takes tags from artifacts. The tags themselves stay.
        untagArtifacts => write::<TagArtifactsInput, _>(|input, write| Box::pin(untag(write, input)));
        /// Changes the fields of a tag that are named. Tags are everyone's: where there are accounts, this needs the scope
        /// `ADMIN`.
        updateTag => write::<UpdateTagInput, _>(|input, write| Box::pin(update(write, input)));
        /// Deletes a tag, and takes it from all artifacts. Where there are accounts, this needs the scope `ADMIN`.
        deleteTag => write::<DeleteInput, _>(|input, write| Box::pin(delete(write, input)));
    }
}

/// A tag as an input names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    /// As it was given, without space around it: the name of a new tag, or the slug of one that is there.
    pub given: String,
    slug: String,
}

/// The tags that an input names, each once.
///
/// # Errors
/// `BAD_USER_INPUT` for too many, or what is no name.
pub fn named(field: &'static str, names: &[String]) -> Result<Vec<Named>> {
    if names.len() > TAGS_MAX {
        let message = format!("at most {TAGS_MAX} tags are taken at once, not {}", names.len());
        return Err(Error::bad_user_input(message).in_field(field));
    }
    let mut seen = HashSet::new();
    let mut tags = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let given =
            rules::name(name, TAG_NAME_MAX).map_err(|reason| Error::bad_user_input(reason).at_index(field, place))?;
        let slug = rules::slug_of(&given);
        let slug = if slug.is_empty() { given.to_lowercase() } else { slug };
        if seen.insert(slug.clone()) {
            tags.push(Named { given, slug });
        }
    }
    Ok(tags)
}

fn rows<'n>(tags: impl Iterator<Item = &'n Named>) -> Vec<Vec<Cell>> {
    let distinct: HashSet<&Named> = tags.collect();
    let mut distinct: Vec<_> = distinct.into_iter().collect();
    // Two writers that make the same tags wait for each other in one order.
    distinct.sort_by(|a, b| a.slug.cmp(&b.slug));
    let row = |(n, tag): (usize, &Named)| {
        let texts = [Cell::Text(tag.given.clone()), Cell::Text(tag.slug.clone())];
        [Cell::Id(Uuid::now_v7())].into_iter().chain(texts).chain([Cell::Int(n as i64)]).collect()
    };
    distinct.into_iter().enumerate().map(row).collect()
}

const COLUMNS: &[(&str, CellType)] = &[("id", Id), ("given", Text), ("slug", Text), ("n", Int)];

/// Makes the tags that are not there yet, and returns the ids of all by how they were given. Two statements.
///
/// # Errors
/// Those of the statements.
pub async fn make<'n>(write: &mut Write<'_>, tags: impl Iterator<Item = &'n Named>) -> Result<HashMap<String, Uuid>> {
    let rows = rows(tags);
    let now = write.now();
    let mut sql = write.sql();
    sql.push("insert into tags (id, name, slug, created_at, updated_at) select r.id, r.given, r.slug, ");
    sql.bind(Arg::Time(now)).push(", ").bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows);
    sql.push(" r where not exists (select 1 from tags t where t.slug in (r.given, r.slug)) order by r.n on conflict do nothing");
    write.execute("tags.insert", sql).await?;
    known(write, &rows).await
}

/// The ids of the tags there are, by how they were given. Where the name of one is the slug of another, the slug counts.
async fn known(write: &mut Write<'_>, rows: &[Vec<Cell>]) -> Result<HashMap<String, Uuid>> {
    let mut sql = write.sql();
    sql.push("select r.given, t.id from ").row_table(COLUMNS, rows);
    sql.push(
        " r join tags t on t.slug in (r.given, r.slug) order by case when t.slug = r.given then 1 else 0 end, r.n",
    );
    Ok(write.fetch::<(String, Uuid)>("tags.known", sql).await?.into_iter().collect())
}

const LINKS: &[(&str, CellType)] = &[("artifact_id", Id), ("tag_id", Id)];

fn link_rows(links: &[(Uuid, Uuid)]) -> Vec<Vec<Cell>> {
    links.iter().map(|(artifact, tag)| vec![Cell::Id(*artifact), Cell::Id(*tag)]).collect()
}

/// Gives tags to artifacts, and returns the artifacts that did not have one of theirs. One statement.
///
/// # Errors
/// That of the statement.
pub async fn link(write: &mut Write<'_>, links: &[(Uuid, Uuid)]) -> Result<HashSet<Uuid>> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push("insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at) select a.id, r.tag_id, a.created_at, ");
    sql.bind(Arg::Time(now)).push(" from ").row_table(LINKS, &link_rows(links));
    sql.push(" r join artifacts a on a.id = r.artifact_id where true on conflict do nothing returning artifact_id");
    Ok(write.fetch::<Uuid>("artifact_tags.insert", sql).await?.into_iter().collect())
}

async fn tag(write: &mut Write<'_>, input: &TagArtifactsInput) -> Result<ArtifactsPayload> {
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let tags = named("tags", &input.tags)?;
    let there = lock_artifacts(write, &artifacts).await?;
    let ids = make(write, tags.iter()).await?;
    let links: Vec<_> = there.iter().flat_map(|artifact| ids.values().map(|tag| (*artifact, *tag))).collect();
    let changed = link(write, &links).await?;
    finish(write, artifacts, &there, &changed).await
}

async fn untag(write: &mut Write<'_>, input: &TagArtifactsInput) -> Result<ArtifactsPayload> {
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let tags = named("tags", &input.tags)?;
    let there = lock_artifacts(write, &artifacts).await?;
    let ids: Vec<Uuid> = known(write, &rows(tags.iter())).await?.into_values().collect();
    let mut sql = write.sql();
    let own: Vec<Uuid> = there.iter().copied().collect();
    sql.push("delete from artifact_tags where artifact_id").in_ids(&own).push(" and tag_id").in_ids(&ids);
    sql.push(" returning artifact_id");
    let changed = write.fetch::<Uuid>("artifact_tags.delete", sql).await?.into_iter().collect();
    finish(write, artifacts, &there, &changed).await
}

/// Locks the artifacts there are, all of which whoever writes may change.
async fn lock_artifacts(write: &mut Write<'_>, ids: &[Uuid]) -> Result<HashSet<Uuid>> {
    let mut sql = write.sql();
    sql.push("select a.id, ");
    policy::write_may_change("a.owner_id", &mut sql);
    sql.push(" from artifacts a where a.id").in_ids(ids);
    policy::artifacts(Access::ById).append(&mut sql);
    sql.push(" order by a.id").either("", " for update of a");
    let found: HashMap<Uuid, i64> = write.fetch("artifacts.lock", sql).await?.into_iter().collect();
    if let Some(place) = ids.iter().position(|id| found.get(id) == Some(&0)) {
        return Err(input::forbidden("the artifact belongs to another account").at_index("artifactIds", place));
    }
    Ok(found.into_keys().collect())
}

/// Whether everyone can see a tag.
async fn is_public(write: &mut Write<'_>, id: Uuid) -> Result<bool> {
    let mut sql = Sql::new(write.dialect(), AccessScope::Anonymous);
    sql.push("select t.id from tags t where t.id = ").bind(Arg::Id(id));
    policy::tags(Access::InLists).append(&mut sql);
    Ok(!write.fetch::<Uuid>("tags.audience", sql).await?.is_empty())
}

/// Tags are everyone's: where there are accounts, who administers the server changes them alone.
async fn may_change(write: &mut Write<'_>, id: Uuid) -> Result<()> {
    if write.viewer().is_admin() {
        return Ok(());
    }
    let mut sql = write.sql();
    sql.push("select t.id from tags t where t.id = ").bind(Arg::Id(id));
    policy::tags(Access::ById).append(&mut sql);
    match write.fetch::<Uuid>("tags.seen", sql).await?.is_empty() {
        true => Err(input::not_found("tag", "id")),
        false => Err(input::forbidden("tags are everyone's: to change one needs a token with the scope admin")),
    }
}

/// Counts the change of the artifacts whose tags are others now, and tells of it.
async fn finish(
    write: &mut Write<'_>,
    asked: Vec<Uuid>,
    there: &HashSet<Uuid>,
    changed: &HashSet<Uuid>,
) -> Result<ArtifactsPayload> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update artifacts set revision = revision + 1, updated_at = ").bind(Arg::Time(now)).push(" where id");
    sql.in_ids(&changed.iter().copied().collect::<Vec<_>>());
    write.execute("artifacts.touch", sql).await?;
    let (there, not_found): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().partition(|id| there.contains(id));
    for id in there.iter().filter(|id| changed.contains(id)) {
        write.announce(&Change::of(ChangeKind::Updated, artifact::PREFIX, *id));
    }
    Ok(ArtifactsPayload { artifacts: there, not_found })
}

async fn update(write: &mut Write<'_>, input: &UpdateTagInput) -> Result<TagPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let name = input::name("name", &input.name, TAG_NAME_MAX)?;
    may_change(write, id).await?;
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update tags set revision = revision + 1, updated_at = ").bind(Arg::Time(now));
    if let Some(name) = name {
        let slug =
            named("name", std::slice::from_ref(&name)).map(|tags| tags.into_iter().map(|tag| tag.slug).next())?;
        sql.push(", name = ").bind(Arg::Text(Some(name))).push(", slug = ").bind(Arg::Text(slug));
    }
    if !input.color.is_undefined() {
        sql.push(", color = ").bind(input::color("color", &input.color)?.into());
    }
    sql.push(" where id = ").bind(Arg::Id(id));
    if write.execute("tags.update", sql).await? == 0 {
        return Err(input::not_found("tag", "id"));
    }
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(TagPayload(id))
}

async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    may_change(write, id).await?;
    let mut sql = write.sql();
    sql.push("select t.revision from tags t where t.id = ").bind(Arg::Id(id)).either("", " for update");
    let revision = write.fetch::<i64>("tags.lock", sql).await?.into_iter().next();
    input::expect_revision(input.expected_revision, revision.ok_or_else(|| input::not_found("tag", "id"))?)?;
    let is_public = is_public(write, id).await?;
    let mut sql = write.sql();
    sql.push("delete from tags where id = ").bind(Arg::Id(id));
    write.execute("tags.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, Audience { owner: None, is_public }));
    Ok(DeletePayload::new(PREFIX, id))
}

/// The tag that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct TagPayload(Uuid);

impl Object for TagPayload {
    fn name() -> String {
        "TagPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The tag that was written.
            type;
            /// The tag as it is now.
            tag => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(TagById), written);
        }
    }
}

fn written(tag: Option<Tag>) -> Result<Tag> {
    tag.ok_or_else(|| Error::new(Code::NotFound, "the tag was deleted meanwhile"))
}

/// The artifacts whose tags were asked to be changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ArtifactsPayload {
    artifacts: Vec<Uuid>,
    not_found: Vec<Uuid>,
}

impl Object for ArtifactsPayload {
    fn name() -> String {
        "ArtifactsPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The artifacts that were asked for.
            type;
            /// Those there are, as they are now.
            artifacts => batch::<NoArguments, _>(|payloads, _, node| Box::pin(async move {
                let keys = payloads.iter().flat_map(|payload| payload.artifacts.iter().copied()).collect();
                let mut found = node.load::<Artifact, _>(ArtifactById, keys).await?.into_iter();
                let of = |payload: &Self| -> Vec<Artifact> {
                    found.by_ref().take(payload.artifacts.len()).flatten().collect()
                };
                Ok(payloads.iter().map(of).collect())
            }));
            /// Those that there are none of.
            notFoundIds => compute::<NoArguments, _>(|payload, _, _| {
                let id = |id: &Uuid| GlobalId { prefix: artifact::PREFIX, id: *id };
                Ok(payload.not_found.iter().map(id).collect::<Vec<_>>())
            });
        }
    }
}
