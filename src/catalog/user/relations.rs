//! Relationships that lead to accounts or start there.
use uuid::Uuid;

use super::User;
use crate::{
    catalog::policy::{self, Access},
    db::columns,
    relation,
};

relation! {
    /// Accounts by their ids.
    pub UserById("Query.node(User)"): Uuid => Option<User>;
    "select u.id, {columns} from users u where u.id {in_keys} {u_visible}",
    columns = columns::<User>(),
    u_visible = policy::users(),
}

relation! {
    /// Accounts by their names.
    pub UserByName("Query.user"): String => Option<User>;
    "select u.name, {columns} from users u where u.name {in_keys} {u_visible}",
    columns = columns::<User>(),
    u_visible = policy::users(),
}

relation! {
    /// The account that owns an artifact.
    pub OwnerOfArtifact("Artifact.owner"): Uuid => Option<User>;
    "select a.id, {columns}
     from artifacts a join users u on u.id = a.owner_id
     where a.id {in_keys} {exempt: visible with the artifact}",
    columns = columns::<User>(),
}

relation! {
    /// The account that owns a collection.
    pub OwnerOfCollection("Collection.owner"): Uuid => Option<User>;
    "select c.id, {columns}
     from collections c join users u on u.id = c.owner_id
     where c.id {in_keys} {exempt: visible with the collection}",
    columns = columns::<User>(),
}

relation! {
    /// The number of collections that an account owns and the viewer may list.
    pub CollectionCount("User.collectionCount"): Uuid => i64;
    "select c.owner_id, count(*) from collections c where c.owner_id {in_keys} {c_visible} group by c.owner_id",
    c_visible = policy::collections(Access::InLists),
}
