//! Artifacts: anything with a type and a name.
mod filter;
mod lists;
mod relations;
mod write;

use async_graphql::{ID, InputObject};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    catalog::{
        Query, Visibility,
        collection::{CollectionsArguments, CollectionsOfArtifact},
        filter::PlainArguments,
        group::GroupsOfArtifact,
        sharing::LinksOfArtifact,
        tag::TagsOfArtifact,
        user::OwnerOfArtifact,
        version::VersionsOfArtifact,
    },
    db::{Text, Time},
    error::{Error, Result},
    fields,
    graphql::{
        id::{self, GlobalId},
        object::{NoArguments, Object, ObjectBuilder},
    },
    loader::RootKey,
    row,
};

pub use filter::{ArtifactConditions, ArtifactFilter};
pub use lists::{
    ArtifactsArguments, ArtifactsOfCollection, ArtifactsOfGroup, ArtifactsOfTag, CollectionArtifactsArguments,
    FacetCount,
};
pub use relations::{ArtifactById, ArtifactOfVersion};
use relations::{CollectionCount, ContentOfArtifact, MetadataOfArtifact, VersionCount};
pub use write::{declare_mutations, refusal};

/// Prefix of the ids of artifacts.
pub const PREFIX: &str = "artifact";

row! {
    /// An artifact, without the heavy columns.
    pub struct Artifact(Stored) from 0 {
        eager { id: Uuid = "a.id" }
        on_demand {
            kind: Text = "a.type",
            name: Text = "a.name",
            description: Option<Text> = "a.description",
            source: Option<Text> = "a.source",
            author: Option<Text> = "a.author",
            license: Option<Text> = "a.license",
            version: Option<Text> = "a.version",
            visibility: Visibility = "a.visibility",
            revision: i64 = "a.revision",
            created_at: Time = "a.created_at",
            updated_at: Time = "a.updated_at",
        }
    }
}

impl Artifact {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Artifact {
    fn name() -> String {
        "Artifact".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Something that can be collected: a skill, a listing, a track, anything with a type and a name.
            type: "Node", "Shareable";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|artifact: &Artifact| GlobalId { prefix: PREFIX, id: artifact.0.id });
            /// What it is, as a lower-case slug such as `skill`, `command`, `listing` or `track`.
            type => column(Stored::kind);
            /// What it is called; unique for its owner and type.
            name => column(Stored::name);
            /// What it is for. With `maxLength` at most so many characters, cut at a word, with an ellipsis.
            description => column_with::<DescriptionArguments, _, _, _>(Stored::description, |text, args| {
                args.apply(text.as_deref())
            });
            /// The full text. Read from the database only where it is asked for.
            content => load::<NoArguments, _, _>(
                Artifact::id,
                |_, _, _| Ok(ContentOfArtifact),
                |content: Option<Option<String>>| content.flatten(),
            );
            /// Where it comes from, such as `github:owner/repo/path`.
            source => column(Stored::source);
            /// Who made it.
            author => column(Stored::author);
            /// The licence it is under, as an SPDX identifier where there is one.
            license => column(Stored::license);
            /// Label of the newest version.
            version => column(Stored::version);
            /// Further properties, a JSON object. Read from the database only where it is asked for.
            metadata => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(MetadataOfArtifact), parse_metadata);
            /// Who may see it, besides those who can see a collection that holds it.
            visibility => column(Stored::visibility);
            /// The account that owns it; null on a server without accounts.
            owner => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(OwnerOfArtifact), |owner| owner);
            /// Its tags, by name.
            tags => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(TagsOfArtifact), |tags| tags);
            /// The collections that hold it, as far as the viewer may list them; by name unless another order is given.
            collections => connection::<CollectionsArguments, CollectionsOfArtifact>(
                Artifact::id,
                |args, _| Ok(CollectionsOfArtifact::new(args.order_by.clone())),
            );
            /// How many collections hold it that the viewer may list.
            collectionCount => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(CollectionCount), |count| count);
            /// The groups that hold it, of all collections that the viewer may list, by name.
            groups => connection::<PlainArguments, _>(Artifact::id, |_, _| Ok(GroupsOfArtifact));
            /// Its versions, the newest first.
            versions => connection::<PlainArguments, _>(Artifact::id, |_, _| Ok(VersionsOfArtifact));
            /// How many versions it has.
            versionCount => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(VersionCount), |count| count);
            /// Links that open it and were not revoked, the newest first; for who may change it, and nothing for others.
            shareLinks => load::<NoArguments, _, _>(Artifact::id, |_, _, _| Ok(LinksOfArtifact), |links| links);
            /// Counts its changes, from 1. A write that expects another revision is refused.
            revision => column(Stored::revision);
            /// When it was made.
            createdAt => column(Stored::created_at);
            /// When it was last changed.
            updatedAt => column(Stored::updated_at);
        }
    }
}

/// Declares the root fields about artifacts.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields! { fields;
        type;
        /// The artifact with this id; null where there is none.
        artifact => batch::<ById, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                let id = id::parse(PREFIX, &args.id)?;
                node.load::<Artifact, _>(ArtifactById, vec![id; count]).await
            })
        });
        /// Artifacts that the viewer owns, or that are public by themselves or in a collection; the newest first unless another order is given, or a search, which is ranked.
        artifacts => connection::<ArtifactsArguments, _>(|_| RootKey, |args, _| args.list());
    }
}

/// An object by its id.
#[derive(InputObject)]
#[graphql(name = "ArtifactArguments")]
struct ById {
    /// The id, as this server gave it.
    id: ID,
}

/// How much of a description.
#[derive(InputObject)]
struct DescriptionArguments {
    /// Characters at most; the whole text where it is absent.
    max_length: Option<i64>,
}

impl DescriptionArguments {
    fn apply(&self, text: Option<&str>) -> Result<Option<String>> {
        let Some(max) = self.max_length else { return Ok(text.map(str::to_owned)) };
        let max = usize::try_from(max).map_err(|_| Error::bad_user_input("`maxLength` must not be negative"))?;
        Ok(text.map(|text| cut(text, max)))
    }
}

/// The text in at most `max` characters: whole, or up to a word and an ellipsis.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let Some(room) = max.checked_sub(1) else { return String::new() };
    let end = text.char_indices().nth(room).map_or(text.len(), |(index, _)| index);
    let head = &text[..end];
    let is_between_words = text[end..].starts_with(char::is_whitespace);
    let word_end = if is_between_words { Some(end) } else { head.rfind(char::is_whitespace) };
    let kept = word_end.map_or(head, |end| &head[..end]).trim_end();
    format!("{}…", if kept.is_empty() { head } else { kept })
}

fn parse_metadata(text: Option<Option<String>>) -> Result<Option<Box<RawValue>>> {
    let Some(text) = text.flatten() else { return Ok(None) };
    RawValue::from_string(text).map(Some).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_cut_at_a_word() {
        let cases = [
            ("one two three", 13, "one two three"),
            ("one two three", 12, "one two…"),
            ("one two three", 8, "one two…"),
            ("one two three", 7, "one…"),
            ("onetwothree", 5, "onet…"),
            ("one two", 1, "…"),
            ("one two", 0, ""),
            ("größe äöü", 8, "größe…"),
            ("", 3, ""),
        ];
        for (text, max, expected) in cases {
            assert_eq!(cut(text, max), expected, "{text} in {max}");
            assert!(cut(text, max).chars().count() <= max);
        }
    }
}
