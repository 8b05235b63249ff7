//! What whoever asks may see: the one place where it is said, as conditions that statements carry.
//!
//! An account sees what it owns, and what is public. It can read by id, besides, what is unlisted and what was shared with
//! it. Who can see a collection sees its artifacts, groups and their order; so what is reached from an object that is seen
//! needs a condition only where it leads out of collections that are seen. A collection holds artifacts of its owner, and
//! public ones of others, which `collection::write` sees to.
//!
//! Who sees everything pays for nothing of it: then no condition is written.
use uuid::Uuid;

use crate::db::{AccessScope, Arg, Sql, Time};

/// How an object is come upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// In a list, a search or a count.
    InLists,
    /// By its id.
    ById,
}

/// Writes the condition on the artifact under the alias `a`, after ` and `.
pub fn artifacts(reach: Access, sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    sql.push(" and (a.owner_id = ").bind(user);
    match reach {
        Access::InLists => {
            sql.push(" or a.visibility = 'PUBLIC' or ");
            in_collection(sql).push("vc.visibility = 'PUBLIC'))");
        }
        Access::ById => {
            sql.push(" or a.visibility <> 'PRIVATE' or ");
            shared("vs.artifact_id = a.id", sql).push(" or ");
            in_collection(sql).push("(vc.visibility <> 'PRIVATE' or ");
            shared("vs.collection_id = vc.id", sql).push(")))");
        }
    }
}

/// Writes the condition on the collection under the alias `c`, after ` and `.
pub fn collections(reach: Access, sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    sql.push(" and (c.owner_id = ").bind(user);
    match reach {
        Access::InLists => sql.push(" or c.visibility = 'PUBLIC')"),
        Access::ById => {
            sql.push(" or c.visibility <> 'PRIVATE' or ");
            shared("vs.collection_id = c.id", sql).push(")")
        }
    };
}

/// Writes the condition on the group under the alias `g`, after ` and `: it is seen with its collection.
pub fn groups(reach: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        sql.push(" and exists (select 1 from collections c where c.id = g.collection_id");
        collections(reach, sql);
        sql.push(")");
    }
}

/// Writes the condition on the version under the alias `v`, after ` and `: it is seen with its artifact.
pub fn versions(sql: &mut Sql) {
    if is_restricted(sql) {
        sql.push(" and exists (select 1 from artifacts a where a.id = v.artifact_id");
        artifacts(Access::ById, sql);
        sql.push(")");
    }
}

/// Writes the condition on the tag under the alias `t`, after ` and `: it is seen with an artifact that has it.
pub fn tags(reach: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        sql.push(" and exists (select 1 from artifact_tags vt join artifacts a on a.id = vt.artifact_id ");
        sql.push("where vt.tag_id = t.id");
        artifacts(reach, sql);
        sql.push(")");
    }
}

/// Writes the condition on the membership under the alias `m`, after ` and `: it is seen with its collection.
pub fn memberships(reach: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        sql.push(" and exists (select 1 from collections c where c.id = m.collection_id");
        collections(reach, sql);
        sql.push(")");
    }
}

/// Writes the condition on the tag of an artifact under the alias `l`, after ` and `: it is seen with the artifact.
pub fn artifact_tags(reach: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        sql.push(" and exists (select 1 from artifacts a where a.id = l.artifact_id");
        artifacts(reach, sql);
        sql.push(")");
    }
}

/// Writes the condition on the share under the alias `s`, after ` and `: a sender sees all, a recipient those that have not
/// ended.
pub fn shares(sql: &mut Sql) {
    if let Some(user) = restricted(sql) {
        sql.push(" and (s.sender_id = ").bind(user.clone()).push(" or (s.recipient_id = ").bind(user);
        sql.push(" and s.expires_at > ").bind(Arg::Time(Time::now())).push("))");
    }
}

/// Writes the condition on the account under the alias `u`, after ` and `: accounts are known to each other.
pub fn users(sql: &mut Sql) {
    if sql.access_scope() == AccessScope::Anonymous {
        sql.push(" and false");
    }
}

/// Writes the condition that whoever asks may change what `owner` owns, after ` and `.
pub fn own(owner: &'static str, sql: &mut Sql) {
    if let Some(user) = restricted(sql) {
        sql.push(" and ").push(owner).push(" = ").bind(user);
    }
}

/// Writes the condition that whoever asks may change the artifact whose id is in `column`, after ` and `.
pub fn own_artifact(column: &'static str, sql: &mut Sql) {
    if let Some(user) = restricted(sql) {
        sql.push(" and exists (select 1 from artifacts vo where vo.id = ").push(column);
        sql.push(" and vo.owner_id = ").bind(user).push(")");
    }
}

/// Writes 1 where whoever asks may change what `owner` owns, else 0.
pub fn may_change(owner: &'static str, sql: &mut Sql) {
    match restricted(sql) {
        Some(user) => {
            sql.push("cast(case when ").push(owner).push(" = ").bind(user).push(" then 1 else 0 end as bigint)")
        }
        None => sql.push("cast(1 as bigint)"),
    };
}

/// Whether conditions are written at all.
pub fn is_restricted(sql: &Sql) -> bool {
    restricted(sql).is_some()
}

/// The account that conditions are for, where there are any. Nothing is owned by the one of who has none.
fn restricted(sql: &Sql) -> Option<Arg> {
    match sql.access_scope() {
        AccessScope::Unrestricted => None,
        AccessScope::User(user) => Some(Arg::Id(user)),
        AccessScope::Anonymous => Some(Arg::Id(Uuid::nil())),
    }
}

/// Begins the condition that a collection `vc` holds the artifact.
fn in_collection(sql: &mut Sql) -> &mut Sql {
    sql.push("exists (select 1 from collection_artifacts vm join collections vc on vc.id = vm.collection_id ")
        .push("where vm.artifact_id = a.id and ")
}

/// Writes the condition that what `target` says was shared with whoever asks, and still is.
fn shared<'s>(target: &'static str, sql: &'s mut Sql) -> &'s mut Sql {
    let user = restricted(sql).unwrap_or(Arg::Id(Uuid::nil()));
    sql.push("exists (select 1 from shares vs where ").push(target).push(" and vs.recipient_id = ").bind(user);
    sql.push(" and vs.expires_at > ").bind(Arg::Time(Time::now())).push(")")
}
