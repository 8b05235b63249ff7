//! Locks of collections.
//!
//! Every write to a collection's members or order locks the collection row first. So the writes to a collection are
//! serialised, and so are its change events.
use std::collections::HashMap;

use uuid::Uuid;

use super::member::MAY_CONTAIN;
use crate::{
    catalog::{
        change::Audience,
        input,
        policy::{self, Access},
    },
    db::{FOR_UPDATE, Record, either, in_ids, text},
    error::{Error, Result},
    graphql::Write,
    statement,
};

/// Collections that are locked.
#[derive(Debug, Default)]
pub struct LockedCollections(HashMap<Uuid, LockedCollection>);

#[derive(Debug)]
struct LockedCollection {
    may_change: bool,
    owner: Option<Uuid>,
}

impl LockedCollections {
    /// Rejects a collection that the viewer may not change.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub fn ensure_may_change(&self, id: &Uuid, field: &'static str) -> Result<()> {
        input::ensure_may_change("collection", field, self.0.get(id).map(|collection| collection.may_change))
    }

    /// Rejects a collection that the viewer may not change, or that cannot contain an artifact of this owner.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub fn ensure_can_contain(
        &self,
        id: &Uuid,
        field: &'static str,
        owner: Option<Uuid>,
        is_public: bool,
    ) -> Result<()> {
        self.ensure_may_change(id, field)?;
        let is_own = self.0.get(id).is_some_and(|collection| collection.owner == owner);
        if is_own || is_public { Ok(()) } else { Err(input::forbidden(super::member::NOT_PUBLIC).in_field(field)) }
    }
}

/// Locks the collections that the viewer may see, in the order of their ids.
///
/// # Errors
/// The statement fails.
pub async fn lock(write: &mut Write<'_>, mut ids: Vec<Uuid>) -> Result<LockedCollections> {
    ids.sort_unstable();
    ids.dedup();
    let sql = statement!(
        write,
        "select c.id, {may_change}, c.owner_id
         from collections c
         where c.id {ids} {c_visible}
         order by c.id {lock}",
        may_change = policy::may_change("c.owner_id"),
        ids = in_ids(&ids),
        c_visible = policy::collections(Access::ById),
        lock = FOR_UPDATE,
    );
    let found = write.fetch_with("collections.lock", sql, |row| {
        let (id, may_change): (Uuid, i64) = (row.next()?, row.next()?);
        Ok((id, LockedCollection { may_change: may_change == 1, owner: row.next_or_null()? }))
    });
    Ok(LockedCollections(found.await?.into_iter().collect()))
}

/// Locks one collection, which the viewer may change.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`.
pub async fn lock_one(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<()> {
    lock(write, vec![id]).await?.ensure_may_change(&id, field)
}

/// Locks a collection, which the viewer may change. Returns the visible ones of the artifacts, and whether the collection
/// can contain them. One statement for both.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`.
pub(super) async fn lock_with_artifacts(
    write: &mut Write<'_>,
    id: Uuid,
    artifacts: &[Uuid],
) -> Result<HashMap<Uuid, bool>> {
    let sql = statement!(
        write,
        "select {may_change}, coalesce((
           select {aggregated} || case when {may_contain} then '+' else '-' end, ',')
           from artifacts a
           where a.id {artifacts} {a_visible}
         ), '')
         from collections c
         where c.id = {id} {c_visible} {lock}",
        may_change = policy::may_change("c.owner_id"),
        aggregated = either("group_concat(hex(a.id)", "string_agg(a.id::text"),
        may_contain = text(MAY_CONTAIN),
        artifacts = in_ids(artifacts),
        a_visible = policy::artifacts(Access::ById),
        id,
        c_visible = policy::collections(Access::ById),
        lock = either("", "for update of c"),
    );
    let found = write.fetch::<(i64, String)>("collections.lock", sql).await?.into_iter().next();
    let may_change = found.as_ref().map(|(may_change, _)| *may_change == 1);
    input::ensure_may_change("collection", "collectionId", may_change)?;
    let artifacts = found.map(|(_, artifacts)| artifacts).unwrap_or_default();
    let parse = |text: &str| {
        let (id, may_contain) = text.split_at(text.len() - 1);
        Ok((Uuid::try_parse(id).map_err(Error::internal)?, may_contain == "+"))
    };
    artifacts.split(',').filter(|text| !text.is_empty()).map(parse).collect()
}

/// Locks a collection, which the viewer may change and which has the expected revision. Returns who can see it.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`, `CONFLICT` for another revision.
pub(super) async fn lock_revision(write: &mut Write<'_>, id: Uuid, expected: Option<i64>) -> Result<Audience> {
    let sql = statement!(
        write,
        "select {may_change}, c.revision, c.owner_id, c.visibility
         from collections c
         where c.id = {id} {c_visible} {lock}",
        may_change = policy::may_change("c.owner_id"),
        id,
        c_visible = policy::collections(Access::ById),
        lock = FOR_UPDATE,
    );
    let found = write.fetch_with("collections.lock", sql, |row| {
        let (may_change, revision): (i64, i64) = (row.next()?, row.next()?);
        Ok((may_change == 1, revision, Audience::read(row)?))
    });
    let found = found.await?.into_iter().next();
    input::ensure_may_change("collection", "id", found.as_ref().map(|(may_change, ..)| *may_change))?;
    let (_, revision, audience) = found.ok_or_else(|| input::not_found("collection", "id"))?;
    input::expect_revision(expected, revision)?;
    Ok(audience)
}

/// Locks the collections that contain artifacts which the viewer may change. All writes lock collections before artifacts.
/// One statement.
///
/// # Errors
/// The statement fails.
pub async fn lock_containing_collections(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<()> {
    let sql = statement!(
        write,
        "select c.id
         from collections c
         where c.id in (select m.collection_id from collection_artifacts m where m.artifact_id {artifacts} {m_own})
         order by c.id {lock}",
        artifacts = in_ids(artifacts),
        m_own = policy::memberships_of_own_artifacts(),
        lock = FOR_UPDATE,
    );
    write.fetch::<Uuid>("collections.lock", sql).await?;
    Ok(())
}
