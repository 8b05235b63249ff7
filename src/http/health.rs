//! Whether the server lives, is ready, and how its database is.
use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Site;

/// How long the database may take to answer that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Share of the pool in use from which on the database counts as degraded.
const UTILIZATION_DEGRADED: f64 = 0.7;

/// What the health endpoints ask.
#[async_trait::async_trait]
pub trait Health: Send + Sync {
    /// Whether the database answers.
    async fn is_answering(&self) -> bool;

    /// How much of its pool is in use.
    fn pool(&self) -> Pool;
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Connections that are open.
    pub size: u32,
    /// Connections that a statement is using.
    pub in_use: u32,
    /// Statements that wait for a connection.
    pub waiting: u32,
    /// Connections there may be at most.
    pub max: u32,
}

impl Pool {
    /// The share in use, from 0 to 1.
    pub fn utilization(self) -> f64 {
        f64::from(self.in_use) / f64::from(self.max.max(1))
    }
}

/// The process runs.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "status": "live" }))
}

/// The server takes requests: it is not about to stop, and its database answers.
pub(super) async fn ready(State(site): State<Site>) -> Response {
    if site.inner.is_stopping.load(Ordering::Relaxed) {
        return answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "stopping" }));
    }
    match is_answering(&site).await {
        true => answer(StatusCode::OK, &json!({ "status": "ready" })),
        false => {
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable", "database": "unavailable" }))
        }
    }
}

/// The database and its pool.
pub(super) async fn database(State(site): State<Site>) -> Response {
    let pool = site.inner.health.pool();
    let (code, status) = match is_answering(&site).await {
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        true if pool.utilization() < UTILIZATION_DEGRADED => (StatusCode::OK, "healthy"),
        true => (StatusCode::OK, "degraded"),
    };
    let body = json!({
        "status": status,
        "size": pool.size,
        "in_use": pool.in_use,
        "idle": pool.size.saturating_sub(pool.in_use),
        "waiting": pool.waiting,
        "max": pool.max,
        "utilization": (pool.utilization() * 1_000.0).round() / 1_000.0,
    });
    answer(code, &body)
}

async fn is_answering(site: &Site) -> bool {
    tokio::time::timeout(PING_TIMEOUT, site.inner.health.is_answering()).await.unwrap_or(false)
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}
