//! Tags.
mod relations;
mod write;

use async_graphql::InputObject;
use uuid::Uuid;

use crate::{
    catalog::{
        Query,
        artifact::ArtifactsOfTag,
        filter::{PlainArguments, Search, no_nul},
    },
    db::Text,
    error::Result,
    fields,
    graphql::{
        connection::PageArguments,
        id::GlobalId,
        object::{NoArguments, Object, ObjectBuilder},
    },
    loader::RootKey,
    row,
};

pub use relations::{AllTags, TagById, TagsOfArtifact};
use relations::{ArtifactCount, TagBySlug};
pub use write::{Named, declare_mutations, link, make, named};

/// Prefix of the ids of tags.
pub const PREFIX: &str = "tag";

row! {
    /// A tag.
    pub struct Tag(Stored) from 0 {
        eager { id: Uuid = "t.id" }
        on_demand {
            name: Text = "t.name",
            slug: Text = "t.slug",
            color: Option<Text> = "t.color",
        }
    }
}

impl Tag {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Tag {
    fn name() -> String {
        "Tag".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A word that artifacts have in common.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|tag: &Tag| GlobalId { prefix: PREFIX, id: tag.0.id });
            /// What it is called.
            name => column(Stored::name);
            /// The lower-case word that filters and `Query.tag` know it by; unique.
            slug => column(Stored::slug);
            /// Its colour, as `#rrggbb`.
            color => column(Stored::color);
            /// How many artifacts have it that the viewer may list.
            artifactCount => load::<NoArguments, _, _>(Tag::id, |_, _, _| Ok(ArtifactCount), |count| count);
            /// The artifacts that have it, as far as the viewer may list them, the newest first.
            artifacts => connection::<PlainArguments, _>(Tag::id, |_, _| Ok(ArtifactsOfTag));
        }
    }
}

/// Declares the root fields about tags.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields! { fields;
        type;
        /// The tag with this slug; null where there is none.
        tag => batch::<BySlug, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                no_nul(&args.slug)?;
                node.load::<Tag, _>(TagBySlug, vec![args.slug; count]).await
            })
        });
        /// Tags of artifacts that the viewer may list, by name.
        tags => connection::<TagsArguments, _>(|_| RootKey, |args, _| args.list());
    }
}

/// A tag by its slug.
#[derive(InputObject)]
#[graphql(name = "TagArguments")]
struct BySlug {
    /// The slug, in lower case.
    slug: String,
}

/// Which tags: those that meet every condition given.
#[derive(InputObject, Clone, Debug, Default)]
pub struct TagFilter {
    /// Words of name or slug, each as the beginning of a word.
    pub search: Option<String>,
}

/// Arguments of `Query.tags`.
#[derive(InputObject)]
struct TagsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Which tags; all where it is absent.
    filter: Option<TagFilter>,
}

impl AsRef<PageArguments> for TagsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

impl TagsArguments {
    fn list(&self) -> Result<AllTags> {
        let search = self.filter.as_ref().and_then(|filter| filter.search.as_deref());
        Ok(AllTags { search: Search::parse(search)? })
    }
}
