//! What the filters of all lists have in common.
use async_graphql::{Enum, ID, InputObject};
use uuid::Uuid;

use crate::{
    db::{Arg, Sql},
    error::{Error, Result},
    graphql::{connection::PageArguments, id},
};

/// Values in one list of a filter at most.
const VALUES_MAX: usize = 1_000;

/// Characters of a search at most.
const SEARCH_LENGTH_MAX: usize = 1_000;

/// Words of a search that are looked for; further ones are left out.
const SEARCH_WORDS_MAX: usize = 16;

/// Names that must match.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMatch {
    /// At least one of these; an empty list matches nothing.
    pub any_of: Option<Vec<String>>,
    /// Every one of these; an empty list matches everything.
    pub all_of: Option<Vec<String>>,
}

/// Ids that must match.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
#[graphql(name = "IDMatch")]
pub struct IdMatch {
    /// At least one of these; an empty list matches nothing.
    pub any_of: Option<Vec<ID>>,
    /// Every one of these; an empty list matches everything.
    pub all_of: Option<Vec<ID>>,
}

/// Which way a list is sorted.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderDirection {
    /// From the smallest to the largest, from the oldest to the newest.
    Asc,
    /// From the largest to the smallest, from the newest to the oldest.
    Desc,
}

/// A list without filter and order: `first`, `after`, `last`, `before` alone.
pub type PlainArguments = PageArguments;

/// Ids of one type that must match, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    any_of: Option<Vec<Uuid>>,
    all_of: Option<Vec<Uuid>>,
}

/// Names that must match, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    any_of: Option<Vec<String>>,
    all_of: Option<Vec<String>>,
}

impl Ids {
    /// Reads ids of the type that `prefix` names.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for what is no such id, or for too many.
    pub fn parse(prefix: &'static str, given: Option<IdMatch>) -> Result<Self> {
        let given = given.unwrap_or_default();
        let parse = |ids: Option<Vec<ID>>| ids.map(|ids| distinct_ids(prefix, &ids)).transpose();
        Ok(Self { any_of: parse(given.any_of)?, all_of: parse(given.all_of)? })
    }

    /// Writes the conditions: `column in (select id, from a table of links, where its target is one of the ids)`.
    pub fn write(&self, column: &'static str, links: Links, sql: &mut Sql) {
        if let Some(ids) = &self.any_of {
            sql.push(" and ").push(column).push(" in (").push(links.select).in_ids(ids);
            (links.policy)(sql);
            sql.push(")");
        }
        if let Some(ids) = self.all_of.as_ref().filter(|ids| !ids.is_empty()) {
            sql.push(" and ").push(column).push(" in (").push(links.select).in_ids(ids);
            (links.policy)(sql);
            sql.push(links.having).int(ids.len() as i64).push(")");
        }
    }
}

impl Names {
    /// Checks names.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for too many, or U+0000 in one.
    pub fn parse(given: Option<NameMatch>) -> Result<Self> {
        let given = given.unwrap_or_default();
        let parse = |names: Option<Vec<String>>| names.map(distinct_texts).transpose();
        Ok(Self { any_of: parse(given.any_of)?, all_of: parse(given.all_of)? })
    }

    /// Writes the conditions, as [`Ids::write`].
    pub fn write(&self, column: &'static str, links: Links, sql: &mut Sql) {
        if let Some(names) = &self.any_of {
            sql.push(" and ").push(column).push(" in (").push(links.select).in_texts(names);
            (links.policy)(sql);
            sql.push(")");
        }
        if let Some(names) = self.all_of.as_ref().filter(|names| !names.is_empty()) {
            sql.push(" and ").push(column).push(" in (").push(links.select).in_texts(names);
            (links.policy)(sql);
            sql.push(links.having).int(names.len() as i64).push(")");
        }
    }
}

/// A table of links between what is filtered and what it must have.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Selects the one side where the other side …
    pub select: &'static str,
    /// Writes the condition for those links that whoever asks may see.
    pub policy: fn(&mut Sql),
    /// Groups by the one side and compares the count of the other.
    pub having: &'static str,
}

/// Texts of a filter, each once.
///
/// # Errors
/// `BAD_USER_INPUT` for too many, or U+0000 in one.
pub fn distinct_texts(mut texts: Vec<String>) -> Result<Vec<String>> {
    limit(texts.len())?;
    texts.iter().try_for_each(|text| no_nul(text))?;
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
        return Err(Error::bad_user_input(format!(
            "a filter takes at most {VALUES_MAX} values in a list, not {count}"
        )));
    }
    Ok(())
}

/// Refuses U+0000, which PostgreSQL cannot store.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub fn no_nul(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::bad_user_input("a text must not contain U+0000"));
    }
    Ok(())
}

/// The words of a search, of letters and digits, in lower case. None where the search has no words, so that a search box
/// that was emptied filters nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search(Vec<String>);

/// The full-text index of a type, by its name in both databases.
#[derive(Clone, Copy, Debug)]
pub struct SearchIndex {
    /// `… in (select rowid from … where … match `
    pub sqlite: &'static str,
    /// `… in (select … from … where words @@ search_query(`
    pub postgres: &'static str,
}

impl Search {
    /// Reads a search.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` where it is too long.
    pub fn parse(given: Option<&str>) -> Result<Option<Self>> {
        let Some(given) = given else { return Ok(None) };
        if given.chars().count() > SEARCH_LENGTH_MAX {
            return Err(Error::bad_user_input(format!("a search has at most {SEARCH_LENGTH_MAX} characters")));
        }
        let words: Vec<String> = given
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(SEARCH_WORDS_MAX)
            .map(str::to_lowercase)
            .collect();
        Ok(Some(Self(words)).filter(|search| !search.0.is_empty()))
    }

    /// Writes the condition: every word is the beginning of a word of the indexed text.
    pub fn write(&self, index: SearchIndex, sql: &mut Sql) {
        sql.push(" and ");
        self.matches(index, false, sql);
    }

    /// Writes 0 where the name has every word, else 1: the first column of a search's order.
    pub fn rank(&self, index: SearchIndex, sql: &mut Sql) {
        sql.push("cast(case when ");
        self.matches(index, true, sql);
        sql.push(" then 0 else 1 end as bigint)");
    }

    /// The two databases ask their full-text index in their own words.
    fn matches(&self, index: SearchIndex, in_name: bool, sql: &mut Sql) {
        sql.either(index.sqlite, index.postgres);
        match sql.dialect() {
            crate::db::Dialect::Sqlite => sql.bind(Arg::Text(Some(self.fts5(in_name)))).push(")"),
            crate::db::Dialect::Postgres => {
                sql.bind(Arg::Text(Some(self.0.join(" ")))).push(if in_name { ", 'A'))" } else { ", ''))" })
            }
        };
    }

    /// The words in FTS5's language: prefixes, all of them, quoted, so that none is an operator.
    fn fts5(&self, in_name: bool) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("\"{word}\" *")).collect();
        if in_name { format!("name : ({})", words.join(" AND ")) } else { words.join(" AND ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_without_words_filters_nothing() {
        for text in ["", "   ", "-- %", "\"*\""] {
            assert_eq!(Search::parse(Some(text)).expect("a search"), None, "{text}");
        }
    }

    #[test]
    fn operators_of_the_index_are_words() {
        let search = Search::parse(Some("NOT \"a* OR b:c")).expect("a search").expect("words");

        assert_eq!(search.fts5(false), r#""not" * AND "a" * AND "or" * AND "b" * AND "c" *"#);
    }

    #[test]
    fn a_list_of_a_filter_is_limited() {
        assert!(distinct_texts(vec!["a".to_owned(); VALUES_MAX + 1]).is_err());
        assert_eq!(distinct_texts(vec!["b".into(), "a".into(), "b".into()]).expect("texts"), ["a", "b"]);
    }
}
