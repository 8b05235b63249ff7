//! Trusted documents in the database: operators add, list and remove them.
use std::collections::HashMap;

use super::sha256;
use crate::{
    append,
    db::{Db, Row, RowTable, Time, Transaction, in_texts},
    error::{Code, Error, Result},
    row_table, statement,
};

/// A trusted document as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedDocument {
    /// The identifier that clients send.
    pub id: String,
    /// The text.
    pub text: String,
    /// The operations, such as `query Artifacts, mutation Rename`.
    pub operations: String,
    /// Time at which it was added or replaced.
    pub created_at: Time,
}

/// A valid document that is to be trusted.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// The identifier that clients send.
    pub id: String,
    /// The text.
    pub text: String,
    /// The operations, such as `query Artifacts, mutation Rename`.
    pub operations: String,
}

/// How documents are added.
#[derive(Clone, Copy, Debug)]
pub struct AddOptions {
    /// Replaces stored documents that have the same identifier and another text.
    pub replace: bool,
    /// Maximum number of trusted documents.
    pub count_max: u32,
    /// Writes nothing.
    pub dry_run: bool,
}

/// The outcome of adding documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// All documents are stored now, or would be without `dry_run`.
    Stored {
        /// New documents.
        created: usize,
        /// Documents that replaced another text.
        replaced: usize,
        /// Documents that were stored before.
        unchanged: usize,
    },
    /// Nothing was written: these identifiers are stored with another text, and replacing was not requested.
    Conflicts(Vec<String>),
}

row_table! {
    struct NewRow { id: String, hash: String, body: String, bytes: i64, operations: String }
}

impl From<&NewDocument> for NewRow {
    fn from(document: &NewDocument) -> Self {
        Self {
            id: document.id.clone(),
            hash: sha256(&document.text),
            bytes: document.text.len() as i64,
            body: document.text.clone(),
            operations: document.operations.clone(),
        }
    }
}

/// Stores documents with distinct identifiers, all or none. Other nodes know them at once.
///
/// # Errors
/// `LIMIT_EXCEEDED` if there would be too many, or that of a statement.
pub async fn add(db: &Db, documents: &[NewDocument], options: AddOptions) -> Result<Added> {
    let mut tx = db.begin().await?;
    // The row is locked until the commit, so that concurrent changes follow each other.
    change_revision(&mut tx).await?;
    let stored = hashes(&mut tx, documents).await?;
    let is_changed =
        |document: &&NewDocument| stored.get(&document.id).is_some_and(|hash| *hash != sha256(&document.text));
    let changed: Vec<&NewDocument> = documents.iter().filter(is_changed).collect();
    if !changed.is_empty() && !options.replace {
        return Ok(Added::Conflicts(changed.into_iter().map(|document| document.id.clone()).collect()));
    }
    let created: Vec<&NewDocument> = documents.iter().filter(|document| !stored.contains_key(&document.id)).collect();
    let added = Added::Stored {
        created: created.len(),
        replaced: changed.len(),
        unchanged: documents.len() - created.len() - changed.len(),
    };
    let rows: Vec<&NewDocument> = created.into_iter().chain(changed).collect();
    if rows.is_empty() {
        return Ok(added);
    }
    insert(&mut tx, &rows).await?;
    check_count(&mut tx, options.count_max).await?;
    if !options.dry_run {
        tx.commit().await?;
    }
    Ok(added)
}

/// Counts a change of trusted documents.
async fn change_revision(tx: &mut Transaction) -> Result<()> {
    let sql = statement!(tx, "update trusted_revision set revision = revision + 1");
    tx.execute("trusted_documents.change", sql).await.map(|_| ())
}

/// The hashes of the stored documents with the same identifiers.
async fn hashes(tx: &mut Transaction, documents: &[NewDocument]) -> Result<HashMap<String, String>> {
    let ids: Vec<String> = documents.iter().map(|document| document.id.clone()).collect();
    let sql = statement!(tx, "select t.id, t.hash from trusted_documents t where t.id {ids}", ids = in_texts(&ids));
    let found = tx.fetch_with("trusted_documents.hashes", sql, |row| Ok((row.next()?, row.next()?))).await?;
    Ok(found.into_iter().collect())
}

async fn insert(tx: &mut Transaction, documents: &[&NewDocument]) -> Result<()> {
    let rows = RowTable::of(documents.iter().map(|document| NewRow::from(*document)));
    let sql = statement!(
        tx,
        "insert into trusted_documents (id, hash, body, bytes, operations, created_at)
         select r.id, r.hash, r.body, r.bytes, r.operations, {now}
         from {rows} r
         where true
         on conflict (id) do update set hash = excluded.hash, body = excluded.body, bytes = excluded.bytes,
           operations = excluded.operations, created_at = excluded.created_at",
        now = Time::now(),
        rows = &rows,
    );
    tx.execute("trusted_documents.insert", sql).await.map(|_| ())
}

async fn check_count(tx: &mut Transaction, max: u32) -> Result<()> {
    let sql = statement!(tx, "select count(*) from trusted_documents t");
    let count = tx.fetch::<i64>("trusted_documents.count", sql).await?.first().copied().unwrap_or_default();
    if count <= i64::from(max) {
        return Ok(());
    }
    let message = format!(
        "there would be {count} trusted documents, {max} are allowed: remove some with `gatherum documents remove`, or raise \
         documents.trusted_count"
    );
    Err(Error::new(Code::LimitExceeded, message))
}

/// All trusted documents, by identifier.
///
/// # Errors
/// That of the statement.
pub async fn list(db: &Db) -> Result<Vec<TrustedDocument>> {
    let sql = statement!(db, "select t.id, t.body, t.operations, t.created_at from trusted_documents t order by t.id");
    let read = |row: &mut Row<'_>| {
        let (id, text, operations, created_at) = (row.next()?, row.next()?, row.next()?, row.next()?);
        Ok(TrustedDocument { id, text, operations, created_at })
    };
    db.primary().fetch_with("trusted_documents.all", sql, read).await
}

/// Removes the documents with these identifiers, or all, and returns the removed identifiers. All nodes stop executing them
/// within a second.
///
/// # Errors
/// That of a statement.
pub async fn remove(db: &Db, ids: Option<&[String]>) -> Result<Vec<String>> {
    let mut tx = db.begin().await?;
    change_revision(&mut tx).await?;
    let mut sql = statement!(tx, "delete from trusted_documents as t");
    if let Some(ids) = ids {
        append!(sql, " where t.id {ids}", ids = in_texts(ids));
    }
    append!(sql, " returning id");
    let removed = tx.fetch::<String>("trusted_documents.remove", sql).await?;
    tx.commit().await?;
    Ok(removed)
}
