//! A schema whose fields fail, panic and are null in every position, by rules that both sides know.
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use gatherum::{
    abstract_output,
    error::{Error, Result},
    fields,
    graphql::{
        CountStrategy, Service, Settings, cost, introspection_json,
        object::{EmptyRoot, FieldMeta, NoArguments, Object, ObjectBuilder, SchemaBuilder},
    },
    loader::LoadLimits,
};
use serde_json::{Value, json};

use super::{
    compare,
    documents::{Argument, Sample, Schema},
    reference::{Resolved, World},
};
use crate::{backend::Backend, random::Random};

/// Number of documents.
const DOCUMENTS: usize = 9_000;

/// The rules for the values of a number. Both executors use them, and share nothing else.
mod rules {
    /// Whether the field of the number fails.
    pub fn fails(n: i64, salt: i64) -> bool {
        (n * 7 + salt) % 5 == 0
    }

    /// Whether the field of the number is null.
    pub fn is_null(n: i64, salt: i64) -> bool {
        (n * 5 + salt) % 4 == 0
    }

    /// The numbers in the list of a number.
    pub fn list(n: i64) -> Vec<i64> {
        (0..n % 4).map(|place| (n * 3 + place) % 50).collect()
    }

    pub fn next(n: i64) -> i64 {
        (n * 11 + 3) % 50
    }

    pub const MESSAGE: &str = "it failed on purpose";
}

fn failure() -> Error {
    Error::bad_user_input(rules::MESSAGE)
}

fn unless_failed<T>(n: i64, salt: i64, value: T) -> Result<T> {
    if rules::fails(n, salt) { Err(failure()) } else { Ok(value) }
}

#[derive(Clone)]
struct Root;

#[derive(Clone)]
struct Even(i64);

#[derive(Clone)]
struct Odd(i64);

abstract_output! {
    /// Either of them.
    enum Number as "Number" by declare_number {
        AnEven(Even),
        AnOdd(Odd),
    }
}

fn declare_number(schema: &mut SchemaBuilder<'_>) {
    let n = FieldMeta { name: "n", docs: &["The number."] };
    schema.interface("Number", &["A number."], &[(n, "Int!")]);
}

fn number(n: i64) -> Number {
    if n % 2 == 0 { Number::AnEven(Even(n)) } else { Number::AnOdd(Odd(n)) }
}

#[derive(async_graphql::InputObject)]
struct EchoArguments {
    /// A number.
    #[graphql(default = 7)]
    number: i64,
    /// A text.
    text: Option<String>,
    /// Numbers.
    list: Option<Vec<i64>>,
}

fn echo(number: i64, text: Option<&str>, list: Option<&[i64]>) -> String {
    format!("{number} {text:?} {list:?}")
}

/// The fields that both types of numbers have, and the root.
macro_rules! declare_fields {
    ($type:ty, $n:expr) => {
        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            declare_interface(fields);
            fields! { fields;
                type;
                /// The number.
                n => value(|this: &$type| $n(this));
                /// May be null.
                maybe => value(|this: &$type| (!rules::is_null($n(this), 1)).then(|| $n(this)));
                /// May fail, and may be null.
                mayFail => compute::<NoArguments, Result<Option<i64>>>(|this, _, _| {
                    Ok(unless_failed($n(this), 2, Some($n(this))))
                });
                /// May fail, and must not be null.
                mustNotFail => compute::<NoArguments, Result<i64>>(|this, _, _| Ok(unless_failed($n(this), 3, $n(this))));
                /// Fails whoever is asked, and may be null.
                allFail => compute::<NoArguments, Option<i64>>(|_, _, _| Err(failure()));
                /// What was given.
                echo => compute::<EchoArguments, _>(|_, args, _| {
                    Ok(echo(args.number, args.text.as_deref(), args.list.as_deref()))
                });
                /// Another one.
                next => compute::<NoArguments, _>(|this, _, _| Ok(Even(rules::next($n(this)))));
                /// Another one, or null.
                maybeNext => compute::<NoArguments, _>(|this, _, _| {
                    Ok((!rules::is_null($n(this), 2)).then(|| Odd(rules::next($n(this)))))
                });
                /// Another one, which may fail and must not.
                riskyNext => compute::<NoArguments, Result<Even>>(|this, _, _| {
                    Ok(unless_failed($n(this), 4, Even(rules::next($n(this)))))
                });
                /// Some.
                list => compute::<NoArguments, _>(|this, _, _| {
                    Ok(rules::list($n(this)).into_iter().map(Odd).collect::<Vec<_>>())
                });
                /// Some, each of which may be null.
                listOfMaybe => compute::<NoArguments, _>(|this, _, _| {
                    let list = rules::list($n(this)).into_iter();
                    Ok(list.map(|n| (!rules::is_null(n, 3)).then_some(Even(n))).collect::<Vec<_>>())
                });
                /// Some, or null; one that fails makes the whole null.
                maybeListOfRisky => compute::<NoArguments, _>(|this, _, _| {
                    let list = || rules::list($n(this)).into_iter().map(|n| unless_failed(n, 5, Odd(n))).collect::<Vec<_>>();
                    Ok((!rules::is_null($n(this), 4)).then(list))
                });
                /// Lists in a list.
                lists => compute::<NoArguments, _>(|this, _, _| {
                    let list = |n| (!rules::is_null(n, 5)).then(|| rules::list(n).into_iter().map(number).collect::<Vec<_>>());
                    Ok(rules::list($n(this)).into_iter().map(list).collect::<Vec<_>>())
                });
                /// Numbers of both types, each of which may fail, and be null.
                numbers => compute::<NoArguments, _>(|this, _, _| {
                    let list = rules::list($n(this)).into_iter();
                    Ok(list.map(|n| unless_failed(n, 6, Some(number(n)))).collect::<Vec<_>>())
                });
            }
        }
    };
}

fn declare_interface<P: Object>(fields: &mut ObjectBuilder<'_, '_, P>) {
    fields.describe(&["A number, or the root."]);
    if P::name() != "Query" {
        fields.implements("Number");
    }
}

impl Object for Root {
    fn name() -> String {
        "Query".to_owned()
    }
    declare_fields!(Root, |_: &Root| 7);
}

impl Object for Even {
    fn name() -> String {
        "Even".to_owned()
    }
    declare_fields!(Even, |this: &Even| this.0);
}

impl Object for Odd {
    fn name() -> String {
        "Odd".to_owned()
    }
    declare_fields!(Odd, |this: &Odd| this.0);
}

/// The same rules, one object at a time.
struct Numbers;

impl World for Numbers {
    type Object = i64;

    fn root(&self) -> i64 {
        7
    }

    fn resolve<'a>(
        &'a self,
        object: &'a i64,
        _type_name: &'a str,
        field: &'a str,
        arguments: &'a [Argument],
    ) -> BoxFuture<'a, Resolved<i64>> {
        std::future::ready(resolve(*object, field, arguments)).boxed()
    }
}

fn resolve(n: i64, field: &str, arguments: &[Argument]) -> Resolved<i64> {
    use rules::{fails, is_null};
    let leaf = |n: i64| Resolved::Leaf(json!(n));
    let even = |n: i64| Resolved::Object(n, "Even".to_owned());
    let odd = |n: i64| Resolved::Object(n, "Odd".to_owned());
    let any = |n: i64| if n % 2 == 0 { even(n) } else { odd(n) };
    let failed = || Resolved::Failed(rules::MESSAGE.to_owned());
    let either = |is_it: bool, other: Resolved<i64>, value: Resolved<i64>| if is_it { other } else { value };
    let list =
        |n: i64, item: &dyn Fn(i64) -> Resolved<i64>| Resolved::List(rules::list(n).into_iter().map(item).collect());
    match field {
        "n" => leaf(n),
        "maybe" => either(is_null(n, 1), Resolved::Null, leaf(n)),
        "mayFail" => either(fails(n, 2), failed(), leaf(n)),
        "mustNotFail" => either(fails(n, 3), failed(), leaf(n)),
        "allFail" => failed(),
        "echo" => {
            let given =
                |name: &str| arguments.iter().find(|argument| argument.name == name).map(|found| &found.sample.json);
            let list = given("list").and_then(|value| match value {
                Value::Array(items) => Some(items.iter().filter_map(Value::as_i64).collect::<Vec<_>>()),
                // A value where a list is expected is a list of one.
                other => other.as_i64().map(|one| vec![one]),
            });
            let number = given("number").and_then(Value::as_i64).unwrap_or(7);
            Resolved::Leaf(json!(echo(number, given("text").and_then(Value::as_str), list.as_deref())))
        }
        "next" => even(rules::next(n)),
        "maybeNext" => either(is_null(n, 2), Resolved::Null, odd(rules::next(n))),
        "riskyNext" => either(fails(n, 4), failed(), even(rules::next(n))),
        "list" => list(n, &odd),
        "listOfMaybe" => list(n, &|n| either(is_null(n, 3), Resolved::Null, even(n))),
        "maybeListOfRisky" => {
            either(is_null(n, 4), Resolved::Null, list(n, &|n| either(fails(n, 5), failed(), odd(n))))
        }
        "lists" => list(n, &|n| either(is_null(n, 5), Resolved::Null, list(n, &any))),
        "numbers" => list(n, &|n| either(fails(n, 6), failed(), any(n))),
        other => panic!("no rule for {other}"),
    }
}

fn values(_field: &str, argument: &str, random: &mut Random) -> Option<Sample> {
    let sample = |literal: &str, json: Value, of| Some(Sample { literal: literal.to_owned(), json, of });
    match (argument, random.below(4)) {
        (_, 0) => None,
        ("number", n) => sample(&n.to_string(), json!(n), "Int!"),
        ("text", 1) => sample("null", Value::Null, "String"),
        ("text", _) => sample("\"a \\\"b\\\" ä\"", json!("a \"b\" ä"), "String"),
        ("list", 1) => sample("5", json!(5), "[Int!]"),
        ("list", 2) => sample("[]", json!([]), "[Int!]"),
        ("list", _) => sample("[1, 2]", json!([1, 2]), "[Int!]"),
        other => panic!("no value for {other:?}"),
    }
}

#[tokio::test]
async fn documents_over_faulty_fields_are_answered_as_the_reference_does() {
    let test = Backend::Sqlite.database().await;
    let settings = Settings {
        page_size_default: 50,
        page_size_max: 100,
        counts: CountStrategy::Live,
        queue_timeout: Duration::from_secs(60),
    };
    let loading = LoadLimits { keys_max: 100, statements_max: None };
    let limits = cost::Limits { objects: 10_000_000, ..cost::Limits::default() };
    let engine: Service<Root> = Service::new(
        (Root, EmptyRoot),
        test.db.clone(),
        settings,
        limits,
        loading,
        gatherum::graphql::load_cache::CacheConfig::default(),
        gatherum::documents::Config::default(),
    )
    .expect("a schema");
    let introspection = introspection_json::<Root, EmptyRoot, EmptyRoot>().expect("an answer");
    let schema = Schema::read(&serde_json::from_str(&introspection).expect("JSON"), values);

    let count = super::documents(DOCUMENTS);
    let compared = compare(&engine, &Numbers, &schema, 0x5e_ed0f_d0c5, count).await;

    assert!(compared * 10 >= count * 9, "only {compared} of {count} documents said something");
}
