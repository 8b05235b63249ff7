//! Breadth-first execution: rounds, nulls, lists, merged fields, conditions, abstract types and mutations.
use gatherum_engine::Code::{Internal, Unavailable};
use serde_json::{Value, json};

use crate::schema::{data, execute, execute_with};

#[tokio::test]
async fn a_level_takes_one_call_for_all_its_parents() {
    let outcome =
        execute("{ a: numbers(count: 3) { double } b: numbers(count: 4) { twice { twice { value } } } }").await;

    assert_eq!(outcome.log, ["double [0, 1, 2, 3]", "double [0, 2, 4, 6]"]);
    assert_eq!(outcome.report.rounds, 2);
    assert_eq!(outcome.data["a"], json!([{ "double": 0 }, { "double": 2 }, { "double": 4 }]));
    assert_eq!(outcome.data["b"][3], json!({ "twice": { "twice": { "value": 12 } } }));
}

#[tokio::test]
async fn null_propagates_to_the_nearest_nullable_field() {
    let error = (json!(["numbers", 1, "even"]), Unavailable);
    let cases = [
        (
            "{ numbers(count: 2) { evenOrNull { value } } }",
            json!({ "numbers": [{ "evenOrNull": { "value": 0 } }, { "evenOrNull": null }] }),
        ),
        ("{ numbers(count: 2) { even { value } } }", Value::Null),
        ("{ numbers: optionalNumbers(count: 2) { even { value } } }", json!({ "numbers": null })),
        (
            "{ numbers: numbersOrNull(count: 2) { even { value } } }",
            json!({ "numbers": [{ "even": { "value": 0 } }, null] }),
        ),
    ];
    for (document, data) in cases {
        let outcome = execute(document).await;

        assert_eq!(outcome.data, data, "{document}");
        let (path, code) = &outcome.errors[0];
        assert_eq!(outcome.errors.len(), 1, "{document}");
        assert_eq!(*code, error.1);
        assert_eq!((&path[0], &path[1]), (&error.0[0], &error.0[1]), "{document}");
    }
}

#[tokio::test]
async fn an_error_of_a_field_belongs_to_each_parent() {
    let outcome = execute("{ numbersOrNull(count: 2) { broken } }").await;

    assert_eq!(outcome.data, json!({ "numbersOrNull": [null, null] }));
    let errors = [0, 1].map(|place| (json!(["numbersOrNull", place, "broken"]), Unavailable));
    assert_eq!(outcome.errors, errors);
}

#[tokio::test]
async fn a_panic_in_a_resolver_is_an_error_of_its_field() {
    let outcome = execute("{ numbersOrNull(count: 1) { panicking } other: numbers(count: 1) { value } }").await;

    assert_eq!(outcome.data, json!({ "numbersOrNull": [null], "other": [{ "value": 0 }] }));
    assert_eq!(outcome.errors, [(json!(["numbersOrNull", 0, "panicking"]), Internal)]);
}

#[tokio::test]
async fn a_response_has_at_most_a_hundred_errors() {
    let outcome = execute("{ numbersOrNull(count: 120) { broken } }").await;

    assert_eq!(outcome.errors.len(), 100);
    assert_eq!(outcome.data["numbersOrNull"].as_array().map(Vec::len), Some(120));
}

#[tokio::test]
async fn the_errors_of_several_fields_count_together() {
    let outcome = execute("{ a: numbersOrNull(count: 60) { broken } b: numbersOrNull(count: 60) { broken } }").await;

    assert_eq!(outcome.errors.len(), 100);
}

#[tokio::test]
async fn introspection_is_written_beside_other_fields() {
    let outcome = execute("{ __typename __schema { queryType { name } } numbers(count: 1) { __typename } }").await;

    let expected = json!({
        "__typename": "Query",
        "__schema": { "queryType": { "name": "Query" } },
        "numbers": [{ "__typename": "Number" }],
    });
    assert_eq!(outcome.data, expected);
}

#[tokio::test]
async fn lists_in_lists_are_completed_in_order() {
    let outcome = execute("{ triangle(count: 4) { value evenOrNull { double } } }").await;

    let item =
        |value: i64| json!({ "value": value, "evenOrNull": (value % 2 == 0).then(|| json!({ "double": 2 * value })) });
    let rows = (0..4).map(|row| (0..row).map(item).collect::<Value>());
    assert_eq!(outcome.data["triangle"], rows.collect::<Value>());
    assert_eq!(
        outcome.errors,
        [
            (json!(["triangle", 2, 1, "evenOrNull"]), Unavailable),
            (json!(["triangle", 3, 1, "evenOrNull"]), Unavailable)
        ]
    );
    assert_eq!(outcome.report.rounds, 1);
}

#[tokio::test]
async fn fields_with_the_same_response_key_are_merged() {
    let document = "{
        numbers(count: 1) { value even { value } }
        numbers(count: 1) { even { name } ...More }
        other: numbers(count: 2) { value }
    }
    fragment More on Number { even { double } value }";

    let merged = data(document).await;

    let number = json!({ "value": 0, "even": { "value": 0, "name": "number 0", "double": 0 } });
    assert_eq!(merged, json!({ "numbers": [number], "other": [{ "value": 0 }, { "value": 1 }] }));
    assert_eq!(
        merged.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["numbers".to_owned(), "other".to_owned()])
    );
}

#[tokio::test]
async fn skip_and_include_decide_about_fields_and_fragments() {
    let document = "query($yes: Boolean!, $no: Boolean!) { numbers(count: 1) {
        a: value @include(if: $yes)
        b: value @include(if: $no)
        c: value @skip(if: $yes)
        d: value @skip(if: $no)
        e: value @skip(if: $no) @include(if: $no)
        ... @include(if: $yes) { f: value }
        ... on Number @skip(if: $yes) { g: value }
        ...H @include(if: $no)
    } }
    fragment H on Number { h: value }";

    let outcome = execute_with(document, json!({ "yes": true, "no": false })).await;

    assert_eq!(outcome.errors, []);
    assert_eq!(outcome.data, json!({ "numbers": [{ "a": 0, "d": 0, "f": 0 }] }));
}

#[tokio::test]
async fn objects_of_an_abstract_type_have_the_fields_of_their_type() {
    let document = "{ symbols {
        __typename
        ... on Number { value double }
        ... on Letter { letter }
        ... on Symbol { type: __typename }
    } }";

    let outcome = execute(document).await;

    assert_eq!(outcome.errors, []);
    assert_eq!(
        outcome.data["symbols"],
        json!([
            { "__typename": "Number", "value": 1, "double": 2, "type": "Number" },
            { "__typename": "Letter", "letter": "b", "type": "Letter" },
            { "__typename": "Number", "value": 3, "double": 6, "type": "Number" },
            { "__typename": "Letter", "letter": "d", "type": "Letter" },
        ])
    );
    assert_eq!(outcome.log, ["double [1, 3]"]);
}

#[tokio::test]
async fn variables_and_their_defaults_are_arguments() {
    let document = "query($a: Int!, $b: Int! = 5) { numbers(count: $a) { a: plus(count: $a) b: plus(count: $b) } }";

    let outcome = execute_with(document, json!({ "a": 1 })).await;

    assert_eq!(outcome.data, json!({ "numbers": [{ "a": 1, "b": 5 }] }));
}

#[tokio::test]
async fn fields_of_a_mutation_are_executed_one_after_the_other() {
    let outcome = execute("mutation { a: step(name: \"a\") { double } b: step(name: \"b\") { value } }").await;

    assert_eq!(outcome.data, json!({ "a": { "double": 2 }, "b": { "value": 1 } }));
    assert_eq!(outcome.log, ["begin a", "end a", "double [1]", "begin b", "end b"]);
}

#[tokio::test]
async fn a_mutation_proceeds_after_a_nullable_field_has_failed() {
    let document = "mutation { a: optionalStep(name: \"a\", fails: true) { value } b: step(name: \"b\") { value } }";

    let outcome = execute(document).await;

    assert_eq!(outcome.data, json!({ "a": null, "b": { "value": 1 } }));
    assert_eq!(outcome.errors, [(json!(["a"]), Unavailable)]);
    assert_eq!(outcome.log, ["begin a", "end a", "begin b", "end b"]);
}

#[tokio::test]
async fn a_mutation_ends_after_a_field_that_must_not_fail_has_failed() {
    let document = "mutation { a: step(name: \"a\", fails: true) { value } b: step(name: \"b\") { value } }";

    let outcome = execute(document).await;

    assert_eq!(outcome.data, Value::Null);
    assert_eq!(outcome.errors, [(json!(["a"]), Unavailable)]);
    assert_eq!(outcome.log, ["begin a", "end a"]);
}
