//! Walks the whole schema: a query for every path of relationships takes the same number of statements on catalogues of
//! several sizes and while the machine is busy, at most one for each relationship and level.
//!
//! Paths come from introspection, so a new relationship is covered without a change of this test.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gatherum::{
    access::{TokenScope, Viewer},
    catalog::{Mutation, Query, Subscription},
    graphql,
};
use serde_json::Value;

use crate::{
    app::{ask_viewing, engine_with, statements},
    backend::Backend,
    fixture::{self, Kind},
};

/// Maximum number of relationships of a path.
const DEPTH: usize = 4;

/// Sizes of the catalogues.
const SIZES: [usize; 3] = [7, 20, 60];

/// Runs of each query on the largest catalogue while the machine is busy.
const BUSY_RUNS: usize = 2;

/// A field, its arguments and its type. A field whose type is a union has one entry for each member.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    required: Vec<String>,
    of: String,
    is_member: bool,
}

/// Types with fields, and the leaf types.
struct Schema {
    fields: BTreeMap<String, Vec<Field>>,
}

impl Schema {
    async fn read() -> Self {
        let text = graphql::introspection_json::<Query, Mutation, Subscription>().expect("an answer");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let types = json["data"]["__schema"]["types"].as_array().expect("types");
        let members = |name: &str| -> Vec<String> {
            let union = types.iter().find(|ty| ty["name"] == name && ty["kind"] == "UNION");
            let members = union.and_then(|union| union["possibleTypes"].as_array()).into_iter().flatten();
            members.map(|member| member["name"].as_str().expect("a name").to_owned()).collect()
        };
        let mut fields = BTreeMap::new();
        for ty in types {
            let name = ty["name"].as_str().expect("a name");
            let is_read = ty["kind"] == "OBJECT" && !name.starts_with("__");
            if let (true, Some(items)) = (is_read, ty["fields"].as_array()) {
                let of_members = |field: Field| match members(&field.of) {
                    members if members.is_empty() => vec![field],
                    members => members.into_iter().map(|of| Field { of, is_member: true, ..field.clone() }).collect(),
                };
                fields.insert(name.to_owned(), items.iter().map(field).flat_map(of_members).collect());
            }
        }
        Self { fields }
    }

    fn is_object(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The leaves of a type without arguments, as a selection; they are read, so that loaders of leaves are walked too.
    fn leaves(&self, name: &str) -> String {
        let fields = self.fields[name].iter().filter(|field| !self.is_object(&field.of) && field.of != "Node");
        let names: Vec<&str> =
            fields.filter(|field| field.required.is_empty()).map(|field| field.name.as_str()).collect();
        names.join(" ")
    }

    /// Fields whose type is an object.
    fn relationships(&self, name: &str) -> Vec<&Field> {
        self.fields[name].iter().filter(|field| self.is_object(&field.of)).collect()
    }

    /// All paths of at most `depth` relationships from a type. Connections and edges do not count.
    fn paths(&self, name: &str, depth: usize) -> Vec<Vec<Field>> {
        let mut paths = Vec::new();
        for field in self.relationships(name) {
            let is_wrapper = is_wrapper(name);
            let left = if is_wrapper { depth } else { depth.saturating_sub(1) };
            if depth == 0 && !is_wrapper {
                continue;
            }
            let deeper = self.paths(&field.of, left);
            if deeper.is_empty() {
                paths.push(vec![field.clone()]);
            }
            for mut rest in deeper {
                rest.insert(0, field.clone());
                paths.push(rest);
            }
        }
        paths
    }
}

fn field(item: &Value) -> Field {
    let name = item["name"].as_str().expect("a name").to_owned();
    let arguments = item["args"].as_array().expect("arguments");
    let required = arguments.iter().filter(|argument| argument["type"]["kind"] == "NON_NULL");
    let required = required.map(|argument| argument["name"].as_str().expect("a name").to_owned()).collect();
    let mut ty = &item["type"];
    while ty["name"].is_null() {
        ty = &ty["ofType"];
    }
    Field { name, required, of: ty["name"].as_str().expect("a name").to_owned(), is_member: false }
}

/// Connections, edges and other types between a relationship and its objects.
fn is_wrapper(name: &str) -> bool {
    name.ends_with("Connection") || name.ends_with("Edge") || name.ends_with("Facets") || name == "PageInfo"
}

/// A value for a required argument.
fn argument(field: &str, name: &str) -> String {
    let id = |prefix, kind| graphql::id::GlobalId { prefix, id: fixture::id(kind, 0) };
    match (field, name) {
        ("artifact", "id") | ("node", "id") => format!("\"{}\"", id("artifact", Kind::Artifact)),
        ("collection", "id") => format!("\"{}\"", id("collection", Kind::Collection)),
        ("nodes", "ids") => format!("[\"{}\"]", id("artifact", Kind::Artifact)),
        ("tag", "slug") => "\"tag-0\"".to_owned(),
        ("user", "name") => "\"user 0\"".to_owned(),
        ("shared", "token") => format!("\"{}\"", fixture::LINK),
        other => panic!("the walk needs a value for {other:?}: add one"),
    }
}

/// A query along a path, with the leaves of every object on it. Pages have two members, so that responses are small.
fn query(schema: &Schema, path: &[Field]) -> String {
    let mut text = String::from("{ ");
    for field in path {
        text += &field.name;
        let mut arguments: Vec<String> =
            field.required.iter().map(|name| format!("{name}: {}", argument(&field.name, name))).collect();
        if field.of.ends_with("Connection") {
            arguments.push("first: 2".to_owned());
        }
        if !arguments.is_empty() {
            text += &format!("({})", arguments.join(", "));
        }
        let member = if field.is_member { format!("... on {} {{ ", field.of) } else { String::new() };
        text += &format!(" {{ {member}__typename {} ", schema.leaves(&field.of));
    }
    text + &" }".repeat(path.len() + 1 + path.iter().filter(|field| field.is_member).count())
}

/// The queries of the walk with the names of their fields: one for each path. Of edges and nodes, which lead to the same objects, edges are walked at
/// the last relationship alone.
pub async fn queries() -> (Vec<(String, Vec<String>)>, usize) {
    let schema = Schema::read().await;
    let paths = schema.paths("Query", DEPTH);
    let is_walked = |path: &Vec<Field>| {
        let last = path.iter().rposition(|field| field.name == "edges");
        let count = path.iter().filter(|field| field.name == "edges").count();
        count == 0
            || (count == 1
                && last.is_some_and(|last| path[last..].iter().filter(|field| !is_wrapper(&field.of)).count() <= 1))
    };
    let names = |path: &[Field]| path.iter().map(|field| field.name.clone()).collect();
    let queries: BTreeSet<(String, Vec<String>)> =
        paths.iter().filter(|path| is_walked(path)).map(|path| (query(&schema, path), names(path))).collect();
    (queries.into_iter().collect(), paths.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_takes_one_number_of_statements() {
    let (queries, paths) = queries().await;
    assert!(paths > 200, "the walk found only {paths} paths");
    let [viewer, admin] =
        [TokenScope::Write, TokenScope::Admin].map(|scope| Viewer::of(fixture::id(Kind::User, 0), scope));
    for backend in Backend::all().await {
        let mut figures: BTreeMap<&str, u64> = BTreeMap::new();
        for size in SIZES {
            let test = backend.database().await;
            fixture::fill(&test.db, size).await;
            fixture::share(&test.db, size).await;
            let engine = engine_with(&test.db, |config| config.limits.depth = 30);
            let is_busy = size == SIZES[SIZES.len() - 1];
            let busy = is_busy.then(Busy::start);
            for (text, _) in &queries {
                for _ in 0..if is_busy { BUSY_RUNS } else { 1 } {
                    let before = test.db.statements_run();
                    let answer = ask_viewing(&engine, viewer, text).await;

                    assert_eq!(answer["errors"], Value::Null, "{text}");
                    let found = statements(&answer);
                    assert_eq!(test.db.statements_run() - before, found, "a statement went past the loaders: {text}");
                    let expected = *figures.entry(text).or_insert(found);
                    assert_eq!(found, expected, "{backend:?} with {size} artifacts: {text}\n{}", answer["extensions"]);
                    one_statement_a_relationship_and_level(&answer, text);
                }
                // The number is the same for viewers that may see everything.
                if size == SIZES[0] {
                    let found = statements(&ask_viewing(&engine, admin, text).await);
                    assert_eq!(found, figures[text.as_str()], "{backend:?} as {admin:?}: {text}");
                }
            }
            drop(busy);
        }
    }
}

/// Levels are rounds apart, so a relationship has at most as many statements as there are rounds.
fn one_statement_a_relationship_and_level(answer: &Value, query: &str) {
    let report = &answer["extensions"]["gatherum"];
    let rounds = report["rounds"].as_u64().expect("rounds");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for batch in report["batches"].as_array().expect("batches") {
        *counts.entry(batch["relation"].as_str().expect("a name")).or_default() += 1;
    }
    for (relation, count) in counts {
        assert!(count <= rounds, "{relation} took {count} statements in {rounds} rounds: {query}");
    }
}

/// Load on the workers of the runtime and on the processor, until it is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..2 {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        for _ in 0..8 {
            let stop = stop.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A schema with a field that uses the database directly, which no field of the catalogue can do: they have loaders only.
mod bypassing {
    use gatherum::{
        db::Db,
        fields,
        graphql::{
            Loads,
            object::{NoArguments, Object, ObjectBuilder},
        },
    };

    #[derive(Clone)]
    pub struct Root {
        pub db: Db,
        pub size: usize,
    }

    #[derive(Clone)]
    pub struct Item(Db);

    impl Object for Root {
        fn name() -> String {
            "Query".to_owned()
        }

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                /// The root.
                type;
                /// Items.
                items => compute::<NoArguments, _>(|root, _, _| Ok(vec![Item(root.db.clone()); root.size]));
            }
        }
    }

    impl Object for Item {
        fn name() -> String {
            "Item".to_owned()
        }

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                /// An item.
                type;
                /// Counts by a statement of its own for each item.
                count => batch::<NoArguments, i64>(Loads::none(), |items, _, _| Box::pin(async move {
                    let mut counts = Vec::new();
                    for item in items {
                        let mut sql = item.0.sql();
                        sql.push("select count(*) from artifacts");
                        counts.extend(item.0.fetch::<i64>("bypass", sql).await?);
                    }
                    Ok(counts)
                }));
            }
        }
    }
}

/// The purpose of the walk: a field that bypasses the loaders fails both of its checks.
#[tokio::test]
async fn a_field_that_bypasses_the_loaders_is_found() {
    use gatherum::{
        graphql::{CountStrategy, Execute, Request, Service, Settings, cost},
        loader::LoadLimits,
    };
    let mut figures = BTreeSet::new();
    for size in SIZES {
        let test = Backend::Sqlite.database().await;
        let root = bypassing::Root { db: test.db.clone(), size };
        let settings = Settings {
            page_size_default: 50,
            page_size_max: 100,
            counts: CountStrategy::Live,
            queue_timeout: Duration::from_secs(60),
        };
        let loading = LoadLimits { keys_max: 100, statements_max: None };
        let engine: Service<_> = Service::new(
            (root, graphql::object::EmptyRoot),
            test.db.clone(),
            settings,
            cost::Limits::default(),
            loading,
            gatherum::graphql::load_cache::CacheConfig::default(),
            gatherum::documents::Config::default(),
        )
        .expect("a schema");
        let before = test.db.statements_run();
        let request = Request { query: "{ items { count } }".to_owned(), ..Request::default() };
        let response = engine.execute(request).await;

        let ran = test.db.statements_run() - before;
        assert_ne!(ran, u64::from(response.report.statements), "the report does not add up");
        figures.insert(ran);
    }

    assert_eq!(figures.len(), SIZES.len(), "its statements depend on the data: {figures:?}");
}
