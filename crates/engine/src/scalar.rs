//! Scalars of the engine.
use async_graphql::{InputValueResult, Scalar, ScalarType, Value};
use gatherum_document::{async_graphql_to_json, json_to_async_graphql};

/// Any JSON value. Numbers keep their digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub serde_json::Value);

/// Any JSON value.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(async_graphql_to_json(&value)))
    }

    fn to_value(&self) -> Value {
        json_to_async_graphql(self.0.clone())
    }
}
