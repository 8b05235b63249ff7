//! Imports point one way.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Each module and the modules that it may import. `db`, `duration` and `loader` are those of the crate in `crates/db/`.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("main", &[]),
    ("cli", &["access", "app", "catalog", "config", "db", "documents", "graphql", "telemetry", "transfer"]),
    ("app", &["access", "catalog", "config", "documents", "loader", "db", "error", "graphql", "http"]),
    ("config", &["access", "db", "documents", "graphql", "http", "telemetry"]),
    ("http", &["access", "duration", "error", "graphql"]),
    ("transfer", &["catalog", "db", "graphql"]),
    ("catalog", &["access", "db", "error", "graphql", "loader"]),
    ("graphql", &["access", "db", "documents", "duration", "error", "loader"]),
    ("access", &["db", "error"]),
    ("documents", &["access", "db", "error"]),
    ("telemetry", &[]),
    ("error", &[]),
];

/// Macros and their modules.
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
        ("sqlx::query", "db/", "statements are run by the crate for databases"),
        ("sql.push(", "db/", "statements are templates, which are checked when they are compiled"),
        ("unsafe ", "", "no unsafe code"),
        (" limit \").", "", "the number of rows is written by `Sql::limit`: SQLite plans a statement anew for another"),
        ("println!(", "", "commands write by `cli::output`: the macro panics where nobody reads"),
        (" print!(", "", "commands write by `cli::output`: the macro panics where nobody reads"),
    ];
    let mut wrong = Vec::new();
    let of_db = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/db/src"))).into_iter();
    let of_db = of_db.map(|(path, text)| (format!("db/{path}"), text));
    let of_program = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    for (path, text) in of_program.into_iter().chain(of_db) {
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
    // A macro's `$crate` belongs to the module that calls it.
    let text = text.replace("$crate", "$");
    let paths = used_paths(&text).into_iter().filter(|path| path[0] == "crate");
    let modules = paths.filter_map(|path| path.into_iter().nth(1));
    modules.filter(|module| module.starts_with(char::is_lowercase)).collect()
}

/// Cycles of modules within a tree that exist, each by its first module in alphabetical order. The list may only shrink.
const CYCLES: [(&str, &str); 2] = [
    (
        "crates/document/src",
        "document, parser, schema, validation: a document is validated against the schema that parses it",
    ),
    (
        "crates/engine/src",
        "engine, execute, explain, object, operation, response, results, schema: fields execute objects",
    ),
];

#[test]
fn modules_of_a_tree_have_no_new_cycles() {
    let mut found = Vec::new();
    for tree in trees() {
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(&tree));
        let modules = Modules::new(&tree, &sources);
        found.extend(modules.cycles().into_iter().map(|cycle| (tree.clone(), cycle)));
    }

    // Types of the catalogue may refer to each other, because the graph of the schema has cycles.
    found.retain(|(tree, _)| tree != "src/catalog");
    let known = CYCLES.map(|(tree, cycle)| {
        let modules = cycle.split(':').next().unwrap_or_default();
        (tree.to_owned(), modules.split(", ").map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(found, known.to_vec());
}

/// Folders whose modules may not form cycles: each module of the program, and each crate.
fn trees() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = fs::read_dir(root.join("src")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let folders = folders.filter(|path| path.is_dir());
    let of_program = folders.map(|path| format!("src/{}", path.file_name().expect("a name").display()));
    let of_crates = ["crates/db/src", "crates/document/src", "crates/engine/src"].map(str::to_owned);
    let mut trees: Vec<String> = of_program.chain(of_crates).collect();
    trees.sort();
    trees
}

/// The modules of a tree by their path in it, with the paths that they use.
struct Modules {
    /// `crate::http` for `src/http`, `crate` for a crate.
    prefix: Vec<String>,
    texts: BTreeMap<Vec<String>, String>,
}

impl Modules {
    fn new(tree: &str, sources: &[(String, String)]) -> Self {
        let module = tree.strip_prefix("src/").map(str::to_owned);
        let prefix = std::iter::once("crate".to_owned()).chain(module).collect();
        let module = |path: &str| {
            let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            parts.pop_if(|last| last == "mod" || last == "lib");
            parts
        };
        let is_code = |path: &str| !path.split('/').any(|part| part.trim_end_matches(".rs") == "tests");
        let texts = sources.iter().filter(|(path, _)| is_code(path));
        Self { prefix, texts: texts.map(|(path, text)| (module(path), code(text))).collect() }
    }

    /// Groups of modules that use each other, sorted.
    fn cycles(&self) -> Vec<Vec<String>> {
        let reachable: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> =
            self.texts.keys().map(|module| (module, self.reachable(module))).collect();
        let mut cycles = BTreeSet::new();
        for (module, others) in &reachable {
            let cycle: Vec<String> = others
                .iter()
                .filter(|other| reachable[**other].contains(module))
                .map(|other| other.join("/"))
                .collect();
            if cycle.len() > 1 {
                cycles.insert(cycle);
            }
        }
        cycles.into_iter().collect()
    }

    /// The modules that a module uses, directly or through others. A parent and its children may use each other.
    fn reachable(&self, from: &[String]) -> BTreeSet<&Vec<String>> {
        let mut found = BTreeSet::new();
        let mut open = vec![from.to_vec()];
        while let Some(module) = open.pop() {
            for used in self.used(&module) {
                let is_family = used.starts_with(&module) || module.starts_with(used);
                if !is_family && found.insert(used) {
                    open.push(used.clone());
                }
            }
        }
        found
    }

    fn used(&self, module: &[String]) -> Vec<&Vec<String>> {
        let paths = used_paths(&self.texts[module]).into_iter();
        paths.filter_map(|path| self.resolve(&self.absolute(module, &path)?)).collect()
    }

    /// A path from the root of the tree; `None` if it leads out of the tree.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        match path.first()?.as_str() {
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let parent = module.len().checked_sub(ups)?;
                Some(module[..parent].iter().chain(&path[ups..]).cloned().collect())
            }
            "self" => Some(module.iter().chain(&path[1..]).cloned().collect()),
            "crate" => path.strip_prefix(self.prefix.as_slice()).map(<[String]>::to_vec),
            _ => None,
        }
    }

    /// The module that defines a path, also if its parent re-exports it.
    fn resolve(&self, path: &[String]) -> Option<&Vec<String>> {
        let depth = (0..=path.len()).rev().find(|depth| self.texts.contains_key(&path[..*depth]))?;
        let (module, text) = self.texts.get_key_value(&path[..depth])?;
        let Some(item) = path.get(depth) else { return Some(module) };
        let exported = used_paths(text).into_iter().find(|used| {
            used.len() > 1
                && used.last() == Some(item)
                && self.texts.contains_key(&[module.as_slice(), &used[..1]].concat())
        });
        match exported {
            Some(exported) => self.resolve(&[module.as_slice(), &exported].concat()),
            None => Some(module),
        }
    }
}

/// The text of a source file without comments and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of all `use` declarations, and those that begin with `super::` or `crate::` elsewhere.
fn used_paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (index, _) in text.match_indices("use ") {
        if !text[..index].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            let tree = text[index + 4..].split(';').next().unwrap_or_default();
            expand("", tree, &mut paths);
        }
    }
    for start in ["super::", "crate::"] {
        for (index, _) in text.match_indices(start) {
            let is_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
            let path: String = text[index..].chars().take_while(|character| is_path(*character)).collect();
            paths.push(path);
        }
    }
    let parts = |path: &String| {
        let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    paths.iter().map(parts).filter(|path: &Vec<String>| !path.is_empty()).collect()
}

/// The paths of a `use` tree such as `a::{b, c::d as e}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        if !path.is_empty() {
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let prefix = format!("{prefix}{}", before.trim());
    let (mut depth, mut start) = (0, 0);
    for (index, character) in body.char_indices().chain([(body.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &body[start..index], paths);
                start = index + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn cycles_are_found_through_re_exports() {
    let sources = [
        ("mod.rs", "mod one; mod two; mod three; pub use two::{deep::Two as Second, Other};"),
        ("one.rs", "use super::Other; // use super::three;"),
        ("two.rs", "use crate::tree::three::{Three, self};"),
        ("three.rs", "fn three() -> super::one::One {}\n#[cfg(test)]\nmod tests {}"),
        ("four.rs", "use super::{one, two::Two};"),
    ];
    let sources = sources.map(|(path, text)| (path.to_owned(), text.to_owned()));

    assert_eq!(Modules::new("src/tree", &sources).cycles(), [["one", "three", "two"]]);
}
