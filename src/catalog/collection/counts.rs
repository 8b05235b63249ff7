//! The kept counts of collections, compared with the members they count.
use crate::{
    db::{Db, Sql},
    error::Result,
};

/// Counts by type as the members have them, and as they are kept, side by side where they differ.
const WRONG: &str = "
    select coalesce(real.collection_id, kept.collection_id) as collection_id,
           coalesce(real.artifact_type, kept.artifact_type) as artifact_type,
           coalesce(real.n, 0) as n
    from (select m.collection_id, m.artifact_type, count(*) as n from collection_artifacts m
          group by m.collection_id, m.artifact_type) real
    full join collection_counts kept
      on kept.collection_id = real.collection_id and kept.artifact_type = real.artifact_type
    where coalesce(real.n, 0) <> coalesce(kept.n, 0)";

/// How many kept counts are wrong.
///
/// # Errors
/// That of the statement.
pub async fn wrong_counts(db: &Db) -> Result<i64> {
    let mut sql = db.sql();
    sql.push("select count(*) from (").push(WRONG).push(") wrong");
    Ok(db.fetch::<i64>("doctor.wrong_counts", sql).await?.first().copied().unwrap_or(0))
}

/// Sets every kept count to the number of members. Nothing joins or leaves a collection meanwhile.
///
/// # Errors
/// That of the statements; then nothing was changed.
pub async fn repair_counts(db: &Db) -> Result<()> {
    let mut tx = db.begin().await?;
    let run = |text: &'static str, sql: &mut Sql| {
        sql.push(text);
    };
    if tx.dialect() == crate::db::Dialect::Postgres {
        let mut sql = tx.sql();
        run("lock table collection_artifacts in share row exclusive mode", &mut sql);
        tx.execute("doctor.lock", sql).await?;
    }
    for text in [
        "delete from collection_counts",
        "insert into collection_counts (collection_id, artifact_type, n)
         select m.collection_id, m.artifact_type, count(*) from collection_artifacts m
         group by m.collection_id, m.artifact_type",
    ] {
        let mut sql = tx.sql();
        run(text, &mut sql);
        tx.execute("doctor.repair_counts", sql).await?;
    }
    tx.commit().await
}
