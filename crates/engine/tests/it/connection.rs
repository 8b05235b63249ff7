//! Pages, cursors and page info.
use gatherum_engine::Code;
use serde_json::{Value, json};

use crate::schema::{data, engine, execute};

const PAGE: &str = "nodes { value } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

struct Page {
    values: Vec<i64>,
    /// `hasPreviousPage` and `hasNextPage`.
    more: (bool, bool),
    start: Option<String>,
    end: Option<String>,
}

async fn page(arguments: &str) -> Page {
    let response = data(&format!("{{ digits({arguments}) {{ {PAGE} }} }}")).await;
    let (nodes, info) = (&response["digits"]["nodes"], &response["digits"]["pageInfo"]);
    let cursor = |name: &str| info[name].as_str().map(str::to_owned);
    let flag = |name: &str| info[name].as_bool().expect("a flag");
    Page {
        values: nodes.as_array().expect("nodes").iter().map(|node| node["value"].as_i64().expect("a number")).collect(),
        more: (flag("hasPreviousPage"), flag("hasNextPage")),
        start: cursor("startCursor"),
        end: cursor("endCursor"),
    }
}

/// The cursor of a digit.
async fn cursor(digit: usize) -> String {
    let edges = data("{ digits(first: 10) { edges { cursor } } }").await;
    edges["digits"]["edges"][digit]["cursor"].as_str().expect("a cursor").to_owned()
}

#[tokio::test]
async fn pages_forward_know_what_precedes_and_follows() {
    let (three, eight, nine) = (cursor(3).await, cursor(8).await, cursor(9).await);
    let cases = [
        ("first: 4".to_owned(), vec![0, 1, 2, 3], (false, true)),
        ("first: 10".to_owned(), (0..10).collect(), (false, false)),
        (format!("first: 2, after: \"{three}\""), vec![4, 5], (true, true)),
        (format!("first: 2, after: \"{eight}\""), vec![9], (true, false)),
        (format!("first: 2, after: \"{nine}\""), vec![], (true, false)),
        (format!("first: 2, before: \"{three}\""), vec![0, 1], (false, true)),
        (format!("first: 3, before: \"{three}\""), vec![0, 1, 2], (false, false)),
        (format!("after: \"{three}\", before: \"{nine}\""), vec![4, 5, 6], (true, true)),
        (format!("first: 5, after: \"{three}\", before: \"{nine}\""), vec![4, 5, 6, 7, 8], (true, false)),
        ("first: 0".to_owned(), vec![], (false, true)),
    ];
    for (arguments, values, more) in cases {
        let page = page(&arguments).await;

        assert_eq!((page.values, page.more), (values, more), "{arguments}");
    }
}

#[tokio::test]
async fn pages_backward_know_what_precedes_and_follows() {
    let (zero, three, nine) = (cursor(0).await, cursor(3).await, cursor(9).await);
    let cases = [
        ("last: 4".to_owned(), vec![6, 7, 8, 9], (true, false)),
        ("last: 10".to_owned(), (0..10).collect(), (false, false)),
        (format!("last: 2, before: \"{three}\""), vec![1, 2], (true, true)),
        (format!("last: 3, before: \"{three}\""), vec![0, 1, 2], (false, true)),
        (format!("last: 2, before: \"{zero}\""), vec![], (false, true)),
        (format!("last: 9, after: \"{three}\""), vec![4, 5, 6, 7, 8, 9], (false, false)),
        (format!("before: \"{nine}\""), vec![6, 7, 8], (true, true)),
        (format!("last: 2, after: \"{three}\", before: \"{nine}\""), vec![7, 8], (true, true)),
    ];
    for (arguments, values, more) in cases {
        let page = page(&arguments).await;

        assert_eq!((page.values, page.more), (values, more), "{arguments}");
    }
}

#[tokio::test]
async fn start_and_end_are_the_cursors_of_the_first_and_last_edge() {
    for arguments in ["first: 3", "last: 3"] {
        let page = page(arguments).await;

        let (first, last) = (page.values[0] as usize, page.values[2] as usize);
        assert_eq!((page.start, page.end), (Some(cursor(first).await), Some(cursor(last).await)), "{arguments}");
    }
    let empty = page("first: 0").await;
    assert_eq!((empty.start, empty.end), (None, None));
}

#[tokio::test]
async fn pages_of_any_size_and_direction_fit_together() {
    for (count, place) in [("first", "after"), ("last", "before")] {
        for size in [1, 3, 10] {
            let (mut values, mut arguments) = (Vec::new(), format!("{count}: {size}"));
            // A cursor that does not proceed ends the loop, and the test fails.
            for _page in 0..10 {
                let page = page(&arguments).await;
                let (has_more, next) =
                    if count == "first" { (page.more.1, page.end) } else { (page.more.0, page.start) };
                if count == "first" {
                    values.extend(page.values)
                } else {
                    drop(values.splice(0..0, page.values))
                }
                if !has_more {
                    break;
                }
                arguments = format!("{count}: {size}, {place}: \"{}\"", next.expect("a cursor"));
            }

            assert_eq!(values, (0..10).collect::<Vec<_>>(), "{count} {size}");
        }
    }
}

#[tokio::test]
async fn edges_have_a_place_if_the_page_begins_at_the_start() {
    let five = cursor(5).await;
    let cases = [
        ("first: 2".to_owned(), json!([0, 1])),
        (format!("first: 2, after: \"{five}\""), json!([null, null])),
        ("last: 2".to_owned(), json!([null, null])),
    ];
    for (arguments, places) in cases {
        let response = data(&format!("{{ digits({arguments}) {{ edges {{ place node {{ value }} }} }} }}")).await;

        let edges = response["digits"]["edges"].as_array().expect("edges");
        assert_eq!(edges.iter().map(|edge| edge["place"].clone()).collect::<Value>(), places, "{arguments}");
    }
}

#[tokio::test]
async fn fields_of_a_connection_share_one_page_in_one_round() {
    let outcome = execute("{ digits { edges { cursor } nodes { value } pageInfo { endCursor } totalCount } }").await;

    assert_eq!(outcome.data["digits"]["totalCount"], 10);
    assert_eq!(outcome.log, ["page", "total"]);
    assert_eq!(outcome.report.rounds, 1);
}

#[tokio::test]
async fn the_size_of_a_page_is_limited() {
    let without_arguments = data("{ digits { nodes { value } } }").await;
    assert_eq!(without_arguments["digits"]["nodes"], json!([{ "value": 0 }, { "value": 1 }, { "value": 2 }]));
    let cases = [
        ("first: 11", "`first` is 11, at most 10"),
        ("last: 11", "`last` is 11, at most 10"),
        ("first: -1", "`first` must not be negative"),
        ("first: 1, last: 1", "not both"),
        ("first: 2147483647", "at most 10"),
        ("after: \"x\"", "not a cursor"),
        ("before: \"x\"", "not a cursor"),
    ];
    for (arguments, message) in cases {
        let outcome = execute(&format!("{{ digits({arguments}) {{ totalCount }} }}")).await;

        assert_eq!(outcome.errors, [(json!(["digits"]), Code::BadUserInput)], "{arguments}");
        assert!(outcome.messages[0].contains(message), "{arguments}: {:?}", outcome.messages);
        assert_eq!(outcome.data, Value::Null);
    }
}

#[test]
fn a_connection_has_the_types_of_the_relay_specification() {
    let engine = engine();
    let sdl = engine.sdl().expect("introspection is enabled");

    for line in [
        "type DigitConnection {",
        "A page of digits.",
        "edges: [DigitEdge!]!",
        "nodes: [Number!]!",
        "pageInfo: PageInfo!",
        "totalCount: Int!",
        "type DigitEdge {",
        "cursor: String!",
        "node: Number!",
        "type PageInfo {",
        "hasNextPage: Boolean!",
        "hasPreviousPage: Boolean!",
        "startCursor: String\n",
        "endCursor: String\n",
    ] {
        assert!(sdl.contains(line), "{line}");
    }
}
