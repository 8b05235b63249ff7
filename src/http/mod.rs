//! HTTP: connections, GraphQL over HTTP, GraphiQL, health.
mod config;
mod console;
mod frame;
mod graphql;
mod health;
mod negotiation;
mod server;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router, middleware,
    routing::{any, get},
};
use tokio::sync::Semaphore;
use tower_http::compression::{CompressionLayer, predicate::SizeAbove};

use crate::graphql::Execute;

pub use config::Config;
pub use health::{Health, Pool};
pub use server::run;

/// Bytes of an answer from which on it is compressed for clients that take it so.
const COMPRESSED_FROM: u64 = 1_024;

/// What every handler has.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    execute: Arc<dyn Execute>,
    health: Arc<dyn Health>,
    executing: Semaphore,
    is_stopping: AtomicBool,
}

impl Site {
    /// A site that answers with `execute`.
    pub fn new(config: Config, execute: Arc<dyn Execute>, health: Arc<dyn Health>) -> Self {
        let executing = Semaphore::new(config.executing);
        let inner = Inner { config, execute, health, executing, is_stopping: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// From now on the site says that it is not ready, so that nothing new is sent to it.
    pub fn stop(&self) {
        self.inner.is_stopping.store(true, Ordering::Relaxed);
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    /// All routes.
    pub fn router(&self) -> Router {
        let compression = CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM));
        let mut router = Router::new()
            .route("/graphql", any(graphql::answer))
            .route("/schema.graphql", get(graphql::schema))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .route("/health/database", get(health::database))
            .route_layer(compression);
        if self.config().graphiql {
            router = router.merge(console::router());
        }
        router
            .fallback(frame::not_found)
            .layer(middleware::from_fn_with_state(self.clone(), frame::frame))
            .with_state(self.clone())
    }
}
