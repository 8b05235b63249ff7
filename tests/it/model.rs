//! After any sequence of mutations, members, order, groups and counts are those of a model in memory. After concurrent
//! mutations, they are those of some sequential order.
use std::{collections::BTreeMap, sync::Arc};

use gatherum::{app::Engine, catalog::collection::wrong_counts, db::Db};
use serde_json::{Value, json};

use crate::{
    app::{ask_with, engine},
    backend::{Backend, TestDb},
    random::Random,
};

/// Number of mutations of one sequence.
const STEPS: usize = 150;

/// A group: its members in their order.
type Group = Vec<String>;

/// A collection: its members in their order, and its groups by id.
#[derive(Clone, Debug, Default, PartialEq)]
struct Collection {
    members: Vec<String>,
    groups: BTreeMap<String, Group>,
}

#[derive(Default)]
struct Model {
    artifacts: Vec<String>,
    collections: BTreeMap<String, Collection>,
    made: usize,
}

/// Puts `items` after `anchor`, or at the start.
fn put(list: &mut Vec<String>, items: &[String], anchor: Option<&String>) {
    list.retain(|item| !items.contains(item));
    let place = anchor.map_or(0, |anchor| list.iter().position(|item| item == anchor).expect("the anchor") + 1);
    list.splice(place..place, items.iter().cloned());
}

struct World {
    engine: Arc<Engine>,
    model: Model,
    random: Random,
}

impl World {
    async fn write(&self, field: &str, ty: &str, input: Value, selection: &str) -> Value {
        let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ {selection} }} }}");
        let answer = ask_with(&self.engine, &document, json!({ "input": input })).await;
        assert_eq!(answer["errors"], Value::Null, "{field} {input} {answer}");
        answer["data"][field].clone()
    }

    /// A random collection.
    fn collection(&mut self) -> Option<String> {
        let count = self.model.collections.len();
        (count > 0).then(|| self.model.collections.keys().nth(self.random.below(count)).expect("one").clone())
    }

    fn at(&mut self, id: &str) -> &mut Collection {
        self.model.collections.get_mut(id).expect("a collection")
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0 | 1 => self.create_artifacts().await,
            2 => self.create_collection().await,
            3..=5 => self.add().await,
            6 => self.remove().await,
            7 | 8 => self.move_members().await,
            9 => self.transfer().await,
            10 => self.group().await,
            _ => self.delete().await,
        }
    }

    async fn create_artifacts(&mut self) {
        let count = 1 + self.random.below(6);
        let item = |n| json!({ "type": "skill", "name": format!("artifact {n}"), "tags": ["a"] });
        let items: Vec<Value> = (0..count).map(|n| item(self.model.made + n)).collect();
        self.model.made += count;
        let made = self
            .write(
                "createArtifacts",
                "CreateArtifactsInput",
                json!({ "artifacts": items }),
                "results { artifact { id } }",
            )
            .await;
        let ids = made["results"].as_array().expect("results").iter().map(|result| text(&result["artifact"]["id"]));
        self.model.artifacts.extend(ids);
    }

    async fn create_collection(&mut self) {
        self.model.made += 1;
        let members = self.random.some(&self.model.artifacts, 5);
        let input = json!({ "name": format!("collection {}", self.model.made), "artifactIds": members });
        let made = self.write("createCollection", "CreateCollectionInput", input, "collection { id }").await;
        let id = text(&made["collection"]["id"]);
        self.model.collections.insert(id, Collection { members, ..Collection::default() });
    }

    async fn add(&mut self) {
        let Some(id) = self.collection() else { return };
        let added = self.random.some(&self.model.artifacts, 8);
        let input = json!({ "collectionId": id, "artifactIds": added });
        self.write("addArtifactsToCollection", "AddArtifactsToCollectionInput", input, "changedIds").await;
        let members = &mut self.at(&id).members;
        let new: Vec<String> = added.into_iter().filter(|artifact| !members.contains(artifact)).collect();
        members.extend(new);
    }

    async fn remove(&mut self) {
        let Some(id) = self.collection() else { return };
        let removed = self.random.some(&self.model.artifacts.clone(), 4);
        let input = json!({ "collectionId": id, "artifactIds": removed });
        self.write("removeArtifactsFromCollection", "CollectionArtifactsInput", input, "changedIds").await;
        self.at(&id).lose(&removed);
    }

    async fn move_members(&mut self) {
        let Some(id) = self.collection() else { return };
        let members = self.at(&id).members.clone();
        let moved = self.random.some(&members, 3);
        let rest: Vec<String> = members.into_iter().filter(|member| !moved.contains(member)).collect();
        let place = self.random.below(rest.len() + 1);
        let anchor = place.checked_sub(1).map(|place| rest[place].clone());
        let input = json!({ "collectionId": id, "artifactIds": moved, "afterArtifactId": anchor });
        self.write("moveCollectionArtifacts", "MoveCollectionArtifactsInput", input, "collection { id }").await;
        put(&mut self.at(&id).members, &moved, anchor.as_ref());
    }

    async fn transfer(&mut self) {
        let (Some(from), Some(to)) = (self.collection(), self.collection()) else { return };
        if from == to {
            return;
        }
        let asked = self.random.some(&self.model.artifacts.clone(), 5);
        let input = json!({ "fromCollectionId": from, "toCollectionId": to, "artifactIds": asked });
        self.write("transferArtifacts", "TransferArtifactsInput", input, "movedIds").await;
        let moved: Vec<String> =
            self.at(&from).members.iter().filter(|member| asked.contains(member)).cloned().collect();
        self.at(&from).lose(&moved);
        let members = &mut self.at(&to).members;
        let new: Vec<String> = moved.into_iter().filter(|artifact| !members.contains(artifact)).collect();
        members.extend(new);
    }

    async fn group(&mut self) {
        let Some(id) = self.collection() else { return };
        self.model.made += 1;
        let members = self.at(&id).members.clone();
        let held = self.random.some(&members, 4);
        let input = json!({ "collectionId": id, "name": format!("group {}", self.model.made), "artifactIds": held });
        let made = self.write("createGroup", "CreateGroupInput", input, "group { id }").await;
        self.at(&id).groups.insert(text(&made["group"]["id"]), held);
    }

    async fn delete(&mut self) {
        let deleted = self.random.some(&self.model.artifacts.clone(), 2);
        if deleted.is_empty() {
            return;
        }
        self.write("deleteArtifacts", "DeleteArtifactsInput", json!({ "ids": deleted }), "succeeded").await;
        self.model.artifacts.retain(|artifact| !deleted.contains(artifact));
        for collection in self.model.collections.values_mut() {
            collection.lose(&deleted);
        }
    }
}

impl Collection {
    fn lose(&mut self, artifacts: &[String]) {
        self.members.retain(|member| !artifacts.contains(member));
        for group in self.groups.values_mut() {
            group.retain(|member| !artifacts.contains(member));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// All collections in the responses of the server, whose counts must be the numbers of members.
async fn told(engine: &Engine) -> BTreeMap<String, Collection> {
    let document = "{ collections(first: 50) { nodes { id artifactCount groupCount
        artifacts(first: 100) { totalCount edges { position node { id } } }
        groups(first: 10) { nodes { id artifactCount position artifacts(first: 4) { nodes { id } } } } } } }";
    let answer = ask_with(engine, document, json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let collection = |node: &Value| {
        let edges = list(&node["artifacts"]["edges"]);
        assert_eq!(
            (&node["artifactCount"], &node["artifacts"]["totalCount"]),
            (&json!(edges.len()), &json!(edges.len()))
        );
        for (place, edge) in edges.iter().enumerate() {
            assert_eq!(edge["position"], json!(place));
        }
        let groups = list(&node["groups"]["nodes"]).into_iter().map(|group| {
            let held: Group = list(&group["artifacts"]["nodes"]).iter().map(|node| text(&node["id"])).collect();
            assert_eq!(group["artifactCount"], json!(held.len()));
            (text(&group["id"]), held)
        });
        let groups: BTreeMap<String, Group> = groups.collect();
        assert_eq!(node["groupCount"], json!(groups.len()));
        let members = edges.iter().map(|edge| text(&edge["node"]["id"])).collect();
        (text(&node["id"]), Collection { members, groups })
    };
    list(&answer["data"]["collections"]["nodes"]).iter().map(collection).collect()
}

async fn kept_counts_are_right(test: &TestDb) {
    assert_eq!(wrong_counts(&test.db).await.expect("an answer"), 0);
}

#[tokio::test]
async fn a_sequence_of_mutations_leaves_what_the_model_has() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        for seed in [0x9e37_79b9_7f4a_7c15_u64, 0xd1b5_4a32_d192_ed03] {
            let world = World { engine: Arc::new(engine(&test.db)), model: Model::default(), random: Random(seed) };
            // A separate catalogue, in which all names are free.
            let test = backend.database().await;
            let mut world = World { engine: Arc::new(engine(&test.db)), ..world };
            for step in 0..STEPS {
                world.step().await;
                if step % 10 == 9 {
                    assert_eq!(told(&world.engine).await, world.model.collections, "{backend:?} {seed} {step}");
                }
            }
            assert_eq!(told(&world.engine).await, world.model.collections, "{backend:?} {seed}");
            kept_counts_are_right(&test).await;
        }
    }
}

/// Runs mutations on several nodes concurrently. Each may be rejected, but none fails with an internal error.
#[tokio::test(flavor = "multi_thread")]
async fn mutations_side_by_side_keep_what_must_hold() {
    const WRITERS: usize = 6;
    const EACH: usize = 25;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let setup = World { engine: Arc::new(engine(&test.db)), model: Model::default(), random: Random(7) };
        let mut setup = setup;
        while setup.model.artifacts.len() < 20 {
            setup.create_artifacts().await;
        }
        for _ in 0..2 {
            setup.create_collection().await;
        }
        let artifacts = Arc::new(setup.model.artifacts.clone());
        let collections: Arc<Vec<String>> = Arc::new(setup.model.collections.keys().cloned().collect());
        let writers = (0..WRITERS).map(|n| {
            let (artifacts, collections, config) = (artifacts.clone(), collections.clone(), test.config.clone());
            tokio::spawn(async move {
                let db = Db::open(&config).await.expect("the database");
                let engine = engine(&db);
                let mut random = Random(1_000 + n as u64);
                for _ in 0..EACH {
                    one(&engine, &mut random, &artifacts, &collections).await;
                }
            })
        });
        for writer in futures_util::future::join_all(writers).await {
            writer.expect("a writer without a fault");
        }
        // `told` compares counts with members, and positions with their order.
        let collections = told(&setup.engine).await;
        for (id, collection) in &collections {
            let mut distinct = collection.members.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), collection.members.len(), "{backend:?} {id}");
        }
        let answer = ask_with(&setup.engine, "{ collections { nodes { name } } }", json!({})).await;
        assert_eq!(answer["errors"], Value::Null);
        kept_counts_are_right(&test).await;
        // No update was lost: each writer wrote another field.
        let document = "query($id: ID!) { artifact(id: $id) { description author revision } }";
        let artifact =
            ask_with(&setup.engine, document, json!({ "id": artifacts[0] })).await["data"]["artifact"].clone();
        assert_eq!((&artifact["description"], &artifact["author"]), (&json!("even"), &json!("odd")), "{backend:?}");
        assert_eq!(artifact["revision"], json!(1 + WRITERS * EACH), "{backend:?}");
    }
}

/// A random mutation, and one that increments a counter.
async fn one(engine: &Engine, random: &mut Random, artifacts: &[String], collections: &[String]) {
    let collection = &collections[random.below(collections.len())];
    let other = &collections[random.below(collections.len())];
    // The first collection is never deleted, and all writers write its fields.
    let some = random.some(&artifacts[1..], 6);
    let (field, ty, input) = match random.below(4) {
        0 => (
            "addArtifactsToCollection",
            "AddArtifactsToCollectionInput",
            json!({ "collectionId": collection, "artifactIds": some }),
        ),
        1 => (
            "removeArtifactsFromCollection",
            "CollectionArtifactsInput",
            json!({ "collectionId": collection, "artifactIds": some }),
        ),
        2 => (
            "moveCollectionArtifacts",
            "MoveCollectionArtifactsInput",
            json!({ "collectionId": collection, "artifactIds": some }),
        ),
        _ => (
            "transferArtifacts",
            "TransferArtifactsInput",
            json!({ "fromCollectionId": collection, "toCollectionId": other, "artifactIds": some }),
        ),
    };
    let named = match random.below(2) {
        0 => json!({ "id": artifacts[0], "description": "even" }),
        _ => json!({ "id": artifacts[0], "author": "odd" }),
    };
    for (field, ty, input) in [(field, ty, input), ("updateArtifact", "UpdateArtifactInput", named)] {
        let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ __typename }} }}");
        let answer = ask_with(engine, &document, json!({ "input": input })).await;
        for error in answer["errors"].as_array().into_iter().flatten() {
            let code = error["extensions"]["code"].as_str().unwrap_or_default();
            assert!(matches!(code, "NOT_FOUND" | "BAD_USER_INPUT"), "{field}: {error}");
        }
    }
}
