//! A relationship whose values come from an HTTP API that accepts at most 50 ids in one request.
//!
//! Its batch function takes part in the same rounds as a relationship in memory: both are loaded while the other is.
//!
//! ```sh
//! cargo run -p gatherum-engine --example http_loader
//! ```
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use gatherum_engine::{
    BatchFn, Code, Context, Engine, Error, ExecutionOutcome, PageSizes, Result,
    async_graphql::Variables,
    batch_loader,
    cost::Limits,
    fields,
    loading::{LoadLimits, LoadReport, fail_all},
    object::{EmptyRoot, NoArguments, Object, ObjectBuilder},
};

/// The maximum number of ids in one request of the price API.
const IDS_MAX: usize = 50;

/// The data source of the batch functions: an HTTP client, and titles in memory.
pub struct Shop {
    client: reqwest::Client,
    prices_url: String,
}

/// `Product.price`, from the price API.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Price;

struct PriceBatch<'a>(&'a Shop);

impl BatchFn<i64, Result<Option<i64>>> for PriceBatch<'_> {
    async fn load(&mut self, ids: &[i64]) -> HashMap<i64, Result<Option<i64>>> {
        match self.prices(ids).await {
            Ok(prices) => ids.iter().copied().zip(prices.into_iter().map(|price| Ok(Some(price)))).collect(),
            Err(cause) => {
                let error = Error::new(Code::Unavailable, "prices are not available").caused_by(cause);
                fail_all(ids, &error)
            }
        }
    }
}

impl PriceBatch<'_> {
    async fn prices(&self, ids: &[i64]) -> reqwest::Result<Vec<i64>> {
        let request = self.0.client.post(&self.0.prices_url).json(ids);
        request.send().await?.error_for_status()?.json().await
    }
}

// A round with more keys than `keys_max` takes several calls, which run concurrently.
batch_loader! {
    Price: i64 => Option<i64>, name: "Product.price", keys_max: IDS_MAX,
    batch: |_loader, request| PriceBatch(request.source())
}

/// `Product.title`, from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Title;

struct TitleBatch;

impl BatchFn<i64, Result<String>> for TitleBatch {
    async fn load(&mut self, ids: &[i64]) -> HashMap<i64, Result<String>> {
        ids.iter().map(|id| (*id, Ok(format!("product {id}")))).collect()
    }
}

batch_loader! {
    Title: i64 => String, name: "Product.title", batch: |_loader, _request| TitleBatch
}

/// The root of queries. It has this many products.
#[derive(Clone)]
pub struct Query(pub i64);

impl Object for Query {
    const NAME: &'static str = "Query";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Reads the shop.
            type;
            /// All products.
            products => compute::<NoArguments, _>(|query, _, _| Ok((0..query.0).map(Product).collect::<Vec<_>>()));
        }
    }
}

#[derive(Clone)]
struct Product(i64);

impl Object for Product {
    const NAME: &'static str = "Product";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A product.
            type;
            /// The title.
            title => load::<NoArguments, _, _>(|product| product.0, |_, _, _| Ok(Title), |title| title);
            /// The price in cents; null if the price API does not answer.
            price => load::<NoArguments, _, _>(|product| product.0, |_, _, _| Ok(Price), |price| price);
        }
    }
}

/// The price API.
#[derive(Clone, Default)]
pub struct PriceApi {
    requests: Arc<AtomicUsize>,
    is_broken: Arc<AtomicBool>,
}

impl PriceApi {
    /// Serves the API on a free port of this machine, and returns its URL.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/prices", listener.local_addr().expect("the listener has an address"));
        let router = Router::new().route("/prices", post(prices)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Answers every request with status 503 from now on.
    pub fn break_down(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

async fn prices(
    State(api): State<PriceApi>,
    Json(ids): Json<Vec<i64>>,
) -> std::result::Result<Json<Vec<i64>>, StatusCode> {
    api.requests.fetch_add(1, Ordering::Relaxed);
    if api.is_broken.load(Ordering::Relaxed) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    if ids.len() > IDS_MAX {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(Json(ids.into_iter().map(|id| 100 + id).collect()))
}

/// Executes a query over `products` products.
pub async fn execute(query: &str, products: i64, prices_url: String) -> (ExecutionOutcome, LoadReport) {
    let engine: Engine<Query> = Engine::new(Query(products), EmptyRoot, Limits::default()).expect("a valid schema");
    let shop = Shop { client: reqwest::Client::new(), prices_url };
    let context = Context::new(shop, (), LoadLimits::default(), PageSizes { default: 50, max: 100 });

    let prepared = engine.prepare(query, None, &Variables::default(), |_kind| Ok(()));
    let outcome = engine.execute(&prepared.expect("the query is valid"), &context).await;
    (outcome, context.rounds.report())
}

/// Loads 120 prices and prints how many requests that takes.
#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let api = PriceApi::default();
    let url = api.serve().await;

    let (outcome, report) = execute("{ products { title price } }", 120, url).await;

    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    println!("120 prices: {} HTTP requests in {} round", api.requests(), report.rounds);
    for run in &report.runs {
        println!("  {} for {} keys", run.name, run.keys);
    }
}
