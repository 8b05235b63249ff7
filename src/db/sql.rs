//! SQL text and its parameters, put together for one of the two databases.
use uuid::Uuid;

use super::{Projection, SelectColumns, SelectList, Time};

/// Which database a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, embedded.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// Whose eyes a statement reads with. The conditions for what they see are written by the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessScope {
    /// Everything: the server's own work, the user of a server without accounts, and who administers it.
    #[default]
    Unrestricted,
    /// What this account may see.
    User(Uuid),
    /// What everyone may see.
    Anonymous,
}

/// A value bound to a statement.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Many ids, as one parameter.
    Ids(Vec<Uuid>),
    /// Many texts, as one parameter.
    Texts(Vec<String>),
    /// One id.
    Id(Uuid),
    /// One id, or null.
    OptionalId(Option<Uuid>),
    /// One whole number.
    Int(i64),
    /// One text, or null.
    Text(Option<String>),
    /// One point in time.
    Time(Time),
    /// One point in time, or null.
    OptionalTime(Option<Time>),
    /// Many values of one type, any of which may be null, as one parameter. PostgreSQL alone has such.
    Column(CellType, Vec<Cell>),
}

/// A statement in the making. Text comes from the program alone, every value is a parameter, and a list is **one**
/// parameter, so the text of a statement does not depend on how many values there are.
#[derive(Clone, Debug)]
pub struct Sql {
    dialect: Dialect,
    scope: AccessScope,
    asked: Projection,
    text: String,
    args: Vec<Arg>,
}

impl Sql {
    /// An empty statement for `dialect`, which reads with the eyes of `scope`.
    pub fn new(dialect: Dialect, scope: AccessScope) -> Self {
        Self { dialect, scope, asked: Projection::ALL, text: String::with_capacity(512), args: Vec::new() }
    }

    /// Appends text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends the text for the database at hand: a named exception from the rule that both read the same.
    pub fn either(&mut self, sqlite: &'static str, postgres: &'static str) -> &mut Self {
        self.push(match self.dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        })
    }

    /// Appends a parameter.
    pub fn bind(&mut self, arg: Arg) -> &mut Self {
        use std::fmt::Write;
        self.args.push(arg);
        write!(self.text, "${}", self.args.len()).expect("writing to a string does not fail");
        self
    }

    /// Appends a parameter that is a whole number.
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.bind(Arg::Int(value))
    }

    /// The number that the next parameter will have.
    pub(super) fn next_parameter(&self) -> usize {
        self.args.len() + 1
    }

    /// Appends a parameter that is bound already.
    pub(super) fn parameter(&mut self, number: usize) -> &mut Self {
        use std::fmt::Write;
        write!(self.text, "${number}").expect("writing to a string does not fail");
        self
    }

    /// Appends `limit` with this number of rows. It is an expression of a parameter and not the parameter itself, because
    /// SQLite plans a statement again whenever the parameter of its limit is bound, to look at the value.
    pub fn limit(&mut self, rows: i64) -> &mut Self {
        self.push(" limit +").int(rows)
    }

    /// Appends a table of ids with the column `id`; the caller names it.
    pub fn id_table(&mut self, ids: &[Uuid]) -> &mut Self {
        self.either("(select unhex(value) as id from json_each(", "(select unnest(");
        self.bind(Arg::Ids(ids.to_vec()));
        self.either("))", "::uuid[]) as id)")
    }

    /// Appends a table of pairs of ids with the columns `a` and `b`; the caller names it.
    pub fn id_pair_table(&mut self, pairs: &[(Uuid, Uuid)]) -> &mut Self {
        if self.dialect == Dialect::Sqlite {
            // One list of pairs: two lists are two tables, and the planner joins them in any order.
            let rows: Vec<_> = pairs.iter().map(|(a, b)| vec![Cell::Id(*a), Cell::Id(*b)]).collect();
            self.push("(select unhex(value->>0) as a, unhex(value->>1) as b from json_each(");
            return self.bind(Arg::Text(Some(rows_json(&rows)))).push("))");
        }
        let (first, second) = pairs.iter().copied().unzip();
        self.push("(select unnest(").bind(Arg::Ids(first));
        self.push("::uuid[]) as a, unnest(").bind(Arg::Ids(second)).push("::uuid[]) as b)")
    }

    /// Appends a condition on the expression before it: one of `ids`.
    pub fn in_ids(&mut self, ids: &[Uuid]) -> &mut Self {
        self.push(" ").id_list(ids)
    }

    pub(super) fn id_list(&mut self, ids: &[Uuid]) -> &mut Self {
        self.either("in (select unhex(value) from json_each(", "= any(");
        self.bind(Arg::Ids(ids.to_vec()));
        self.either("))", ")")
    }

    /// Appends a condition on the expression before it: one of `texts`. One text is compared, so that an index which
    /// goes on with another column stays sorted by it.
    pub fn in_texts(&mut self, texts: &[String]) -> &mut Self {
        self.push(" ").text_list(texts)
    }

    pub(super) fn text_list(&mut self, texts: &[String]) -> &mut Self {
        if let [text] = texts {
            return self.push("= ").bind(Arg::Text(Some(text.clone())));
        }
        self.either("in (select value from json_each(", "= any(");
        self.bind(Arg::Texts(texts.to_vec()));
        self.either("))", ")")
    }

    /// Appends a table of rows with these columns; the caller names it. SQLite has it as one JSON parameter, PostgreSQL
    /// as an array for each column.
    pub fn row_table(&mut self, columns: &'static [(&'static str, CellType)], rows: &[Vec<Cell>]) -> &mut Self {
        match self.dialect {
            Dialect::Sqlite => self.row_table_json(columns, rows),
            Dialect::Postgres => self.row_table_arrays(columns, rows),
        }
    }

    fn row_table_json(&mut self, columns: &'static [(&'static str, CellType)], rows: &[Vec<Cell>]) -> &mut Self {
        use std::fmt::Write;
        let mut separator = "(select ";
        for (index, (name, cell_type)) in columns.iter().enumerate() {
            let written = match cell_type {
                CellType::Id => write!(self.text, "{separator}unhex(value->>{index}) as {name}"),
                _ => write!(self.text, "{separator}value->>{index} as {name}"),
            };
            written.expect("writing to a string does not fail");
            separator = ", ";
        }
        self.push(" from jsonb_each(").bind(Arg::Text(Some(rows_json(rows)))).push("))")
    }

    fn row_table_arrays(&mut self, columns: &'static [(&'static str, CellType)], rows: &[Vec<Cell>]) -> &mut Self {
        self.push("(select * from unnest(");
        for (index, (_, cell_type)) in columns.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            let cells = rows.iter().map(|row| row.get(index).cloned().unwrap_or(Cell::Null)).collect();
            self.bind(Arg::Column(*cell_type, cells));
        }
        self.push(") as columns (");
        for (index, (name, _)) in columns.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" }).push(name);
        }
        self.push("))")
    }

    /// The database this text is for.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whose eyes it reads with.
    pub fn access_scope(&self) -> AccessScope {
        self.scope
    }

    /// Says which columns it reads; all of them unless it is said.
    pub fn ask(&mut self, asked: Projection) {
        self.asked = asked;
    }

    /// Whether it was asked for all of these.
    pub fn asks(&self, columns: Projection) -> bool {
        self.asked.contains(columns)
    }

    /// Appends the columns of a record, those of them that are asked for.
    pub fn columns<R: SelectColumns>(&mut self) -> &mut Self {
        for (index, column) in SelectList::of::<R>(self.asked).into_iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" }).push(column);
        }
        self
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text and its parameters.
    pub fn into_parts(self) -> (String, Vec<Arg>) {
        (self.text, self.args)
    }
}

/// What a column of a row table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellType {
    /// An id.
    Id,
    /// A whole number.
    Int,
    /// A text.
    Text,
    /// A point in time.
    Time,
}

/// A value in a row table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// An id.
    Id(Uuid),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// A point in time.
    Time(Time),
}

/// As SQLite reads it from a row of JSON.
impl serde::Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Id(id) => serializer.serialize_str(id.simple().encode_lower(&mut Uuid::encode_buffer())),
            Self::Int(value) | Self::Time(Time(value)) => serializer.serialize_i64(*value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl From<Cell> for Arg {
    /// Null is a null text: PostgreSQL wants to know what it is that is missing.
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Null => Self::Text(None),
            Cell::Id(id) => Self::Id(id),
            Cell::Int(value) => Self::Int(value),
            Cell::Text(text) => Self::Text(Some(text)),
            Cell::Time(time) => Self::Time(time),
        }
    }
}

/// Rows as an array of arrays, as SQLite reads them.
fn rows_json(rows: &[Vec<Cell>]) -> String {
    serde_json::to_string(rows).expect("cells can be written as JSON")
}

/// Ids as the JSON array of hexadecimal texts that SQLite reads with `json_each` and `unhex`.
pub(super) fn hex_array(ids: &[Uuid]) -> String {
    let mut text = String::with_capacity(2 + ids.len() * 35);
    let mut buffer = Uuid::encode_buffer();
    text.push('[');
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('"');
        text.push_str(id.simple().encode_lower(&mut buffer));
        text.push('"');
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_does_not_depend_on_how_many_values_a_list_has() {
        let text = |count: usize| {
            let mut sql = Sql::new(Dialect::Sqlite, AccessScope::Unrestricted);
            sql.push("select 1 from artifacts a where a.id").in_ids(&vec![Uuid::nil(); count]).limit(3);
            sql.text().to_owned()
        };

        assert_eq!(text(1), text(10_000));
        assert!(text(1).ends_with("json_each($1)) limit +$2"));
    }

    #[test]
    fn ids_are_an_array_of_hexadecimal_texts() {
        assert_eq!(hex_array(&[]), "[]");
        assert_eq!(hex_array(&[Uuid::from_u128(1)]), r#"["00000000000000000000000000000001"]"#);
    }
}
