//! Shares: from one account to another, which may then read what was shared.
use async_graphql::{ID, InputObject};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Shareable, Target, end, import, load_targets};
use crate::{
    catalog::{
        Mutation,
        input::{self, DeleteInput, refused},
        policy, rules,
        user::{self, User, UserById},
    },
    db::{Arg, Policy, Record, Row, SelectColumns, SelectList, Sql, Text, Time, columns},
    error::{Code, Error, Result},
    fields,
    graphql::{
        SortType, Write,
        connection::{Connected, ConnectionNames},
        id::GlobalId,
        list::{List, Order},
        object::{Fields, NoArguments, Object},
        scalar::DateTime,
    },
    relation,
};

/// Prefix of the ids of shares.
pub const PREFIX: &str = "share";

/// Shares that one account may make within an hour.
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
    fn name() -> String {
        "Share".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A share from one account to another: until it ends, the recipient may read what was shared, whatever its
            /// visibility. The two see it, and nobody else.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|share: &Share| GlobalId { prefix: PREFIX, id: share.id });
            /// What was shared.
            target => batch::<NoArguments, Shareable>(|shares, _, node| Box::pin(async move {
                let targets: Vec<Target> = shares.iter().map(|share| share.target).collect();
                load_targets(node, &targets).await
            }));
            /// Who shared it.
            sender => load::<NoArguments, _, _>(|share| share.sender, |_, _, _| Ok(UserById), required);
            /// Whom it was shared with.
            recipient => load::<NoArguments, _, _>(|share| share.recipient, |_, _, _| Ok(UserById), required);
            /// What the sender says of it.
            message => value(|share: &Share| share.message.clone());
            /// When the recipient looked at it; null where that is yet to be.
            viewedAt => value(|share: &Share| share.viewed_at);
            /// When the recipient put it into a collection; null where that is yet to be.
            importedAt => value(|share: &Share| share.imported_at);
            /// When it ends.
            expiresAt => leaf(|share| &share.expires_at);
            /// When it was made.
            createdAt => leaf(|share| &share.created_at);
        }
    }
}

fn required(user: Option<User>) -> Result<User> {
    user.ok_or_else(|| Error::new(Code::NotFound, "the account was deleted meanwhile"))
}

relation! {
    /// Shares by their ids.
    pub ShareById("Query.node(Share)"): Uuid => Option<Share>;
    "select s.id, {columns} from shares s where s.id {in_keys} {s_visible}",
    columns: columns::<Share>(),
    s_visible: policy::shares(),
}

const SHARES: ConnectionNames = ConnectionNames { connection: "ShareConnection", edge: "ShareEdge", nodes: "shares" };

macro_rules! share_list {
    ($(#[doc = $doc:literal])* $name:ident, $label:literal, $total:literal, $parent:literal, $filter:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name;

        impl List for $name {
            type Parent = Uuid;
            type Row = Share;
            const NAME: &'static str = $label;
            const TOTAL_NAME: &'static str = $total;
            const FROM: &'static str = "shares s";
            const PARENT: &'static str = $parent;
            const ROW: &'static str = "s.rowid";

            fn order(&self) -> Order {
                const COLUMNS: &[(&str, SortType)] = &[("s.created_at", SortType::Time), ("s.id", SortType::Id)];
                Order { name: "CREATED_AT", columns: COLUMNS, descending: true }
            }

            const POLICY: Policy = Policy::exempt("the parent is the viewer");

            fn filter(&self, sql: &mut Sql) {
                let filter: fn(&mut Sql) = $filter;
                filter(sql);
            }
        }

        impl Connected for $name {
            type Node = Share;
            const TYPES: ConnectionNames = SHARES;

            fn node(row: &Share) -> Share {
                row.clone()
            }
        }
    };
}

share_list!(
    /// What was shared with an account and has not ended, the newest first.
    ReceivedShares,
    "Viewer.receivedShares",
    "Viewer.receivedShares.totalCount",
    "s.recipient_id",
    |sql| {
        sql.push(" and s.expires_at > ").bind(Arg::Time(Time::now()));
    }
);
share_list!(
    /// What an account has shared, the newest first.
    SentShares,
    "Viewer.sentShares",
    "Viewer.sentShares.totalCount",
    "s.sender_id",
    |_| {}
);

/// Something to share with an account.
#[derive(InputObject, Clone, Debug)]
struct ShareWithUserInput {
    /// The artifact or the collection.
    target_id: ID,
    /// The account.
    recipient_id: ID,
    /// What to say of it.
    message: Option<String>,
    /// When it ends; after 30 days where it is absent.
    expires_at: Option<DateTime>,
}

/// What was shared, and where to put it.
#[derive(InputObject, Clone, Debug)]
pub(super) struct ImportShareInput {
    /// The share.
    pub(super) share_id: ID,
    /// A collection of the viewer's.
    pub(super) collection_id: ID,
}

/// Declares the root fields that write shares.
pub(super) fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Shares an artifact or a collection of the viewer's with another account, which may then read it; at most ten times
        /// an hour.
        shareWithUser => write::<ShareWithUserInput, _>(|input, write| Box::pin(create(write, input)));
        /// Ends a share of the viewer's before its time: from now on the recipient may not read what was shared by it. What
        /// was imported stays.
        revokeShare => write::<DeleteInput, _>(|input, write| Box::pin(revoke(write, input)));
        /// Notes that the recipient, who is the viewer, has looked at a share.
        markShareViewed => write::<DeleteInput, _>(|input, write| Box::pin(mark_viewed(write, input)));
        /// Puts what was shared into one of the viewer's own collections: an artifact, or all that a shared collection
        /// holds, at most 1,000. What is not public is copied, since only its owner can put it into a collection; the
        /// viewer's own artifact with the same type and name is taken for the copy.
        importShare => write::<ImportShareInput, _>(|input, write| Box::pin(import::import(write, input)));
    }
}

async fn create(write: &mut Write<'_>, input: &ShareWithUserInput) -> Result<SharePayload> {
    let target = Target::parse(&input.target_id)?;
    let recipient = input::id(user::PREFIX, "recipientId", &input.recipient_id)?;
    rules::text(input.message.as_deref()).map_err(refused("message"))?;
    let now = write.now();
    let expires_at = end(now, input.expires_at.map(|time| time.0))?;
    let no_account = || Error::new(Code::NotFound, "there is no account with this id").in_field("recipientId");
    // Without accounts there is nobody to share with.
    let sender = write.viewer().user.ok_or_else(no_account)?;
    if sender == recipient {
        return Err(Error::bad_user_input("what is shared is the recipient's already").in_field("recipientId"));
    }
    // Locks the sender, so that shares are counted one after the other.
    let mut sql = write.sql();
    sql.push("select u.id from users u where u.id").in_ids(&[sender, recipient]);
    sql.push(" order by u.id").either("", " for no key update");
    if write.fetch::<Uuid>("users.lock", sql).await?.len() < 2 {
        return Err(no_account());
    }
    target.lock(write).await?;
    let mut sql = write.sql();
    sql.push("select count(*) from shares s where s.sender_id = ").bind(Arg::Id(sender));
    sql.push(" and s.created_at > ").bind(Arg::Time(Time(now.0 - HOUR_US)));
    if write.fetch::<i64>("shares.recent", sql).await?.first().is_some_and(|count| *count >= PER_HOUR_MAX) {
        let message = format!("at most {PER_HOUR_MAX} shares can be made within an hour: try again later");
        return Err(Error::new(Code::LimitExceeded, message));
    }
    let id = Uuid::now_v7();
    let mut sql = write.sql();
    sql.push("insert into shares (id, artifact_id, collection_id, sender_id, recipient_id, message, created_at, ");
    sql.push("expires_at) values (").bind(Arg::Id(id)).push(", ");
    target.bind(&mut sql);
    sql.push(", ").bind(Arg::Id(sender)).push(", ").bind(Arg::Id(recipient)).push(", ");
    sql.bind(Arg::Text(input.message.clone())).push(", ").bind(Arg::Time(now)).push(", ");
    sql.bind(Arg::Time(expires_at)).push(")");
    write.execute("shares.insert", sql).await?;
    Ok(SharePayload(id))
}

async fn revoke(write: &mut Write<'_>, input: &DeleteInput) -> Result<SharePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let now = write.now();
    let mut sql = write.sql();
    sql.push("select ");
    policy::write_may_change("s.sender_id", &mut sql);
    sql.push(" from shares s where s.id = ").bind(Arg::Id(id));
    policy::shares().append(&mut sql);
    sql.either("", " for update of s");
    let found = write.fetch::<i64>("shares.lock", sql).await?;
    input::may_change("share", "id", found.first().map(|may_change| *may_change == 1))?;
    let mut sql = write.sql();
    sql.push("update shares as s set expires_at = ").bind(Arg::Time(now)).push(" where s.id = ").bind(Arg::Id(id));
    sql.push(" and s.expires_at > ").bind(Arg::Time(now));
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

/// Notes that a share was looked at, or imported, by the viewer who is its recipient, unless it has ended. Returns how many
/// there are.
pub(super) async fn touch(write: &mut Write<'_>, id: Uuid, is_imported: bool) -> Result<u64> {
    let now = write.now();
    let recipient = write.viewer().user.unwrap_or(Uuid::nil());
    let mut sql = write.sql();
    sql.push("update shares as s set viewed_at = coalesce(s.viewed_at, ").bind(Arg::Time(now)).push(")");
    if is_imported {
        sql.push(", imported_at = coalesce(s.imported_at, ").bind(Arg::Time(now)).push(")");
    }
    sql.push(" where s.id = ").bind(Arg::Id(id));
    sql.push(" and s.recipient_id = ").bind(Arg::Id(recipient)).push(" and s.expires_at > ").bind(Arg::Time(now));
    write.execute("shares.update", sql).await
}

/// The share that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct SharePayload(Uuid);

impl Object for SharePayload {
    fn name() -> String {
        "SharePayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The share that was written.
            type;
            /// The share as it is now.
            share => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(ShareById), written);
        }
    }
}

fn written(share: Option<Share>) -> Result<Share> {
    share.ok_or_else(|| Error::new(Code::NotFound, "the share was deleted meanwhile"))
}
