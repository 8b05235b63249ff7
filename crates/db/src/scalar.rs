//! Columns as scalars of the schema.
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use gatherum_engine::{
    Leaf,
    async_graphql::{InputType, registry::Registry},
    leaf_outputs,
};

use crate::{Text, Time};

pub use gatherum_engine::scalar::Json;

/// A point in time: RFC 3339, in UTC in every response, such as `2026-01-31T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Time);

/// A point in time: RFC 3339, in UTC in every response, such as `2026-01-31T12:00:00.000Z`.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Time::parse(text).map(Self).ok_or_else(|| {
                InputValueError::custom(
                    "a point in time is written as RFC 3339, such as 2026-01-31T12:00:00Z, and is in the years 0 to 9999 in UTC",
                )
            }),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.rfc3339())
    }
}

impl Leaf for Text {
    fn type_ref(registry: &mut Registry) -> String {
        str::type_ref(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        (**self).write(json);
    }
}

impl Leaf for Time {
    fn type_ref(registry: &mut Registry) -> String {
        <DateTime as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        json.extend_from_slice(self.rfc3339().as_bytes());
        json.push(b'"');
    }
}

leaf_outputs!(Text, Time);
