//! Values of the placeholders of a statement: parameters, lists, tables of rows, and named pieces of SQL.
use uuid::Uuid;

use super::{
    Arg, Cell, CellType, SelectColumns, Sql, Time, Values,
    template::{self, Part},
};

/// The value of one placeholder.
///
/// Values of Rust become parameters: `id`, `owner`, `now`. SQL text comes only from the program, as `&'static str` in
/// [`Fragment::Text`] and [`Fragment::Either`].
pub enum Fragment<'a> {
    /// A parameter. A placeholder that occurs twice is one parameter.
    Value(Arg),
    /// The parameter with this number, which is bound already.
    Bound(usize),
    /// A piece of SQL, such as the name of a column.
    Text(&'static str),
    /// A piece of SQL that the two databases write differently.
    Either {
        /// For SQLite.
        sqlite: &'static str,
        /// For PostgreSQL.
        postgres: &'static str,
    },
    /// The condition that the expression before it is one of these ids.
    InIds(&'a [Uuid]),
    /// The condition that the expression before it is one of these texts.
    InTexts(&'a [String]),
    /// A table of ids with the column `id`.
    IdTable(&'a [Uuid]),
    /// A table of pairs of ids with the columns `a` and `b`.
    IdPairTable(&'a [(Uuid, Uuid)]),
    /// A table of rows with these columns.
    Rows(&'static [(&'static str, CellType)], &'a [Vec<Cell>]),
    /// `limit` with this number of rows.
    Limit(i64),
    /// A condition on the rows that the viewer may see or change, after ` and `.
    Policy(Policy),
    /// SQL that a function appends.
    Write(fn(&mut Sql)),
    /// SQL that a function appends for a column.
    WriteFor(&'static str, fn(&'static str, &mut Sql)),
    /// The values of all columns, see [`super::all_values`].
    AllValues(&'a dyn Values),
    /// The columns of an alias, but for those with a given value, see [`super::Table::copied_from`].
    CopiedFrom(&'static str, &'a dyn Values),
    /// Assignments of the given columns, see [`super::changes`].
    Changes(&'a dyn Values),
    /// SQL that a closure appends.
    With(&'a dyn Fn(&mut Sql)),
}

/// A condition on the rows of one table that the viewer may see or change. Its placeholder is named after the alias of the
/// table in the statement: `{a_visible}` takes a policy on `a`.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    alias: &'static str,
    write: fn(&mut Sql),
}

impl Policy {
    /// The condition that `write` appends, with a leading `and`, on the table with this alias. It appends nothing if the
    /// access scope of the statement is unrestricted.
    pub const fn new(alias: &'static str, write: fn(&mut Sql)) -> Self {
        Self { alias, write }
    }

    /// No condition, for the given reason, such as `visible with its collection`.
    pub const fn exempt(_reason: &'static str) -> Self {
        Self { alias: "", write: |_| {} }
    }

    /// Whether the tables and joins of a statement define the alias that the policy is about.
    pub const fn fits(&self, tables: &str) -> bool {
        self.alias.is_empty()
            || template::is_alias(tables, 0, self.alias)
            || template::defines_alias(tables, self.alias)
    }
}

/// The condition that the expression before it is one of `ids`.
pub fn in_ids(ids: &[Uuid]) -> Fragment<'_> {
    Fragment::InIds(ids)
}

/// The condition that the expression before it is one of `texts`.
pub fn in_texts(texts: &[String]) -> Fragment<'_> {
    Fragment::InTexts(texts)
}

/// A table of ids with the column `id`. The text gives it an alias.
pub fn id_table(ids: &[Uuid]) -> Fragment<'_> {
    Fragment::IdTable(ids)
}

/// A table of pairs of ids with the columns `a` and `b`. The text gives it an alias.
pub fn id_pair_table(pairs: &[(Uuid, Uuid)]) -> Fragment<'_> {
    Fragment::IdPairTable(pairs)
}

/// The columns of a record that the statement selects.
pub fn columns<'a, R: SelectColumns>() -> Fragment<'a> {
    Fragment::Write(|sql| {
        sql.columns::<R>();
    })
}

/// `limit` with this number of rows: a parameter in an expression, see [`Sql::limit`].
pub fn limit<'a>(rows: i64) -> Fragment<'a> {
    Fragment::Limit(rows)
}

/// A piece of SQL, such as the name of a table or a column.
pub const fn text<'a>(text: &'static str) -> Fragment<'a> {
    Fragment::Text(text)
}

/// A piece of SQL that the two databases write differently.
pub const fn either<'a>(sqlite: &'static str, postgres: &'static str) -> Fragment<'a> {
    Fragment::Either { sqlite, postgres }
}

/// SQL that a closure appends with [`crate::append!`].
pub fn with<'a>(write: &'a dyn Fn(&mut Sql)) -> Fragment<'a> {
    Fragment::With(write)
}

/// Keys of relations, as they limit a statement.
pub trait SqlKeys: Sized {
    /// The condition that the expression before it is one of the keys.
    fn in_keys(keys: &[Self]) -> Fragment<'_>;

    /// A table of the keys.
    fn key_table(keys: &[Self]) -> Fragment<'_>;
}

impl SqlKeys for Uuid {
    fn in_keys(keys: &[Self]) -> Fragment<'_> {
        in_ids(keys)
    }

    fn key_table(keys: &[Self]) -> Fragment<'_> {
        id_table(keys)
    }
}

impl SqlKeys for String {
    fn in_keys(keys: &[Self]) -> Fragment<'_> {
        in_texts(keys)
    }

    /// # Panics
    /// Always: no statement needs a table of texts.
    fn key_table(_keys: &[Self]) -> Fragment<'_> {
        Fragment::Write(|_| panic!("texts have no key table: use {{in_keys}}"))
    }
}

impl SqlKeys for (Uuid, Uuid) {
    /// # Panics
    /// Always: pairs are joined as a table.
    fn in_keys(_keys: &[Self]) -> Fragment<'_> {
        Fragment::Write(|_| panic!("pairs are no list: use {{key_table}}"))
    }

    fn key_table(keys: &[Self]) -> Fragment<'_> {
        id_pair_table(keys)
    }
}

macro_rules! values {
    ($($type:ty => |$value:ident| $arg:expr;)*) => {$(
        impl From<$type> for Fragment<'_> {
            fn from($value: $type) -> Self {
                Self::Value($arg)
            }
        }
    )*};
}
values! {
    Arg => |arg| arg;
    Cell => |cell| cell.into();
    Uuid => |id| Arg::Id(id);
    Option<Uuid> => |id| Arg::OptionalId(id);
    i64 => |number| Arg::Int(number);
    Time => |time| Arg::Time(time);
    Option<Time> => |time| Arg::OptionalTime(time);
    String => |text| Arg::Text(Some(text));
    Option<String> => |text| Arg::Text(text);
    &str => |text| Arg::Text(Some(text.to_owned()));
    &String => |text| Arg::Text(Some(text.clone()));
}

impl From<Policy> for Fragment<'_> {
    fn from(policy: Policy) -> Self {
        Self::Policy(policy)
    }
}

impl Sql {
    /// Appends a parsed text with the values of its placeholders. [`crate::append!`] and [`crate::statement!`] call it.
    ///
    /// # Panics
    /// A policy placeholder has a value that is not a policy on its alias.
    #[doc(hidden)]
    pub fn render<const N: usize>(&mut self, parts: &'static [Part], mut fragments: [Fragment<'_>; N]) -> &mut Self {
        for part in parts {
            self.push(part.text);
            if let Some(slot) = part.slot() {
                self.fragment(part, &mut fragments[slot]);
            }
        }
        self
    }

    fn fragment(&mut self, part: &'static Part, fragment: &mut Fragment<'_>) {
        assert!(!part.is_policy() || matches!(fragment, Fragment::Policy(_)), "{{{}}} takes a policy", part.name);
        match fragment {
            Fragment::Value(_) => {
                let number = self.next_parameter();
                if let Fragment::Value(arg) = std::mem::replace(fragment, Fragment::Bound(number)) {
                    self.bind(arg);
                }
            }
            Fragment::Bound(number) => _ = self.parameter(*number),
            Fragment::Text(text) => _ = self.push(text),
            Fragment::Either { sqlite, postgres } => _ = self.either(sqlite, postgres),
            Fragment::InIds(ids) => _ = self.id_list(ids),
            Fragment::InTexts(texts) => _ = self.text_list(texts),
            Fragment::IdTable(ids) => _ = self.id_table(ids),
            Fragment::IdPairTable(pairs) => _ = self.id_pair_table(pairs),
            Fragment::Rows(columns, rows) => _ = self.row_table(columns, rows),
            Fragment::Limit(rows) => _ = self.push("limit +").int(*rows),
            Fragment::Policy(policy) => self.policy(part, *policy),
            Fragment::Write(write) => write(self),
            Fragment::WriteFor(column, write) => write(column, self),
            Fragment::AllValues(values) => self.all_values(*values),
            Fragment::CopiedFrom(alias, values) => self.copied_from(alias, *values),
            Fragment::Changes(values) => self.changes(*values),
            Fragment::With(write) => write(self),
        }
    }

    fn policy(&mut self, part: &Part, policy: Policy) {
        let alias = part.alias();
        let fits = alias.is_empty() || alias == policy.alias;
        assert!(fits, "{{{}}} has a policy on the alias {}", part.name, policy.alias);
        (policy.write)(self);
    }
}

/// Appends a text with named placeholders to a [`Sql`](crate::Sql):
/// `append!(sql, " and a.type {types}", types = in_texts(&types))`. A name without a value is the variable of that name.
#[macro_export]
macro_rules! append {
    ($sql:expr, $text:expr $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        $sql.render($crate::template!($text $(, $name)*), [$($crate::placeholder!($name $(= $value)?)),*])
    };
    ($sql:expr, $text:expr $(, $name:ident $(: $value:expr)?)* $(,)?) => {
        $sql.render($crate::template!($text $(, $name)*), [$($crate::placeholder!($name $(= $value)?)),*])
    };
}

/// A statement for a database, a transaction or a write: `statement!(write, "delete from tags where id = {id}", id)`.
#[macro_export]
macro_rules! statement {
    ($source:expr, $text:expr $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        let mut sql = $source.sql();
        $crate::append!(sql, $text $(, $name $(= $value)?)*);
        sql
    }};
    ($source:expr, $text:expr $(, $name:ident $(: $value:expr)?)* $(,)?) => {{
        let mut sql = $source.sql();
        $crate::append!(sql, $text $(, $name $(= $value)?)*);
        sql
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! placeholder {
    ($name:ident) => {
        $crate::Fragment::from($name)
    };
    ($name:ident = $value:expr) => {
        $crate::Fragment::from($value)
    };
}

/// `for update` on PostgreSQL; a transaction that writes on SQLite has the database to itself.
pub const FOR_UPDATE: Fragment<'static> = either("", "for update");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessScope, Dialect};

    fn rendered(dialect: Dialect, write: impl FnOnce(&mut Sql)) -> String {
        let mut sql = Sql::new(dialect, AccessScope::Unrestricted);
        write(&mut sql);
        sql.text().to_owned()
    }

    #[test]
    fn a_value_is_a_parameter_and_one_that_occurs_twice_is_the_same() {
        let text = rendered(Dialect::Sqlite, |sql| {
            append!(sql, "select {name}, {now}, {now} where true {limit}", now = Time(1), name = "a", limit = limit(3));
        });

        assert_eq!(text, "select $1, $2, $2 where true limit +$3");
    }

    #[test]
    fn the_databases_differ_in_named_fragments() {
        let text = |dialect| {
            rendered(dialect, |sql| {
                append!(
                    sql,
                    "select t.id from tags t where t.id {in_ids} {lock}",
                    in_ids = in_ids(&[]),
                    lock = FOR_UPDATE
                );
            })
        };

        assert_eq!(text(Dialect::Postgres), "select t.id from tags t where t.id = any($1) for update");
        assert!(text(Dialect::Sqlite).starts_with("select t.id from tags t where t.id in (select unhex(value) "));
    }

    #[test]
    #[should_panic(expected = "{a_visible} has a policy on the alias b")]
    fn a_policy_on_another_alias_is_an_error() {
        rendered(Dialect::Sqlite, |sql| {
            append!(sql, "select 1 from artifacts a where true {a_visible}", a_visible = Policy::new("b", |_| {}));
        });
    }

    #[test]
    #[should_panic(expected = "{a_visible} takes a policy")]
    fn a_policy_placeholder_takes_nothing_else() {
        rendered(Dialect::Sqlite, |sql| {
            append!(sql, "select 1 from artifacts a where true {a_visible}", a_visible = text(""));
        });
    }
}
