//! Records of imports and exports: one for each row of the catalogue.
use std::collections::BTreeMap;

use serde::{
    Deserialize, Serialize,
    de::{Error as _, value::MapDeserializer},
};
use serde_json::value::RawValue;
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

/// The version of the format of NDJSON.
pub(super) const FORMAT: u32 = 1;

/// A record and its location in the source.
#[derive(Clone, Debug)]
pub struct SourceRecord {
    /// The location, such as a line number, a path or a table.
    pub location: String,
    /// The record.
    pub record: Record,
}

/// A rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The location, such as a line number, a path or a table.
    pub location: String,
    /// The reason.
    pub reason: String,
    /// The id, if it can be read: other records may refer to it.
    pub id: Option<Uuid>,
}

impl RejectedRecord {
    /// Rejects the record at `location`.
    pub fn new(location: &str, reason: impl Into<String>) -> Self {
        Self { location: location.to_owned(), reason: reason.into(), id: None }
    }

    /// Adds the id to which other records may refer.
    pub fn with_id(self, id: Option<Uuid>) -> Self {
        Self { id, ..self }
    }
}

/// A difference between the source and the catalogue that does not reject a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The kind.
    pub kind: NoticeKind,
    /// The location, such as a line number, a path or a table.
    pub location: String,
    /// The difference.
    pub text: String,
}

/// The kind of a [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// A value was invalid and is stored in the form that its author probably means.
    Repaired,
    /// The source has something that the catalogue does not store.
    NotStored,
}

impl Notice {
    /// A notice about what is at `location`.
    pub fn new(kind: NoticeKind, location: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, location: location.into(), text: text.into() }
    }
}

impl NoticeKind {
    /// The words for the kind in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::NotStored => "not stored",
        }
    }
}

/// One line of NDJSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The header, which is the first line of a file.
    Gatherum {
        /// The version of the format: 1.
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
    /// The id.
    #[serde(with = "tag_id")]
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// The slug, by which filters select it.
    pub slug: String,
    /// The colour, as `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// An artifact with its tags. Importers name the columns that they supply; the others have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The id.
    #[serde(with = "artifact_id")]
    pub id: Uuid,
    /// The type, as a lower-case slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name.
    pub name: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The origin, such as a URL or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The URL of the web page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// The label of the newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The visibility: PRIVATE, UNLISTED or PUBLIC. Default PRIVATE.
    #[serde(default = "private", with = "visibility")]
    pub visibility: Visibility,
    /// The slugs of its tags, sorted.
    #[serde(default, deserialize_with = "empty_if_null", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Further properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// The full text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Time of creation.
    #[serde(with = "time")]
    pub created_at: Time,
    /// Time of the last change.
    #[serde(with = "time")]
    pub updated_at: Time,
}

/// A version of an artifact.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The id.
    #[serde(with = "version_id")]
    pub id: Uuid,
    /// The artifact.
    #[serde(with = "artifact_id")]
    pub artifact: Uuid,
    /// The label.
    pub version: String,
    /// The hash of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// Release notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Time of creation.
    #[serde(with = "time")]
    pub created_at: Time,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// The id.
    #[serde(with = "collection_id")]
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A classification without fixed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The colour, as `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// The visibility: PRIVATE, UNLISTED or PUBLIC. Default PRIVATE.
    #[serde(default = "private", with = "visibility")]
    pub visibility: Visibility,
    /// Time of creation.
    #[serde(with = "time")]
    pub created_at: Time,
    /// Time of the last change.
    #[serde(with = "time")]
    pub updated_at: Time,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The id.
    #[serde(with = "group_id")]
    pub id: Uuid,
    /// The collection it belongs to.
    #[serde(with = "collection_id")]
    pub collection: Uuid,
    /// The name.
    pub name: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The colour, as a name or `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// The name of the icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Zero-based position among the groups of the collection.
    pub position: u32,
    /// Time of creation.
    #[serde(with = "time")]
    pub created_at: Time,
    /// Time of the last change.
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
    /// Zero-based position in the collection.
    pub position: u32,
    /// A status without fixed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Time of adding.
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
    /// Zero-based position in the group.
    pub position: u32,
    /// Time of adding.
    #[serde(with = "time")]
    pub added_at: Time,
}

impl Tag {
    /// A tag that a source has only the name of.
    ///
    /// # Errors
    /// The reason why the name cannot be that of a tag.
    pub fn named(name: &str) -> Result<Self, String> {
        let mut name = name.trim().to_owned();
        let slug = rules::slug_of(&name);
        trimmed(&mut name, TAG_NAME_MAX)?;
        rules::slug(&slug)?;
        Ok(Self { id: derived_id("tag", &slug), name, slug, color: None })
    }
}

/// The first line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
}

impl Record {
    /// The id to which other records refer.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Tag(tag) => Some(tag.id),
            Self::Artifact(artifact) => Some(artifact.id),
            Self::Version(version) => Some(version.id),
            Self::Collection(collection) => Some(collection.id),
            Self::Group(group) => Some(group.id),
            Self::Gatherum { .. } | Self::Membership(_) | Self::GroupMembership(_) => None,
        }
    }

    /// Its times, which both databases must be able to store.
    fn times(&self) -> Vec<Time> {
        match self {
            Self::Gatherum { .. } | Self::Tag(_) => Vec::new(),
            Self::Artifact(artifact) => vec![artifact.created_at, artifact.updated_at],
            Self::Version(version) => vec![version.created_at],
            Self::Collection(collection) => vec![collection.created_at, collection.updated_at],
            Self::Group(group) => vec![group.created_at, group.updated_at],
            Self::Membership(membership) => vec![membership.added_at],
            Self::GroupMembership(membership) => vec![membership.added_at],
        }
    }

    /// Reads a line.
    ///
    /// Its members are read from their text: a derived implementation would read them into memory first, where numbers that
    /// need all their digits are not numbers.
    ///
    /// # Errors
    /// The line is not JSON, or not a record.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(line)?;
        let kind = members.remove("record").ok_or_else(|| serde_json::Error::missing_field("record"))?;
        let kind: String = serde_json::from_str(kind.get())?;
        let members = MapDeserializer::new(members.into_iter());
        Ok(match kind.as_str() {
            "gatherum" => Self::Gatherum { format: Header::deserialize(members)?.format },
            "tag" => Self::Tag(Tag::deserialize(members)?),
            "artifact" => Self::Artifact(Box::new(Artifact::deserialize(members)?)),
            "version" => Self::Version(Version::deserialize(members)?),
            "collection" => Self::Collection(Collection::deserialize(members)?),
            "group" => Self::Group(Group::deserialize(members)?),
            "membership" => Self::Membership(Membership::deserialize(members)?),
            "group_membership" => Self::GroupMembership(GroupMembership::deserialize(members)?),
            _ => return Err(serde_json::Error::custom(format!("unknown record `{kind:.50}`"))),
        })
    }

    /// Trims names and validates all fields.
    ///
    /// # Errors
    /// The reason to reject the record.
    pub fn checked(mut self) -> Result<Self, String> {
        if !self.times().iter().all(|time| (Time::MIN..=Time::MAX).contains(time)) {
            return Err("a time must be in the years 0 to 9999".to_owned());
        }
        match &mut self {
            Self::Gatherum { format: FORMAT } => {}
            Self::Gatherum { format } => return Err(newer_format(u64::from(*format))),
            Self::Tag(tag) => {
                trimmed(&mut tag.name, TAG_NAME_MAX)?;
                tag.slug = rules::slug(&tag.slug)?;
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
                artifact.tags.iter_mut().try_for_each(|tag| rules::slug(tag).map(|slug| *tag = slug))?;
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

/// The reason to reject the header of a newer format.
pub(super) fn newer_format(format: u64) -> String {
    format!("format {format} is newer than format {FORMAT} of this release: use a newer release of gatherum")
}

/// Derives an id from the key that an object has in its source. The id is the same in every run.
pub fn derived_id(kind: &str, key: &str) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x9f3c_52a0_6f0b_5d0e_8a53_0c5d_7a11_0b0d);
    Uuid::new_v5(&NAMESPACE, format!("{kind}\n{key}").as_bytes())
}

/// Derives an id from the key that an object has in one file. Unlike a [`derived_id`], it does not stand for the object's
/// name: an import gives the object another name rather than replacing one that has the same name.
pub fn local_id(kind: &str, key: &str) -> Uuid {
    uuid::Builder::from_custom_bytes(derived_id(kind, key).into_bytes()).into_uuid()
}

fn empty_if_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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
        Time::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a time must be RFC 3339, such as 2026-01-31T12:00:00Z"))
    }
}

mod visibility {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(visibility: &Visibility, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(visibility.as_str())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Visibility, D::Error> {
        let text = String::deserialize(deserializer)?;
        Visibility::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("visibility must be PRIVATE, UNLISTED or PUBLIC"))
    }
}
