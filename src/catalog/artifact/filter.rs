//! Which artifacts of a list: as clients say it, and as SQL.
use async_graphql::InputObject;

use crate::{
    catalog::{
        Visibility, collection,
        filter::{IdMatch, Ids, Links, NameMatch, Names, Search, SearchIndex, distinct_texts},
        group,
        policy::{self, Access},
    },
    db::{Arg, Sql, Time},
    error::Result,
    graphql::scalar::DateTime,
};

/// Which artifacts: those that meet every condition given.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactFilter {
    /// Of one of these types.
    pub types: Option<Vec<String>>,
    /// With these tags, by slug.
    pub tags: Option<NameMatch>,
    /// In these collections.
    pub collections: Option<IdMatch>,
    /// In these groups.
    pub groups: Option<IdMatch>,
    /// With this visibility.
    pub visibility: Option<Visibility>,
    /// Words of name, description, author or tags, each as the beginning of a word. Without `orderBy` the result is
    /// ranked: first those whose name has all words, then the others, each by name.
    pub search: Option<String>,
    /// Made at this time or later.
    pub created_after: Option<DateTime>,
    /// Made before this time.
    pub created_before: Option<DateTime>,
    /// True: only those in no collection that the viewer may list. False: only those in at least one.
    pub uncollected: Option<bool>,
}

/// The full-text index of artifacts.
const SEARCH: SearchIndex = SearchIndex {
    sqlite: "a.row in (select rowid from artifact_search where artifact_search match ",
    postgres: "a.id in (select s.artifact_id from artifact_search s where s.words @@ search_query(",
};

const TAGS: Links = Links {
    select: "select l.artifact_id from tags t join artifact_tags l on l.tag_id = t.id where t.slug",
    // The artifacts that they lead to have conditions of their own.
    policy: |_| {},
    having: " group by l.artifact_id having count(*) = ",
};
const COLLECTIONS: Links = Links {
    select: "select m.artifact_id from collection_artifacts m where m.collection_id",
    policy: |sql| policy::memberships(Access::ById).append(sql),
    having: " group by m.artifact_id having count(*) = ",
};
const GROUPS: Links = Links {
    select: "select m.artifact_id from group_artifacts m where m.group_id",
    policy: |sql| policy::memberships(Access::ById).append(sql),
    having: " group by m.artifact_id having count(*) = ",
};

/// An [`ArtifactFilter`] whose values are parsed.
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
    /// `BAD_USER_INPUT` for what is no id of the right type, too long a list or text, or U+0000.
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

    /// The types that are left, where nothing but the type matters.
    pub fn types_alone(&self) -> Option<&[String]> {
        let types = self.types.as_deref()?;
        let others = Self { types: None, ..self.clone() };
        others.is_empty().then_some(types)
    }

    /// Whether the result of a search is to be ranked.
    pub fn has_search(&self) -> bool {
        self.search.is_some()
    }

    /// Writes the conditions on the table under the alias `a`, each after ` and `. `type_column` is where the type is
    /// read: beside a membership it stands in the index that orders the members.
    pub fn write(&self, type_column: &'static str, sql: &mut Sql) {
        if let Some(types) = &self.types {
            sql.push(" and ").push(type_column).in_texts(types);
        }
        self.tags.write("a.id", TAGS, sql);
        self.collections.write("a.id", COLLECTIONS, sql);
        self.groups.write("a.id", GROUPS, sql);
        if let Some(visibility) = self.visibility {
            sql.push(" and a.visibility = ").bind(Arg::Text(Some(visibility.as_str().to_owned())));
        }
        if let Some(search) = &self.search {
            search.write(SEARCH, sql);
        }
        if let Some(time) = self.created_after {
            sql.push(" and a.created_at >= ").bind(Arg::Time(time));
        }
        if let Some(time) = self.created_before {
            sql.push(" and a.created_at < ").bind(Arg::Time(time));
        }
        if let Some(is_in_none) = self.uncollected {
            sql.push(if is_in_none { " and not exists (" } else { " and exists (" });
            sql.push("select 1 from collection_artifacts m where m.artifact_id = a.id");
            policy::memberships(Access::InLists).append(sql);
            sql.push(")");
        }
    }

    /// Writes the rank of a search, the smallest first.
    pub fn write_rank(&self, sql: &mut Sql) {
        if let Some(search) = &self.search {
            search.rank(SEARCH, sql);
        }
    }
}
