//! Tags of artifacts.
mod name;
mod relations;
mod write;

use async_graphql::InputObject;
use uuid::Uuid;

use crate::{
    catalog::{
        Query,
        artifact::ArtifactsOfTag,
        fields::DeclareFields,
        filter::{PlainArguments, Search, no_nul},
    },
    db::{Text, nfc},
    error::Result,
    field,
    graphql::{
        ConnectionFields,
        object::{Object, ObjectBuilder},
        paged_list::PageArguments,
    },
    loader::RootKey,
    table,
};

pub use name::{KnownTags, TagName, insert_missing, link, tag_names};
pub use relations::{AllTags, TagById, TagsOfArtifact};
use relations::{ArtifactCount, TagBySlug};
pub use write::declare_mutations;

/// Prefix of the ids of tags.
pub const PREFIX: &str = "tag";

table! {
    /// A tag.
    pub struct Tag(Stored) as "t", values TagValues {
        eager { id: Uuid }
        writable {
            name: Text => "name_words" up to SHORT_TEXT,
            slug: Text => "slug_words" up to SHORT_TEXT,
            color: Option<Text>,
        }
        read_only {}
    }
}

impl Tag {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Tag {
    const NAME: &'static str = "Tag";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["A tag of artifacts."]);
        fields.implements("Node");
        fields.node_id(PREFIX, Tag::id);
        fields.column(field!("name", "Name."), Stored::name);
        fields.column(field!(
                "slug",
                "Unique lower-case identifier, used by filters and `Query.tag`. It is derived from the name: words with \
                 hyphens between them, and ASCII signs by their names with an underscore before each. `Code Quality` is \
                 `code-quality`, `C++` is `c_plus_plus`, `C#` is `c_sharp`, `.NET` is `_dot-net`, `a/b` is `a_slash-b`. \
                 Letters of other scripts and emoji stay as they are. A slug of more than 100 characters ends with a \
                 digest. Tags of earlier releases keep their slugs, in which signs are left out; a tag whose slug is \
                 taken by one of these has `_2` after its own."
            ), Stored::slug);
        fields.column(field!("color", "Color, as `#rrggbb`."), Stored::color);
        fields.related(
            field!("artifactCount", "Number of artifacts with the tag that the viewer may list."),
            Tag::id,
            ArtifactCount,
        );
        fields.connection::<PlainArguments, _>(
            field!("artifacts", "Artifacts with the tag that the viewer may list, newest first."),
            Tag::id,
            |_, _| Ok(ArtifactsOfTag),
        );
    }
}

/// Declares the root fields that read tags.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.lookup(field!("tag", "The tag with this slug; null if there is none."), TagBySlug, |args: BySlug| {
        no_nul(&args.slug)?;
        Ok(nfc(&args.slug).into_owned())
    });
    fields.connection::<TagsArguments, _>(
        field!("tags", "Tags of artifacts that the viewer may list, by name."),
        |_| RootKey,
        |args, _| args.list(),
    );
}

/// A tag by its slug.
#[derive(InputObject)]
#[graphql(name = "TagArguments")]
struct BySlug {
    /// Slug, in lower case.
    slug: String,
}

/// Filter of tags, which match if they meet every given condition.
#[derive(InputObject, Clone, Debug, Default)]
pub struct TagFilter {
    /// Search for words in name and slug; each matches the beginning of a word, as in `ArtifactFilter.search`.
    pub search: Option<String>,
}

/// Arguments of `Query.tags`.
#[derive(InputObject)]
struct TagsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Filter. Default: all tags.
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
