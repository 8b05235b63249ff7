//! Links: whoever has one may read what it leads to.
use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Shareable, Target, end, load_targets,
    views::{ViewCount, Views},
};
use crate::{
    access::LinkToken,
    append,
    catalog::{
        Mutation, Query,
        input::{self, DeleteInput},
        policy,
    },
    dataloader::Relation,
    db::{Arg, Record, Row, SelectColumns, SelectList, Sql, Time, columns, in_texts},
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        id::GlobalId,
        object::{Fields, NoArguments, Object},
        scalar::DateTime,
    },
    relation,
};

/// Prefix of the ids of links.
pub const PREFIX: &str = "share_link";

/// Links of one object at most, without those that were revoked.
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
    /// Only where it was made just now.
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
    fn name() -> String {
        "ShareLink".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A link to one artifact or collection: whoever has it may read that, without a token. Who may change the
            /// object sees its links, and nobody else.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|link: &ShareLink| GlobalId { prefix: PREFIX, id: link.id });
            /// What it leads to.
            target => batch::<NoArguments, Shareable>(|links, _, node| Box::pin(async move {
                let targets: Vec<Target> = links.iter().map(|link| link.target).collect();
                load_targets(node, &targets).await
            }));
            /// What opens it, for `Query.shared` and as `/s/TOKEN`. Told once, in the answer of `createShareLink`; null
            /// afterwards, since only its hash is kept.
            token => value(|link: &ShareLink| link.token.clone());
            /// How often it was opened, as far as it is counted yet: views are added up once a second.
            viewCount => leaf(|link| &link.view_count);
            /// When it ends; null is never.
            expiresAt => value(|link: &ShareLink| link.expires_at);
            /// When it was revoked; null where it was not.
            revokedAt => value(|link: &ShareLink| link.revoked_at);
            /// When it was made.
            createdAt => leaf(|link| &link.created_at);
        }
    }
}

relation! {
    /// Links by their ids.
    pub LinkById("Query.node(ShareLink)"): Uuid => Option<ShareLink>, cacheable: false;
    "select l.id, {columns} from share_links l where l.id {in_keys} {l_own}",
    columns: columns::<ShareLink>(),
    l_own: policy::own_links(),
}

relation! {
    /// The links to an artifact, newest first.
    pub LinksOfArtifact("Artifact.shareLinks"): Uuid => Vec<ShareLink>, cacheable: false;
    "select l.artifact_id, {columns}
     from share_links l
     where l.revoked_at is null and l.artifact_id {in_keys} {l_own}
     order by l.created_at desc, l.id desc",
    columns: columns::<ShareLink>(),
    l_own: policy::own_links(),
}

relation! {
    /// The links to a collection, newest first.
    pub LinksOfCollection("Collection.shareLinks"): Uuid => Vec<ShareLink>, cacheable: false;
    "select l.collection_id, {columns}
     from share_links l
     where l.revoked_at is null and l.collection_id {in_keys} {l_own}
     order by l.created_at desc, l.id desc",
    columns: columns::<ShareLink>(),
    l_own: policy::own_links(),
}

/// Links and what they lead to, by the hash of their tokens: as long as they are good. One statement for both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LinkByHash {
    /// Counts what is opened.
    views: Views,
}

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
            link_columns: columns::<ShareLink>(),
            target_columns: columns::<Shareable>(),
            in_keys: in_texts(keys),
            now: Time::now(),
        );
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Opening> {
        let link = ShareLink::read(row)?;
        let count = self.views.since(link.id, link.view_count);
        Ok(Opening { link, target: Shareable::read(row)?, count })
    }
}

/// A link that is good, and what it leads to.
#[derive(Clone, Debug)]
struct Opening {
    link: ShareLink,
    target: Shareable,
    count: ViewCount,
}

/// Declares the root fields about links.
pub fn declare_root(fields: &mut Fields<'_, '_, Query>) {
    fields! { fields;
        type;
        /// What a link leads to, for whoever has it; null where the token is not known, has expired or was revoked.
        shared => batch::<ByToken, _>(|parents, args, node| {
            let views = parents[0].views.clone();
            let count = parents.len();
            Box::pin(async move {
                // Many open one link: what the first has loaded serves those after.
                node.enable_cache().await;
                // What cannot be a token takes the same way as one that is not known.
                let hash = LinkToken::hash_of(&args.token);
                let openings = node.load::<SharedView, _>(LinkByHash { views }, vec![hash; count]).await?;
                let now = Time::now();
                let is_good = |opening: &Opening| opening.link.expires_at.is_none_or(|end| end > now);
                let view = |opening: Opening| SharedView { view_count: opening.count.view(), link: opening.link, target: opening.target };
                let opened: Vec<_> = openings.into_iter().map(|opening| opening.filter(is_good).map(view)).collect();
                if opened.iter().any(Option::is_none) {
                    // Tokens that are tried take no room.
                    node.context().rounds.forget();
                }
                Ok(opened)
            })
        });
    }
}

#[derive(InputObject)]
#[graphql(name = "SharedArguments")]
struct ByToken {
    /// The token of the link.
    token: String,
}

/// What a link leads to, once it was opened.
#[derive(Clone)]
struct SharedView {
    link: ShareLink,
    target: Shareable,
    /// This view among them.
    view_count: i64,
}

impl Object for SharedView {
    fn name() -> String {
        "SharedView".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What a link leads to.
            type;
            /// The artifact or the collection, with all that can be seen of it.
            target => compute::<NoArguments, _>(|view, _, _| Ok(view.target.clone()));
            /// How often the link was opened, this time too; other nodes' views of the last seconds may be missing.
            viewCount => leaf(|view| &view.view_count);
            /// When the link ends; null is never.
            expiresAt => value(|view: &SharedView| view.link.expires_at);
        }
    }
}

/// A link to make.
#[derive(InputObject, Clone, Debug)]
struct CreateShareLinkInput {
    /// The artifact or the collection that it leads to.
    target_id: ID,
    /// When it ends; after 30 days where it is absent, never where it is null.
    expires_at: MaybeUndefined<DateTime>,
}

/// Declares the root fields that write links.
pub(super) fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Makes a link to an artifact or a collection of the viewer's, at most 100 of them that are not revoked. Whoever
        /// has the link may read what it leads to, whatever its visibility, until it expires or is revoked.
        ///
        /// The token is told once: a request that is tried again with the same Idempotency-Key is told null.
        createShareLink => write::<CreateShareLinkInput, _>(|input, write| Box::pin(create(write, input)));
        /// Revokes a link: from now on it leads nowhere.
        revokeShareLink => write::<DeleteInput, _>(|input, write| Box::pin(revoke(write, input)));
    }
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
    let mut sql = write.sql();
    sql.push("insert into share_links (id, artifact_id, collection_id, hash, created_at, expires_at) select ");
    sql.bind(Arg::Id(id)).push(", ");
    target.bind(&mut sql);
    sql.push(", ").bind(Arg::Text(Some(token.hash()))).push(", ").bind(Arg::Time(now)).push(", ");
    sql.bind(Arg::OptionalTime(expires_at));
    sql.push(" where (select count(*) from share_links l where l.revoked_at is null and l.");
    match target {
        Target::Artifact(id) => sql.push("artifact_id = ").bind(Arg::Id(id)),
        Target::Collection(id) => sql.push("collection_id = ").bind(Arg::Id(id)),
    };
    sql.push(") < ").int(LINKS_MAX);
    if write.execute("share_links.insert", sql).await? == 0 {
        let message = format!("there are {LINKS_MAX} links to it already: revoke one");
        return Err(Error::new(Code::LimitExceeded, message).in_field("targetId"));
    }
    write.mark_one_time_secret();
    write.invalidate_caches();
    Ok(ShareLinkPayload { id, token: Some(token.reveal().to_owned()) })
}

async fn revoke(write: &mut Write<'_>, input: &DeleteInput) -> Result<ShareLinkPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update share_links as l set revoked_at = coalesce(l.revoked_at, ").bind(Arg::Time(now));
    sql.push(") where l.id = ").bind(Arg::Id(id));
    policy::own_links().append(&mut sql);
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
    /// Not kept for requests that are tried again.
    #[serde(skip)]
    token: Option<String>,
}

impl Object for ShareLinkPayload {
    fn name() -> String {
        "ShareLinkPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The link that was written.
            type;
            /// The link as it is now.
            shareLink => batch::<NoArguments, ShareLink>(|payloads, _, node| Box::pin(async move {
                let keys = payloads.iter().map(|payload| payload.id).collect();
                let found = node.load::<ShareLink, _>(LinkById, keys).await?;
                let link = |(link, payload): (Option<ShareLink>, &Self)| {
                    let link = link.ok_or_else(|| Error::new(Code::NotFound, "the link was deleted meanwhile"))?;
                    Ok(ShareLink { token: payload.token.clone(), ..link })
                };
                found.into_iter().zip(payloads).map(link).collect()
            }));
        }
    }
}
