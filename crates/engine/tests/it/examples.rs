//! The examples do what their documentation promises.
#[expect(dead_code, reason = "the program's main function")]
#[path = "../../examples/http_loader.rs"]
mod http_loader;
#[expect(dead_code, reason = "the program's main function")]
#[path = "../../examples/in_memory.rs"]
mod in_memory;

use gatherum_engine::Code;
use http_loader::PriceApi;
use serde_json::{Value, json};

const PRODUCTS: &str = "{ products { title price } }";

#[tokio::test]
async fn the_library_in_memory_takes_three_rounds() {
    let (data, report) = in_memory::execute(in_memory::QUERY).await;

    let data: Value = serde_json::from_str(&data).expect("JSON");
    let runs: Vec<_> = report.runs.iter().map(|run| (run.name, run.keys)).collect();
    assert_eq!(
        data["authors"][1]["books"],
        json!({
            "totalCount": 3,
            "nodes": [
                { "title": "Middlemarch", "author": { "name": "George Eliot" } },
                { "title": "Romola", "author": { "name": "George Eliot" } },
            ],
            "pageInfo": { "hasNextPage": true },
        })
    );
    assert_eq!(report.rounds, 3);
    assert_eq!(runs, [("Query.authors", 1), ("Author.books", 2), ("Author.books.totalCount", 2), ("Book.author", 2)]);
}

#[tokio::test]
async fn pages_of_the_library_begin_and_end_at_cursors() {
    let page = async |arguments: &str| {
        let query = format!(
            "{{ authors {{ books({arguments}) {{ nodes {{ title }} pageInfo {{ startCursor hasNextPage hasPreviousPage }} }} }} }}"
        );
        let (data, _) = in_memory::execute(&query).await;
        serde_json::from_str::<Value>(&data).expect("JSON")["authors"][0]["books"].clone()
    };
    let last = page("last: 1").await;
    let cursor = last["pageInfo"]["startCursor"].as_str().expect("a cursor").to_owned();

    let before = page(&format!("last: 1, before: \"{cursor}\"")).await;
    let after = page(&format!("first: 1, after: \"{cursor}\"")).await;

    assert_eq!(last["nodes"], json!([{ "title": "Sanditon" }]));
    assert_eq!(before["nodes"], json!([{ "title": "Persuasion" }]));
    assert_eq!(
        (&before["pageInfo"]["hasNextPage"], &before["pageInfo"]["hasPreviousPage"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(after["nodes"], json!([]));
}

#[tokio::test]
async fn a_hundred_and_twenty_prices_take_three_requests_in_one_round() {
    let api = PriceApi::default();

    let (outcome, report) = http_loader::execute(PRODUCTS, 120, api.serve().await).await;

    let data: Value = serde_json::from_slice(&outcome.data.expect("data")).expect("JSON");
    let runs: Vec<_> = report.runs.iter().map(|run| (run.name, run.keys)).collect();
    assert_eq!(data["products"].as_array().map(Vec::len), Some(120));
    assert_eq!(data["products"][119], json!({ "title": "product 119", "price": 219 }));
    assert_eq!((api.requests(), report.rounds), (3, 1));
    assert_eq!(runs, [("Product.price", 50), ("Product.price", 50), ("Product.price", 20), ("Product.title", 120)]);
}

#[tokio::test]
async fn a_failing_api_fails_the_fields_that_waited_for_it_and_nothing_else() {
    let api = PriceApi::default();
    let url = api.serve().await;
    api.break_down();

    let (outcome, report) = http_loader::execute(PRODUCTS, 2, url).await;

    let data: Value = serde_json::from_slice(&outcome.data.expect("data")).expect("JSON");
    let errors: Vec<_> = outcome.errors.iter().map(|error| (error.error.code, serde_json::json!(error.path))).collect();
    assert_eq!(
        data,
        json!({ "products": [{ "title": "product 0", "price": null }, { "title": "product 1", "price": null }] })
    );
    assert_eq!(
        errors,
        [(Code::Unavailable, json!(["products", 0, "price"])), (Code::Unavailable, json!(["products", 1, "price"])),]
    );
    assert_eq!((api.requests(), report.rounds), (1, 1));
}

#[test]
fn code_in_the_readme_is_that_of_the_examples() {
    let examples = [include_str!("../../examples/in_memory.rs"), include_str!("../../examples/http_loader.rs")];
    let blocks = include_str!("../../README.md").split("```").skip(1).step_by(2);
    let code = blocks.filter_map(|block| block.strip_prefix("rust\n").or(block.strip_prefix("graphql\n")));
    let code: Vec<&str> = code.map(str::trim_end).collect();

    assert_eq!(code.len(), 4);
    for block in code {
        assert!(examples.iter().any(|example| example.contains(block)), "not in an example:\n{block}");
    }
}
