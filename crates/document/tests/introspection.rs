//! Introspection answers what graphql-js answers.
#[path = "support/mod.rs"]
mod support;

use gatherum_document::{Limits, Options, Schema, Variables};
use serde_json::{Value, json};
use support::{introspection, sdl};

/// Types and directives by name, without those of the introspection schema, whose texts differ.
fn normalised(mut answer: Value) -> Value {
    for list in ["types", "directives"] {
        let items = answer["__schema"][list].as_array_mut().expect("a list");
        let specified = ["skip", "include", "deprecated", "specifiedBy", "oneOf"];
        items.retain(|item| {
            let name = item["name"].as_str().expect("a name");
            let is_specified = list == "directives" && specified.contains(&name);
            !name.starts_with("__") && !is_specified
        });
        items.sort_by_key(|item| item["name"].as_str().expect("a name").to_owned());
        for item in items {
            if item["kind"] == "SCALAR"
                && ["Int", "Float", "String", "Boolean", "ID"].contains(&item["name"].as_str().expect("a name"))
            {
                item["description"] = Value::Null;
            }
            if let Some(types) = item["possibleTypes"].as_array_mut() {
                types.sort_by_key(|ty| ty["name"].as_str().expect("a name").to_owned());
            }
        }
    }
    answer
}

#[test]
fn the_whole_schema_is_that_of_graphql_js() {
    let expected = introspection();
    for name in ["catalogue", "zoo"] {
        let schema = Schema::parse(&sdl(name)).expect("a valid schema");
        let document = schema.check(&expected.query, &Limits::default(), &Options::default()).expect("a valid query");
        let operation = document.operation(None).expect("one operation");
        let answer = Value::Object(schema.introspect(&document, operation, &Variables::new()));

        let (answer, wanted) = (normalised(answer), normalised(expected.answers[name].clone()));
        assert_eq!(answer, wanted);
    }
}

#[test]
fn fragments_conditions_and_aliases_are_respected() {
    let schema = Schema::parse("interface Node { id: ID! } type Query implements Node { id: ID! a: Int @deprecated }")
        .expect("a schema");
    for (text, variables, expected) in [
        (
            "{ id t: __typename ...F } fragment F on Query { t: __typename u: __typename }",
            json!({}),
            json!({"t": "Query", "u": "Query"}),
        ),
        (
            "query ($on: Boolean!) { a: __typename @skip(if: $on) b: __typename @include(if: $on) }",
            json!({"on": true}),
            json!({"b": "Query"}),
        ),
        (
            "{ ... on Node { __typename } ... @include(if: false) { x: __typename } }",
            json!({}),
            json!({"__typename": "Query"}),
        ),
        (
            "query ($n: String!) { __type(name: $n) { name ...F } } fragment F on __Type { kind __typename }",
            json!({"n": "Node"}),
            json!({"__type": {"name": "Node", "kind": "INTERFACE", "__typename": "__Type"}}),
        ),
        ("{ __type(name: \"Nope\") { name } }", json!({}), json!({"__type": null})),
        ("{ __type(name: \"Query\") { fields { name } } }", json!({}), json!({"__type": {"fields": [{"name": "id"}]}})),
        (
            "{ __type(name: \"Query\") { fields(includeDeprecated: true) { deprecationReason } } }",
            json!({}),
            json!({"__type": {"fields": [{"deprecationReason": null}, {"deprecationReason": "No longer supported"}]}}),
        ),
        (
            "{ __schema { queryType { name } } __schema { mutationType { name } } }",
            json!({}),
            json!({"__schema": {"queryType": {"name": "Query"}, "mutationType": null}}),
        ),
    ] {
        let document = schema.check(text, &Limits::default(), &Options::default()).expect("a valid document");
        let operation = document.operation(None).expect("one operation");
        let Value::Object(variables) = variables else { panic!("an object") };

        assert_eq!(Value::Object(schema.introspect(&document, operation, &variables)), expected, "{text}");
    }
}
