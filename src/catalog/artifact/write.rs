//! How artifacts are written: one or many by the same statements, whose number does not depend on how many there are.
use std::collections::{HashMap, HashSet};

use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Artifact, ArtifactById, PREFIX};
use crate::{
    catalog::{
        Mutation, Visibility,
        change::{Audience, Change, ChangeKind},
        collection::{self, Locked},
        input::{self, BatchError, BatchMode, DeleteInput, DeletePayload, Outcomes, refused},
        policy::{self, Access},
        rules::{self, NAME_MAX},
        tag, version,
    },
    db::{
        Arg, Cell,
        CellType::{self, Id, Int, Text},
        Record,
    },
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        id::GlobalId,
        object::{Fields, NoArguments, Object},
        scalar::Json,
    },
};

/// An artifact to make.
#[derive(InputObject, Clone, Debug)]
pub struct CreateArtifactInput {
    /// What it is, as a lower-case slug such as `skill`.
    #[graphql(name = "type")]
    kind: String,
    /// What it is called; unique for its owner and type.
    name: String,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Where it comes from.
    source: MaybeUndefined<String>,
    /// Who made it.
    author: MaybeUndefined<String>,
    /// The licence it is under.
    license: MaybeUndefined<String>,
    /// The full text.
    content: MaybeUndefined<String>,
    /// Further properties: a JSON object.
    metadata: MaybeUndefined<Json>,
    /// Who may see it; `PRIVATE` where it is absent, and as it was where the artifact is there already.
    visibility: Option<Visibility>,
    /// Names of its tags, which are made on first use.
    tags: Option<Vec<String>>,
    /// The collections to add it to.
    collection_ids: Option<Vec<ID>>,
    /// The label of its first version.
    version: Option<String>,
}

/// Changes of an artifact. What is absent stays as it is; null takes it away.
#[derive(InputObject, Clone, Debug)]
pub struct UpdateArtifactInput {
    /// Its id.
    id: ID,
    /// Refused as `CONFLICT` where it has another revision.
    expected_revision: Option<i64>,
    /// What it is, as a lower-case slug such as `skill`.
    #[graphql(name = "type")]
    kind: MaybeUndefined<String>,
    /// What it is called; unique for its owner and type.
    name: MaybeUndefined<String>,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Where it comes from.
    source: MaybeUndefined<String>,
    /// Who made it.
    author: MaybeUndefined<String>,
    /// The licence it is under.
    license: MaybeUndefined<String>,
    /// The full text.
    content: MaybeUndefined<String>,
    /// Further properties: a JSON object.
    metadata: MaybeUndefined<Json>,
    /// Who may see it.
    visibility: Option<Visibility>,
}

/// Artifacts to make.
#[derive(InputObject, Clone, Debug)]
struct CreateArtifactsInput {
    /// At most 1,000.
    artifacts: Vec<CreateArtifactInput>,
    /// What becomes of the others when one is refused.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    mode: Option<BatchMode>,
}

/// Artifacts to change.
#[derive(InputObject, Clone, Debug)]
struct UpdateArtifactsInput {
    /// At most 1,000.
    artifacts: Vec<UpdateArtifactInput>,
    /// What becomes of the others when one is refused.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    mode: Option<BatchMode>,
}

/// Artifacts to delete.
#[derive(InputObject, Clone, Debug)]
struct DeleteArtifactsInput {
    /// At most 1,000.
    ids: Vec<ID>,
    /// What becomes of the others when one is refused.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    mode: Option<BatchMode>,
}

/// Declares the root fields that write artifacts.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Makes an artifact.
        createArtifact => write::<CreateArtifactInput, _>(|input, write| Box::pin(async move {
            let made = create(write, std::slice::from_ref(input), Existing::Refused).await?;
            made.single().map(ArtifactPayload)
        }));
        /// Changes the fields of an artifact that are named.
        updateArtifact => write::<UpdateArtifactInput, _>(|input, write| Box::pin(async move {
            update(write, std::slice::from_ref(input)).await?.single().map(ArtifactPayload)
        }));
        /// Deletes an artifact. It leaves its collections and groups.
        deleteArtifact => write::<DeleteInput, _>(|input, write| Box::pin(async move {
            let id = delete(write, &[(input.id.clone(), input.expected_revision)]).await?.single()?;
            Ok(DeletePayload::new(PREFIX, id))
        }));
        /// Makes artifacts, at most 1,000.
        createArtifacts => write::<CreateArtifactsInput, _>(|input, write| Box::pin(async move {
            input::batch_size("artifacts", input.artifacts.len())?;
            let made = create(write, &input.artifacts, Existing::Refused).await?;
            Ok(batch(write, made, input.mode))
        }));
        /// Changes artifacts, at most 1,000: of each the fields that are named.
        updateArtifacts => write::<UpdateArtifactsInput, _>(|input, write| Box::pin(async move {
            input::batch_size("artifacts", input.artifacts.len())?;
            let changed = update(write, &input.artifacts).await?;
            Ok(batch(write, changed, input.mode))
        }));
        /// Makes artifacts, or changes those that have the same owner, type and name, at most 1,000. Of those that are
        /// there already, only the fields that are named are changed; tags and collections are added.
        upsertArtifacts => write::<CreateArtifactsInput, _>(|input, write| Box::pin(async move {
            input::batch_size("artifacts", input.artifacts.len())?;
            let written = create(write, &input.artifacts, Existing::Updated).await?;
            Ok(batch(write, written, input.mode))
        }));
        /// Deletes artifacts, at most 1,000.
        deleteArtifacts => write::<DeleteArtifactsInput, _>(|input, write| Box::pin(async move {
            input::batch_size("ids", input.ids.len())?;
            let ids: Vec<_> = input.ids.iter().map(|id| (id.clone(), None)).collect();
            let mut deleted = delete(write, &ids).await?;
            if deleted.abort(input.mode) {
                write.discard();
            }
            Ok(DeleteBatchPayload(deleted))
        }));
    }
}

fn batch(write: &mut Write<'_>, mut written: Outcomes, mode: Option<BatchMode>) -> ArtifactBatchPayload {
    if written.abort(mode) {
        write.discard();
    }
    ArtifactBatchPayload(written)
}

/// What becomes of an artifact that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Refused,
    Updated,
}

/// Columns that an input may name; the place of each is its bit in a row's `given`.
const NAMED: [&str; 10] =
    ["type", "name", "description", "source", "author", "license", "content", "metadata", "visibility", "version"];

/// The columns of a row to write: the named ones behind the id, and which of them are given.
const COLUMNS: &[(&str, CellType)] = &[
    ("id", Id),
    ("type", Text),
    ("name", Text),
    ("description", Text),
    ("source", Text),
    ("author", Text),
    ("license", Text),
    ("content", Text),
    ("metadata", Text),
    ("visibility", Text),
    ("version", Text),
    ("given", Int),
];

/// Values for the named columns, as far as they are given.
#[derive(Clone, Debug, Default)]
struct Named {
    values: [Option<Cell>; NAMED.len()],
}

impl Named {
    fn row(&self, id: Uuid) -> Vec<Cell> {
        let given = self.values.iter().enumerate().filter(|(_, value)| value.is_some());
        let mask = given.fold(0, |mask, (place, _)| mask | 1 << place);
        let values = self.values.iter().map(|value| value.clone().unwrap_or(Cell::Null));
        std::iter::once(Cell::Id(id)).chain(values).chain([Cell::Int(mask)]).collect()
    }

    /// Whether the artifact is public, by what is given.
    fn is_public(&self) -> bool {
        matches!(&self.values[8], Some(Cell::Text(visibility)) if visibility == Visibility::Public.as_str())
    }

    /// Whether the artifact is not public afterwards, by what is given.
    fn hides(&self) -> bool {
        matches!(&self.values[8], Some(Cell::Text(visibility)) if visibility != Visibility::Public.as_str())
    }

    fn key(&self) -> Option<(&str, &str)> {
        match (&self.values[0], &self.values[1]) {
            (Some(Cell::Text(kind)), Some(Cell::Text(name))) => Some((kind, name)),
            _ => None,
        }
    }
}

/// The values that both inputs may name, checked.
fn named(
    kind: Option<String>,
    name: Option<String>,
    texts: [(&'static str, &MaybeUndefined<String>); 5],
    metadata: &MaybeUndefined<Json>,
    visibility: Option<Visibility>,
) -> Result<Named> {
    let mut values: [Option<Cell>; NAMED.len()] = Default::default();
    if let Some(kind) = kind {
        rules::kind(&kind).map_err(refused("type"))?;
        values[0] = Some(Cell::Text(kind));
    }
    values[1] = name.map(Cell::Text);
    for (place, (field, given)) in texts.into_iter().enumerate() {
        if !given.is_undefined() {
            values[2 + place] = Some(input::text(field, given)?);
        }
    }
    values[7] = match metadata {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(Cell::Null),
        MaybeUndefined::Value(Json(serde_json::Value::Object(object))) => {
            rules::metadata(object).map_err(refused("metadata"))?;
            Some(Cell::Text(serde_json::Value::Object(object.clone()).to_string()))
        }
        MaybeUndefined::Value(_) => {
            return Err(Error::bad_user_input("metadata is a JSON object").in_field("metadata"));
        }
    };
    values[8] = visibility.map(|visibility| Cell::Text(visibility.as_str().to_owned()));
    Ok(Named { values })
}

/// An artifact to make, checked.
struct New {
    id: Uuid,
    named: Named,
    tags: Vec<tag::Named>,
    collections: Vec<Uuid>,
    version: Option<String>,
}

impl CreateArtifactInput {
    fn checked(&self) -> Result<New> {
        let name = rules::name(&self.name, NAME_MAX).map_err(refused("name"))?;
        let texts = [
            ("description", &self.description),
            ("source", &self.source),
            ("author", &self.author),
            ("license", &self.license),
            ("content", &self.content),
        ];
        let mut named = named(Some(self.kind.clone()), Some(name), texts, &self.metadata, self.visibility)?;
        let version = self.version.as_deref().map(|label| rules::name(label, NAME_MAX)).transpose();
        let version = version.map_err(refused("version"))?;
        named.values[9] = version.clone().map(Cell::Text);
        Ok(New {
            id: Uuid::now_v7(),
            named,
            tags: tag::named("tags", self.tags.as_deref().unwrap_or_default())?,
            collections: input::ids(
                collection::PREFIX,
                "collectionIds",
                self.collection_ids.as_deref().unwrap_or_default(),
            )?,
            version,
        })
    }
}

/// Makes artifacts, with tags, versions and memberships.
async fn create(write: &mut Write<'_>, inputs: &[CreateArtifactInput], existing: Existing) -> Result<Outcomes> {
    let mut items: Vec<Result<New>> = inputs.iter().map(CreateArtifactInput::checked).collect();
    refuse_twins(&mut items);
    let wanted: Vec<_> = items.iter().flatten().flat_map(|new| new.collections.iter().copied()).collect();
    let locked = if wanted.is_empty() { Locked::nothing() } else { collection::lock(write, wanted).await? };
    for item in &mut items {
        let Ok(new) = item else { continue };
        let held = (write.viewer().user, new.named.is_public());
        if let Err(refusal) = new.collections.iter().try_for_each(|id| locked.may_hold(id, "collectionIds", held)) {
            *item = Err(refusal);
        }
    }
    let found = match existing {
        Existing::Refused => HashMap::new(),
        Existing::Updated => namesakes(write, &items).await?,
    };
    for new in items.iter_mut().flatten() {
        let known = new.named.key().and_then(|(kind, name)| found.get(&(kind.to_owned(), name.to_owned())));
        new.id = known.copied().unwrap_or(new.id);
    }
    let known: HashSet<Uuid> = found.values().copied().collect();
    let made = insert(write, items.iter().flatten().filter(|new| !known.contains(&new.id))).await?;
    if existing == Existing::Updated {
        let changed = items.iter().flatten().filter(|new| known.contains(&new.id));
        change(write, changed.map(|new| (new.id, &new.named)).collect()).await?;
    }
    for item in &mut items {
        if item.as_ref().is_ok_and(|new| !made.contains(&new.id) && !known.contains(&new.id)) {
            *item = Err(Error::new(Code::Conflict, "another artifact has this type and name").in_field("name"));
        }
    }
    attach(write, &items).await?;
    for new in items.iter().flatten() {
        let kind = if known.contains(&new.id) { ChangeKind::Updated } else { ChangeKind::Created };
        write.announce(&Change::of(kind, PREFIX, new.id));
    }
    Ok(Outcomes { items: items.into_iter().map(|item| item.map(|new| new.id)).collect() })
}

/// Of two items with the same type and name, the second one is refused.
fn refuse_twins(items: &mut [Result<New>]) {
    let mut seen = HashSet::new();
    for item in items {
        let key = item.as_ref().ok().and_then(|new| new.named.key());
        let is_twin = key.is_some_and(|(kind, name)| !seen.insert((kind.to_owned(), name.to_owned())));
        if is_twin {
            *item = Err(Error::new(Code::Conflict, "the batch names this artifact twice").in_field("name"));
        }
    }
}

/// The artifacts that have the type and name of an item.
async fn namesakes(write: &mut Write<'_>, items: &[Result<New>]) -> Result<HashMap<(String, String), Uuid>> {
    const KEYS: &[(&str, CellType)] = &[("type", Text), ("name", Text)];
    let keys = items.iter().flatten().filter_map(|new| new.named.key());
    let rows: Vec<_> =
        keys.map(|(kind, name)| vec![Cell::Text(kind.to_owned()), Cell::Text(name.to_owned())]).collect();
    let mut sql = write.sql();
    sql.push("select a.id, a.type, a.name from ").row_table(KEYS, &rows);
    sql.push(" r join artifacts a on a.type = r.type and a.name = r.name and a.owner_id is not distinct from ");
    sql.bind(Arg::OptionalId(write.viewer().user)).push(" order by a.id");
    sql.either("", " for update of a");
    let found = write.fetch::<(Uuid, String, String)>("artifacts.namesakes", sql).await?;
    Ok(found.into_iter().map(|(id, kind, name)| ((kind, name), id)).collect())
}

/// Inserts artifacts, which belong to whoever writes, and returns the ids of those that were: one whose type and name another has is not.
async fn insert<'n>(write: &mut Write<'_>, new: impl Iterator<Item = &'n New>) -> Result<HashSet<Uuid>> {
    let rows: Vec<Vec<Cell>> = new.map(|new| new.named.row(new.id)).collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push(
        "insert into artifacts (id, type, name, description, source, author, license, content, metadata, visibility, \
         version, owner_id, created_at, updated_at) select r.id, r.type, r.name, r.description, r.source, r.author, \
         r.license, r.content, r.metadata, coalesce(r.visibility, 'PRIVATE'), r.version, ",
    );
    sql.bind(Arg::OptionalId(write.viewer().user))
        .push(", ")
        .bind(Arg::Time(now))
        .push(", ")
        .bind(Arg::Time(now))
        .push(" from ")
        .row_table(COLUMNS, &rows);
    sql.push(" r where true on conflict do nothing returning id");
    Ok(write.fetch::<Uuid>("artifacts.insert", sql).await?.into_iter().collect())
}

/// Gives artifacts their tags, versions and places in collections.
async fn attach(write: &mut Write<'_>, items: &[Result<New>]) -> Result<()> {
    let new = || items.iter().flatten();
    let tags: Vec<(Uuid, &tag::Named)> = new().flat_map(|new| new.tags.iter().map(|tag| (new.id, tag))).collect();
    if !tags.is_empty() {
        let known = tag::make(write, tags.iter().map(|(_, tag)| *tag)).await?;
        let links: Vec<_> = tags.iter().filter_map(|(id, tag)| Some((*id, *known.get(&tag.given)?))).collect();
        tag::link(write, &links).await?;
    }
    let versions: Vec<_> = new().filter_map(|new| Some((new.id, new.version.clone()?))).collect();
    if !versions.is_empty() {
        version::insert_missing(write, &versions).await?;
    }
    let members: Vec<_> =
        new().flat_map(|new| new.collections.iter().map(|collection| (*collection, new.id))).collect();
    if !members.is_empty() {
        collection::add_members(write, &members).await?;
    }
    Ok(())
}

/// Changes the fields that are given. `given` has a bit for each. What is public no longer leaves the collections of other
/// accounts.
async fn change(write: &mut Write<'_>, items: Vec<(Uuid, &Named)>) -> Result<()> {
    const BITS: [&str; NAMED.len()] = [
        " & 1 <> 0 then ",
        " & 2 <> 0 then ",
        " & 4 <> 0 then ",
        " & 8 <> 0 then ",
        " & 16 <> 0 then ",
        " & 32 <> 0 then ",
        " & 64 <> 0 then ",
        " & 128 <> 0 then ",
        " & 256 <> 0 then ",
        " & 512 <> 0 then ",
    ];
    let now = write.now();
    let rows: Vec<Vec<Cell>> = items.iter().map(|(id, named)| named.row(*id)).collect();
    let mut sql = write.sql();
    sql.push("update artifacts as e set revision = e.revision + 1, updated_at = ").bind(Arg::Time(now));
    for (name, bit) in NAMED.into_iter().zip(BITS) {
        sql.push(", ").push(name).push(" = case when r.given").push(bit).push("r.").push(name);
        sql.push(" else e.").push(name).push(" end");
    }
    sql.push(" from ").row_table(COLUMNS, &rows).push(" r where e.id = r.id");
    write.execute("artifacts.update", sql).await.map_err(Error::retryable)?;
    let hidden: Vec<Uuid> = items.iter().filter(|(_, named)| named.hides()).map(|(id, _)| *id).collect();
    if hidden.is_empty() || write.viewer().user.is_none() {
        return Ok(());
    }
    collection::withdraw(write, &hidden).await
}

impl UpdateArtifactInput {
    fn checked(&self) -> Result<(Uuid, Named)> {
        let kind = match &self.kind {
            MaybeUndefined::Null => return Err(Error::bad_user_input("a type cannot be taken away").in_field("type")),
            kind => kind.value().cloned(),
        };
        let texts = [
            ("description", &self.description),
            ("source", &self.source),
            ("author", &self.author),
            ("license", &self.license),
            ("content", &self.content),
        ];
        let name = input::name("name", &self.name, NAME_MAX)?;
        let named = named(kind, name, texts, &self.metadata, self.visibility)?;
        Ok((input::id(PREFIX, "id", &self.id)?, named))
    }
}

/// What is known of an artifact that is to be changed.
struct Current {
    may_change: bool,
    revision: i64,
    kind: String,
    name: String,
    audience: Audience,
}

/// Whether an artifact may be changed that was found, or not.
fn may_change(found: Option<&Current>) -> Result<&Current> {
    input::may_change("artifact", "id", found.map(|current| current.may_change))?;
    found.ok_or_else(|| input::not_found("artifact", "id"))
}

/// Changes artifacts, of each the fields that are named.
async fn update(write: &mut Write<'_>, inputs: &[UpdateArtifactInput]) -> Result<Outcomes> {
    let mut items: Vec<Result<(Uuid, Named)>> = inputs.iter().map(UpdateArtifactInput::checked).collect();
    let hidden: Vec<Uuid> = items.iter().flatten().filter(|(_, named)| named.hides()).map(|(id, _)| *id).collect();
    if !hidden.is_empty() && write.viewer().user.is_some() {
        collection::lock_holders(write, &hidden).await?;
    }
    let current = current(write, items.iter().flatten().map(|(id, _)| *id).collect()).await?;
    let mut seen = HashSet::new();
    for (item, input) in items.iter_mut().zip(inputs) {
        let Ok((id, _)) = item else { continue };
        let refusal = match may_change(current.get(id)) {
            Err(refusal) => Some(refusal),
            Ok(_) if !seen.insert(*id) => {
                Some(Error::new(Code::Conflict, "the batch changes this artifact twice").in_field("id"))
            }
            Ok(current) => input::expect_revision(input.expected_revision, current.revision).err(),
        };
        if let Some(refusal) = refusal {
            *item = Err(refusal);
        }
    }
    refuse_taken_names(write, &mut items, &current).await?;
    change(write, items.iter().flatten().map(|(id, named)| (*id, named)).collect()).await?;
    for (id, _) in items.iter().flatten() {
        write.announce(&Change::of(ChangeKind::Updated, PREFIX, *id));
    }
    Ok(Outcomes { items: items.into_iter().map(|item| item.map(|(id, _)| id)).collect() })
}

/// The artifacts as they are, locked until the transaction ends.
async fn current(write: &mut Write<'_>, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Current>> {
    let mut sql = write.sql();
    sql.push("select a.id, ");
    policy::write_may_change("a.owner_id", &mut sql);
    sql.push(", a.revision, a.type, a.name, a.owner_id, a.visibility from artifacts a where a.id").in_ids(&ids);
    policy::artifacts(Access::ById).append(&mut sql);
    sql.push(" order by a.id").either("", " for update of a");
    let found = write.fetch_with("artifacts.current", sql, |row| {
        let (id, may_change): (Uuid, i64) = (row.next()?, row.next()?);
        let (revision, kind, name) = (row.next()?, row.next()?, row.next()?);
        Ok((id, Current { may_change: may_change == 1, revision, kind, name, audience: Audience::read(row)? }))
    });
    Ok(found.await?.into_iter().collect())
}

/// Refuses changes to a type and name that another artifact has, or that another item takes.
async fn refuse_taken_names(
    write: &mut Write<'_>,
    items: &mut [Result<(Uuid, Named)>],
    current: &HashMap<Uuid, Current>,
) -> Result<()> {
    const KEYS: &[(&str, CellType)] = &[("id", Id), ("type", Text), ("name", Text)];
    let target = |id: &Uuid, named: &Named| -> Option<(String, String)> {
        let current = current.get(id)?;
        let text = |place: usize, old: &String| match &named.values[place] {
            Some(Cell::Text(new)) => new.clone(),
            _ => old.clone(),
        };
        let key = (text(0, &current.kind), text(1, &current.name));
        (key != (current.kind.clone(), current.name.clone())).then_some(key)
    };
    let targets: Vec<Option<(Uuid, (String, String))>> =
        items.iter().map(|item| item.as_ref().ok().and_then(|(id, named)| Some((*id, target(id, named)?)))).collect();
    let rows: Vec<Vec<Cell>> = targets
        .iter()
        .flatten()
        .map(|(id, (kind, name))| vec![Cell::Id(*id), Cell::Text(kind.clone()), Cell::Text(name.clone())])
        .collect();
    let mut sql = write.sql();
    sql.push("select r.id from ").row_table(KEYS, &rows);
    sql.push(" r join artifacts e on e.id = r.id join artifacts a on a.type = r.type and a.name = r.name ");
    sql.push("and a.owner_id is not distinct from e.owner_id and a.id <> r.id");
    let taken: HashSet<Uuid> = write.fetch::<Uuid>("artifacts.taken_names", sql).await?.into_iter().collect();
    let mut seen = HashSet::new();
    for (item, target) in items.iter_mut().zip(targets) {
        let Some((id, key)) = target else { continue };
        if taken.contains(&id) || !seen.insert(key) {
            *item = Err(Error::new(Code::Conflict, "another artifact has this type and name").in_field("name"));
        }
    }
    Ok(())
}

/// Deletes artifacts, each with the revision that is expected.
async fn delete(write: &mut Write<'_>, given: &[(ID, Option<i64>)]) -> Result<Outcomes> {
    let mut items: Vec<Result<Uuid>> = given.iter().map(|(id, _)| input::id(PREFIX, "id", id)).collect();
    let named: Vec<Uuid> = items.iter().flatten().copied().collect();
    let left = collection::holding(write, &named).await?;
    let current = current(write, items.iter().flatten().copied().collect()).await?;
    let mut seen = HashSet::new();
    for (item, (_, expected)) in items.iter_mut().zip(given) {
        let Ok(id) = item else { continue };
        let refusal = match may_change(current.get(id)) {
            Ok(current) if seen.insert(*id) => input::expect_revision(*expected, current.revision).err(),
            Ok(_) => Some(input::not_found("artifact", "id")),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            *item = Err(refusal);
        }
    }
    let ids: Vec<Uuid> = items.iter().flatten().copied().collect();
    let mut sql = write.sql();
    sql.push("delete from artifacts where id").in_ids(&ids);
    write.execute("artifacts.delete", sql).await?;
    collection::have_lost(write, left, &ids).await?;
    for (id, current) in ids.iter().filter_map(|id| Some((id, current.get(id)?))) {
        write.announce(&Change::deleted(PREFIX, *id, current.audience));
    }
    Ok(Outcomes { items })
}

/// Why an artifact was not changed: it may be seen, or not.
///
/// # Errors
/// That of the statement.
pub async fn refusal(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<Error> {
    let mut sql = write.sql();
    sql.push("select a.id from artifacts a where a.id = ").bind(Arg::Id(id));
    policy::artifacts(Access::ById).append(&mut sql);
    let is_seen = !write.fetch::<Uuid>("artifacts.seen", sql).await?.is_empty();
    let refused = input::may_change("artifact", field, is_seen.then_some(false));
    Ok(refused.err().unwrap_or_else(|| input::not_found("artifact", field)))
}

/// The artifact that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ArtifactPayload(Uuid);

impl Object for ArtifactPayload {
    fn name() -> String {
        "ArtifactPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The artifact that was written.
            type;
            /// The artifact as it is now.
            artifact => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(ArtifactById), required);
        }
    }
}

/// The artifact of a payload.
///
/// # Errors
/// `NOT_FOUND` where another one deleted it meanwhile.
fn required(artifact: Option<Artifact>) -> Result<Artifact> {
    artifact.ok_or_else(|| Error::new(Code::NotFound, "the artifact was deleted meanwhile"))
}

/// What became of a batch of artifacts.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ArtifactBatchPayload(Outcomes);

impl Object for ArtifactBatchPayload {
    fn name() -> String {
        "ArtifactBatchPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of a batch of artifacts.
            type;
            /// How many were written.
            succeeded => value(|payload: &Self| payload.0.succeeded());
            /// How many were not.
            failed => value(|payload: &Self| payload.0.failed());
            /// What became of each item, in their order.
            results => compute::<NoArguments, _>(|payload, _, _| {
                let items = payload.0.items.iter().cloned().enumerate();
                Ok(items.map(|(index, item)| ArtifactBatchResult { index: index as i64, item }).collect::<Vec<_>>())
            });
        }
    }
}

/// What became of one item of a batch.
#[derive(Clone, Debug)]
struct ArtifactBatchResult {
    index: i64,
    item: Result<Uuid>,
}

impl Object for ArtifactBatchResult {
    fn name() -> String {
        "ArtifactBatchResult".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of one item of a batch: the artifact, or the error.
            type;
            /// The item's zero-based place in the batch.
            index => leaf(|result| &result.index);
            /// The artifact as it is now; null where it was not written.
            artifact => batch::<NoArguments, _>(|results, _, node| Box::pin(async move {
                let keys = results.iter().filter_map(|result| result.item.as_ref().ok().copied()).collect();
                let mut found = node.load::<Artifact, _>(ArtifactById, keys).await?.into_iter();
                Ok(results.iter().map(|result| result.item.as_ref().ok().and_then(|_| found.next()?)).collect())
            }));
            /// Why it was not written; null where it was.
            error => compute::<NoArguments, _>(|result, _, _| Ok(result.item.as_ref().err().cloned().map(BatchError)));
        }
    }
}

/// What became of artifacts that were to be deleted.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct DeleteBatchPayload(Outcomes);

impl Object for DeleteBatchPayload {
    fn name() -> String {
        "DeleteBatchPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of a batch of deletions.
            type;
            /// How many were deleted.
            succeeded => value(|payload: &Self| payload.0.succeeded());
            /// How many were not.
            failed => value(|payload: &Self| payload.0.failed());
            /// What became of each id, in their order.
            results => compute::<NoArguments, _>(|payload, _, _| {
                let items = payload.0.items.iter().cloned().enumerate();
                Ok(items.map(|(index, item)| DeleteBatchResult { index: index as i64, item }).collect::<Vec<_>>())
            });
        }
    }
}

/// What became of one id of a batch.
#[derive(Clone, Debug)]
struct DeleteBatchResult {
    index: i64,
    item: Result<Uuid>,
}

impl Object for DeleteBatchResult {
    fn name() -> String {
        "DeleteBatchResult".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of one id of a batch.
            type;
            /// The id's zero-based place in the batch.
            index => leaf(|result| &result.index);
            /// The id of what was deleted; null where it was not.
            deletedId => value(|result: &Self| {
                result.item.as_ref().ok().map(|id| GlobalId { prefix: PREFIX, id: *id })
            });
            /// Why it was not deleted; null where it was.
            error => compute::<NoArguments, _>(|result, _, _| Ok(result.item.as_ref().err().cloned().map(BatchError)));
        }
    }
}
