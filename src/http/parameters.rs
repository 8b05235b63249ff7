//! Parameters of a GraphQL request: `query` or `documentId`, `operationName`, `variables`, `extensions`, `onError`.
use async_graphql::Variables;
use axum::{extract::Query, http::Uri};
use serde_json::{Map, Value};

use super::rejection::Rejection;
use crate::{
    access::Viewer,
    graphql::{DocumentId, ErrorBehavior, Request, variables},
};

/// The byte order mark of UTF-8, which some clients send before the JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads the parameters from the JSON body of a POST.
///
/// # Errors
/// 400 for invalid JSON. 400 for JSON that is not a GraphQL request, or 422 with `draft` (GraphQL over HTTP draft).
pub(super) fn from_json(viewer: Viewer, body: &[u8], draft: bool) -> Result<Request, Rejection> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => read(viewer, members).map_err(|message| Rejection::malformed(message, draft)),
        Ok(Value::Array(_)) => {
            let message = "batched operations are not supported: send one operation per request";
            Err(Rejection::malformed(message, draft))
        }
        Ok(_) => Err(Rejection::malformed("the request body must be a JSON object with `query`", draft)),
        Err(_) => Err(Rejection::bad_request(unreadable(body))),
    }
}

/// The message for a body that is not JSON in UTF-8.
fn unreadable(body: &[u8]) -> &'static str {
    match body {
        // A text of ASCII characters or a byte order mark, in two or four bytes each.
        [0, ..] | [_, 0, ..] | [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => {
            "the request body is in UTF-16 or UTF-32: send JSON in UTF-8"
        }
        body if std::str::from_utf8(body).is_err() => "the request body is not in UTF-8: send JSON in UTF-8",
        _ => "the request body is not valid JSON",
    }
}

/// Reads the parameters from the query string of a GET. Empty parameters count as absent.
///
/// # Errors
/// As for [`from_json`].
pub(super) fn from_uri(viewer: Viewer, uri: &Uri, draft: bool) -> Result<Request, Rejection> {
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Rejection::bad_request("the query string is invalid"))?;
    let mut members = Map::new();
    for (name, value) in parameters {
        let value = match name.as_str() {
            _ if value.is_empty() => continue,
            "query" | "documentId" | "doc_id" | "operationName" | "onError" => Value::String(value),
            "variables" | "extensions" => serde_json::from_str(&value)
                .map_err(|_| Rejection::bad_request(format!("`{name}` is not valid JSON")))?,
            _ => continue,
        };
        if members.contains_key(&name) {
            return Err(Rejection::malformed(format!("`{name}` is given twice"), draft));
        }
        members.insert(name, value);
    }
    read(viewer, members).map_err(|message| Rejection::malformed(message, draft))
}

/// Whether the query string of a GET contains an operation, or the identifier of its document.
pub(super) fn has_query(uri: &Uri) -> bool {
    let is_operation = |(name, value): &(String, String)| match name.as_str() {
        "query" | "documentId" | "doc_id" => !value.is_empty(),
        "extensions" => value.contains("persistedQuery"),
        _ => false,
    };
    Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_or(true, |Query(parameters)| parameters.iter().any(is_operation))
}

/// Reads the parameters and ignores unknown ones. The error is a message for the client.
fn read(viewer: Viewer, mut members: Map<String, Value>) -> Result<Request, &'static str> {
    let document_id = document_id(&members);
    let query = match members.remove("query") {
        Some(Value::String(query)) => query,
        Some(Value::Null) | None if document_id.is_some() => String::new(),
        Some(Value::Null) | None => return Err("`query` is missing"),
        Some(_) => return Err("`query` must be a string"),
    };
    let operation_name = match members.remove("operationName") {
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(Value::Null) | None => None,
        Some(_) => return Err("`operationName` must be a string"),
    };
    let on_error = match members.remove("onError") {
        Some(Value::Null) | None => ErrorBehavior::default(),
        Some(value) => error_behavior(&value).ok_or("`onError` must be \"PROPAGATE\", \"NULL\" or \"HALT\"")?,
    };
    let variables = match members.remove("variables") {
        Some(Value::Object(json)) => variables(json),
        Some(Value::Null) | None => Variables::default(),
        Some(_) => return Err("`variables` must be an object"),
    };
    let idempotency_key = match members.remove("extensions") {
        Some(Value::Object(mut extensions)) => idempotency_key(extensions.remove("idempotencyKey"))?,
        Some(Value::Null) | None => None,
        Some(_) => return Err("`extensions` must be an object"),
    };
    Ok(Request {
        query,
        document_id,
        operation_name,
        variables,
        on_error,
        idempotency_key,
        viewer,
        ..Request::default()
    })
}

/// Reads `extensions.idempotencyKey`, for transports without headers.
fn idempotency_key(value: Option<Value>) -> Result<Option<String>, &'static str> {
    match value {
        Some(Value::String(key)) => Ok(Some(key)),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err("`extensions.idempotencyKey` must be a string"),
    }
}

/// The identifier of the document, if the parameters have one.
fn document_id(members: &Map<String, Value>) -> Option<DocumentId> {
    let persisted_query = members.get("extensions").and_then(|extensions| extensions.get("persistedQuery"));
    DocumentId::of_parameters(members.get("documentId"), members.get("doc_id"), persisted_query)
}

/// Reads `onError`, which is proposed for the GraphQL specification (pull request 1236).
fn error_behavior(value: &Value) -> Option<ErrorBehavior> {
    match value.as_str()? {
        "PROPAGATE" => Some(ErrorBehavior::Propagate),
        "NULL" => Some(ErrorBehavior::Null),
        "HALT" => Some(ErrorBehavior::Halt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/graphql?{query}").parse().expect("a URI")
    }

    #[test]
    fn all_parameters_are_read_from_body_and_query_string() {
        let body =
            json!({ "query": "q", "operationName": "o", "variables": { "a": 1 }, "extensions": { "b": 2 }, "c": 3 });
        let posted = from_json(Viewer::LOCAL, body.to_string().as_bytes(), false).expect("parameters");
        let got = from_uri(
            Viewer::LOCAL,
            &uri("query=q&operationName=o&variables=%7B%22a%22%3A1%7D&extensions=%7B%7D&c=3&c=4"),
            false,
        )
        .expect("parameters");

        for request in [posted, got] {
            assert_eq!((request.query.as_str(), request.operation_name.as_deref()), ("q", Some("o")));
            assert_eq!(request.variables, Variables::from_json(json!({ "a": 1 })));
        }
    }

    #[test]
    fn the_idempotency_key_may_be_an_extension() {
        for (extensions, expected) in [
            (json!({ "idempotencyKey": "k" }), Some("k")),
            (json!({ "idempotencyKey": null }), None),
            (json!({}), None),
        ] {
            let body = json!({ "query": "q", "extensions": extensions }).to_string();
            let request = from_json(Viewer::LOCAL, body.as_bytes(), false).expect("parameters");

            assert_eq!(request.idempotency_key.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn null_and_the_empty_string_count_as_absent() {
        let body = json!({ "query": "q", "operationName": null, "variables": null, "extensions": null });
        let posted = from_json(Viewer::LOCAL, body.to_string().as_bytes(), false).expect("parameters");
        let got =
            from_uri(Viewer::LOCAL, &uri("query=q&operationName=&variables=&extensions="), false).expect("parameters");

        for request in [posted, got] {
            assert_eq!(request.operation_name, None);
            assert_eq!(request.variables, Variables::default());
        }
    }

    #[test]
    fn the_identifier_of_a_document_replaces_its_text() {
        let hash = DocumentId::Automatic("h".to_owned());
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "h" } });
        let cases = [
            (json!({ "documentId": "d" }), DocumentId::Custom("d".to_owned())),
            (json!({ "doc_id": "d", "query": null }), DocumentId::Custom("d".to_owned())),
            (json!({ "documentId": "sha256:d", "query": "" }), DocumentId::Sha256("d".to_owned())),
            (json!({ "extensions": extensions }), hash.clone()),
        ];
        for (body, expected) in cases {
            let request = from_json(Viewer::LOCAL, body.to_string().as_bytes(), false).expect("parameters");
            assert_eq!((request.query.as_str(), request.document_id), ("", Some(expected)), "{body}");
        }
        let given = "extensions=%7B%22persistedQuery%22%3A%7B%22version%22%3A1%2C%22sha256Hash%22%3A%22h%22%7D%7D";
        let request = from_uri(Viewer::LOCAL, &uri(given), false).expect("parameters");
        assert_eq!((request.query.as_str(), request.document_id), ("", Some(hash)));
        let request = from_uri(Viewer::LOCAL, &uri("documentId=d&query="), false).expect("parameters");
        assert_eq!((request.query.as_str(), request.document_id), ("", Some(DocumentId::Custom("d".to_owned()))));
    }

    #[test]
    fn the_error_names_the_malformed_part() {
        let bodies = [
            ("", "the request body is not valid JSON"),
            ("{", "the request body is not valid JSON"),
            ("{\"query\":\"\u{0}\"}", "the request body is not valid JSON"),
            ("null", "the request body must be a JSON object with `query`"),
            ("\"query\"", "the request body must be a JSON object with `query`"),
            ("[]", "batched operations are not supported: send one operation per request"),
            ("[{\"query\":\"q\"}]", "batched operations are not supported: send one operation per request"),
            ("{}", "`query` is missing"),
            ("{\"query\":null}", "`query` is missing"),
            ("{\"query\":1}", "`query` must be a string"),
            ("{\"query\":[\"q\"]}", "`query` must be a string"),
            ("{\"query\":\"q\",\"operationName\":1}", "`operationName` must be a string"),
            ("{\"query\":\"q\",\"operationName\":{}}", "`operationName` must be a string"),
            ("{\"query\":\"q\",\"variables\":\"{}\"}", "`variables` must be an object"),
            ("{\"query\":\"q\",\"variables\":[7]}", "`variables` must be an object"),
            ("{\"query\":\"q\",\"variables\":0}", "`variables` must be an object"),
            ("{\"query\":\"q\",\"variables\":false}", "`variables` must be an object"),
            ("{\"query\":\"q\",\"extensions\":[]}", "`extensions` must be an object"),
            ("{\"query\":\"q\",\"onError\":\"null\"}", "`onError` must be \"PROPAGATE\", \"NULL\" or \"HALT\""),
            ("{\"query\":\"q\",\"onError\":[]}", "`onError` must be \"PROPAGATE\", \"NULL\" or \"HALT\""),
            ("{\"query\":\"q\",\"extensions\":{\"idempotencyKey\":1}}", "`extensions.idempotencyKey` must be a string"),
        ];
        let queries = [
            ("", "`query` is missing"),
            ("query=", "`query` is missing"),
            ("query=q&query=q", "`query` is given twice"),
            ("query=q&variables=1", "`variables` must be an object"),
            ("query=q&variables=%7B", "`variables` is not valid JSON"),
            ("query=q&extensions=x", "`extensions` is not valid JSON"),
            ("query=q&onError=ABORT", "`onError` must be \"PROPAGATE\", \"NULL\" or \"HALT\""),
        ];

        let posted = bodies.map(|(body, message)| (body, from_json(Viewer::LOCAL, body.as_bytes(), false), message));
        let got = queries.map(|(query, message)| (query, from_uri(Viewer::LOCAL, &uri(query), false), message));

        for (given, result, message) in posted.into_iter().chain(got) {
            let rejection = result.expect_err(given);
            assert_eq!((rejection.status(), rejection.message()), (StatusCode::BAD_REQUEST, message), "{given}");
        }
    }

    #[test]
    fn only_utf_8_is_read_with_or_without_a_byte_order_mark() {
        let text = "{\"query\":\"{é}\"}";
        let marked = format!("\u{FEFF}{text}");
        let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin_1: Vec<u8> =
            text.chars().map(|character| u8::try_from(u32::from(character)).expect("Latin")).collect();

        for body in [text.as_bytes(), marked.as_bytes()] {
            assert_eq!(from_json(Viewer::LOCAL, body, false).expect("parameters").query, "{é}");
        }
        for body in [&big[..], &little, &big[2..], &little[2..]] {
            let rejection = from_json(Viewer::LOCAL, body, false).expect_err("UTF-16");
            assert_eq!(rejection.message(), "the request body is in UTF-16 or UTF-32: send JSON in UTF-8");
        }
        let rejection = from_json(Viewer::LOCAL, &latin_1, false).expect_err("Latin 1");
        assert_eq!(rejection.message(), "the request body is not in UTF-8: send JSON in UTF-8");
        let twice = format!("\u{FEFF}{marked}");
        assert!(from_json(Viewer::LOCAL, twice.as_bytes(), false).is_err());
    }

    #[test]
    fn a_body_nested_too_deeply_is_rejected() {
        let body = format!("{{\"query\":\"q\",\"variables\":{}}}", "{\"a\":".repeat(100_000));

        assert!(from_json(Viewer::LOCAL, body.as_bytes(), false).is_err());
    }

    #[test]
    fn the_draft_has_its_own_status_for_malformed_json_requests() {
        let status =
            |body: &str| from_json(Viewer::LOCAL, body.as_bytes(), true).expect_err("a rejection").status().as_u16();

        assert_eq!(status("{"), 400);
        assert_eq!(status("null"), 422);
        assert_eq!(status("[]"), 422);
        assert_eq!(status("{\"query\":1}"), 422);
    }

    #[test]
    fn a_query_string_without_query_has_no_operation() {
        assert!(!has_query(&"/graphql".parse().expect("a URI")));
        assert!(!has_query(&uri("")));
        assert!(!has_query(&uri("query=")));
        assert!(!has_query(&uri("extensions=%7B%7D")));
        for query in ["query=q", "documentId=d", "doc_id=d", "extensions=%7B%22persistedQuery%22%3A1%7D"] {
            assert!(has_query(&uri(query)), "{query}");
        }
    }
}
