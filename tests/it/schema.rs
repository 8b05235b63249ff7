//! The schema that is committed is the schema that is served.
use gatherum::{
    catalog::{Mutation, Query, Subscription},
    graphql,
};

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    let committed = include_str!("../../schema.graphql");

    assert_eq!(committed, graphql::sdl::<Query, Mutation, Subscription>(), "run `just schema`");
}

#[tokio::test]
async fn everything_has_a_description() {
    let json: serde_json::Value =
        serde_json::from_str(&graphql::introspection_json::<Query, Mutation, Subscription>().expect("an answer"))
            .expect("JSON");
    let mut missing = Vec::new();
    for ty in json["data"]["__schema"]["types"].as_array().expect("types") {
        let name = ty["name"].as_str().expect("a name");
        // The specification describes its own scalars.
        if name.starts_with("__") || name == "ID" {
            continue;
        }
        let mut check = |path: String, item: &serde_json::Value| {
            if item["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path);
            }
        };
        check(name.to_owned(), ty);
        for kind in ["fields", "inputFields", "enumValues"] {
            for item in ty[kind].as_array().into_iter().flatten() {
                let path = format!("{name}.{}", item["name"].as_str().expect("a name"));
                check(path.clone(), item);
                for argument in item["args"].as_array().into_iter().flatten() {
                    check(format!("{path}({})", argument["name"].as_str().expect("a name")), argument);
                }
            }
        }
    }

    assert_eq!(missing, Vec::<String>::new());
}
