//! Facets: counts over a filtered list of artifacts.
use async_graphql::InputObject;

use crate::{
    append,
    catalog::fields::DeclareFields,
    db::{Record, Row, Sql, Text, text, with},
    error::{Error, Result},
    field,
    graphql::{
        list::{List, ListParent, policy},
        object::{NoArguments, Object, ObjectBuilder},
        paged_list::{Connection, PagedList},
    },
    loader::Relation,
};

/// The facets of a list, of one of its parents.
#[derive(Clone)]
struct Facets<L: PagedList> {
    list: L,
    parent: L::Parent,
}

/// Declares the field `facets` of a connection of artifacts.
pub(super) fn declare_facets<L: PagedList>(fields: &mut ObjectBuilder<'_, '_, Connection<L>>) {
    fields.output(
        field!("facets", "Counts over all artifacts that match the filter, not only those of the page."),
        |page| Facets { list: page.list().0.clone(), parent: page.parent() },
    );
}

impl<L: PagedList> Object for Facets<L> {
    const NAME: &'static str = "ArtifactFacets";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["Counts of a filtered list of artifacts, by type and by tag."]);
        fields.load::<NoArguments, _, _>(
            field!("types", "Artifacts of each type, the most frequent first."),
            |facets| facets.parent.clone(),
            |facets, _, _| Ok(TypeFacets(facets.list.clone())),
            |counts| counts,
        );
        fields.load::<TagFacetsArguments, _, _>(
            field!("tags", "Artifacts with each tag, by slug, the most frequent first."),
            |facets| facets.parent.clone(),
            |facets, args, _| args.relation(&facets.list),
            |counts| counts,
        );
    }
}

/// The number of facets.
#[derive(InputObject)]
struct TagFacetsArguments {
    /// Maximum number of tags, from 0 to 1,000.
    #[graphql(default_with = "Some(50)")]
    first: Option<i64>,
}

impl TagFacetsArguments {
    const DEFAULT: i64 = 50;
    const MAX: i64 = 1_000;

    fn relation<L: List>(&self, list: &L) -> Result<TagFacets<L>> {
        let first = self.first.unwrap_or(Self::DEFAULT);
        if !(0..=Self::MAX).contains(&first) {
            let message = format!("`first` is {first}; it must be from 0 to {}", Self::MAX);
            return Err(Error::bad_user_input(message));
        }
        Ok(TagFacets { list: list.clone(), first })
    }
}

/// A value and the number of artifacts that have it.
#[derive(Clone, Debug)]
pub struct FacetCount {
    value: Text,
    count: i64,
}

impl Object for FacetCount {
    const NAME: &'static str = "FacetCount";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["A value and the number of artifacts of the list that have it."]);
        fields.leaf(field!("value", "A type, or the slug of a tag."), |facet| &facet.value);
        fields.leaf(field!("artifactCount", "Number of artifacts."), |facet| &facet.count);
    }
}

impl Record for FacetCount {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self { value: row.next()?, count: row.next()? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TypeFacets<L>(L);

crate::sql_loader!([L: List] TypeFacets<L>);

impl<L: List> Relation for TypeFacets<L> {
    type Key = L::Parent;
    type Row = FacetCount;
    type Value = Vec<FacetCount>;
    const NAME: &'static str = "ArtifactFacets.types";

    fn statement(&self, keys: &[L::Parent], sql: &mut Sql) {
        let (from, filter) = (text(L::FROM), &|sql: &mut Sql| self.0.filter(sql));
        if L::Parent::IS_ROOT {
            append!(
                sql,
                "select a.type, count(*)
                 from {from}
                 where true {visible} {filter}
                 group by a.type
                 order by count(*) desc, a.type",
                from,
                visible = policy::<L>(),
                filter = with(filter),
            );
        } else {
            append!(
                sql,
                "select keys.id, a.type, count(*)
                 from {keys} as keys cross join {from}
                 where {parent} = keys.id {visible} {filter}
                 group by keys.id, a.type
                 order by count(*) desc, a.type",
                keys = L::Parent::table(keys),
                from,
                parent = text(L::PARENT),
                visible = policy::<L>(),
                filter = with(filter),
            );
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<FacetCount> {
        Record::read(row)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TagFacets<L> {
    list: L,
    first: i64,
}

crate::sql_loader!([L: List] TagFacets<L>);

impl<L: List> Relation for TagFacets<L> {
    type Key = L::Parent;
    type Row = FacetCount;
    type Value = Vec<FacetCount>;
    const NAME: &'static str = "ArtifactFacets.tags";

    /// The window runs over one row for each tag, after the artifacts are counted.
    fn statement(&self, keys: &[L::Parent], sql: &mut Sql) {
        let (from, filter) = (text(L::FROM), &|sql: &mut Sql| self.list.filter(sql));
        if L::Parent::IS_ROOT {
            append!(
                sql,
                "select slug, n
                 from (
                   select slug, n, row_number() over (order by n desc, slug) as rank
                   from (
                     select t.slug, count(*) as n
                     from (select a.id as artifact_id from {from} where true {visible} {filter}) listed
                     join artifact_tags l on l.artifact_id = listed.artifact_id
                     join tags t on t.id = l.tag_id
                     group by t.slug
                   ) counted
                 ) ranked
                 where rank <= {first}
                 order by rank",
                from,
                visible = policy::<L>(),
                filter = with(filter),
                first = self.first,
            );
        } else {
            append!(
                sql,
                "select id, slug, n
                 from (
                   select id, slug, n, row_number() over (partition by id order by n desc, slug) as rank
                   from (
                     select listed.id, t.slug, count(*) as n
                     from (
                       select keys.id, a.id as artifact_id
                       from {keys} as keys cross join {from}
                       where {parent} = keys.id {visible} {filter}
                     ) listed
                     join artifact_tags l on l.artifact_id = listed.artifact_id
                     join tags t on t.id = l.tag_id
                     group by listed.id, t.slug
                   ) counted
                 ) ranked
                 where rank <= {first}
                 order by id, rank",
                keys = L::Parent::table(keys),
                from,
                parent = text(L::PARENT),
                visible = policy::<L>(),
                filter = with(filter),
                first = self.first,
            );
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<FacetCount> {
        Record::read(row)
    }
}
