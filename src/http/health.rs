//! Health endpoints: liveness, readiness and the state of the database.
use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::AppState;

/// Time limit for a ping of the database.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for which the result of a ping is reused, so that health checks put no load on the database.
const PING_HOLDS: Duration = Duration::from_millis(250);

/// Pool utilisation from which the database counts as degraded.
const UTILIZATION_DEGRADED: f64 = 0.7;

/// State of the database, as the health endpoints read it.
#[async_trait::async_trait]
pub trait DatabaseHealth: Send + Sync {
    /// Whether the database responds to a ping.
    async fn is_answering(&self) -> bool;

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

/// Result and time of the last ping of the database. Concurrent callers share one ping.
#[derive(Default)]
pub(super) struct PingCache(Mutex<Option<(Instant, bool)>>);

impl PingCache {
    async fn check(&self, health: &dyn DatabaseHealth) -> bool {
        let mut last = self.0.lock().await;
        if let Some((when, is_answering)) = *last
            && when.elapsed() < PING_HOLDS
        {
            return is_answering;
        }
        let is_answering = timeout(PING_TIMEOUT, health.is_answering()).await.unwrap_or(false);
        *last = Some((Instant::now(), is_answering));
        is_answering
    }
}

/// `/health/live`: the process is running.
pub(super) async fn live() -> Response {
    respond(StatusCode::OK, &json!({ "status": "live" }))
}

/// `/health/ready`: the server is not shutting down and its database responds.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    if state.is_stopping() {
        return respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "stopping" }));
    }
    match is_answering(&state).await {
        true => respond(StatusCode::OK, &json!({ "status": "ready" })),
        false => {
            respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable", "database": "unavailable" }))
        }
    }
}

/// `/health/database`: the state of the database and its pool.
pub(super) async fn database(State(state): State<AppState>) -> Response {
    let pool = state.inner.health.pool();
    let (code, status) = match is_answering(&state).await {
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

async fn is_answering(state: &AppState) -> bool {
    state.inner.ping.check(&*state.inner.health).await
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A database that counts its pings and delays each.
    struct Slow {
        pings: AtomicU32,
        delay: Duration,
    }

    #[async_trait::async_trait]
    impl DatabaseHealth for Slow {
        async fn is_answering(&self) -> bool {
            self.pings.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.delay).await;
            true
        }

        fn pool(&self) -> PoolUsage {
            PoolUsage { size: 0, in_use: 0, waiting: 0, max: 0 }
        }
    }

    fn slow(delay: Duration) -> Slow {
        Slow { pings: AtomicU32::new(0), delay }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_checks_share_a_ping() {
        let (ping, slow) = (PingCache::default(), slow(Duration::from_millis(10)));

        let results = futures_util::future::join_all((0..100).map(|_| ping.check(&slow))).await;
        assert!(results.into_iter().all(|is_answering| is_answering));
        assert_eq!(slow.pings.load(Ordering::Relaxed), 1);

        tokio::time::advance(PING_HOLDS).await;
        assert!(ping.check(&slow).await);
        assert_eq!(slow.pings.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_without_a_response_times_out() {
        let start = Instant::now();

        assert!(!PingCache::default().check(&slow(Duration::MAX)).await);
        assert_eq!(start.elapsed(), PING_TIMEOUT);
    }

    #[test]
    fn an_empty_pool_has_no_utilization() {
        assert_eq!(PoolUsage { size: 0, in_use: 0, waiting: 0, max: 0 }.utilization(), 0.0);
        assert_eq!(PoolUsage { size: 10, in_use: 7, waiting: 0, max: 10 }.utilization(), 0.7);
    }
}
