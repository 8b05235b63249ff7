//! Imports point one way.
use std::{collections::BTreeMap, fs, path::Path};

/// Each module and the modules that it may import.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("main", &[]),
    ("cli", &["access", "app", "catalog", "config", "db", "graphql", "telemetry", "transfer"]),
    ("app", &["access", "catalog", "config", "loader", "db", "error", "graphql", "http"]),
    ("config", &["access", "db", "graphql", "http", "telemetry"]),
    ("http", &["access", "duration", "error", "graphql"]),
    ("transfer", &["catalog", "db", "graphql"]),
    ("catalog", &["access", "db", "error", "graphql", "loader"]),
    ("graphql", &["access", "db", "duration", "error", "loader"]),
    ("loader", &["db", "error"]),
    ("access", &["db", "error"]),
    ("db", &["duration", "error"]),
    ("telemetry", &[]),
    ("duration", &[]),
    ("error", &[]),
];

/// Macros, which the root of the crate exports, and their modules.
const MACROS: [(&str, &str); 16] = [
    ("abstract_output", "graphql"),
    ("append", "db"),
    ("connected", "catalog"),
    ("field", "graphql"),
    ("fields", "graphql"),
    ("list", "catalog"),
    ("payload", "catalog"),
    ("placeholder", "db"),
    ("relation", "loader"),
    ("row", "db"),
    ("row_table", "db"),
    ("sql_loader", "loader"),
    ("statement", "db"),
    ("table", "db"),
    ("template", "db"),
    ("values", "db"),
];

#[test]
fn imports_point_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let importer = path.split(['/', '.']).next().unwrap_or_default().to_owned();
        if importer == "lib" {
            continue;
        }
        for used in used_modules(&text) {
            let of_macro = MACROS.into_iter().find(|(name, _)| *name == used);
            let used = of_macro.map_or(used, |(_, module)| module.to_owned());
            let is_allowed = used == importer
                || allowed.get(importer.as_str()).is_some_and(|modules| modules.contains(&used.as_str()));
            if !is_allowed {
                wrong.push(format!("{path} uses {used}"));
            }
        }
    }

    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_belongs_in_one_place_is_nowhere_else() {
    let rules = [
        ("std::env::", "cli/mod.rs", "the environment is read by the settings alone"),
        ("sqlx::query", "db/", "statements run through the one door"),
        ("unsafe ", "", "no unsafe code"),
        (" limit \").", "", "the number of rows is written by `Sql::limit`: SQLite plans a statement anew for another"),
        ("println!(", "", "commands write by `cli::output`: the macro panics where nobody reads"),
        (" print!(", "", "commands write by `cli::output`: the macro panics where nobody reads"),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        for (word, home, rule) in rules {
            let is_exempt =
                (!home.is_empty() && path.starts_with(home)) || path == "main.rs" || path == "transfer/skillmeat.rs";
            if !is_exempt && text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//")) {
                wrong.push(format!("{path}: {rule}"));
            }
        }
    }

    assert_eq!(wrong, Vec::<String>::new());
}

/// Files below a folder, by their path in it.
fn sources(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path.strip_prefix(root).expect("below it").display().to_string(), text));
            }
        }
    }
    found
}

/// The modules after `crate::`, also in braces.
fn used_modules(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (index, _) in text.match_indices("crate::") {
        if text[..index].ends_with('$') {
            continue;
        }
        let rest = &text[index + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => modules.extend(top_level_names(list)),
            None => modules.push(name(rest)),
        }
    }
    modules.retain(|module| !module.is_empty() && module.chars().next().is_some_and(char::is_lowercase));
    modules
}

/// The first name of each item of a braced list.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut is_start, mut names) = (1, true, Vec::new());
    for (index, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => is_start = true,
            character if depth == 1 && is_start && !character.is_whitespace() => {
                names.push(name(&list[index..]));
                is_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}
