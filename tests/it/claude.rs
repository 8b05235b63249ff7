//! Imports of folders with skills, agents and commands, on both databases.
use std::{collections::BTreeMap, fs, path::Path};

use gatherum::{
    db::Db,
    transfer::{ImportOptions, ImportReport, NoticeKind, Source, export, import},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backend::Backend;

/// A folder with these files: paths with contents.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    directory
}

async fn load(db: &Db, folder: &Path) -> ImportReport {
    import(db, Source::Claude(folder.to_owned()), ImportOptions::default(), |_| {}).await.expect("an import")
}

/// The artifacts of a database by the paths of their files.
async fn artifacts(db: &Db) -> BTreeMap<String, Value> {
    let mut out = Vec::new();
    export(db, None, &mut out).await.expect("an export");
    let text = String::from_utf8(out).expect("text");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let artifacts = records.filter(|record| record["record"] == "artifact");
    artifacts.map(|artifact| (artifact["source"].as_str().expect("a path").to_owned(), artifact)).collect()
}

/// The locations of the notices of one kind.
fn locations(report: &ImportReport, kind: NoticeKind) -> Vec<&str> {
    let notices = report.notices().filter(|notice| notice.kind == kind);
    notices.map(|notice| notice.location.as_str()).collect()
}

#[tokio::test]
async fn front_matter_is_read_as_people_write_it_and_repairs_are_reported() {
    let files = [
        (
            "agents/f.md",
            "---\nname: x\ndescription: |\n  Line one.\n  Line two.\nargument-hint: [file] [--flag]\n---\nBody.\n",
        ),
        ("agents/g.md", "---\nname: 'y'\ndescription: Use when: always\ntags: [a, 1.10, true]\n---\n- a list\n"),
        ("agents/rule.md", "---\n\nIntro text.\n\n---\n\nBody: text\n"),
        ("skills/v/SKILL.md", "--- \nname: v\nmetadata:\n  version: 1.10\n  on: no\n---\n# V\n"),
        ("skills/w/SKILL.md", "\u{feff}---\r\nname: v\r\nauthor:\r\n  name: Me\r\n---\r\n# W\r\n"),
        ("commands/git/commit.md", "Commit.\n"),
        ("commands/commit.md", "---\nargument-hint: [message]\nmodel: 007\n---\nCommit.\n"),
    ];
    let directory = folder(&files);
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, directory.path()).await;
        let again = load(&test.db, directory.path()).await;

        assert_eq!((report.rejected(), again.written()), (0, 0), "{report}");
        let repaired = ["skills/w/SKILL.md", "agents/f.md line 6", "agents/g.md line 3"];
        assert_eq!(locations(&report, NoticeKind::Repaired), repaired, "{report}");
        let artifacts = artifacts(&test.db).await;
        for (path, text) in files {
            assert_eq!(artifacts[path]["content"], *text, "{path}");
        }
        let fields = |path: &str, names: &[&str]| -> Value {
            names.iter().map(|name| artifacts[path].get(*name).cloned().unwrap_or_default()).collect()
        };
        let expected = json!(["x", "Line one.\nLine two.\n", { "argument-hint": "[file] [--flag]" }]);
        assert_eq!(fields("agents/f.md", &["name", "description", "metadata"]), expected);
        let expected = json!(["y", "Use when: always", ["1_dot-10", "a", "true"]]);
        assert_eq!(fields("agents/g.md", &["name", "description", "tags"]), expected);
        assert_eq!(fields("agents/rule.md", &["name", "description", "metadata"]), json!(["rule", null, null]));
        let expected = json!(["v", "1.10", { "metadata": { "version": "1.10", "on": "no" } }]);
        assert_eq!(fields("skills/v/SKILL.md", &["name", "version", "metadata"]), expected);
        // The other skill has the name in its front matter.
        let expected = json!(["w", "Me", { "author": { "name": "Me" } }]);
        assert_eq!(fields("skills/w/SKILL.md", &["name", "author", "metadata"]), expected);
        assert_eq!(fields("commands/git/commit.md", &["name"]), json!(["git:commit"]));
        let expected = json!(["commit", { "argument-hint": "[message]", "model": "007" }]);
        assert_eq!(fields("commands/commit.md", &["name", "metadata"]), expected);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_and_files_that_are_not_imported_are_reported() {
    use std::os::unix::fs::symlink;
    let directory = folder(&[
        ("root/skills/one/SKILL.md", "---\nname: one\n---\n"),
        ("root/skills/one/scripts/run.sh", "true\n"),
        ("root/skills/deep/er/two/SKILL.md", "# Two\n"),
        ("root/skills/loose.md", "# Loose\n"),
        ("root/agents/README.md", "# For people\n"),
        ("root/agents/UP.MD", "# Up\n"),
        ("root/agents/notes.txt", "text\n"),
        ("root/agents/._up.md", "AppleDouble\n"),
        ("root/agents/.obsidian/notes.md", "# Hidden\n"),
        ("root/agents/node_modules/p/CHANGELOG.md", "# Changes\n"),
        ("root/settings.json", "{}"),
        ("shared/three/SKILL.md", "# Three\n"),
    ]);
    let root = directory.path().join("root");
    symlink("../../shared/three", root.join("skills/linked")).expect("a link");
    symlink("one", root.join("skills/again")).expect("a link");
    symlink("..", root.join("skills/deep/up")).expect("a link");
    symlink("missing", root.join("agents/broken.md")).expect("a link");
    symlink("/dev/zero", root.join("agents/zero.md")).expect("a link");
    rustix::fs::mknodat(rustix::fs::CWD, root.join("agents/pipe.md"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("a pipe");
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, &root).await;

        assert_eq!(report.rejected(), 0, "{report}");
        let artifacts = artifacts(&test.db).await;
        let paths: Vec<&str> = artifacts.keys().map(String::as_str).collect();
        let expected = ["agents/UP.MD", "skills/deep/er/two/SKILL.md", "skills/linked/SKILL.md", "skills/one/SKILL.md"];
        assert_eq!(paths, expected, "{report}");
        assert_eq!(locations(&report, NoticeKind::Repaired), ["skills/again/SKILL.md"], "{report}");
        let not_stored = [
            "skills/again",
            "skills/deep/up",
            "skills/loose.md",
            "skills/one",
            "agents/._up.md",
            "agents/.obsidian",
            "agents/README.md",
            "agents/broken.md",
            "agents/node_modules",
            "agents/notes.txt",
            "agents/pipe.md",
            "agents/zero.md",
            "settings.json",
        ];
        assert_eq!(locations(&report, NoticeKind::NotStored), not_stored, "{report}");
    }
}

#[tokio::test]
async fn an_unreadable_file_is_rejected_alone() {
    let directory = folder(&[("agents/a.md", "# A\n"), ("agents/c.md", "# C\n")]);
    fs::write(directory.path().join("agents/b.md"), b"caf\xe9\n").expect("a file");
    fs::write(directory.path().join("agents/big.md"), vec![b'x'; (8 << 20) + 1]).expect("a file");
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, directory.path()).await;

        let rejected: Vec<&str> = report.rejections().iter().map(|record| record.location.as_str()).collect();
        assert_eq!(rejected, ["agents/b.md", "agents/big.md"], "{report}");
        assert_eq!(report.kinds["memberships"].created, 2, "{report}");
    }
}
