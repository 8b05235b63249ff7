//! What is imported and exported: one record for each row of the catalogue, checked in one place.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    catalog::{
        Visibility, artifact, collection, group,
        rules::{self, NAME_MAX, TAG_NAME_MAX},
        tag, version,
    },
    db::Time,
    graphql::id::{self, GlobalId},
};

/// A record and where it stands in its source.
#[derive(Clone, Debug)]
pub struct Located {
    /// The line, or what else tells the place.
    pub place: String,
    /// The record.
    pub record: Record,
}

/// Why a record was refused, and where it stands in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, or what else tells the place.
    pub place: String,
    /// The reason.
    pub reason: String,
}

/// One line of NDJSON.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The first line of a file: what it is.
    Gatherum {
        /// The format, 1.
        format: u32,
    },
    /// A tag.
    Tag(Tag),
    /// An artifact with its tags.
    Artifact(Box<Artifact>),
    /// A version of an artifact.
    Version(Version),
    /// A collection.
    Collection(Collection),
    /// A group.
    Group(Group),
    /// An artifact in a collection.
    Membership(Membership),
    /// An artifact in a group.
    GroupMembership(GroupMembership),
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its id.
    #[serde(with = "tag_id")]
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// The word that filters know it by.
    pub slug: String,
    /// `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// An artifact with its tags.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its id.
    #[serde(with = "artifact_id")]
    pub id: Uuid,
    /// A lower-case slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The address of its web page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Label of the newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// PRIVATE, UNLISTED or PUBLIC.
    #[serde(default = "private", with = "visibility")]
    pub visibility: Visibility,
    /// Slugs of its tags, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Further properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// The full text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// When it was made.
    #[serde(with = "time")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(with = "time")]
    pub updated_at: Time,
}

/// A version of an artifact.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its id.
    #[serde(with = "version_id")]
    pub id: Uuid,
    /// The artifact.
    #[serde(with = "artifact_id")]
    pub artifact: Uuid,
    /// Its label.
    pub version: String,
    /// The hash of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// What changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// When it was made.
    #[serde(with = "time")]
    pub created_at: Time,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// Its id.
    #[serde(with = "collection_id")]
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// PRIVATE, UNLISTED or PUBLIC.
    #[serde(default = "private", with = "visibility")]
    pub visibility: Visibility,
    /// When it was made.
    #[serde(with = "time")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(with = "time")]
    pub updated_at: Time,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its id.
    #[serde(with = "group_id")]
    pub id: Uuid,
    /// The collection it belongs to.
    #[serde(with = "collection_id")]
    pub collection: Uuid,
    /// What it is called.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A name or `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// The name of its icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Zero-based place among its collection's groups.
    pub position: u32,
    /// When it was made.
    #[serde(with = "time")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(with = "time")]
    pub updated_at: Time,
}

/// An artifact in a collection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The collection.
    #[serde(with = "collection_id")]
    pub collection: Uuid,
    /// The artifact.
    #[serde(with = "artifact_id")]
    pub artifact: Uuid,
    /// Zero-based place in the collection.
    pub position: u32,
    /// Free state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it came in.
    #[serde(with = "time")]
    pub added_at: Time,
}

/// An artifact in a group.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMembership {
    /// The group.
    #[serde(with = "group_id")]
    pub group: Uuid,
    /// The artifact.
    #[serde(with = "artifact_id")]
    pub artifact: Uuid,
    /// Zero-based place in the group.
    pub position: u32,
    /// When it came in.
    #[serde(with = "time")]
    pub added_at: Time,
}

impl Record {
    /// The record with names trimmed, once everything in it is as it must be.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn checked(mut self) -> Result<Self, String> {
        match &mut self {
            Self::Gatherum { format: 1 } => {}
            Self::Gatherum { format } => return Err(format!("format {format} is newer than this release reads")),
            Self::Tag(tag) => {
                trimmed(&mut tag.name, TAG_NAME_MAX)?;
                rules::slug(&tag.slug)?;
                rules::color(tag.color.as_deref())?;
            }
            Self::Artifact(artifact) => {
                rules::kind(&artifact.kind)?;
                rules::url(artifact.homepage.as_deref())?;
                trimmed(&mut artifact.name, NAME_MAX)?;
                for text in [
                    &artifact.description,
                    &artifact.source,
                    &artifact.author,
                    &artifact.license,
                    &artifact.version,
                    &artifact.content,
                ] {
                    rules::text(text.as_deref())?;
                }
                artifact.tags.iter().try_for_each(|tag| rules::slug(tag))?;
                artifact.tags.sort_unstable();
                artifact.tags.dedup();
                artifact.metadata.as_ref().map_or(Ok(()), rules::metadata)?;
            }
            Self::Version(version) => {
                trimmed(&mut version.version, NAME_MAX)?;
                rules::text(version.content_hash.as_deref())?;
                rules::text(version.notes.as_deref())?;
            }
            Self::Collection(collection) => {
                trimmed(&mut collection.name, NAME_MAX)?;
                rules::text(collection.description.as_deref())?;
                rules::text(collection.kind.as_deref())?;
                rules::color(collection.color.as_deref())?;
            }
            Self::Group(group) => {
                trimmed(&mut group.name, NAME_MAX)?;
                for text in [&group.description, &group.color, &group.icon] {
                    rules::text(text.as_deref())?;
                }
            }
            Self::Membership(membership) => {
                rules::text(membership.status.as_deref())?;
                rules::text(membership.note.as_deref())?;
            }
            Self::GroupMembership(_) => {}
        }
        Ok(self)
    }
}

fn trimmed(name: &mut String, max: usize) -> Result<(), String> {
    *name = rules::name(name, max)?;
    Ok(())
}

/// The id of what a source knows by a key of its own: the same in every run.
pub fn derived_id(kind: &str, key: &str) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x9f3c_52a0_6f0b_5d0e_8a53_0c5d_7a11_0b0d);
    Uuid::new_v5(&NAMESPACE, format!("{kind}\n{key}").as_bytes())
}

fn private() -> Visibility {
    Visibility::Private
}

macro_rules! id_modules {
    ($($module:ident $prefix:expr;)*) => {$(
        mod $module {
            use super::*;

            pub(super) fn serialize<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&GlobalId { prefix: $prefix, id: *id })
            }

            pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
                let text = String::deserialize(deserializer)?;
                id::parse($prefix, &text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
id_modules! {
    artifact_id artifact::PREFIX;
    collection_id collection::PREFIX;
    group_id group::PREFIX;
    tag_id tag::PREFIX;
    version_id version::PREFIX;
}

mod time {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.rfc3339())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| serde::de::Error::custom("a time is written 2026-01-31T12:00:00Z"))
    }
}

mod visibility {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(visibility: &Visibility, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(visibility.as_str())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Visibility, D::Error> {
        let text = String::deserialize(deserializer)?;
        Visibility::parse(&text).ok_or_else(|| serde::de::Error::custom("visibility is PRIVATE, UNLISTED or PUBLIC"))
    }
}
