//! SQL texts with their parameters, for one of the two databases.
use uuid::Uuid;

use super::{Projection, SelectColumns, SelectList, Time};

/// The database that a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, embedded.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The access of a statement. The catalogue's policy turns it into conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessScope {
    /// Everything: for the server itself, the user of a server without accounts, and administrators.
    #[default]
    Unrestricted,
    /// The objects that this account may see.
    User(Uuid),
    /// Public objects.
    Anonymous,
}

/// The value of a parameter.
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
    /// Many values of one type, which may be null, as one parameter. Only for PostgreSQL.
    Column(CellType, Vec<Cell>),
}

/// A statement: its text and parameters. Text comes only from the program, every value is a parameter, and a list is **one**
/// parameter, so the text of a statement does not depend on the number of values.
///
/// [`crate::statement!`] and [`crate::append!`] write readable texts with named placeholders. The methods here append
/// single pieces.
#[derive(Clone, Debug)]
pub struct Sql {
    dialect: Dialect,
    scope: AccessScope,
    projection: Projection,
    text: String,
    args: Vec<Arg>,
}

impl Sql {
    /// An empty statement with this access.
    pub fn new(dialect: Dialect, scope: AccessScope) -> Self {
        Self { dialect, scope, projection: Projection::ALL, text: String::with_capacity(512), args: Vec::new() }
    }

    /// Appends text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends the text for the database of the statement.
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

    /// Appends an integer as a parameter.
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.bind(Arg::Int(value))
    }

    /// Appends a number of the program as text.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        use std::fmt::Write;
        write!(self.text, "{number}").expect("writing to a string does not fail");
        self
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

    /// The access of the statement.
    pub fn access_scope(&self) -> AccessScope {
        self.scope
    }

    /// Sets the columns that it selects. Default: all of them.
    pub fn select(&mut self, projection: Projection) {
        self.projection = projection;
    }

    /// Whether it selects all of these.
    pub fn selects(&self, columns: Projection) -> bool {
        self.projection.contains(columns)
    }

    /// Appends the columns of a record that it selects.
    pub fn columns<R: SelectColumns>(&mut self) -> &mut Self {
        for (index, column) in SelectList::of::<R>(self.projection).into_iter().enumerate() {
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

/// The type of a column in a table of rows.
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

/// A value in a table of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Null.
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

/// Values for the writable columns of a table, each of which is given or not. [`crate::table!`] declares them.
pub trait Values: Sync {
    /// The names of the columns, in the order of the list.
    fn names(&self) -> &'static [&'static str];

    /// The values, in the order of the names; `None` for those that are not given.
    fn cells(&self) -> Vec<Option<Cell>>;
}

/// The JSON that SQLite reads.
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
    /// Null has the type text, because PostgreSQL needs a type.
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
