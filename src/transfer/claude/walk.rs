//! Finds the files of skills, agents and commands.
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{Notice, NoticeKind, RecordSink},
    ArtifactFolder,
};

/// Maximum depth of nested folders.
const DEPTH_MAX: usize = 16;

/// Maximum number of files that are named when a skill's files are not stored.
const NAMED_MAX: usize = 8;

/// Markdown files for readers and for other programs, which are not agents or commands.
const DOCUMENTS: [&str; 4] = ["readme.md", "claude.md", "agents.md", "gemini.md"];

/// Finds the files below one folder, and reports all others.
pub(super) struct Walk<'w, 's> {
    root: &'w Path,
    folder: ArtifactFolder,
    sink: &'w mut RecordSink<'s>,
    /// Files, each with whether a link leads to it.
    files: Vec<(bool, PathBuf)>,
    /// The folders that contain the current one, without links.
    parents: Vec<PathBuf>,
}

impl<'w, 's> Walk<'w, 's> {
    /// The files of `folder` below `root`, sorted by path. A file that a link repeats comes once.
    pub(super) fn files(root: &'w Path, folder: ArtifactFolder, sink: &'w mut RecordSink<'s>) -> Vec<PathBuf> {
        let mut walk = Self { root, folder, sink, files: Vec::new(), parents: Vec::new() };
        walk.folder(&root.join(folder.name), 0, false);
        walk.distinct_files()
    }

    fn folder(&mut self, path: &Path, depth: usize, is_linked: bool) {
        let canonical = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.parents.contains(&canonical) {
            return self.skip(path, "a link to a folder that contains it is not followed");
        }
        if depth > DEPTH_MAX {
            return self.skip(path, &format!("folders are read to a depth of {DEPTH_MAX}"));
        }
        let Some(entries) = self.entries(path) else { return };
        let skill_file = entries.iter().find(|entry| is_skill_file(entry.as_path())).filter(|_| depth > 0);
        if self.folder.kind == "skill"
            && let Some(file) = skill_file
        {
            self.files.push((is_linked || file.is_symlink(), file.clone()));
            return self.skip_skill_files(path, &entries, file);
        }
        self.parents.push(canonical);
        for entry in &entries {
            self.entry(entry, depth, is_linked || entry.is_symlink());
        }
        self.parents.pop();
    }

    /// The paths in a folder, sorted; `None` if it cannot be read.
    fn entries(&mut self, path: &Path) -> Option<Vec<PathBuf>> {
        let entries = fs::read_dir(path).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()
        });
        match entries {
            Ok(mut entries) => {
                entries.sort();
                Some(entries)
            }
            Err(error) => {
                let location = self.location(path);
                self.sink.reject(&location, format!("cannot read the folder: {error}"));
                None
            }
        }
    }

    fn entry(&mut self, path: &Path, depth: usize, is_linked: bool) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let location = self.location(path);
            return self.sink.reject(&location, "its name is not UTF-8: rename it");
        };
        if name.starts_with('.') || name == "node_modules" {
            return self.skip(path, "hidden files and node_modules are ignored");
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.folder(path, depth + 1, is_linked),
            Ok(metadata) if !metadata.is_file() => self.skip(path, "it is neither a file nor a folder"),
            Ok(_) => match reason_to_skip(self.folder, name) {
                Some(reason) => self.skip(path, reason),
                None => self.files.push((is_linked, path.to_owned())),
            },
            Err(error) if path.is_symlink() => self.skip(path, &format!("the link cannot be followed: {error}")),
            Err(error) => {
                let location = self.location(path);
                self.sink.reject(&location, format!("cannot read it: {error}"));
            }
        }
    }

    fn skip_skill_files(&mut self, folder: &Path, entries: &[PathBuf], skill_file: &Path) {
        let others: Vec<String> = entries
            .iter()
            .filter(|entry| *entry != skill_file)
            .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
            .collect();
        if others.is_empty() {
            return;
        }
        let named = others.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = others.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.skip(folder, &format!("only SKILL.md is imported, not {named}{more}"));
    }

    /// Sorts files, and leaves out links to files that are imported under another path. A link to a command is another
    /// command, because the name of a command is that of its file.
    fn distinct_files(mut self) -> Vec<PathBuf> {
        let mut files = std::mem::take(&mut self.files);
        files.sort();
        let mut seen = HashSet::new();
        let mut distinct = Vec::new();
        for (_, path) in files {
            let canonical = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if self.folder.kind == "command" || seen.insert(canonical) {
                distinct.push(path);
            } else {
                let location = self.location(&path);
                let text = "a link to a file that is imported already is ignored";
                self.sink.notice(Notice::new(NoticeKind::Repaired, location, text));
            }
        }
        distinct.sort();
        distinct
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        let location = self.location(path);
        self.sink.notice(Notice::new(NoticeKind::NotStored, location, reason));
    }

    fn location(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }
}

fn is_skill_file(path: &Path) -> bool {
    let is_named = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"));
    is_named && path.is_file()
}

/// The reason not to import a file; `None` for Markdown files of agents and commands.
fn reason_to_skip(folder: ArtifactFolder, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if folder.kind == "skill" {
        return Some("a skill is a folder with a file SKILL.md");
    }
    if DOCUMENTS.contains(&name.as_str()) {
        return Some("it documents the folder");
    }
    (!name.ends_with(".md")).then_some("only Markdown files are imported")
}
