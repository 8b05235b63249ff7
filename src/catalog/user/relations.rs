//! Relationships that lead to accounts or start there.
use uuid::Uuid;

use super::User;
use crate::{
    catalog::policy::{self, Access},
    relation,
};

relation! {
    /// Accounts by their ids.
    pub UserById("Query.node(User)"): Uuid => Option<User>, rows of User;
    |keys, sql| {
        sql.push("select u.id, ").columns::<User>().push(" from users u where u.id").in_ids(keys);
        policy::users(sql);
    }
}

relation! {
    /// Accounts by their names.
    pub UserByName("Query.user"): String => Option<User>, rows of User;
    |keys, sql| {
        sql.push("select u.name, ").columns::<User>().push(" from users u where u.name").in_texts(keys);
        policy::users(sql);
    }
}

relation! {
    /// The account that owns an artifact: who can see the one may know the other.
    pub OwnerOfArtifact("Artifact.owner"): Uuid => Option<User>, rows of User;
    |keys, sql| {
        sql.push("select a.id, ").columns::<User>();
        sql.push(" from artifacts a join users u on u.id = a.owner_id where a.id").in_ids(keys);
    }
}

relation! {
    /// The account that owns a collection: who can see the one may know the other.
    pub OwnerOfCollection("Collection.owner"): Uuid => Option<User>, rows of User;
    |keys, sql| {
        sql.push("select c.id, ").columns::<User>();
        sql.push(" from collections c join users u on u.id = c.owner_id where c.id").in_ids(keys);
    }
}

relation! {
    /// How many collections an account owns that may be listed.
    pub CollectionCount("User.collectionCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select c.owner_id, count(*) from collections c where c.owner_id").in_ids(keys);
        policy::collections(Access::InLists, sql);
        sql.push(" group by c.owner_id");
    }
}
