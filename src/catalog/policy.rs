//! Row-level policy: the conditions on what the viewer may see and change, which statements include as placeholders.
//!
//! An account sees its own objects and public ones in lists. By id it also reads unlisted objects, and those that were
//! shared with it. A viewer who can see a collection sees its artifacts, its groups and their order; so an object that is
//! reached from a visible one needs a condition only if it can belong to a collection that is not visible. A collection
//! contains artifacts of its owner and public ones of other accounts, which `collection::write` ensures.
//!
//! A statement with unrestricted access has no conditions, and no cost.
use uuid::Uuid;

use crate::{
    append,
    db::{AccessScope, Arg, Fragment, Policy, Sql, Time, text},
};

/// How a statement reaches an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// In a list, a search or a count.
    InLists,
    /// By its id.
    ById,
}

/// The artifacts under the alias `a` that the viewer may see.
pub const fn artifacts(access: Access) -> Policy {
    match access {
        Access::InLists => Policy::new("a", artifacts_in_lists),
        Access::ById => Policy::new("a", artifacts_by_id),
    }
}

fn artifacts_in_lists(sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    append!(
        sql,
        "and (a.owner_id = {user}
           or a.visibility = 'PUBLIC'
           or exists (select 1 from collection_artifacts vm join collections vc on vc.id = vm.collection_id
             where vm.artifact_id = a.id and vc.visibility = 'PUBLIC')) {exempt: this is the policy}",
        user
    );
}

fn artifacts_by_id(sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    append!(
        sql,
        "and (a.owner_id = {user}
           or a.visibility <> 'PRIVATE'
           or exists (select 1 from shares vs
             where vs.artifact_id = a.id and vs.recipient_id = {user} and vs.expires_at > {now})
           or exists (select 1 from collection_artifacts vm join collections vc on vc.id = vm.collection_id
             where vm.artifact_id = a.id
               and (vc.visibility <> 'PRIVATE'
                 or exists (select 1 from shares vs
                   where vs.collection_id = vc.id and vs.recipient_id = {user} and vs.expires_at > {now}))))
         {exempt: this is the policy}",
        user,
        now = Time::now(),
    );
}

/// The collections under the alias `c` that the viewer may see.
pub const fn collections(access: Access) -> Policy {
    match access {
        Access::InLists => Policy::new("c", collections_in_lists),
        Access::ById => Policy::new("c", collections_by_id),
    }
}

fn collections_in_lists(sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    append!(sql, "and (c.owner_id = {user} or c.visibility = 'PUBLIC')", user);
}

fn collections_by_id(sql: &mut Sql) {
    let Some(user) = restricted(sql) else { return };
    append!(
        sql,
        "and (c.owner_id = {user}
           or c.visibility <> 'PRIVATE'
           or exists (select 1 from shares vs
             where vs.collection_id = c.id and vs.recipient_id = {user} and vs.expires_at > {now}))
         {exempt: this is the policy}",
        user,
        now = Time::now(),
    );
}

/// The groups under the alias `g` that the viewer may see: those of visible collections.
pub const fn groups(access: Access) -> Policy {
    match access {
        Access::InLists => Policy::new("g", |sql| groups_of(Access::InLists, sql)),
        Access::ById => Policy::new("g", |sql| groups_of(Access::ById, sql)),
    }
}

fn groups_of(access: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        append!(
            sql,
            "and exists (select 1 from collections c where c.id = g.collection_id {c_visible})",
            c_visible = collections(access),
        );
    }
}

/// The versions under the alias `v` that the viewer may see: those of visible artifacts.
pub const fn versions() -> Policy {
    Policy::new("v", |sql| {
        if is_restricted(sql) {
            append!(
                sql,
                "and exists (select 1 from artifacts a where a.id = v.artifact_id {a_visible})",
                a_visible = artifacts(Access::ById),
            );
        }
    })
}

/// The tags under the alias `t` that the viewer may see: those of visible artifacts.
pub const fn tags(access: Access) -> Policy {
    match access {
        Access::InLists => Policy::new("t", |sql| tags_of(Access::InLists, sql)),
        Access::ById => Policy::new("t", |sql| tags_of(Access::ById, sql)),
    }
}

fn tags_of(access: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        append!(
            sql,
            "and exists (select 1 from artifact_tags vt join artifacts a on a.id = vt.artifact_id
               where vt.tag_id = t.id {a_visible})",
            a_visible = artifacts(access),
        );
    }
}

/// The memberships under the alias `m` that the viewer may see: those of visible collections.
pub const fn memberships(access: Access) -> Policy {
    match access {
        Access::InLists => Policy::new("m", |sql| memberships_of(Access::InLists, sql)),
        Access::ById => Policy::new("m", |sql| memberships_of(Access::ById, sql)),
    }
}

fn memberships_of(access: Access, sql: &mut Sql) {
    if is_restricted(sql) {
        append!(
            sql,
            "and exists (select 1 from collections c where c.id = m.collection_id {c_visible})",
            c_visible = collections(access),
        );
    }
}

/// The tags of artifacts under the alias `l` that the viewer may see: those of artifacts that the viewer may list.
pub const fn artifact_tags() -> Policy {
    Policy::new("l", |sql| {
        if is_restricted(sql) {
            append!(
                sql,
                "and exists (select 1 from artifacts a where a.id = l.artifact_id {a_visible})",
                a_visible = artifacts(Access::InLists),
            );
        }
    })
}

/// The shares under the alias `s` that the viewer may see: all that the viewer has sent, and those received that have not
/// expired.
pub const fn shares() -> Policy {
    Policy::new("s", |sql| {
        let Some(user) = restricted(sql) else { return };
        append!(
            sql,
            "and (s.sender_id = {user} or (s.recipient_id = {user} and s.expires_at > {now}))",
            user,
            now = Time::now(),
        );
    })
}

/// The accounts under the alias `u` that the viewer may see: all of them, or none without an account.
pub const fn users() -> Policy {
    Policy::new("u", |sql| {
        if sql.access_scope() == AccessScope::Anonymous {
            append!(sql, "and false");
        }
    })
}

/// The artifacts under the alias `a` that the viewer may change.
pub const fn own_artifacts() -> Policy {
    Policy::new("a", |sql| own("a.owner_id", sql))
}

/// The collections under the alias `c` that the viewer may change.
pub const fn own_collections() -> Policy {
    Policy::new("c", |sql| own("c.owner_id", sql))
}

fn own(owner: &'static str, sql: &mut Sql) {
    if let Some(user) = restricted(sql) {
        append!(sql, "and {owner} = {user}", owner = text(owner), user);
    }
}

/// The memberships under the alias `m` of artifacts that the viewer may change.
pub const fn memberships_of_own_artifacts() -> Policy {
    Policy::new("m", |sql| {
        let Some(user) = restricted(sql) else { return };
        append!(
            sql,
            "and exists (select 1 from artifacts vo where vo.id = m.artifact_id and vo.owner_id = {user})
             {exempt: this is the policy}",
            user
        );
    })
}

/// The links under the alias `l` to artifacts and collections that the viewer may change.
pub const fn own_links() -> Policy {
    Policy::new("l", |sql| {
        if is_restricted(sql) {
            append!(
                sql,
                "and (exists (select 1 from artifacts a where a.id = l.artifact_id {a_own})
                   or exists (select 1 from collections c where c.id = l.collection_id {c_own}))",
                a_own = own_artifacts(),
                c_own = own_collections(),
            );
        }
    })
}

/// 1 if the viewer may change the objects of the account in the column `owner`, else 0.
pub fn may_change<'a>(owner: &'static str) -> Fragment<'a> {
    Fragment::WriteFor(owner, |owner, sql| match restricted(sql) {
        Some(user) => {
            append!(sql, "cast(case when {owner} = {user} then 1 else 0 end as bigint)", owner = text(owner), user,);
        }
        None => {
            append!(sql, "cast(1 as bigint)");
        }
    })
}

/// Whether statements have conditions.
fn is_restricted(sql: &Sql) -> bool {
    restricted(sql).is_some()
}

/// The account that conditions are about, unless access is unrestricted. The nil account, which a viewer without an account
/// has, owns nothing.
fn restricted(sql: &Sql) -> Option<Arg> {
    match sql.access_scope() {
        AccessScope::Unrestricted => None,
        AccessScope::User(user) => Some(Arg::Id(user)),
        AccessScope::Anonymous => Some(Arg::Id(Uuid::nil())),
    }
}
