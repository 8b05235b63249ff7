//! The maintained counts of collections, compared with the members that they count.
use crate::{
    append,
    db::{Db, Dialect, Sql, with},
    error::Result,
    statement,
};

/// Appends a select of the counts by type that differ between the members and the maintained counts.
fn append_differences(sql: &mut Sql) {
    append!(
        sql,
        "select coalesce(actual.collection_id, maintained.collection_id) as collection_id,
           coalesce(actual.artifact_type, maintained.artifact_type) as artifact_type,
           coalesce(actual.n, 0) as n
         from (
           select m.collection_id, m.artifact_type, count(*) as n
           from collection_artifacts m
           group by m.collection_id, m.artifact_type
         ) actual
         full join collection_counts maintained
           on maintained.collection_id = actual.collection_id and maintained.artifact_type = actual.artifact_type
         where coalesce(actual.n, 0) <> coalesce(maintained.n, 0) {exempt: runs with the rights of the server}"
    );
}

/// The number of maintained counts that are wrong.
///
/// # Errors
/// The statement fails.
pub async fn wrong_counts(db: &Db) -> Result<i64> {
    let sql = statement!(db, "select count(*) from ({differences}) wrong", differences = with(&append_differences));
    Ok(db.fetch::<i64>("doctor.wrong_counts", sql).await?.first().copied().unwrap_or(0))
}

/// Sets every maintained count to the number of members. A lock prevents changes of members.
///
/// # Errors
/// A statement fails; then nothing is changed.
pub async fn repair_counts(db: &Db) -> Result<()> {
    let mut tx = db.begin().await?;
    if tx.dialect() == Dialect::Postgres {
        let lock = statement!(tx, "lock table collection_artifacts in share row exclusive mode");
        tx.execute("doctor.lock", lock).await?;
    }
    let delete = statement!(tx, "delete from collection_counts");
    tx.execute("doctor.repair_counts", delete).await?;
    let insert = statement!(
        tx,
        "insert into collection_counts (collection_id, artifact_type, n)
         select m.collection_id, m.artifact_type, count(*)
         from collection_artifacts m
         group by m.collection_id, m.artifact_type {exempt: runs with the rights of the server}"
    );
    tx.execute("doctor.repair_counts", insert).await?;
    tx.commit().await
}
