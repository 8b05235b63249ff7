//! Errors, null and order as the specification defines them, on a small schema whose fields fail in every way.
use std::time::Duration;

use gatherum::{
    db::{Row, Sql},
    error::Error,
    fields,
    graphql::{
        CountStrategy, Execute, Loads, Request, Service, Settings,
        cost::Limits,
        object::{EmptyRoot, NoArguments, Object, ObjectBuilder},
    },
    loader::{self, Relation},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backend::Backend;

#[derive(Clone)]
struct Root;

#[derive(Clone)]
struct Child(i64);

fn failure() -> Error {
    Error::bad_user_input("it failed")
}

impl Object for Root {
    fn name() -> String {
        "Query".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A root.
            type;
            /// One child.
            child => compute::<NoArguments, _>(|_, _, _| Ok(Some(Child(1))));
            /// A child that is always there.
            required => compute::<NoArguments, _>(|_, _, _| Ok(Child(1)));
            /// Two children.
            children => compute::<NoArguments, _>(|_, _, _| Ok(vec![Child(1), Child(2)]));
            /// Two children, either of which may be null.
            some => compute::<NoArguments, _>(|_, _, _| Ok(vec![Some(Child(1)), None, Some(Child(2))]));
            /// A list that may be null.
            maybeChildren => compute::<NoArguments, _>(|_, _, _| Ok(Some(vec![Child(1), Child(2)])));
            /// One.
            one => value(|_: &Root| 1_i64);
            /// Waits for a round.
            slow => load::<NoArguments, _, _>(|_| Uuid::nil(), |_, _, _| Ok(Broken("select 'x' where 1 = 0")), |count| count);
        }
    }
}

impl Object for Child {
    fn name() -> String {
        "Child".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A child.
            type;
            /// Its number.
            ok => leaf(|child| &child.0);
            /// Fails, and may be null.
            maybeBad => compute::<NoArguments, Option<i64>>(|_, _, _| Err(failure()));
            /// Fails, and must not be null.
            bad => compute::<NoArguments, i64>(|_, _, _| Err(failure()));
            /// The second one fails, and must not be null.
            secondBad => batch::<NoArguments, gatherum::error::Result<i64>>(Loads::none(), |children, _, _| {
                let values = children.iter().map(|child| if child.0 == 2 { Err(failure()) } else { Ok(child.0) });
                Box::pin(std::future::ready(Ok(values.collect())))
            });
            /// Panics, and may be null.
            panics => compute::<NoArguments, Option<i64>>(|_, _, _| panic!("secret detail"));
            /// Its statement fails, and it may be null.
            broken => load::<NoArguments, _, _>(|_| Uuid::nil(), |_, _, _| Ok(Broken("select no_such_column")), Some);
            /// A statement that panics while it is written.
            explodes => load::<NoArguments, _, _>(|_| Uuid::nil(), |_, _, _| Ok(Broken("panic")), Some);
            /// Its relation is made from a value that differs between children.
            differs => load::<NoArguments, _, _>(
                |_| Uuid::nil(),
                |child, _, _| Ok(Broken(if child.0 == 1 { "select 'x' where 1 = 0" } else { "select 'y' where 1 = 0" })),
                Some,
            );
            /// A child of a child.
            child => compute::<NoArguments, _>(|child, _, _| Ok(Some(child.clone())));
        }
    }
}

/// A relation whose statement is the text it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken(&'static str);

gatherum::sql_loader!(Broken);

impl Relation for Broken {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Child.broken";

    fn statement(&self, _keys: &[Uuid], sql: &mut Sql) {
        assert_ne!(self.0, "panic", "secret detail");
        sql.push(self.0);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

async fn ask(query: &str) -> Value {
    let test = Backend::Sqlite.database().await;
    let settings = Settings {
        page_size_default: 50,
        page_size_max: 100,
        counts: CountStrategy::Live,
        queue_timeout: Duration::from_secs(60),
    };
    let loading = loader::LoadLimits { keys_max: 100, statements_max: None };
    let engine: Service<Root> = Service::new(
        (Root, EmptyRoot),
        test.db.clone(),
        settings,
        Limits::default(),
        loading,
        gatherum::graphql::load_cache::CacheConfig::default(),
        gatherum::documents::Config::default(),
    )
    .expect("a schema");
    let body = engine.execute(Request { query: query.to_owned(), ..Request::default() }).await.body;
    serde_json::from_slice(&body).expect("JSON")
}

/// Data and the paths of the errors.
async fn outcome(query: &str) -> (Value, Vec<Value>) {
    let answer = ask(query).await;
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    (answer["data"].clone(), errors.iter().map(|error| error["path"].clone()).collect())
}

#[tokio::test]
async fn null_goes_up_to_the_nearest_field_that_allows_it() {
    let cases = [
        (
            "{ child { ok maybeBad } }",
            json!({"child": {"ok": 1, "maybeBad": null}}),
            vec![json!(["child", "maybeBad"])],
        ),
        ("{ child { ok bad } }", json!({"child": null}), vec![json!(["child", "bad"])]),
        ("{ one required { bad } }", Value::Null, vec![json!(["required", "bad"])]),
        ("{ children { ok bad } }", Value::Null, vec![json!(["children", 0, "bad"]), json!(["children", 1, "bad"])]),
        (
            "{ maybeChildren { ok secondBad } one }",
            json!({"maybeChildren": null, "one": 1}),
            vec![json!(["maybeChildren", 1, "secondBad"])],
        ),
        (
            "{ some { ok secondBad } }",
            json!({"some": [{"ok": 1, "secondBad": 1}, null, null]}),
            vec![json!(["some", 2, "secondBad"])],
        ),
        (
            "{ child { child { ok child { bad } } } }",
            json!({"child": {"child": {"ok": 1, "child": null}}}),
            vec![json!(["child", "child", "child", "bad"])],
        ),
    ];
    for (query, data, paths) in cases {
        assert_eq!(outcome(query).await, (data, paths), "{query}");
    }
}

#[tokio::test]
async fn fields_stand_in_the_order_asked_and_merged() {
    let cases = [
        ("{ one child { ok } }", r#"{"one":1,"child":{"ok":1}}"#),
        ("{ child { maybe: child { ok } ok } one }", r#"{"child":{"maybe":{"ok":1},"ok":1},"one":1}"#),
        ("{ child { ok } one child { again: ok } }", r#"{"child":{"ok":1,"again":1},"one":1}"#),
        ("{ ...F one } fragment F on Query { child { ok } }", r#"{"child":{"ok":1},"one":1}"#),
        ("{ slow one }", r#"{"slow":0,"one":1}"#),
        (
            "{ __typename a: __typename child { __typename } }",
            r#"{"__typename":"Query","a":"Query","child":{"__typename":"Child"}}"#,
        ),
        (
            "query ($no: Boolean = false, $yes: Boolean = true) { one @skip(if: $yes) child @include(if: $yes) { ok @include(if: $no) b: ok @skip(if: $no) } }",
            r#"{"child":{"b":1}}"#,
        ),
        ("{ child { ... @include(if: false) { ok } ... on Child { x: ok } } }", r#"{"child":{"x":1}}"#),
    ];
    for (query, expected) in cases {
        let answer = ask(query).await;

        assert_eq!(answer["errors"], Value::Null, "{query}");
        assert_eq!(answer["data"].to_string(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_failing_statement_or_panic_fails_its_field_and_nothing_else() {
    for field in ["broken", "explodes", "panics"] {
        let answer = ask(&format!("{{ one child {{ ok {field} }} children {{ ok }} }}")).await;

        let expected = json!({"one": 1, "child": {"ok": 1, field: null}, "children": [{"ok": 1}, {"ok": 2}]});
        assert_eq!(answer["data"], expected, "{answer}");
        let error = &answer["errors"][0];
        assert_eq!(error["path"], json!(["child", field]));
        assert_eq!(error["extensions"]["code"], "INTERNAL");
        assert!(error["extensions"]["id"].as_str().is_some_and(|id| id.len() == 32), "{error}");
        let text = answer.to_string();
        assert!(!text.contains("secret") && !text.contains("no_such_column"), "no detail leaves: {text}");
    }
}

#[tokio::test]
async fn data_is_absent_where_nothing_was_executed() {
    for query in ["{", "{ nothing }", "query A { one } query B { one }", "query ($x: Int!) { one }", ""] {
        let answer = ask(query).await;

        assert_eq!(answer.get("data"), None, "{query}");
        assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{answer}");
    }
}

/// One statement loads the values of all parents, so the relation must be the same for all of them.
#[tokio::test]
async fn a_relation_that_differs_between_parents_is_found() {
    let one = ask("{ child { differs } }").await;
    let two = ask("{ children { differs } }").await;

    assert_eq!(one["errors"], Value::Null);
    assert_eq!(two["errors"][0]["extensions"]["code"], "INTERNAL", "{two}");
}
