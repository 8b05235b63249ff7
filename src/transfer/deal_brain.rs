//! Reads a Deal Brain collection export, version 1.0.0.
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::{
    Record, RecordSink,
    record::{self, derived_id},
    send_checked,
};
use crate::{catalog::Visibility, db::Time};

/// Reads one collection and its listings. All fields are optional, because exports deviate from their schema.
pub(super) fn read(path: &Path, sink: &mut RecordSink<'_>) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let root: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let version = root["deal_brain_export"]["version"].as_str().unwrap_or_default();
    ensure!(version.starts_with("1."), "{} is not a Deal Brain export of version 1", path.display());
    let data = &root["data"];
    let items: Vec<&Value> = match data["items"].as_array() {
        Some(items) => items.iter().collect(),
        None => vec![data],
    };
    let collection = data["collection"].is_object().then(|| collection(&data["collection"]));
    let collection_id = collection.as_ref().map(|collection| collection.id);
    let mut records = Vec::new();
    records.extend(collection.map(|collection| ("data.collection".to_owned(), Record::Collection(collection))));
    let mut ordered: Vec<(usize, &Value)> = items.into_iter().enumerate().collect();
    // Items without a position come first, in the order of the file.
    ordered.sort_by_key(|(index, item)| (item["position"].as_i64().unwrap_or(i64::MIN), *index));
    for (position, (index, item)) in ordered.into_iter().enumerate() {
        let location = format!("data.items[{index}]");
        let artifact = listing(&item["listing"]);
        let id = artifact.id;
        records.push((location.clone(), Record::Artifact(Box::new(artifact))));
        if let Some(collection) = collection_id {
            records.push((location, Record::Membership(membership(collection, id, position, item))));
        }
    }
    for (location, record) in records {
        if !send_checked(sink, &location, Ok(record)) {
            return Ok(());
        }
    }
    Ok(())
}

fn collection(value: &Value) -> record::Collection {
    let created_at = time(&value["created_at"]);
    record::Collection {
        id: derived_id("deal-brain collection", &key(value)),
        name: text(&value["name"]).unwrap_or_default(),
        description: text(&value["description"]),
        kind: None,
        color: None,
        visibility: text(&value["visibility"])
            .and_then(|word| Visibility::parse(&word.to_uppercase()))
            .unwrap_or(Visibility::Private),
        created_at,
        updated_at: text(&value["updated_at"]).and_then(|text| Time::parse(&text)).unwrap_or(created_at),
    }
}

/// Converts a listing. Fields without a column of their own become metadata.
fn listing(value: &Value) -> record::Artifact {
    let listing = if value["listing"].is_object() { &value["listing"] } else { value };
    let created_at = time(&listing["created_at"]);
    let mut metadata = Map::new();
    for (name, part) in value.as_object().into_iter().flatten() {
        let is_listing = name == "listing";
        if !is_listing && !part.is_null() && value["listing"].is_object() {
            metadata.insert(name.clone(), part.clone());
        }
    }
    const COLUMNS: [&str; 6] = ["title", "notes", "listing_url", "seller", "created_at", "updated_at"];
    for (name, part) in listing.as_object().into_iter().flatten() {
        if !COLUMNS.contains(&name.as_str()) && !part.is_null() {
            metadata.insert(name.clone(), part.clone());
        }
    }
    record::Artifact {
        id: derived_id("deal-brain listing", &key(listing)),
        kind: "listing".to_owned(),
        name: text(&listing["title"]).unwrap_or_default(),
        description: text(&listing["notes"]),
        source: text(&listing["listing_url"]),
        author: text(&listing["seller"]),
        license: None,
        homepage: None,
        version: None,
        visibility: Visibility::Private,
        tags: Vec::new(),
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        content: None,
        created_at,
        updated_at: text(&listing["updated_at"]).and_then(|text| Time::parse(&text)).unwrap_or(created_at),
    }
}

fn membership(collection: uuid::Uuid, artifact: uuid::Uuid, position: usize, item: &Value) -> record::Membership {
    record::Membership {
        collection,
        artifact,
        position: u32::try_from(position).unwrap_or(u32::MAX),
        status: text(&item["status"]),
        note: text(&item["notes"]),
        added_at: time(&item["added_at"]),
    }
}

/// The text that identifies an object: its id, or else its title or name.
fn key(value: &Value) -> String {
    match &value["id"] {
        Value::Null => text(&value["title"]).or_else(|| text(&value["name"])).unwrap_or_default(),
        id => id.to_string(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).filter(|text| !text.is_empty())
}

/// Parses a time; 1970-01-01 if it is missing or invalid.
fn time(value: &Value) -> Time {
    value.as_str().and_then(Time::parse).unwrap_or(Time(0))
}
