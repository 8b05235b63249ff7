//! Shares from one account to another.
use async_graphql::{ID, InputObject};
use uuid::Uuid;

use super::{Shareable, Target, TargetOfShare, end, import, load_targets};
use crate::{
    append,
    catalog::{
        Mutation,
        fields::DeclareFields,
        input::{self, DeleteInput, rejected},
        policy, rules,
        user::{self, UserById},
    },
    db::{Policy, Record, Row, SelectColumns, SelectList, Sql, Text, Time, columns, either, in_ids, with},
    error::{Code, Error, Result},
    field,
    graphql::{
        Loads, SortType, Write, WriteFields,
        list::ListOrder,
        object::{NoArguments, Object, ObjectBuilder},
        paged_list::ConnectionNames,
        scalar::DateTime,
    },
    list, payload, relation, statement,
};

/// Prefix of the ids of shares.
pub const PREFIX: &str = "share";

/// Maximum number of shares that an account creates within an hour.
const PER_HOUR_MAX: i64 = 10;
const HOUR_US: i64 = 60 * 60 * 1_000_000;

/// A share from one account to another.
#[derive(Clone, Debug)]
pub struct Share {
    id: Uuid,
    target: Target,
    sender: Uuid,
    recipient: Uuid,
    message: Option<Text>,
    viewed_at: Option<Time>,
    imported_at: Option<Time>,
    expires_at: Time,
    created_at: Time,
}

impl Record for Share {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.next()?,
            target: Target::read(row)?,
            sender: row.next()?,
            recipient: row.next()?,
            message: row.next_or_null()?,
            viewed_at: row.next_or_null()?,
            imported_at: row.next_or_null()?,
            expires_at: row.next()?,
            created_at: row.next()?,
        })
    }
}

impl SelectColumns for Share {
    fn columns(list: &mut SelectList) {
        for column in [
            "s.id",
            "s.artifact_id",
            "s.collection_id",
            "s.sender_id",
            "s.recipient_id",
            "s.message",
            "s.viewed_at",
            "s.imported_at",
            "s.expires_at",
            "s.created_at",
        ] {
            list.push(column);
        }
    }
}

impl Object for Share {
    const NAME: &'static str = "Share";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&[
            "A share from one account to another. Until it expires, the recipient can read the shared object, \
            regardless of its visibility. Only the two accounts see the share.",
        ]);
        fields.implements("Node");
        fields.node_id(PREFIX, |share| share.id);
        fields.batch::<NoArguments, Shareable>(
            field!("target", "The shared object."),
            Loads::of(TargetOfShare),
            |shares, _, field| Box::pin(load_targets(field, shares.iter().map(|share| share.target).collect())),
        );
        fields.required(field!("sender", "The account that shared it."), |share| share.sender, UserById);
        fields.required(field!("recipient", "The account that received it."), |share| share.recipient, UserById);
        fields.value(field!("message", "Message of the sender."), |share: &Self| share.message.clone());
        fields.value(field!("viewedAt", "Time when the recipient first viewed it; null before."), |share: &Self| {
            share.viewed_at
        });
        fields
            .value(field!("importedAt", "Time when the recipient first imported it; null before."), |share: &Self| {
                share.imported_at
            });
        fields.leaf(field!("expiresAt", "Time when the share expires."), |share| &share.expires_at);
        fields.leaf(field!("createdAt", "Time of creation."), |share| &share.created_at);
    }
}

relation! {
    /// Shares by their ids.
    pub ShareById("Query.node(Share)"): Uuid => Option<Share>;
    "select s.id, {columns} from shares s where s.id {in_keys} {s_visible}",
    columns = columns::<Share>(),
    s_visible = policy::shares(),
}

const SHARES: ConnectionNames = ConnectionNames { connection: "ShareConnection", edge: "ShareEdge", nodes: "shares" };

list! {
    /// Shares that an account has received and that have not expired, newest first.
    pub ReceivedShares("Viewer.receivedShares"): Share, SHARES;
    from: "shares s",
    parent: "s.recipient_id",
    row: "s.rowid",
    policy: Policy::exempt("the parent is the viewer"),
    order: BY_CREATION,
    filter: |sql: &mut Sql| {
        append!(sql, " and s.expires_at > {now}", now = Time::now());
    },
}

list! {
    /// Shares that an account has sent, newest first.
    pub SentShares("Viewer.sentShares"): Share, SHARES;
    from: "shares s",
    parent: "s.sender_id",
    row: "s.rowid",
    policy: Policy::exempt("the parent is the viewer"),
    order: BY_CREATION,
}

const BY_CREATION: ListOrder =
    ListOrder::descending("CREATED_AT", &[("s.created_at", SortType::Time), ("s.id", SortType::Id)]);

/// An object to share with an account.
#[derive(InputObject, Clone, Debug)]
struct ShareWithUserInput {
    /// ID of the artifact or the collection.
    target_id: ID,
    /// ID of the account that receives it.
    recipient_id: ID,
    /// Message to the recipient.
    message: Option<String>,
    /// Time when the share expires. Default: after 30 days.
    expires_at: Option<DateTime>,
}

/// A share to import.
#[derive(InputObject, Clone, Debug)]
pub(super) struct ImportShareInput {
    /// ID of the share.
    pub(super) share_id: ID,
    /// ID of a collection of the viewer.
    pub(super) collection_id: ID,
}

/// Declares the mutations on shares.
pub(super) fn declare_mutations(fields: &mut ObjectBuilder<'_, '_, Mutation>) {
    fields.write(
        field!(
            "shareWithUser",
            "Shares an artifact or a collection of the viewer with another account, which can then read it. At most ten \
             shares an hour."
        ),
        |input, write| Box::pin(create(write, input)),
    );
    fields.write(
        field!(
            "revokeShare",
            "Ends a share of the viewer: the recipient can no longer read the object through it. Imported artifacts stay."
        ),
        |input, write| Box::pin(revoke(write, input)),
    );
    fields.write(
        field!("markShareViewed", "Records that the viewer, who is the recipient, has viewed a share."),
        |input, write| Box::pin(mark_viewed(write, input)),
    );
    fields.write(
        field!(
            "importShare",
            "Adds a shared artifact, or up to 1,000 artifacts of a shared collection, to a collection of the viewer. \
             Artifacts that are not public are copied, because only their owner can add them to collections; an artifact of \
             the viewer with the same type and name takes the place of the copy."
        ),
        |input, write| Box::pin(import::import(write, input)),
    );
}

async fn create(write: &mut Write<'_>, input: &ShareWithUserInput) -> Result<SharePayload> {
    let target = Target::parse(&input.target_id)?;
    let recipient = input::id(user::PREFIX, "recipientId", &input.recipient_id)?;
    rules::text(input.message.as_deref()).map_err(rejected("message"))?;
    let now = write.now();
    let expires_at = end(now, input.expires_at.map(|time| time.0))?;
    // Without accounts there is no recipient.
    let sender = write.viewer().user.ok_or_else(|| input::not_found("account", "recipientId"))?;
    if sender == recipient {
        let message = "the recipient is the viewer, who owns the object";
        return Err(Error::bad_user_input(message).in_field("recipientId"));
    }
    lock_accounts(write, sender, recipient).await?;
    target.lock(write).await?;
    ensure_below_limit(write, sender).await?;
    let id = Uuid::now_v7();
    let (artifact, collection) = target.ids();
    let sql = statement!(
        write,
        "insert into shares
           (id, artifact_id, collection_id, sender_id, recipient_id, message, created_at, expires_at)
         values ({id}, {artifact}, {collection}, {sender}, {recipient}, {message}, {now}, {expires_at})",
        id,
        artifact,
        collection,
        sender,
        recipient,
        message = input.message.clone(),
        now,
        expires_at,
    );
    write.execute("shares.insert", sql).await?;
    Ok(SharePayload(id))
}

/// Locks both accounts, so that the shares of the sender are counted one after the other.
async fn lock_accounts(write: &mut Write<'_>, sender: Uuid, recipient: Uuid) -> Result<()> {
    let sql = statement!(
        write,
        "select u.id from users u where u.id {accounts} order by u.id {lock}",
        accounts = in_ids(&[sender, recipient]),
        lock = either("", "for no key update"),
    );
    if write.fetch::<Uuid>("users.lock", sql).await?.len() < 2 {
        return Err(input::not_found("account", "recipientId"));
    }
    Ok(())
}

async fn ensure_below_limit(write: &mut Write<'_>, sender: Uuid) -> Result<()> {
    let sql = statement!(
        write,
        "select count(*) from shares s
         where s.sender_id = {sender} and s.created_at > {since} {exempt: counts the viewer's own shares}",
        sender,
        since = Time(write.now().0 - HOUR_US),
    );
    if write.fetch::<i64>("shares.recent", sql).await?.first().is_some_and(|count| *count >= PER_HOUR_MAX) {
        let message = format!("at most {PER_HOUR_MAX} shares an hour are allowed: try again later");
        return Err(Error::new(Code::LimitExceeded, message));
    }
    Ok(())
}

async fn revoke(write: &mut Write<'_>, input: &DeleteInput) -> Result<SharePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let sql = statement!(
        write,
        "select {may_change} from shares s where s.id = {id} {s_visible} {lock}",
        may_change = policy::may_change("s.sender_id"),
        id,
        s_visible = policy::shares(),
        lock = either("", "for update of s"),
    );
    let found = write.fetch::<i64>("shares.lock", sql).await?;
    input::ensure_may_change("share", "id", found.first().map(|may_change| *may_change == 1))?;
    let sql = statement!(
        write,
        "update shares as s
         set expires_at = {now}
         where s.id = {id} and s.expires_at > {now} {exempt: the share is locked}",
        now = write.now(),
        id,
    );
    write.execute("shares.revoke", sql).await?;
    Ok(SharePayload(id))
}

async fn mark_viewed(write: &mut Write<'_>, input: &DeleteInput) -> Result<SharePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    if touch(write, id, false).await? == 0 {
        return Err(input::not_found("share", "id"));
    }
    Ok(SharePayload(id))
}

/// Records that the recipient, who is the viewer, has viewed or imported a share, unless it has expired. Returns the number
/// of such shares.
pub(super) async fn touch(write: &mut Write<'_>, id: Uuid, is_imported: bool) -> Result<u64> {
    let now = write.now();
    let sql = statement!(
        write,
        "update shares as s
         set viewed_at = coalesce(s.viewed_at, {now}) {imported}
         where s.id = {id} and s.recipient_id = {recipient} and s.expires_at > {now}
         {exempt: only shares that the viewer received}",
        now,
        imported = with(&|sql| {
            if is_imported {
                append!(sql, ", imported_at = coalesce(s.imported_at, {now})", now);
            }
        }),
        id,
        recipient = write.viewer().user.unwrap_or(Uuid::nil()),
    );
    write.execute("shares.update", sql).await
}

payload! {
    /// The share that was written.
    struct SharePayload { "share": ShareById }
}
