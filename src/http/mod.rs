//! HTTP: connections, GraphQL over HTTP, GraphiQL, health.
mod authentication;
mod config;
mod connection;
mod content_coding;
mod cors;
mod execution;
mod executor;
mod graphiql;
mod graphql;
mod health;
mod multipart;
mod negotiation;
mod origin;
mod parameters;
mod rate_limit;
mod rejection;
mod request_body;
mod request_layer;
mod request_log;
mod response_body;
mod server;
mod share_link;
mod sse;
mod status;
mod streamed_response;
mod subscription_slot;
#[cfg(test)]
mod tests;
mod websocket;

use std::sync::Arc;

use axum::{
    Router,
    http::{Extensions, HeaderMap, HeaderName, StatusCode, Version},
    middleware,
    routing::{any, get},
};
use tokio::sync::{Semaphore, watch};
use tower_http::compression::{
    CompressionLayer,
    predicate::{Predicate, SizeAbove},
};

use crate::graphql::Execute;

pub use authentication::Authenticate;
pub use config::Config;
pub use cors::Origin;
pub use executor::EngineExecutor;
pub use health::{DatabaseHealth, PoolUsage};
pub use server::run;

/// Minimum size of a response, in bytes, to be compressed.
const COMPRESSED_SIZE_MIN: u64 = 1_024;

/// State that all handlers share.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    execute: Arc<dyn Execute>,
    authenticate: Arc<dyn Authenticate>,
    health: Arc<dyn DatabaseHealth>,
    /// A document that resolves the share token `$token` as `shared`.
    share_document: &'static str,
    rate_limits: rate_limit::RateLimits,
    /// A permit for each running request.
    concurrent_requests: Semaphore,
    /// A permit for each byte of large request bodies.
    request_budget: Semaphore,
    response_budget: response_body::MemoryBudget,
    subscription_slots: subscription_slot::SubscriptionSlots,
    stopping: watch::Sender<bool>,
}

impl AppState {
    /// Creates the state. `share_document` resolves the share token `$token` as `shared`.
    pub fn new(
        config: Config,
        execute: Arc<dyn Execute>,
        share_document: &'static str,
        authenticate: Arc<dyn Authenticate>,
        health: Arc<dyn DatabaseHealth>,
    ) -> Self {
        let inner = Inner {
            rate_limits: rate_limit::RateLimits::new(&config),
            concurrent_requests: Semaphore::new(config.concurrent_requests),
            request_budget: Semaphore::new(config.body_bytes_total),
            response_budget: response_body::MemoryBudget::new(config.response_bytes_total),
            subscription_slots: subscription_slot::SubscriptionSlots::new(&config),
            stopping: watch::Sender::new(false),
            config,
            execute,
            authenticate,
            health,
            share_document,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts the shutdown: `/health/ready` reports that the server is not ready.
    pub fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    /// Completes when the shutdown starts.
    fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.inner.stopping.subscribe();
        async move {
            // An error means that the state was dropped, which also ends the server.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Returns the router with all routes and layers.
    pub fn router(&self) -> Router {
        // Compression would delay the events of streamed responses.
        let is_complete = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
            extensions.get::<streamed_response::Streamed>().is_none()
        };
        let is_compressible = SizeAbove::new(COMPRESSED_SIZE_MIN).and(is_complete);
        let compression = CompressionLayer::new().compress_when(is_compressible);
        let mut router = Router::new()
            .route("/graphql", any(graphql::handle))
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

/// Returns the value of a header if it is present and text.
fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
