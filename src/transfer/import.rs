//! Writes records: in batches, in one transaction, each batch with a number of statements that its size does not change.
//! What changed is announced in the same transaction.
use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::{
    Located, Problem, Record, Report, Source,
    record::{self, derived_id},
    told::{Became, Telling, Told},
};
use crate::{
    catalog::{
        artifact::{self, ArtifactValues},
        collection, group, order, tag,
    },
    db::{
        Arg, Cell,
        CellType::{self, Id, Int, Text, Time as TimeCell},
        Db, Dialect, Sql, Table as _, Time, Transaction, Values as _, join_columns,
    },
};

/// Rows of one statement.
const BATCH: usize = 5_000;

/// The version of UUIDs that are derived from names.
const DERIVED_VERSION: usize = 5;

/// Between the slugs of an artifact's tags where they are compared.
const SLUG_SEPARATOR: &str = "\n";

/// Imports what `source` has, for an account where there are any. With `dry_run` nothing is kept, and the report tells what
/// would have been. `progress` is told how many records were written.
///
/// # Errors
/// The source cannot be read, or the database fails; then nothing was kept.
pub async fn import(
    db: &Db,
    source: Source,
    owner: Option<uuid::Uuid>,
    dry_run: bool,
    progress: impl FnMut(u64),
) -> Result<Report> {
    let mut writer = Writer::new(begin(db).await?, owner, None);
    writer.read(source, progress).await?;
    if !dry_run {
        announce_and_commit(writer.tx, writer.told).await?;
        analyze(db).await?;
    }
    Ok(writer.report)
}

/// A source that is imported again and again. What it had before and has no longer is removed, but for tags, which others
/// may use.
#[derive(Debug, Default)]
pub struct Mirror {
    /// Whose what is imported is.
    owner: Option<uuid::Uuid>,
    had: Option<Keys>,
    /// Records that were refused the last time.
    refused: u64,
}

/// The keys of a source's rows, for each table.
type Keys = [HashSet<Vec<uuid::Uuid>>; 7];

impl Mirror {
    /// Imports for an account, where there are any.
    pub fn new(owner: Option<uuid::Uuid>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Imports what the source has now.
    ///
    /// Nothing is removed when the source has no artifact any more, or records are refused that were not before: then it
    /// is more likely to be half written, or broken, than to have lost them.
    ///
    /// # Errors
    /// As [`import`]; the next import goes on from the one before.
    pub async fn import(&mut self, db: &Db, source: Source) -> Result<Report> {
        let mut writer = Writer::new(begin(db).await?, self.owner, Some(Keys::default()));
        writer.read(source, |_| {}).await?;
        let has = writer.keys.take().unwrap_or_default();
        let may_remove = !has[ARTIFACTS_PLACE].is_empty() && writer.report.refused() <= self.refused;
        if let Some(had) = self.had.as_ref().filter(|_| may_remove) {
            writer.remove(had, &has).await?;
        }
        let report = writer.report;
        announce_and_commit(writer.tx, writer.told).await?;
        if report.written() >= BATCH as u64 {
            analyze(db).await?;
        }
        // What was not removed now may be later.
        match self.had.as_mut().filter(|_| !may_remove) {
            Some(had) => had.iter_mut().zip(has).for_each(|(had, has)| had.extend(has)),
            None => self.had = Some(has),
        }
        self.refused = report.refused();
        Ok(report)
    }
}

async fn announce_and_commit(mut tx: Transaction, told: Told) -> Result<()> {
    if let Some(message) = told.message() {
        tx.announce(&message).await?;
    }
    Ok(tx.commit().await?)
}

/// Gathers PostgreSQL's statistics anew. Until its own daemon comes by, plans are made for tables as they were: on a
/// catalogue of 100,000 artifacts the collections of 50 took 172 ms before, and 1.6 ms after.
async fn analyze(db: &Db) -> Result<()> {
    if db.dialect() == Dialect::Postgres {
        let mut tx = db.begin().await?;
        let mut sql = tx.sql();
        sql.push("analyze");
        tx.execute("import.analyze", sql).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A transaction for many rows.
///
/// PostgreSQL looks rows up by index: what is written is not in the statistics yet, and whole tables, taken for small,
/// would be read and hashed for each batch. SQLite keeps 64 MiB of pages: with fewer, those of the indexes would be written
/// to the log and read back again and again.
async fn begin(db: &Db) -> Result<Transaction> {
    let mut tx = db.begin().await?;
    let settings: &[&str] = match tx.dialect() {
        Dialect::Postgres => {
            &["set local enable_hashjoin = off", "set local enable_mergejoin = off", "set local enable_seqscan = off"]
        }
        Dialect::Sqlite => &["pragma cache_size = -65536"],
    };
    for setting in settings {
        let mut sql = tx.sql();
        sql.push(setting);
        tx.execute("import.settings", sql).await?;
    }
    Ok(tx)
}

/// A table and how records get into it.
struct Table {
    /// What its rows are called in the report.
    kind: &'static str,
    name: &'static str,
    telling: Telling,
    /// Columns of the row table; the first `keys` are the key. The last one numbers the rows.
    columns: &'static [(&'static str, CellType)],
    keys: usize,
    /// Columns that are compared and not written: how many stand before the number, and their values in the table.
    compared: &'static [&'static str],
    /// Further columns to insert, with their values.
    extra: &'static [(&'static str, &'static str)],
    /// Joins that the further values need.
    joins: &'static str,
    /// How a row is known beside its id, in terms of another row `o`; nothing where the id is all.
    natural_key: Option<&'static str>,
    /// Reasons to refuse a row `r`, of which `e` is the existing one.
    refusals: &'static [(&'static str, &'static str)],
    /// That the row that is there under a derived id is not the one that this owner's record is about.
    is_another: Option<&'static str>,
    /// What a row belongs to: each selects owners, of which the importing one must be the only one. Looked at only where there
    /// are accounts.
    owners: &'static [&'static str],
}

/// The row is there and another account's.
const FOREIGN: (&str, &str) =
    ("e.id is not null and e.owner_id is distinct from r.owner_id", "it belongs to another account");

/// The collection may not hold the artifact. Looked at only where there are accounts.
const NOT_TO_BE_HELD: (&str, &str) = (
    "exists (select 1 from artifacts a join collections c on c.id = r.collection_id where a.id = r.artifact_id and not ",
    "its artifact is another account's and not public",
);

const TAGS: Table = Table {
    kind: "tags",
    name: "tags",
    telling: Telling::Object(tag::PREFIX),
    columns: &[("id", Id), ("name", Text), ("slug", Text), ("color", Text), ("created_at", TimeCell), ("n", Int)],
    keys: 1,
    compared: &[],
    extra: &[("updated_at", "r.created_at")],
    joins: "",
    natural_key: Some("o.slug = r.slug"),
    refusals: &[("exists (select 1 from tags o where o.slug = r.slug and o.id <> r.id)", "another tag has this slug")],
    is_another: None,
    owners: &[],
};

const ARTIFACTS: Table = Table {
    kind: "artifacts",
    name: "artifacts",
    telling: Telling::Object(artifact::PREFIX),
    columns: &join_columns::<{ ArtifactValues::COLUMNS.len() + 6 }>(&[
        &[("id", Id)],
        ArtifactValues::COLUMNS,
        &[("owner_id", Id), ("created_at", TimeCell), ("updated_at", TimeCell), ("tags", Text), ("n", Int)],
    ]),
    keys: 1,
    compared: &[
        "coalesce((select string_agg(t.slug, '\n' order by t.slug) from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = e.id), '')",
    ],
    extra: &[],
    joins: "",
    natural_key: Some("o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    refusals: &[
        FOREIGN,
        (
            "exists (select 1 from artifacts o where o.type = r.type and o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another artifact has this type and name",
        ),
    ],
    is_another: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

const VERSIONS: Table = Table {
    kind: "versions",
    name: "artifact_versions",
    telling: Telling::Part(artifact::PREFIX, 1),
    columns: &[
        ("id", Id),
        ("artifact_id", Id),
        ("version", Text),
        ("content_hash", Text),
        ("notes", Text),
        ("created_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: None,
    refusals: &[("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing")],
    is_another: Some("e.artifact_id <> r.artifact_id"),
    owners: &[
        "select a.owner_id from artifacts a where a.id = r.artifact_id",
        "select a.owner_id from artifacts a where a.id = e.artifact_id",
    ],
};

const COLLECTIONS: Table = Table {
    kind: "collections",
    name: "collections",
    telling: Telling::Object(collection::PREFIX),
    columns: &[
        ("id", Id),
        ("name", Text),
        ("description", Text),
        ("kind", Text),
        ("color", Text),
        ("visibility", Text),
        ("owner_id", Id),
        ("created_at", TimeCell),
        ("updated_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: Some("o.name = r.name and o.owner_id is not distinct from r.owner_id"),
    refusals: &[
        FOREIGN,
        (
            "exists (select 1 from collections o where o.name = r.name and o.owner_id is not distinct from r.owner_id and o.id <> r.id)",
            "another collection has this name",
        ),
    ],
    is_another: Some("e.owner_id is distinct from r.owner_id"),
    owners: &[],
};

const GROUPS: Table = Table {
    kind: "groups",
    name: "groups",
    telling: Telling::Object(group::PREFIX),
    columns: &[
        ("id", Id),
        ("collection_id", Id),
        ("name", Text),
        ("description", Text),
        ("color", Text),
        ("icon", Text),
        ("sort_key", Int),
        ("created_at", TimeCell),
        ("updated_at", TimeCell),
        ("n", Int),
    ],
    keys: 1,
    compared: &[],
    extra: &[],
    joins: "",
    natural_key: Some("o.collection_id = r.collection_id and o.name = r.name"),
    refusals: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        (
            "exists (select 1 from groups o where o.collection_id = r.collection_id and o.name = r.name and o.id <> r.id)",
            "another group of the collection has this name",
        ),
    ],
    is_another: Some("e.collection_id <> r.collection_id"),
    owners: &[
        "select c.owner_id from collections c where c.id = r.collection_id",
        "select c.owner_id from collections c where c.id = e.collection_id",
    ],
};

const MEMBERSHIPS: Table = Table {
    kind: "memberships",
    name: "collection_artifacts",
    telling: Telling::Member,
    columns: &[
        ("collection_id", Id),
        ("artifact_id", Id),
        ("sort_key", Int),
        ("status", Text),
        ("note", Text),
        ("added_at", TimeCell),
        ("n", Int),
    ],
    keys: 2,
    compared: &[],
    extra: &[("artifact_type", "a.type"), ("artifact_name", "a.name")],
    joins: " join artifacts a on a.id = r.artifact_id",
    natural_key: None,
    refusals: &[
        ("not exists (select 1 from collections o where o.id = r.collection_id)", "its collection is missing"),
        ("not exists (select 1 from artifacts o where o.id = r.artifact_id)", "its artifact is missing"),
    ],
    is_another: None,
    owners: &["select c.owner_id from collections c where c.id = r.collection_id"],
};

const GROUP_MEMBERSHIPS: Table = Table {
    kind: "group memberships",
    name: "group_artifacts",
    telling: Telling::Part(group::PREFIX, 0),
    columns: &[("group_id", Id), ("artifact_id", Id), ("sort_key", Int), ("added_at", TimeCell), ("n", Int)],
    keys: 2,
    compared: &[],
    extra: &[("collection_id", "g.collection_id")],
    joins: " join groups g on g.id = r.group_id",
    natural_key: None,
    refusals: &[
        ("not exists (select 1 from groups o where o.id = r.group_id)", "its group is missing"),
        (
            "not exists (select 1 from groups g join collection_artifacts o on o.collection_id = g.collection_id \
             where g.id = r.group_id and o.artifact_id = r.artifact_id)",
            "its artifact is not in the group's collection",
        ),
    ],
    is_another: None,
    owners: &["select c.owner_id from groups g join collections c on c.id = g.collection_id where g.id = r.group_id"],
};

/// All tables, each after those that it refers to.
const TABLES: [&Table; 7] = [&TAGS, &ARTIFACTS, &VERSIONS, &COLLECTIONS, &GROUPS, &MEMBERSHIPS, &GROUP_MEMBERSHIPS];

/// The place of artifacts among the tables.
const ARTIFACTS_PLACE: usize = 1;

/// What becomes of a row, as the statement that looks at it tells.
const NEW: i64 = 0;
const CHANGED: i64 = 1;
const ALIKE: i64 = 2;
/// What it belongs to is another account's, or it is itself.
const NOT_OWN: i64 = 3;
const HELD_BY_OTHERS: i64 = 4;
/// The first reason of its table to refuse it; the others follow.
const REFUSED: i64 = 5;

/// A row that waits to be written. The last record of a key counts.
struct Waiting {
    place: String,
    /// The id that the source gave it.
    given: Option<uuid::Uuid>,
    cells: Vec<Cell>,
    tags: Vec<String>,
}

impl Waiting {
    /// The ids that it begins with, at most so many.
    fn ids(&self, count: usize) -> Vec<uuid::Uuid> {
        let id = |cell: &Cell| if let Cell::Id(id) = cell { Some(*id) } else { None };
        self.cells.iter().take(count).filter_map(id).collect()
    }
}

struct Writer {
    tx: Transaction,
    owner: Option<uuid::Uuid>,
    waiting: [Vec<Waiting>; 7],
    places: [HashMap<Vec<uuid::Uuid>, usize>; 7],
    /// Ids that a source derived from names, and those under which the database has these names.
    known_as: HashMap<uuid::Uuid, uuid::Uuid>,
    /// Ids of a source that derives them.
    seen: HashSet<uuid::Uuid>,
    now: Time,
    report: Report,
    told: Told,
    /// The keys of all rows, where they are asked for.
    keys: Option<Keys>,
}

impl Writer {
    fn new(tx: Transaction, owner: Option<uuid::Uuid>, keys: Option<Keys>) -> Self {
        let now = Time::now();
        Self {
            tx,
            owner,
            waiting: Default::default(),
            places: Default::default(),
            known_as: HashMap::new(),
            seen: HashSet::new(),
            now,
            report: Report::default(),
            told: Told::of(owner),
            keys,
        }
    }

    /// Writes all that the source has.
    async fn read(&mut self, source: Source, mut progress: impl FnMut(u64)) -> Result<()> {
        let (mut reads, reading) = source.read();
        let mut count = 0_u64;
        while let Some(read) = reads.recv().await {
            match read {
                Ok(located) => self.take(located).await?,
                Err(problem) => self.report.refuse(problem),
            }
            count += 1;
            if count.is_multiple_of(BATCH as u64) {
                progress(count);
            }
        }
        reading.await??;
        self.flush().await?;
        progress(count);
        Ok(())
    }

    async fn take(&mut self, located: Located) -> Result<()> {
        let Some((table, cells, tags)) = cells(located.record, self.owner, self.now) else { return Ok(()) };
        let given = if let Cell::Id(id) = cells[0] { Some(id) } else { None };
        let row = Waiting { place: located.place, given, cells, tags };
        let key = row.ids(TABLES[table].keys);
        let next = self.waiting[table].len();
        let place = *self.places[table].entry(key).or_insert(next);
        if place < next {
            self.waiting[table][place] = row;
        } else {
            self.waiting[table].push(row);
        }
        if self.waiting[table].len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Writes everything that waits.
    async fn flush(&mut self) -> Result<()> {
        for (index, table) in TABLES.into_iter().enumerate() {
            self.places[index].clear();
            let mut rows = std::mem::take(&mut self.waiting[index]);
            if !rows.is_empty() {
                self.recognise(table, &mut rows).await?;
                self.write(index, rows).await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, index: usize, rows: Vec<Waiting>) -> Result<()> {
        let table = TABLES[index];
        self.make_tags(&rows).await?;
        let states = self.look(table, &rows).await?;
        if let Some(keys) = &mut self.keys {
            // What is another account's is not the source's to remove.
            let is_own =
                |state: i64| state != NOT_OWN && (state != REFUSED || table.refusals.first() != Some(&FOREIGN));
            let own = rows.iter().zip(&states).filter(|(_, state)| is_own(**state));
            keys[index].extend(own.map(|(row, _)| row.ids(table.keys)));
        }
        let with = |state: i64| -> Vec<&Waiting> {
            rows.iter().zip(&states).filter(|(_, found)| **found == state).map(|(row, _)| row).collect()
        };
        let (mut new, changed) = (with(NEW), with(CHANGED));
        if !new.is_empty() && self.insert(table, &new).await? < new.len() as u64 {
            new = self.inserted(table, new).await?;
        }
        if !changed.is_empty() {
            self.update(table, &changed).await?;
        }
        if self.owner.is_some() {
            let held = |row: &&Waiting| row.ids(2).last().copied();
            match table.name {
                name if name == ARTIFACTS.name => {
                    self.withdraw(changed.iter().flat_map(|row| row.ids(1)).collect()).await?
                }
                // Their owners may just have made them private.
                name if name == MEMBERSHIPS.name => self.withdraw(new.iter().filter_map(held).collect()).await?,
                _ => {}
            }
        }
        let written: Vec<&Waiting> = new.iter().chain(&changed).copied().collect();
        self.set_tags(&written, !changed.is_empty()).await?;
        for (row, state) in rows.iter().zip(&states) {
            let of_table = || usize::try_from(state - REFUSED).ok().and_then(|index| table.refusals.get(index));
            let refusal = match *state {
                NOT_OWN => Some(&FOREIGN),
                HELD_BY_OTHERS => Some(&NOT_TO_BE_HELD),
                _ => of_table(),
            };
            if let Some((_, reason)) = refusal {
                self.report.refuse(Problem { place: row.place.clone(), reason: (*reason).to_owned() });
            }
        }
        let became = new.iter().map(|row| (Became::New, row)).chain(changed.iter().map(|row| (Became::Changed, row)));
        for (became, row) in became {
            self.told.note(table.telling, became, &row.ids(2));
        }
        let counts = self.report.kind(table.kind);
        counts.created += new.len() as u64;
        counts.updated += changed.len() as u64;
        counts.unchanged += states.iter().filter(|state| **state == ALIKE).count() as u64;
        Ok(())
    }

    /// Removes what the source had and has no longer; last first, so that nothing goes by itself with something else.
    async fn remove(&mut self, had: &Keys, has: &Keys) -> Result<()> {
        let tables = TABLES.into_iter().zip(had.iter().zip(has)).rev();
        for (table, (had, has)) in tables.filter(|(table, _)| table.name != TAGS.name) {
            let gone: Vec<&Vec<uuid::Uuid>> = had.difference(has).collect();
            for gone in gone.chunks(BATCH) {
                if table.name == ARTIFACTS.name {
                    self.leave_collections(gone).await?;
                }
                self.remove_rows(table, gone).await?;
            }
        }
        Ok(())
    }

    /// Takes artifacts out of all collections, also of those that the source does not have.
    async fn leave_collections(&mut self, artifacts: &[&Vec<uuid::Uuid>]) -> Result<()> {
        let ids: Vec<uuid::Uuid> = artifacts.iter().map(|key| key[0]).collect();
        let mut sql = self.tx.sql();
        sql.push("delete from collection_artifacts where artifact_id").in_ids(&ids);
        sql.push(" returning collection_id, artifact_id");
        for (collection, artifact) in self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.leave", sql).await? {
            self.told.note(Telling::Member, Became::Gone, &[collection, artifact]);
        }
        Ok(())
    }

    async fn remove_rows(&mut self, table: &'static Table, gone: &[&Vec<uuid::Uuid>]) -> Result<()> {
        let columns = &table.columns[..table.keys];
        let rows: Vec<Vec<Cell>> = gone.iter().map(|key| key.iter().copied().map(Cell::Id).collect()).collect();
        let told = if let Telling::Part(_, place) = table.telling { place } else { table.keys - 1 };
        let mut sql = self.tx.sql();
        sql.push("delete from ").push(table.name).push(" where (");
        for (place, (name, _)) in columns.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(name);
        }
        sql.push(") in (select * from ").row_table(columns, &rows).push(" r)");
        if let (Some(owner), true) = (self.owner, table.columns.contains(&("owner_id", Id))) {
            sql.push(" and owner_id = ").bind(Arg::Id(owner));
        }
        sql.push(" returning ");
        sql.push(table.columns[0].0).push(", ").push(table.columns[told].0);
        let removed = self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.remove", sql).await?;
        for (first, second) in &removed {
            self.told.note(table.telling, Became::Gone, &[*first, *second]);
        }
        self.report.kind(table.kind).removed += removed.len() as u64;
        Ok(())
    }

    /// Gives rows whose ids were derived from their names the ids that the database has for these names, so that the same
    /// artifact from two sources is one.
    async fn recognise(&mut self, table: &'static Table, rows: &mut Vec<Waiting>) -> Result<()> {
        let is_derived =
            |row: &Waiting| matches!(row.cells[0], Cell::Id(id) if id.get_version_num() == DERIVED_VERSION);
        for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
            if let Cell::Id(id) = cell {
                *id = self.known_as.get(id).copied().unwrap_or(*id);
            }
        }
        if !rows.iter().any(is_derived) {
            return Ok(());
        }
        self.tell_apart(table, rows).await?;
        let Some(natural_key) = table.natural_key else { return Ok(()) };
        let mut sql = self.tx.sql();
        sql.push("select r.n, o.id from ").row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r join ").push(table.name).push(" o on ").push(natural_key).push(" where o.id <> r.id");
        // One that is there under its own id was renamed, and is not the one that has had the name.
        sql.push(" and not exists (select 1 from ").push(table.name).push(" s where s.id = r.id)");
        for (n, known) in self.tx.fetch::<(i64, uuid::Uuid)>("import.recognise", sql).await? {
            let row = usize::try_from(n).ok().and_then(|n| rows.get_mut(n)).filter(|row| is_derived(row));
            if let Some(row) = row
                && let Cell::Id(id) = &mut row.cells[0]
            {
                self.known_as.insert(*id, known);
                *id = known;
            }
        }
        self.refuse_namesakes(rows);
        Ok(())
    }

    /// Gives rows whose derived ids another account's rows have ids of their own, the same in every run.
    async fn tell_apart(&mut self, table: &'static Table, rows: &mut [Waiting]) -> Result<()> {
        let (Some(owner), Some(is_another)) = (self.owner, table.is_another) else { return Ok(()) };
        let mut sql = self.tx.sql();
        sql.push("select r.n from ").row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r join ").push(table.name).push(" e on e.id = r.id where ").push(is_another);
        for n in self.tx.fetch::<i64>("import.tell_apart", sql).await? {
            if let Some(row) = usize::try_from(n).ok().and_then(|n| rows.get_mut(n))
                && let Cell::Id(id) = &mut row.cells[0]
                && id.get_version_num() == DERIVED_VERSION
            {
                let own = uuid::Uuid::new_v5(&owner, id.as_bytes());
                self.known_as.insert(*id, own);
                *id = own;
            }
        }
        Ok(())
    }

    /// Of two that a source calls the same, the first one counts, in every run.
    fn refuse_namesakes(&mut self, rows: &mut Vec<Waiting>) {
        let (seen, known_as, report) = (&mut self.seen, &mut self.known_as, &mut self.report);
        rows.retain(|row| {
            let Cell::Id(id) = row.cells[0] else { return true };
            let is_first = seen.insert(id);
            if !is_first {
                let reason = "another record of this source has the same name".to_owned();
                report.refuse(Problem { place: row.place.clone(), reason });
                // What refers to it refers to nothing.
                known_as.extend(row.given.map(|given| (given, uuid::Uuid::nil())));
            }
            is_first
        });
    }

    /// What each row is to the database: new, changed, alike, or to be refused.
    async fn look(&mut self, table: &'static Table, rows: &[Waiting]) -> Result<Vec<i64>> {
        let mut sql = self.tx.sql();
        sql.push("select s.n, s.state from (select r.n, cast(case ");
        for (place, (condition, _)) in table.refusals.iter().enumerate() {
            sql.push("when ").push(condition).push(" then ").int(REFUSED + place as i64).push(" ");
        }
        if let Some(owner) = self.owner {
            for owners in table.owners {
                sql.push("when exists (select 1 from (").push(owners).push(") p where p.owner_id is distinct from ");
                sql.bind(Arg::Id(owner)).push(") then ").int(NOT_OWN).push(" ");
            }
            if table.name == MEMBERSHIPS.name {
                sql.push("when ").push(NOT_TO_BE_HELD.0).push(collection::MAY_CONTAIN).push(") then ");
                sql.int(HELD_BY_OTHERS).push(" ");
            }
        }
        sql.push("when e.").push(table.columns[0].0).push(" is null then 0 when (");
        table.values(&mut sql, "e.", true);
        sql.push(") is not distinct from (");
        table.values(&mut sql, "r.", false);
        sql.push(") then 2 else 1 end as bigint) as state from ");
        sql.row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r left join ").push(table.name).push(" e on ");
        table.key_is(&mut sql);
        // What is new, mostly all, need not be told.
        sql.push(") s where s.state <> ").int(NEW);
        let mut states = vec![NEW; rows.len()];
        for (n, state) in self.tx.fetch::<(i64, i64)>("import.look", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| states.get_mut(n)) {
                *found = state;
            }
        }
        Ok(states)
    }

    async fn insert(&mut self, table: &'static Table, rows: &[&Waiting]) -> Result<u64> {
        let mut sql = self.tx.sql();
        sql.push("insert into ").push(table.name).push(" (");
        table.names(&mut sql, "");
        for (name, _) in table.extra {
            sql.push(", ").push(name);
        }
        sql.push(") select ");
        table.names(&mut sql, "r.");
        for (_, value) in table.extra {
            sql.push(", ").push(value);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r").push(table.joins).push(" where true on conflict do nothing");
        Ok(self.tx.execute("import.insert", sql).await?)
    }

    /// Which of `rows` are there now: the others met one of the same batch that took their place.
    async fn inserted<'r>(&mut self, table: &'static Table, rows: Vec<&'r Waiting>) -> Result<Vec<&'r Waiting>> {
        let mut sql = self.tx.sql();
        sql.push("select r.n from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r join ").push(table.name).push(" e on ");
        table.key_is(&mut sql);
        let there: Vec<usize> =
            self.tx.fetch::<i64>("import.inserted", sql).await?.into_iter().filter_map(|n| n.try_into().ok()).collect();
        for (n, row) in rows.iter().enumerate().filter(|(n, _)| !there.contains(n)) {
            let reason = table.refusals.last().map_or("it is there already", |(_, reason)| reason);
            debug_assert!(n < rows.len());
            self.report.refuse(Problem { place: row.place.clone(), reason: reason.to_owned() });
        }
        Ok(rows.into_iter().enumerate().filter(|(n, _)| there.contains(n)).map(|(_, row)| row).collect())
    }

    async fn update(&mut self, table: &'static Table, rows: &[&Waiting]) -> Result<()> {
        let mut sql = self.tx.sql();
        sql.push("update ").push(table.name).push(" as e set revision = e.revision + 1");
        for (name, _) in table.written().iter().skip(table.keys).filter(|(name, _)| !is_creation(table, name)) {
            sql.push(", ").push(name).push(" = r.").push(name);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied())).push(" r where ");
        table.key_is(&mut sql);
        self.tx.execute("import.update", sql).await?;
        Ok(())
    }

    /// Takes what is public no longer out of the collections of other accounts.
    async fn withdraw(&mut self, ids: Vec<uuid::Uuid>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut sql = self.tx.sql();
        collection::append_removal_from_foreign_collections(&ids, &mut sql);
        for (collection, artifact) in self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.withdraw", sql).await? {
            self.told.note(Telling::Member, Became::Gone, &[collection, artifact]);
        }
        Ok(())
    }

    /// Makes the tags that artifacts name and nobody made before.
    async fn make_tags(&mut self, rows: &[Waiting]) -> Result<()> {
        let mut slugs: Vec<&String> = rows.iter().flat_map(|row| &row.tags).collect();
        slugs.sort_unstable();
        slugs.dedup();
        if slugs.is_empty() {
            return Ok(());
        }
        let cells = slugs
            .into_iter()
            .map(|slug| vec![Cell::Id(derived_id("tag", slug)), Cell::Text(slug.clone()), Cell::Time(self.now)]);
        let mut sql = self.tx.sql();
        sql.push(
            "insert into tags (id, name, slug, created_at, updated_at) select r.id, r.slug, r.slug, r.now, r.now from ",
        )
        .row_table(&[("id", Id), ("slug", Text), ("now", TimeCell)], &cells.collect::<Vec<_>>())
        .push(" r where not exists (select 1 from tags t where t.slug = r.slug) on conflict do nothing");
        self.tx.execute("import.make_tags", sql).await?;
        Ok(())
    }

    /// Gives artifacts the tags of their records, and takes others from those that were there before.
    async fn set_tags(&mut self, rows: &[&Waiting], have_old: bool) -> Result<()> {
        const COLUMNS: &[(&str, CellType)] = &[("artifact_id", Id), ("slug", Text)];
        let cells: Vec<Vec<Cell>> = rows
            .iter()
            .flat_map(|row| row.tags.iter().map(|slug| vec![row.cells[0].clone(), Cell::Text(slug.clone())]))
            .collect();
        if have_old {
            let ids: Vec<_> =
                rows.iter().filter_map(|row| if let Cell::Id(id) = row.cells[0] { Some(id) } else { None }).collect();
            let mut sql = self.tx.sql();
            sql.push("delete from artifact_tags where artifact_id").in_ids(&ids);
            sql.push(" and (artifact_id, tag_id) not in (select r.artifact_id, t.id from ");
            sql.row_table(COLUMNS, &cells).push(" r join tags t on t.slug = r.slug)");
            self.tx.execute("import.unset_tags", sql).await?;
        }
        if cells.is_empty() {
            return Ok(());
        }
        let mut sql = self.tx.sql();
        sql.push("insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at) select a.id, t.id, a.created_at, a.updated_at from ")
            .row_table(COLUMNS, &cells)
            .push(" r join artifacts a on a.id = r.artifact_id join tags t on t.slug = r.slug where true on conflict do nothing");
        self.tx.execute("import.set_tags", sql).await?;
        Ok(())
    }
}

impl Table {
    /// Columns that are written.
    fn written(&self) -> &'static [(&'static str, CellType)] {
        &self.columns[..self.columns.len() - 1 - self.compared.len()]
    }

    fn names(&self, sql: &mut Sql, alias: &'static str) {
        for (place, (name, _)) in self.written().iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(alias).push(name);
        }
    }

    /// Values that decide whether a row is alike, of the existing one or of the record.
    fn values(&self, sql: &mut Sql, alias: &'static str, is_existing: bool) {
        let written = self.written().iter().skip(self.keys).filter(|(name, _)| !is_creation(self, name));
        for (place, (name, _)) in written.enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(alias).push(name);
        }
        for (place, value) in self.compared.iter().enumerate() {
            let name = self.columns[self.written().len() + place].0;
            sql.push(", ");
            match is_existing {
                true => sql.push(value),
                false => sql.push(alias).push(name),
            };
        }
    }

    fn key_is(&self, sql: &mut Sql) {
        for (place, (name, _)) in self.columns.iter().take(self.keys).enumerate() {
            sql.push(if place > 0 { " and e." } else { "e." }).push(name).push(" = r.").push(name);
        }
    }
}

/// The time of making is set once. The records of tags do not have it.
fn is_creation(table: &Table, name: &str) -> bool {
    name == "created_at" && table.name != "artifact_versions"
}

/// The rows' cells, numbered.
fn numbered<'r>(rows: impl Iterator<Item = &'r Waiting>) -> Vec<Vec<Cell>> {
    let number = |(n, row): (usize, &Waiting)| {
        let mut cells = row.cells.clone();
        cells.push(Cell::Int(n as i64));
        cells
    };
    rows.enumerate().map(number).collect()
}

fn text(value: Option<String>) -> Cell {
    value.map_or(Cell::Null, Cell::Text)
}

fn sort_key(position: u32) -> Cell {
    Cell::Int(i64::from(position) * order::STEP)
}

/// The table of a record, its cells without the number, and the tags it names.
fn cells(record: Record, owner: Option<uuid::Uuid>, now: Time) -> Option<(usize, Vec<Cell>, Vec<String>)> {
    let (table, cells) = match record {
        Record::Gatherum { .. } => return None,
        Record::Tag(tag) => {
            (0, vec![Cell::Id(tag.id), Cell::Text(tag.name), Cell::Text(tag.slug), text(tag.color), Cell::Time(now)])
        }
        Record::Artifact(artifact) => return Some(artifact_cells(*artifact, owner)),
        Record::Version(version) => (
            2,
            vec![
                Cell::Id(version.id),
                Cell::Id(version.artifact),
                Cell::Text(version.version),
                text(version.content_hash),
                text(version.notes),
                Cell::Time(version.created_at),
            ],
        ),
        Record::Collection(collection) => (
            3,
            vec![
                Cell::Id(collection.id),
                Cell::Text(collection.name),
                text(collection.description),
                text(collection.kind),
                text(collection.color),
                Cell::Text(collection.visibility.as_str().to_owned()),
                owner.map_or(Cell::Null, Cell::Id),
                Cell::Time(collection.created_at),
                Cell::Time(collection.updated_at),
            ],
        ),
        Record::Group(group) => (
            4,
            vec![
                Cell::Id(group.id),
                Cell::Id(group.collection),
                Cell::Text(group.name),
                text(group.description),
                text(group.color),
                text(group.icon),
                sort_key(group.position),
                Cell::Time(group.created_at),
                Cell::Time(group.updated_at),
            ],
        ),
        Record::Membership(membership) => (
            5,
            vec![
                Cell::Id(membership.collection),
                Cell::Id(membership.artifact),
                sort_key(membership.position),
                text(membership.status),
                text(membership.note),
                Cell::Time(membership.added_at),
            ],
        ),
        Record::GroupMembership(membership) => (
            6,
            vec![
                Cell::Id(membership.group),
                Cell::Id(membership.artifact),
                sort_key(membership.position),
                Cell::Time(membership.added_at),
            ],
        ),
    };
    Some((table, cells, Vec::new()))
}

fn artifact_cells(artifact: record::Artifact, owner: Option<uuid::Uuid>) -> (usize, Vec<Cell>, Vec<String>) {
    let metadata = artifact.metadata.map(|metadata| serde_json::Value::Object(metadata).to_string());
    let values = ArtifactValues {
        kind: Some(artifact.kind),
        name: Some(artifact.name),
        description: Some(artifact.description),
        source: Some(artifact.source),
        author: Some(artifact.author),
        license: Some(artifact.license),
        homepage: Some(artifact.homepage),
        version: Some(artifact.version),
        visibility: Some(artifact.visibility),
        content: Some(artifact.content),
        metadata: Some(metadata),
    };
    let rest = [
        owner.map_or(Cell::Null, Cell::Id),
        Cell::Time(artifact.created_at),
        Cell::Time(artifact.updated_at),
        Cell::Text(artifact.tags.join(SLUG_SEPARATOR)),
    ];
    let values = values.cells().into_iter().map(|cell| cell.unwrap_or(Cell::Null));
    let cells = std::iter::once(Cell::Id(artifact.id)).chain(values).chain(rest).collect();
    (1, cells, artifact.tags)
}
