//! Links, which grant access to everyone who has them.
use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Shareable, Target, TargetOfShare, end, load_targets,
    views::{ViewCount, ViewCounter},
};
use crate::{
    access::LinkToken,
    append,
    catalog::{
        Mutation, Query,
        fields::{DeclareFields, deleted},
        input::{self, DeleteInput},
        policy,
    },
    db::{Record, Row, SelectColumns, SelectList, Sql, Time, columns, in_texts, with},
    error::{Code, Error, Result},
    field,
    graphql::{
        CacheLoads, ExecutionField, Load, Loads, Write, WriteFields,
        object::{NoArguments, Object, ObjectBuilder},
        scalar::DateTime,
    },
    loader::Relation,
    relation, statement,
};

/// Prefix of the ids of links.
pub const PREFIX: &str = "share_link";

/// Maximum number of active links of one object.
const LINKS_MAX: i64 = 100;

/// A link to one object.
#[derive(Clone, Debug)]
pub struct ShareLink {
    id: Uuid,
    target: Target,
    view_count: i64,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
    created_at: Time,
    /// Only in the response that creates the link.
    token: Option<String>,
}

impl Record for ShareLink {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.next()?,
            target: Target::read(row)?,
            view_count: row.next()?,
            expires_at: row.next_or_null()?,
            revoked_at: row.next_or_null()?,
            created_at: row.next()?,
            token: None,
        })
    }
}

impl SelectColumns for ShareLink {
    fn columns(list: &mut SelectList) {
        for column in
            ["l.id", "l.artifact_id", "l.collection_id", "l.view_count", "l.expires_at", "l.revoked_at", "l.created_at"]
        {
            list.push(column);
        }
    }
}

impl Object for ShareLink {
    const NAME: &'static str = "ShareLink";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&[
            "A link to one artifact or collection, which everyone who has it can read without a token. Only \
            viewers who can edit the object see its links.",
        ]);
        fields.implements("Node");
        fields.node_id(PREFIX, |link| link.id);
        fields.batch::<NoArguments, Shareable>(
            field!("target", "The linked object."),
            Loads::of(TargetOfShare),
            |links, _, field| Box::pin(load_targets(field, links.iter().map(|link| link.target).collect())),
        );
        fields.value(
            field!(
                "token",
                "The token, for `Query.shared` and `/s/TOKEN`. Only the response of `createShareLink` contains it; null \
                 afterwards, because the server stores only its hash."
            ),
            |link: &Self| link.token.clone(),
        );
        fields.leaf(field!("viewCount", "Number of views, updated once a second."), |link| &link.view_count);
        fields.value(field!("expiresAt", "Time when the link expires; null for never."), |link: &Self| link.expires_at);
        fields.value(field!("revokedAt", "Time when the link was revoked; null if it was not."), |link: &Self| {
            link.revoked_at
        });
        fields.leaf(field!("createdAt", "Time of creation."), |link| &link.created_at);
    }
}

relation! {
    /// Links by their ids.
    pub LinkById("Query.node(ShareLink)"): Uuid => Option<ShareLink>, cacheable: false;
    "select l.id, {columns} from share_links l where l.id {in_keys} {l_own}",
    columns = columns::<ShareLink>(),
    l_own = policy::own_links(),
}

relation! {
    /// The links to an artifact, newest first.
    pub LinksOfArtifact("Artifact.shareLinks"): Uuid => Vec<ShareLink>, cacheable: false;
    "select l.artifact_id, {columns}
     from share_links l
     where l.revoked_at is null and l.artifact_id {in_keys} {l_own}
     order by l.created_at desc, l.id desc",
    columns = columns::<ShareLink>(),
    l_own = policy::own_links(),
}

relation! {
    /// The links to a collection, newest first.
    pub LinksOfCollection("Collection.shareLinks"): Uuid => Vec<ShareLink>, cacheable: false;
    "select l.collection_id, {columns}
     from share_links l
     where l.revoked_at is null and l.collection_id {in_keys} {l_own}
     order by l.created_at desc, l.id desc",
    columns = columns::<ShareLink>(),
    l_own = policy::own_links(),
}

/// Active links and their targets, by the hash of the token. One statement for both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LinkByHash {
    /// Counts the views.
    views: ViewCounter,
}

crate::sql_loader!(LinkByHash);

impl Relation for LinkByHash {
    type Key = String;
    type Row = Opening;
    type Value = Option<Opening>;
    const NAME: &'static str = "Query.shared";

    fn statement(&self, keys: &[String], sql: &mut Sql) {
        append!(
            sql,
            "select l.hash, {link_columns}, {target_columns}
             from share_links l
             left join artifacts a on a.id = l.artifact_id
             left join collections c on c.id = l.collection_id
             where l.hash {in_keys} {exempt: the token permits it}
               and l.revoked_at is null
               and (l.expires_at is null or l.expires_at > {now})",
            link_columns = columns::<ShareLink>(),
            target_columns = columns::<Shareable>(),
            in_keys = in_texts(keys),
            now = Time::now(),
        );
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Opening> {
        let link = ShareLink::read(row)?;
        let count = self.views.since(link.id, link.view_count);
        Ok(Opening { link, target: Shareable::read(row)?, count })
    }
}

/// An active link and its target.
#[derive(Clone, Debug)]
struct Opening {
    link: ShareLink,
    target: Shareable,
    count: ViewCount,
}

/// Declares the root field that opens links.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.batch::<ByToken, _>(
        field!("shared", "The object that a link leads to; null if the token is unknown, expired or revoked."),
        Loads::by(|_, _| vec![Load::any::<LinkByHash>()]),
        |parents, args, field| Box::pin(open(parents, args, field)),
    );
}

async fn open(parents: &[Query], args: ByToken, field: ExecutionField<'_>) -> Result<Vec<Option<SharedView>>> {
    let relation = LinkByHash { views: parents[0].views.clone() };
    // Many viewers open one link: the cache serves all after the first.
    field.enable_cache().await;
    // An invalid token is handled as one that is not known.
    let hash = LinkToken::hash_of(&args.token);
    let openings = field.load::<SharedView, _>(relation, vec![hash; parents.len()]).await?;
    let now = Time::now();
    let is_active = |opening: &Opening| opening.link.expires_at.is_none_or(|end| end > now);
    let view =
        |opening: Opening| SharedView { view_count: opening.count.view(), link: opening.link, target: opening.target };
    let opened: Vec<_> = openings.into_iter().map(|opening| opening.filter(is_active).map(view)).collect();
    if opened.iter().any(Option::is_none) {
        // Guessed tokens take no space in the cache.
        field.context().rounds.discard_recording();
    }
    Ok(opened)
}

#[derive(InputObject)]
#[graphql(name = "SharedArguments")]
struct ByToken {
    /// Token of the link.
    token: String,
}

/// The target of a link that was opened.
#[derive(Clone)]
struct SharedView {
    link: ShareLink,
    target: Shareable,
    /// The number of views, with this one.
    view_count: i64,
}

impl Object for SharedView {
    const NAME: &'static str = "SharedView";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The object that a link leads to."]);
        fields.output(field!("target", "The artifact or the collection, with everything visible from it."), |view| {
            view.target.clone()
        });
        fields.leaf(
            field!(
                "viewCount",
                "Number of views, with this one; views on other nodes may be missing for some seconds."
            ),
            |view| &view.view_count,
        );
        fields.value(field!("expiresAt", "Time when the link expires; null for never."), |view: &Self| {
            view.link.expires_at
        });
    }
}

/// A link to create.
#[derive(InputObject, Clone, Debug)]
struct CreateShareLinkInput {
    /// ID of the artifact or the collection.
    target_id: ID,
    /// Time when the link expires; null for never. Default: after 30 days.
    expires_at: MaybeUndefined<DateTime>,
}

/// Declares the mutations on links.
pub(super) fn declare_mutations(fields: &mut ObjectBuilder<'_, '_, Mutation>) {
    fields.write(
        field!(
            "createShareLink",
            "Creates a link to an artifact or a collection of the viewer, at most 100 active ones for each object. Everyone \
             who has the link can read the object, regardless of its visibility, until the link expires or is revoked.\n\n\
             The token is returned only once: a request that is repeated with the same Idempotency-Key receives null."
        ),
        |input, write| Box::pin(create(write, input)),
    );
    fields.write(field!("revokeShareLink", "Revokes a link."), |input, write| Box::pin(revoke(write, input)));
}

async fn create(write: &mut Write<'_>, input: &CreateShareLinkInput) -> Result<ShareLinkPayload> {
    let target = Target::parse(&input.target_id)?;
    let now = write.now();
    let expires_at = match input.expires_at {
        MaybeUndefined::Null => None,
        MaybeUndefined::Undefined => Some(end(now, None)?),
        MaybeUndefined::Value(DateTime(time)) => Some(end(now, Some(time))?),
    };
    target.lock(write).await?;
    let token = LinkToken::generate().map_err(Error::internal)?;
    let id = Uuid::now_v7();
    let (artifact, collection) = target.ids();
    let sql = statement!(
        write,
        "insert into share_links (id, artifact_id, collection_id, hash, created_at, expires_at)
         select {id}, {artifact}, {collection}, {hash}, {now}, {expires_at}
         where (select count(*) from share_links l where l.revoked_at is null and {to_target}) < {max}
         {exempt: counts the links of an object that the viewer owns}",
        id,
        artifact,
        collection,
        hash = token.hash(),
        now,
        expires_at,
        to_target = with(&|sql| {
            match target {
                Target::Artifact(id) => append!(sql, "l.artifact_id = {id}", id),
                Target::Collection(id) => append!(sql, "l.collection_id = {id}", id),
            };
        }),
        max = LINKS_MAX,
    );
    if write.execute("share_links.insert", sql).await? == 0 {
        let message = format!("the object has {LINKS_MAX} active links, which is the maximum: revoke one");
        return Err(Error::new(Code::LimitExceeded, message).in_field("targetId"));
    }
    write.mark_one_time_secret();
    write.invalidate_caches();
    Ok(ShareLinkPayload { id, token: Some(token.reveal().to_owned()) })
}

async fn revoke(write: &mut Write<'_>, input: &DeleteInput) -> Result<ShareLinkPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let sql = statement!(
        write,
        "update share_links as l set revoked_at = coalesce(l.revoked_at, {now}) where l.id = {id} {l_own}",
        now = write.now(),
        id,
        l_own = policy::own_links(),
    );
    if write.execute("share_links.revoke", sql).await? == 0 {
        return Err(input::not_found("link", "id"));
    }
    write.invalidate_caches();
    Ok(ShareLinkPayload { id, token: None })
}

/// The link that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShareLinkPayload {
    id: Uuid,
    /// Not stored for requests that are repeated.
    #[serde(skip)]
    token: Option<String>,
}

impl Object for ShareLinkPayload {
    const NAME: &'static str = "ShareLinkPayload";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The link that was written."]);
        fields.batch::<NoArguments, ShareLink>(
            field!("shareLink", "The link after the write."),
            Loads::of(LinkById),
            |payloads, _, field| Box::pin(links_of(payloads, field)),
        );
    }
}

/// The links, with the tokens that only the payloads have.
async fn links_of(payloads: &[ShareLinkPayload], field: ExecutionField<'_>) -> Result<Vec<ShareLink>> {
    let keys = payloads.iter().map(|payload| payload.id).collect();
    let found = field.load::<ShareLink, _>(LinkById, keys).await?;
    let link = |(link, payload): (Option<ShareLink>, &ShareLinkPayload)| {
        Ok(ShareLink { token: payload.token.clone(), ..link.ok_or_else(deleted::<ShareLink>)? })
    };
    found.into_iter().zip(payloads).map(link).collect()
}
