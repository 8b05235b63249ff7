//! HTTP: connections, GraphQL over HTTP, GraphiQL, health.
mod authentication;
mod config;
mod connection;
mod cors;
mod graphiql;
mod graphql;
mod health;
mod negotiation;
mod origin;
mod parameters;
mod rate_limit;
mod rejection;
mod request_body;
mod request_layer;
mod response_body;
mod server;
mod share_link;
mod sse;
mod status;
#[cfg(test)]
mod tests;
mod websocket;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderName},
    middleware,
    routing::{any, get},
};
use tokio::sync::{Semaphore, watch};
use tower_http::compression::{
    CompressionLayer,
    predicate::{NotForContentType, Predicate, SizeAbove},
};

use crate::graphql::Execute;

pub use authentication::Authenticate;
pub use config::Config;
pub use cors::Origin;
pub use health::{DatabaseHealth, PoolUsage};
pub use server::run;

/// Bytes of an answer from which on it is compressed for clients that take it so.
const COMPRESSED_FROM: u64 = 1_024;

/// What every handler has.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    execute: Arc<dyn Execute>,
    access: Arc<dyn Authenticate>,
    health: Arc<dyn DatabaseHealth>,
    /// Asks what a link's `$token` leads to, as `shared`.
    share_document: &'static str,
    /// How often one who asks may ask.
    rate: rate_limit::RateLimits,
    /// What a recent ping of the database said.
    ping: health::PingCache,
    /// A permit for each request that is executed.
    executing: Semaphore,
    /// A permit for each byte of large bodies.
    bodies: Semaphore,
    /// Room for large answers that are not read yet.
    answers: response_body::MemoryBudget,
    /// A permit for each who follows, over a socket or by events.
    followers: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl AppState {
    /// A site that answers with `execute`; `share_document` asks what the link with a `$token` leads to, as `shared`.
    pub fn new(
        config: Config,
        execute: Arc<dyn Execute>,
        share_document: &'static str,
        access: Arc<dyn Authenticate>,
        health: Arc<dyn DatabaseHealth>,
    ) -> Self {
        let inner = Inner {
            rate: rate_limit::RateLimits::new(&config),
            executing: Semaphore::new(config.executing),
            bodies: Semaphore::new(config.body_bytes_total),
            answers: response_body::MemoryBudget::new(config.answer_bytes_total),
            ping: health::PingCache::default(),
            followers: Arc::new(Semaphore::new(config.followers)),
            stopping: watch::Sender::new(false),
            config,
            execute,
            access,
            health,
            share_document,
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on the site says that it is not ready, so that nothing new is sent to it.
    pub fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    /// Waits until the site stops.
    fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.inner.stopping.subscribe();
        async move {
            // It fails where the site is gone, which is an end too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    /// All routes.
    pub fn router(&self) -> Router {
        let compression =
            CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM).and(NotForContentType::SSE));
        let mut router = Router::new()
            .route("/graphql", any(graphql::answer))
            .route("/graphql/ws", get(websocket::open))
            .route("/s/{token}", get(share_link::open))
            .route("/schema.graphql", get(graphql::schema))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .route("/health/database", get(health::database))
            .route_layer(compression);
        if self.config().graphiql {
            router = router.merge(graphiql::router());
        }
        router = router.fallback(request_layer::not_found);
        if !self.config().cors_origins.is_empty() {
            router = router.layer(cors::layer(&self.config().cors_origins));
        }
        router
            .layer(middleware::from_fn_with_state(self.clone(), request_layer::request_layer))
            .with_state(self.clone())
    }
}

/// A header's value, where it has one that is text.
fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
