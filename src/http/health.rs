//! Health endpoints: liveness, readiness and the state of the database.
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::AppState;

/// Pool utilisation from which the database counts as degraded.
const UTILIZATION_DEGRADED: f64 = 0.7;

/// State of the database, as the health endpoints read it. Reading it neither waits nor uses the pool, so that a full pool
/// does not make the server unavailable.
pub trait DatabaseHealth: Send + Sync {
    /// Whether the database answers.
    fn is_available(&self) -> bool;

    /// Returns the current use of the connection pool.
    fn pool(&self) -> PoolUsage;
}

/// Use of a connection pool, in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// Open connections.
    pub size: u32,
    /// Connections in use by a statement.
    pub in_use: u32,
    /// Statements that are waiting for a connection.
    pub waiting: u32,
    /// Maximum number of connections.
    pub max: u32,
}

impl PoolUsage {
    /// Returns the fraction of connections in use, from 0 to 1.
    pub fn utilization(self) -> f64 {
        f64::from(self.in_use) / f64::from(self.max.max(1))
    }
}

/// `/health/live`: the process is running.
pub(super) async fn live() -> Response {
    respond(StatusCode::OK, &json!({ "status": "live" }))
}

/// `/health/ready`: the server is not shutting down and its database answers.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    if state.is_stopping() {
        return respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "stopping" }));
    }
    match state.inner.health.is_available() {
        true => respond(StatusCode::OK, &json!({ "status": "ready" })),
        false => {
            respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable", "database": "unavailable" }))
        }
    }
}

/// `/health/database`: the state of the database and its pool.
pub(super) async fn database(State(state): State<AppState>) -> Response {
    let pool = state.inner.health.pool();
    let (code, status) = match state.inner.health.is_available() {
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
    respond(code, &body)
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pool_has_no_utilization() {
        assert_eq!(PoolUsage { size: 0, in_use: 0, waiting: 0, max: 0 }.utilization(), 0.0);
        assert_eq!(PoolUsage { size: 10, in_use: 7, waiting: 0, max: 10 }.utilization(), 0.7);
    }
}
