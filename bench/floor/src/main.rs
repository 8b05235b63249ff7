//! The floor under gatherum: what the benchmark's queries cost when somebody writes a handler for each by hand.
//!
//! `POST /q1` … answers what gatherum answers to `bench/queries/q1.graphql` …, byte for byte, by the same SQL statements,
//! the same number of round trips and pools with the same settings. It reads the variables of a request and ignores the
//! document, which the path stands for. `POST /create` makes artifacts.
//!
//! Usage: `floor DATABASE_URL kept|live ADDRESS`
mod answer;
mod create;
mod db;
mod id;
mod statements;

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, Serialize};

use create::{New, Writer};
use db::Db;
use statements::Counts;

/// What all handlers share.
struct Floor {
    db: Db,
    writer: Writer,
    counts: Counts,
}

/// The body of a request that writes.
#[derive(Deserialize)]
struct Creation {
    artifacts: Vec<New>,
}

/// The body of a request, without the document.
#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    variables: Variables,
}

/// What a query can be asked with; the documents say the rest.
#[derive(Default, Deserialize)]
struct Variables {
    id: Option<String>,
    first: Option<i64>,
    after: Option<String>,
}

#[derive(Serialize)]
struct Answer<T> {
    data: T,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, counts, address] = arguments.as_slice() else { bail!("usage: floor DATABASE_URL kept|live ADDRESS") };
    let counts = match counts.as_str() {
        "kept" => Counts::Kept,
        "live" => Counts::Live,
        other => bail!("counts are kept or live, not {other}"),
    };
    let db = Db::open(url).await.context("cannot open the database")?;
    let writer = Writer::open(url).await.context("cannot open the database")?;
    let floor = Arc::new(Floor { db, writer, counts });
    /// A handler that answers with what the function of this name makes.
    macro_rules! handler {
        ($name:ident) => {
            post(async |State(floor): State<Arc<Floor>>, Json(request): Json<Request>| {
                respond(answer::$name(&floor, &request.variables).await)
            })
        };
    }
    let router = Router::new()
        .route("/q1", handler!(q1))
        .route("/q1_edges", handler!(q1_edges))
        .route("/q2", handler!(q2))
        .route("/q2_edges", handler!(q2_edges))
        .route("/q3", handler!(q3))
        .route("/q4", handler!(q4))
        .route("/create", post(create))
        .with_state(floor);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn create(State(floor): State<Arc<Floor>>, Json(creation): Json<Creation>) -> Response {
    respond(floor.writer.create(creation.artifacts).await)
}

fn respond<T: Serialize>(data: anyhow::Result<T>) -> Response {
    match data.and_then(|data| Ok(serde_json::to_vec(&Answer { data })?)) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], Bytes::from(json)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
