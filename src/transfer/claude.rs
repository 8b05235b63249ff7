//! Reads a folder with skills, agents and commands: Markdown files with YAML front matter.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::{
    Record, RecordSink,
    record::{self, derived_id},
    send_checked,
};
use crate::{
    catalog::{Visibility, rules},
    db::Time,
};

/// Maximum depth of nested folders.
const DEPTH_MAX: usize = 16;

/// Reads `skills/*/SKILL.md`, `agents/**/*.md` and `commands/**/*.md` below `root`. Each first-level folder of agents and
/// commands becomes a collection.
pub(super) fn read(root: &Path, sink: &mut RecordSink<'_>) -> Result<()> {
    ensure!(root.is_dir(), "{} is not a folder", root.display());
    let kinds = [("skills", "skill"), ("agents", "agent"), ("commands", "command")];
    ensure!(
        kinds.iter().any(|(folder, _)| root.join(folder).is_dir()),
        "{} has no folder skills, agents or commands",
        root.display()
    );
    let mut member_counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut tags = BTreeSet::new();
    for (folder, kind) in kinds {
        let mut files = Vec::new();
        find(&root.join(folder), kind, 0, &mut files)?;
        files.sort();
        for file in files {
            let location = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let records = match fs::read_to_string(&file) {
                Ok(text) => records(&location, folder, kind, &file, &text, &mut member_counts),
                Err(error) => vec![Err(format!("cannot read it: {error}"))],
            };
            for record in records {
                // Several files may have the same tag.
                if let Ok(Record::Tag(tag)) = &record
                    && !tags.insert(tag.id)
                {
                    continue;
                }
                if !send_checked(sink, &location, record) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn find(folder: &Path, kind: &str, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() || depth > DEPTH_MAX {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, kind, depth + 1, files)?;
        } else if is_artifact(&path, kind, depth) {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a file is an artifact: `SKILL.md` of a skill's folder, or any Markdown file of agents and commands except a
/// README.
fn is_artifact(path: &Path, kind: &str, depth: usize) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match kind {
        "skill" => depth == 1 && name.eq_ignore_ascii_case("SKILL.md"),
        _ => name.ends_with(".md") && !name.eq_ignore_ascii_case("README.md"),
    }
}

fn records(
    path: &str,
    folder: &str,
    kind: &str,
    file: &Path,
    text: &str,
    member_counts: &mut BTreeMap<String, u32>,
) -> Vec<Result<Record, String>> {
    let (front, body) = split(text);
    let mut front = front.map(parse_front).unwrap_or_default();
    let mut take = |key: &str| match front.remove(key) {
        Some(Value::String(text)) => Some(text),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let name = take("name").unwrap_or_else(|| file_name(kind, file));
    let (description, author, license, version) =
        (take("description"), take("author"), take("license"), take("version"));
    let tags: Vec<String> = match front.remove("tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(tags)) => tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    let tags: Vec<String> = tags.into_iter().filter(|tag| !rules::slug_of(tag).is_empty()).collect();
    let id = derived_id("artifact", path);
    let time = modified(file);
    let mut records: Vec<Result<Record, String>> = tags
        .iter()
        .map(|tag| {
            let slug = rules::slug_of(tag);
            Ok(Record::Tag(record::Tag { id: derived_id("tag", &slug), name: tag.clone(), slug, color: None }))
        })
        .collect();
    records.push(Ok(Record::Artifact(Box::new(record::Artifact {
        id,
        kind: kind.to_owned(),
        name,
        description,
        source: Some(path.to_owned()),
        author,
        license,
        homepage: None,
        version,
        visibility: Visibility::Private,
        tags: tags.iter().map(|tag| rules::slug_of(tag)).collect(),
        metadata: Some(front).filter(|front| !front.is_empty()),
        content: Some(body.to_owned()),
        created_at: time,
        updated_at: time,
    }))));
    let collection = collection(folder, path);
    let count = member_counts.entry(collection.clone()).or_default();
    let collection_id = derived_id("collection", &collection);
    if *count == 0 {
        records.push(Ok(Record::Collection(record::Collection {
            id: collection_id,
            name: collection,
            description: None,
            kind: Some("folder".to_owned()),
            color: None,
            visibility: Visibility::Private,
            created_at: time,
            updated_at: time,
        })));
    }
    records.push(Ok(Record::Membership(record::Membership {
        collection: collection_id,
        artifact: id,
        position: *count,
        status: None,
        note: None,
        added_at: time,
    })));
    *count += 1;
    records
}

/// The name of a file's collection: `agents/pm` for `agents/pm/writer.md`, `agents` for `agents/writer.md`, and `skills` for
/// every skill.
fn collection(folder: &str, path: &str) -> String {
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(inner), Some(_)) if folder != "skills" => format!("{folder}/{inner}"),
        _ => folder.to_owned(),
    }
}

fn file_name(kind: &str, file: &Path) -> String {
    let named = if kind == "skill" { file.parent().and_then(Path::file_name) } else { file.file_stem() };
    named.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn modified(file: &Path) -> Time {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Time(since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(0)))
}

/// Splits a text into its front matter, between `---` lines, and the rest.
fn split(text: &str) -> (Option<&str>, &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else { return (None, text) };
    match rest.find("\n---") {
        Some(end) => {
            let body = &rest[end + 4..];
            (Some(&rest[..end]), body.trim_start_matches(['\r', '\n', '-']))
        }
        None => (None, text),
    }
}

/// Parses front matter as YAML, or as `key: value` lines if it is not valid YAML.
fn parse_front(text: &str) -> Map<String, Value> {
    if let Ok(Value::Object(map)) = serde_saphyr::from_str::<Value>(text) {
        return map;
    }
    let lines = text.lines().filter(|line| !line.starts_with([' ', '#', '-']));
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim().to_owned(), Value::from(value.trim().trim_matches('"'))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_read_even_if_it_is_not_yaml() {
        let (front, body) = split("---\nname: a\ndescription: use when: always\n---\n\n# Body\n");

        let front = parse_front(front.expect("front matter"));

        assert_eq!(front["name"], "a");
        assert_eq!(front["description"], "use when: always");
        assert_eq!(body, "# Body\n");
        assert_eq!(split("# No front matter").0, None);
    }

    #[test]
    fn a_file_is_in_the_collection_of_its_first_folder() {
        assert_eq!(collection("agents", "agents/pm/deep/writer.md"), "agents/pm");
        assert_eq!(collection("agents", "agents/writer.md"), "agents");
        assert_eq!(collection("skills", "skills/one/SKILL.md"), "skills");
    }
}
