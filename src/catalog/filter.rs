//! Filters: the parts that lists have in common.
use async_graphql::{Enum, ID, InputObject};
use uuid::Uuid;

use crate::{
    append,
    db::{Dialect, Fragment, Sql, in_ids, in_texts, nfc, query_words, text, with},
    error::{Error, Result},
    graphql::{id, paged_list::PageArguments},
};

/// Maximum number of values in a list of a filter.
const VALUES_MAX: usize = 1_000;

/// Maximum number of characters of a search.
const SEARCH_LENGTH_MAX: usize = 1_000;

/// Maximum number of words of a search; further ones are ignored.
const SEARCH_WORDS_MAX: usize = 16;

/// Condition on names.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMatch {
    /// At least one of these; an empty list matches nothing.
    pub any_of: Option<Vec<String>>,
    /// Every one of these; an empty list matches everything.
    pub all_of: Option<Vec<String>>,
}

/// Condition on IDs.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
#[graphql(name = "IDMatch")]
pub struct IdMatch {
    /// At least one of these; an empty list matches nothing.
    pub any_of: Option<Vec<ID>>,
    /// Every one of these; an empty list matches everything.
    pub all_of: Option<Vec<ID>>,
}

/// Direction of an order.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderDirection {
    /// Smallest first, oldest first.
    Asc,
    /// Largest first, newest first.
    Desc,
}

/// The arguments of a list without filter and order: only `first`, `after`, `last` and `before`.
pub type PlainArguments = PageArguments;

/// An [`IdMatch`] for ids of one type, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    any_of: Option<Vec<Uuid>>,
    all_of: Option<Vec<Uuid>>,
}

/// A [`NameMatch`], validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    any_of: Option<Vec<String>>,
    all_of: Option<Vec<String>>,
}

impl Ids {
    /// Parses ids with this prefix.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id of another type, or too many ids.
    pub fn parse(prefix: &'static str, given: Option<IdMatch>) -> Result<Self> {
        let given = given.unwrap_or_default();
        let parse = |ids: Option<Vec<ID>>| ids.map(|ids| distinct_ids(prefix, &ids)).transpose();
        Ok(Self { any_of: parse(given.any_of)?, all_of: parse(given.all_of)? })
    }

    /// Appends the conditions that objects are linked to one of the ids, and to all of them.
    pub fn append(&self, links: Links, sql: &mut Sql) {
        if let Some(ids) = &self.any_of {
            links(in_ids(ids), None, sql);
        }
        if let Some(ids) = self.all_of.as_ref().filter(|ids| !ids.is_empty()) {
            links(in_ids(ids), Some(ids.len() as i64), sql);
        }
    }
}

impl Names {
    /// Validates names.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for too many, or one with U+0000.
    pub fn parse(given: Option<NameMatch>) -> Result<Self> {
        let given = given.unwrap_or_default();
        let parse = |names: Option<Vec<String>>| names.map(distinct_texts).transpose();
        Ok(Self { any_of: parse(given.any_of)?, all_of: parse(given.all_of)? })
    }

    /// Appends the conditions that objects are linked to one of the names, and to all of them.
    pub fn append(&self, links: Links, sql: &mut Sql) {
        if let Some(names) = &self.any_of {
            links(in_texts(names), None, sql);
        }
        if let Some(names) = self.all_of.as_ref().filter(|names| !names.is_empty()) {
            links(in_texts(names), Some(names.len() as i64), sql);
        }
    }
}

/// Appends the condition, after ` and `, that an object is in the table of links of one of the values, or of as many as the
/// count says, see [`having_all`].
pub type Links = fn(Fragment<'_>, Option<i64>, &mut Sql);

/// Appends the end of a select from a table of links: `column`, which is the linked object, has `count` links.
pub fn having_all(column: &'static str, count: Option<i64>, sql: &mut Sql) {
    if let Some(count) = count {
        append!(sql, "group by {column} having count(*) = {count}", column = text(column), count);
    }
}

/// The texts of a filter in normalization form C, sorted, each once.
///
/// # Errors
/// `BAD_USER_INPUT` for too many, or U+0000 in one.
pub fn distinct_texts(mut texts: Vec<String>) -> Result<Vec<String>> {
    limit(texts.len())?;
    texts.iter().try_for_each(|text| no_nul(text))?;
    texts.iter_mut().for_each(|text| *text = nfc(text).into_owned());
    texts.sort_unstable();
    texts.dedup();
    Ok(texts)
}

fn distinct_ids(prefix: &'static str, texts: &[ID]) -> Result<Vec<Uuid>> {
    limit(texts.len())?;
    let mut ids = texts.iter().map(|text| id::parse(prefix, text)).collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn limit(count: usize) -> Result<()> {
    if count > VALUES_MAX {
        return Err(Error::bad_user_input(format!("a list of a filter has at most {VALUES_MAX} values, not {count}")));
    }
    Ok(())
}

/// Rejects U+0000, which PostgreSQL cannot store.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub fn no_nul(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::bad_user_input("a text must not contain U+0000"));
    }
    Ok(())
}

/// The words of a search, normalised as in the index. A search without a word matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search(Vec<String>);

/// The full-text index of a type.
#[derive(Clone, Copy, Debug)]
pub struct SearchIndex {
    /// The table of the index.
    pub index: &'static str,
    /// The column of the searched table with the row number that the index has on SQLite.
    pub row: &'static str,
    /// The column of the searched table with the id that the index has on PostgreSQL.
    pub id: &'static str,
    /// The column of the index with that id.
    pub item: &'static str,
}

impl Search {
    /// Parses a search. `None` if it is only white space, so an empty search box filters nothing.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if it is too long.
    pub fn parse(given: Option<&str>) -> Result<Option<Self>> {
        let Some(given) = given else { return Ok(None) };
        if given.chars().count() > SEARCH_LENGTH_MAX {
            return Err(Error::bad_user_input(format!("a search has at most {SEARCH_LENGTH_MAX} characters")));
        }
        if given.trim().is_empty() {
            return Ok(None);
        }
        let mut words = query_words(given);
        words.truncate(SEARCH_WORDS_MAX);
        Ok(Some(Self(words)))
    }

    /// Appends the condition that every word is the beginning of a word of the indexed text.
    pub fn append(&self, index: SearchIndex, sql: &mut Sql) {
        append!(sql, " and {matches}", matches = with(&|sql| self.matches(index, false, sql)));
    }

    /// Appends 0 if the name has every word, else 1: the first sort key of a search.
    pub fn append_rank(&self, index: SearchIndex, sql: &mut Sql) {
        append!(
            sql,
            "cast(case when {matches} then 0 else 1 end as bigint)",
            matches = with(&|sql| self.matches(index, true, sql)),
        );
    }

    /// The full-text indexes of the two databases have different query languages.
    fn matches(&self, SearchIndex { index, row, id, item }: SearchIndex, in_name: bool, sql: &mut Sql) {
        if self.0.is_empty() {
            append!(sql, "false");
            return;
        }
        match sql.dialect() {
            Dialect::Sqlite => append!(
                sql,
                "{row} in (select rowid from {index} where {index} match {words})",
                row = text(row),
                index = text(index),
                words = self.fts5(in_name),
            ),
            Dialect::Postgres => append!(
                sql,
                "{id} in (select s.{item} from {index} s where s.{column} @@ {words}::tsquery)",
                id = text(id),
                item = text(item),
                index = text(index),
                column = text(if in_name { "name_words" } else { "words" }),
                words = self.tsquery(),
            ),
        };
    }

    /// The words as a query of PostgreSQL: quoted prefixes, so that none is an operator. Words have no quotes.
    fn tsquery(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("'{word}':*")).collect();
        words.join(" & ")
    }

    /// The words as an FTS5 query: quoted prefixes, so that none is an operator. Words have no quotes.
    fn fts5(&self, in_name: bool) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("\"{word}\" *")).collect();
        if in_name { format!("name : ({})", words.join(" AND ")) } else { words.join(" AND ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(text: &str) -> Search {
        Search::parse(Some(text)).expect("a search").expect("no blank search")
    }

    #[test]
    fn a_blank_search_filters_nothing() {
        for text in ["", "   ", "\n\u{3000}"] {
            assert_eq!(Search::parse(Some(text)).expect("a search"), None, "{text}");
        }
    }

    #[test]
    fn a_search_without_words_matches_nothing() {
        for text in ["-- %", "\"*\"", "\0", "…"] {
            assert_eq!(search(text), Search(Vec::new()), "{text}");
        }
    }

    #[test]
    fn operators_of_the_index_are_words() {
        let search = search("NOT \"a* OR b:c");

        assert_eq!(search.fts5(false), r#""not" * AND "a" * AND "or" * AND "b" * AND "c" *"#);
        assert_eq!(search.tsquery(), "'not':* & 'a':* & 'or':* & 'b':* & 'c':*");
    }

    #[test]
    fn a_list_of_a_filter_is_limited() {
        assert!(distinct_texts(vec!["a".to_owned(); VALUES_MAX + 1]).is_err());
        assert_eq!(distinct_texts(vec!["b".into(), "a".into(), "b".into()]).expect("texts"), ["a", "b"]);
    }
}
