//! The real schema on a small catalogue, on both databases.
use std::{collections::HashMap, sync::Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use gatherum::{
    app::Engine,
    catalog::{Mutation, Query, Subscription},
    graphql::introspection_json,
};
use serde_json::{Value, json};

use super::{
    compare,
    documents::{Argument, Sample, Schema, literals},
    reference::{Resolved, World},
};
use crate::{
    app::{ask, engine},
    backend::Backend,
    fixture::{self, Kind},
    random::Random,
};

/// Number of documents for each database.
const DOCUMENTS: usize = 500;

/// Number of artifacts of the catalogue.
const SIZE: usize = 12;

/// A step from an object to a value of one of its fields.
#[derive(Clone)]
struct Step {
    /// The type of the object at which it starts.
    from: String,
    field: String,
    arguments: String,
    /// The indexes of the value in the lists of the field.
    places: Vec<usize>,
}

/// Reads every value with a separate query.
struct Catalogue<'e> {
    engine: &'e Engine,
    known: Mutex<HashMap<String, Value>>,
    schema: &'e Schema,
}

impl Catalogue<'_> {
    /// The value at the end of the steps: `{ … on Query { artifacts(first: 2) { … on … { name } } } }`.
    async fn value(&self, steps: &[Step], is_composite: bool) -> Value {
        let mut query = if is_composite { "{ __typename }".to_owned() } else { String::new() };
        for step in steps.iter().rev() {
            query = format!("{{ ... on {} {{ {}{} {query} }} }}", step.from, step.field, step.arguments);
        }
        let known = self.known.lock().expect("no panic").get(&query).cloned();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let answer = ask(self.engine, &query).await;
                assert_eq!(answer["errors"], Value::Null, "{query} {answer}");
                self.known.lock().expect("no panic").insert(query, answer["data"].clone());
                answer["data"].clone()
            }
        };
        steps.iter().fold(answer, |value, step| {
            step.places.iter().fold(value[&step.field].clone(), |value, place| value[*place].clone())
        })
    }

    fn resolved(value: &Value, steps: &[Step], is_composite: bool) -> Resolved<Vec<Step>> {
        match value {
            Value::Null => Resolved::Null,
            Value::Array(items) => {
                let item = |(place, item): (usize, &Value)| {
                    let mut steps = steps.to_vec();
                    steps.last_mut().expect("a step").places.push(place);
                    Self::resolved(item, &steps, is_composite)
                };
                Resolved::List(items.iter().enumerate().map(item).collect())
            }
            Value::Object(members) if is_composite => {
                Resolved::Object(steps.to_vec(), members["__typename"].as_str().expect("a type").to_owned())
            }
            leaf => Resolved::Leaf(leaf.clone()),
        }
    }
}

impl World for Catalogue<'_> {
    type Object = Vec<Step>;

    fn root(&self) -> Vec<Step> {
        Vec::new()
    }

    fn resolve<'a>(
        &'a self,
        object: &'a Vec<Step>,
        type_name: &'a str,
        field: &'a str,
        arguments: &'a [Argument],
    ) -> BoxFuture<'a, Resolved<Vec<Step>>> {
        async move {
            let is_composite = self.schema.is_composite(self.schema.field(type_name, field).of.name());
            let step = Step {
                from: type_name.to_owned(),
                field: field.to_owned(),
                arguments: literals(arguments),
                places: Vec::new(),
            };
            let steps: Vec<Step> = object.iter().cloned().chain([step]).collect();
            let value = self.value(&steps, is_composite).await;
            Self::resolved(&value, &steps, is_composite)
        }
        .boxed()
    }
}

fn id(prefix: &'static str, kind: Kind, n: usize) -> String {
    gatherum::graphql::id::GlobalId { prefix, id: fixture::id(kind, n) }.to_string()
}

fn values(field: &str, argument: &str, random: &mut Random) -> Option<Sample> {
    let sample = |literal: String, json: Value, of| Some(Sample { literal, json, of });
    let artifact = id("artifact", Kind::Artifact, random.below(SIZE + 2));
    let collection = id("collection", Kind::Collection, random.below(4));
    match (field, argument) {
        ("Query.artifact", _) => sample(format!("\"{artifact}\""), json!(artifact), "ID!"),
        ("Query.collection", _) => sample(format!("\"{collection}\""), json!(collection), "ID!"),
        ("Query.node", _) => {
            let any = [
                artifact,
                collection,
                id("tag", Kind::Tag, 1),
                id("version", Kind::Version, 3),
                id("share", Kind::Share, 2),
            ];
            let any = random.one(&any).clone();
            sample(format!("\"{any}\""), json!(any), "ID!")
        }
        ("Query.nodes", _) => {
            let all = vec![collection, artifact.clone(), id("tag", Kind::Tag, 2), artifact];
            sample(json!(all).to_string(), json!(all), "[ID!]!")
        }
        ("Query.tag", _) => sample("\"tag-1\"".to_owned(), json!("tag-1"), "String!"),
        ("Query.user", _) => sample("\"user 0\"".to_owned(), json!("user 0"), "String!"),
        // Always a page, so that responses are small.
        (_, "first") => {
            let first = 1 + random.below(3);
            sample(first.to_string(), json!(first), "Int")
        }
        (_, "maxLength") if random.once_in(2) => sample("9".to_owned(), json!(9), "Int"),
        ("Collection.artifactCount", "type") if random.once_in(2) => {
            sample("\"skill\"".to_owned(), json!("skill"), "String")
        }
        ("Query.artifacts", "filter") if random.once_in(3) => sample(
            "{ types: [\"skill\", \"agent\"] }".to_owned(),
            json!({ "types": ["skill", "agent"] }),
            "ArtifactFilter",
        ),
        ("Collection.artifacts", "orderBy") if random.once_in(2) => sample(
            "{ field: NAME, direction: DESC }".to_owned(),
            json!({ "field": "NAME", "direction": "DESC" }),
            "CollectionArtifactOrder",
        ),
        _ => None,
    }
}

#[tokio::test]
async fn documents_over_the_catalogue_are_answered_as_the_reference_does() {
    let introspection = introspection_json::<Query, Mutation, Subscription>().expect("an answer");
    let mut introspection: Value = serde_json::from_str(&introspection).expect("JSON");
    let types = introspection["data"]["__schema"]["types"].as_array_mut().expect("types");
    let query = types.iter_mut().find(|ty| ty["name"] == "Query").expect("the root");
    // A share link counts its views, so its object is never the same twice.
    query["fields"].as_array_mut().expect("fields").retain(|field| field["name"] != "shared");
    let schema = Schema::read(&introspection, values);
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, SIZE).await;
        fixture::share(&test.db, SIZE).await;
        let engine = engine(&test.db);
        let world = Catalogue { engine: &engine, known: Mutex::default(), schema: &schema };

        let count = super::documents(DOCUMENTS);
        let compared = compare(&engine, &world, &schema, 0xca7a_1067, count).await;

        assert!(compared * 10 >= count * 8, "only {compared} of {count} documents said something on {backend:?}");
    }
}
