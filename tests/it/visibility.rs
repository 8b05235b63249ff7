//! Visibility in lists, counts, facets, filters and by id, compared with a model in Rust, on random catalogues of three
//! accounts.
use std::collections::{BTreeMap, BTreeSet};

use gatherum::{
    access::{Accounts, TokenScope, Viewer},
    app::Engine,
    db::{Arg, Db, Time},
    graphql::id::GlobalId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{ask_as, ask_json, ask_reported, engine, statements},
    backend::Backend,
    random::Random,
};

const VISIBILITIES: [&str; 3] = ["PRIVATE", "UNLISTED", "PUBLIC"];
const TYPES: [&str; 3] = ["skill", "command", "agent"];
const ARTIFACTS: usize = 12;
const COLLECTIONS: usize = 6;
const TAGS: usize = 8;

struct Artifact {
    id: String,
    owner: Uuid,
    kind: &'static str,
    visibility: &'static str,
    tags: BTreeSet<String>,
}

struct Collection {
    id: String,
    owner: Uuid,
    visibility: &'static str,
    members: BTreeSet<String>,
}

/// The objects of the catalogue, by name.
struct World {
    users: Vec<Uuid>,
    artifacts: BTreeMap<String, Artifact>,
    collections: BTreeMap<String, Collection>,
    /// The id of the shared object, and the recipient.
    shares: BTreeSet<(String, Uuid)>,
}

impl World {
    async fn make(engine: &Engine, db: &Db, random: &mut Random) -> Self {
        let accounts = Accounts::new(db);
        let mut users = Vec::new();
        for name in ["Ann", "Ben", "Cleo"] {
            users.push(accounts.add(name).await.expect("an account").id);
        }
        let mut world =
            Self { users, artifacts: BTreeMap::new(), collections: BTreeMap::new(), shares: BTreeSet::new() };
        for owner in world.users.clone() {
            world.add_artifacts(engine, random, owner).await;
        }
        for owner in world.users.clone() {
            for n in 0..COLLECTIONS {
                world.add_collection(engine, random, owner, n).await;
            }
        }
        for owner in world.users.clone() {
            for _ in 0..4 {
                world.share(engine, random, owner).await;
            }
        }
        world.end_some_shares(db).await;
        world
    }

    async fn add_artifacts(&mut self, engine: &Engine, random: &mut Random, owner: Uuid) {
        for _ in 0..ARTIFACTS {
            let name = format!("artifact {}", self.artifacts.len());
            let (kind, visibility) = (TYPES[random.below(3)], VISIBILITIES[random.below(3)]);
            let tags: BTreeSet<String> = (0..random.below(3)).map(|_| format!("tag-{}", random.below(TAGS))).collect();
            let make = "mutation($type: String!, $name: String!, $visibility: Visibility!, $tags: [String!]) {
                createArtifact(input: { type: $type, name: $name, visibility: $visibility, tags: $tags }) { artifact { id } }
              }";
            let variables = json!({ "type": kind, "name": name, "visibility": visibility, "tags": tags });
            let made = ask_json(engine, Viewer::of(owner, TokenScope::Write), make, &variables).await;
            let id = made["data"]["createArtifact"]["artifact"]["id"].as_str().expect("an id").to_owned();
            self.artifacts.insert(name, Artifact { id, owner, kind, visibility, tags });
        }
    }

    async fn add_collection(&mut self, engine: &Engine, random: &mut Random, owner: Uuid, n: usize) {
        let name = format!("collection {} {n}", self.collections.len());
        let visibility = VISIBILITIES[random.below(3)];
        let may_be_held = self.artifacts.iter().filter(|(_, a)| a.owner == owner || a.visibility == "PUBLIC");
        let members: BTreeSet<String> =
            may_be_held.filter(|_| random.below(4) == 0).map(|(name, _)| name.clone()).collect();
        let ids: Vec<&str> = members.iter().map(|name| self.artifacts[name].id.as_str()).collect();
        let make = "mutation($name: String!, $visibility: Visibility!, $ids: [ID!]) {
            createCollection(input: { name: $name, visibility: $visibility, artifactIds: $ids }) { collection { id } }
          }";
        let variables = json!({ "name": name, "visibility": visibility, "ids": ids });
        let viewer = Viewer::of(owner, TokenScope::Write);
        let made = ask_json(engine, viewer, make, &variables).await;
        let id = made["data"]["createCollection"]["collection"]["id"].as_str().expect("an id").to_owned();
        let group = "mutation($id: ID!, $name: String!, $ids: [ID!]) {
            createGroup(input: { collectionId: $id, name: $name, artifactIds: $ids }) { group { id } }
          }";
        let made = ask_json(engine, viewer, group, &json!({ "id": id, "name": name, "ids": ids })).await;
        assert!(made["errors"].is_null(), "{made}");
        self.collections.insert(name, Collection { id, owner, visibility, members });
    }

    async fn share(&mut self, engine: &Engine, random: &mut Random, sender: Uuid) {
        let own = self.artifacts.values().filter(|a| a.owner == sender).map(|a| &a.id);
        let own: Vec<&String> =
            own.chain(self.collections.values().filter(|c| c.owner == sender).map(|c| &c.id)).collect();
        let target = own[random.below(own.len())].clone();
        let others: Vec<Uuid> = self.users.iter().copied().filter(|user| *user != sender).collect();
        let recipient = others[random.below(others.len())];
        let share = "mutation($target: ID!, $recipient: ID!) {
            shareWithUser(input: { targetId: $target, recipientId: $recipient }) { share { id } }
          }";
        let to = GlobalId { prefix: "user", id: recipient }.to_string();
        let variables = json!({ "target": target, "recipient": to });
        let shared = ask_json(engine, Viewer::of(sender, TokenScope::Write), share, &variables).await;
        assert!(shared["errors"].is_null(), "{shared}");
        self.shares.insert((target, recipient));
    }

    /// The shares with the first account have expired.
    async fn end_some_shares(&mut self, db: &Db) {
        let mut tx = db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("update shares set expires_at = ").bind(Arg::Time(Time(Time::now().0 - 1)));
        sql.push(" where recipient_id = ").bind(Arg::Id(self.users[0]));
        tx.execute("shares", sql).await.expect("a write");
        tx.commit().await.expect("a commit");
        let first = self.users[0];
        self.shares.retain(|(_, recipient)| *recipient != first);
    }

    fn viewers(&self) -> Vec<Viewer> {
        let users = self
            .users
            .iter()
            .flat_map(|user| [TokenScope::Read, TokenScope::Write].map(|scope| Viewer::of(*user, scope)));
        let admin = Viewer::of(self.users[2], TokenScope::Admin);
        users.chain([Viewer::ANONYMOUS, admin, Viewer::LOCAL]).collect()
    }

    fn owns(viewer: Viewer, owner: Uuid) -> bool {
        viewer.is_admin() || viewer.user == Some(owner)
    }

    fn was_shared(&self, viewer: Viewer, id: &str) -> bool {
        viewer.user.is_some_and(|user| self.shares.contains(&(id.to_owned(), user)))
    }

    fn lists_collection(&self, viewer: Viewer, collection: &Collection) -> bool {
        Self::owns(viewer, collection.owner) || collection.visibility == "PUBLIC"
    }

    fn knows_collection(&self, viewer: Viewer, collection: &Collection) -> bool {
        Self::owns(viewer, collection.owner)
            || collection.visibility != "PRIVATE"
            || self.was_shared(viewer, &collection.id)
    }

    fn holders(&self, name: &str) -> impl Iterator<Item = (&String, &Collection)> {
        self.collections.iter().filter(move |(_, collection)| collection.members.contains(name))
    }

    fn lists(&self, viewer: Viewer, name: &str) -> bool {
        let artifact = &self.artifacts[name];
        Self::owns(viewer, artifact.owner)
            || artifact.visibility == "PUBLIC"
            || self.holders(name).any(|(_, collection)| collection.visibility == "PUBLIC")
    }

    fn knows(&self, viewer: Viewer, name: &str) -> bool {
        let artifact = &self.artifacts[name];
        Self::owns(viewer, artifact.owner)
            || artifact.visibility != "PRIVATE"
            || self.was_shared(viewer, &artifact.id)
            || self.holders(name).any(|(_, collection)| self.knows_collection(viewer, collection))
    }

    fn listed(&self, viewer: Viewer) -> BTreeSet<String> {
        self.artifacts.keys().filter(|name| self.lists(viewer, name)).cloned().collect()
    }
}

fn names(nodes: &Value, key: &str) -> BTreeSet<String> {
    let nodes = nodes.as_array().unwrap_or_else(|| panic!("no list: {nodes}"));
    nodes.iter().map(|node| node[key].as_str().expect("a name").to_owned()).collect()
}

fn counts(facets: &Value) -> BTreeMap<String, u64> {
    let facets = facets.as_array().expect("facets").iter();
    facets
        .map(|facet| {
            (facet["value"].as_str().expect("a value").to_owned(), facet["artifactCount"].as_u64().expect("a count"))
        })
        .collect()
}

/// Counts how often each word occurs.
fn tally<'w>(words: impl Iterator<Item = &'w str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

const DOCUMENTS: [&str; 5] = [
    "{ artifacts(first: 100) {
        totalCount
        nodes { name collectionCount collections { totalCount nodes { name } } groups { totalCount nodes { name } } }
        facets { types { value artifactCount } tags { value artifactCount } }
      } }",
    "{ collections(first: 100) { totalCount nodes { name artifactCount artifacts { totalCount nodes { name } } } } }",
    "{ tags(first: 100) { totalCount nodes { slug artifactCount artifacts { totalCount nodes { name } } } } }",
    "{ in: artifacts(filter: { uncollected: false }, first: 100) { totalCount nodes { name } }
       out: artifacts(filter: { uncollected: true }, first: 100) { totalCount nodes { name } } }",
    "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Artifact { name } ... on Collection { name } } }",
];

async fn check(world: &World, viewer: Viewer, answers: &[Value]) {
    let listed = world.listed(viewer);
    let artifacts = &answers[0]["data"]["artifacts"];
    assert_eq!(names(&artifacts["nodes"], "name"), listed);
    assert_eq!(artifacts["totalCount"], listed.len());
    for node in artifacts["nodes"].as_array().expect("nodes") {
        let name = node["name"].as_str().expect("a name");
        let holders = world.holders(name).filter(|(_, collection)| world.lists_collection(viewer, collection));
        let holders: BTreeSet<String> = holders.map(|(name, _)| name.clone()).collect();
        for (field, key) in [("collections", "name"), ("groups", "name")] {
            assert_eq!(names(&node[field]["nodes"], key), holders, "{name} {field}");
            assert_eq!(node[field]["totalCount"], holders.len(), "{name} {field}");
        }
        assert_eq!(node["collectionCount"], holders.len(), "{name}");
    }
    let of = |name: &String| &world.artifacts[name];
    assert_eq!(counts(&artifacts["facets"]["types"]), tally(listed.iter().map(|name| of(name).kind)));
    let tags = tally(listed.iter().flat_map(|name| of(name).tags.iter().map(String::as_str)));
    assert_eq!(counts(&artifacts["facets"]["tags"]), tags);

    let collections = &answers[1]["data"]["collections"];
    let seen = world.collections.iter().filter(|(_, collection)| world.lists_collection(viewer, collection));
    let seen: BTreeMap<&String, &Collection> = seen.collect();
    assert_eq!(names(&collections["nodes"], "name"), seen.keys().map(ToString::to_string).collect());
    assert_eq!(collections["totalCount"], seen.len());
    for node in collections["nodes"].as_array().expect("nodes") {
        let members = &world.collections[node["name"].as_str().expect("a name")].members;
        assert_eq!(names(&node["artifacts"]["nodes"], "name"), *members);
        assert_eq!(
            (&node["artifactCount"], &node["artifacts"]["totalCount"]),
            (&json!(members.len()), &json!(members.len()))
        );
    }

    let found = &answers[2]["data"]["tags"];
    assert_eq!(names(&found["nodes"], "slug"), tags.keys().cloned().collect());
    assert_eq!(found["totalCount"], tags.len());
    for node in found["nodes"].as_array().expect("nodes") {
        let slug = node["slug"].as_str().expect("a slug");
        let having: BTreeSet<String> = listed.iter().filter(|name| of(name).tags.contains(slug)).cloned().collect();
        assert_eq!(names(&node["artifacts"]["nodes"], "name"), having, "{slug}");
        let count = json!(having.len());
        assert_eq!((&node["artifactCount"], &node["artifacts"]["totalCount"]), (&count, &count), "{slug}");
    }

    let is_in = |name: &&String| world.holders(name).any(|(_, collection)| world.lists_collection(viewer, collection));
    let (inside, outside): (Vec<&String>, Vec<&String>) = listed.iter().partition(is_in);
    for (part, expected) in [("in", inside), ("out", outside)] {
        let found = &answers[3]["data"][part];
        assert_eq!(found["totalCount"], expected.len(), "{part}");
        assert_eq!(names(&found["nodes"], "name"), expected.into_iter().cloned().collect(), "{part}");
    }

    let known = world.artifacts.keys().map(|name| (name, world.knows(viewer, name)));
    let of_collections =
        world.collections.iter().map(|(name, collection)| (name, world.knows_collection(viewer, collection)));
    let expected: Vec<Value> = known
        .chain(of_collections)
        .map(|(name, is_known)| if is_known { json!({ "name": name }) } else { Value::Null })
        .collect();
    assert_eq!(answers[4]["data"]["nodes"], json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_sees_what_the_model_says_by_the_same_number_of_statements() {
    for backend in Backend::all().await {
        for seed in 1..=3 {
            let test = backend.database().await;
            let engine = engine(&test.db);
            let world = World::make(&engine, &test.db, &mut Random(seed)).await;
            let ids: Vec<&String> =
                world.artifacts.values().map(|a| &a.id).chain(world.collections.values().map(|c| &c.id)).collect();
            let mut figures: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
            for viewer in world.viewers() {
                let mut answers = Vec::new();
                for (place, document) in DOCUMENTS.into_iter().enumerate() {
                    let answer = ask_reported(&engine, viewer, document, &json!({ "ids": ids })).await;
                    assert!(answer["errors"].is_null(), "{backend:?} {viewer:?} {answer}");
                    figures.entry(place).or_default().insert(statements(&answer));
                    answers.push(answer);
                }
                println!("{backend:?}, seed {seed}, {viewer:?}");
                check(&world, viewer, &answers).await;
            }
            // An empty list loads nothing below it. No list is empty here.
            assert!(figures.values().all(|figures| figures.len() == 1), "{backend:?} {figures:?}");
        }
    }
}

/// Concurrent requests of several viewers: no response contains data of another viewer.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_at_once_get_what_is_theirs() {
    const ROUNDS: usize = 60;
    let nothing = json!({});
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let world = World::make(&engine, &test.db, &mut Random(7)).await;
        let mut expected = Vec::new();
        for viewer in world.viewers() {
            for document in &DOCUMENTS[..4] {
                expected.push((viewer, *document, ask_as(&engine, viewer, document, &json!({})).await));
            }
        }
        let distinct: BTreeSet<&Vec<u8>> = expected.iter().map(|(.., answer)| answer).collect();
        assert!(distinct.len() > 3 * DOCUMENTS.len(), "everyone sees something else");
        for _ in 0..ROUNDS {
            let asks = expected.iter().map(|(viewer, document, _)| ask_as(&engine, *viewer, document, &nothing));
            let answers = futures_util::future::join_all(asks.collect::<Vec<_>>()).await;
            for ((viewer, document, expected), answer) in expected.iter().zip(&answers) {
                assert!(expected == answer, "{backend:?} {viewer:?} {document}");
            }
        }
    }
}
