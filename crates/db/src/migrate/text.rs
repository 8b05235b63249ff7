//! Texts of earlier releases: names get normalization form C, and indexed texts their words.
//!
//! Both steps skip what is done already, so an interrupted migration continues at the next start.
use anyhow::Result;
use gatherum_engine::error::Code;
use tracing::warn;
use uuid::Uuid;

use crate::{
    Arg, Cell,
    CellType::{self, Id, Text},
    Db, Fragment, LONG_TEXT, Record, Row, SHORT_TEXT, Sql, index_words, limit, nfc, statement, text, with,
};

/// Number of rows whose names are read at once.
const NAME_ROWS: i64 = 5_000;

/// Number of rows whose texts are read at once. Each may have a text of several megabytes.
const TEXT_ROWS: i64 = 200;

/// Columns with names that are unique, or by which clients find an object.
const NAMES: [(&str, &str); 6] = [
    ("users", "name"),
    ("artifacts", "name"),
    ("collections", "name"),
    ("groups", "name"),
    ("tags", "name"),
    ("tags", "slug"),
];

/// A table with a full-text index.
struct IndexedTable {
    name: &'static str,
    /// The indexed columns, and the limits of their words.
    texts: &'static [(&'static str, usize)],
    /// The id, and the columns of their words.
    words: &'static [(&'static str, CellType)],
}

const INDEXED: [IndexedTable; 3] = [
    IndexedTable {
        name: "tags",
        texts: &[("name", SHORT_TEXT), ("slug", SHORT_TEXT)],
        words: &[("id", Id), ("name_words", Text), ("slug_words", Text)],
    },
    IndexedTable {
        name: "artifacts",
        texts: &[("name", SHORT_TEXT), ("description", LONG_TEXT), ("author", SHORT_TEXT)],
        words: &[("id", Id), ("name_words", Text), ("description_words", Text), ("author_words", Text)],
    },
    IndexedTable {
        name: "collections",
        texts: &[("name", SHORT_TEXT), ("description", LONG_TEXT)],
        words: &[("id", Id), ("name_words", Text), ("description_words", Text)],
    },
];

/// Changes names to normalization form C. A name whose other spelling another object has stays, and is reported.
///
/// # Errors
/// A statement fails.
pub(super) async fn normalize_names(db: &Db) -> Result<()> {
    for (table, column) in NAMES {
        let mut last = None;
        loop {
            let page = names(db, table, column, last).await?;
            let Some((id, _)) = page.last() else { break };
            last = Some(*id);
            for (id, name) in page.iter().filter(|(_, name)| *name != nfc(name)) {
                normalize_name(db, table, column, *id, &nfc(name)).await?;
            }
        }
    }
    Ok(())
}

async fn names(db: &Db, table: &'static str, column: &'static str, last: Option<Uuid>) -> Result<Vec<(Uuid, String)>> {
    let after = |sql: &mut Sql| {
        if let Some(id) = last {
            sql.push(" and id > ").bind(Arg::Id(id));
        }
    };
    let sql = statement!(
        db,
        "select id, {column}
         from {table} {exempt: a migration changes all rows}
         where true {after}
         order by id {limit}",
        column = text(column),
        table = text(table),
        after = with(&after),
        limit = limit(NAME_ROWS),
    );
    Ok(db.fetch("migrate.names", sql).await?)
}

async fn normalize_name(db: &Db, table: &'static str, column: &'static str, id: Uuid, name: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql = statement!(
        tx,
        "update {table} {exempt: a migration changes all rows} set {column} = {name} where id = {id}",
        table = text(table),
        column = text(column),
        name = name.to_owned(),
        id,
    );
    match tx.execute("migrate.name", sql).await {
        Ok(_) => Ok(tx.commit().await?),
        Err(error) if error.code == Code::Conflict => {
            warn!(table, column, %id, "not normalised, because another object has the normalised text");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the words of texts that have none: those of earlier releases.
///
/// # Errors
/// A statement fails.
pub(super) async fn fill_words(db: &Db) -> Result<()> {
    for table in &INDEXED {
        while fill_words_of_rows(db, table).await? {}
    }
    Ok(())
}

/// Writes the words of some rows. Returns whether there were any.
async fn fill_words_of_rows(db: &Db, table: &'static IndexedTable) -> Result<bool> {
    let mut tx = db.begin().await?;
    let texts = |sql: &mut Sql| {
        for (column, _) in table.texts {
            sql.push(", ").push(column);
        }
    };
    let sql = statement!(
        tx,
        "select id {texts}
         from {table} {exempt: a migration changes all rows}
         where name_words is null
         order by id {limit}",
        texts = with(&texts),
        table = text(table.name),
        limit = limit(TEXT_ROWS),
    );
    let rows = tx.fetch_with("migrate.texts", sql, |row| read_words(table, row)).await?;
    let assignments = |sql: &mut Sql| {
        for (index, (column, _)) in table.words.iter().skip(1).enumerate() {
            sql.push(if index > 0 { ", " } else { "" }).push(column).push(" = r.").push(column);
        }
    };
    let sql = statement!(
        tx,
        "update {table} as e {exempt: a migration changes all rows} set {assignments} from {rows} r where e.id = r.id",
        table = text(table.name),
        assignments = with(&assignments),
        rows = Fragment::Rows(table.words, &rows),
    );
    if !rows.is_empty() {
        tx.execute("migrate.words", sql).await?;
        tx.commit().await?;
    }
    Ok(!rows.is_empty())
}

/// Reads an id and texts, and returns the id and their words.
fn read_words(table: &IndexedTable, row: &mut Row<'_>) -> sqlx::Result<Vec<Cell>> {
    let mut cells = vec![Cell::Id(Uuid::read(row)?)];
    for (_, limit) in table.texts {
        let text: Option<String> = row.next_or_null()?;
        cells.push(Cell::Text(index_words(&text.unwrap_or_default(), *limit)));
    }
    Ok(cells)
}
