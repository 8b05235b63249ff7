//! Artifacts: objects with a type and a name.
mod create;
mod description;
mod facets;
mod filter;
mod input;
mod list;
mod member;
mod mutation;
mod payload;
mod position;
mod relations;
mod update;

use async_graphql::{ID, InputObject};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    catalog::{
        Query, Visibility,
        collection::{CollectionsArguments, CollectionsOfArtifact},
        fields::{DeclareFields, REVISION},
        filter::PlainArguments,
        group::GroupsOfArtifact,
        sharing::LinksOfArtifact,
        tag::TagsOfArtifact,
        user::OwnerOfArtifact,
        version::VersionsOfArtifact,
    },
    db::{Text, Time},
    error::{Error, Result},
    field,
    graphql::{
        ConnectionFields, id,
        object::{NoArguments, Object, ObjectBuilder},
    },
    loader::RootKey,
    table,
};

use description::DescriptionArguments;
pub use facets::FacetCount;
pub use filter::{ArtifactConditions, ArtifactFilter};
pub use list::{ArtifactsArguments, ArtifactsOfTag};
pub use member::{ArtifactsOfCollection, ArtifactsOfGroup, CollectionArtifactsArguments};
pub use mutation::declare_mutations;
pub use relations::{ArtifactById, ArtifactOfVersion};
use relations::{CollectionCount, ContentOfArtifact, MetadataOfArtifact, VersionCount};
pub use update::rejection;

/// Prefix of the ids of artifacts.
pub const PREFIX: &str = "artifact";

table! {
    /// An artifact, without its heavy columns.
    pub struct Artifact(Stored) as "a", values ArtifactValues {
        eager { id: Uuid }
        writable {
            kind "type": Text,
            name: Text => "name_words" up to SHORT_TEXT,
            description: Option<Text> => "description_words" up to LONG_TEXT,
            source: Option<Text>,
            author: Option<Text> => "author_words" up to SHORT_TEXT,
            license: Option<Text>,
            homepage: Option<Text>,
            version: Option<Text>,
            visibility: Visibility,
        }
        write_only { content: Option<Text>, metadata: Option<Text> }
        read_only { revision: i64, created_at: Time, updated_at: Time }
    }
}

impl Artifact {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Artifact {
    const NAME: &'static str = "Artifact";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&[
            "An object that collections can contain: a skill, a listing, a track, anything with a type and \
            a name.",
        ]);
        fields.implements("Node");
        fields.implements("Shareable");
        fields.node_id(PREFIX, Artifact::id);
        declare_columns(fields);
        declare_relations(fields);
        fields.column(field!("revision", REVISION), Stored::revision);
        fields.column(field!("createdAt", "Time of creation."), Stored::created_at);
        fields.column(field!("updatedAt", "Time of the last change."), Stored::updated_at);
    }
}

fn declare_columns(fields: &mut ObjectBuilder<'_, '_, Artifact>) {
    fields.column(
        field!("type", "Type, a lower-case slug such as `skill`, `command`, `listing` or `track`."),
        Stored::kind,
    );
    fields.column(field!("name", "Name, unique for its owner and type."), Stored::name);
    fields.column_with::<DescriptionArguments, _, _, _>(
        field!("description", "Description. `maxLength` truncates it at a word and adds an ellipsis."),
        Stored::description,
        |text, args| args.apply(text.as_deref()),
    );
    fields.load::<NoArguments, _, _>(
        field!("content", "Full text, read from the database only if selected."),
        Artifact::id,
        |_, _, _| Ok(ContentOfArtifact),
        Option::flatten,
    );
    fields.column(field!("source", "Source, such as `github:owner/repo/path`."), Stored::source);
    fields.column(field!("author", "Author."), Stored::author);
    fields.column(field!("license", "License, an SPDX identifier if there is one."), Stored::license);
    fields.column(field!("homepage", "Address of its web page."), Stored::homepage);
    fields.column(field!("version", "Label of the newest version."), Stored::version);
    fields.load::<NoArguments, _, _>(
        field!("metadata", "Further properties, a JSON object, read from the database only if selected."),
        Artifact::id,
        |_, _, _| Ok(MetadataOfArtifact),
        parse_metadata,
    );
    fields.column(
        field!("visibility", "Visibility. Everyone who can see a collection also sees the artifacts it contains."),
        Stored::visibility,
    );
}

fn declare_relations(fields: &mut ObjectBuilder<'_, '_, Artifact>) {
    fields.related(
        field!("owner", "The account that owns the artifact; null on a server without accounts."),
        Artifact::id,
        OwnerOfArtifact,
    );
    fields.related(field!("tags", "Tags, by name."), Artifact::id, TagsOfArtifact);
    fields.connection::<CollectionsArguments, CollectionsOfArtifact>(
        field!(
            "collections",
            "Collections that contain the artifact and that the viewer may list. Default order: name."
        ),
        Artifact::id,
        |args, _| Ok(CollectionsOfArtifact::new(args.order_by.clone())),
    );
    fields.related(
        field!("collectionCount", "Number of collections that contain the artifact and that the viewer may list."),
        Artifact::id,
        CollectionCount,
    );
    fields.connection::<PlainArguments, _>(
        field!("groups", "Groups that contain the artifact, of all collections that the viewer may list, by name."),
        Artifact::id,
        |_, _| Ok(GroupsOfArtifact),
    );
    fields.connection::<PlainArguments, _>(field!("versions", "Versions, newest first."), Artifact::id, |_, _| {
        Ok(VersionsOfArtifact)
    });
    fields.related(field!("versionCount", "Number of versions."), Artifact::id, VersionCount);
    fields.related(
        field!("shareLinks", "Active share links, newest first. Empty unless the viewer can edit the artifact."),
        Artifact::id,
        LinksOfArtifact,
    );
}

/// Declares the root fields that read artifacts.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.lookup(
        field!("artifact", "The artifact with this ID; null if there is none."),
        ArtifactById,
        |args: ById| id::parse(PREFIX, &args.id),
    );
    fields.connection::<ArtifactsArguments, _>(
        field!(
            "artifacts",
            "Artifacts that the viewer owns, public ones, and those in public collections. Default order: newest first, \
             or by rank if there is a search."
        ),
        |_| RootKey,
        |args, _| args.list(),
    );
}

/// An object by its ID.
#[derive(InputObject)]
#[graphql(name = "ArtifactArguments")]
struct ById {
    /// ID of the artifact.
    id: ID,
}

fn parse_metadata(text: Option<Option<String>>) -> Result<Option<Box<RawValue>>> {
    let Some(text) = text.flatten() else { return Ok(None) };
    RawValue::from_string(text).map(Some).map_err(Error::internal)
}
