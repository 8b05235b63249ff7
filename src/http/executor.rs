//! Adapter from [`Execute`] to the [`Executor`] trait of async-graphql, which its HTTP integrations require.
use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use async_graphql::{Data, Executor, ServerError, Value as ConstValue, Variables};
use futures_util::{
    StreamExt,
    future::ready,
    stream::{self, BoxStream},
};

use gatherum_engine::gatherum_document::{async_graphql_to_json, json_to_async_graphql};
use serde::Deserialize;

use crate::{
    access::Viewer,
    graphql::{DocumentId, Execute, Request, Response},
};

/// Executes requests of async-graphql's services, such as `async_graphql_axum::GraphQL`.
///
/// The viewer is the [`Viewer`] in the data of the request or, if it has none, in the data of the connection; without
/// either, the request is anonymous. Extensions of requests are ignored, except `idempotencyKey` and those that identify a
/// persisted document. The adapter applies no limits: wrap the inner [`Execute`] for that.
#[derive(Clone)]
pub struct EngineExecutor(Arc<dyn Execute>);

impl EngineExecutor {
    /// Creates an executor over `execute`.
    pub fn new(execute: Arc<dyn Execute>) -> Self {
        Self(execute)
    }
}

impl Executor for EngineExecutor {
    async fn execute(&self, request: async_graphql::Request) -> async_graphql::Response {
        convert_response(&self.0.execute(convert_request(request, None)).await)
    }

    fn execute_stream(
        &self,
        request: async_graphql::Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, async_graphql::Response> {
        let started = self.0.clone().subscribe(convert_request(request, session_data.as_deref()));
        let responses = async { started.await.unwrap_or_else(|response| stream::once(ready(response)).boxed()) };
        stream::once(responses).flatten().map(|response| convert_response(&response)).boxed()
    }
}

fn convert_request(request: async_graphql::Request, session_data: Option<&Data>) -> Request {
    let viewer = viewer_of(&request.data).or_else(|| session_data.and_then(viewer_of));
    let idempotency_key = match request.extensions.get("idempotencyKey") {
        Some(async_graphql::Value::String(key)) => Some(key.clone()),
        Some(async_graphql::Value::Null) | None => None,
        // The key is invalid, so the request is rejected instead of executed without one.
        Some(_) => Some(String::new()),
    };
    Request {
        document_id: document_id(&request.extensions),
        query: request.query,
        operation_name: request.operation_name.filter(|name| !name.is_empty()),
        variables: Variables::from_value(with_numbers(request.variables.into())),
        idempotency_key,
        viewer: viewer.unwrap_or(Viewer::ANONYMOUS),
        ..Request::default()
    }
}

/// The identifier of the document. async-graphql's requests have no other place for `documentId` than the extensions.
fn document_id(extensions: &async_graphql::Extensions) -> Option<DocumentId> {
    let [document_id, doc_id, persisted_query] = ["documentId", "doc_id", "persistedQuery"]
        .map(|name| extensions.get(name).map(|value| async_graphql_to_json(&with_numbers(value.clone()))));
    DocumentId::of_parameters(document_id.as_ref(), doc_id.as_ref(), persisted_query.as_ref())
}

fn viewer_of(data: &Data) -> Option<Viewer> {
    let viewer: &(dyn Any + Send + Sync) = &**data.get(&TypeId::of::<Viewer>())?;
    viewer.downcast_ref().copied()
}

/// Parses the body, because async-graphql's response is a tree of values.
fn convert_response(response: &Response) -> async_graphql::Response {
    parse_response(&response.body).unwrap_or_else(|error| {
        async_graphql::Response::from_errors(vec![ServerError::new(format!("invalid response: {error}"), None)])
    })
}

fn parse_response(body: &[u8]) -> serde_json::Result<async_graphql::Response> {
    let mut response: serde_json::Value = serde_json::from_slice(body)?;
    let data = response.get_mut("data").map(serde_json::Value::take).unwrap_or_default();
    let mut response = async_graphql::Response::deserialize(response)?;
    response.data = json_to_async_graphql(data);
    Ok(response)
}

/// Restores numbers: serde_json presents those of a text as objects to async-graphql's types, because they may need more
/// digits than Rust's numbers have.
fn with_numbers(value: ConstValue) -> ConstValue {
    const NUMBER: &str = "$serde_json::private::Number";
    match value {
        ConstValue::Object(fields) => match (fields.len(), fields.get(NUMBER)) {
            (1, Some(ConstValue::String(digits))) => digits.parse().map_or(ConstValue::Null, ConstValue::Number),
            _ => ConstValue::Object(fields.into_iter().map(|(name, value)| (name, with_numbers(value))).collect()),
        },
        ConstValue::List(items) => ConstValue::List(items.into_iter().map(with_numbers).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql_axum::GraphQL;
    use axum::Router;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{access::TokenScope, graphql::Responses, http::tests::executed};

    /// Responds with the request it received and with an error.
    struct Echo;

    #[async_trait::async_trait]
    impl Execute for Echo {
        async fn execute(&self, request: Request) -> Response {
            let data = json!({
                "query": request.query,
                "operation": request.operation_name,
                "variables": request.variables,
                "viewer": if request.viewer == Viewer::ANONYMOUS { "anonymous" } else { "known" },
            });
            let body = json!({ "data": data, "errors": errors(), "extensions": { "n": 9_007_199_254_740_993_i64 } });
            Response { body: body.to_string().into(), ..executed("{}") }
        }

        async fn subscribe(self: Arc<Self>, request: Request) -> Result<Responses, Response> {
            let (first, second) = (self.execute(request).await, executed("2"));
            Ok(stream::iter([first, second]).boxed())
        }

        fn sdl(&self) -> Option<&str> {
            None
        }
    }

    fn errors() -> Value {
        let location = json!({ "line": 1, "column": 2 });
        json!([{ "message": "m", "locations": [location], "path": ["a", 0], "extensions": { "code": "NOT_FOUND" } }])
    }

    fn request() -> Value {
        json!({ "query": "{ a }", "operationName": "o", "variables": { "v": [1, 2.5, "x", -3] }, "extensions": { "e": 1 } })
    }

    fn response(viewer: &str) -> Value {
        let variables = json!({ "v": [1, 2.5, "x", -3] });
        let data = json!({ "query": "{ a }", "operation": "o", "variables": variables, "viewer": viewer });
        json!({ "data": data, "errors": errors(), "extensions": { "n": 9_007_199_254_740_993_i64 } })
    }

    #[tokio::test]
    async fn requests_and_responses_are_converted_without_loss() {
        let executor = EngineExecutor::new(Arc::new(Echo));
        let request = || serde_json::from_value::<async_graphql::Request>(request()).expect("a request");
        let viewer = Viewer::of(uuid::Uuid::nil(), TokenScope::Read);

        let anonymous = executor.execute(request()).await;
        let with_data = executor.execute(request().data(viewer)).await;
        let mut session = Data::default();
        session.insert(viewer);
        let streamed: Vec<_> = executor.execute_stream(request(), Some(Arc::new(session))).collect().await;

        assert_eq!(serde_json::to_value(&anonymous).expect("JSON"), response("anonymous"));
        assert_eq!(serde_json::to_value(&with_data).expect("JSON"), response("known"));
        assert_eq!(serde_json::to_value(&streamed).expect("JSON"), json!([response("known"), { "data": 2 }]));
    }

    #[tokio::test]
    async fn the_standard_axum_service_serves_the_engine() {
        let service = GraphQL::new(EngineExecutor::new(Arc::new(Echo)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/graphql", listener.local_addr().expect("an address"));
        let server =
            tokio::spawn(async { axum::serve(listener, Router::new().route_service("/graphql", service)).await });

        let received = reqwest::Client::new().post(url).json(&request()).send().await.expect("a response");

        assert_eq!(received.json::<Value>().await.expect("JSON"), response("anonymous"));
        server.abort();
    }
}
