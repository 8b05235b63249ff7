//! Reads a Deal Brain collection export, version 1.0.0.
//!
//! Ids are local to the file, because every installation counts from 1. They are combined with the exporting user, so that
//! two users' exports do not overwrite each other's listings.
use std::{io::Read, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{
    Notice, NoticeKind, Record, RecordSink,
    bounded_lines::{reason_not_text, utf8},
    open,
    record::{self, local_id},
    time,
};
use crate::{catalog::Visibility, db::Time};

/// Maximum size of a file, in bytes.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Reads one collection and its listings. All fields are optional, because exports deviate from their schema.
pub(super) fn read(path: &Path, sink: &mut RecordSink<'_>) -> Result<()> {
    let root = parse(path)?;
    let version = root["deal_brain_export"]["version"].as_str().unwrap_or_default();
    ensure!(version.starts_with("1."), "{} is not a Deal Brain export of version 1", path.display());
    let data = &root["data"];
    let ids = LocalIds::new(&root);
    let mut part = Part::new("data");
    part.report_other_fields(data, if data["items"].is_null() { &["collection", "items", "listing"] } else { &DATA });
    part.send_notices(sink);
    let collection = data["collection"].is_object().then(|| {
        let mut part = Part::new("data.collection");
        let collection = collection(&data["collection"], &ids, &mut part);
        let id = collection.id;
        part.send(vec![Record::Collection(collection)], sink).then_some(id)
    });
    let mut items = items(data);
    // Items without a position come first, in the order of the file.
    items.sort_by_key(|(index, item)| (position(item).unwrap_or(i64::MIN), *index));
    for (position, (index, item)) in items.into_iter().enumerate() {
        let part = Part::new(&format!("data.items[{index}]"));
        send_item(item, position, collection, &ids, part, sink);
        if sink.is_closed() {
            break;
        }
    }
    Ok(())
}

/// Fields of the data.
const DATA: [&str; 2] = ["collection", "items"];

fn parse(path: &Path) -> Result<Value> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    open(path)?.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    if let Some(reason) = reason_not_text(&bytes) {
        bail!("{} is not JSON: {reason}", path.display());
    }
    let text = utf8(bytes).map_err(|reason| anyhow::anyhow!("{} is not JSON: {reason}", path.display()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_json::from_str(text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The items of a collection, or the single listing of an export without items.
fn items(data: &Value) -> Vec<(usize, &Value)> {
    match &data["items"] {
        Value::Array(items) => items.iter().enumerate().collect(),
        _ if data["listing"].is_object() => vec![(0, data)],
        _ => Vec::new(),
    }
}

fn position(item: &Value) -> Option<i64> {
    let position = &item["position"];
    position.as_i64().or_else(|| position.as_str()?.trim().parse().ok())
}

/// Sends a listing and its membership. `collection` is `Some(None)` if the collection was rejected.
fn send_item(
    item: &Value,
    position: usize,
    collection: Option<Option<uuid::Uuid>>,
    ids: &LocalIds,
    mut part: Part,
    sink: &mut RecordSink<'_>,
) {
    if !item["listing"].is_object() {
        return sink.reject(&part.location, "it has no listing");
    }
    part.report_other_fields(item, &["listing", "position", "status", "notes", "added_at", "collection"]);
    let artifact = listing(&item["listing"], ids, &mut part);
    let mut records = vec![];
    if let Some(Some(collection)) = collection {
        records.push(Record::Membership(record::Membership {
            collection,
            artifact: artifact.id,
            position: u32::try_from(position).unwrap_or(u32::MAX),
            status: part.text(item, "status"),
            note: part.text(item, "notes"),
            added_at: part.time(item, "added_at").unwrap_or(artifact.created_at),
        }));
    }
    records.insert(0, Record::Artifact(Box::new(artifact)));
    part.send(records, sink);
}

/// Derives ids from those of the file.
struct LocalIds {
    /// The user who exported the file, or else the collection.
    scope: String,
    has_user: bool,
}

impl LocalIds {
    fn new(root: &Value) -> Self {
        let user = &root["deal_brain_export"]["exported_by"];
        let collection = &root["data"]["collection"];
        let of_collection = || format!("{} {} {}", collection["id"], collection["name"], collection["created_at"]);
        Self { scope: if user.is_null() { of_collection() } else { user.to_string() }, has_user: !user.is_null() }
    }

    /// The id of an object, from its id in the file or else its name.
    fn id(&self, kind: &str, value: &Value, name: &str) -> uuid::Uuid {
        let mut key = format!("{}\n{}", self.scope, value["id"]);
        if value["id"].is_null() || !self.has_user {
            key.push_str(&format!("\n{} {}", value[name], value["created_at"]));
        }
        local_id(&format!("deal-brain {kind}"), &key)
    }
}

fn collection(value: &Value, ids: &LocalIds, part: &mut Part) -> record::Collection {
    part.report_other_fields(value, &["id", "name", "description", "visibility", "created_at", "updated_at"]);
    let created_at = part.time(value, "created_at").unwrap_or(Time(0));
    record::Collection {
        id: ids.id("collection", value, "name"),
        name: part.text(value, "name").unwrap_or_default(),
        description: part.text(value, "description"),
        kind: None,
        color: None,
        visibility: part.visibility(value),
        created_at,
        updated_at: part.time(value, "updated_at").unwrap_or(created_at),
    }
}

/// Converts a listing. Fields without a column of their own become metadata.
fn listing(value: &Value, ids: &LocalIds, part: &mut Part) -> record::Artifact {
    let listing = if value["listing"].is_object() { &value["listing"] } else { value };
    let mut metadata = Map::new();
    for (name, field) in value.as_object().into_iter().flatten() {
        let is_listing = name == "listing";
        if !is_listing && !field.is_null() && value["listing"].is_object() {
            metadata.insert(name.clone(), field.clone());
        }
    }
    const TEXTS: [&str; 4] = ["title", "notes", "listing_url", "seller"];
    const TIMES: [&str; 2] = ["created_at", "updated_at"];
    for (name, field) in listing.as_object().into_iter().flatten() {
        let is_column = (TEXTS.contains(&name.as_str()) && field.is_string()) || TIMES.contains(&name.as_str());
        if !is_column && !field.is_null() {
            metadata.insert(name.clone(), field.clone());
        }
    }
    let [title, notes, url, seller] = TEXTS.map(|name| listing[name].as_str().and_then(non_empty));
    let created_at = part.time(listing, "created_at").unwrap_or(Time(0));
    record::Artifact {
        id: ids.id("listing", listing, "title"),
        kind: "listing".to_owned(),
        name: title.unwrap_or_default(),
        description: notes,
        source: url,
        author: seller,
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        created_at,
        updated_at: part.time(listing, "updated_at").unwrap_or(created_at),
        ..record::Artifact::default()
    }
}

fn non_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A part of the file, and the differences between it and its records.
struct Part {
    location: String,
    notices: Vec<Notice>,
}

impl Part {
    fn new(location: &str) -> Self {
        Self { location: location.to_owned(), notices: Vec::new() }
    }

    fn not_stored(&mut self, text: String) {
        self.notices.push(Notice::new(NoticeKind::NotStored, &self.location, text));
    }

    /// Reports the fields of an object that are not among `known`.
    fn report_other_fields(&mut self, value: &Value, known: &[&str]) {
        for (name, field) in value.as_object().into_iter().flatten() {
            if !known.contains(&name.as_str()) && !field.is_null() {
                self.not_stored(format!("field `{name}` is not imported"));
            }
        }
    }

    fn text(&mut self, value: &Value, name: &str) -> Option<String> {
        match &value[name] {
            Value::Null => None,
            Value::String(text) => non_empty(text),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.not_stored(format!("`{name}` is not a text"));
                None
            }
        }
    }

    fn time(&mut self, value: &Value, name: &str) -> Option<Time> {
        let text = value[name].as_str().map(str::to_owned).unwrap_or_else(|| value[name].to_string());
        let time = time::parse(&text);
        if time.is_none() && !value[name].is_null() && !text.is_empty() {
            self.not_stored(format!("`{name}` is not a time: `{text}`"));
        }
        time
    }

    fn visibility(&mut self, value: &Value) -> Visibility {
        let word = self.text(value, "visibility").unwrap_or_else(|| "private".to_owned());
        Visibility::parse(&word.to_uppercase()).unwrap_or_else(|| {
            self.not_stored(format!("visibility `{word}` is unknown: it is PRIVATE"));
            Visibility::Private
        })
    }

    fn send_notices(&mut self, sink: &mut RecordSink<'_>) {
        std::mem::take(&mut self.notices).into_iter().for_each(|notice| sink.notice(notice));
    }

    fn send(self, records: Vec<Record>, sink: &mut RecordSink<'_>) -> bool {
        sink.send_together(&self.location, self.notices, records)
    }
}
