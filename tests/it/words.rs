//! Code and documents use the terms of `docs/glossary.md`, and the names that documents mention exist.
use std::{collections::BTreeSet, fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Retired terms, each with its replacement. A term matches whole words, in this case only.
const RETIRED: [(&str, &str); 51] = [
    ("Absent", "EmptyRoot"),
    ("Alike", "CacheMatch"),
    ("anew", "again"),
    ("are told of", "are notified of"),
    ("Belonging", "EventFilterFactory"),
    ("Belongs", "EventFilter"),
    ("Deaf", "disconnected"),
    ("Declaring", "SchemaBuilder"),
    ("Due", "PendingBatch"),
    ("Ears", "WriteClock"),
    ("eyes", "access scope"),
    ("Excess", "LimitExceeded"),
    ("for ever", "stable, permanently"),
    ("have_lost", "record_removals"),
    ("Hearing", "ListenGuard"),
    ("heard of", "received"),
    ("hears of", "receives"),
    ("holding", "containing_collections"),
    ("Hub", "Broadcaster"),
    ("is told of", "is notified of"),
    ("Keeper", "LoadCache"),
    ("Kept", "CacheHandle"),
    ("kept counts", "maintained counts"),
    ("Leased", "Lease"),
    ("Lent", "PooledConnection"),
    ("may_hold", "ensure_can_contain"),
    ("MAY_BE_HELD", "ensure_can_contain"),
    ("met_another", "is_retryable_conflict"),
    ("News", "Event"),
    ("of no interest", "irrelevant"),
    ("passes_on", "nested_projection"),
    ("Patience", "ConnectionTimeouts"),
    ("Reach", "Access"),
    ("Refusal", "Rejection"),
    ("Refused", "Rejected"),
    ("refuse", "reject"),
    ("refused", "rejected"),
    ("refuses", "rejects"),
    ("Sight", "AccessScope"),
    ("swallows", "loses"),
    ("take_over", "copy_group_members"),
    ("Telling", "EventTarget"),
    ("tells_once", "one_time_secret"),
    ("the console", "GraphiQL"),
    ("those who follow", "subscribers"),
    ("Told", "ChangeLog"),
    ("to_be_tried_again", "retryable"),
    ("Turns", "ExecutionMode"),
    ("UNTOLD", "OVERFLOW"),
    ("whoever", "the viewer, the client, …"),
    ("Whoever", "the viewer, the client, …"),
];

/// Words with which a doc comment or a description does not begin: it names its subject.
const CLAUSES: [&str; 5] = ["What", "Who", "Whoever", "Whose", "Of what"];

/// A place in a file that needs another word.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    message: String,
}

/// The retired terms of a text.
fn retired_terms(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (term, replacement) in RETIRED {
            if has_word(line, term) {
                findings.push(Finding { line: number + 1, message: format!("`{term}`: write `{replacement}`") });
            }
        }
    }
    findings
}

/// Returns whether a line has a term that no letter, digit or underscore precedes or follows.
fn has_word(line: &str, term: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(term).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + term.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The comments of a text that begin with a clause instead of a subject. `first` returns the text of a line if it can be
/// the first line of a comment.
fn clauses<'a>(text: &'a str, first: impl Fn(&'a str, &'a str) -> Option<&'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut previous = "";
    for (number, line) in text.lines().map(str::trim).enumerate() {
        let begins = |text: &str| CLAUSES.iter().find(|clause| has_word(text, clause) && text.starts_with(**clause));
        if let Some(clause) = first(previous, line).and_then(begins) {
            findings.push(Finding { line: number + 1, message: format!("begins with `{clause}`: name the subject") });
        }
        previous = line;
    }
    findings
}

/// The text of a line that begins a doc comment.
fn doc_comment<'a>(previous: &str, line: &'a str) -> Option<&'a str> {
    let marker = ["//!", "///", "#"].into_iter().find(|marker| line.starts_with(marker))?;
    let is_first = !previous.starts_with(marker) || previous == marker;
    is_first.then(|| line[marker.len()..].trim())
}

/// The text of a line that begins a description of the schema.
fn description<'a>(previous: &str, line: &'a str) -> Option<&'a str> {
    (previous == "\"\"\"").then_some(line)
}

fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = match path {
        // It quotes former names, for readers who search for them.
        "CHANGELOG.md" => retired_terms(&without_quotes(text)),
        _ => retired_terms(text),
    };
    match path.rsplit('.').next() {
        Some("rs" | "toml") => findings.extend(clauses(text, doc_comment)),
        Some("graphql") => findings.extend(clauses(text, description)),
        _ => {}
    }
    findings
}

/// The text without the parts in backticks.
fn without_quotes(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

/// Files below `path` with one of the endings.
fn files(path: &Path, endings: &[&str]) -> Vec<(String, String)> {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry")).collect();
        entries.sort_by_key(|entry| entry.path());
        let entries =
            entries.iter().filter(|entry| entry.file_name() != "target" && entry.file_name() != "node_modules");
        return entries.flat_map(|entry| files(&entry.path(), endings)).collect();
    }
    let has_ending = path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted));
    if !has_ending {
        return Vec::new();
    }
    let name = path.strip_prefix(ROOT).expect("a file of the repository").display().to_string();
    vec![(name, fs::read_to_string(path).expect("a text"))]
}

#[test]
fn retired_terms_do_not_return() {
    let places = [
        ("src", ["rs"].as_slice()),
        ("crates", &["rs", "md"]),
        ("schema.graphql", &["graphql"]),
        ("gatherum.example.toml", &["toml"]),
        ("README.md", &["md"]),
        ("ARCHITECTURE.md", &["md"]),
        ("CONTRIBUTING.md", &["md"]),
        ("CHANGELOG.md", &["md"]),
        ("docs", &["md"]),
        ("bench/README.md", &["md"]),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (place, endings) in places {
        let found = files(&Path::new(ROOT).join(place), endings);
        assert!(!found.is_empty(), "{place} has files");
        for (path, text) in found {
            let lines = findings(&path, &text).into_iter();
            wrong.extend(lines.map(|Finding { line, message }| format!("{path}:{line}: {message}")));
        }
    }

    assert!(wrong.is_empty(), "{} places use retired terms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_retired_term_is_found_as_a_whole_word() {
    for line in ["struct Sight;", "/// Kept for later", "The Kept, and others", "who is told of it"] {
        assert_eq!(retired_terms(line).len(), 1, "{line}");
    }
    for line in ["Insight", "Kepts", "Kept_by", "keeps", "is told often", "sight"] {
        assert_eq!(retired_terms(line), [], "{line}");
    }
    assert_eq!(retired_terms("a\nb Hub")[0].line, 2);
}

#[test]
fn a_comment_that_begins_with_a_clause_is_found() {
    for text in
        ["/// What it is.", "    //! Whose list it is.", "# Who may ask.", "/// A thing.\n///\n/// Of what it is."]
    {
        assert_eq!(findings("a.rs", text).len(), 1, "{text}");
    }
    for text in ["/// Whatever.", "// What", "/// A thing,\n/// What continues", "let a = 1; // What"] {
        assert_eq!(findings("a.rs", text), [], "{text}");
    }
    assert_eq!(findings("a.graphql", "\"\"\"\nWhat to write.\n\"\"\"").len(), 1);
    assert_eq!(findings("a.graphql", "\"\"\"\nA thing.\nWhat follows.\n\"\"\""), []);
}

/// Names of other crates and of the standard library that documents mention.
const FOREIGN: [&str; 6] = ["From", "None", "Option", "Vec", "hyper", "join_all"];

/// The names in backticks that are to exist: paths of files, paths of items, types, and macros.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let prose = text.split("```").step_by(2);
    let quoted = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
    let is_name = |word: &&str| {
        let is_word = word.chars().all(|c| c.is_alphanumeric() || "_/.:!-".contains(c));
        let is_type = word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
        let is_file =
            word.contains('/') && !word.starts_with('/') && Path::new(ROOT).join(first_segment(word)).exists();
        is_word
            && (is_file || word.contains("::") || word.ends_with('!') || (is_type && !word.contains(['/', '-', '.'])))
    };
    quoted.filter(is_name).filter(|word| !FOREIGN.contains(word)).collect()
}

fn first_segment(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Returns whether a name is that of a file, or each segment of it is declared in `sources`.
fn exists(name: &str, sources: &[(String, String)]) -> bool {
    if name.contains('/') {
        return Path::new(ROOT).join(name).exists();
    }
    let segments: Vec<&str> = name.trim_end_matches('!').split("::").collect();
    let is_last_declared = |path: &str, text: &str| {
        let last = segments[segments.len() - 1];
        declares(text, last) || module_of(path).contains(&last)
    };
    sources.iter().any(|(path, text)| {
        let has_parents = segments[..segments.len() - 1].iter().all(|parent| {
            let parent = parent.strip_prefix("gatherum_").unwrap_or(parent);
            has_word(text, parent) || module_of(path).contains(&parent)
        });
        has_parents && is_last_declared(path, text)
    })
}

/// The modules that the path of a file stands for.
fn module_of(path: &str) -> Vec<&str> {
    path.trim_end_matches(".rs").split('/').collect()
}

/// Returns whether a text declares an item, a method or a variant with this name.
fn declares(text: &str, name: &str) -> bool {
    let keywords = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"];
    text.lines().map(str::trim_start).any(|line| {
        let is_item = keywords.iter().any(|keyword| {
            let declaration = format!("{keyword} {name}");
            let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            line.find(&declaration).is_some_and(|start| is_whole(&line[start + declaration.len()..]))
        });
        let is_variant = line.strip_prefix(name).is_some_and(|rest| rest.starts_with([',', '(', '{']) || rest == " {");
        let is_row = line.starts_with("pub ") && line.contains(&format!("{name}(\""));
        is_item || is_variant || is_row
    })
}

#[test]
fn every_name_that_the_documents_mention_exists() {
    let mut sources = files(&Path::new(ROOT).join("src"), &["rs"]);
    sources.extend(files(&Path::new(ROOT).join("crates"), &["rs"]));
    sources.extend(files(&Path::new(ROOT).join("tests/it"), &["rs"]));
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/glossary.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(document)).expect("a document");
        let names = mentioned(&text);
        assert!(names.len() > 10, "{document}: {names:?}");
        missing
            .extend(names.into_iter().filter(|name| !exists(name, &sources)).map(|name| format!("{document}: {name}")));
    }

    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_name_that_does_not_exist_is_found() {
    let sources = vec![(
        "crates/db/src/pool.rs".to_owned(),
        "pub struct Lease;\nimpl Lease {\n    fn release() {}\n}\n".to_owned(),
    )];
    for name in ["Lease", "Lease::release", "db::pool", "db::Lease", "README.md", "crates/db/src/lib.rs"] {
        let is_path = name.ends_with(".md");
        assert!(is_path || exists(name, &sources), "{name}");
    }
    for name in ["Leas", "Lease::releas", "db::Leased", "crates/db/src/none.rs", "other::Lease"] {
        assert!(!exists(name, &sources), "{name}");
    }
    let text = "`Lease` and `crates/db/src/pool.rs`, `Lease::release`, `table!`, not `limits.depth`, `/graphql` or `GATHERUM_BIND`";
    assert_eq!(
        mentioned(text).into_iter().collect::<Vec<_>>(),
        ["Lease", "Lease::release", "crates/db/src/pool.rs", "table!"]
    );
}
