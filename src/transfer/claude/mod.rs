//! Reads a folder with skills, agents and commands: Markdown files with YAML front matter.
mod front_matter;
mod walk;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::Path,
};

use anyhow::{Result, ensure};
use serde_json::{Map, Value};

use self::{front_matter::FrontMatter, walk::Walk};
use super::{
    Notice, NoticeKind, Record, RecordSink,
    record::{self, derived_id},
};
use crate::{
    catalog::{Visibility, rules},
    db::Time,
};

/// A folder and the type of the artifacts in it.
#[derive(Clone, Copy)]
struct ArtifactFolder {
    name: &'static str,
    kind: &'static str,
}

const FOLDERS: [ArtifactFolder; 3] = [
    ArtifactFolder { name: "skills", kind: "skill" },
    ArtifactFolder { name: "agents", kind: "agent" },
    ArtifactFolder { name: "commands", kind: "command" },
];

/// Reads `skills/**/SKILL.md`, `agents/**/*.md` and `commands/**/*.md` below `root`, through links. Each first-level folder
/// of agents and commands becomes a collection.
pub(super) fn read(root: &Path, sink: &mut RecordSink<'_>) -> Result<()> {
    ensure!(root.is_dir(), "{} is not a folder", root.display());
    ensure!(
        FOLDERS.iter().any(|folder| root.join(folder.name).is_dir()),
        "{} has no folder skills, agents or commands",
        root.display()
    );
    let mut reader = Reader::default();
    for folder in FOLDERS.into_iter().filter(|folder| root.join(folder.name).is_dir()) {
        for file in Walk::files(root, folder, sink) {
            reader.file(root, folder, &file, sink);
            if sink.is_closed() {
                return Ok(());
            }
        }
    }
    report_other_entries(root, sink);
    Ok(())
}

/// Reports the files and folders next to those that are read.
fn report_other_entries(root: &Path, sink: &mut RecordSink<'_>) {
    let entries = fs::read_dir(root).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let is_folder = |name: &String| FOLDERS.iter().any(|folder| folder.name == name) && root.join(name).is_dir();
    for name in names.iter().filter(|name| !is_folder(name)) {
        let text = "only the folders skills, agents and commands are imported";
        sink.notice(Notice::new(NoticeKind::NotStored, name, text));
    }
}

/// Converts files to records.
#[derive(Default)]
struct Reader {
    /// Number of members by collection.
    member_counts: BTreeMap<String, u32>,
    /// Slugs of the tags that were sent.
    tags: BTreeSet<String>,
    /// Types and names of the artifacts that were sent.
    names: BTreeSet<(&'static str, String)>,
}

impl Reader {
    fn file(&mut self, root: &Path, folder: ArtifactFolder, file: &Path, sink: &mut RecordSink<'_>) {
        let location = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let text = match read_text(file) {
            Ok(text) => text,
            Err(reason) => return sink.reject(&location, reason),
        };
        let front = FrontMatter::read(&text);
        let repair = |line: usize, text| Notice::new(NoticeKind::Repaired, format!("{location} line {line}"), text);
        let repairs = front.deviations.into_iter().map(|deviation| repair(deviation.line, deviation.text));
        let mut notices: Vec<Notice> = repairs.collect();
        let (mut artifact, tags) = artifact(folder, &location, front.values, text, modified(file), &mut notices);
        artifact.name = self.distinct_name(folder, artifact.name, &location, &mut notices);
        let (id, time, name) = (artifact.id, artifact.created_at, artifact.name.clone());
        let new_tags = tags.into_iter().filter(|tag| !self.tags.contains(&tag.slug));
        let mut records: Vec<Record> = new_tags.map(Record::Tag).collect();
        records.push(Record::Artifact(Box::new(artifact)));
        let slugs: Vec<String> = records.iter().filter_map(tag_slug).collect();
        if sink.send_together(&location, notices, records) {
            self.tags.extend(slugs);
            self.names.insert((folder.kind, name));
            let membership = self.membership(&collection_name(folder.name, &location), id, time);
            sink.send_together(&location, Vec::new(), membership);
        }
    }

    /// A name that no earlier artifact of the type has: the given one, or else that of the file, or else its path.
    fn distinct_name(&self, folder: ArtifactFolder, name: String, location: &str, notices: &mut Vec<Notice>) -> String {
        let name = name.trim().to_owned();
        let is_free = |name: &String| !self.names.contains(&(folder.kind, name.clone()));
        if is_free(&name) {
            return name;
        }
        let path_name = location.trim_end_matches(".md").trim_end_matches("/SKILL").replace('/', ":");
        let distinct = Some(default_name(folder, location)).filter(is_free).unwrap_or(path_name);
        let text = format!("another {} has the name `{name}`: it is named `{distinct}` after its file", folder.kind);
        notices.push(Notice::new(NoticeKind::Repaired, location, text));
        distinct
    }

    /// The membership of an artifact, after its collection if that is new.
    fn membership(&mut self, collection: &str, artifact: uuid::Uuid, time: Time) -> Vec<Record> {
        let id = derived_id("collection", collection);
        let count = self.member_counts.entry(collection.to_owned()).or_default();
        let mut records = Vec::new();
        if *count == 0 {
            records.push(Record::Collection(record::Collection {
                id,
                name: collection.to_owned(),
                description: None,
                kind: Some("folder".to_owned()),
                color: None,
                visibility: Visibility::Private,
                created_at: time,
                updated_at: time,
            }));
        }
        records.push(Record::Membership(record::Membership {
            collection: id,
            artifact,
            position: *count,
            status: None,
            note: None,
            added_at: time,
        }));
        *count += 1;
        records
    }
}

fn tag_slug(record: &Record) -> Option<String> {
    if let Record::Tag(tag) = record { Some(tag.slug.clone()) } else { None }
}

/// The artifact of a file, and its tags. Values without a column of their own become metadata.
fn artifact(
    folder: ArtifactFolder,
    path: &str,
    mut front: Map<String, Value>,
    content: String,
    time: Time,
    notices: &mut Vec<Notice>,
) -> (record::Artifact, Vec<record::Tag>) {
    let name = take_text(&mut front, "name").filter(|name| !name.trim().is_empty());
    let homepage = front.get("homepage").and_then(Value::as_str).filter(|url| rules::url(Some(url)).is_ok());
    let homepage = homepage.map(str::to_owned).inspect(|_| drop(front.shift_remove("homepage")));
    let tags = tags(front.shift_remove("tags"), path, notices);
    let artifact = record::Artifact {
        id: derived_id("artifact", path),
        kind: folder.kind.to_owned(),
        name: name.unwrap_or_else(|| default_name(folder, path)),
        description: take_text(&mut front, "description"),
        source: Some(path.to_owned()),
        author: take_text(&mut front, "author"),
        license: take_text(&mut front, "license"),
        homepage,
        version: take_text(&mut front, "version").or_else(|| nested_version(&front)),
        tags: tags.iter().map(|tag| tag.slug.clone()).collect(),
        metadata: Some(front).filter(|front| !front.is_empty()),
        content: Some(content),
        created_at: time,
        updated_at: time,
        ..record::Artifact::default()
    };
    (artifact, tags)
}

/// Removes the text of a key. A mapping, or a list in several lines, remains: it becomes metadata.
fn take_text(front: &mut Map<String, Value>, key: &str) -> Option<String> {
    let text = match front.get(key)? {
        Value::Object(values) => return values.get("name").and_then(Value::as_str).map(str::to_owned),
        Value::Array(items) => return Some(items.iter().filter_map(scalar_text).collect::<Vec<_>>().join(", ")),
        value => scalar_text(value),
    };
    front.shift_remove(key);
    text
}

/// The version in the front matter's `metadata`, which is its place in the specification of skills.
fn nested_version(front: &Map<String, Value>) -> Option<String> {
    scalar_text(front.get("metadata")?.get("version")?)
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_set) => Some(is_set.to_string()),
        _ => None,
    }
}

/// The tags of a list, or of a text that separates them by commas. A name that cannot be a tag's is reported.
fn tags(value: Option<Value>, path: &str, notices: &mut Vec<Notice>) -> Vec<record::Tag> {
    let names: Vec<Value> = match value {
        Some(Value::Array(items)) => items,
        Some(Value::String(text)) => {
            let text = text.trim().trim_start_matches('[').trim_end_matches(']');
            text.split(',').map(|name| Value::from(name.trim().trim_matches(['"', '\'']))).collect()
        }
        Some(Value::Null) | None => Vec::new(),
        Some(other) => vec![other],
    };
    let mut tags: Vec<record::Tag> = Vec::new();
    for value in names.iter().filter(|value| !value.is_null() && value.as_str() != Some("")) {
        match scalar_text(value).map_or_else(|| Err("it is not a text".to_owned()), |name| record::Tag::named(&name)) {
            Ok(tag) if tags.iter().any(|other| other.slug == tag.slug) => {}
            Ok(tag) => tags.push(tag),
            Err(reason) => notices.push(Notice::new(NoticeKind::NotStored, path, format!("tag {value}: {reason}"))),
        }
    }
    tags
}

/// The name of a file's collection: `agents/pm` for `agents/pm/writer.md`, `agents` for `agents/writer.md`, and `skills` for
/// every skill.
fn collection_name(folder: &str, path: &str) -> String {
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(inner), Some(_)) if folder != "skills" => format!("{folder}/{inner}"),
        _ => folder.to_owned(),
    }
}

/// The name of an artifact whose front matter has none: `one` for `skills/one/SKILL.md`, `writer` for `agents/pm/writer.md`,
/// and `git:commit` for `commands/git/commit.md`.
fn default_name(folder: ArtifactFolder, path: &str) -> String {
    let path = Path::new(path);
    let named = if folder.kind == "skill" { path.parent().and_then(Path::file_name) } else { path.file_stem() };
    let name = named.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if folder.kind != "command" {
        return name;
    }
    let parents = path.parent().into_iter().flat_map(Path::iter).skip(1);
    parents.map(|parent| parent.to_string_lossy().into_owned()).chain([name]).collect::<Vec<_>>().join(":")
}

/// Reads a file that is not larger than a text may be.
fn read_text(file: &Path) -> Result<String, String> {
    let cannot_read = |error: std::io::Error| format!("cannot read it: {error}");
    let mut bytes = Vec::new();
    let limit = rules::TEXT_BYTES_MAX as u64 + 1;
    File::open(file).map_err(cannot_read)?.take(limit).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() > rules::TEXT_BYTES_MAX {
        return Err(format!("it is larger than {} bytes", rules::TEXT_BYTES_MAX));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8: convert it".to_owned())
}

fn modified(file: &Path) -> Time {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Time(since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_the_collection_of_its_first_folder() {
        assert_eq!(collection_name("agents", "agents/pm/deep/writer.md"), "agents/pm");
        assert_eq!(collection_name("agents", "agents/writer.md"), "agents");
        assert_eq!(collection_name("skills", "skills/one/SKILL.md"), "skills");
    }

    #[test]
    fn a_file_without_a_name_is_named_after_its_path() {
        let [skills, agents, commands] = FOLDERS;
        assert_eq!(default_name(skills, "skills/deep/one/SKILL.md"), "one");
        assert_eq!(default_name(agents, "agents/pm/writer.md"), "writer");
        assert_eq!(default_name(commands, "commands/git/commit.md"), "git:commit");
        assert_eq!(default_name(commands, "commands/commit.md"), "commit");
    }
}
