//! The filter of lists of artifacts, as an input and as SQL.
use async_graphql::InputObject;

use crate::{
    append,
    catalog::{
        Visibility, collection,
        filter::{IdMatch, Ids, NameMatch, Names, Search, SearchIndex, distinct_texts, having_all},
        group,
        policy::{self, Access},
    },
    db::{Fragment, Sql, Time, in_texts, text, with},
    error::Result,
    graphql::scalar::DateTime,
};

/// Filter of artifacts, which match if they meet every given condition.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactFilter {
    /// Type: one of these.
    pub types: Option<Vec<String>>,
    /// Tags, by slug.
    pub tags: Option<NameMatch>,
    /// Collections that contain the artifact.
    pub collections: Option<IdMatch>,
    /// Groups that contain the artifact.
    pub groups: Option<IdMatch>,
    /// Visibility.
    pub visibility: Option<Visibility>,
    /// Search for words in name, description, author and tags; each matches the beginning of a word. Case, diacritics, width,
    /// ligatures and the spelling of an accent (composed or decomposed) do not matter. Signs separate words. In scripts
    /// without spaces between words, and for emoji, a word may begin at each character. A search without a letter, digit or
    /// emoji matches nothing; a blank one matches everything. At most 1,000 characters; words after the first 16 are ignored.
    /// Without `orderBy` the result is ranked: artifacts whose name has all words come first, each part sorted by name.
    pub search: Option<String>,
    /// Created at this time or later.
    pub created_after: Option<DateTime>,
    /// Created before this time.
    pub created_before: Option<DateTime>,
    /// True: only artifacts that no collection which the viewer may list contains. False: only those that one contains.
    pub uncollected: Option<bool>,
}

/// The full-text index of artifacts.
const SEARCH: SearchIndex = SearchIndex { index: "artifact_search", row: "a.row", id: "a.id", item: "artifact_id" };

/// The artifacts of the tags need no condition: they are those of the filtered list.
fn with_tags(slugs: Fragment<'_>, count: Option<i64>, sql: &mut Sql) {
    append!(
        sql,
        " and a.id in (
            select l.artifact_id from tags t join artifact_tags l on l.tag_id = t.id
            where t.slug {slugs} {all} {exempt: the policy of the list applies})",
        slugs,
        all = with(&|sql| having_all("l.artifact_id", count, sql)),
    );
}

fn in_collections(ids: Fragment<'_>, count: Option<i64>, sql: &mut Sql) {
    append!(
        sql,
        " and a.id in (
            select m.artifact_id from collection_artifacts m where m.collection_id {ids} {m_visible} {all})",
        ids,
        m_visible = policy::memberships(Access::ById),
        all = with(&|sql| having_all("m.artifact_id", count, sql)),
    );
}

fn in_groups(ids: Fragment<'_>, count: Option<i64>, sql: &mut Sql) {
    append!(
        sql,
        " and a.id in (select m.artifact_id from group_artifacts m where m.group_id {ids} {m_visible} {all})",
        ids,
        m_visible = policy::memberships(Access::ById),
        all = with(&|sql| having_all("m.artifact_id", count, sql)),
    );
}

/// An [`ArtifactFilter`] with parsed values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactConditions {
    types: Option<Vec<String>>,
    tags: Names,
    collections: Ids,
    groups: Ids,
    visibility: Option<Visibility>,
    search: Option<Search>,
    created_after: Option<Time>,
    created_before: Option<Time>,
    uncollected: Option<bool>,
}

impl ArtifactConditions {
    /// Parses the values of a filter.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id of another type, too long a list or text, or U+0000.
    pub fn parse(filter: Option<ArtifactFilter>) -> Result<Self> {
        let filter = filter.unwrap_or_default();
        Ok(Self {
            types: filter.types.map(distinct_texts).transpose()?,
            tags: Names::parse(filter.tags)?,
            collections: Ids::parse(collection::PREFIX, filter.collections)?,
            groups: Ids::parse(group::PREFIX, filter.groups)?,
            visibility: filter.visibility,
            search: Search::parse(filter.search.as_deref())?,
            created_after: filter.created_after.map(|time| time.0),
            created_before: filter.created_before.map(|time| time.0),
            uncollected: filter.uncollected,
        })
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The types, if there is no condition but the one on types.
    pub fn only_types(&self) -> Option<&[String]> {
        let types = self.types.as_deref()?;
        let others = Self { types: None, ..self.clone() };
        others.is_empty().then_some(types)
    }

    /// Whether there is a search, whose result is ranked by default.
    pub fn has_search(&self) -> bool {
        self.search.is_some()
    }

    /// Appends the conditions on the table under the alias `a`, each after ` and `. `type_column` has the type: for
    /// members of a collection it is a column of the membership, which is in the indexes that sort the members.
    pub fn append(&self, type_column: &'static str, sql: &mut Sql) {
        if let Some(types) = &self.types {
            append!(sql, " and {column} {types}", column = text(type_column), types = in_texts(types));
        }
        self.tags.append(with_tags, sql);
        self.collections.append(in_collections, sql);
        self.groups.append(in_groups, sql);
        if let Some(visibility) = self.visibility {
            append!(sql, " and a.visibility = {visibility}", visibility = visibility.as_str());
        }
        if let Some(search) = &self.search {
            search.append(SEARCH, sql);
        }
        if let Some(time) = self.created_after {
            append!(sql, " and a.created_at >= {time}", time);
        }
        if let Some(time) = self.created_before {
            append!(sql, " and a.created_at < {time}", time);
        }
        if let Some(is_in_none) = self.uncollected {
            append!(
                sql,
                " and {not} exists (select 1 from collection_artifacts m where m.artifact_id = a.id {m_visible})",
                not = text(if is_in_none { "not" } else { "" }),
                m_visible = policy::memberships(Access::InLists),
            );
        }
    }

    /// Appends the rank of a search, the best first.
    pub fn append_rank(&self, sql: &mut Sql) {
        if let Some(search) = &self.search {
            search.append_rank(SEARCH, sql);
        }
    }
}
